"What is no notebook's business: the repository's own consistency, and its tools."
import ast, base64, builtins, importlib, io, json, multiprocessing, os, re, shutil, subprocess, sys, tomllib
from contextlib import redirect_stderr, redirect_stdout
import numpy as np
import pytest, torch, yaml
from PIL import Image
import execute, graph, links, lowest, outputs, paper, report, verify
from cells import NBS, ROOT, declared, directives, evals, has_address, module, numbered, parameter_cells, read
from cells import settings, source, tags
from dfkd_nb import runs
from dfkd_nb.results import as_json, light_png, read_notes, read_records
from dfkd_nb.runs import load_tree, save_tree

nbs = pytest.mark.parametrize('path', numbered(), ids=lambda p: p.stem)
FLAGS = {'slow', 'cuda', 'net'}

# --- the repository

def test_metadata_agrees():
    proj, cfg = tomllib.loads((ROOT/'pyproject.toml').read_text()), settings()
    assert proj['project']['name'] == cfg['lib_name'] and proj['tool']['nbdev']['lib_path'] == cfg['lib_path']
    assert proj['project']['requires-python'] == f">={cfg['min_python']}"
    version = re.search(r'__version__ = "(.+?)"', (ROOT/cfg['lib_path']/'__init__.py').read_text())[1]
    assert f'version: {version}\n' in (ROOT/'CITATION.cff').read_text()
    assert f'## {version}' in (ROOT/'CHANGELOG.md').read_text()
    pinned = dict(re.findall(r'^([\w.-]+)==(\S+)$', (ROOT/'constraints.txt').read_text(), re.M))
    names = {k.lower().replace('_', '-') for k in pinned}
    for req in (cfg['requirements'] + ' ' + cfg['dev_requirements']).split():
        name = re.split('[><=]', req)[0].lower().replace('_', '-')
        assert name in names, f'{req} is not in constraints.txt'
    assert not [k for k in pinned if k.startswith(('nvidia', 'triton'))]

def test_lower_bounds():
    "Each is one exact version to install, none above what the results were made with."
    from packaging.version import Version
    pinned = {k.lower(): v for k, v in re.findall(r'^([\w.-]+)==(\S+)$', (ROOT/'constraints.txt').read_text(), re.M)}
    low = dict(line.split('==') for line in lowest.pins(settings()).split())
    assert {'torch', 'timm', 'pydantic', 'hypothesis', 'pillow'} <= low.keys()
    assert not [k for k, v in low.items() if Version(v) > Version(pinned[k.lower()])]
    assert Version(low['timm']) > Version('1.0.15')         # up to then, it unpickles what an argument names
    with pytest.raises(SystemExit, match='timm<2'): lowest.pins(dict.fromkeys(lowest.GROUPS, 'torch>=2.11 timm<2'))

NOT_NEEDED = ['transformers', 'sklearn', 'scipy.stats', 'seaborn', 'accelerate', 'onnx', 'onnxruntime', 'onnxscript',
              'torchmetrics', 'pycocotools', 'pytorch_fid', 'IPython', 'papermill', 'nbdev', 'hypothesis', 'spacy',
              'tensorboard']

def test_starts_with_what_it_needs():
    """A job starts with its imports

    What only some functions need is imported there, and what fastai's metrics need when they are called.
    """
    code = f"""
import sys
for name in ('distill', 'detr_distill', 'inversion', 'cli', 'all'):
    __import__(f'dfkd_nb.{{name}}')
    print(name, *(m for m in {NOT_NEEDED} if m in sys.modules))
from fastai.data.transforms import train_test_split     # one that was deferred
print(*map(len, train_test_split(list(range(10)), test_size=.3, random_state=0)))"""
    got = subprocess.run([sys.executable, '-W', 'ignore', '-c', code], cwd=ROOT, capture_output=True, text=True)
    assert got.stdout == 'distill\ndetr_distill\ninversion\ncli\nall\n7 3\n', got.stdout + got.stderr

