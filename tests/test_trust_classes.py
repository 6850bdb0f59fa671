"Classes, generators and students: what would end as NaN, or as a run that means nothing"
import json, shutil
from types import SimpleNamespace
import numpy as np, pytest, torch
from hypothesis import given, settings, strategies as st
from PIL import Image
from dfkd_nb.checks import NotFinite
from dfkd_nb.data import ImageData, NoiseSource, get_data
from dfkd_nb.distill import Distill, check_pair, distill
from dfkd_nb.gan import GanSource, class_spread, health, train_generator
from dfkd_nb.drawn import DrawnSource, choose_kinds, drawn_pictures, toned
from dfkd_nb.inversion import Inversion, choose_look, invert, read_terms, select_by_probes
from dfkd_nb.models import create_classifier
from dfkd_nb.probes import class_probes
from dfkd_nb.runs import Run, save_tree
from dfkd_nb.training import train_teacher

NAN, INF = float('nan'), float('inf')

def images(n, k=3, chans=1, size=16, seed=0):
    "n images of k classes, each class a shade of grey"
    rng = np.random.default_rng(seed)
    y = np.arange(n) % k
    x = (rng.integers(0, 60, (n, chans, size, size))+60*y[:, None, None, None]).astype('u1')
    return x, y

def data_of(y, k=3, name='toy', **kw):
    x, _ = images(len(y), k, **kw)
    held = images(3*k, k, **kw)
    return ImageData(name, {'train': (x, np.asarray(y)), 'valid': held, 'test': held}, [f'class {i}' for i in range(k)])

@pytest.fixture(scope='session')
def chain(tmp_path_factory):
    "A teacher, its probes and a generator, of seconds"
    root = tmp_path_factory.mktemp('chain')
    data = data_of(np.arange(48) % 3)
    teacher = train_teacher(data, model='vit_digits_student', epochs=1, bs=16, augment='none', root=root)
    probes = class_probes(data, teacher, root=root)
    small = dict(epochs=1, bs=16, widths=(8, 4), d_widths=(4, 8), z=4)
    generator = train_generator(data, teacher, probes, **small, root=root)
    return SimpleNamespace(root=root, data=data, teacher=teacher, probes=probes, small=small, generator=generator)

def none_left(root, stage):
    "No run folder of a stage that was refused"
    return not [p for p in (root/stage).glob('*') if p.is_dir()] if (root/stage).exists() else True

# --- classes

@pytest.mark.parametrize('what, y, k', [
    ('labels 0, 2, 5 of six classes', np.tile([0, 2, 5], 16), 6),
    ('a class more than there are labels', np.arange(48) % 3, 4),
    ('ten names, labels of one class', np.zeros(48, int), 10),
    ('labels of the last class only', np.full(48, 4), 5),
])
def test_a_class_without_a_training_image(tried, chain, tmp_path, what, y, k):
    data = data_of(y, k)
    for name, call in {
            'a teacher': lambda: train_teacher(data, model='vit_digits_student', epochs=1, root=tmp_path),
            'class probes': lambda: class_probes(data, chain.teacher, root=tmp_path),
            'a generator': lambda: train_generator(data, chain.teacher, chain.probes, **chain.small, root=tmp_path),
    }.items():
        tried.refused(f'{name} of {what}', call, 'no image in train')
    assert all(none_left(tmp_path, s) for s in ('teacher', 'probes', 'generator'))

def test_a_single_class(tried, chain, tmp_path):
    data = data_of(np.zeros(48, int), 1)
    tried.refused('a generator of one class',
                  lambda: train_generator(data, chain.teacher, chain.probes, **chain.small, root=tmp_path),
                  'one class only')

