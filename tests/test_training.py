"Training: graphs as far as a CPU can tell, what long training adds, what is refused."
import contextlib
from functools import partialmethod
import pytest, torch
from torch import nn
from torch.utils._pytree import tree_leaves
from dfkd_nb import training
from dfkd_nb.checks import NotFinite
from dfkd_nb.distill import Distill
from dfkd_nb.data import *
from dfkd_nb.models import *
from dfkd_nb.training import *
from dfkd_nb.runs import *
from dfkd_nb.runs import weights_hash

DATA = get_data('digits')
FEW = ImageData('few', {s: tuple(t[:300] for t in DATA.read(s)) for s in ('train', 'valid', 'test')}, range(10))

# --- precision follows the processor

@pytest.mark.parametrize('amx, wide', [(True, torch.bfloat16), (False, torch.float32)])
def test_bfloat16_where_there_is_amx(monkeypatch, amx, wide):
    cpu = torch.device('cpu')
    monkeypatch.setattr(torch.cpu, '_is_amx_tile_supported', lambda: amx)
    monkeypatch.setattr(torch.cpu, '_is_avx512_bf16_supported', lambda: True)
    assert pick_dtype(512, cpu) == pick_dtype(128, cpu) == pick_dtype(0, cpu, 320*256) == wide
    assert pick_dtype(96, cpu) == pick_dtype(0, cpu, 32*32) == torch.float32

def test_a_torch_that_cannot_tell(monkeypatch):
    monkeypatch.delattr(torch.cpu, '_is_amx_tile_supported')
    assert pick_dtype(512, torch.device('cpu')) == torch.float32

# --- CUDA graphs, with a CUDA that is played

class Recording:
    "Stands in for a CUDA graph: a replay computes the step once more from its inputs, into its results"
    def replay(self):
        step, inputs, result = self.again
        for old, new in zip(tree_leaves(result), tree_leaves(step(*inputs))): old.copy_(new)

@pytest.fixture
def cuda(monkeypatch):
    "A CUDA whose streams do nothing and whose graphs compute anew; notes what was asked of it"
    said = []
    class Stream:
        def wait_stream(self, other): said.append('wait')
    monkeypatch.setattr(training, 'use_graphs', lambda device=None: True)
    fakes = dict(current_stream=Stream, Stream=Stream, CUDAGraph=Recording, set_stream=lambda s: said.append('stream'),
                 get_rng_state=lambda d: torch.get_rng_state(), set_rng_state=lambda s, d: torch.set_rng_state(s))
    for name,f in fakes.items(): monkeypatch.setattr(torch.cuda, name, f)
    monkeypatch.setattr(torch.cuda, 'stream', lambda s: contextlib.nullcontext(said.append('aside')))
    @contextlib.contextmanager
    def graph(g):
        said.append('record')
        yield
    record = Graphed.record
    def remembered(self, kind, step, tensors):
        done = record(self, kind, step, tensors)
        if done: self.graphs[kind][0].again = step, *self.graphs[kind][1:]
        return done
    monkeypatch.setattr(Graphed, 'record', remembered)
    monkeypatch.setattr(torch.cuda, 'graph', graph)
    return said

def doubled(**kw): return Graphed(lambda a: {'twice': 2*a}, **kw)

def test_three_calls_then_recorded_then_replayed(cuda):
    once = doubled()
    given = [once(torch.full((3,), float(i)))['twice'] for i in range(7)]
    assert [g[0].item() for g in given] == [0, 2, 4, 6, 8, 10, 12]         # each is the caller's, none is overwritten
    assert cuda.count('aside') == 3 and cuda.count('record') == 1 and len(once.graphs) == 1

def test_kinds_are_told_apart(cuda):
    once = doubled()
    for _ in range(5):
        for x in (torch.ones(3), torch.ones(4), torch.ones(3, dtype=torch.float64)):
            assert once(x)['twice'].equal(2*x)
        with torch.no_grad(): once(torch.ones(3))
        once(torch.ones(3), key='guided')
    assert len(once.graphs) == 5 and cuda.count('record') == 5

def test_no_more_graphs_than_are_kept(cuda, monkeypatch):
    monkeypatch.setattr(Graphed, 'most', 2)
    once = doubled()
    for _ in range(6):
        for n in range(1, 5): assert len(once(torch.ones(n))['twice']) == n
    assert len(once.graphs) == 2

