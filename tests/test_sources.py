"Which source is chosen, and when a generator has failed"
import json
from pathlib import Path
from types import SimpleNamespace
import pytest, torch
import dfkd_nb.sources as sources_module
from dfkd_nb.bundle import Bundle, check_generator, compress, load_student, save_bundle, save_student
from dfkd_nb.cli import main
from dfkd_nb.data import NoiseSource, get_data, to_bytes
from dfkd_nb.drawn import drawn_for
from dfkd_nb.gan import GanSource, Generator, generate, train_generator
from dfkd_nb.models import load_classifier
from dfkd_nb.probes import class_probes
from dfkd_nb.recipes import recipe_for
from dfkd_nb.report import student_page
from dfkd_nb.runs import project_root
from dfkd_nb.sources import (choose_source, faults, judge, judgement, mean_of, real_spread, remedies, spread_out,
                             why_chosen)
from dfkd_nb.training import predict, train_teacher
from safetensors.torch import save_file

@pytest.fixture(scope='session')
def digits(): return get_data('digits')

@pytest.fixture(scope='session')
def stages(digits):
    "Teacher, probes and generator that travel with the repository"
    teacher = train_teacher(digits, **recipe_for('digits', 'teacher'), seed=0)
    probes = class_probes(digits, teacher, seed=0)
    return teacher, probes, train_generator(digits, teacher, probes, **recipe_for('digits', 'generator'), seed=0)

@pytest.fixture(scope='session')
def bundle(stages, digits, tmp_path_factory):
    judged = judge(stages[2], stages[0], real_spread(digits))
    return Bundle(save_bundle(tmp_path_factory.mktemp('made')/'b', *stages, digits.classes, judged=judged))

# --- the choice

@pytest.fixture(scope='session')
def few(stages):
    "Two sources between which there is something to choose"
    return {'drawn': drawn_for(stages[0], (1, 16, 16)), 'noise': NoiseSource((1, 16, 16), 10)}

def test_a_killed_choice_is_the_same(stages, few, tmp_path, monkeypatch):
    "What was tried before it was stopped is not tried again, and another root chooses the same"
    teacher, how = stages[0], dict(steps=4, n=64)
    whole = choose_source(teacher, few, root=tmp_path/'a', **how)
    real, tried = sources_module.try_source, []
    def stops(teacher, source, *args, **kw):
        tried.append(source.rung)
        if len(tried) == 2: raise KeyboardInterrupt
        return real(teacher, source, *args, **kw)
    with monkeypatch.context() as m:
        m.setattr(sources_module, 'try_source', stops)
        with pytest.raises(KeyboardInterrupt): choose_source(teacher, few, root=tmp_path/'b', **how)
    [first] = (tmp_path/'b/student').glob('*/weights.safetensors')
    when = first.stat().st_mtime_ns
    again = choose_source(teacher, few, root=tmp_path/'b', **how)
    assert again.key == whole.key and again.result['params'] == whole.result['params']
    assert first.stat().st_mtime_ns == when and len(list((tmp_path/'b/student').glob('*/result.json'))) == 2

def test_both_are_judged_on_the_pictures_of_both(stages, few, tmp_path):
    p = choose_source(stages[0], few, steps=4, n=64, root=tmp_path).result['params']
    assert {k: set(v) for k, v in p['tried'].items()} == dict.fromkeys(('drawn', 'noise'), {'drawn', 'noise'})
    assert p['chosen'] == max(p['tried'], key=lambda k: mean_of(p['tried'][k]))

def test_a_single_source_is_not_tried(stages, tmp_path):
    only = {'noise': NoiseSource((1, 16, 16), 10)}
    p = choose_source(stages[0], only, n=64, root=tmp_path).result['params']
    assert p['chosen'] == 'noise' and not p['tried'] and not (tmp_path/'student').exists()

@pytest.mark.parametrize('chosen, looked, says', [
    ('noise', ['noise'], 'there is no other'), ('teacher', ['teacher', 'drawn'], 'it begins with drawn pictures'),
    ('teacher', ['teacher', 'drawn', 'gan'], 'but for drawn'), ('gan', ['gan', 'wild'], 'it tells most; there was')])
def test_why_without_trials(chosen, looked, says):
    seen = dict.fromkeys(('information', 'classes', 'stable', 'confidence'), .5)
    params = {'chosen': chosen, 'looked': dict.fromkeys(looked, seen), 'tried': {}, 'steps': 0}
    assert says in why_chosen(SimpleNamespace(result={'params': params}))[-1]

def test_the_choice_goes_with_the_student(bundle, tmp_path):
    how = dict(n_images=64, epochs=1, rounds=1, drawn=64, root=tmp_path/'runs')
    run = compress(bundle, 'vit_digits_student', 'auto', **how)
    out = save_student(tmp_path/'s', run, bundle)
    said = json.loads((out/'choice.json').read_text())
    assert said['chosen'] == run.result['rung'] and said['steps'] == 1 and said['chosen'] in said['why'][-1]
    assert set(said['looked']) == {'gan', 'teacher', 'drawn'} and len(said['tried']) == 2
    assert 'choice.json' in load_student(out).card['files']
    assert said['why'][-1] in student_page(load_student(out), measure=False)
    before = sorted((tmp_path/'runs').rglob('*'))
    assert compress(bundle, 'vit_digits_student', 'auto', **how).path == run.path
    assert sorted((tmp_path/'runs').rglob('*')) == before
    (out/'choice.json').write_text('{}')
    with pytest.raises(ValueError, match='damaged'): load_student(out)

