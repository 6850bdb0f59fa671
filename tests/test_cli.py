"The command for scripts and shells: JSON, devices, completion, sizes, samples"
import json, os, re, shutil, subprocess, sys
from contextlib import nullcontext
from pathlib import Path
import numpy as np, pytest, torch
from PIL import Image
from safetensors.torch import save_file
from dfkd_nb import runs
from dfkd_nb.bundle import Bundle
from dfkd_nb.cli import EXAMPLES, main
from dfkd_nb.data import get_data
from dfkd_nb.fid import random_inception
from dfkd_nb.models import create_net, load_classifier
from dfkd_nb.training import accuracy, predict

ROOT = Path(__file__).parents[1]
DIGITS = ROOT/'examples'/'digits.bundle'
QUICK = ['--student', 'vit_digits_student', '--source', 'gan', '--images', '64', '--epochs', '1']

@pytest.fixture(scope='session')
def home(tmp_path_factory):
    "A student, a folder of pictures, weights of a teacher, a network for distances"
    home = tmp_path_factory.mktemp('home')
    assert main(['distill', str(DIGITS), *QUICK, '--out', str(home/'student')]) == 0
    assert main(['sample', 'digits', str(home/'pictures')]) == 0
    assert main(['sample', 'digits', str(home/'few'), '--n', '12']) == 0
    save_file(Bundle(DIGITS).teacher.weights, home/'w.safetensors')
    random_inception(home/'inception.safetensors')
    return home

def calls(home, out):
    "Every command, briefly"
    norm = ['--mean', '.3049', '--std', '.3184']
    return {
        'bundle': ['--teacher', 'vit_digits_teacher', '--weights', home/'w.safetensors', *norm, '--data', 'digits',
                   '--epochs', '1', '--width', '16', '--tries', '1', '--anyway', '--out', out/'b'],
        'distill': [DIGITS, *QUICK, '--data', 'digits', '--out', out/'s'],
        'evaluate': [home/'student', '--data', home/'pictures'],
        'export': [home/'student', '--out', out/'s.onnx'],
        'fid': [home/'few', home/'few', '--inception', home/'inception.safetensors', '--dims', '64'],
        'probe': [DIGITS, home/'pictures'/'7'/'0000.png', '--out', out/'p.png'],
        'sample': ['digits', out/'few', '--n', '5'],
        'report': [home/'student', '--no-latency', '--out', out/'r.html'],
    }

FOUND = {'bundle': {'teacher', 'generator', 'memorisation'}, 'distill': {'student', 'accuracy', 'checks'},
         'evaluate': {'accuracy', 'images', 'pixels'}, 'export': {'file', 'bytes', 'classes'}, 'fid': {'fid', 'kid'},
         'probe': {'class', 'file'}, 'sample': {'folder', 'images'}, 'report': {'report', 'bytes'}}

# --- for scripts

@pytest.fixture
def of_two_gpus(monkeypatch):
    "A machine on which whatever of this library went to a GPU would fail, for it is told of two that are none"
    def told(): return sys._getframe(1).f_globals['__name__'].startswith('dfkd_nb')
    monkeypatch.setattr(torch.cuda, 'is_available', told)
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 2)

@pytest.mark.parametrize('command', EXAMPLES)
def test_json(command, home, tmp_path, tried, capfd, of_two_gpus):
    "What is found is one object, and alone on stdout; what a device is asked for is computed there"
    device = [] if command == 'sample' else ['--device', 'cpu']
    asked = [command, *map(str, calls(home, tmp_path)[command]), '--json', *device]
    assert main(asked) == 0, capfd.readouterr().err
    out, err = capfd.readouterr()
    found = json.loads(out)
    assert found['command'] == command and FOUND[command] <= found.keys() and out.count('\n') == 1
    tried(f'dfkd {command} --json', f"an object of {', '.join(found)}")
    if device: tried(f'dfkd {command} --device cpu, on a machine with GPUs', 'computed on its CPU')

