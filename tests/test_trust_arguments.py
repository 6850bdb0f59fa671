"Arguments that mean nothing: of every stage, every annotated argument"
import importlib, inspect, math, os, tempfile, types, typing
from pathlib import Path
import numpy as np, pytest, torch
from hypothesis import given, settings, strategies as st
from dfkd_nb.checks import *
from dfkd_nb import runs
from dfkd_nb.runs import Ledger, Run, project_root

for p in sorted((project_root()/'dfkd_nb').glob('[a-z]*.py')): importlib.import_module(f'dfkd_nb.{p.stem}')
STAGES = {k: f for k, f in sorted(runs.STAGES.items()) if f.__module__.startswith('dfkd_nb.')}

class Stand:
    "Something that is no plain value, for what has no default"
    identity = {'stand': 1}

class Finished(Run):
    "A run that looks finished"
    path = Path(tempfile.mkdtemp())
    (path/'result.json').write_text('{}')
    identity = {'stand': 2}
    def __init__(self, stage): self.stage = stage
    def __repr__(self): return f'a finished {self.stage}'

HOSTILE = [0, -1, 2**31, 10**30, 1e30, .5, -.5, 1.5, math.nan, math.inf, -math.inf, '', 'nope', '../x', 'ten', 'a\nb',
           b'x', True, False, None, [], (), {}, [0], [math.nan], (-1, -1), ('a', 'b'), {'a': math.nan},
           np.float32('nan'), np.int64(-1), np.array([1, 2]), Path('x'), object,
           Finished('deploy'), Run('teacher', {'never': 'run'})]
GIVEN = [Stand(), *map(Finished, ('teacher', 'probes', 'generator', 'detr_teacher')), ['a', 'b'], {'a': 1}, 'a', 1,
         (3, 8, 8)]

def fine(f):
    return {k: next(v for v in GIVEN if takes(p, v)) for k, p in arguments(f).items()
            if p.default is p.empty}

def arguments(f): return {k: p for k, p in inspect.signature(f).parameters.items() if k != 'root'}

def takes(p, value):
    "Whether an annotation lets a value through"
    if value is None and p.default is None: return True
    try: check_value(p.annotation, value, 'x')
    except ValueError: return False
    return True

def unbounded(a):
    "Whether an annotation leaves numbers without bounds, or the values of a list without a kind"
    if isinstance(a, type(Count)): return False
    if typing.get_origin(a) in (typing.Union, types.UnionType): return any(map(unbounded, typing.get_args(a)))
    if typing.get_origin(a) in (tuple, list): return any(unbounded(x) for x in typing.get_args(a) if x is not Ellipsis)
    return a in (int, float, tuple, list, inspect.Parameter.empty)

def short(v): return repr(v) if not callable(v) else 'a class'

@pytest.mark.parametrize('name', STAGES)
def test_refused_before_work(name, tmp_path, tried):
    "One line that names the argument; no folder, no image read"
    f, refused = STAGES[name], {}
    known = arguments(f)
    for k, p in known.items():
        for value in HOSTILE:
            if p.annotation is p.empty or takes(p, value): continue
            with Ledger() as ledger, pytest.raises(ValueError) as e: f(**{**fine(f), k: value}, root=tmp_path/'runs')
            said = str(e.value)
            assert said.startswith(f'{name}: {k}') and '\n' not in said and len(said) < 400, said
            assert not ledger.read and not (tmp_path/'runs').exists()
            refused[k] = said
    for k, said in refused.items(): tried(f'{name}({k}=…), of {len(HOSTILE)} values those that mean nothing', said)
    assert set(refused) >= {k for k, p in known.items() if p.annotation in (int, float, bool, str, tuple)}

@pytest.mark.parametrize('name', STAGES)
def test_never_takes_what_is_no_number(name, tmp_path):
    "NaN and infinity pass nowhere, with or without annotations, also inside of lists and tables"
    f = STAGES[name]
    for k in arguments(f):
        for value in (math.nan, math.inf, np.float64('nan'), [1., math.nan], {'a': [math.inf]},
                      {'a': {'b': (1, -math.inf)}}):
            with pytest.raises(ValueError, match=f'^{name}: {k}'): f(**{**fine(f), k: value}, root=tmp_path)

@pytest.mark.parametrize('name', STAGES)
def test_defaults_are_what_they_say(name):
    for k, p in arguments(STAGES[name]).items():
        if p.default is not p.empty: assert takes(p, p.default), f'{k}={p.default!r}'

