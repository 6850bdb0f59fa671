"""Speed as ratios, measured in one run: each training stage against this machine's matmul peak, and distillation
against the plain way of doing it. On a GPU each stage runs twice, as CUDA graphs and without.

    python benchmarks/throughput.py [--size digits|mnist|cifar] [--out DIR]
"""
import argparse, copy, io, json, os, statistics, subprocess, sys, tempfile, time
from collections import Counter
from contextlib import redirect_stderr, suppress
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch
import pandas as pd, torch, torch.nn.functional as F
from fastai.callback.core import CancelFitException
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry
from dfkd_nb import models
from dfkd_nb.data import *
from dfkd_nb.recipes import *
from dfkd_nb.models import *
from dfkd_nb.training import *
from dfkd_nb.probes import *
from dfkd_nb.gan import *
from dfkd_nb.distill import *
from dfkd_nb.runs import *

# recipes, timed steps (an even number)
SIZES = {'digits': ('digits', 40), 'mnist': ('mnist', 4), 'cifar': ('cifar10', 4)}
STAGES = ['teacher', 'cGAN unguided', 'cGAN guided', 'distillation, live teacher', 'distillation, cached teacher']
TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: .01, torch.float16: .01} # relative, of each loss
GPU = torch.cuda.is_available()
WARM = 12 if GPU else 1 # steps before the clock starts: graphs are recorded by then
GPU_STEPS = 40 # timed there, if not said

# --- what is measured with

class Flops(TorchDispatchMode):
    "Counts FLOPs by torch's formulas, for each dtype"
    def __init__(self):
        super().__init__()
        self.n = Counter()
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        count = flop_registry.get(func.overloadpacket)
        if count: self.n[args[0].dtype] += count(*args, **kwargs, out_val=out)
        return out

def rss(which):
    "A memory field of this process in bytes, 0 where there is no /proc"
    status = Path('/proc/self/status')
    if not status.exists(): return 0
    return next(int(line.split()[1])*1024 for line in status.read_text().splitlines() if line.startswith(which))

class Clock:
    """While open, times `steps` steps of whatever iterates over `Batches`; on request counts the FLOPs of two more;
    then ends the training"""
    def __init__(self, steps, warm=WARM, flops=False):
        self.steps,self.warm,self.at = steps,warm,[]
        self.memory,self.base = 0,rss('VmRSS')
        self.flops = Flops() if flops else None
    def __enter__(self):
        self.plain = plain = Batches.__iter__
        Batches.__iter__ = lambda batches: self.watch(plain(batches))
        self.quiet = redirect_stderr(io.StringIO()) # no progress bars
        self.quiet.__enter__()
        return self
    def __exit__(self, kind, *_):
        self.quiet.__exit__(None, None, None)
        Batches.__iter__ = self.plain
        return kind is CancelFitException
    def watch(self, batches): # the next batch is asked for when a step is done
        for i, batch in enumerate(batches):
            if GPU: torch.cuda.synchronize()
            if i == self.warm: # the peak so far is the set-up's
                if GPU: torch.cuda.reset_peak_memory_stats()
                with suppress(OSError): Path('/proc/self/clear_refs').write_text('5')
            self.at.append(time.perf_counter())
            if i == self.warm+self.steps:
                self.memory = torch.cuda.max_memory_allocated() if GPU else rss('VmHWM')-self.base
                if not self.flops: raise CancelFitException
                self.flops.__enter__()
            if i == self.warm+self.steps+2:
                self.flops.__exit__(None, None, None)
                raise CancelFitException
            yield batch
    @property
    def times(self): # seconds, one a step
        at = self.at[self.warm:self.warm+self.steps+1]
        return [b-a for a,b in zip(at, at[1:])]

def peak(dtype):
    "FLOP/s of a large matrix product, the best of some"
    n, device, best = 8192 if GPU else 3072, pick_device(), float('inf')
    a, b = (torch.randn(n, n, device=device).to(dtype) for _ in range(2))
    for _ in range(5):
        start = time.perf_counter()
        a @ b
        if device.type == 'cuda': torch.cuda.synchronize()
        best = min(best, time.perf_counter()-start)
    return 2*n**3/best

