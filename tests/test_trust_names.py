"""Names of data sets that mean several things

What exists as a path wins, a built-in set of that name is then said to be passed over, and two things of one name are
refused.
"""
import os, warnings
from pathlib import Path
import numpy as np, pytest
from PIL import Image
from dfkd_nb.data import data_root, find_data, get_data

def pictures(folder):
    for name, colour in (('cat', 'red'), ('dog', 'blue')):
        (folder/name).mkdir(parents=True)
        for i in range(4): Image.new('RGB', (8, 8), colour).save(folder/name/f'{i}.png')
    return folder

def arrays(path):
    x = np.zeros((20, 8, 8), np.uint8)
    y = np.arange(20) % 4
    np.savez(path, x_train=x, y_train=y, x_test=x, y_test=y)
    return path

@pytest.fixture
def here(tmp_path, monkeypatch):
    "An empty current folder, and an empty folder of data sets"
    (tmp_path/'here').mkdir()
    (tmp_path/'root').mkdir()
    monkeypatch.chdir(tmp_path/'here')
    monkeypatch.setenv('DFKD_DATA', str(tmp_path/'root'))
    return tmp_path/'here'

@pytest.fixture
def root(here): return data_root()

def read(name, **kw):
    "A set, and what was warned of"
    with warnings.catch_warnings(record=True) as w:
        warnings.simplefilter('always')
        d = get_data(name, size=8, **kw)
    return d, ' '.join(str(x.message) for x in w)

def test_built_in(here, tried):
    d, text = read('digits')
    assert len(d.classes) == 10 and not text
    tried("get_data('digits') where nothing else is there", 'the built-in set')

@pytest.mark.parametrize('name', ['digits', 'digits_rgb', 'mnist'])
def test_folder_wins(name, here, tried):
    pictures(here/name)
    d, text = read(name)
    assert d.classes == ['cat', 'dog'] and 'the built-in set is passed over' in text
    tried(f"get_data('{name}') where ./{name} holds pictures", f'the folder; {text}')

@pytest.mark.parametrize('make', [
    lambda p: p.mkdir(),
    lambda p: (p/'results').mkdir(parents=True) or (p/'results'/'a.json').write_text('{}'),
    lambda p: p.write_text('x'),
    lambda p: p.symlink_to('nowhere'),
])
def test_accidental_folder(make, here, tried):
    make(here/'digits')
    d, text = read('digits')
    assert len(d.classes) == 10 and ('is passed over' in text) == (here/'digits').is_dir()
    tried("get_data('digits') where ./digits holds no pictures", f'the built-in set {text}')

def test_half_a_set(here, tried):
    pictures(here/'digits')
    (here/'digits'/'weights').mkdir()
    tried.refused("get_data('digits') where ./digits has an empty class", lambda: get_data('digits', size=8),
                  'none in weights')

@pytest.mark.parametrize('name', ['./digits', 'digits/', Path('digits').absolute, 'Path'])
def test_paths_are_paths(name, here, tried):
    name = Path('digits') if name == 'Path' else str(name()) if callable(name) else name
    said = name if not str(name).startswith('/') else 'the whole path of digits'
    tried.refused(f'get_data({said!r}) where there is no such folder', lambda: get_data(name),
                  r'there is no folder .*called by its name alone', FileNotFoundError)
    pictures(here/'digits')
    d, text = read(name)
    assert d.classes == ['cat', 'dog'] and not text
    (here/'digits'/'cat').rename(here/'cat')
    (here/'digits'/'dog').rename(here/'dog')
    tried.refused(f'get_data({said!r}) where the folder is empty', lambda: get_data(name, size=8),
                  'must have one sub-folder')

@pytest.mark.parametrize('name', ['twin', './twin', 'twin/', 'Path', 'absolute'])
def test_twins(name, here, tried):
    pictures(here/'twin')
    arrays(here/'twin.npz')
    called = {'Path': Path('twin'), 'absolute': str(here/'twin')}.get(name, name)
    tried.refused(f'{name}: twin/ beside twin.npz', lambda: get_data(called, size=8),
                  'means several things, the folder .*twin and the file .*twin.npz')
    assert len(get_data('twin.npz').classes) == 4
    tried('twin.npz beside twin/, with its ending', 'the file')

def test_without_ending(here, tried):
    arrays(here/'mine.npz')
    for name in ('mine', './mine', Path('mine'), str(here/'mine'), 'mine.npz', Path('mine.npz')):
        assert read(name)[0].name == 'mine'
    tried('a file called without its ending', 'found')

def test_under_the_root(here, root, tried):
    arrays(root/'photos.npz')
    assert read('photos') [0].name == 'photos'
    pictures(here/'photos')
    tried.refused('a folder here, and a file of that name under DFKD_DATA', lambda: get_data('photos', size=8),
                  'means several things')
    assert read('./photos')[0].classes == ['cat', 'dog']
    tried('./photos, and a file of that name under DFKD_DATA', 'the folder')

