"A budget in minutes: which schedule fits, what is said and kept of it. No clock but ours decides."
import errno, json, re
from itertools import count
import pytest
from safetensors.torch import save_file
import dfkd_nb.bundle as bundle_module
from dfkd_nb import plan
from dfkd_nb.bundle import Bundle, compress, gan_size, load_student, save_bundle
from dfkd_nb.cli import main
from dfkd_nb.data import get_data
from dfkd_nb.plan import *
from dfkd_nb.recipes import recipe_for
from dfkd_nb.runs import PROGRESS, Run
from dfkd_nb.training import train_teacher

STUDENT = 'vit_digits_student'
real_student, real_generator = plan.plan_student, plan.plan_generator

def ticks(seconds):
    "A clock on which whatever is done between two looks takes so long"
    n = count()
    return lambda: next(n)*seconds

@pytest.fixture(autouse=True)
def few_steps(monkeypatch):
    "A clock of ours needs no hundred steps, however quick they are"
    monkeypatch.setattr(plan, 'MOST_TIMED', 10)

@pytest.fixture(scope='session')
def home(tmp_path_factory):
    "The digits' teacher, as a bundle and as weights"
    home = tmp_path_factory.mktemp('home')
    teacher = train_teacher(get_data('digits'), **recipe_for('digits', 'teacher'), seed=0)
    save_bundle(home/'b', teacher)
    save_file(teacher.weights, home/'w.safetensors')
    return home

@pytest.fixture
def quick(monkeypatch):
    "Commands whose schedules are chosen by a clock of ours: the seconds that a step takes on it, to be set"
    speed = {'seconds': .1}
    def student(*args, **kw): return real_student(*args[:8], clock=ticks(speed['seconds']), **kw)
    def generator(*args, **kw): return real_generator(*args[:4], clock=ticks(speed['seconds']), **kw)
    monkeypatch.setattr(plan, 'plan_student', student)
    monkeypatch.setattr(plan, 'plan_generator', generator)
    return speed

# --- which schedule fits