def test_imports_are_required():
    "What a module of the package imports stands in settings.ini, rather than come along with something else."
    from importlib.metadata import packages_distributions
    ours, names = packages_distributions(), set()
    for path in (ROOT/'dfkd_nb').glob('[a-z]*.py'):
        for n in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
            if isinstance(n, ast.Import): names |= {a.name.split('.')[0] for a in n.names}
            elif isinstance(n, ast.ImportFrom) and not n.level: names.add(n.module.split('.')[0])
    required = {re.split('[><=]', r)[0].lower() for r in settings()['requirements'].split()}
    foreign = names - set(sys.stdlib_module_names) - {'dfkd_nb', 'IPython'}     # the last is there where a notebook is
    assert not {n for n in foreign if not required & {d.lower() for d in ours.get(n, [n])}}

def test_address_stands_once():
    assert settings()['repo_url'] not in (ROOT/'pyproject.toml').read_text() + (ROOT/'setup.py').read_text()
    assert links.main(['--check']) == 0

def test_nothing_private():
    "No path of a machine and no host of a package registry in what is (or would be) committed."
    got = subprocess.run(['git', 'ls-files', '-co', '--exclude-standard'], cwd=ROOT, capture_output=True, text=True)
    if got.returncode: pytest.skip('not a git checkout')
    bad = re.compile('|'.join([r'/wo' r'rk/', r'/ho' r'me/\w+/', r'py' r'pi\.org', r'pythonhost' r'ed\.org',
                               r'registry\.np' r'mjs', r'/opt/(wheels|py' r'pi)']))
    for name in got.stdout.splitlines():
        path = ROOT/name
        if path.is_file() and path.suffix in {'', '.py', '.md', '.toml', '.ini', '.txt', '.yml', '.yaml', '.ipynb',
                                              '.json', '.csv', '.svg', '.cff', '.in'}:
            assert not (m := bad.search(path.read_text(encoding='utf-8', errors='ignore'))), f'{name}: {m[0]}'

def test_imports_go_down():
    "No module imports one with a higher number; none needs nbdev; none pickles."
    number = {module(read(p)): p.stem for p in numbered()} | {'all': '~'}      # written by hand, after all others
    for path in sorted((ROOT/'dfkd_nb').glob('[a-z]*.py')):
        code = path.read_text(encoding='utf-8')
        assert path.stem in number, f'{path.name} comes from no notebook'
        assert not [m for m in graph.imports(code) if number.get(m, '') > number[path.stem]], path.name
        names = [a.name for n in ast.walk(ast.parse(code)) if isinstance(n, (ast.Import, ast.ImportFrom))
                 for a in n.names]
        names += [n.module or '' for n in ast.walk(ast.parse(code)) if isinstance(n, ast.ImportFrom)]
        assert not {n.split('.')[0] for n in names} & {'nbdev', 'pickle', 'dill', 'joblib'}, path.name
        assert 'torch.save(' not in code, path.name
        assert all('weights_only=True' in call for call in re.findall(r'torch\.load\(.*', code)), path.name

def test_all_rooms_at_once():
    "`dfkd_nb.all` names every module in the order of the notebooks, and does nothing else; no name is two things."
    names = [module(read(p)) for p in numbered()]
    doc, *lines = ast.parse((ROOT/'dfkd_nb'/'all.py').read_text(encoding='utf-8')).body
    assert [ast.unparse(n) for n in lines] == [f'from .{m} import *' for m in names]
    everything, found = importlib.import_module('dfkd_nb.all'), {}
    for mod in (importlib.import_module(f'dfkd_nb.{m}') for m in names):
        for n in mod.__all__: assert found.setdefault(n, getattr(mod, n)) is getattr(mod, n), f'{mod.__name__}: {n}'
    assert {n for n in vars(everything) if not n.startswith('_')} == found.keys()
    assert [n for n in found if hasattr(builtins, n) or n in sys.stdlib_module_names] == ['statistics']

# --- the notebooks

@nbs
def test_notebook_shape(path):
    nb = read(path)
    head = source(nb['cells'][0])
    assert head.startswith('# ') and ('[![Open In Colab]' in head) == has_address(settings())
    assert module(nb), 'no default_exp'
    assert 'skip_exec' not in path.read_text()
    if path.stem in graph.STAGES:
        assert len(parameter_cells(nb)) == 1 and {'dataset', 'seed', 'out'} <= set(declared(nb))
        assert any('stage' in tags(c) for c in nb['cells']), 'no cell tagged `stage`'
    else: assert len(parameter_cells(nb)) <= 1

