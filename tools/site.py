"""`make site`: the notebooks as papermill executed them, an API reference and a gallery, as a static site in
build/site/html. It needs no other server.

Pages come from build/<scale>/notebooks where `make paper` has run, else from nbs/ with their committed outputs."""
import argparse, ast, json, os, re, shutil, subprocess, sys, time
from functools import cache
from importlib.metadata import files
from pathlib import Path
sys.path.insert(0, str(Path(__file__).parent))
from cells import (NBS, ROOT, addressed, directives, dump, has_address, module, numbered, read, set_source, settings,
                   source, tags)
from outputs import homeless, shown
from house import PAGE as HOUSE
from tried import PAGE as TRIED

SITE   = ROOT/'build'/'site'
STUDY  = 'digits'       # the committed study that the front page and the gallery speak of
LONG   = 25             # lines of code from which a cell is folded

# --- notebooks as pages

def in_repository(text, cfg, up='../'):
    "Links to files that the site has not: to the repository, or none where that has no address."
    to = rf"[\1]({cfg['repo_url'].rstrip('/')}/blob/{cfg['branch']}/\2)" if has_address(cfg) else r'\1'
    return re.sub(rf'(?<!!)\[([^\]]*)\]\({re.escape(up)}([^)]*)\)', to, text)

def summary_page(scale): return 'summary' if scale == STUDY else f'summary-{scale}'

def relinked(text, cfg):
    """Links out of nbs/ as links of the site: pages stay pages, committed figures are copied, all else is in the
    repository."""
    text = addressed(re.sub(r'\n[^\n]*\{site_url\}[^\n]*', '', text), cfg)        # the reader is there already
    text = re.sub(r'\]\(\.\./paper_figures/([\w-]+)/summary\.md\)', lambda m: f']({summary_page(m[1])}.md)', text)
    text = re.sub(r'(!\[[^\]]*\]\()\.\./(paper_figures/)', r'\1\2', text)
    return in_repository(text, cfg)

def page(nb, cfg):
    "A notebook as a page: directives gone, hidden code out, long code folded, no progress bars."
    cells = []
    for c in nb['cells']:
        d, c = directives(c), json.loads(json.dumps(c))
        hidden = 'hide' in d
        if c['cell_type'] == 'markdown':
            set_source(c, relinked(source(c), cfg))
            cells.append(c)
        elif c['cell_type'] == 'code' and 'injected-parameters' not in tags(c):
            c['outputs'] = [output(o, cfg) for o in c.get('outputs', []) if shown(o)]
            body = re.sub(r'^#\s*\|.*\n?', '', source(c), flags=re.M).strip('\n')
            if not c['outputs'] and (hidden or not body): continue
            folded = ['hide-input'] if body.count('\n') >= LONG else []
            c['metadata'] = {'tags': ['remove-input'] if hidden else folded}
            if 'fig-alt' in d: c['metadata']['mystnb'] = {'image': {'alt': d['fig-alt']}}
            set_source(c, body)
            cells.append(c)
    return {**nb, 'cells': cells}

def output(out, cfg):
    "An output as it is shown: without this machine's paths, its links those of the site."
    out = homeless(out)
    if md := out.get('data', {}).get('text/markdown'):
        out['data'] = {'text/markdown': relinked(''.join(md), cfg)}
    return out

def executed(path, scale):
    "(the notebook as it was last executed in bulk, True) when it is still the same, else (as it is, False)."
    ran = ROOT/'build'/scale/'notebooks'/path.name
    if path.stem == 'index': ran = ROOT/'build'/'index'/path.name
    old = read(path)
    if not ran.exists(): return old, False
    new = read(ran)
    by_id = {c['id']: c for c in reversed(new['cells'])}
    code = [c for c in old['cells'] if c['cell_type'] == 'code']
    if any(c['id'] not in by_id or source(by_id[c['id']]) != source(c) for c in code): return old, False
    cells = [by_id[c['id']] if c['cell_type'] == 'code' else c for c in old['cells']]
    return {**new, 'metadata': old['metadata'], 'cells': cells}, True

# --- the gallery

