"The front door: README.md, badges and the site's start page, where the repository has an address and where not."
import base64, importlib.util, os, re, subprocess, sys
import pytest
import links, readme
from dfkd_nb.bundle import Bundle
from cells import NBS, ROOT, has_address, numbered, read, settings, source

PLACEHOLDER = {'repo_url': 'https://github.com/OWNER/dfkd_nb', 'branch': 'main'}
ADDRESS     = {'repo_url': 'https://github.com/me/dfkd_nb', 'branch': 'main'}

spec = importlib.util.spec_from_file_location('site_pages', ROOT/'tools'/'site.py')        # `site` is also Python's own
spec.loader.exec_module(site_pages := importlib.util.module_from_spec(spec))

# --- readme.py

def test_render(make_nb):
    said = 'See {repo_url} and {site_url} ![f](../paper_figures/smoke/f.png)'
    sources = '#| hide\ntable', '1+1', '#| hide\n#| label: f\n#| fig-alt: A figure.\nfig'
    head = ('code', '#| default_exp x', []), ('markdown', said, [])
    nb = read(make_nb('index', *head, *(('code', s, []) for s in sources)))
    png = base64.b64encode(b'png').decode()
    table, number = {'text/plain': 'T', 'text/markdown': '|T|'}, {'text/plain': ['2']}
    shown = table, number, {'text/plain': '<Figure>', 'image/png': png}
    for c, data in zip(nb['cells'][2:], shown):
        c['outputs'] = [dict(output_type='display_data', metadata={}, data=data)]
    text = readme.render(nb, ADDRESS)
    assert text.split('\n\n', 1)[1] == (
        'See https://github.com/me/dfkd_nb and https://me.github.io/dfkd_nb ![f](paper_figures/smoke/f.png)\n\n'
        '|T|\n\n```python\n1+1\n```\n\n```\n2\n```\n\n![A figure.](docs/f.png)\n')
    assert readme.figures(nb) == {'docs/f.png': b'png'}

def front(cfg): return readme.render(read(NBS/'index.ipynb'), cfg)

def test_without_address():
    "While `repo_url` is a placeholder, nothing leads to it."
    text = front(PLACEHOLDER)
    assert not [w for w in ('OWNER', 'owner.github.io', 'git clone', '_url}') if w in text]
    assert 'In a checkout of this repository' in text and '```sh\nmake setup' in text

def test_with_address():
    text = front(ADDRESS)
    assert '```sh\ngit clone https://github.com/me/dfkd_nb && cd dfkd_nb\nmake setup' in text
    assert '(https://me.github.io/dfkd_nb)' in text and '_url}' not in text

def test_front_page():
    """Within the first screens: a picture and Python. Every link into the repository leads somewhere, every notebook
    is named once."""
    text = (ROOT/'README.md').read_text(encoding='utf-8')
    top = text.splitlines()[:60]
    assert any(l.startswith('![') for l in top) and '```python' in top
    for target in re.findall(r'\]\((?!http|#)([^)]+)\)', text): assert (ROOT/target).exists(), target
    assert sorted(re.findall(r'\]\(nbs/(\w+)\.ipynb\) \|', text)) == [p.stem for p in numbered()]
    assert readme.main(['--check']) == 0

@pytest.mark.slow
@pytest.mark.no_cover
def test_five_lines_run(tmp_path, monkeypatch):
    "The lines of README.md as they stand, with a smaller student and few steps."
    import timm
    from safetensors.torch import save_file
    from dfkd_nb import bundle
    lines, = re.findall(r'```python\n(.*?)```', (ROOT/'README.md').read_text(encoding='utf-8'), re.S)
    assert len([l for l in lines.splitlines() if l and not l.startswith('from')]) == 5
    name, file = re.search(r"foreign_teacher\('(\w+)', '([\w.]+)'\)", lines).groups()
    net = timm.create_model(name, img_size=32, num_classes=4)
    save_file({k: v.contiguous() for k, v in net.state_dict().items()}, tmp_path/file)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('DFKD_RUNS', str(tmp_path/'runs'))
    brief = dict(rounds=1, every=1, g_steps=1, s_steps=1, drawn=64)
    for k, v in brief.items(): monkeypatch.setitem(bundle.TEACHER_ONLY, k, v)
    exec(lines.replace('deit_tiny_patch16_224', 'vit_rgb_student'), here := {})
    assert here['student'].result['images_read'] == {}          # no real image
    assert bundle.load_student(tmp_path/'student').card['classes'] == ['bird', 'drone', 'helicopter', 'plane']