@nbs
def test_cells_really_run(path):
    "Green by not running is not green: nearly all code cells run in the tests."
    code = [c for c in read(path)['cells'] if c['cell_type'] == 'code' and source(c).strip()]
    runs = [c for c in code if evals(c) and not FLAGS & directives(c).keys()]
    assert len(code) >= 8 and len(runs) >= .8*len(code), f'{len(runs)} of {len(code)} code cells run'

@nbs
def test_clean_keeps_tags(path, tmp_path):
    "papermill finds no parameters in a notebook whose tags were cleaned away, and then runs the defaults."
    from nbdev.clean import clean_nb
    from nbdev.config import get_config
    from fastcore.nbio import read_nb
    nb = read_nb(path)
    clean_nb(nb, allowed_cell_metadata_keys=get_config(ROOT).get('allowed_cell_metadata_keys'))
    assert [tags(c) for c in nb['cells']] == [tags(c) for c in read(path)['cells']]

# --- execute.py

PARAMS = ('code', 'dataset, out = "digits", ""\nseed: int = 0', ['parameters'])

def test_refuses_undeclared(make_nb, tmp_path, capsys):
    nb = make_nb('04_x', PARAMS, ('code', '1/0', []))
    assert execute.main([str(nb), str(tmp_path/'o.ipynb'), '-y', '{sed: 1}']) == 2
    assert 'sed' in (err := capsys.readouterr().err)
    assert 'dataset, out, seed' in err
    assert not (tmp_path/'o.ipynb').exists()
    assert execute.main([str(make_nb('05_x', ('code', 'a=1', []))), str(tmp_path/'o.ipynb'), '-y', 'a: 2']) == 2
    assert execute.main([str(nb), str(nb)]) == 2

def test_executes(make_nb, tmp_path):
    src = make_nb('04_x', ('code', '#| default_exp runs', []), PARAMS, ('code', '#| eval: false\n1/0', []),
                  ('code', 'dataset, seed', []), ('code', 'import dfkd_nb.runs', ['stage']))
    before = src.read_bytes()
    assert execute.main([str(src), str(out := tmp_path/'o'/'o.ipynb'), '-y', 'seed: 7']) == 0
    assert src.read_bytes() == before and any("('digits', 7)" in json.dumps(c) for c in read(out)['cells'])
    import nbformat
    kept = execute.prepared(nbformat.read(src, 4), stages=True).cells
    assert [c.source.split('\n')[0] for c in kept] == ['from dfkd_nb.runs import *', 'dataset, out = "digits", ""',
                                                       'import dfkd_nb.runs']

def test_failure_is_kept(make_nb, tmp_path, capsys):
    assert execute.main([str(make_nb('04_x', ('code', 'raise ValueError("the reason")', []))),
                         str(out := tmp_path/'o.ipynb')]) == 1
    assert 'the reason' in capsys.readouterr().err and 'the reason' in out.read_text()

# --- graph.py

def test_hash_sees_code_only(make_nb, tmp_path):
    (lib := tmp_path/'dfkd_nb').mkdir()
    module_ = ('"Doc"\nfrom .low import f\n__all__=["g"]\n'
               'def g(x):\n    "doc"\n    return f(x)  # why\n'
               'def plot_g(): return 1\n')
    for name, s in dict(mid=module_, low='def f(x): return x\n', other='y = 1\n').items():
        (lib/f'{name}.py').write_text(s)
    cells = [('markdown', 'prose', []), ('code', '#| default_exp mid', []), PARAMS, ('code', 'g(1)', ['stage']),
             ('code', 'plot_g()', [])]
    h = lambda stages=True: graph.notebook_hash(make_nb('04_x', *cells), stages, tmp_path)
    first, drawn = h(), h(False)
    cells[0] = ('markdown', 'better prose', [])
    (lib/'mid.py').write_text(module_.replace('"doc"', '"better"').replace('# why', ''))
    (lib/'other.py').write_text('y = 2\n')
    assert h() == first and h(False) == drawn
    (lib/'mid.py').write_text(module_.replace('return 1', 'return 2'))
    assert h() == first and h(False) != drawn
    (lib/'low.py').write_text('def f(x): return 2*x\n')
    assert h() != first
    (lib/'low.py').write_text('def f(x): return x\n')
    cells[3] = ('code', 'g(2)', ['stage'])
    assert h() != first