@pytest.mark.parametrize('source', ['noise', 'teacher'])
def test_fits_and_grows(source, home):
    "Twice the time is about twice the steps, and so is a machine of twice the speed"
    bundle = Bundle(home/'b')
    def steps(minutes, seconds):
        s = plan_student(bundle, STUDENT, source, minutes, clock=ticks(seconds))
        assert .7*60*minutes < s.seconds <= 60*minutes and s.minutes == minutes
        return s.settings['rounds'] if source == 'teacher' else s.settings['epochs']*(s.settings['n_images']//64)
    once = steps(600, 1.)
    assert 1.7 < steps(1200, 1.)/once < 2.5 and 1.7 < steps(600, .5)/once < 2.5

def test_images_before_epochs(home):
    bundle = Bundle(home/'b')
    found = [plan_student(bundle, STUDENT, 'noise', m, clock=ticks(.1)).settings for m in (.5, 1, 2, 5, 50)]
    assert [s['n_images'] for s in found] == sorted(s['n_images'] for s in found) and found[-1]['n_images'] == IMAGES
    assert all(s['epochs'] == FEW for s in found if s['n_images'] < IMAGES-64) and found[-1]['epochs'] > FEW

def test_usual_is_bounded_by_minutes_and_by_what_is_enough(home):
    "Without minutes: ten at most on a slow machine, the whole schedule and no more on a fast one"
    bundle = Bundle(home/'b')
    for source in ('noise', 'teacher'):
        slow, fast = (plan_student(bundle, STUDENT, source, clock=ticks(s)) for s in (.5, 1e-6))
        assert slow.seconds <= 60*USUAL and slow.minutes is None
        assert fast.settings.items() <= {**WHOLE, 'drawn': 10_000}.items()
    data, how = get_data('digits'), gan_size(16, 16)
    T = Bundle(home/'b').teacher
    slow, fast = (plan_generator(T, data, clock=ticks(s), **how).settings['epochs'] for s in (.2, 1e-6))
    assert slow < fast == -(-ENOUGH//(data.sizes['train']//64))

def test_what_is_given_wins(home):
    bundle, data = Bundle(home/'b'), get_data('digits')
    def settings(source='noise', **given):
        return plan_student(bundle, STUDENT, source, clock=ticks(9.), **given).settings
    assert settings(images=64, epochs=3) == dict(n_images=64, epochs=3)
    assert settings(epochs=3) == dict(n_images=10_000, epochs=3) and settings(images=64) == dict(n_images=64, epochs=20)
    assert settings('teacher', rounds=7) == dict(rounds=7, drawn=10_000)
    how = dict(**gan_size(16, 16), probe_batch=32, probe_every=2)
    assert plan_generator(bundle.teacher, data, epochs=3, clock=ticks(9.), **how).settings == dict(
        epochs=3, probe_batch=32, probe_every=2)

def test_few_pictures_of_a_folder(home):
    "No more images are planned than there are"
    import torch
    from dfkd_nb.inversion import WildSource
    src = WildSource(torch.zeros(200, 1, 16, 16, dtype=torch.uint8), 10, torch.zeros(20, 1, 16, 16, dtype=torch.uint8))
    assert plan_student(Bundle(home/'b'), STUDENT, src, 5, clock=ticks(.1)).settings['n_images'] == 200

def test_unguided_costs_nothing_more(home):
    teacher, how = Bundle(home/'b').teacher, dict(lam=0., **gan_size(16, 16))
    s = plan_generator(teacher, get_data('digits'), 60, clock=ticks(.1), **how)
    assert s.settings['probe_batch'] == GUIDES[0][0] and s.step == pytest.approx(.1)

@pytest.mark.parametrize('what', ['noise', 'teacher', 'generator'])
def test_too_few_minutes(what, home, tried):
    "Refused with the least, which then is enough"
    bundle, data = Bundle(home/'b'), get_data('digits')
    def chosen(minutes):
        clock, how = ticks(1.), gan_size(16, 16)
        if what == 'generator': return plan_generator(bundle.teacher, data, minutes, clock=clock, **how)
        return plan_student(bundle, STUDENT, what, minutes, clock=clock)
    with pytest.raises(ValueError, match='too little on this machine') as e: chosen(.01)
    tried(f'.01 minutes on a machine of one step a second: {what}', f'refused: {e.value}')
    least = float(re.search(r'the least is about ([\d.]+)', str(e.value))[1])
    assert chosen(least).seconds <= 60*least

# --- what is said, and what is left

def test_words():
    told = Schedule(dict(rounds=1, drawn=640), .1, before=0, loop=9, after=0).told
    assert told == '1 round of 9.0 seconds, beside 640 drawn pictures'
    words = {0: '0.1 seconds', 12: '12 seconds', 89: '89 seconds', 90: '1.5 minutes', 600: '10 minutes',
             5699: '95 minutes', 5700: '1.6 hours', 3.6e6: '1,000 hours'}
    assert {s: in_words(s) for s in words} == words

def test_bar_tells_of_the_whole():
    "First by the schedule, then by the speed that there is; and what comes after is counted"
    s = Schedule(dict(epochs=10), 1, before=50, loop=1000, after=30)
    with telling(s):
        bar = Run('x', {}).bar(0, 10)
        assert PROGRESS.get() is not plan.tqdm and 'all done in about 17 minutes' in str(bar)
        bar.start_t -= 40                       # two epochs take twenty seconds each
        bar.n = 2
        assert bar.format_dict['whole'] == '3.2 minutes'
        bar.close()
    assert PROGRESS.get() is plan.tqdm

# --- a killed run keeps its schedule

def full(*_, **__): raise OSError(errno.ENOSPC, 'No space left on device', 's')

@pytest.fixture
def killed_and_repeated(monkeypatch, quick):
    "A function that gives a command, and then gives it again: first the disk is full where `at` is called"
    def go(args, at, work, stage): # -> the plan that was kept in between
        with monkeypatch.context() as m:
            m.setattr(bundle_module, at, full)
            assert main(args) == 2
        kept = json.loads((work/PLANNED).read_text())
        [weights] = work.glob(f'{stage}/*/weights.safetensors')
        when = weights.stat().st_mtime_ns
        quick['seconds'] = .02                  # timed now, another schedule would be chosen
        seen, real = [], getattr(bundle_module, at)
        def looks(*a, **kw):
            seen.append(weights.stat().st_mtime_ns)
            return real(*a, **kw)
        monkeypatch.setattr(bundle_module, at, looks)
        assert main(args) == 0 and seen == [when], 'nothing is trained twice'
        return kept
    return go

def test_killed_student_keeps_its_schedule(home, tmp_path, capsys, killed_and_repeated):
    args = ['distill', str(home/'b'), '--student', STUDENT, '--source', 'noise', '--minutes', '.5', '--out',
            str(tmp_path/'s')]
    kept = killed_and_repeated(args, 'save_student', tmp_path/'s.work', 'student')
    said = capsys.readouterr().out
    planned = f"{kept['settings']['epochs']} epochs"
    assert said.index(f'on this machine: {planned}') < said.index(f'going on as planned: {planned}')
    assert not (tmp_path/'s.work').exists()
    run = load_student(tmp_path/'s')
    assert run.card['budget']['schedule'] == kept['settings'] and run.card['budget']['minutes'] == .5
    # and it is the student that these settings give without any timing
    again = compress(Bundle(home/'b'), STUDENT, 'noise', root=tmp_path/'runs', lr=1e-3, **kept['settings'])
    assert again.result['weights'] == run.result['weights']

def test_killed_bundle_keeps_its_schedule(home, tmp_path, capsys, killed_and_repeated):
    args = ['bundle', '--teacher', 'vit_digits_teacher', '--weights', str(home/'w.safetensors'), '--mean', '.3049',
            '--std', '.3184', '--data', 'digits', '--width', '16', '--anyway', '--minutes', '1', '--out',
            str(tmp_path/'b')]
    kept = killed_and_repeated(args, 'memorisation', tmp_path/'b.work', 'generator')
    budget = Bundle(tmp_path/'b').card['budget']
    assert budget['minutes'] == 1 and budget['schedule'] == kept['settings'] and budget['schedule']['epochs'] >= 3
    assert 'going on as planned' in capsys.readouterr().out

def test_other_minutes_are_another_question(tmp_path):
    one, two = (Schedule(dict(epochs=n), .1, 0., 1., 0.) for n in (1, 2))
    assert keep_plan(tmp_path, ['x', 1.], lambda: one) == (one, False)
    assert keep_plan(tmp_path, ['x', 2.], lambda: two) == (two, False)
    assert keep_plan(tmp_path, ['x', 2.], full) == (two, True)

PLANS = {
    'that is a list': lambda said: [said],
    'without epochs': lambda said: {**said, 'settings': {}},
    'of 0 epochs': lambda said: {**said, 'settings': {'epochs': 0}},
    'of a milliard milliards of epochs': lambda said: {**said, 'settings': {'epochs': 10**18}},
    'that sets another place': lambda said: {**said, 'settings': {'epochs': 1, 'root': 5}},
    'that takes less than no time': lambda said: {**said, 'loop': -1.},
    'that says more': lambda said: {**said, 'x': 1},
}

@pytest.mark.parametrize('what', PLANS)
def test_plan_from_outside(what, tmp_path, tried):
    keep_plan(tmp_path, 'x', lambda: Schedule(dict(epochs=1), .1, 0., 1., 0.))
    file = tmp_path/PLANNED
    file.write_text(json.dumps(PLANS[what](json.loads(file.read_text()))))
    tried.refused(f'a plan {what}', lambda: read_plan(file), 'plan.json')
