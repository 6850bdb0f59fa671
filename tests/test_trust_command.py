"The command: options, places, interruptions"
import errno, os, shutil, subprocess, sys
from pathlib import Path
import numpy as np, pytest
from filelock import FileLock
from PIL import Image
from safetensors.torch import save_file
import dfkd_nb.bundle as bundle_module
from dfkd_nb.bundle import Bundle
from dfkd_nb.cli import main
from dfkd_nb.data import get_data
from dfkd_nb.models import create_net
from dfkd_nb.recipes import recipe_for
from dfkd_nb.training import train_teacher

DFKD = [sys.executable, '-W', 'ignore', '-c', 'import sys; from dfkd_nb.cli import main; sys.exit(main())']

@pytest.fixture(scope='session')
def home(tmp_path_factory):
    "Weights of the digits' teacher, a bundle without data of it, and a student"
    home = tmp_path_factory.mktemp('home')
    teacher = train_teacher(get_data('digits'), **recipe_for('digits', 'teacher'), seed=0)
    save_file(teacher.weights, home/'w.safetensors')
    assert main(['bundle', *alone(home), '--out', str(home/'b')]) == 0
    assert main(['distill', str(home/'b'), *NOISE, '--out', str(home/'s')]) == 0
    return home

FAILS = ['--tries', '1', '--anyway']        # such a generator fails, and is not what is tested
NORM = ['--mean', '.3049', '--std', '.3184']
NOISE = ['--student', 'vit_digits_student', '--source', 'noise', '--images', '64', '--epochs', '1']
def teacher(home): return ['--teacher', 'vit_digits_teacher', '--weights', str(home/'w.safetensors'), *NORM]
def alone(home): return [*teacher(home), '--classes', '10']
def owner(home): return [*teacher(home), '--data', 'digits', '--epochs', '1', '--width', '16', *FAILS]

def images(folder, classes=('cat', 'dog'), n=12, size=16, mode='L', seed=0):
    "A folder with train and test of random images"
    rng = np.random.default_rng(seed)
    for split in ('train', 'test'):
        for k in classes:
            (folder/split/k).mkdir(parents=True)
            for i in range(n if isinstance(n, int) else n.get(k, 12)):
                pixels = rng.integers(0, 256, (size, size) if mode == 'L' else (size, size, 3)).astype('uint8')
                Image.fromarray(pixels).save(folder/split/k/f'{i}.png')
    return folder

def names(folder): return sorted(str(p.relative_to(folder)) for p in folder.rglob('*'))

# --- where it shall lie

def a_file(p): p.write_text('mine')
def a_folder(p): (p/'thesis').mkdir(parents=True)
def a_dangling_link(p): p.symlink_to(p.parent/'nowhere')
def a_link(p):
    (p.parent/'empty').mkdir()
    p.symlink_to(p.parent/'empty')

PLACES = {
    'an empty text': ('', None, 'names no file or folder'),
    'blanks': ('  ', None, 'names no file or folder'),
    'a zero byte': ('a\0b', None, 'names no file or folder'),
    'an address': ('https://example.org/mine.bundle', None, 'is an address'),
    'a bucket': ('s3://mine/bundle', None, 'is an address'),
    'a file': ('{tmp}/out', a_file, 'is there already'),
    'a folder that holds something': ('{tmp}/out', a_folder, 'is there already'),
    'a link to nothing': ('{tmp}/out', a_dangling_link, 'is a link'),
    'a link to an empty folder': ('{tmp}/out', a_link, 'is a link'),
    'a place under a file': ('{tmp}/out/b', lambda p: p.parent.write_text('mine'), 'nothing can be written'),
    'a place where nothing can be written': ('/proc/mine/b', None, 'nothing can be written'),
    'a name of 300 letters': ('{tmp}/' + 'x'*300, None, 'too long'),
    'a path of 5,000 letters': ('{tmp}' + '/abcdefghi'*500, None, 'too long'),
    'a name in no encoding': ('{tmp}/b\udcff', None, 'UTF-8'),
    'the root': ('/', None, 'is there already'),
    'the current folder': ('.', None, 'is there already'),
}

@pytest.mark.parametrize('what', PLACES)
@pytest.mark.parametrize('command', ['bundle', 'distill'])
def test_out(what, command, home, tmp_path, tried, capsys, monkeypatch):
    out, make, says = PLACES[what]
    monkeypatch.chdir(Path(__file__).parent)
    out = out.format(tmp=tmp_path)
    if make: make(Path(out))
    before = names(tmp_path)
    args = ['bundle', *alone(home)] if command == 'bundle' else ['distill', home/'b', *NOISE]
    tried.command(f'dfkd {command} --out: {what}', [*args, '--out', out], says, capsys)
    assert names(tmp_path) == before

@pytest.mark.parametrize('what,out,says', [
    ('inside the data', 'data/train/b', 'lies inside'),
    ('the data themselves', 'data', 'is read as well'),
    ('the file of weights', 'w.safetensors', 'is read as well'),
])
def test_out_among_inputs(what, out, says, home, tmp_path, tried, capsys):
    images(tmp_path/'data')
    (tmp_path/'w.safetensors').write_bytes((home/'w.safetensors').read_bytes())
    before = names(tmp_path)
    tried.command(f'dfkd bundle --out: {what}',
                  ['bundle', *teacher(tmp_path), '--data', tmp_path/'data', '--out', tmp_path/out], says, capsys)
    assert names(tmp_path) == before

def test_out_in_what_is_read(home, tried, capsys):
    before = names(home)
    tried.command('dfkd distill --out inside the bundle', ['distill', home/'b', *NOISE, '--out', home/'b/student'],
                  'lies inside', capsys)
    tried.command("dfkd export --out inside the student's folder", ['export', home/'s', '--out', home/'s/student.onnx'],
                  'lies inside', capsys)
    tried.command('dfkd export --out: a file that is there', ['export', home/'s', '--out', home/'w.safetensors'],
                  'is there already', capsys)
    tried.command('dfkd probe --out: a file that is there',
                  ['probe', home/'b', home/'x.png', '--out', home/'w.safetensors'], 'is there already', capsys)
    tried.command('dfkd probe --out: a picture of unknown kind',
                  ['probe', home/'b', home/'x.png', '--out', home/'x.xyz'], 'should end in', capsys)
    assert names(home) == before