@pytest.mark.slow
@pytest.mark.no_cover
def test_run_to_copy(tmp_path):
    "The commands of README.md as they stand, in a folder that has `examples/`: what they promise is so."
    blocks = re.findall(r'```sh\n(.*?)```', (ROOT/'README.md').read_text(encoding='utf-8'), re.S)
    [commands] = [b for b in blocks if 'dfkd sample' in b]
    (tmp_path/'examples').symlink_to(ROOT/'examples')
    paths = os.pathsep.join([os.path.dirname(sys.executable), os.environ['PATH']])
    got = subprocess.run(['bash', '-ec', commands], cwd=tmp_path, capture_output=True, text=True,
                         env={**os.environ, 'PATH': paths, 'PYTHONPATH': str(ROOT)})
    assert got.returncode == 0, got.stderr
    right, n = re.search(r'([\d.]+)% of (\d+) images of pictures, at 16 pixels', got.stdout).groups()
    teacher = Bundle(ROOT/'examples'/'digits.bundle').card['teacher']['accuracy']
    assert n == '360' and float(right) >= 100*teacher-3
    assert re.search(r'pictures/7/0000.png: 7 \(', got.stdout)

# --- links.py

def test_badges(make_nb):
    clone = '    !git clone -q --depth 1 https://e.org/o /content/dfkd_nb'
    head = '# T\n\n> What it is.\n\nWords.'
    nb = read(make_nb('04_x', ('markdown', head, []), ('code', clone, [])))
    assert links.linked(nb, '04_x.ipynb', ADDRESS['repo_url'])
    assert not links.linked(nb, '04_x.ipynb', ADDRESS['repo_url'])
    top, code = map(source, nb['cells'])
    assert top.startswith('# T\n\n> What it is.\n\n[![Open In Colab]') and top.endswith(')\n\nWords.')
    assert 'github/me/dfkd_nb/blob/main/nbs/04_x.ipynb)' in top and '1 https://github.com/me/dfkd_nb /content' in code
    assert links.linked(nb, '04_x.ipynb', PLACEHOLDER['repo_url']) and source(nb['cells'][0]) == head
    assert not links.linked(nb, '04_x.ipynb', PLACEHOLDER['repo_url'])

@pytest.mark.parametrize('path', numbered(), ids=lambda p: p.stem)
def test_badge_comes_and_goes(path):
    "The head of every notebook is the same after a badge was put in and taken out."
    nb = read(path)
    head = source(nb['cells'][0])
    other = ADDRESS if not has_address(settings()) else PLACEHOLDER
    assert links.linked(nb, path.name, other['repo_url'])
    assert ('Open In Colab' in source(nb['cells'][0])) == has_address(other)
    links.linked(nb, path.name, settings()['repo_url'].rstrip('/'))
    assert source(nb['cells'][0]) == head

# --- site.py

def test_links_of_the_site():
    text = ('[a](../CITATION.cff), [b](../paper_figures/mnist/summary.md), '
            '[c](../paper_figures/digits/summary.md), [d](03_probes.ipynb)')
    pages = '[b](summary-mnist.md), [c](summary.md), [d](03_probes.ipynb)'
    assert site_pages.relinked(text, PLACEHOLDER) == f'a, {pages}'
    assert site_pages.relinked(text, ADDRESS) == f'[a](https://github.com/me/dfkd_nb/blob/main/CITATION.cff), {pages}'

def test_reading_order():
    "Models and probes first, the inside last."
    order = site_pages.in_reading_order([p.stem for p in numbered()])
    assert order[:2] == ['02_models', '03_probes'] and order[-1] == '00_checks' and len(order) == len(numbered())
