"""The first batches of every stage of a scale at its full size, and how long the whole would take here. `rehearse.py SCALE [--batches 4] [--out FILE.md] [--only 10_ladder …]`

Each stage runs twice, for one and three epochs of a few batches; their difference says what a batch takes (very small ones drown in noise: take more).
A variant of the same networks, batches and images is not run again, but taken to cost as much (and the table says as which).
Evaluations on the whole test set are left out. Nothing is kept."""
import argparse, inspect, os, sys, tempfile, time
from pathlib import Path
sys.path.insert(0, str(Path(__file__).parent))
import pandas as pd
import graph
from cells import NBS, library, parameter_cells, read, source, tags
from dfkd_nb.data import ImageData, get_data
from dfkd_nb.runs import provenance

class Few(ImageData):
    "The first images of a data set, as many as a stage is to see; its sizes are those of the whole, since recipes count with them."
    sizes = None
    def __init__(self, d):
        super().__init__(d.name, d._splits, d.classes)
        self.whole, self.sizes = d._splits, d.sizes
        self.keep(512)
    def keep(self, n): self._splits = {s: (x[:n if s == 'train' else 64], y[:n if s == 'train' else 64]) for s, (x, y) in self.whole.items()}

DECIDE = 'arch', 'model', 'student', 'bs', 'n_images', 'g_steps', 's_steps'     # of a stage's arguments, those that decide what a step costs

class Rehearsal:
    "Runs stage functions shortened, and notes what each takes; one that is called again gives the run it gave before."
    def __init__(self, data, batches): self.data,self.batches,self.rows,self.known,self.alike = data,batches,[],{},{}
    def plan(self, a, rung):
        "Of the arguments of a stage: how many steps it is asked for, what a step is, by how many a run of three short epochs exceeds one of one, and the changes for n of them."
        if 'rounds' in a: return a['rounds'], 'round', 2, lambda n: dict(rounds=n, every=1, patience=0)
        if 'epochs' not in a: return None, 'whole (few images)', 0, lambda n: {}
        bs = a.get('bs', 64)
        few = self.batches*bs
        self.data.keep(few)
        images = a['n_images'] if 'n_images' in a and rung != 'real' else self.data.sizes['train']
        return a['epochs']*max(1, images//bs), 'batch', 2*self.batches, lambda n: dict(epochs=n, **({'n_images': few} if 'n_images' in a else {}))
    def shortened(self, f):
        def call(*args, root=None, **kw):
            bound = inspect.signature(f).bind(*args, **kw)
            bound.apply_defaults()
            a = {k: v for k, v in bound.arguments.items() if k != 'root'}
            rung = getattr(a.get('source'), 'rung', '')
            name = ' '.join(filter(None, [f.__name__, rung, a.get('variant', '').removeprefix('default'), *(str(a[k]) for k in ('block', 'probe') if a.get(k, -1) not in (-1, 'attention'))]))
            if name in self.known: return self.known[name]
            asked, step, more, change = self.plan(a, rung)
            steps = (f.__name__, rung, *(a.get(k) for k in DECIDE), *(bool(a.get(k)) for k in ('lam', 'kd')))
            def timed(n):
                start = time.time()
                return f(**{**a, **change(n)}), time.time()-start
            if asked and steps in self.alike:
                first, seconds, run = self.alike[steps]
                told = f'{name} (taken as {first})'
            else:
                run, seconds = timed(1)
                if asked:
                    run, longer = timed(3)
                    seconds = max(0., longer-seconds)/more
                told, self.alike[steps] = name, (name, seconds, run)
            self.rows.append({'stage': told, 'seconds': seconds, 'a': step, 'of them': asked, 'hours': asked and seconds*asked/3600})
            print(f'{told}: {seconds:.3g} s a {step}' + (f', {asked:,} of them: {seconds*asked/3600:.2f} hours' if asked else ''), flush=True)
            self.known[name] = run
            return run
        return call

def rehearse(cfg, dataset, batches, only=()):
    "One row a stage of a scale, in the order of its notebooks (or of `only` these)."
    r = Rehearsal(Few(get_data(dataset)), batches)
    for nb in graph.STAGES:
        if dataset not in graph.sets(cfg, nb) or only and nb not in only: continue
        book, ns = read(NBS/f'{nb}.ipynb'), {}
        exec(library(book), ns)
        for c in parameter_cells(book): exec(source(c), ns)
        ns |= graph.parameters(cfg, nb, dataset, 0, '') | {'get_data': lambda name, **kw: r.data if name == dataset else Few(get_data(name, **kw)), 'record': lambda run, *_, **__: run.result}
        ns |= {k: r.shortened(v) for k, v in ns.items() if 'root' in getattr(getattr(v, '__signature__', None), 'parameters', {})}
        for c in book['cells']:
            if 'stage' in tags(c): exec(source(c), ns)
    return pd.DataFrame(r.rows)

def main(args=None):
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('scale'); p.add_argument('--batches', type=int, default=4); p.add_argument('--out', type=Path)
    p.add_argument('--only', nargs='+', default=[], metavar='NOTEBOOK', choices=graph.STAGES, help='such as 10_ladder (and what it needs)')
    a = p.parse_args(args)
    cfg, where = graph.load(a.scale), provenance()
    sets, boxes = [[d for d in cfg['plan'] if (d in graph.BOXES) == b] for b in (False, True)]
    if not sets: p.error(f"{a.scale} is {', '.join(boxes)} alone: detection is not rehearsed yet")
    if a.only and not any(nb in a.only for d in sets for nb in graph.STAGES if d in graph.sets(cfg, nb)): p.error(f"{a.scale} does not run {', '.join(a.only)}")
    if a.batches < 1: p.error('--batches must be at least 1')
    text = f"# First steps of the scale `{a.scale}`, and what the whole would take\n\n{where['device']}, {where['threads']} threads" + (f"; without {', '.join(boxes)}, since detection is not rehearsed yet" if boxes else '') + '\n'
    with tempfile.TemporaryDirectory() as tmp:
        os.environ |= {'DFKD_RUNS': tmp, 'DFKD_SHIPPED': '0'}
        for dataset in sets:
            df = rehearse(cfg, dataset, a.batches, a.only)
            text += f"\n## {dataset}\n\n{df.round(3).fillna('').to_markdown(index=False)}\n\n{df.hours.sum():.1f} hours in all, one stage after the other.\n"
    print(text)
    if a.out: a.out.parent.mkdir(parents=True, exist_ok=True); a.out.write_text(text, encoding='utf-8')

if __name__ == '__main__': sys.exit(main())