def gallery(scales):
    "Every committed figure and table, the paper's numbering first."
    parts = ['# Gallery\n\nEvery table and figure that `make paper` draws. The paper’s own numbers stand beside ours '
             'in the tables, and in full in the [summary](summary.md).\n']
    for scale in scales:
        home = ROOT/'paper_figures'/scale
        parts.append(f'\n## Scale `{scale}`\n\n{about(scale)}\n')
        for p in sorted(home.glob('*.png'), key=lambda p: (not p.stem.startswith('fig'), p.stem)):
            parts.append(shown_in_gallery(p.stem, f'![{caption(p.stem)}](paper_figures/{scale}/{p.name})'))
        for p in sorted(home.glob('*.md')):
            if p.stem not in ('summary', 'report'):
                parts.append(shown_in_gallery(p.stem, p.read_text(encoding='utf-8')))
    return '\n'.join(parts)

def shown_in_gallery(stem, text): return f'### {caption(stem)}\n\n{explained(stem)}{text}\n'

def about(scale):
    "What a scale is: the first line of its file."
    if scale != 'smoke':
        return (ROOT/'scales'/f'{scale}.yaml').read_text(encoding='utf-8').split('\n')[0].lstrip('# ')
    return ('The small run that `make paper` repeats on any machine, of one seed. It tests the code; numbers '
            'to quote are in the other scales.')

@cache
def _drawn():
    "(pattern of a name, notebook) of all strings in cells that save something."
    names = re.compile(r"""(?<=')[a-z]\w*(?:\{[\w+]+\}\w*)*(?=')""")
    saving = [(p.stem, source(c)) for p in numbered() for c in read(p)['cells']
              if c['cell_type'] == 'code' and 'save_' in source(c)]
    return {(re.sub(r'\{[^}]+\}', r'\\w+', name), nb) for nb, text in saving for name in names.findall(text)}

def explained(stem):
    "Where a table or figure is made and read."
    either = stem, f'{stem}_set'        # the paper's own figures lose the name of their data set
    pages = [(len(pattern), nb) for pattern, nb in _drawn() if any(re.fullmatch(pattern, s) for s in either)]
    if not pages: return ''
    nb = max(pages)[1]
    return f'*Made and explained in [{nb}]({nb}.ipynb).*\n\n'

def caption(stem):
    "fig07 → Fig. 7; fid_curves_digits → fid curves, digits."
    m = re.fullmatch(r'(fig|table)(\d+)(?:_(\w+))?', stem)
    if not m: return stem.replace('_', ' ')
    kind, number, rest = m.groups()
    return f"{'Fig.' if kind == 'fig' else 'Table'} {int(number)}" + (f", {rest.replace('_', ' ')}" if rest else '')

# --- all that Sphinx reads

def write(path, text): path.write_text(text, encoding='utf-8')

def toctree(names, *options):
    return '\n'.join(['```{toctree}', *(f':{o}' for o in options), '', *names, '```', ''])

def write_notebooks(src, scale, cfg, summaries):
    "The notebooks as pages; returns the names of those that are as they were executed."
    fresh = []
    for p in [NBS/'index.ipynb', *numbered()]:
        nb, ran = executed(p, scale)
        write(src/p.name, dump(page(nb, cfg)))
        if ran: fresh.append(p.stem)
    index = read(src/'index.ipynb')
    parts = {'Notebooks': in_reading_order([p.stem for p in numbered()]),
             'Results': [*map(summary_page, summaries), 'gallery'], 'Reference': ['api/index', TRIED.stem, HOUSE.stem]}
    contents = '\n'.join(toctree(names, f'caption: {title}', 'hidden:') for title, names in parts.items())
    index['cells'].append({'cell_type': 'markdown', 'id': 'toc', 'metadata': {}, 'source': contents})
    write(src/'index.ipynb', dump(index))
    return fresh

