"""The first batches of every stage of a scale at its full size, and how long the whole would take here. `rehearse.py SCALE [--batches 4] [--out FILE.md]`

Each stage runs twice, for one and three epochs of a few batches; their difference says what a batch takes (very small ones drown in noise: take more).
Evaluations on the whole test set are left out. Nothing is kept."""
import argparse, inspect, os, sys, tempfile, time
from pathlib import Path
sys.path.insert(0, str(Path(__file__).parent))
import graph
from cells import NBS, ROOT, library, parameter_cells, read, source, tags

class Rehearsal:
    "Stage functions of a notebook, shortened and timed; each (stage, variant) once."
    def __init__(self, batches): self.batches,self.rows,self.known = batches,[],{}
    def shortened(self, f):
        def call(*args, root=None, **kw):
            b = inspect.signature(f).bind(*args, **kw); b.apply_defaults(); a = b.arguments; a.pop('root', None)
            rung = getattr(a.get('source'), 'rung', '')
            name = ' '.join(filter(None, [f.__name__, rung, a.get('variant', '').removeprefix('default'), *(str(a[k]) for k in ('block', 'probe') if a.get(k, -1) not in (-1, 'attention'))]))
            if name in self.known: return self.known[name]
            if 'rounds' in a and 'g_steps' in a: steps, unit, few = a['rounds'], 'round', lambda n: dict(rounds=2*n, every=1, patience=0)
            elif 'epochs' in a:
                bs = a.get('bs', 64)
                images = a['n_images'] if 'n_images' in a and rung != 'real' else self.full['train']
                steps, unit, few = a['epochs']*max(1, images//bs), 'batch', lambda n: dict(epochs=n, **({'n_images': self.batches*bs} if 'n_images' in a else {}))
                self.data.keep(self.batches*bs)
            else: steps, unit, few = None, '', lambda n: {}
            took = []
            for n in (1, 3) if steps else (1,):
                start = time.time()
                run = f(**{**a, **few(n)})
                took.append(time.time()-start)
            each = max(0., took[1]-took[0])/(4 if unit == 'round' else 2*self.batches) if steps else None
            self.rows.append({'stage': name, 'seconds': each if steps else took[0], 'a': unit or 'whole (few images)', 'of them': steps, 'hours': each*steps/3600 if steps else None})
            print(f"{name}: {self.rows[-1]['seconds']:.3g} s a {self.rows[-1]['a']}" + (f", {steps:,} of them: {self.rows[-1]['hours']:.2f} hours" if steps else ''), flush=True)
            self.known[name] = run
            return run
        return call

def main(args=None):
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('scale'); p.add_argument('--batches', type=int, default=4); p.add_argument('--out', type=Path)
    a = p.parse_args(args)
    cfg = graph.load(a.scale)
    with tempfile.TemporaryDirectory() as tmp:
        os.environ |= {'DFKD_RUNS': tmp, 'DFKD_SHIPPED': '0'}
        import pandas as pd
        from dfkd_nb.data import ImageData, get_data
        from dfkd_nb.runs import provenance
        class Few(ImageData):
            "The first images of a data set, as many as a stage is to see"
            def __init__(self, d): super().__init__(d.name, d._splits, d.classes); self.whole = d._splits; self.keep(512)
            def keep(self, n): self._splits = {s: (x[:n if s == 'train' else 64], y[:n if s == 'train' else 64]) for s, (x, y) in self.whole.items()}
        tables = []
        for dataset in cfg['plan']:
            r = Rehearsal(a.batches)
            r.data = Few(get_data(dataset)); r.full = {s: len(y) for s, (_, y) in r.data.whole.items()}
            for nb in graph.STAGES:
                if dataset not in graph.sets(cfg, nb): continue
                book, ns = read(NBS/f'{nb}.ipynb'), {}
                exec(library(book), ns)
                for c in parameter_cells(book): exec(source(c), ns)
                ns |= graph.parameters(cfg, nb, dataset, 0, '') | {'get_data': lambda name, **kw: r.data if name == dataset else Few(get_data(name, **kw)), 'record': lambda run, *_, **__: run.result}
                ns |= {k: r.shortened(v) for k, v in ns.items() if 'root' in getattr(getattr(v, '__signature__', None), 'parameters', {})}
                for c in book['cells']:
                    if 'stage' in tags(c): exec(source(c), ns)
            df = pd.DataFrame(r.rows)
            tables.append(f"## {dataset}\n\n{df.round(3).fillna('').to_markdown(index=False)}\n\n{df.hours.sum():.1f} hours in all, one stage after the other.\n")
    where = provenance()
    text = f"# First steps of the scale `{a.scale}`, and what the whole would take\n\n{where['device']}, {where['threads']} threads\n\n" + '\n'.join(tables)
    print(text)
    if a.out: a.out.parent.mkdir(parents=True, exist_ok=True); a.out.write_text(text, encoding='utf-8')

if __name__ == '__main__': sys.exit(main())