WORKS = {
    'inside --out': ('{tmp}/out/work', 'lies inside'),
    'the same as --out': ('{tmp}/out', 'is read as well'),
    'around --out': ('{tmp}', 'lies inside'),
    'a file': ('{tmp}/file', 'in the way'),
    'a folder with a thesis': ('{tmp}/mine', 'no unfinished work of ours'),
    'an address': ('ftp://x/y', 'is an address'),
    'an empty text': ('', 'names no file'),
}

@pytest.mark.parametrize('what', WORKS)
def test_work(what, home, tmp_path, tried, capsys):
    work, says = WORKS[what]
    a_file(tmp_path/'file')
    a_folder(tmp_path/'mine')
    before = names(tmp_path)
    tried.command(f'dfkd bundle --work: {what}',
                  ['bundle', *alone(home), '--out', tmp_path/'out', '--work', work.format(tmp=tmp_path)], says, capsys)
    assert names(tmp_path) == before

def test_work_of_someone_else(home, tmp_path, tried, capsys):
    a_folder(tmp_path/'out.work')
    tried.command('a folder of the user where unfinished work would lie',
                  ['bundle', *alone(home), '--out', tmp_path/'out'], 'no unfinished work of ours', capsys)
    assert (tmp_path/'out.work/thesis').is_dir()

# --- nothing of the user's is deleted

def of_a_run(folder, key='0123456789abcdef'):
    "What could be a run of somebody else"
    (folder/'teacher'/key).mkdir(parents=True)
    (folder/'teacher'/key/'weights.safetensors').write_bytes(b'mine')
    (folder/'teacher'/key/'result.json').write_text('{}')

FILES = {
    'pictures that are the source': ('m.work/student/0.png', ['--source', 'wild:{tmp}/m.work'], 'read'),
    'pictures in a folder of it': ('m.work/student/x/0.png', ['--source', 'wild:{tmp}/m.work/student/x'], 'read'),
    'a folder of stages with a text': ('m.work/student/thesis.tex', [], 'thesis.tex'),
    'a text beside checkpoints': ('m.work/student/0123456789abcdef/thesis.tex', [], 'thesis.tex'),
    'weights of a name of ours, elsewhere': ('m.work/student/weights.safetensors', [], 'weights.safetensors'),
    'a lock with something in it': ('m.work/.lock', [], 'lock'),
    'a mark of somebody else': ('m.work/.dfkd', [], 'dfkd'),
    'a plan of somebody else': ('m.work/plan.json', [], 'plan.json'),
    'half of a plan of somebody else': ('m.work/plan.json.17.part', [], 'plan.json'),
}

@pytest.mark.parametrize('what', FILES)
def test_files_of_the_user(what, home, tmp_path, tried, capsys):
    name, source, says = FILES[what]
    (tmp_path/name).parent.mkdir(parents=True)
    if name.endswith('.png'): Image.new('L', (16, 16)).save(tmp_path/name)
    else: (tmp_path/name).write_text('mine')
    before = names(tmp_path)
    tried.command(f'dfkd distill --out m, and in m.work {what}',
                  ['distill', home/'b', *NOISE, *[s.format(tmp=tmp_path) for s in source], '--out', tmp_path/'m'],
                  says, capsys)
    assert names(tmp_path) == before

def test_weights_where_work_would_lie(home, tmp_path, tried, capsys):
    (tmp_path/'m.work/teacher').mkdir(parents=True)
    (tmp_path/'m.work/teacher/w.safetensors').write_bytes((home/'w.safetensors').read_bytes())
    (tmp_path/'data').mkdir()
    (tmp_path/'data.work').symlink_to(tmp_path/'m.work')
    before = names(tmp_path)
    args = ['bundle', *teacher(tmp_path/'m.work/teacher'), '--classes', '10', '--out']
    for out in ('m', 'data'):
        tried.command('dfkd bundle --weights m.work/teacher/w.safetensors --out m', [*args, tmp_path/out], 'read',
                      capsys)
    tried.command('the same as --work', [*args, tmp_path/'x', '--work', tmp_path/'m.work'], 'which is read', capsys)
    assert names(tmp_path) == before

def test_runs_of_somebody_else(home, tmp_path, tried, capsys):
    of_a_run(tmp_path/'m.work')
    before = names(tmp_path)
    tried.command('dfkd bundle --out m, and in m.work runs that the command did not make',
                  ['bundle', *alone(home), '--out', tmp_path/'m'], 'Bundle', capsys, code=0)
    assert set(before) <= set(names(tmp_path))
    tried('the folder of these runs', 'is left as it is')

def test_file_that_comes_meanwhile(home, tmp_path, tried, capsys, monkeypatch):
    def saves(out, *_, **__):
        (tmp_path/'m.work/teacher/thesis.tex').write_text('mine')
        raise ValueError('no')
    monkeypatch.setattr(bundle_module, 'save_bundle', saves)
    assert main(['bundle', *alone(home), '--out', str(tmp_path/'m')]) == 2
    assert 'thesis.tex' in capsys.readouterr().err and (tmp_path/'m.work/teacher/thesis.tex').exists()
    tried('a file that comes into the work folder meanwhile', 'stays, and is named')

def test_hidden_folder_of_the_user(home, tmp_path, tried):
    (tmp_path/'.m.999999998').mkdir()                   # no process has this number
    (tmp_path/'.m.999999998/thesis.tex').write_text('mine')
    (tmp_path/'.m.999999999/teacher').mkdir(parents=True)
    (tmp_path/'.m.999999999/teacher/weights.safetensors').touch()
    assert main(['bundle', *alone(home), '--out', str(tmp_path/'m')]) == 0
    assert (tmp_path/'.m.999999998/thesis.tex').exists() and not (tmp_path/'.m.999999999').exists()
    tried('a folder .m.999999998 of the user beside --out m', 'stays; one that a killed process left is removed')