def test_a_class_of_one_image(tried, tmp_path):
    data = data_of([0]*24+[1]*23+[2])
    kw = dict(root=tmp_path)
    teacher = train_teacher(data, model='vit_digits_student', epochs=1, bs=16, augment='none', **kw)
    probes = class_probes(data, teacher, **kw)
    g = train_generator(data, teacher, probes, epochs=1, bs=16, widths=(8, 4), d_widths=(4, 8), z=4, **kw)
    assert probes.weights['cap'].isfinite().all() and all(np.isfinite(v) for v in g.result['metrics'].values())
    tried('a class of one image', 'probes, generator and its health are finite')

# --- health

@pytest.mark.parametrize('what, x, y, k, real, diversity', [
    ('images of a class that has one', torch.rand(4, 1, 4, 4), [0, 0, 0, 1], 2, 1., None),
    ('no class with two images', torch.rand(3, 1, 4, 4), [0, 1, 2], 3, 1., 0.),
    ('images that are all alike', torch.full((6, 1, 4, 4), .5), [0, 1]*3, 2, 1., 0.),
    ('real images that are all alike', torch.rand(6, 1, 4, 4), [0, 1]*3, 2, 0., 1.),
    ('one image', torch.rand(1, 1, 4, 4), [0], 2, 1., 0.),
    ('a single class', torch.rand(5, 1, 4, 4), [0]*5, 1, 1., None),
    ('two classes, one of them never seen', torch.rand(4, 1, 4, 4), [0]*4, 2, 1., None)])
def test_health_is_finite(tried, what, x, y, k, real, diversity):
    y = torch.tensor(y)
    h = health(x, y, torch.nn.functional.one_hot(y, k).float(), real)
    assert all(np.isfinite(v) for v in h.values()) and 0 <= h['balance'] <= 1+1e-6
    assert diversity is None or h['diversity'] == diversity
    tried(f'the health of {what}', f"diversity {h['diversity']:.2g}, balance {h['balance']:.2g}")

@settings(derandomize=True, max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=12), st.integers(5, 9), st.floats(0, 2), st.booleans())
def test_health_of_anything(y, k, real, even):
    y = torch.tensor(y)
    x = torch.zeros(len(y), 1, 4, 4) if even else torch.rand(len(y), 1, 4, 4)
    h = health(x, y, torch.randn(len(y), k), real)
    assert all(np.isfinite(v) for v in h.values()) and 0 <= h['balance'] <= 1+1e-6 and np.isfinite(class_spread(x, y))

@pytest.mark.parametrize('bad', [NAN, INF, -INF])
def test_health_of_no_numbers(tried, bad):
    x, y, l = torch.rand(4, 1, 4, 4), torch.tensor([0, 1, 0, 1]), torch.rand(4, 2)
    poisoned = x.clone()
    poisoned[0, 0, 0, 0] = bad
    tried.refused(f'the health of images with {bad}', lambda: health(poisoned, y, l, 1.), 'images', NotFinite)
    tried.refused(f'the health of answers with {bad}', lambda: health(x, y, l*bad, 1.), 'logits', NotFinite)
    tried.refused(f'a real spread of {bad}', lambda: health(x, y, l, bad), 'real_spread', NotFinite)

def test_health_of_nothing(tried):
    tried.refused('the health of no images',
                  lambda: health(torch.rand(0, 1, 4, 4), torch.zeros(0).long(), torch.rand(0, 2), 1.), 'no images')

# --- numbers that are none stop a stage

def test_a_generator_that_diverges(tried, chain, tmp_path):
    wild = {**chain.small, 'arch': 'strong', 'epochs': 40, 'lr': 10., 'lam': 1e6}
    tried.refused('a generator with a learning rate of 10',
                  lambda: train_generator(chain.data, chain.teacher, chain.probes, **wild, root=tmp_path),
                  'generator, epoch|generator:', NotFinite)
    assert none_left(tmp_path, 'generator')