# --- 1. the stages, as the library runs them

def recipes(size):
    "Settings of the three trainings at this size; numbers of epochs and images are ours"
    name = SIZES[size][0]
    drop = lambda r: {'bs': 64, **{k: v for k,v in r.items() if k not in ('epochs', 'n_images')}}
    return [drop(r) for r in (teacher_recipe(name), recipe_for(name, 'generator'), recipe_for(name, 'student'))]

def images(size, steps):
    "Random images and labels in the shape of this size, enough for the steps"
    a, n = MODELS[recipes(size)[0]['model']], max(r['bs'] for r in recipes(size))*(WARM+steps+3)
    gen = torch.Generator().manual_seed(0)
    def make(n):
        shape = n, a['in_chans'], a['img_size'], a['img_size']
        x = torch.randint(0, 256, shape, dtype=torch.uint8, generator=gen)
        return x, torch.randint(0, 10, (n,), generator=gen)
    return ImageData('random', {'train': make(n), 'valid': make(64), 'test': make(64)}, range(10))

def owner(size, data, root):
    "A teacher of one step, and its probes; loaded when they are there"
    with Clock(0, 1): teacher = train_teacher(data, epochs=1, root=root, **recipes(size)[0])
    return teacher, class_probes(data, teacher, root=root)

class Recorded:
    "While open, notes what was recorded as a CUDA graph, and what could not be"
    def __enter__(self):
        self.used, self.plain = [], {c: c.record for c in (Pass, Graphed)}
        for c, record in self.plain.items(): c.record = self.noted(record)
        return self
    def noted(self, record):
        def f(it, *args):
            result = record(it, *args)
            self.used.append(it.why or 'graphs')
            return result
        return f
    def __exit__(self, *_):
        for c, record in self.plain.items(): c.record = record
    @property
    def said(self):
        if not GPU: return None
        if not use_graphs(): return 'eager'
        return '; '.join(dict.fromkeys(self.used)) or 'eager: nothing was recorded'

def run_stage(name, size, steps, root):
    """Time, FLOPs (without graphs, which PyTorch cannot count in) and memory of one stage, to be measured in a process
    of its own"""
    own, (teacher, gan, kd) = tempfile.mkdtemp(dir=root), recipes(size)
    clock = Clock(steps, flops=not use_graphs())
    data = images(size, steps)
    if name != 'teacher': T, probes = owner(size, data, root)
    if name == 'teacher': recipe = teacher
    elif name.startswith('cGAN'): recipe = gan | ({'lam': 0.} if name == 'cGAN unguided' else {})
    else: recipe = kd | ({'augment': 'none'} if name.endswith('cached teacher') else {})
    with clock, Recorded() as recorded:
        if name == 'teacher': train_teacher(data, epochs=1, root=own, **recipe)
        elif name.startswith('cGAN'): train_generator(data, T, probes, epochs=1, root=own, **recipe)
        else: distill(T, RealSource(data), data, epochs=1, root=own, **recipe)
    bs = recipe['bs']
    pairs = [a+b for a,b in zip(clock.times[::2], clock.times[1::2])] # a probe may be taken every second step
    flops = {str(k).split('.')[1]: v/2/bs for k,v in clock.flops.n.items()} if clock.flops else {}
    return {'stage': name, 'bs': bs, 'images_per_s': 2*bs/statistics.median(pairs), 'memory': clock.memory,
            'flops_per_image': flops, 'graphs': recorded.said}

def alone(name, size, steps, root, graphs):
    "One stage in a process of its own"
    call = [sys.executable, __file__, '--size', size, '--steps', str(steps), '--stage', name, '--root', root]
    got = subprocess.run(call, capture_output=True, text=True, env=os.environ | {'DFKD_GRAPHS': str(int(graphs))})
    if got.returncode: raise SystemExit(got.stderr)
    return json.loads(got.stdout.splitlines()[-1])