@pytest.mark.parametrize('name', ['digits', 'digits_rgb'])
def test_root_and_built_in(name, root, tried):
    arrays(root/f'{name}.npz')
    d, text = read(name)
    assert len(d.classes) == 4 and 'the built-in set is passed over' in text
    tried(f'{name}.npz under DFKD_DATA', f'it wins; {text}'.replace(str(root), 'DFKD_DATA'))

def test_fetched_sets_lie_there(root, tried):
    arrays(root/'mnist.npz')
    d, text = read('mnist')
    assert len(d.classes) == 4 and not text
    tried('mnist.npz under DFKD_DATA', 'MNIST, as the manual says: no warning')

def test_folder_under_the_root(root, tried):
    pictures(root/'pets')
    assert read('pets')[0].classes == ['cat', 'dog']
    tried('the name of a folder under DFKD_DATA', 'found')

def test_here_is_the_root(root, monkeypatch, tried):
    arrays(root/'mine.npz')
    monkeypatch.chdir(root)
    assert read('mine')[0].name == 'mine'
    (root/'link.npz').symlink_to('mine.npz')
    assert read('link')[0].name == 'link'
    tried('the same file here and under DFKD_DATA', 'found once')

@pytest.mark.parametrize('name', ['', ' ', '.', './', None, 5, 1.5, True, b'digits', ['digits'], Path('.'), Path('')])
def test_no_name(name, here, tried):
    tried.refused(f'get_data({ascii(name)})', lambda: get_data(name), 'a data set (is|needs)')

@pytest.mark.parametrize(
    'name', ['digitz', 'MNIST', 'x'*300, 'a\0b', 'a\nb', '\udcff', 'digits ', ' digits', '-h', '*', '~nobody-here'])
def test_unknown_names(name, here, tried):
    tried.refused(f'get_data({ascii(name[:20])})', lambda: get_data(name), 'unknown data set|there is no',
                  (ValueError, FileNotFoundError))

@pytest.mark.parametrize(
    'name', ['gone/', './gone', '/gone/on', 'gone.npz', '~/gone-away', '../gone', 'x/'*2000, '/'+'x'*300, 'a/\0b'])
def test_unknown_paths(name, here, tried):
    tried.refused(f'get_data({ascii(name[:20])})', lambda: get_data(name), 'there is no (file|folder or file)',
                  FileNotFoundError)

@pytest.mark.parametrize('make,says', [
    (lambda p: p.write_text('x'), 'neither a folder nor a file'),
    (os.mkfifo, 'neither a folder nor a file'),
    (lambda p: p.symlink_to('nowhere'), 'a link to nothing'),
    (lambda p: p.symlink_to('thing'), 'a link to nothing'),
])
def test_other_things(make, says, here, tried):
    make(here/'thing')
    tried.refused('./thing, which is no folder', lambda: get_data('./thing'), says, (ValueError, FileNotFoundError))

def test_folder_called_npz(here, tried):
    pictures(here/'a.npz')
    assert read('a.npz')[0].classes == ['cat', 'dog']
    tried('a folder called a.npz', 'read as a folder')

def test_parent(here, tried):
    (here/'sub').mkdir()
    pictures(here/'pets')
    os.chdir(here/'sub')
    assert read('../pets')[0].name == 'pets'
    os.chdir(here/'pets'/'cat')
    assert read('..')[0].name == 'pets'
    tried("get_data('..')", 'the folder above, by its name')

def test_links(here, tried):
    pictures(here/'pets')
    (here/'digits').symlink_to('pets')
    d, text = read('digits')
    assert d.name == 'digits' and d.classes == ['cat', 'dog'] and 'passed over' in text
    tried('a link called digits to a folder of pictures', text)

def test_detection_can_use_it(here, root, tried):
    assert find_data('scenes', builtin=('scenes',), files=()) is None
    pictures(root/'drones')
    assert find_data('drones', builtin=('scenes',), files=()) == root/'drones'
    tried.refused('an unknown name of detection data', lambda: find_data('frames', builtin=('scenes',), files=()),
                  'unknown data set')

def test_files_that_are_no_set(tmp_path, tried, monkeypatch):
    monkeypatch.setenv('DFKD_DATA', str(tmp_path))
    (tmp_path/'note.txt').write_text('no data')
    (tmp_path/'gone').symlink_to(tmp_path/'nowhere')
    tried.refused('a text where data sets lie', lambda: get_data('note.txt'), 'no data set: neither a folder')
    tried.refused('a link to nothing where data sets lie', lambda: get_data('gone'), 'gone is a link to nothing',
                  error=FileNotFoundError)