@pytest.mark.parametrize('command', EXAMPLES)
def test_json_of_refusals(command, home, tmp_path, tried, capfd):
    for args, code in (([], 2), (['--nope'], 2), (['--device', 'gpu'], 2)):
        given = [*map(str, calls(home, tmp_path)[command]), *args] if args else []
        assert main([command, *given, '--json']) == code
        out, err = capfd.readouterr()
        said = json.loads(out)
        assert said.keys() == {'error', 'exit_code'} and said['exit_code'] == code and said['error'] in err
        tried(' '.join(['dfkd', command, *args, '--json']), said)
    assert not list(tmp_path.iterdir())

def test_json_of_errors_inside(tried, capfd, monkeypatch):
    def fail(*_): raise RuntimeError('shapes')
    monkeypatch.setattr('dfkd_nb.bundle.load_student', fail)
    assert main(['evaluate', 's', '--data', 'digits', '--json']) == 1
    assert json.loads(capfd.readouterr().out) == {'error': 'RuntimeError: shapes', 'exit_code': 1}
    assert main(['--json']) == 2 and 'name a command' in json.loads(capfd.readouterr().out)['error']
    tried('--json, where something goes wrong inside', {'error': 'RuntimeError: shapes', 'exit_code': 1})

@pytest.mark.no_cover
def test_quiet(home, tmp_path):
    "No warnings of other libraries, in a process that imports them for the first time."
    code = 'import json, sys\nfrom dfkd_nb.cli import main\nfor a in json.loads(sys.argv[1]): assert main(a) == 0, a'
    every = [[c, *map(str, args)] for c, args in calls(home, tmp_path).items()]
    got = subprocess.run([sys.executable, '-c', code, json.dumps(every)], capture_output=True, text=True,
                         env={**os.environ, 'PYTHONPATH': str(ROOT)})
    bars = r'.*(\||\d batches ).*'
    lines = [line for line in re.split('[\r\n]', got.stderr) if line and not re.fullmatch(bars, line)]
    ours = ('warning: the generator', 'dfkd fid: warning: 12 images')
    assert got.returncode == 0 and [line for line in lines if not line.startswith(ours)] == []

def test_as_a_module():
    got = subprocess.run([sys.executable, '-m', 'dfkd_nb', '--version'], capture_output=True, text=True,
                         env={**os.environ, 'PYTHONPATH': str(ROOT)})
    assert got.returncode == 0 and re.fullmatch(r'dfkd.* [0-9.]+\S*', got.stdout.strip())

# --- devices

DEVICES = {'gpu': 'none of cpu', 'cuda:x': 'none of cpu', '': 'none of cpu', 'mps': 'take cpu',
           'cuda': 'finds no GPU here', 'cuda:1': 'finds no GPU here'}

@pytest.mark.parametrize('device', DEVICES)
def test_device_that_is_not_there(device, home, tried, capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    tried.command(f'dfkd evaluate --device {device!r}',
                  ['evaluate', home/'student', '--data', 'digits', '--device', device], DEVICES[device], capsys)

def test_device_that_means_nothing(home, tmp_path, tried, capsys, of_two_gpus):
    tried.command('dfkd sample --device cpu', ['sample', *calls(home, tmp_path)['sample'], '--device', 'cpu'],
                  '--device is for', capsys)
    tried.command('dfkd evaluate --device cuda:2, of two GPUs',
                  ['evaluate', home/'student', '--data', 'digits', '--device', 'cuda:2'], 'the last is cuda:1', capsys)

def test_second_gpu(monkeypatch):
    asked = []
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 2)
    monkeypatch.setattr(torch.cuda, 'device', lambda d: asked.append(d) or nullcontext())
    monkeypatch.setattr(runs, '_take_share', asked.append)
    with runs.on_device('cuda:1'): assert runs.pick_device() == torch.device('cuda:1')
    assert asked == [torch.device('cuda:1')]*2 and runs.pick_device() == torch.device('cuda:0')

# --- shells

@pytest.mark.parametrize('shell', ['bash', 'zsh', 'fish'])
def test_completion(shell, capsys):
    assert main(['--completion', shell]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in (*EXAMPLES, '--student', '--source', '--device'))