def stages(names, size, steps):
    "All stages, each in a fresh process; on a GPU in one more, as CUDA graphs"
    rows, peaks = [], {}
    with tempfile.TemporaryDirectory() as root:
        owner(size, images(size, steps), root)
        for name in names:
            say(f'stage: {name}')
            row = alone(name, size, steps, root, graphs=False)
            for d in row['flops_per_image']: peaks[d] = peaks.get(d) or peak(getattr(torch, d))
            seconds = sum(v/peaks[d] for d,v in row['flops_per_image'].items()) # an image, at the peak
            row['share_of_peak'] = row['images_per_s']*seconds
            rows.append(row)
            if not GPU: continue
            again = alone(name, size, steps, root, graphs=True)
            share = again['images_per_s']*seconds
            rows.append({**again, 'flops_per_image': row['flops_per_image'], 'share_of_peak': share})
    return rows, peaks

# --- 2. both precisions, whichever the library chooses here

def trains(net, x, tokens=models._FEW_TOKENS):
    "A training pass, as a function; attention by plain products up to so many tokens, where the library takes those"
    def once():
        with patch.object(models, '_FEW_TOKENS', tokens): net(x).sum().backward()
    return once

def precisions(size, bs=16, repeat=5):
    "Images/s of a training pass, forward and back, of teacher and student"
    teacher, _, kd = recipes(size)
    rows = []
    for name in (teacher['model'], kd['student']):
        a = MODELS[name]
        stats = {k: [.5]*a['in_chans'] for k in ('mean', 'std')}
        x = torch.rand(bs, a['in_chans'], a['img_size'], a['img_size'], device=pick_device())
        nets = {str(d).split('.')[1]: Pass(create_classifier(name, 10, stats).to(x.device), d).train()
                for d in (torch.float32, torch.bfloat16)}
        ways = {k: trains(net, x) for k,net in nets.items()}
        if not GPU: ways['fused'] = trains(nets['bfloat16'], x, tokens=0)
        times = latency(ways, repeat)
        chosen = str(pick_dtype(nets['float32'].model.width)).split('.')[1]
        speed = {k: 1000*bs/t['p50'] for k,t in times.items()}
        fused = speed.pop('fused', None)
        rows.append({'model': name, 'bs': bs, 'chosen': chosen, 'images_per_s': speed, 'fused_images_per_s': fused})
    return rows

# --- 3. distillation, against the plain way

class Plain:
    """The plain way: full attention maps of every block by forward hooks, fused attention off, the teacher asked in
    each step"""
    def __init__(self, T, S):
        self.T,self.S,self.maps = copy.deepcopy(T),copy.deepcopy(S),{}
        for m in (self.T, self.S):
            for block in m.net.blocks:
                block.attn.fused_attn = False
                block.attn.attn_drop.register_forward_hook(lambda _, args, out, m=m: self.maps[m].append(out))
    def ask(self, m, x):
        self.maps[m] = []
        with autocast(pick_dtype(m.width, x.device), x.device): logits = m(x).float()
        return logits, self.maps[m][-1].mean(1)[:,0,1:].float() # (n,heads,T,T) -> (n,N)
    def losses(self, x, y):
        with torch.no_grad(): tl, tp = self.ask(self.T, x)
        sl, sp = self.ask(self.S, x)
        return {'kd': soft_kl(sl, tl), 'ce': F.cross_entropy(sl, y), 'patch': probe_loss(sp, tp)}
    def train(self, batches, lr):
        opt = torch.optim.AdamW(self.S.parameters(), lr, weight_decay=.05, fused=True)
        for x, y in batches:
            opt.zero_grad()
            sum(self.losses(x, y).values()).backward()
            torch.nn.utils.clip_grad_norm_(self.S.parameters(), 1.)
            opt.step()

def our_losses(T, S, x, y):
    "The library's losses of one batch, live teacher"
    cb = Distill(T, S, kd=1., ce=1., patch=1.)
    cb.learn = SimpleNamespace(xb=(x,), yb=(y,))
    cb.before_batch()
    with cb.ps:
        with autocast(pick_dtype(S.width, x.device), x.device): pred = S(x)
        cb.loss(pred.float(), *cb.learn.yb)
    return {k: v for k,v in cb.learn.parts.items() if k != 'loss'}