def test_parameters_of_a_scale():
    cfg = dict(plan={'a': [0], 'b': [0]}, parameters={'04_gan': {'steps': 9, 'b': {'steps': 5}}})
    assert graph.parameters(cfg, '04_gan', 'a', 0, 'o')['steps'] == 9
    assert graph.parameters(cfg, '04_gan', 'b', 0, 'o')['steps'] == 5
    with pytest.raises(SystemExit, match='smoke'): graph.load('nosuch')

SCALES = ['smoke', *sorted(p.stem for p in (ROOT/'scales').glob('*.yaml'))]
scales = pytest.mark.parametrize('scale', SCALES)

def test_needs_come_first():
    names = list(graph.NEEDS)
    assert names == sorted(names) and graph.MINUTES.keys() == graph.NEEDS.keys() and set(graph.STAGES) <= set(names)
    assert all(names.index(n) < names.index(nb) for nb, needs in graph.NEEDS.items() for n in needs)

@scales
def test_jobs_of_a_scale(scale):
    cfg = graph.load(scale)
    jobs, drawn = graph.jobs(cfg), graph.drawn(cfg)
    for i, (nb, d, s) in enumerate(jobs): assert {(n, d, s) for n in graph.NEEDS[nb]} <= set(jobs[:i])
    assert {nb for nb, _ in drawn.values()} >= {nb for nb, _, _ in jobs}
    assert not [n for n, (nb, d) in drawn.items() if nb in graph.STAGES and d not in graph.sets(cfg, nb)]
    for nb, d, _ in jobs:     # who waits for a job has less before it
        assert all(graph.remaining(cfg, nb, d) < graph.remaining(cfg, n, d) for n in graph.NEEDS[nb])

def test_only(tmp_path, monkeypatch):
    monkeypatch.setattr(graph, 'STAGES', list(graph.NEEDS))
    (tmp_path/'scales').mkdir()
    def load(text):
        (tmp_path/'scales/x.yaml').write_text(text)
        return graph.load('x', tmp_path)
    cfg = load('{plan: {a: [0, 1], b: [0]}, only: {05_fid: [b], 07_ablations: [], 09a_drawn: [], 10_ladder: [],'
               ' 11_deploy: []}}')
    assert [j for j in graph.jobs(cfg) if j[0] in ('05_fid', '07_ablations')] == [('05_fid', 'b', 0)]
    assert len(graph.jobs(cfg)) == 4*3 + 1
    both = graph.MINUTES['04_gan'] + graph.MINUTES['06_distill']
    assert graph.remaining(cfg, '04_gan', 'a') == pytest.approx(both)
    assert both < graph.remaining(graph.SMOKE, '04_gan', 'digits')
    cfg = load('{plan: {a: [0, 1], b: [0]}, only: {05_fid: {a: 1}, 07_ablations: [], 09a_drawn: [], 10_ladder: [],'
               ' 11_deploy: []}}')
    assert [j for j in graph.jobs(cfg) if j[0] == '05_fid'] == [('05_fid', 'a', 0)]
    for bad, why in {
            'only: {05_fidd: [a]}': '05_fidd',
            'only: {05_fid: {a: 0}}': 'a number of seeds from 1 up, got 0',
            'only: {05_fid: {a: two}}': "a number of seeds from 1 up, got 'two'",
            'parameters: {04_gn: {}}': '04_gn',
            'only: {05_fid: [c]}': 'c is not in the plan',
            'only: {04_gan: []}': '04_gan, which it needs',
            'parameters: {04_gan: {gan_recip: {}}}': '04_gan: does not declare gan_recip',
            'parameters: {04_gan: {a: {gan_recipe: {epoch: 1}}}}': 'gan_recipe: train_generator does not take epoch',
    }.items():
        with pytest.raises(SystemExit, match=why): load(f'plan: {{a: [0]}}\n{bad}')

def planned(args, said):
    "Snakemake's plan of all jobs, written to a file."
    from snakemake.cli import main
    os.chdir(ROOT)
    with open(said, 'w') as f, redirect_stdout(f), redirect_stderr(f): main(['-n', '--forceall', *args])

