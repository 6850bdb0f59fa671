"""The first batches of every stage of a scale, and what the whole would take.

Timed (`make rehearse`): each stage runs twice at its full size, for one and three epochs of a few batches;
their difference says what a batch takes (very small ones drown in noise: take more). On a GPU the table is
in minutes, and names the device.
Counted (`make budget`): the same with small batches, whose operations and launches are counted. By the rates
that were measured of a card (benchmarks/rates.yaml) they give its minutes, launched one by one and replayed
as graphs; that takes no GPU.
A variant of the same networks, batches and images is not run again, but taken to cost as much (and the table
says as which). Evaluations on the whole test set are left out. No stage is kept; the table is written after
each, to build/rehearsal-SCALE.md or to --out."""
import argparse, inspect, os, sys, tempfile, time
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch
sys.path.insert(0, str(Path(__file__).parent))
import pandas as pd, torch, yaml
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry
import graph
from cells import NBS, ROOT, library, parameter_cells, read, source, tags
from dfkd_nb.data import ImageData, get_data
from dfkd_nb.runs import provenance

RATES = ROOT/'benchmarks'/'rates.yaml'

def every_class_first(y, each=2):
    "The order of images in which each class has appeared so often before any appears again."
    rank = torch.zeros(len(y), dtype=torch.long)
    for k in y.unique():
        of_k = (y == k).nonzero()[:, 0]
        rank[of_k] = torch.arange(len(of_k))
    return rank.clamp(max=each).argsort(stable=True)

class Few(ImageData):
    "Some images of each class of a data set, as many as a stage is to see; its sizes are the whole's."
    sizes = None
    def __init__(self, d, held_out=64):
        super().__init__(d.name, d._splits, d.classes)
        order = {s: every_class_first(y)[:10_000] for s, (x, y) in d._splits.items()}
        self.whole = {s: (x[order[s]], y[order[s]]) for s, (x, y) in d._splits.items()}
        self.sizes,self.held_out = d.sizes,held_out
        self.keep(512)
    def keep(self, n):
        first = {s: max(n, 2*len(self.classes)) if s == 'train' else self.held_out for s in self.whole}
        self._splits = {s: (x[:first[s]], y[:first[s]]) for s, (x, y) in self.whole.items()}

@contextmanager
def without_evaluation():
    "Generators are looked at ten times in their training, which would be most of three short epochs."
    def noted(run, *_): run.log[-1]['label_agreement'] = 0.
    seen = {'label_agreement': 0., 'collapsed': False}
    with patch('dfkd_nb.gan.note_progress', noted), patch('dfkd_nb.gan.appraise', lambda *_: seen): yield

# --- how a stage is measured

class Timed:
    "The seconds of a step, by the clock."
    held_out = 64           # images of the splits that are not trained on
    whole = 'hours',        # the columns that are summed
    wants = None            # of the stages that are no training, those that are run; None: all
    def scaled(self, a): return {}, 1
    def run(self, f, a, scale):
        start = time.time()
        return f(**a), {'seconds': time.time()-start}
    def row(self, took, step, asked):
        seconds = took['seconds']
        return {'seconds': seconds, 'a': step, 'of them': asked, 'hours': asked and seconds*asked/3600}

class OnGPU(Timed):
    "Likewise, in the units of a card."
    whole = 'minutes',
    def row(self, took, step, asked):
        seconds = took['seconds']
        return {'ms': seconds*1000, 'a': step, 'of them': asked, 'minutes': asked and seconds*asked/60}

NO_KERNEL  = 'empty', 'new_empty', '_unsafe_view', 'lift_fresh'
OF_WEIGHTS = '_fused', '_foreach'       # optimisers: all else grows with the batch

class Count(TorchDispatchMode):
    "While open, counts launches, and the operations and bytes of each: what a card of these rates takes for them."
    def __init__(self, rates, scale):
        super().__init__()
        self.rates,self.scale = rates,scale
        self.launches,self.flops,self.seconds = 0,0.,0.
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        name = func.overloadpacket.__name__
        if func.is_view or name.startswith(NO_KERNEL): return out
        scale = 1 if name.startswith(OF_WEIGHTS) else self.scale
        count = flop_registry.get(func.overloadpacket)
        flops = scale*count(*args, **kwargs, out_val=out) if count else 0
        tensors = [t for t in tree_leaves((args, kwargs, out)) if isinstance(t, torch.Tensor)]
        moved = scale*sum(t.numel()*min(t.element_size(), 2) for t in tensors)       # in bf16
        r = self.rates
        self.launches += 1
        self.flops += flops
        self.seconds += max(r['kernel'], moved/r['memory'], flops/(r['share']*r['product']))
        return out