def test_a_student_that_diverges(tried, chain, tmp_path, monkeypatch):
    for module in ('distill', 'inversion'):
        monkeypatch.setattr(f'dfkd_nb.{module}.soft_kl', lambda s, t, tau=4.: s.sum()*NAN)
    noise, kw = NoiseSource((1, 16, 16), 3), dict(root=tmp_path)
    student = lambda: distill(chain.teacher, noise, chain.data, n_images=64, epochs=1, **kw)
    tried.refused('a student whose loss becomes NaN', student, 'student', NotFinite)
    inversion = lambda: invert(chain.teacher, chain.data, rounds=1, n_images=8, s_steps=2, bs=8, **kw)
    tried.refused('an inversion whose student has a loss of NaN', inversion, 'student', NotFinite)
    assert none_left(tmp_path, 'student')

# --- probes

def tampered(run, root, change):
    "A copy of a run whose weights and result are changed by hand"
    copy = Run(run.stage, run.config, root)
    shutil.copytree(run.path, copy.path)
    weights, result = copy.weights, copy.result
    change(weights, result)
    save_tree(copy.path/'weights.safetensors', weights)
    (copy.path/'result.json').write_text(json.dumps(result))
    return copy

def _set(at, value):
    def change(weights, result): weights['cap'][at] = value
    return change

def _elsewhere(weights, result): result['config']['teacher']['weights'] = '0'*16
def _fewer(weights, result): weights['cap'] = weights['cap'][:2].clone()
def _grid(weights, result): weights['cap'] = torch.rand(3, 49)
def _block(weights, result): result['params']['block'] = 'mean'

@pytest.mark.parametrize('what, change, says', [
    ('NaN in them', _set((0, 3), NAN), 'class probes'), ('infinity in them', _set((2, 0), INF), 'class probes'),
    ('another teacher', _elsewhere, 'another teacher'), ('fewer classes', _fewer, '2 class probes for 3'),
    ('another grid', _grid, '49 patches'), ('another block', _block, "block 'mean'")])
def test_class_probes_that_do_not_fit(tried, chain, tmp_path, what, change, says):
    probes = tampered(chain.probes, tmp_path, change)
    d, t, kw = chain.data, chain.teacher, dict(root=tmp_path)
    tried.refused(f'a generator guided by class probes with {what}',
                  lambda: train_generator(d, t, probes, **chain.small, **kw), says)
    tried.refused(f'an inversion with class probes with {what}',
                  lambda: invert(t, d, probes, rounds=1, n_images=8, terms=dict(attention=1.), **kw), says)
    if what != 'another grid':
        x = torch.zeros(4, 1, 16, 16, dtype=torch.uint8)
        tried.refused(f'foreign pictures chosen by class probes with {what}', lambda: select_by_probes(t, probes, x),
                      says)
    assert none_left(tmp_path, 'generator') and none_left(tmp_path, 'student')

# --- arguments of stages; those outside their bounds are in test_trust_arguments

@pytest.mark.parametrize('args, says', [
    (dict(widths=()), 'widths'),
    (dict(widths=(8,)*7), 'widths'),
    (dict(widths=(8, 0)), 'widths'),
    (dict(widths=(8, 10**9)), 'widths'),
    (dict(widths=(8, 4.5)), 'widths'),
    (dict(widths='88'), 'widths'),
    (dict(widths=(8, 4, 4)), 'give both as many'),
    (dict(d_widths=(4,)), 'give both as many'),
    (dict(widths=(8,), d_widths=(8,)), 'do not fit'),
    (dict(augment='nope'), 'augment'),
    (dict(augment=None), 'augment'),
    (dict(arch='dcgan'), 'arch|GAN'),
    (dict(block=4), 'block'),
    (dict(block='all'), 'block'),
    (dict(block=True), 'block'),
    (dict(bs=1), 'at least 2'),
    (dict(bs=0), 'bs'),
    (dict(lam=-1.), 'lam'),
    (dict(lam=NAN), 'lam'),
    (dict(lr=INF), 'lr'),
    (dict(betas=(.5,)), 'betas'),
    (dict(betas=(.5, 1.)), 'betas'),
    (dict(betas=.5), 'betas'),
    (dict(dropout=1.), 'dropout'),
    (dict(ema=1.), 'ema'),
    (dict(guide_from=1.5), 'guide_from'),
    (dict(probe_every=0), 'probe_every'),
    (dict(probe_batch=0), 'probe_batch'),
    (dict(epochs=0), 'epochs'),
    (dict(epochs=True), 'epochs'),
    (dict(z=-3), 'z'),
    (dict(wd=-1e-5), 'wd'),
    (dict(seed=-1), 'seed'),
    (dict(seed=2**40), 'seed'),
    (dict(variant='../x'), 'variant'),
    (dict(recipe=''), 'recipe'),
])
def test_arguments_of_a_generator(tried, chain, tmp_path, args, says):
    args_ = {**chain.small, **args}
    tried.refused(f'a generator with {args}',
                  lambda: train_generator(chain.data, chain.teacher, chain.probes, **args_, root=tmp_path), says)
    assert none_left(tmp_path, 'generator')