def test_what_cannot_be_recorded_runs_as_it_is(cuda, monkeypatch):
    def broken(g): raise RuntimeError('operation not permitted when stream is capturing\nand more')
    monkeypatch.setattr(torch.cuda, 'graph', broken)
    w = nn.Parameter(torch.ones(2))
    opt = torch.optim.Adam([w])
    once = doubled(name='gan step', optimizers=[opt])
    assert [once(torch.ones(1)*i)['twice'].item() for i in range(6)] == [0, 2, 4, 6, 8, 10]
    assert once.why == 'gan step: operation not permitted when stream is capturing' and 'stream' in cuda

def test_open_autocast_is_not_recorded(cuda, monkeypatch):
    monkeypatch.setattr(torch, 'is_autocast_enabled', lambda kind=None: True)
    once = doubled()
    for _ in range(5): once(torch.ones(1))
    assert 'autocast is open' in once.why and not once.graphs

def test_optimisers_are_made_capturable(cuda):
    w = nn.Parameter(torch.ones(2))
    opt = torch.optim.Adam([w], fused=True)
    w.sum().backward()
    once = doubled(optimizers=[opt])
    for _ in range(4): once(torch.ones(1))
    assert opt.param_groups[0]['capturable'] and w.grad is None

def test_an_error_of_the_step_is_raised(cuda):
    def step(a): raise ValueError('images of 3 channels')
    with pytest.raises(ValueError, match='3 channels'): Graphed(step)(torch.ones(1))

def test_key_reaches_a_step_that_takes_it():
    assert Graphed(lambda a, key: a*key)(torch.ones(1), key=3).item() == 3

@pytest.mark.parametrize('value, graphs', [(None, True), ('1', True), ('0', False)])
def test_switch(monkeypatch, value, graphs):
    monkeypatch.delenv('DFKD_GRAPHS', raising=False)
    if value: monkeypatch.setenv('DFKD_GRAPHS', value)
    assert use_graphs(torch.device('cuda')) == graphs and not use_graphs(torch.device('cpu'))

# --- the training pass

def played(f, args, allow_unused_input=False):
    """Stands in for make_graphed_callables: warms up three times, then computes at a fixed place

    Hooks fire in neither replay.
    """
    place = args[0]
    for _ in range(3): torch.autograd.grad([o.sum() for o in tree_leaves(f(*args))], args[1:], allow_unused=True)
    def run(x, *weights):
        place.copy_(x)
        return f(place, *weights)
    return run

@pytest.fixture
def recorded(cuda, monkeypatch):
    calls = []
    def make(f, args, **kw):
        calls.append(args[0].shape)
        return played(f, args, **kw)
    monkeypatch.setattr(torch.cuda, 'make_graphed_callables', make)
    return calls

def small(**kw):
    return create_classifier('vit_digits_student', 10, {'mean': [.5], 'std': [.3]}, embed_dim=16, depth=1, **kw)

def ten_steps(tmp_path, **kw):
    seed_all('ten steps')
    net = small(proj_drop_rate=.2, drop_path_rate=.2)
    net.net.norm = nn.Sequential(net.net.norm, nn.LayerNorm(16))
    run = Run('teacher', {'model': 'ten steps'}, tmp_path)
    x, y = DATA.read('test')
    fit(run, net, Batches(x, y, bs=36), nn.CrossEntropyLoss(), lambda m: {}, 2, 1e-3, cbs=[Augment('strong'), Mix(10)],
        ema=.9, **kw)
    return run.log, weights_hash(net.state_dict())

def test_recorded_takes_the_same_course(recorded, tmp_path, monkeypatch):
    with_graphs = ten_steps(tmp_path/'a')
    assert recorded == [(36, 1, 16, 16)]                   # once, at the first batch
    monkeypatch.setattr(training, 'use_graphs', lambda device=None: False)
    assert ten_steps(tmp_path/'b') == with_graphs and len(recorded) == 1

def test_other_shapes_and_evaluation_run_as_they_are(recorded):
    net = Pass(small()).train()
    x = torch.rand(4, 1, 16, 16)
    assert net(x).shape == (4, 10) and net(x[:3]).shape == (3, 10) and len(recorded) == 1
    assert net.eval()(x).shape == (4, 10)
    with torch.no_grad(): assert net.train()(x).shape == (4, 10)
    assert len(recorded) == 1 and not net.why

def test_running_means_are_left_alone(recorded):
    clf = small()
    clf.net.patch_embed.proj = nn.Sequential(clf.net.patch_embed.proj, nn.BatchNorm2d(16))
    net = Pass(clf).train()
    net(torch.rand(4, 1, 16, 16))
    assert clf.net.patch_embed.proj[1].num_batches_tracked == 1         # of the one real pass