@pytest.mark.parametrize('name', STAGES)
def test_every_argument_has_bounds(name):
    loose = [k for k, p in arguments(STAGES[name]).items() if unbounded(p.annotation)
             and (p.default is not p.empty or p.annotation is not p.empty)]
    assert not loose, f"{name}: {', '.join(loose)} have no bounds"

def test_root_and_names(tmp_path, tried):
    f = STAGES['train_teacher']
    tried.refused('root=3', lambda: f(Stand(), root=3), 'train_teacher: root must be a path or a text or None, got 3')
    tried.refused('data="digits", the name of a set and not the set', lambda: f('digits', root=tmp_path),
                  "train_teacher: data must be an? ImageData, got 'digits'")
    with pytest.raises(TypeError, match='epoch'): f(Stand(), epoch=3, root=tmp_path)
    assert not list(tmp_path.iterdir())

# --- the kinds themselves

KINDS = {
    Count: ([1, 10**9, np.int64(5), np.uint8(5)], [0, -1, 10**9+1, 1., True, np.True_, '1', None, math.nan, 10**400,
                                                   -10**400, [1], np.array(1), torch.tensor(1)]),
    Number: ([0, 10**9], [-1, .5, False]),
    Size: ([4, 4096], [3, 4097, 32.]),
    Seed: ([0, 2**31-1], [-1, 2**31]),
    Rate: ([1e-9, 1, 10, np.float32(.5)],
           [0, -1e-3, 10.1, math.inf, math.nan, '1e-3', True, 10**400, np.float16('nan')]),
    Weight: ([0, 0., 1e6], [-1e-9, 1e6+1, math.nan]),
    Positive: ([1e-6, 4], [0, -1, 1e7]),
    Share: ([0, 1, .5], [-.1, 1.1, True, math.nan]),
    Decay: ([0, .999], [1, 1., -1]),
    Betas: ([(.5, .999), [.5, .999], (0, 0)],
            [(.5,), (.5, 1.), (.5, .9, .9), .5, 'ab', (True, .9), (.5, math.nan), {.5, .9}, None]),
    Name: (['default', 'a-b_c.1+2=3,4', 'x'*100],
           ['', '.', '..', '-x', 'a/b', 'a\\b', 'a b', 'ü', 'x'*101, 'a\n', 'a\0', None, 3, ['a']]),
    one_of(['a', 'b']): (['a', np.str_('b')], ['c', '', 'A', None, 0, ['a'], 'a\n']),
    one_of({'x': 1}): (['x'], ['y', 1]),
    tuple[Count, ...]: ([(1, 2), [3], ()], [(0,), ('1',), 1, '12', (1, 2.), ((1,),)]),
    tuple: ([(1, 'a'), [1]], [1, 'ab', None, (math.nan,)]),
    Count|None: ([1, None], [0, 'x', True, math.nan]),
    Count|tuple[Count, Count]: ([1, (1, 2)], [0, (0, 1), (1,), None]),
    int: ([-5], [True, 1., '1', None]),
    float: ([1, -1.5], [math.nan, math.inf, True, None, '1']),
    bool: ([True, np.False_], [0, 1, 'true', None]),
    str: (['', 'x'], [1, None, b'x', 'a\0b', 'a\nb']),
    int|str: ([-1, 'all'], [1.5, None, True, ['a']]),
    Path|str|None: (['x', Path('x'), None], [3, True, b'x']),
    dict: ([{}, {'a': 1}], [[], None, {'a': math.nan}, {math.inf: 1}]),
}

@pytest.mark.parametrize('kind', KINDS, ids=str)
def test_kinds(kind, tried):
    good, bad = KINDS[kind]
    for v in good:
        got = check_value(kind, v, 'x')
        assert not isinstance(got, np.generic)
        assert not (isinstance(v, list) and kind is not list and isinstance(got, list))
    for v in bad: tried.refused(f'{kind}: {str(v)[:40]!r}', lambda v=v: check_value(kind, v, 'x'), '^x')

ANY = st.recursive(
    st.none()|st.booleans()|st.integers()|st.floats()|st.text(max_size=5)|st.binary(max_size=3),
    lambda x: st.lists(x, max_size=3)|st.dictionaries(st.text(max_size=2), x, max_size=2)|st.tuples(x, x),
    max_leaves=8)