@pytest.fixture(scope='session')
def dry(tmp_path_factory):
    "A dry run, in a copy of this process, which has read all notebooks for it."
    import snakemake.cli                                                     # noqa: F401
    for nb in numbered():
        for stages in (True, False): graph.notebook_hash(nb, stages)
    said = tmp_path_factory.mktemp('dry')/'said'
    def run(*args):
        p = multiprocessing.get_context('fork').Process(target=planned, args=(args, said))
        p.start()
        p.join()
        assert p.exitcode == 0, said.read_text()[-3000:]
        return said.read_text()
    return run

@scales
def test_dry_run(scale, dry):
    "Every job and page once, with its priority."
    said, cfg = dry('-c2', '--config', f'scale={scale}'), graph.load(scale)
    assert re.search(rf'^stages +{len(graph.jobs(cfg))}$', said, re.M)
    assert re.search(rf'^draw +{len(graph.drawn(cfg))}$', said, re.M)
    want = [graph.remaining(cfg, nb, d) for nb, d, _ in graph.jobs(cfg)]
    want += [n for nb, _ in graph.drawn(cfg).values() if (n := graph.urgency(nb))]
    assert sorted(float(p) for p in re.findall(r'priority: (\S+)', said)) == sorted(want)

def test_threads_share_a_machine(monkeypatch):
    "`threads` says how many notebooks run at once; they share a GPU's memory, and leave some to what lies beside it."
    cfg = dict(plan={'a': [0]}, threads=2)
    assert [graph.at_once(cfg, n) for n in (1, 2, 4, 16)] == [1, 1, 2, 5]       # one chain ends in five notebooks
    assert graph.at_once(cfg | {'plan': {'a': [0, 1, 2]}}, 16) == 8
    assert paper.gpu_share('cifar10', 2) == '1.000'
    assert float(paper.gpu_share('cifar10', 16))*graph.at_once(graph.load('cifar10'), 16) <= .9
    asked = []
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch.cuda, 'set_per_process_memory_fraction', lambda *a: asked.append(a))
    runs._take_share.cache_clear()
    monkeypatch.setenv('DFKD_GPU_SHARE', '.25')
    assert [runs.pick_device(), runs.pick_device()] == [torch.device('cuda', 0)]*2
    assert asked == [(.25, torch.device('cuda', 0))]
    for bad in ('0', '2', 'nan', 'half'):
        runs._take_share.cache_clear()
        monkeypatch.setenv('DFKD_GPU_SHARE', bad)
        with pytest.raises(ValueError, match=f'DFKD_GPU_SHARE must be above 0 and at most 1, got .{bad}'):
            runs.pick_device()
    runs._take_share.cache_clear()

def test_slurm_profile(dry):
    "It parses, and a dry run (which needs no Slurm) asks for what it says."
    profile = yaml.safe_load((ROOT/'profiles/slurm/config.yaml').read_text())
    assert profile['executor'] == 'slurm'
    assert {'runtime', 'mem_mb', 'cpus_per_task'} <= profile['default-resources'].keys()
    assert profile['set-resources'].keys() <= {'stages', 'draw'}
    paper = (ROOT/'tools/paper.py').read_text()
    assert all(f"'{t}'" in paper for t in profile['rerun-triggers']) and '--rerun-incomplete' in paper
    said = dry('--workflow-profile', 'profiles/slurm')
    assert said.count('gres=gpu:1') == len(graph.jobs(graph.SMOKE)) and 'cpus_per_task=2' in said

# --- report.py

def result(acc, rung='gan', **kw):
    return as_json(dict(stage='student', rung=rung, seed=0, metrics=dict(accuracy=acc), curve=[.5, 1.], **kw)).encode()

@pytest.mark.parametrize('new, verdict', [
    (result(.95), 'identical'),
    (result(.96), 'within'),
    (result(.85), 'outside'),
    (result(float('nan')), 'outside'),
    (result(.95, dataset='x'), 'outside'),
    (b'{', 'outside'),
])
def test_verdicts(new, verdict):
    assert report.compare({'results/a.json': result(.95)}, {'results/a.json': new})['results/a.json'][0] == verdict

def test_newer_results_may_name_more_settings():
    "Of `params`, what the committed result has must be equal."
    def verdict(**params):
        old, new = ({'results/a.json': result(.95, params=p)} for p in ({'lr': .1}, params))
        return report.compare(old, new)['results/a.json'][0]
    assert [verdict(lr=.1), verdict(lr=.1, wd=0.), verdict(lr=.2, wd=0.), verdict(wd=0.)] == ['identical', 'within',
                                                                                               'outside', 'outside']