@pytest.mark.skipif(not shutil.which('bash'), reason='needs bash')
def test_completion_works(tmp_path, capsys):
    main(['--completion', 'bash'])
    (tmp_path/'dfkd.sh').write_text(capsys.readouterr().out)
    def completed(*words):
        ask = f'source dfkd.sh; COMP_WORDS=({" ".join(words)}); COMP_CWORD={len(words)-1}; $(complete -p dfkd | ' \
              "sed -E 's/.*-F ([^ ]+).*/\\1/'); echo ${COMPREPLY[@]}"
        return subprocess.run(['bash', '-c', ask], cwd=tmp_path, capture_output=True, text=True).stdout.split()
    assert completed('dfkd', 'ev') == ['evaluate']
    assert completed('dfkd', 'distill', '--stu') == ['--student']

def test_completion_of_another_shell(tried, capsys):
    tried.command('dfkd --completion ksh', ['--completion', 'ksh'], 'invalid choice', capsys)
    tried.command('dfkd distill --stud …, an option that is cut short', ['distill', 'b', '--stud', 'x', '--out', 's'],
                  'required: --student', capsys)

# --- sizes

def folder_of(path, size, n=12):
    "Grey noise, darker in one class"
    rng = np.random.default_rng(0)
    for split in ('train', 'test'):
        for k, name in enumerate(('bright', 'dark')):
            (path/split/name).mkdir(parents=True)
            for i in range(n):
                pixels = rng.integers(0, 256-128*k, (size, size, 3)).astype('uint8')
                Image.fromarray(pixels).save(path/split/name/f'{i}.png')
    return path

@pytest.fixture
def large(tmp_path, monkeypatch):
    "Arguments of `dfkd bundle` for a teacher of 72 pixels, and its data"
    monkeypatch.setattr('dfkd_nb.cli._chance', lambda K: 0)
    save_file(create_net('vit_rgb_teacher', 2, img_size=72).state_dict(), tmp_path/'w.safetensors')
    stats = ['--mean', '.5', '.5', '.5', '--std', '.5', '.5', '.5']
    return ['--teacher', 'vit_rgb_teacher', '--weights', tmp_path/'w.safetensors', *stats, '--epochs', '1', '--width',
            '16', '--tries', '1', '--anyway', '--data', folder_of(tmp_path/'data', 120)]

def test_teacher_of_large_images(large, tmp_path, tried, capsys):
    assert main(['bundle', *map(str, large), '--out', str(tmp_path/'b')]) == 0
    said = capsys.readouterr().out.splitlines()[0]
    assert said == ('images: 72×72 pixels; the generator draws 64×64 (--size), enlarged for teacher and students')
    tried('dfkd bundle: a folder, and a teacher of 72 pixels', said)
    b = Bundle(tmp_path/'b')
    assert b.shape == (3, 72, 72) and b.card['images']['shape'] == [3, 64, 64]
    x, y = get_data(tmp_path/'data', size=72).read('test')
    assert b.card['teacher']['accuracy'] == accuracy(predict(load_classifier(b.teacher), x), y)
    small = ['--student', 'vit_rgb_student', '--source', 'gan', '--images', '64', '--epochs', '1', '--data',
             tmp_path/'data']
    tried.command('dfkd distill from its generator', ['distill', tmp_path/'b', *small, '--out', tmp_path/'s'],
                  r'at 64 pixels \(.* at its own 72\)', capsys, code=0)
    tried.command('dfkd distill --size 32 from its generator',
                  ['distill', tmp_path/'b', *small, '--size', '32', '--out', tmp_path/'t'], '--size 32: the generator',
                  capsys)
    noise = ['distill', tmp_path/'b', *small[:2], '--source', 'noise', '--images', '64', '--epochs', '1']
    tried.command('dfkd distill --source noise', [*noise, '--out', tmp_path/'n'], '3×72×72', capsys, code=0)
    tried.command('dfkd distill --source noise --size 48', [*noise, '--size', '48', '--out', tmp_path/'m'], '3×48×48',
                  capsys, code=0)
    tried.command('dfkd evaluate', ['evaluate', tmp_path/'s', '--data', tmp_path/'data'], 'at 64 pixels', capsys, 0)
    report = ['report', tmp_path/'b', '--data', tmp_path/'data', '--out', tmp_path/'r.html']
    tried.command('dfkd report of it, on images of the size of its teacher', report, 'r.html', capsys, 0)