@settings(derandomize=True, max_examples=300, deadline=None)
@given(kind=st.sampled_from(list(KINDS)), value=ANY)
def test_any_value(kind, value):
    "Any plain value: itself, or one line; and what was taken is taken again, the same"
    try: got = check_value(kind, value, 'x')
    except ValueError as e:
        assert str(e).startswith('x') and '\n' not in str(e) and len(str(e)) < 400
        return
    assert check_value(kind, got, 'x') == got
    require_finite(got, 'x')

def test_deep_and_large():
    deep = []
    for _ in range(100_000): deep = [deep]
    for v in (deep, 10**100_000, 'x'*10**6, [0]*10**6, {i: i for i in range(10**5)}):
        with pytest.raises(ValueError) as e: check_value(Count, v, 'x')
        assert len(str(e.value)) < 200 and '\n' not in str(e.value)
    while deep: deep = deep[0]          # by hand: Python would recur to free it

@pytest.mark.parametrize('name', STAGES)
def test_kinds_show_by_name(name): assert 'FieldInfo' not in str(inspect.signature(STAGES[name]))

def test_shown_in_signatures():
    def f(epochs:Count=1, lr:Rate|None=None, aug:one_of(['none', 'flip'])='none', widths:tuple[Count, ...]=(1,)): ...
    assert str(inspect.signature(f)) == (
        "(epochs: Count = 1, lr: Optional[Rate] = None, aug: none/flip = 'none', widths: tuple[Count, ...] = (1,))")

def test_arguments_of_a_call():
    def f(run, x:Count=1, *rest:Share, y:'int'=2, **more:Weight): ...
    got = check_arguments(f, dict(run=None, x=np.int8(3), rest=[.5], y=1, more={"a": 1}, other=7))
    assert got == dict(run=None, x=3, rest=(.5,), y=1, more={"a": 1.}, other=7)
    for bad, says in (
            (dict(x=0), 'f: x must be at least 1'),
            (dict(rest=(.1, 2.)), r'f: rest\[1\] must be at most 1'),
            (dict(more={'a': -1}), 'f: a must be at least 0'),
            (dict(y=math.nan), 'f: y must be finite'),
    ):
        with pytest.raises(ValueError, match=says): check_arguments(f, bad)
    with pytest.raises(ValueError, match='^g: x'): check_arguments(f, dict(x=0), 'g')

# --- files to write

def test_exports(tmp_path, tried):
    "Said before the export, and nothing is written over that is no file"
    from dfkd_nb.deploy import export_onnx, quantize, session
    from dfkd_nb.models import create_classifier
    clf = create_classifier('vit_digits_student', 10, dict(mean=[.3], std=[.3]))
    good = export_onnx(clf, tmp_path/'m.onnx')
    os.mkfifo(tmp_path/'pipe')
    for what, place, says in (
            ('a device', os.devnull, 'no regular file'), ('a pipe', tmp_path/'pipe', 'no regular file'),
            ('a folder', tmp_path, 'is a folder'), ('nothing', '', 'must be a path'),
            ('a name of 300 letters', tmp_path/('x'*300), 'no name'),
            ('a file within a file', good/'x.onnx', 'no folder|no name')):
        tried.refused(f'export_onnx to {what}', lambda place=place: export_onnx(clf, place), says)
        tried.refused(f'quantize to {what}', lambda place=place: quantize(good, place), says)
    assert os.stat(os.devnull).st_rdev and (tmp_path/'pipe').is_fifo()
    for shape in ((1, 17, 17), (3, 16, 16)):
        tried.refused(f'export_onnx of images of {shape} by a network of (1, 16, 16)',
                      lambda shape=shape: export_onnx(clf, tmp_path/'n.onnx', shape=shape), 'takes images of')
    tried.refused('export_onnx of a layer', lambda: export_onnx(torch.nn.Linear(2, 2), tmp_path/'n.onnx'),
                  'no Classifier or Detector')
    tried.refused('export_onnx with 3 names for 10 classes',
                  lambda: export_onnx(clf, tmp_path/'n.onnx', ['a', 'b', 'c']), '3 are named, the network has 10')
    tried.refused('a session of a million threads', lambda: session(good, 10**6), 'threads must be at most 1,024')
    assert not (tmp_path/'n.onnx').exists()