def test_what_a_run_finds_may_differ():
    old, new = ({'results/a.json': result(.95, params={'lr': lr, 'kinds': kinds})}
                for lr, kinds in ((.1, ['waves']), (.1, ['strokes', 'waves'])))
    assert report.compare(old, new)['results/a.json'][0] == 'within'

def test_noise_may_vary_more():
    assert report.compare({'results/a.json': result(.4, 'noise')},
                          {'results/a.json': result(.5, 'noise')})['results/a.json'][0] == 'within'

def test_report(tmp_path, capsys):
    b, d = tmp_path/'build/smoke', tmp_path/'paper_figures/smoke'
    (b/'results').mkdir(parents=True)
    (d/'weights').mkdir(parents=True)
    (d/'weights/notes.txt').write_text('kept')
    (b/'weights').mkdir()
    weights = b/'weights/a.safetensors'
    for n, x in {
            'results/a.json': result(.95),
            'results/a.run.json': b'{"minutes": 1}',
            'table1.csv': b'1',
            'fig01.png': b'p',
            'weights/a.safetensors': b'w',
    }.items():
        (b/n).write_bytes(x)
    assert report.main(['smoke'], tmp_path) == 0 and 'nothing is committed yet' in capsys.readouterr().out
    (b/'results/a.run.json').write_text('{"minutes": 2}')
    assert report.main(['smoke'], tmp_path) == 0 and 'byte for byte' in capsys.readouterr().out
    assert json.loads((d/'runs.json').read_text()) == {'a': {'minutes': 2}} == read_notes(d/'results')
    assert read_records(d) == {'a': json.loads(result(.95))} and not (d/'results').exists()
    weights.unlink()                        # restored, and not trained anew: its result is the same
    assert report.main(['smoke'], tmp_path) == 0
    assert 'byte for byte' in capsys.readouterr().out
    assert (d/'weights/a.safetensors').read_bytes() == b'w'
    weights.write_bytes(b'w')
    (b/'results/a.json').write_bytes(result(.96))
    (b/'table1.csv').write_text('2')
    assert report.main(['smoke'], tmp_path) == 0
    assert '1 within tolerance' in (out := capsys.readouterr().out)
    assert 'weights of record: 1 identical' in out
    weights.write_bytes(b'W')               # another machine's
    assert report.main(['smoke'], tmp_path) == 0
    assert '1 of other bits' in capsys.readouterr().out
    assert (d/'weights/a.safetensors').read_bytes() == b'W'
    (b/'results/a.json').write_bytes(result(.8))
    weights.write_bytes(b'w')
    assert report.main(['smoke'], tmp_path) == 1
    assert 'outside: results/a.json: accuracy' in (out := capsys.readouterr().out)
    assert 'outside: weights/a.safetensors' in out
    (b/'results/a.json').rename(b/'results/b.json')
    weights.unlink()
    assert report.main(['smoke'], tmp_path) == 1
    assert 'missing: results/a.json' in (out := capsys.readouterr().out)
    assert 'missing: weights/a.safetensors' in out
    assert not (d/'weights/a.safetensors').exists()
    assert (d/'weights/notes.txt').exists()
    assert read_records(d).keys() == {'b'}
    assert (b/'report.md').exists()
    assert not (d/'report.md').exists()

# --- verify.py

@pytest.fixture
def of_record(tmp_path):
    "A scale of one student, the one that travels with the repository: (root, its weights, its result)"
    run = next(p.parent for p in sorted((ROOT/'tests_data/stages/student').glob('*/result.json'))
               if json.loads(p.read_text())['rung'] == 'gan')
    weights = tmp_path/'paper_figures/x/weights/student.safetensors'
    kept = tmp_path/'paper_figures/x/results/student.json'
    for src, dst in ((run/'weights.safetensors', weights), (run/'result.json', kept)):
        dst.parent.mkdir(parents=True)
        shutil.copy(src, dst)
    return tmp_path, weights, kept

