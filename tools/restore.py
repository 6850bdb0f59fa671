"""Puts the weights of record of a scale into runs/ as finished stages, so that `make paper` goes on from them instead of training anew. `restore.py SCALE`

A stage is found there as long as its code and settings are those that made it; else it is trained anew, as always. With `--trust`, weights that earlier code made count as
today's: for you to say, who know what has changed since."""
import argparse, importlib, json, sys
from pathlib import Path
sys.path.insert(0, str(Path(__file__).parent))
from cells import ROOT
from dfkd_nb.runs import Run, _flat, code_hash, identity, load_tree, seal, weights_hash, write_atomic

MADE_BY = {'teacher': 'training.train_teacher', 'generator': 'gan.train_generator', 'student': 'distill.distill', 'detr_teacher': 'detr.train_detr', 'detr_generator': 'detr_distill.train_scene_generator',
           'detr_student': 'detr_distill.distill_detr'}

def todays(result):
    "The settings that made a result, as today's code writes them."
    module, name = ('inversion.invert' if result.get('rung') == 'teacher' else MADE_BY[result['stage']]).split('.')
    f = getattr(importlib.import_module(f'dfkd_nb.{module}'), name)
    defaults = {k: p.default for k, p in f.__signature__.parameters.items() if p.default is not p.empty and k != 'root'}
    return {**json.loads(json.dumps(identity(defaults))), **result['config'], 'code': code_hash(module, name)}

def main(args=None, root=ROOT):
    p = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    p.add_argument('scale'); p.add_argument('--trust', action='store_true')
    a = p.parse_args(args)
    home, found = root/'paper_figures'/a.scale, 0
    for w in sorted((home/'weights').glob('*.safetensors')):
        result = json.loads((home/'results'/f'{w.stem}.json').read_text(encoding='utf-8'))
        run = Run(result['stage'], todays(result) if a.trust else result['config'])
        if not run.finished:
            write_atomic(run.path/'weights.safetensors', w.read_bytes())
            write_atomic(run.path/'result.json', json.dumps({**result, 'config': run.config, 'weights': weights_hash(_flat(load_tree(w)))}))
            extra = home/'results'/f'{w.stem}.run.json'
            if extra.exists(): write_atomic(run.path/'run.json', extra.read_text(encoding='utf-8'))
            seal(run.path)
        print(f'{run.path.parent.name}/{run.key}  {w.stem}')
        found += 1
    if not found: print(f'no weights of record in {home/"weights"}', file=sys.stderr)
    return 0 if found else 2

if __name__ == '__main__': sys.exit(main())