@pytest.mark.parametrize('args, says', [
    (dict(kd=0., ce=0., patch=0.), 'nothing to learn'),
    (dict(kd=-1.), 'kd'),
    (dict(patch=NAN), 'patch'),
    (dict(ce=INF), 'ce'),
    (dict(tau=0.), 'tau'),
    (dict(tau=-4.), 'tau'),
    (dict(n_images=0), 'n_images'),
    (dict(n_images=15), 'less than a batch'),
    (dict(bs=0), 'bs'),
    (dict(epochs=-1), 'epochs'),
    (dict(lr=0.), 'lr'),
    (dict(lr=11.), 'lr'),
    (dict(probe='grams'), 'probe'),
    (dict(labels='mine'), 'labels'),
    (dict(augment='nope'), 'augment'),
    (dict(mixup=-1.), 'mixup'),
    (dict(block=9), 'block'),
    (dict(student='vit_digits_studnet'), 'unknown model'),
    (dict(student=''), 'unknown model|student'),
    (dict(student='resnet18'), 'class token|class-token'),
    (dict(fresh='yes'), 'fresh'),
    (dict(student=7), 'student'),
])
def test_arguments_of_a_student(tried, chain, tmp_path, args, says):
    noise = NoiseSource((1, 16, 16), 3)
    args_ = {**dict(n_images=64, bs=16, epochs=1), **args}
    tried.refused(f'a student with {args}',
                  lambda: distill(chain.teacher, noise, chain.data, **args_, root=tmp_path), says)
    assert none_left(tmp_path, 'student')

@pytest.mark.parametrize('args, says', [
    (dict(rounds=0), 'rounds'),
    (dict(n_images=1), 'n_images must be at least 2'),
    (dict(g_steps=0), 'g_steps'),
    (dict(s_steps=0), 's_steps'),
    (dict(g_lr=NAN), 'g_lr'),
    (dict(every=0), 'every'),
    (dict(patience=-1), 'patience'),
    (dict(cool=1.1), 'cool'),
    (dict(drawn=-1), 'drawn'),
    (dict(drawn=5, memory=False), 'throws such pictures away'),
    (dict(kinds=['signs']), 'drawn is 0'),
    (dict(terms=dict(classes=1.)), 'unknown terms classes'),
    (dict(terms=dict(cls=NAN)), 'terms'),
    (dict(terms=dict(cls=-1.)), 'terms: cls'),
    (dict(terms=dict(cls=None)), 'terms: cls'),
    (dict(terms=dict(vary='much')), 'terms: vary'),
    (dict(terms=dict(contrast=0.)), 'terms: contrast'),
    (dict(terms=[1]), 'terms'),
    (dict(terms=dict(cls=0., disagree=0.)), 'nothing to learn'),
    (dict(terms=dict(attention=1.)), 'needs the class probes'),
    (dict(shape=(1, 16)), 'shape'),
    (dict(shape=(1, 2, 2)), 'shape'),
    (dict(shape=(1, 32, 32)), "the data's are"),
    (dict(augment='nope'), 'augment'),
    (dict(block=-9), 'block'),
    (dict(student='resnet18'), 'class token|class-token'),
    (dict(redraw=1), 'redraw'),
])
def test_arguments_of_an_inversion(tried, chain, tmp_path, args, says):
    args_ = {**dict(rounds=1, n_images=8, bs=8), **args}
    tried.refused(f'an inversion with {args}',
                  lambda: invert(chain.teacher, chain.data, **args_, root=tmp_path), says)
    assert none_left(tmp_path, 'student')