def test_empty_folder_for_work_stays(home, tmp_path):
    (tmp_path/'m.work').mkdir()
    assert main(['bundle', *alone(home), '--out', str(tmp_path/'m')]) == 0
    assert (tmp_path/'m.work').is_dir() and not names(tmp_path/'m.work')

def test_work_among_the_data(home, tmp_path, tried, capsys, monkeypatch):
    images(tmp_path/'dd/pets', n=8)
    monkeypatch.setenv('DFKD_DATA', str(tmp_path/'dd'))
    before = names(tmp_path)
    args = ['bundle', *teacher(home), '--epochs', '1', '--data']
    for data in (tmp_path/'dd/pets', 'pets'):
        for work in ('dd/pets/work', 'dd/pets', 'dd/pets/train/cat/w'):
            tried.command(f"dfkd bundle --work {work} --data {'pets' if data == 'pets' else 'dd/pets'}",
                          [*args, data, '--work', tmp_path/work, '--out', tmp_path/'out'], 'read', capsys)
        tried.command('dfkd bundle --work around the data', [*args, data, '--work', tmp_path/'dd', '--out',
                                                             tmp_path/'out'], 'which is read', capsys)
        tried.command('dfkd bundle --out inside the data', [*args, data, '--out', tmp_path/'dd/pets/b'],
                      'lies inside', capsys)
    images(tmp_path/'w.work', n=8)
    tried.command('dfkd distill --out inside the pictures of wild:FOLDER',
                  ['distill', home/'b', *NOISE, '--source', f'wild:{tmp_path}/dd', '--out', tmp_path/'dd/s'],
                  'lies inside', capsys)
    tried.command('dfkd distill --out w --data w.work',
                  ['distill', home/'b', *NOISE, '--data', tmp_path/'w.work', '--out', tmp_path/'w'], 'read', capsys)
    assert [n for n in names(tmp_path) if not n.startswith('w.work')] == before

GOOD = {
    'with a slash at its end': '{tmp}/b/',
    'in folders that are not there yet': '{tmp}/x/y/b',
    'with blanks and brackets': '{tmp}/my [best] bundle',
    'in letters of other scripts': '{tmp}/束 λ é',
    '~': '~/b',
}

@pytest.mark.parametrize('what', GOOD)
def test_good_places(what, home, tmp_path, tried, capsys, monkeypatch):
    monkeypatch.setenv('HOME', str(tmp_path))
    out = GOOD[what].format(tmp=tmp_path)
    tried.command(f'dfkd bundle --out: {what}', ['bundle', *alone(home), '--out', out], 'Bundle', capsys, code=0)
    path = Path(os.path.expanduser(out))
    assert Bundle(path).classes == list('0123456789')
    assert [p.name for p in path.parent.iterdir()] == [path.name], 'nothing else is left'

def test_empty_folder_is_taken(home, tmp_path):
    (tmp_path/'b').mkdir()
    assert main(['bundle', *alone(home), '--out', str(tmp_path/'b')]) == 0 and Bundle(tmp_path/'b')

# --- what the options may be

NUMBERS = {
    'bundle': ['--epochs 0', '--epochs -1', '--epochs 1.5', '--epochs 1e9', '--guidance nan', '--guidance -1',
               '--guidance inf', '--size 0', '--size 3', '--size 129', '--size -32', '--width 0', '--width 1000000000',
               '--mean .3 .3', '--mean nan', '--mean 1e9', '--std 0', '--std -1', '--std inf', '--arch nope',
               '--augment nope', '--epochs ' + '9'*5000, '--minutes 5'],
    'distill': ['--epochs 0', '--lr inf', '--lr nan', '--lr 0', '--lr -1', '--images 0', '--images -5', '--images 1e3',
                '--images 1000000000', '--seed -1', '--seed 4294967296', '--seed x', '--minutes 5'],
}

@pytest.mark.parametrize('command,given', [(c, g) for c, options in NUMBERS.items() for g in options],
                         ids=lambda x: x[:30])
def test_numbers(command, given, home, tmp_path, tried, capsys):
    option, *values = given.split()
    args = {'bundle': ['bundle', *owner(home)], 'distill': ['distill', home/'b', *NOISE]}[command]
    tried.command(f'dfkd {command} {given[:60]}', [*args, option, *values, '--out', tmp_path/'out'], option[2:], capsys)
    assert not names(tmp_path)

@pytest.mark.parametrize('minutes', ['0', '-1', 'nan', 'inf', '-inf', '1e9', 'ten', '1e-3'])
def test_minutes(minutes, home, tmp_path, tried, capsys):
    "What is no time, and too little of it"
    says = r'--minutes.* the least is about [\d.]+' if minutes == '1e-3' else '--minutes'
    owners = [*teacher(home), '--data', 'digits', '--width', '16']
    for command, args in (('bundle', owners), ('distill', [home/'b', *NOISE[:4]]),
                          ('distill --source teacher', [home/'b', *NOISE[:2], '--source', 'teacher'])):
        tried.command(f'dfkd {command} --minutes {minutes}',
                      [command.split()[0], *args, f'--minutes={minutes}', '--out', tmp_path/'out'], says, capsys)
    assert not names(tmp_path)

def test_other_numbers(home, tmp_path, tried, capsys):
    out = ['--out', tmp_path/'out']
    tried.command('dfkd distill --rounds 0',
                  ['distill', home/'b', '--student', 'vit_digits_student', '--source', 'teacher', '--rounds', 0, *out],
                  'rounds', capsys)
    tried.command('dfkd bundle --channels 2', ['bundle', *alone(home), '--channels', 2, *out], 'channels', capsys)
    tried.command('dfkd evaluate --size 0', ['evaluate', home/'s', '--data', 'digits', '--size', 0], 'size', capsys)
    tried.command('dfkd fid --dims 100', ['fid', home, home, '--dims', 100], 'dims', capsys)
    for n in ('0', '1', '-3', '900000', 'cat', 'cat,', 'cat,cat', 'cat,\x1b[2J', ' , '):
        tried.command(f'dfkd bundle --classes {n!r}', ['bundle', *teacher(home), f'--classes={n}', *out], 'classes',
                      capsys)
    tried.command('a licence that is no text', ['bundle', *alone(home), '--licence', 'MIT \udcff', *out], 'licence',
                  capsys)
    assert not names(tmp_path)