def test_distillation_takes_the_same_course(recorded, cuda, tmp_path, monkeypatch):
    def course(where):
        seed_all('distil')
        T, S, (x, y) = small().eval().requires_grad_(False), small(), DATA.read('test')
        cb, run = Distill(T, S, kd=1., ce=.5, patch=1., mixup=1.), Run('student', {'model': 'played'}, tmp_path/where)
        fit(run, S, Batches(x, y, bs=36), cb.loss, lambda m: {}, 2, 1e-3, cbs=[Augment('affine'), cb], also=cb.also)
        return run.log, weights_hash(S.state_dict())
    with_graphs = course('a')
    assert recorded == [(36, 1, 16, 16)] and cuda.count('record') == 1      # the student's pass; the teacher's answers
    monkeypatch.setattr(training, 'use_graphs', lambda device=None: False)
    assert course('b') == with_graphs

def test_hooks_must_be_named(recorded):
    clf, kept = small(), {}
    clf.net.blocks[0].register_forward_hook(lambda m, a, o: kept.update(o=o))
    net = Pass(clf).train()
    net(torch.rand(2, 1, 16, 16))
    assert 'hooks' in net.why and not recorded
    net = Pass(clf, also=lambda: (kept['o'].mean(1),)).train()
    logits, row = net(torch.rand(2, 1, 16, 16))
    assert logits.shape == (2, 10) and row.shape == (2, 16) and len(recorded) == 1

def test_a_pass_that_cannot_be_recorded(cuda, monkeypatch, tmp_path):
    def make(*a, **kw): raise RuntimeError('no CUDA here')
    monkeypatch.setattr(torch.cuda, 'make_graphed_callables', make)
    net = Pass(small()).train()
    assert net(torch.rand(2, 1, 16, 16)).shape == (2, 10) and net.why == 'no CUDA here' and 'stream' in cuda

def test_run_says_how(monkeypatch, tmp_path):
    t = train_teacher(DATA, model='vit_digits_student', epochs=1, root=tmp_path)
    assert 'graphs' in (t.path/'run.json').read_text() and graphs_used(t) is None
    net = Pass(small())
    monkeypatch.setattr(training, 'pick_device', lambda: torch.device('cuda'))
    assert net.used == 'cuda graphs' and Graphed(lambda a: a).used == 'eager: step: too few steps'
    net.why = 'several processes'
    assert net.used == 'eager: several processes'
    monkeypatch.setenv('DFKD_GRAPHS', '0')
    assert net.used == Graphed(lambda a: a).used == 'eager: DFKD_GRAPHS=0'

# --- long training

LONG = dict(model='vit_digits_student', epochs=3, bs=100, augment='strong', mix=True, drop_path=.1, ema=.9, warmup=.05,
            smoothing=.1)

@pytest.mark.parametrize('optimizer', OPTIMIZERS)
def test_killed_long_training_ends_the_same(tmp_path, monkeypatch, optimizer):
    monkeypatch.setattr(Run, 'epochs', partialmethod(Run.epochs, every=0.))
    whole = train_teacher(FEW, optimizer=optimizer, root=tmp_path/'whole', **LONG)
    class Stop(KeyboardInterrupt): pass
    steps, was = [], training.Clip.before_step
    def stops(self):
        steps.append(1)
        if len(steps) == 5: raise Stop
        was(self)
    monkeypatch.setattr(training.Clip, 'before_step', stops)
    with pytest.raises(Stop): train_teacher(FEW, optimizer=optimizer, root=tmp_path/'killed', **LONG)
    again = train_teacher(FEW, optimizer=optimizer, root=tmp_path/'killed', **LONG)
    assert again.result == whole.result and len(steps) == 5+6      # it went on from a checkpoint

def test_average_is_the_average(tmp_path):
    seen, net = [], small()
    class Watch(training.Callback):
        order = 59
        def after_step(self): seen.append(unwrap(self.learn.model).net.head.weight.detach().clone())
    x, y = DATA.read('test')
    first = net.net.head.weight.detach().clone()
    fit(Run('t', {}, tmp_path), net, Batches(x, y, bs=90), nn.CrossEntropyLoss(), lambda m: {}, 2, 1e-3, cbs=[Watch()],
        ema=.8)
    mean = first
    for t, w in enumerate(seen, 1): mean = mean.lerp(w, 1-min(.8, (1+t)/(10+t)))
    torch.testing.assert_close(net.net.head.weight.detach(), mean)