# --- networks and sources that do not belong together

class Reads(NoiseSource):
    "A source that would notice being asked"
    def sample(self, n=1, seed=0): raise AssertionError('images were drawn')

class WrongLabels(NoiseSource):
    def sample(self, n=1, seed=0): return super().sample(n, seed)[0], torch.full((n,), 7)

@pytest.mark.parametrize('what, source, says', [
    ('of ten classes, for a teacher of three', Reads((1, 16, 16), 10), '10 classes'),
    ('of other pixels', Reads((1, 8, 8), 3), "source's images"),
    ('of other channels', Reads((3, 16, 16), 3), "source's images"),
    ('that is a text', 'gan', 'which has no rung'),
    ('that is None', None, 'which has no rung'),
    ('whose labels are no classes', WrongLabels((1, 16, 16), 3), 'labels must be'),
])
def test_sources_that_do_not_fit(tried, chain, tmp_path, what, source, says):
    tried.refused(f'a source {what}',
                  lambda: distill(chain.teacher, source, chain.data, n_images=64, epochs=1, root=tmp_path), says)
    assert none_left(tmp_path, 'student')

def test_data_of_other_classes(tried, chain, tmp_path):
    data = data_of(np.arange(40) % 4, 4)
    for name, call in {
            'a generator': lambda: train_generator(data, chain.teacher, chain.probes, **chain.small, root=tmp_path),
            'a student': lambda: distill(chain.teacher, NoiseSource((1, 16, 16), 3), data, n_images=64, epochs=1,
                                         root=tmp_path),
            'an inversion': lambda: invert(chain.teacher, data, rounds=1, n_images=8, root=tmp_path),
    }.items():
        tried.refused(f'{name} for four classes of a teacher of three', call, '3 classes')

def test_the_teacher_as_its_own_student(tried):
    T = create_classifier('vit_digits_student', 3, {'mean': [.5], 'std': [.5]}).eval()
    tried.refused('a student that is the teacher', lambda: Distill(T, T), 'teacher itself')
    tried.refused('an inversion whose student is the teacher', lambda: Inversion(T, T, (1, 16, 16)), 'teacher itself')

def test_batch_norm_and_one_image(tried):
    T, S = (create_classifier(m, 3, {'mean': [.5], 'std': [.5]}, **kw)
            for m, kw in (('vit_digits_student', {}), ('resnet10t', {'in_chans': 1})))
    check_pair(T, S, (1, 16, 16), 2)
    tried.refused('batches of one image for a student with batch normalisation',
                  lambda: check_pair(T, S, (1, 16, 16), 1), 'at least 2 images')

# --- images by number

@pytest.mark.parametrize('n', [0, -1, 2.5, True, None, '9', NAN, 10**10])
def test_numbers_of_images(tried, chain, n):
    tried.refused(f'{n!r} images of a generator', lambda: GanSource(chain.generator).sample(n), 'n ')
    tried.refused(f'{n!r} drawn pictures', lambda: DrawnSource((1, 8, 8), 3, [.5]).sample(n), 'n ')

@pytest.mark.parametrize('seed', [-1, 2**31, 1.5, None, '0'])
def test_seeds_of_images(tried, chain, seed):
    tried.refused(f'images of seed {seed!r}', lambda: GanSource(chain.generator).sample(4, seed), 'seed')
    tried.refused(f'drawn pictures of seed {seed!r}', lambda: drawn_pictures(4, (1, 8, 8), [.5], seed=seed), 'seed')