# --- the judgement

def spoilt(x, y):
    "Images that a failed generator gives, and what is said of it"
    first = torch.stack([x[y == k][0] for k in range(10)])
    noisy = to_bytes(x[:1]/255+.02*torch.randn(x.shape, generator=torch.Generator().manual_seed(0)))
    return {'even tones': (torch.full_like(x, 40), y, 'one even tone'), 'one image a class': (first[y], y, 'all alike'),
            'one image, with noise': (noisy, y, 'hardly differ'), 'other classes': (x, (y+1) % 10, 'by chance'),
            'no 7': (torch.where((y == 7)[:, None, None, None], first[1], x), y, 'never sees 7 ')}

@pytest.mark.parametrize('what', ['even tones', 'one image a class', 'one image, with noise', 'other classes', 'no 7'])
def test_failed_generators_are_found_out(what, stages, digits):
    teacher, _, generator = stages
    x, y, says = spoilt(*GanSource(generator).sample(1000))[what]
    logits = predict(load_classifier(teacher), x)
    assert says in faults(judgement(x, y, logits, real_spread(digits)), digits.classes)[0]

def test_good_ones_are_not(bundle):
    seen, wrong = check_generator(bundle)
    assert not wrong and seen == bundle.card['judgement'] and 'warning' not in bundle.card

def test_many_classes_are_judged_by_some():
    "Of 3,000 classes 200, by ten images each: enough to see which are never recognised, and that images differ"
    G = Generator(1, 3000, (8, 8), 16)
    y = spread_out(3000).repeat(10)
    x, _ = generate(G, len(y), shape=(1, 16, 16), y=y)
    assert x.shape == (2000, 1, 16, 16) and len(y.unique()) == 200 and y.max() == 2999
    right = torch.nn.functional.one_hot(y, 3000).float()
    seen = judgement(x, y, right)
    assert seen['variety'] > 0 and not seen['unseen'] and seen['smallest_class'] == 1/200
    right[:, y[:20]] = 0                                            # twenty classes that the teacher never sees
    right[:, 1] += .5
    names = [str(k) for k in range(3000)]
    assert len(judgement(x, y, right)['unseen']) == 20 and 'never sees' in faults(judgement(x, y, right), names)[-1]

def test_an_earlier_bundle_opens():
    old = Bundle(project_root()/'examples/drone_crops/drones.bundle')
    assert 'judgement' not in old.card and old.generator is not None

def test_remedies_end():
    how = dict(arch='cgan', lr=5e-4, epochs=10, augment='none')
    first, second = (changes for _, changes in remedies(how, 100))
    assert first['arch'] == 'strong' and first['augment'] == 'affine' and second['epochs'] == 20 and second['lr'] < 5e-4
    assert 'augment' not in remedies(how, 10**5)[0][1]

def test_no_failed_generator_is_given_away(stages, tmp_path, capsys):
    "Refused with its work kept; `--anyway` takes that, and the card says it first; the recipient blames the generator"
    save_file(stages[0].weights, tmp_path/'w.safetensors')
    args = ['bundle', '--teacher', 'vit_digits_teacher', '--weights', str(tmp_path/'w.safetensors'), '--mean', '.3049',
            '--std', '.3184', '--data', 'digits', '--epochs', '1', '--width', '16', '--tries', '2', '--out',
            str(tmp_path/'b')]
    assert main(args) == 2
    out, err = capsys.readouterr()
    assert 'trained again with the strong generator and augmented images' in out
    assert 'the generator failed' in err and '--anyway' in err and 'Traceback' not in err
    assert not (tmp_path/'b').exists()
    kept = {p: p.stat().st_mtime_ns for p in tmp_path.glob('b.work/generator/*/weights.safetensors')}
    assert len(kept) == 2
    assert main([*args, '--anyway', '--work', str(tmp_path/'b.work')]) == 0
    assert {p: p.stat().st_mtime_ns for p in kept} == kept, 'nothing is trained twice'
    first = (tmp_path/'b/card.yaml').read_text().splitlines()[0]
    assert first.startswith('warning: ') and 'the generator of this bundle failed' in first
    capsys.readouterr()
    check = ['distill', str(tmp_path/'b'), '--student', 'vit_digits_student', '--check', '--out', str(tmp_path/'s')]
    assert main([*check, '--source', 'gan']) == 2
    assert 'failed, neither teacher nor student' in capsys.readouterr().err
    assert main(check) == 0
    out, err = capsys.readouterr()
    assert 'left out, for it failed' in err and 'drawn: tells' in out and 'gan: tells' not in out
    assert not (tmp_path/'s').exists() and not Path(f"{tmp_path/'s'}.work").exists()