def test_verify(of_record, capsys):
    root, weights, _ = of_record
    assert verify.main(['x'], root) == 0
    assert '1 of 1' in (out := capsys.readouterr().out)
    assert '360 test images of digits' in out
    other = {k: torch.zeros_like(v) for k, v in load_tree(weights).items()}
    save_tree(weights, other)
    assert verify.main(['x'], root) == 1 and 'NOT: student: 1' in capsys.readouterr().out
    save_tree(weights, dict(list(other.items())[1:]))
    assert verify.main(['x'], root) == 1 and 'another architecture' in capsys.readouterr().out
    weights.write_bytes(weights.read_bytes()[:1000])
    assert verify.main(['x'], root) == 1 and 'cannot be loaded' in capsys.readouterr().out

@pytest.mark.slow
@pytest.mark.no_cover
def test_verify_scenes(tmp_path, capsys):
    "A generator of scenes, by the teacher beside it."
    home = tmp_path/'paper_figures/x'
    for kind in ('teacher', 'generator'):
        [f] = (ROOT/f'tests_data/stages/detr_{kind}').iterdir()
        result = json.loads((f/'result.json').read_text())
        name = f"detr_{kind}-scenes-default-{result['model']}-seed0"
        for folder, file, end in (
                ('results', 'result.json', 'json'),
                ('weights', 'weights.safetensors', 'safetensors'),
        ):
            (home/folder).mkdir(parents=True, exist_ok=True)
            shutil.copy(f/file, home/folder/f'{name}.{end}')
    assert verify.main(['x'], tmp_path) == 0
    assert '2 of 2' in (said := capsys.readouterr().out)
    assert 'of the objects asked for' in said
    changed = next((home/'results').glob('detr_generator*'))
    changed.write_text(json.dumps({**result, 'metrics': {**result['metrics'], 'asked_recall': .1}}))
    assert verify.main(['x'], tmp_path) == 1 and 'NOT: detr_generator' in capsys.readouterr().out

def test_verify_cannot(of_record, capsys):
    root, weights, kept = of_record
    kept.write_text(kept.read_text().replace('"dataset": "digits"', '"dataset": "nosuch"', 1))
    assert verify.main(['x'], root) == 2 and 'nosuch' in capsys.readouterr().err
    kept.unlink()
    assert verify.main(['x'], root) == 1 and 'has no result' in capsys.readouterr().out
    weights.unlink()
    assert verify.main(['x'], root) == 2 and 'make paper SCALE=x' in capsys.readouterr().err

# --- outputs.py

def test_outputs_round_trip(make_nb):
    nb = read(make_nb('04_x', PARAMS, ('code', '1+1', []), ('code', '2+2', [])))
    ran = json.loads(json.dumps(nb))
    out = lambda s: dict(output_type='stream', name='stdout', text=s)
    ran['cells'][1]['outputs'] = [dict(out('x'), name='stderr'), out(f'{ROOT}/runs')]
    ran['cells'][2].update(outputs=[out('5')], source='2+3')
    ran['cells'].insert(
        1, dict(ran['cells'][1], id='injected', outputs=[out('no')], metadata={'tags': ['injected-parameters']}))
    assert outputs.carry(nb, ran) == ['c2']
    assert [c['outputs'] for c in nb['cells']] == [[], [out('runs')], []] and source(nb['cells'][2]) == '2+2'

def test_outputs_are_light(make_nb):
    "A picture is carried with a palette, and is the same picture."
    noisy = np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8)
    Image.fromarray(noisy).save(buf := io.BytesIO(), 'PNG')
    nb = read(make_nb('04_x', ('code', '1+1', [])))
    ran = json.loads(json.dumps(nb))
    ran['cells'][0]['outputs'] = [dict(output_type='display_data', metadata={},
                                       data={'image/png': base64.b64encode(buf.getvalue()).decode()})]
    assert outputs.carry(nb, ran) == []
    light = base64.b64decode(nb['cells'][0]['outputs'][0]['data']['image/png'])
    assert light == light_png(buf.getvalue()) and len(light) < len(buf.getvalue())/2

def test_one_cell_for_colab():
    "The same in all pages"
    cells = [source(c) for f in NBS.glob('[0-9]*.ipynb') for c in read(f)['cells'] if 'google.colab' in source(c)]
    assert len(cells) == len(list(NBS.glob('[0-9]*.ipynb'))) and len(set(cells)) == 1