def test_images_for_a_file(tmp_path, tried):
    "What a file is asked, compared or calibrated with"
    from dfkd_nb.deploy import export_onnx, parity, quantize, run_onnx
    from dfkd_nb.models import create_classifier
    clf = create_classifier('vit_digits_student', 10, dict(mean=[.3], std=[.3])).eval()
    file, x = export_onnx(clf, tmp_path/'m.onnx'), torch.rand(4, 1, 16, 16)
    wrong = {'NaN': (x*math.nan, 'not finite'), 'none': (x[:0], 'there are no images'),
             'a list': ([1, 2], 'must be a (t|T)ensor'), 'whole numbers of 64 bits': (x.long(), 'must be a tensor'),
             'one without the others': (x[0], 'must be a tensor'),
             'larger ones': (torch.rand(4, 1, 17, 17), 'takes images')}
    for what, (bad, says) in wrong.items():
        tried.refused(f'run_onnx, images: {what}', lambda bad=bad: run_onnx(file, bad), says)
        tried.refused(f'quantize, images: {what}', lambda bad=bad: quantize(file, tmp_path/'q.onnx', bad), says)
        tried.refused(f'parity, images: {what}', lambda bad=bad: parity(clf, file, bad), says)
    y = torch.zeros(3).long()
    tried.refused('parity with 3 labels for 4 images', lambda: parity(clf, file, x, y), '3 labels for 4')
    assert not (tmp_path/'q.onnx').exists()

# --- runs in place of others

def test_runs_of_another_stage(tried):
    "Also where no stage takes them"
    from dfkd_nb.drawn import choose_kinds
    from dfkd_nb.fid import classifier_extractor
    from dfkd_nb.gan import GanSource
    from dfkd_nb.inversion import select_by_probes
    from dfkd_nb.sources import seen_through
    x, wrong = torch.zeros(2, 1, 16, 16, dtype=torch.uint8), Finished('fid')
    tried.refused('GanSource of no generator', lambda: GanSource(wrong), 'run of the stage generator, not of fid')
    tried.refused('classifier_extractor of a measurement', lambda: classifier_extractor(wrong),
                  'stage extractor, not of fid')
    tried.refused('GanSource of a path', lambda: GanSource('here'), 'must be a run of the stage generator')
    shape = 1, 16, 16
    tried.refused('choose_kinds of no teacher', lambda: choose_kinds(wrong, shape), 'teacher or student, not of fid')
    tried.refused('seen_through no teacher', lambda: seen_through(wrong, x), 'teacher or student, not of fid')
    tried.refused('select_by_probes of a teacher in the place of probes',
                  lambda: select_by_probes(Finished('teacher'), Finished('teacher'), x), 'stage probes, not of teacher')

def test_covariances(tried):
    from dfkd_nb.fid import frechet_distance
    m, I = torch.zeros(3), torch.eye(3)
    for what, none in (('minus the identity', -I), ('one that is not symmetric', I+torch.arange(9.).view(3, 3))):
        for pair in ((I, none), (none, I), (none, none), (0*I, none)):
            tried.refused(f'a covariance: {what}', lambda a=pair: frechet_distance(m, a[0], m, a[1]), 'a covariance')
    assert frechet_distance(m, 0*I, m, 0*I) == 0 and frechet_distance(m, 0*I, m, I) == pytest.approx(3)

def wrong_objects():
    "name: a call that is given an object of another kind"
    from dfkd_nb import bundle, data, detr, detr_distill, distill, gan, models, plan, probes, sources, training
    run = Finished('probes')
    calls = {f.__name__: f for f in (models.load_classifier, detr.load_detector, detr_distill.load_scenes,
                                     bundle.make_source, bundle.check_generator, probes.check_probe,
                                     bundle.load_student, data.RealSource)}
    yield from ((f'{n}({v!r})', lambda f=f, v=v: f(v)) for n,f in calls.items() for v in ('p', None, run))
    yield 'new_student', lambda: distill.new_student('vit_digits_student', run)
    yield 'judge', lambda: sources.judge(run, run)
    yield 'compress', lambda: bundle.compress('p', 'vit_digits_student')
    yield 'plan_student', lambda: plan.plan_student('p', 'vit_digits_student')
    yield 'save_student', lambda: bundle.save_student(tempfile.mkdtemp(), 'p', 'b')
    yield 'read_probes', lambda: gan.read_probes('x', Finished('teacher'))
    yield 'match_classes', lambda: bundle.match_classes('digits', ['0'])
    yield 'WithoutData', lambda: bundle.WithoutData('b', 'x')
    frames = detr.DetectionData('toy', {}, ['a'], {})
    yield 'train_teacher of frames', lambda: training.train_teacher(frames)

@pytest.mark.parametrize('what, call', wrong_objects(), ids=lambda v: v if isinstance(v, str) else '')
def test_objects_of_another_kind(what, call, tried):
    tried.refused(f'{what}: an object of another kind', call, '')
