"The front door: README.md, badges and the site's start page, where the repository has an address and where not."
import base64, importlib.util, re
import pytest
import links, readme
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