IGNORED = {
    'bundle': ['--epochs 3', '--minutes 3', '--guidance 1', '--size 32', '--width 64', '--augment none', '--arch cgan'],
    'bundle --data digits': ['--classes 10', '--channels 1'],
    'distill --source noise': ['--rounds 3'],
    'distill --source teacher': ['--images 100', '--epochs 2'],
    'distill --source noise --minutes 3': ['--images 100', '--epochs 2'],
    'distill --source teacher --minutes 3': ['--rounds 3'],
}

@pytest.mark.parametrize('command,given', [(c, g) for c, options in IGNORED.items() for g in options])
def test_ignored(command, given, home, tmp_path, tried, capsys):
    name, *more = command.split()
    if name == 'bundle': args = [name, *(alone(home)[:-2] if more else alone(home))]
    else: args = [name, home/'b', '--student', 'vit_digits_student']
    tried.command(f'dfkd {command} {given}, which would be ignored',
                  [*args, *more, *given.split(), '--out', tmp_path/'out'], given.split()[0][2:], capsys)

def test_too_few_images(home, tmp_path, tried, capsys):
    for more in ([], ['--check']):
        for n in (1, 32, 63):
            tried.command(' '.join(['dfkd distill --images', str(n), *more]),
                          ['distill', home/'b', *NOISE, '--images', n, *more, '--out', tmp_path/'s'], '--images',
                          capsys)
    assert not (tmp_path/'s').exists()

@pytest.mark.parametrize('source', ['noise', 'drawn', 'teacher'])
def test_more_than_memory(source, home, tmp_path, tried, capsys, monkeypatch):
    monkeypatch.setattr('dfkd_nb.data.memory', lambda: 300_000)
    args = ['distill', home/'b', *NOISE[:2], '--source', source, '--out', tmp_path/'s']
    for more in ([], ['--check']):
        tried.command(' '.join(['dfkd distill --source', source, 'where there is too little memory', *more]),
                      [*args, *more], 'another source, or another bundle', capsys)
    assert not names(tmp_path)

def test_more_images_than_memory(home, tmp_path, tried, capsys):
    tried.command('dfkd distill --check of a milliard images',
                  ['distill', home/'b', *NOISE, '--images', 10**9, '--check', '--out', tmp_path/'s'],
                  'take fewer .--images', capsys)

def test_large_generator(home):
    from types import SimpleNamespace
    from dfkd_nb.cli import _an_image
    T = Bundle(home/'b').teacher
    arch = dict(chans=1, classes=10, widths=[8]*10, z=8)
    G = SimpleNamespace(result={'model': 'cgan', 'params': {'arch': arch, 'shape': [1, 16, 16]}})
    bundle = SimpleNamespace(shape=(1, 16, 16), teacher=T, generator=G)
    assert _an_image(bundle, 'gan') == 4*8*2048**2 and _an_image(bundle, 'noise') < 10**6

def test_data_by_name(tmp_path, tried, capsys, monkeypatch):
    "A folder under $DFKD_DATA is brought to the teacher's size as one in the current folder"
    from dfkd_nb.cli import _data
    images(tmp_path/'dd/pets', n=4)
    monkeypatch.setenv('DFKD_DATA', str(tmp_path/'dd'))
    assert _data('pets', own=24).shape[-1] == _data(str(tmp_path/'dd/pets'), own=24).shape[-1] == 24
    tried('--data pets, of a folder under $DFKD_DATA', "the teacher's size, as for any folder")

def test_words_of_the_library(home, tmp_path, tried, capsys, monkeypatch):
    save_file(create_net('vit_digits_teacher', 3).state_dict(), tmp_path/'w.safetensors')
    tried.command('dfkd bundle of weights that have no normalisation of their own',
                  ['bundle', '--teacher', 'vit_digits_teacher', '--weights', tmp_path/'w.safetensors', '--classes', 3,
                   '--out', tmp_path/'b'], 'give --mean and --std', capsys)
    for text, says in (('pets: pass size=…', '--size'), ('n_images is 3, less', '--images is 3')):
        def fail(*_, text=text): raise ValueError(text)
        monkeypatch.setattr(bundle_module, 'load_student', fail)
        tried.command(f'what the library says as {text!r}', ['evaluate', 's', '--data', 'digits'], says, capsys)

def test_options_that_contradict(home, tmp_path, tried, capsys):
    tried.command('dfkd bundle --channels 3 of weights of one channel',
                  ['bundle', *alone(home), '--channels', 3, '--out', tmp_path/'b'], '--channels 3.*1 channel', capsys)
    tried.command('dfkd bundle --channels 1 of weights of one channel',
                  ['bundle', *alone(home), '--channels', 1, '--out', tmp_path/'b'], 'Bundle', capsys, code=0)
    tried.command("dfkd bundle --data ''", ['bundle', *alone(home), '--data', '', '--out', tmp_path/'c'],
                  'names no file|real images say', capsys)
    tried.command("dfkd bundle --classes ''", ['bundle', *teacher(home), '--classes', '', '--out', tmp_path/'c'],
                  'classes', capsys)