@pytest.mark.parametrize('args, says', [
    (dict(shape=(1, 0, 8)), 'shape'),
    (dict(shape=(8, 8)), 'shape'),
    (dict(shape=(1, 1, 1)), 'shape'),
    (dict(shape=(1, 8, 8.)), 'shape'),
    (dict(shape=None), 'shape'),
    (dict(shape=(3, 4096, 4096), n=10**6, mean=[.5]*3), 'GiB'),
    (dict(mean=[120.]), 'mean'),
    (dict(mean=[-1.]), 'mean'),
    (dict(mean=.5), 'mean'),
    (dict(kinds=[]), 'kinds'),
    (dict(kinds=['photographs']), 'kinds'),
    (dict(kinds='shapes'), 'kinds'),
    (dict(n=-1), 'n '),
])
def test_drawn_pictures(tried, args, says):
    tried.refused(f'drawn pictures with {args}',
                  lambda: drawn_pictures(**{**dict(n=4, shape=(1, 8, 8), mean=[.5]), **args}), says)

def test_a_kind_named_twice():
    assert len(drawn_pictures(8, (1, 8, 8), [.5], ['shapes', 'shapes']).flatten(1).unique(dim=0)) == 8
    assert DrawnSource((1, 8, 8), 3, [.5], ['waves', 'waves']).kinds == ['waves']

def same_answer(chain, bias):
    "A teacher that says the first class whatever it sees"
    weights = chain.teacher.weights
    head = {k: torch.zeros_like(v) for k,v in weights.items() if k.startswith('head')}
    head['head.bias'][0] = bias
    said = dict(stage='teacher', path=chain.teacher.path, result=chain.teacher.result, weights={**weights, **head})
    return type('Run', (Run,), {**said, '__init__': lambda self: None})()

@pytest.mark.parametrize('bias', [0., 15., 50.])
def test_a_teacher_that_tells_nothing(tried, chain, bias):
    teacher = same_answer(chain, bias)
    tried.refused(f'kinds of pictures for a teacher of one answer (bias {bias:g})',
                  lambda: choose_kinds(teacher, (1, 16, 16), n=100), 'same answer')
    x = torch.randint(0, 256, (50, 1, 16, 16), dtype=torch.uint8)
    assert choose_look(teacher, x)[0] == 'as they are'          # nothing speaks for another look
    for n in (0, 1.5, None): tried.refused(f'looks at {n!r} pictures', lambda n=n: choose_look(teacher, x, n), 'n ')

@pytest.mark.parametrize('mean, says', [([NAN], 'mean'), ([INF], 'mean'), ([.5, .5], '2 values'), ([], '0 values')])
def test_tones_of_pictures(tried, mean, says):
    tried.refused(f'pictures of the mean {mean}', lambda: toned(torch.zeros(2, 1, 8, 8, dtype=torch.uint8), mean), says)

@pytest.mark.parametrize('which', ['EMA', 3, None, ['ema']])
def test_generators_that_are_not_there(tried, chain, which):
    tried.refused(f'the generator {which!r} of a run', lambda: GanSource(chain.generator, which), "has 'ema'")

@settings(derandomize=True, max_examples=80, deadline=None)
@given(
    st.dictionaries(st.sampled_from(['cls', 'disagree', 'most', 'vary', 'contrast', 'x', '']),
                    st.one_of(st.floats(), st.none(), st.integers(), st.text(max_size=3), st.booleans()), max_size=3))
def test_terms_of_any_kind(terms):
    try: weights, looks = read_terms(terms)
    except ValueError as e: assert '\n' not in str(e)
    else: assert all(np.isfinite(v) and v >= 0 for v in {**weights, **looks}.values())

# --- interrupted and continued

class Stop(Exception): pass