def test_size_of_the_generator(large, tmp_path, tried, capsys, monkeypatch):
    with monkeypatch.context() as m:
        m.setattr('dfkd_nb.data.memory', lambda: 10**6)
        tried.command('a folder that does not fit into memory at the size that the teacher takes',
                      ['bundle', *large, '--out', tmp_path/'b'], 'give a folder with fewer', capsys)
    tried.command('dfkd bundle --size 129', ['bundle', *large, '--size', 129, '--out', tmp_path/'b'], 'at most 128',
                  capsys)
    assert main(['bundle', *map(str, large), '--size', '16', '--out', str(tmp_path/'b'), '--json']) == 0
    said = json.loads(capsys.readouterr().out)
    assert said['images']['shape'] == [3, 16, 16]
    tried('dfkd bundle --size 16: a teacher of 72 pixels', 'the generator draws 16×16')

# --- samples, and folders to measure by

def test_sample(home, tmp_path, tried, capsys):
    x, y = get_data('digits').read('test')
    assert sorted(f.name for f in (home/'pictures').iterdir()) == list('0123456789')
    assert len(list((home/'pictures').rglob('*.png'))) == len(x)
    first = np.array(Image.open(home/'pictures'/'7'/'0000.png'))
    assert (first == x[y == 7][0, 0].numpy()).all()
    assert main(['sample', 'digits_rgb', str(tmp_path/'new'/'rgb'), '--split', 'valid', '--n', '3']) == 0
    assert len(list((tmp_path/'new').rglob('*.png'))) == 3
    tried.command('dfkd sample of a set that is none', ['sample', 'digit', tmp_path/'x'], 'no built-in set', capsys)
    tried.command('dfkd sample to a place that is taken', ['sample', 'digits', home/'pictures'], 'is there already',
                  capsys)
    tried.command('dfkd sample --split all', ['sample', 'digits', tmp_path/'x', '--split', 'all'], 'no split',
                  capsys)
    tried.command('dfkd sample --n 0', ['sample', 'digits', tmp_path/'x', '--n', '0'], '--n', capsys)
    assert [p.name for p in tmp_path.iterdir()] == ['new']

def test_evaluate_on_a_folder(home, tmp_path, tried, capsys):
    "All images of a folder count, but those that the bundle was made from"
    def images_of(folder):
        assert main(['evaluate', str(home/'student'), '--data', str(folder), '--json']) == 0
        return json.loads(capsys.readouterr().out)['images']
    everything = images_of(home/'pictures')
    assert everything == 360
    shutil.copytree(home/'pictures', tmp_path/'digits')
    assert images_of(tmp_path/'digits') == 72
    tried('dfkd evaluate on a folder without splits', 'measured by all of its images')
    tried('dfkd evaluate on a folder called as the data of the bundle', 'measured by the fifth that is held out')

# --- export, distances

def test_int8_and_raw_are_compared(home, tmp_path, capsys, monkeypatch):
    "Also where the caller normalises, and with a word where int8 takes longer"
    for name, more, off in (('raw', ['--raw'], 1e-4), ('both', ['--raw', '--int8'], 1.)):
        assert main(['export', str(home/'student'), *more, '--out', str(tmp_path/f'{name}.onnx'), '--json']) == 0
        found = json.loads(capsys.readouterr().out)
        assert 0 < found['max_difference'] < off
        assert set(found['ms']) == ({'float32', 'int8'} if '--int8' in more else set())
    for took, said in (({'float32': 1., 'int8': 2.}, True), ({'float32': 2., 'int8': 1.}, False)):
        monkeypatch.setattr('dfkd_nb.cli.times_of', lambda files, took=took: took)
        assert main(['export', str(home/'student'), '--int8', '--out', str(tmp_path/f'{said}.onnx')]) == 0
        assert ('int8 is slower than float32' in capsys.readouterr().out) == said

def test_weights_of_distances_are_named(home, capsys):
    assert main(['fid', str(home/'few'), str(home/'few'), '--inception', str(home/'inception.safetensors'), '--dims',
                 '64']) == 0
    assert '(weights of inception.safetensors, perhaps not the published ones, 64 features' in capsys.readouterr().out