def test_endings(home, tmp_path, tried, capsys):
    Image.new('L', (16, 16)).save(tmp_path/'x.png')
    before = names(tmp_path)
    for name in ('x.txt', 'x', 'x.onnx.bak', '.onnx'):
        tried.command(f'dfkd export --out {name}', ['export', home/'s', '--out', tmp_path/name], 'end in .onnx', capsys)
    for name in ('p.jpg', 'p', 'p.png.txt'):
        tried.command(f'dfkd probe --out {name}', ['probe', home/'b', tmp_path/'x.png', '--out', tmp_path/name],
                      'end in .png', capsys)
    assert names(tmp_path) == before
    for name in ('p.PNG', 'q.Svg'):
        tried.command(f'dfkd probe --out {name}', ['probe', home/'b', tmp_path/'x.png', '--out', tmp_path/name],
                      'drawn in', capsys, code=0)
    assert Image.open(tmp_path/'p.PNG').format == 'PNG'

@pytest.mark.skipif(sys.platform == 'win32', reason='a current folder cannot be removed there')
def test_no_current_folder(home, tmp_path, tried):
    gone = str(tmp_path/'gone')
    code = f'import os; os.mkdir({gone!r}); os.chdir({gone!r}); os.rmdir({gone!r}); {DFKD[-1]}'
    env = {**os.environ, 'PYTHONPATH': str(Path(__file__).parents[1])}
    for args in (['distill', home/'b', *NOISE, '--out', tmp_path/'x'], ['evaluate', home/'s', '--data', 'digits']):
        got = subprocess.run([*DFKD[:-1], code, *map(str, args)], capture_output=True, text=True, env=env)
        assert got.returncode == 2 and 'current folder was removed' in got.stderr and got.stderr.count('\n') == 1
        tried(f'dfkd {args[0]} in a folder that was removed', f'exit code 2: {got.stderr}')

WRONG = {
    'no bundle': (['distill', '{home}/s', *NOISE, '--out', '{tmp}/x'], 'holds no bundle'),
    'an address for a bundle': (['distill', 'https://example.org/b', *NOISE, '--out', '{tmp}/x'], 'is an address'),
    'an unknown student': (['distill', '{home}/b', '--student', 'vit_smal', '--out', '{tmp}/x', '--source', 'noise'],
                           'unknown model'),
    'an unknown source': (['distill', '{home}/b', '--student', 'vit_digits_student', '--source', 'dreams',
                           '--out', '{tmp}/x'], 'unknown source'),
    'a source that the bundle lacks': (['distill', '{home}/b', '--student', 'vit_digits_student', '--source', 'gan',
                                        '--out', '{tmp}/x'], 'has no generator'),
    'wild: without a folder': (['distill', '{home}/b', '--student', 'vit_digits_student', '--source', 'wild:',
                                '--out', '{tmp}/x'], 'names no file'),
    'wild: of a folder that is not there': (['distill', '{home}/b', '--student', 'vit_digits_student',
                                             '--source', 'wild:{tmp}/no', '--out', '{tmp}/x'], 'no folder'),
    'wild: of an empty folder': (['distill', '{home}/b', '--student', 'vit_digits_student', '--source', 'wild:{tmp}',
                                  '--out', '{tmp}/x'], 'pictures|images'),
    'wild: of a file': (['distill', '{home}/b', '--student', 'vit_digits_student',
                         '--source', 'wild:{home}/w.safetensors', '--out', '{tmp}/x'], 'no folder'),
    'wild: of an address': (['distill', '{home}/b', '--student', 'vit_digits_student',
                             '--source', 'wild:http://x.org/y', '--out', '{tmp}/x'], 'is an address'),
    'data that are not there': (['evaluate', '{home}/s', '--data', '{tmp}/no'], 'data|folder'),
    'data that are an empty text': (['evaluate', '{home}/s', '--data', ''], 'names no file'),
    'data that are an empty folder': (['evaluate', '{home}/s', '--data', '{tmp}'], 'class|folder'),
    'data that are a file of something else': (['evaluate', '{home}/s', '--data', '{home}/w.safetensors'],
                                               'w.safetensors'),
    'data at an address': (['evaluate', '{home}/s', '--data', 'hf://datasets/mnist'], 'is an address'),
    'no student': (['evaluate', '{tmp}', '--data', 'digits'], 'holds no student'),
    'weights that are not there': (['bundle', '--teacher', 'vit_digits_teacher', '--weights', '{tmp}/w',
                                    '--classes', '3', *NORM, '--out', '{tmp}/x'], 'file'),
    'weights at an address': (['bundle', '--teacher', 'vit_digits_teacher', '--weights', 'https://x.org/w',
                               '--classes', '3', '--out', '{tmp}/x'], 'is an address'),
    'hf: of an address': (['bundle', '--teacher', 'hf:https://x.org/w', '--classes', '3', '--out', '{tmp}/x'],
                          'is an address'),
    'hf: without a folder': (['bundle', '--teacher', 'hf:', '--classes', '3', '--out', '{tmp}/x'], 'names no file'),
    'neither data nor classes': (['bundle', '--teacher', 'vit_digits_teacher', '--weights', '{home}/w.safetensors',
                                  '--out', '{tmp}/x'], 'name the classes'),
    'torchvision without weights': (
        ['bundle', '--teacher', 'torchvision:vit_b_16', '--classes', '3', '--out', '{tmp}/x'], 'weights'),
    'fid of a folder that is not there': (['fid', '{tmp}/a', '{tmp}/b'], 'no folder'),
    'probe of a picture that is none': (['probe', '{home}/b', '{home}/w.safetensors', '--out', '{tmp}/x.png'],
                                        'image|picture'),
    'an unknown command': (['destil'], 'invalid choice'),
    'an unknown option': (['fid', 'a', 'b', '--nope'], 'unrecognized'),
    'nothing after --out': (['export', 'x', '--out'], 'expected one argument'),
    'a required option left out': (['export', 'x'], 'required'),
}

@pytest.mark.parametrize('what', WRONG)
def test_wrong(what, home, tmp_path, tried, capsys):
    args, says = WRONG[what]
    tried.command(what, [a.format(tmp=tmp_path, home=home) for a in args], says, capsys)
    assert not names(tmp_path)

# --- classes

def npz(path, y, class_names=None, n=60, size=16):
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (n, size, size)).astype('uint8')
    y = np.resize(np.array(y), n)
    more = {} if class_names is None else {'class_names': np.array(class_names)}
    np.savez(path, x_train=x, y_train=y, x_test=x, y_test=y, **more)
    return path

