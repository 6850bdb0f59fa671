import hashlib, json, multiprocessing, os, re, sys, tempfile
from pathlib import Path
import pytest

# before coverage begins, in one of several processes: it would follow every line of these imports
if 'PYTEST_XDIST_WORKER' in os.environ: import pandas, timm, torchvision     # noqa: F401

ROOT = Path(__file__).parents[1]

os.environ.setdefault('MPLBACKEND', 'Agg')
# tests see no stages of this checkout, and leave none
os.environ.setdefault('DFKD_RUNS', tempfile.mkdtemp(prefix='dfkd-runs-'))
sys.path.insert(0, str(ROOT/'tools'))
# what the fixture `tried` notes, a file a test
TRIED = Path(os.environ.get('DFKD_TRIED') or ROOT/'build'/'tried')

def noted(test):
    "Where the rows of a test are noted"
    return TRIED/f'{hashlib.sha1(test.encode()).hexdigest()[:16]}.json'

def tests_that_are_no_more(collected):
    "Notes of tests that the files which were collected do not hold any more"
    files = {test.split('::')[0] for test in collected}
    for path in TRIED.glob('*.json'):
        try: rows = json.loads(path.read_text(encoding='utf-8'))
        except (ValueError, OSError): continue          # another process is at it
        test = rows[0]['test'] if rows else ''
        if test.split('::')[0] in files and test not in collected: yield path

@pytest.hookimpl(tryfirst=True)         # before `-k` takes tests away
def pytest_collection_modifyitems(config, items):
    if 'PYTEST_XDIST_WORKER' in os.environ: items[:] = slow_first(items)
    if any('::' in a for a in config.args): return      # only some of a file's tests were collected
    for path in tests_that_are_no_more({i.nodeid for i in items}): path.unlink(missing_ok=True)

def slow_first(items):
    """In a new order: what is slow first, in each half of the tests

    With `--dist worksteal`, two processes begin with a half each, and at the end take what is quick from each other.
    """
    slow = [i for i in items if i.get_closest_marker('slow')]
    quick = [i for i in items if not i.get_closest_marker('slow')]
    n = len(items)//2 - len(slow[::2])
    return slow[::2] + quick[:n] + slow[1::2] + quick[n:]

@pytest.fixture
def make_nb(tmp_path):
    "make_nb('04_x', ('code', 'x = 1', ['parameters']), ('markdown', '# hi', [])) -> path of a small notebook"
    import nbformat as nf
    def make(name, *cells):
        nb = nf.v4.new_notebook(
            metadata={'kernelspec': {'name': 'python3', 'display_name': 'python3', 'language': 'python'}})
        for i, (kind, src, tags) in enumerate(cells):
            c = getattr(nf.v4, f'new_{kind}_cell')(src, id=f'c{i}')
            if tags: c.metadata['tags'] = tags
            nb.cells.append(c)
        nf.write(nb, path := tmp_path/f'{name}.ipynb')
        return path
    return make

@pytest.fixture(scope='session')
def fresh():
    """fresh(function, *args) -> a process that was started for it, and behind which lie the library's imports alone

    They are made once, in a process of their own, since they take longer than what such a process is to do.
    """
    spawn = multiprocessing.get_context('forkserver')
    spawn.set_forkserver_preload(['pytest', 'accelerate', 'dfkd_nb.distill', 'dfkd_nb.gan'])
    def start(f, *args):
        process = spawn.Process(target=f, args=args)
        process.start()
        return process
    return start

class Tried:
    "What a test tried and what it was answered: `tools/tried.py` makes the site's page of it"
    def __init__(self, request, tmp_path):
        self.kind = request.module.__doc__.strip().splitlines()[0]
        self.test, self.tmp = request.node.nodeid, tmp_path
        self.rows = []

    def __call__(self, what, answer):
        "Note an answer that the test has asserted"
        text = ' '.join(str(answer).split()).replace(f'{self.tmp}/', '').replace(self.tmp.name, 'FOLDER')
        self.rows.append({'kind': self.kind, 'test': self.test, 'tried': what, 'answer': text})

    def refused(self, what, call, says, error=ValueError):
        "Assert that a call is refused with a message that holds `says` (a regular expression), and note its answer"
        with pytest.raises(error, match=says) as e: call()
        assert '\n' not in str(e.value).strip(), 'one clear line, please'
        self(what, f'refused: {e.value}')

    def command(self, what, args, says, capsys, code=2):
        "Assert that `dfkd ARGS` ends with `code` and says `says`, without a traceback; note its last line"
        from dfkd_nb.cli import main
        got, (out, err) = main(list(map(str, args))), capsys.readouterr()
        text = (err if code else out+err).strip()
        assert got == code and re.search(says, text) and 'Traceback' not in text, f'exit code {got}: {text}'
        said = text if code or not out.strip() else out.strip()        # a bar of progress differs from run to run
        self(what, f'exit code {code}: {said.splitlines()[-1]}')

@pytest.fixture
def tried(request, tmp_path):
    """What notes a row, as in

        tried('a 16-bit PNG', 'its grey levels, in 8 bits')
        tried.refused('an empty folder', lambda: …, 'holds no images')
    """
    t = Tried(request, tmp_path)
    yield t
    TRIED.mkdir(parents=True, exist_ok=True)
    part = noted(t.test).with_suffix(f'.{os.getpid()}')     # several processes test
    part.write_text(json.dumps(t.rows, ensure_ascii=False), encoding='utf-8')
    part.rename(noted(t.test))