def write_api(folder):
    "A page for each module, and their table."
    folder.mkdir()
    rows, names = [], []
    for p in numbered():
        mod, title = module(read(p)), p.stem
        code = ROOT/'dfkd_nb'/f'{mod}.py'
        if not code.exists(): continue
        write(folder/f'{mod}.md', f'# {mod}\n\nFrom [{title}](../{title}.ipynb).\n\n```{{eval-rst}}\n'
                                  f'.. automodule:: dfkd_nb.{mod}\n   :members:\n```\n')
        about_it = ast.get_docstring(ast.parse(code.read_text(encoding='utf-8')))
        rows.append(f'| [{mod}]({mod}.md) | [{title}](../{title}.ipynb) | {about_it} |')
        names.append(mod)
    head = '# API\n\nAll that `dfkd_nb` exports, by module, and the notebook that each comes from.\n'
    table = '\n'.join(['| module | notebook | |', '|---|---|---|', *rows])
    write(folder/'index.md', f"{head}\n{table}\n\n{toctree(names, 'hidden:', 'maxdepth: 1')}")

def in_reading_order(stems):
    "As the front page names them, new readers first."
    front = '\n'.join(map(source, read(NBS/'index.ipynb')['cells']))
    named = re.findall(r'\]\((\d\d\w*)\.ipynb\) \|', front)
    return sorted(stems, key=lambda s: named.index(s) if s in named else len(named))

def summary(scale, cfg):
    "The summary of a scale as a page."
    text = (ROOT/'paper_figures'/scale/'summary.md').read_text(encoding='utf-8')
    text = in_repository(text, cfg, '../../')
    text = re.sub(r'\]\(\.\./([\w-]+)/summary\.md\)', lambda m: f']({summary_page(m[1])}.md)', text)
    text = re.sub(r'\]\(\w+\.md\)', lambda m: m[0] if m[0].startswith('](summary') else '](gallery.md)', text)
    return re.sub(r'\]\((?!http|#|gallery|summary)([\w./-]+)\)', rf'](paper_figures/{scale}/\1)', text)

def write_results(src, cfg):
    "The committed figures, the gallery of them, and the summaries; returns the names of the scales that have one."
    homes = [d for d in sorted((ROOT/'paper_figures').iterdir()) if any(d.glob('*.png'))]   # some hold only weights
    scales = sorted((d.name for d in homes), key=lambda s: (s != STUDY, s))
    stays = shutil.ignore_patterns('results.json', 'weights', '*.svg', '*.csv', '*.md')
    for s in scales: shutil.copytree(ROOT/'paper_figures'/s, src/'paper_figures'/s, ignore=stays)
    write(src/'gallery.md', gallery(scales))
    summaries = [s for s in scales if (ROOT/'paper_figures'/s/'summary.md').exists()]
    for s in summaries: write(src/f'{summary_page(s)}.md', summary(s, cfg))
    return summaries

def lay_out(src, scale):
    "All that Sphinx reads; returns the names of the notebooks that are as they were executed."
    cfg = settings()
    shutil.rmtree(src, ignore_errors=True)
    src.mkdir(parents=True)
    fresh = write_notebooks(src, scale, cfg, write_results(src, cfg))
    write_api(src/'api')
    for extra in (TRIED, HOUSE): shutil.copy(ROOT/extra, src)
    (src/'_static').mkdir()
    shutil.copy(ROOT/'docs'/'site.css', src/'_static')
    mathjax = next(f for f in files('sphinx-mathjax-offline') if f.name == 'tex-svg-full.js')
    shutil.copy(mathjax.locate(), src/'_static')
    shutil.copy(ROOT/'docs'/'conf.py', src)
    return fresh

def main(args=None):
    p = argparse.ArgumentParser(description=__doc__.split('\n\n')[0])
    p.add_argument('scale', nargs='?', default='smoke')
    scale, start = p.parse_args(args).scale, time.time()
    src, html = SITE/'src', SITE/'html'
    fresh = lay_out(src, scale)
    shutil.rmtree(html, ignore_errors=True)
    sphinx = [sys.executable, '-m', 'sphinx', '-W', '--keep-going', '-q', '-b', 'html', src, html]
    rc = subprocess.run(sphinx, env=os.environ | {'DFKD_ROOT': str(ROOT)}).returncode
    if not rc:
        print(f"{html.relative_to(ROOT)}: {len(list(html.rglob('*.html')))} pages, {len(fresh)} notebooks as executed, "
              f'the others with their committed outputs; {time.time()-start:.0f} s')
    return rc

if __name__ == '__main__': sys.exit(main())