def fresh(tmp_path, k):
    net = create_net('vit_digits_teacher', k)
    save_file(net.state_dict(), tmp_path/'w.safetensors')
    return [*teacher(tmp_path), '--epochs', '1', '--width', '16']

@pytest.mark.parametrize('what,k,y,class_names', [
    ('labels 0, 2, 5', 6, [0, 2, 5], None),
    ('more names than labels', 5, [0, 1, 2], list('abcde')),
])
def test_class_without_images(what, k, y, class_names, tmp_path, tried, capsys):
    args = fresh(tmp_path, k)
    before = [*names(tmp_path), 'x.npz']
    tried.command(f'dfkd bundle of data with {what}',
                  ['bundle', *args, '--data', npz(tmp_path/'x.npz', y, class_names), '--out', tmp_path/'b'],
                  'image|class|label', capsys)
    assert names(tmp_path) == sorted(before)

def test_class_of_one_image(tmp_path, tried, capsys, monkeypatch):
    monkeypatch.setattr('dfkd_nb.cli._chance', lambda K: 0)
    args = fresh(tmp_path, 2)
    images(tmp_path/'data', n={'dog': 1})
    before = names(tmp_path)
    code = main(['bundle', *args, *FAILS, '--data', str(tmp_path/'data'), '--out', str(tmp_path/'b')])
    out, err = capsys.readouterr()
    assert code in (0, 2) and 'Traceback' not in err
    if code == 2: assert names(tmp_path) == before
    else: Bundle(tmp_path/'b')
    tried('dfkd bundle of data with one image of a class', f'exit code {code}: {(err or out).strip().splitlines()[-1]}')

# --- names, sizes, channels

def test_size_and_names_come_from_the_student(home, tmp_path, tried, capsys):
    x, y = get_data('digits').read('test')
    # another set names the same classes in another order
    order = np.random.default_rng(0).permutation(10)
    swapped, x = np.argsort(order)[y.numpy()], x[:, 0].numpy()
    np.savez(tmp_path/'swapped.npz', x_train=x, y_train=swapped, x_test=x, y_test=swapped,
             class_names=np.array([str(i) for i in order]))
    np.savez(tmp_path/'large.npz', x_train=x.repeat(2, 1).repeat(2, 2), y_train=y, x_test=x.repeat(2, 1).repeat(2, 2),
             y_test=y)
    few = y < 3
    np.savez(tmp_path/'few.npz', x_train=x[few], y_train=y[few], x_test=x[few], y_test=y[few],
             class_names=np.array(['0', '1', '2']))
    def says(name):
        data = name if name == 'digits' else str(tmp_path/f'{name}.npz')
        assert main(['evaluate', str(home/'s'), '--data', data]) == 0
        return capsys.readouterr().out.strip()
    right = says('digits').split()[1]
    assert says('swapped').split()[1] == right and 'at 16 pixels' in says('large')
    tried('evaluate: the same classes in another order', f'{right} right, as in the order of the student')
    tried('evaluate: images of 32 pixels for a student of 16', says('large'))
    assert 'of 3 of its 10 classes' in says('few') or '3' in says('few')
    tried('evaluate: three of the classes', says('few'))
    ten = 'null,one,two,three,four,five,six,seven,eight,nine'
    assert main(['bundle', *teacher(home), '--classes', ten, '--out', str(tmp_path/'b')]) == 0
    assert main(['distill', str(tmp_path/'b'), *NOISE, '--out', str(tmp_path/'t')]) == 0
    np.savez(tmp_path/'other.npz', x_train=x, y_train=y, x_test=x, y_test=y,
             class_names=np.array(['zero', *ten.split(',')[1:]]))
    tried.command('evaluate: other names', ['evaluate', tmp_path/'t', '--data', tmp_path/'other.npz'], 'null.*zero',
                  capsys)
    tried.command('distill --data: other names', ['distill', tmp_path/'b', *NOISE, '--data', tmp_path/'other.npz',
                                                  '--size', 16, '--out', tmp_path/'s'], 'null.*zero', capsys)
    assert not (tmp_path/'s').exists()

def test_grey_images_and_a_teacher_of_colours(tmp_path, tried, capsys, monkeypatch):
    monkeypatch.setattr('dfkd_nb.cli._chance', lambda K: 0)
    images(tmp_path/'data', n=16)
    save_file(create_net('vit_rgb_teacher', 2).state_dict(), tmp_path/'w.safetensors')
    args = ['--teacher', 'vit_rgb_teacher', '--weights', str(tmp_path/'w.safetensors'), '--mean', '.5', '.5', '.5',
            '--std', '.5', '.5', '.5', '--epochs', '1', '--width', '16', '--size', '16', *FAILS]
    tried.command('dfkd bundle: grey images, a teacher of three channels',
                  ['bundle', *args, '--data', tmp_path/'data', '--out', tmp_path/'b'], 'Bundle', capsys, code=0)
    assert Bundle(tmp_path/'b').card['images']['shape'] == [3, 16, 16]
    small = ['--student', 'vit_rgb_student', '--source', 'gan', '--images', '64', '--epochs', '1']
    tried.command('dfkd distill from it, measured on grey images',
                  ['distill', tmp_path/'b', *small, '--data', tmp_path/'data', '--out', tmp_path/'s'], 'accuracy',
                  capsys, code=0)
    tried.command('dfkd evaluate on grey images', ['evaluate', tmp_path/'s', '--data', tmp_path/'data'], 'at 16 pixels',
                  capsys, code=0)

# --- interruptions

@pytest.fixture
def interrupted(home, tmp_path, monkeypatch, capsys):
    "A command that was stopped after the training of its generator: (its arguments, time of the generator's weights)"
    args = ['bundle', *owner(home), '--out', str(tmp_path/'b')]
    def stop(*_, **__): raise KeyboardInterrupt
    with monkeypatch.context() as m:
        m.setattr(bundle_module, 'memorisation', stop)
        assert main(args) == 130
    assert 'the same command goes on' in capsys.readouterr().err
    [weights] = tmp_path.glob('b.work/generator/*/weights.safetensors')
    return args, weights, weights.stat().st_mtime_ns

