"""Puts the weights of record of a scale into runs/ as finished stages, so that `make paper` goes on from them instead of training anew. `restore.py SCALE`

A stage is found there as long as its code and settings are those that made it; else it is trained anew, as always."""
import argparse, json, sys
from pathlib import Path
sys.path.insert(0, str(Path(__file__).parent))
from cells import ROOT
from dfkd_nb.runs import Run, _flat, load_tree, weights_hash, write_atomic

def main(args=None, root=ROOT):
    p = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    p.add_argument('scale')
    home, found = root/'paper_figures'/p.parse_args(args).scale, 0
    for w in sorted((home/'weights').glob('*.safetensors')):
        result = json.loads((home/'results'/f'{w.stem}.json').read_text(encoding='utf-8'))
        run = Run(result['stage'], result['config'])
        if not run.finished:
            write_atomic(run.path/'weights.safetensors', w.read_bytes())
            write_atomic(run.path/'result.json', json.dumps({**result, 'weights': weights_hash(_flat(load_tree(w)))}))
            extra = home/'results'/f'{w.stem}.run.json'
            if extra.exists(): write_atomic(run.path/'run.json', extra.read_text(encoding='utf-8'))
        print(f'{run.path.parent.name}/{run.key}  {w.stem}')
        found += 1
    if not found: print(f'no weights of record in {home/"weights"}', file=sys.stderr)
    return 0 if found else 2

if __name__ == '__main__': sys.exit(main())