def test_muon_is_for_matrices():
    seed_all('muon')
    net = small()
    opt = MuonAdamW(net.parameters(), lr=.02)
    muon, adamw = opt.parts
    assert {p.ndim for g in muon.param_groups for p in g['params']} == {2}
    assert 2 not in {p.ndim for g in adamw.param_groups for p in g['params']}
    x, y = to_unit(torch.randint(0, 256, (64, 1, 16, 16), dtype=torch.uint8)), torch.randint(0, 10, (64,))
    losses = []
    for _ in range(20):
        loss = nn.functional.cross_entropy(net(x), y)
        opt.zero_grad()
        loss.backward()
        opt.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]-.3
    with pytest.raises(ValueError, match="take 'adamw'"): MuonAdamW(nn.LayerNorm(4).parameters())

def test_strong_views():
    for shape in ((1, 1, 8, 8), (5, 3, 32, 32), (3, 1, 12, 20), (2, 4, 9, 7)):
        x = torch.rand(shape)
        torch.manual_seed(1)
        a = augment(x, 'strong')
        torch.manual_seed(1)
        b = augment(x, 'strong')
        assert a.shape == x.shape and a.equal(b)
        assert a.isfinite().all() and a.min() >= 0 and a.max() <= 1
    one = torch.rand(1, 3, 16, 16).expand(64, -1, -1, -1)
    assert len({tuple(v.flatten().tolist()) for v in augment(one, 'strong')}) == 64     # each image in its own way

# --- the loop

def test_nothing_but_ours_is_called_back(tmp_path):
    names = []
    class Look(training.Callback):
        def before_fit(self): names.extend(type(c).__name__ for c in self.learn.cbs)
    x, y = DATA.read('test')
    fit(Run('t', {}, tmp_path), small(), Batches(x, y, bs=90), nn.CrossEntropyLoss(), lambda m: {}, 1, 1e-3,
        cbs=[Look()])
    assert sorted(names) == ['Clip', 'Curve', 'Look', 'ParamScheduler', 'Resume', 'TrainEvalCallback']

def test_order_of_batches_is_the_seeds():
    seed_all('order')
    a = torch.randperm(30)
    seed_all('order')
    got = torch.cat([y for _, y in Batches(torch.zeros(30, 1, 2, 2), torch.arange(30), bs=10)])
    assert got.equal(a)

REFUSED = [
    ({'bs': 5000}, 'choose bs up to 1257'),
    ({'bs': 0, 'model': 'resnet18'}, 'bs must be at least 1'),
    ({'augment': 'nope'}, 'augment must be one of'),
    ({'optimizer': 'sgd'}, "optimizer must be 'adamw' or 'muon'"),
    ({'ema': 1.}, 'ema must be below 1'),
    ({'drop_path': -.1}, 'drop_path must be at least 0'),
    ({'drop_path': .1, 'model': 'torchvision:vit_b_16'}, 'no stochastic depth'),
    ({'patch_drop': 1.}, 'patch_drop must be below 1'),
    ({'patch_drop': .5, 'model': 'resnet18'}, 'no patches that could be left out'),
    ({'smoothing': 2.}, 'smoothing must be at most 1'),
    ({'warmup': 1.}, 'warmup must be below 1'),
    ({'lr': float('inf')}, 'lr must be'),
    ({'epochs': 0}, 'epochs must be at least 1'),
    ({'model': 'vit_rgb_teacher'}, 'takes images of 3 channel.* the data have 1'),
    ({'recipe': '../x'}, 'recipe must be a name'),
]

@pytest.mark.parametrize('change, says', REFUSED, ids=lambda v: v if isinstance(v, str) else ' '.join(v))
def test_what_is_refused(tmp_path, change, says):
    with pytest.raises(ValueError, match=says) as e: train_teacher(DATA, root=tmp_path, **change)
    assert '\n' not in str(e.value)
    assert not list(tmp_path.rglob('result.json')) and not list(tmp_path.rglob('*.safetensors'))

def test_batches_are_shared_evenly(monkeypatch):
    monkeypatch.setenv('WORLD_SIZE', '2')
    with pytest.raises(ValueError, match='choose bs as a multiple of 2'): check_batch(63)

def test_a_class_without_an_image(tmp_path):
    x, y = DATA.read('test')
    data = ImageData('gap', {'train': (x[y != 3], y[y != 3]), 'valid': (x, y), 'test': (x, y)}, range(10))
    with pytest.raises(ValueError, match='no image in train of 1 of 10 classes'): train_teacher(data, root=tmp_path)

def test_a_loss_that_is_no_number(tmp_path):
    x, y = DATA.read('test')
    with pytest.raises(NotFinite, match='epoch 1'):
        fit(Run('t', {}, tmp_path), small(), Batches(x, y, bs=90), lambda p, y: p.sum()*float('nan'), lambda m: {}, 2,
            1e-3)