def test_goes_on(interrupted, tmp_path, tried, capsys, monkeypatch):
    args, weights, when = interrupted
    tried.command('the same command with another --epochs, refused: the work is kept', [*args, '--epochs', 0], 'epochs',
                  capsys)
    assert weights.exists()
    def full(*_, **__): raise OSError(errno.ENOSPC, 'No space left on device', 'b')
    with monkeypatch.context() as m:
        m.setattr(bundle_module, 'save_bundle', full)
        tried.command('a full disk at the end', args, 'No space left', capsys)
    assert weights.exists() and not (tmp_path/'b').exists()
    (tmp_path/'.b.999999999').mkdir()                   # of a process that was killed
    (tmp_path/'b.work/.lock').touch()
    seen = {}
    real = bundle_module.save_bundle
    def looks(*a, **kw):
        seen['when'] = weights.stat().st_mtime_ns
        return real(*a, **kw)
    monkeypatch.setattr(bundle_module, 'save_bundle', looks)
    assert main(args) == 0 and seen['when'] == when, 'the generator is not trained twice'
    assert sorted(p.name for p in tmp_path.iterdir()) == ['b', 'b.memorisation.png']
    tried('Ctrl-C after the training of the generator, then a full disk, then the same command',
          'goes on; nothing but the bundle and its picture is left')

def test_work_of_another_kind_of_folder(interrupted, home, tmp_path, tried, capsys):
    _, weights, when = interrupted
    tried.command('dfkd distill to where a bundle is unfinished',
                  ['distill', home/'b', *NOISE, '--out', tmp_path/'b'], 'unfinished', capsys)
    assert weights.stat().st_mtime_ns == when

def test_killed(home, tmp_path, tried):
    code = "import os, dfkd_nb.bundle as b; b.save_bundle = lambda *a, **k: os.kill(os.getpid(), 9)\n"
    args = ['bundle', *alone(home), '--out', str(tmp_path/'b')]
    got = subprocess.run([*DFKD[:-1], code+DFKD[-1], *args], capture_output=True)
    assert got.returncode == -9 and (tmp_path/'b.work').is_dir()
    assert main(args) == 0 and names(tmp_path)[0] == 'b' and not (tmp_path/'b.work').exists()
    tried('kill -9 while a bundle is made, then the same command', 'goes on; nothing but the bundle is left')

def test_two_at_once(home, tmp_path, tried, capsys):
    (tmp_path/'b.work').mkdir()
    with FileLock(tmp_path/'b.work/.lock'):
        tried.command('two commands for one --out', ['bundle', *alone(home), '--out', tmp_path/'b'],
                      'another dfkd is at work', capsys)

def test_made_meanwhile(home, tmp_path, tried, capsys, monkeypatch):
    "Two of the same command: the second begins to work when the first has just ended"
    real = FileLock.acquire
    def acquire(lock, *args, **kw):
        if not (tmp_path/'b').exists(): shutil.copytree(home/'b', tmp_path/'b')
        return real(lock, *args, **kw)
    monkeypatch.setattr(FileLock, 'acquire', acquire)
    tried.command('a bundle that another command makes meanwhile',
                  ['bundle', *alone(home), '--out', tmp_path/'b'], 'is there already', capsys)
    assert [p.name for p in tmp_path.iterdir()] == ['b']

def test_refused_teacher_leaves_nothing(tmp_path, tried, capsys):
    args = fresh(tmp_path, 10)
    before = names(tmp_path)
    tried.command('dfkd bundle: a teacher that guesses', ['bundle', *args, '--data', 'digits', '--out', tmp_path/'b'],
                  'hardly more than chance', capsys)
    assert names(tmp_path) == before

# --- one line, whatever happens

ERRORS = {
    'a full disk': (OSError(errno.ENOSPC, 'No space left on device', 'x'), 2, 'x: No space left'),
    'no permission': (PermissionError(errno.EACCES, 'Permission denied', 'x'), 2, 'Permission denied'),
    'too long a name': (OSError(errno.ENAMETOOLONG, 'File name too long', 'x'), 2, 'too long'),
    'a failing disk': (OSError(errno.EIO, 'Input/output error', 'x'), 1, 'use --verbose'),
    'an error of PyTorch': (RuntimeError('shapes do\nnot match'), 1,
                            'RuntimeError: shapes do not match .use --verbose'),
    'no memory': (MemoryError(), 1, 'not enough memory'),
    'no memory of a GPU': (RuntimeError('CUDA out of memory'), 1, 'not enough memory|out of memory'),
    'an assertion': (AssertionError(), 1, 'AssertionError'),
    'a missing key': (KeyError('x'), 1, 'KeyError'),
    'endless recursion': (RecursionError('maximum recursion depth exceeded'), 1, 'RecursionError'),
    'text in no encoding': (UnicodeEncodeError('utf-8', '\udcff', 0, 1, 'surrogates not allowed'), 1,
                            'UnicodeEncodeError'),
    'Ctrl-C': (KeyboardInterrupt(), 130, 'the same command goes on'),
    'an error of several lines': (ValueError('one\ntwo\x1b[2J'), 2, 'one two'),
}

@pytest.mark.parametrize('what', ERRORS)
def test_errors(what, tried, capsys, monkeypatch):
    error, code, says = ERRORS[what]
    def fail(*_): raise error
    monkeypatch.setattr(bundle_module, 'load_student', fail)
    tried.command(what, ['evaluate', 's', '--data', 'digits'], says, capsys, code=code)

def test_verbose(capsys, monkeypatch, tried):
    def fail(*_): raise RuntimeError('inside')
    monkeypatch.setattr(bundle_module, 'load_student', fail)
    for args in (
            ['evaluate', 's', '--data', 'digits', '--verbose'],
            ['--verbose', 'evaluate', 's', '--data', 'digits'],
    ):
        assert main(args) == 1
        err = capsys.readouterr().err
        assert 'Traceback' in err and 'in fail' in err
    tried('--verbose, before or behind the command', 'shows the traceback')

