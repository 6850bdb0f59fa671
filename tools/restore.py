"""Puts finished stages into runs/, so that `make paper` goes on from them instead of training anew.

`restore.py SCALE`: the weights of record of a scale. A stage is found there as long as its code and settings are
those that made it; else it is trained anew, as always. With `--trust`, weights that earlier code made count as today's:
for you to say, who know what has changed since.
`restore.py --from FOLDER`: whole run folders that another machine made, FOLDER/<stage>/<key>, each held against its
manifest. Snapshots may have stayed there."""
import argparse, importlib, json, sys
from pathlib import Path
sys.path.insert(0, str(Path(__file__).parent))
from cells import ROOT
from dfkd_nb.checks import check_files, read_json
from dfkd_nb.results import read_notes, read_records
from dfkd_nb.runs import Run, code_hash, flatten_tree, identity, load_tree, seal, weights_hash, write_atomic
from study import made_by

def todays(result):
    "The settings that made a result, as today's code writes them."
    module, name = made_by(result['stage'], result.get('rung')).split('.')
    f = getattr(importlib.import_module(f'dfkd_nb.{module}'), name)
    defaults = {k: p.default for k, p in f.__signature__.parameters.items() if p.default is not p.empty and k != 'root'}
    return {**json.loads(json.dumps(identity(defaults))), **result['config'], 'code': code_hash(module, name)}

def of_record(weights, trust):
    "The run that weights of record and the result beside them are; made where it is not there."
    home = weights.parents[1]
    result = read_records(home)[weights.stem]
    run = Run(result['stage'], todays(result) if trust else result['config'])
    if run.finished: return run
    result |= {'config': run.config, 'weights': weights_hash(flatten_tree(load_tree(weights)))}
    write_atomic(run.path/'weights.safetensors', weights.read_bytes())
    write_atomic(run.path/'result.json', json.dumps(result))
    note = read_notes(home/'results').get(weights.stem)
    if note: write_atomic(run.path/'run.json', json.dumps(note))
    seal(run.path)
    return run

def taken_in(folder):
    "The run that a folder holds which another machine made; raises `ValueError` for one that is not whole."
    files = read_json(folder/'manifest.json')['files']
    here = {k: v for k, v in files.items() if not k.startswith('snapshot-') or (folder/k).exists()}
    check_files(folder, here, extra=True)
    run = Run(folder.parent.name, read_json(folder/'result.json')['config'])
    if run.key != folder.name: raise ValueError(f'{folder}: holds the run of other settings')
    if run.finished: return run
    for name in sorted(here, key='result.json'.__eq__):         # the result last: with it, a run is finished
        write_atomic(run.path/name, (folder/name).read_bytes())
    seal(run.path)
    return run

def main(args=None, root=ROOT):
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('scale', nargs='?')
    p.add_argument('--trust', action='store_true')
    p.add_argument('--from', dest='folder', type=Path, help='run folders of another machine')
    a = p.parse_args(args)
    if bool(a.scale) == bool(a.folder): p.error('name a scale, or a folder with --from')
    if a.folder: found = [(f.parent, f.parent.name) for f in sorted(a.folder.glob('*/*/result.json'))]
    else: found = [(w, w.stem) for w in sorted((root/'paper_figures'/a.scale/'weights').glob('*.safetensors'))]
    if not found:
        print(f"no finished runs in {a.folder}" if a.folder else f"no weights of record of {a.scale}", file=sys.stderr)
        return 2
    bad = 0
    for path, name in found:
        try: run = taken_in(path) if a.folder else of_record(path, a.trust)
        except (ValueError, KeyError, TypeError, OSError) as e:
            if not a.folder: raise
            print(f'NOT: {e}', file=sys.stderr)
            bad += 1
        else: print(f'{run.path.parent.name}/{run.key}  {name}')
    return int(bad > 0)

if __name__ == '__main__': sys.exit(main())