@pytest.mark.parametrize('what', ['generator', 'strong generator', 'inversion'])
def test_continued_to_the_same_numbers(tried, chain, tmp_path, monkeypatch, what):
    "Stopped after two of four parts, checkpoints after each; averages, moments and the memory are as they were"
    real = Run.epochs
    def make(root):
        if what == 'inversion':
            return invert(chain.teacher, chain.data, rounds=4, every=1, n_images=8, s_steps=2, bs=8, drawn=4,
                          patience=2, root=root)
        arch = 'strong' if what.startswith('strong') else 'cgan'
        return train_generator(chain.data, chain.teacher, chain.probes, **{**chain.small, 'epochs': 4, 'arch': arch},
                               root=root)
    def stopped(self, n, *a, **kw):
        for i, epoch in enumerate(real(self, n, *a, **{**kw, 'every': 0})):
            if i == 2: raise Stop
            yield epoch
    whole = make(tmp_path/'whole')
    monkeypatch.setattr(Run, 'epochs', stopped)
    with pytest.raises(Stop): make(tmp_path/'parts')
    monkeypatch.setattr(Run, 'epochs', real)
    got = make(tmp_path/'parts')
    assert got.result['weights'] == whole.result['weights'] and got.result['log'] == whole.result['log']
    tried(f'{what} stopped in the middle', 'goes on to the same weights')

def test_a_checkpoint_of_another_network(tried, chain, tmp_path):
    "The run starts anew, with a warning, and ends as it should"
    whole = train_generator(chain.data, chain.teacher, chain.probes, **{**chain.small, 'epochs': 2},
                            root=tmp_path/'whole')
    run = Run('generator', whole.config, tmp_path/'other')
    net = torch.nn.Linear(2, 2).state_dict()
    run.path.mkdir(parents=True)
    save_tree(run.path/'checkpoint.safetensors',
              {'epoch': 1, 'log': [{'epoch': 1}], 'state': dict.fromkeys(('G', 'D', 'E', 'g', 'd'), net)})
    with pytest.warns(UserWarning, match='checkpoint'):
        got = train_generator(chain.data, chain.teacher, chain.probes, **{**chain.small, 'epochs': 2},
                              root=tmp_path/'other')
    assert got.result['weights'] == whole.result['weights']
    tried('a checkpoint of another network in a run folder', 'a warning, and a fresh start to the same weights')

@pytest.mark.parametrize('names', [('Cat', 'cat'), ('caf\u00e9', 'cafe\u0301')])
def test_classes_that_look_alike(names, tmp_path, tried):
    for name in names:
        (tmp_path/name).mkdir()
        for i in range(12): Image.fromarray(np.full((8, 8), 9*i, 'u1')).save(tmp_path/name/f'{i}.png')
    if len(list(tmp_path.iterdir())) < 2: pytest.skip('this file system takes them for one')
    with pytest.warns(UserWarning, match='are two classes') as said: data = get_data(tmp_path, size=8)
    assert len(data.classes) == 2
    tried(f'folders of classes named {ascii(names[0])} and {ascii(names[1])}', f'warned: {said[0].message}')

def test_splits_whose_classes_look_alike(tmp_path, tried):
    for split, name in (('train', 'caf\u00e9'), ('test', 'cafe\u0301')):
        (tmp_path/split/name).mkdir(parents=True)
        for i in range(12): Image.fromarray(np.full((8, 8), 9*i, 'u1')).save(tmp_path/split/name/f'{i}.png')
    if (tmp_path/'test'/'caf\u00e9').exists(): pytest.skip('this file system takes them for one')
    tried.refused('splits that write the name of a class in two forms of Unicode', lambda: get_data(tmp_path, size=8),
                  r"'caf\\xe9'")

def test_named_classes_that_look_alike(tmp_path):
    x, y = images(24, 2)
    np.savez(tmp_path/'x.npz', x_train=x, y_train=y, x_test=x, y_test=y, class_names=['Cat', 'cat'])
    with pytest.warns(UserWarning, match="'Cat' and 'cat' are two classes"): get_data(tmp_path/'x.npz')