def test_help_is_quick():
    code = """
import sys
from dfkd_nb.cli import main
assert main(['--help']) == main(['bundle', '--help']) == main([]) == 0
assert main(['bundle', '--epochs', 'x']) == 2
assert not {'torch', 'pandas', 'timm', 'numpy'} & sys.modules.keys()
"""
    got = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert got.returncode == 0, got.stderr

@pytest.mark.parametrize('encoding', ['ascii', 'latin-1', 'cp1252'])
def test_encodings(encoding, tried):
    for args in (['bundle', '--help'], ['λ\udcff']):
        got = subprocess.run([*DFKD, *args], capture_output=True,
                             env={**os.environ, 'PYTHONIOENCODING': encoding, 'PYTHONUTF8': '1'})
        assert b'Traceback' not in got.stderr and got.returncode == (0 if '--help' in args else 2), got.stderr
    tried(f'a terminal of {encoding}', 'what it cannot show is escaped')

def test_nobody_reads(tried):
    read, write = os.pipe()
    os.close(read)
    got = subprocess.run([*DFKD, '--help'], stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert not got.stderr and got.returncode == 141
    tried('dfkd --help | true', 'exit code 141, without a word')
    if Path('/dev/full').exists():
        with open('/dev/full', 'w') as full:
            got = subprocess.run([*DFKD, '--help'], stdout=full, stderr=subprocess.PIPE, text=True)
        assert got.returncode == 2 and got.stderr.count('\n') == 1 and 'No space left' in got.stderr
        tried('dfkd --help > /dev/full', f'exit code 2: {got.stderr}')

# --- what a teacher says of itself

@pytest.fixture
def hub(tmp_path):
    "A folder of Hugging Face, of a teacher that calls its classes in an order of its own"
    from transformers import ViTConfig, ViTForImageClassification
    config = ViTConfig(image_size=16, patch_size=4, num_channels=1, hidden_size=16, num_hidden_layers=1,
                       num_attention_heads=2, intermediate_size=32, id2label={0: 'dog', 1: 'cat', 2: 'bird'},
                       label2id={'dog': 0, 'cat': 1, 'bird': 2})
    ViTForImageClassification(config).save_pretrained(tmp_path/'hub')
    return ['--teacher', f'hf:{tmp_path}/hub', '--mean', '.5', '--std', '.5']

def test_names_of_a_teacher(hub, tmp_path, tried, capsys, monkeypatch):
    monkeypatch.setattr('dfkd_nb.cli._chance', lambda K: 0)
    tried.command('dfkd bundle of a teacher that names its classes, without --classes',
                  ['bundle', *hub, '--out', tmp_path/'a'], 'Bundle', capsys, code=0)
    assert Bundle(tmp_path/'a').classes == ['dog', 'cat', 'bird']
    tried.command('with --classes in another order',
                  ['bundle', *hub, '--classes', 'cat,dog,bird', '--out', tmp_path/'x'], 'order', capsys)
    tried.command('with --classes 4 for 3', ['bundle', *hub, '--classes', '4', '--out', tmp_path/'x'], '4', capsys)
    for folder, classes in (
            ('same', ('bird', 'cat', 'dog')),
            ('other', ('bird', 'cat', 'horse')),
            ('few', ('cat', 'dog')),
    ):
        images(tmp_path/folder, classes)
    quick = ['--epochs', '1', '--width', '16', '--size', '16', *FAILS]
    tried.command('with data whose folders have the same names',
                  ['bundle', *hub, *quick, '--data', tmp_path/'same', '--out', tmp_path/'b'], 'Bundle', capsys, code=0)
    assert Bundle(tmp_path/'b').classes == ['dog', 'cat', 'bird']
    tried.command('with data of other names',
                  ['bundle', *hub, *quick, '--data', tmp_path/'other', '--out', tmp_path/'x'], 'horse', capsys)
    tried.command('with data of two of its three classes',
                  ['bundle', *hub, *quick, '--data', tmp_path/'few', '--out', tmp_path/'x'], 'bird|class', capsys)
    assert not list(tmp_path.glob('x*'))

@pytest.mark.parametrize('name', ['../../evil', '/tmp/evil', 'a/b', '..', '.hidden', 'x'*300])
def test_classes_that_are_no_folders(name, tmp_path, monkeypatch, tried, capsys):
    "`dfkd sample` writes into its folder alone, whatever a set calls its classes."
    x = np.zeros((12, 28, 28), np.uint8)
    y = np.arange(12) % 3
    names = np.array([name[:190] if name == '/tmp/evil' else name, 'b', 'c'])
    np.savez(tmp_path/'mnist.npz', x_train=x, y_train=y, x_test=x, y_test=y, class_names=names)
    monkeypatch.setenv('DFKD_DATA', str(tmp_path))
    before = {*tmp_path.iterdir(), *tmp_path.parent.iterdir()}
    tried.command(f'sample of a set with a class {name[:20]!r}', ['sample', 'mnist', tmp_path/'o'/'pics'],
                  'cannot be a folder|characters', capsys)
    assert {*tmp_path.iterdir(), *tmp_path.parent.iterdir()} - before <= {tmp_path/'o'}
    assert not (tmp_path/'o').exists() or not any((tmp_path/'o').iterdir())

@pytest.mark.parametrize('name', ['pics ', ' pics', 'p'*197])
def test_names_of_data(name, tmp_path, monkeypatch, home, tried, capsys):
    "Whatever a folder of images is called, what was made with it can be written."
    monkeypatch.chdir(tmp_path)
    images(tmp_path/name, classes=[str(i) for i in range(10)], n=4)
    args = ['distill', home/'b', *NOISE, '--data', name, '--size', '16', '--out', tmp_path/'s']
    tried.command(f'a folder of images called {name[:20]!r}', args, '', capsys, code=0)