class Counted:
    "What a step launches and computes, and the seconds that a card takes for it: launched one by one, or replayed."
    held_out = 8
    images = 16         # a batch is run with so many images, and counted as the one that was asked for
    whole = 'one by one, minutes', 'replayed, minutes'
    wants = 'class_probes',         # which the generators need
    def __init__(self, rates): self.rates = rates
    def scaled(self, a):
        "The changes that make a stage's batches small, and by how much they are smaller."
        bs = a.get('bs') or self.images
        n = min(self.images, bs)
        sizes = ['probe_batch', *['n_images']*('rounds' in a)]
        small = {k: max(1, a[k]*n//bs) for k in sizes if a.get(k)}
        return small | ({'bs': n} if 'bs' in a else {}), bs/n
    def run(self, f, a, scale):
        with Count(self.rates, scale) as c: run = f(**a)
        return run, {'launches': c.launches, 'flops': c.flops, 'seconds': c.seconds}
    def row(self, took, step, asked):
        if not asked: return {'a': step}
        launching = took['launches']*self.rates['launch']
        ms = {'one by one': 1000*max(launching, took['seconds']), 'replayed': 1000*took['seconds']}
        return {'launches': took['launches'], 'GFLOP': took['flops']/1e9, 'a': step, 'of them': asked,
                **{f'{k}, ms': v for k, v in ms.items()}, **{f'{k}, minutes': v*asked/60000 for k, v in ms.items()}}

# --- all stages of a scale

# Of a stage's arguments, those that decide what a step costs
DECIDE = 'arch', 'model', 'student', 'bs', 'n_images', 'g_steps', 's_steps', 'augment', 'probe_every'

def told(row):
    "A row on one line."
    known = {k: v for k, v in row.items() if v is not None}
    return ', '.join(f'{k} {v:.3g}' if isinstance(v, float) else f'{k} {v}' for k, v in known.items())

NO_RUN = SimpleNamespace(result={'metrics': {}})

class Rehearsal:
    "Runs stage functions shortened, and notes what each takes; one that is called again gives the run it gave before."
    def __init__(self, data, batches, how=None, note=lambda rows: None):
        self.data,self.batches,self.how,self.note = data,batches,how or Timed(),note
        self.rows,self.known,self.alike = [],{},{}
    def plan(self, a, rung):
        """Of the arguments of a stage: how many steps it is asked for, what a step is, by how many a run of three
        short epochs exceeds one of one, and the changes for n of them."""
        if {'rounds', 'every', 'patience'} <= a.keys():     # of training; others repeat a measurement so often
            return a['rounds'], 'round', 2, lambda n: {'rounds': n, 'every': 1, 'patience': 0}
        if 'epochs' not in a: return None, 'whole (few images)', 0, lambda n: {}
        bs = a.get('bs', 64)
        small = self.how.scaled(a)[0].get('bs', bs)
        few = max(self.batches, -(-2*len(self.data.classes)//small))*small
        self.data.keep(few)
        images = a['n_images'] if 'n_images' in a and rung != 'real' else self.data.sizes['train']
        shorter = {'n_images': few} if 'n_images' in a else {}
        return a['epochs']*max(1, images//bs), 'batch', 2*(few//small), lambda n: dict(epochs=n, **shorter)
    def measured(self, f, a, asked, more, change):
        "The run, and what a step of it takes."
        if not asked and self.how.wants is not None and f.__name__ not in self.how.wants: return NO_RUN, {}
        small, scale = self.how.scaled(a)
        run, first = self.how.run(f, {**a, **small, **change(1)}, scale)
        if not asked: return run, first
        run, longer = self.how.run(f, {**a, **small, **change(3)}, scale)
        return run, {k: max(0., longer[k]-first[k])/more for k in first}
    def shortened(self, f):
        def call(*args, root=None, **kw):
            bound = inspect.signature(f).bind(*args, **kw)
            bound.apply_defaults()
            a = {k: v for k, v in bound.arguments.items() if k != 'root'}
            rung = getattr(a.get('source'), 'rung', '')
            part = [str(a[k]) for k in ('block', 'probe') if a.get(k, -1) not in (-1, 'attention')]
            name = ' '.join(filter(None, [f.__name__, rung, a.get('variant', '').removeprefix('default'), *part]))
            if name in self.known: return self.known[name]
            asked, step, more, change = self.plan(a, rung)
            like = (f.__name__, rung, *(a.get(k) for k in DECIDE), *(bool(a.get(k)) for k in ('lam', 'kd')))
            if asked and like in self.alike:
                first, took, run = self.alike[like]
                said = f'{name} (taken as {first})'
            else:
                run, took = self.measured(f, a, asked, more, change)
                said = name
                if asked: self.alike[like] = (name, took, run)
            self.rows.append({'stage': said, **self.how.row(took, step, asked)})
            print(told(self.rows[-1]), flush=True)
            self.known[name] = run
            self.note(self.rows)
            return run
        return call

def rehearse(cfg, dataset, batches, only=(), how=None, note=lambda rows: None):
    "One row a stage of a scale, in the order of its notebooks (or of `only` these)."
    how = how or Timed()
    few = lambda d: Few(d, how.held_out)
    r = Rehearsal(few(get_data(dataset)), batches, how, note)
    for nb in graph.STAGES:
        if dataset not in graph.sets(cfg, nb) or only and nb not in only: continue
        book, ns = read(NBS/f'{nb}.ipynb'), {}
        exec(library(book), ns)
        for c in parameter_cells(book): exec(source(c), ns)
        ns |= graph.parameters(cfg, nb, dataset, 0, '')
        ns['get_data'] = lambda name, **kw: r.data if name == dataset else few(get_data(name, **kw))
        ns['record'] = lambda run, *_, **__: run.result
        stages = [k for k, v in ns.items() if 'root' in getattr(getattr(v, '__signature__', None), 'parameters', {})]
        ns |= {k: r.shortened(ns[k]) for k in stages}
        with without_evaluation():
            for c in book['cells']:
                if 'stage' in tags(c): exec(source(c), ns)
    return pd.DataFrame(r.rows)

# --- the page

def shown(x):
    if pd.isna(x): return ''
    return f'{x:,.0f}' if x >= 1000 or x == int(x) else f'{x:.3g}'

def table(rows, how):
    "The rows as Markdown, and what they sum up to."
    df = pd.DataFrame(rows)
    words = 'stage', 'a'
    cells = df.apply(lambda c: c if c.name in words else c.map(shown))
    sides = ['left' if c in words else 'right' for c in cells]
    text = cells.to_markdown(index=False, disable_numparse=True, colalign=sides)
    if not set(how.whole) <= set(df): return text
    sums = [f"{df[k].sum():,.1f} {' '.join(reversed(k.split(', ')))}" for k in how.whole]
    return f"{text}\n\n{' and '.join(sums)} in all, one stage after the other."

def of_a_card(r):
    "How the numbers of a counted table were made, and what they are to be held against."
    us, tera = (lambda k: f'{r[k]*1e6:.0f} µs'), (lambda k: f'{r[k]/1e12:,.3g} T')
    steps = '; '.join(f'{k} {v} ms' for k, v in r['steps'].items())
    return f"""Counted, not timed: for an {r['device']}, measured on {r['measured']}.
A step's launches are the operations that PyTorch dispatches in it, views left out; {us('launch')} each, *one by one*.
*Replayed* as a graph, each takes what is largest of {us('kernel')} (assumed), its bytes at {tera('memory')}B/s,
and its operations at {r['share']:.0%} (assumed) of the {tera('product')}FLOP/s of a large product.
Evaluations and checkpoints are left out, and so is what waits for the data.
Measured there, a step, eager: {steps}."""

def arguments(args, rates):
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('scale')
    p.add_argument('--batches', type=int, default=4)
    p.add_argument('--out', type=Path, help='a Markdown file')
    p.add_argument('--only', nargs='+', default=[], metavar='NOTEBOOK', choices=graph.STAGES,
                   help='such as 10_ladder (and what it needs)')
    p.add_argument('--count', nargs='?', const='h100', choices=rates, help='count, and say what this card would take')
    a = p.parse_args(args)
    cfg = graph.load(a.scale)
    sets, boxes = [[d for d in cfg['plan'] if (d in graph.BOXES) == b] for b in (False, True)]
    if not sets: p.error(f"{a.scale} is {', '.join(boxes)} alone: detection is not rehearsed yet")
    run = {nb for nb in graph.STAGES for d in sets if d in graph.sets(cfg, nb)}
    if a.only and not run & set(a.only): p.error(f"{a.scale} does not run {', '.join(a.only)}")
    if a.batches < 1: p.error('--batches must be at least 1')
    return a, cfg, sets, boxes

def main(args=None):
    rates = yaml.safe_load(RATES.read_text(encoding='utf-8'))
    a, cfg, sets, boxes = arguments(args, rates)
    where = provenance()
    how = Counted(rates[a.count]) if a.count else OnGPU() if torch.cuda.is_available() else Timed()
    out = a.out or ROOT/'build'/f'rehearsal-{a.scale}.md'
    head = [f'# First steps of the scale `{a.scale}`, and what the whole would take',
            of_a_card(rates[a.count]) if a.count else f"{where['device']}, {where['threads']} threads"]
    if boxes: head.append(f"Without {', '.join(boxes)}, since detection is not rehearsed yet.")
    parts = {}
    def write(dataset, rows):       # after each stage: a rehearsal that is killed leaves what it has
        parts[dataset] = f'## {dataset}\n\n{table(rows, how)}'
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text('\n\n'.join([*head, *parts.values()]) + '\n', encoding='utf-8')
    replayed = {'DFKD_GRAPHS': '0'} if a.count else {}      # what is replayed cannot be counted
    with tempfile.TemporaryDirectory() as tmp, patch.dict(os.environ, DFKD_RUNS=tmp, DFKD_SHIPPED='0', **replayed):
        for dataset in sets: rehearse(cfg, dataset, a.batches, a.only, how, partial(write, dataset))
    print(out.read_text(encoding='utf-8'))

if __name__ == '__main__': sys.exit(main())