def pair_of(size, x):
    "Teacher and student, far enough from zero that the losses say something"
    teacher, _, kd = recipes(size)
    seed_all('benchmark')
    stats, device = channel_stats(x), pick_device()
    T, S = (create_classifier(m, 10, stats).to(device) for m in (teacher['model'], kd['student']))
    T.eval().requires_grad_(False)
    with torch.no_grad():
        for p in (*T.parameters(), *S.parameters()):
            if p.ndim > 1: p.mul_(3)
    return T, S

def same_losses(plain, T, S, x, y):
    "The losses of one batch, the plain way and ours, and the largest relative difference; ends where it is too large"
    a, c = plain.losses(x, y), our_losses(T, S, x, y)
    off = max(abs(a[k]-c[k]).item()/abs(a[k]).item() for k in a)
    if off > max(TOLERANCE[pick_dtype(m.width, x.device)] for m in (T, S)):
        raise SystemExit(f'the plain way and ours do not compute the same losses: {a} and {c}')
    values = lambda losses: {k: v.item() for k,v in losses.items()}
    return {'plain': values(a), 'live': values(c)}, off

def compare(size, steps, rounds):
    "Plain, cached and live in turns; ratios within each round, their median over rounds"
    (teacher, _, kd), data = recipes(size), images(size, steps)
    (x, y), device, bs = data.read('train'), pick_device(), kd['bs']
    T, S = pair_of(size, x)
    plain = Plain(T, S)
    losses, off = same_losses(plain, T, S, to_unit(x[:bs].to(device)), y[:bs].to(device))
    dtypes = [str(pick_dtype(m.width, device)).split('.')[1] for m in (T, S)]
    def ours(live, *targets):
        cb = Distill(T, S, kd=1., ce=1., patch=1., live=live)
        with tempfile.TemporaryDirectory() as root:
            fit(Run('student', {}, root), S, Batches(x, y, *targets, bs=bs), cb.loss, accuracy_on(x[:8], y[:8]), 1,
                kd['lr'], cbs=[cb], also=cb.also)
    def fill(x): # as `distill` does
        cb, start = Distill(T, S), time.perf_counter()
        rows = [cb.ask(to_unit(b.to(device))) for b in x.split(512)]
        if device.type == 'cuda': torch.cuda.synchronize()
        return [torch.cat(r) for r in zip(*rows)], (time.perf_counter()-start)/len(x)
    targets, _ = fill(x)
    ways = {'plain': lambda: plain.train(Batches(x, y, bs=bs), kd['lr']),
            'cached': lambda: ours(False, *targets), 'live': lambda: ours(True)}
    times = {**{w: [] for w in ways}, 'fill': []} # seconds an image
    for i in range(rounds+1):
        say(f'distillation: round {i} of {rounds}' + (' (warm-up)' if not i else ''))
        for w, train in ways.items():
            with Clock(steps) as clock: train()
            times[w].append(sum(clock.times)/steps/bs)
        times['fill'].append(fill(x[:512])[1])
    times = {w: t[1:] for w,t in times.items()}
    mid = {w: statistics.median(t) for w,t in times.items()}
    ratios = {w: [p/t for p,t in zip(times['plain'], times[w])] for w in ways}
    epochs = lambda w: mid['fill']/(mid[w]-mid['cached']) if mid[w] > mid['cached'] else None
    return {'teacher': teacher['model'], 'student': kd['student'], 'bs': bs, 'dtypes': dtypes,
            'rounds': rounds, 'steps': steps, 'images_per_s': {w: 1/t for w,t in mid.items()},
            'ratio_to_plain': {w: statistics.median(r) for w,r in ratios.items()}, 'ratios': ratios,
            'losses': losses, 'largest_relative_difference': off,
            'break_even_epochs': {'against live': epochs('live'), 'against plain': epochs('plain')}}

# --- the report

def say(text): print(f'… {text}', file=sys.stderr, flush=True)

def row_of_report(s):
    "A stage's row"
    flops = sum(s['flops_per_image'].values())
    return {'stage': s['stage'], **({'as': s['graphs']} if s.get('graphs') else {}),
            'precision': ' + '.join(sorted(s['flops_per_image'])), 'batch': s['bs'],
            'images/s': f"{s['images_per_s']:,.0f}", 'MFLOP per image': f'{flops/1e6:,.0f}',
            'share of peak': f"{s['share_of_peak']:.0%}", 'memory (MiB)': f"{s['memory']/2**20:,.0f}"}

WAYS = {'plain': 'a. plain: full attention maps, live teacher', 'cached': 'b. ours, cached teacher',
        'live': 'c. ours, live teacher'}

def row_of_way(w, d):
    "A row of the comparison"
    ratios = d['ratios'][w]
    return {'way': WAYS[w], 'images/s': f"{d['images_per_s'][w]:,.0f}",
            'ratio to plain (median)': f"{d['ratio_to_plain'][w]:.2f}",
            'range over rounds': f'{min(ratios):.2f} … {max(ratios):.2f}'}

def report(r):
    "The results as Markdown"
    p, lines = r['provenance'], []
    add = lambda *text: lines.extend([*text, ''])
    versions = ', '.join(f'{k} {v}' for k,v in p['versions'].items() if k in ('torch', 'timm', 'fastai'))
    add(f"# Throughput, size {r['size']}",
        f"{p['device']}, threads: {p['threads']}, {versions}. Random images. How to read this: benchmarks/README.md.")
    if rows := r['stages']:
        peaks = ', '.join(f'{v/1e9:,.0f} GFLOP/s in {d}' for d,v in r['peak_flops'].items())
        add('## Stages', f'Peak of a matrix product: {peaks}.')
        add(pd.DataFrame(map(row_of_report, rows)).to_markdown(index=False))
    if both := r.get('precision'):
        add('## Both precisions', f"A training pass, forward and back, {both[0]['bs']} images, in turns.")
        def speed(b):
            every = b['images_per_s'] | {'bfloat16 with fused attention': b['fused_images_per_s']}
            return {f'{k}, images/s': f'{v:,.0f}' for k,v in every.items() if v}
        rows = [{'model': b['model'], **speed(b), 'chosen': b['chosen']} for b in both]
        add(pd.DataFrame(rows).to_markdown(index=False))
    d = r['distillation']
    (a, b), even = d['dtypes'], d['break_even_epochs']
    add('## Distillation against the plain way',
        f"{d['teacher']} ({a}) to {d['student']} ({b}), batch {d['bs']}; {d['rounds']} rounds of {d['steps']} steps "
        'each, in turns.')
    add(pd.DataFrame([row_of_way(w, d) for w in WAYS]).to_markdown(index=False, disable_numparse=True))
    paid = ', '.join(f'{v:.2f} epochs {k}' if v else f'no epochs {k}' for k,v in even.items())
    add('Same batch, same weights: largest relative difference of the losses of a and c '
        f"{d['largest_relative_difference']:.1e}.",
        f"The cache is filled at {d['images_per_s']['fill']:,.0f} images/s; it has paid after {paid}.")
    return '\n'.join(lines)

def main(args=None):
    "Run the benchmark; returns the results"
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--size', choices=SIZES, default='mnist')
    p.add_argument('--steps', type=int, help='timed steps, an even number')
    p.add_argument('--rounds', type=int, default=7, help='of the comparison, half as many steps each')
    p.add_argument('--stages', nargs='*', choices=STAGES, default=STAGES, help='which to measure')
    p.add_argument('--out', type=Path, help='folder for NAME.md and NAME.json')
    p.add_argument('--name', default='throughput')
    p.add_argument('--stage', help=argparse.SUPPRESS)
    p.add_argument('--root', help=argparse.SUPPRESS)
    a = p.parse_args(args)
    a.steps = a.steps or (GPU_STEPS if GPU else SIZES[a.size][1])
    if a.stage: return print(json.dumps(run_stage(a.stage, a.size, a.steps, a.root)))
    rows, peaks = stages(a.stages, a.size, a.steps) if a.stages else ([], {})
    r = {'size': a.size, 'provenance': provenance(), 'peak_flops': peaks, 'stages': rows,
         'precision': precisions(a.size), 'distillation': compare(a.size, a.steps//2, a.rounds)}
    text = report(r)
    print(text)
    if a.out:
        write_atomic(a.out/f'{a.name}.md', text)
        write_atomic(a.out/f'{a.name}.json', json.dumps(r, indent=1)+'\n')
    return r

if __name__ == '__main__': main()
