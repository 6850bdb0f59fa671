"""`make site`: the notebooks as papermill executed them, an API reference and a gallery, as a static site in build/site/html. It needs no other server.

Pages come from build/<scale>/notebooks where `make paper` has run, else from nbs/ with their committed outputs."""
import argparse, ast, json, os, re, shutil, subprocess, sys, time
from functools import cache
from importlib.metadata import files
from pathlib import Path
sys.path.insert(0, str(Path(__file__).parent))
from cells import (NBS, ROOT, addressed, directives, dump, has_address, module, numbered, read, set_source, settings,
                   source, tags)
from outputs import homeless, shown
from tried import PAGE as TRIED

SITE   = ROOT/'build'/'site'
STUDY  = 'digits'       # the committed study that the front page and the gallery speak of
LONG   = 25             # lines of code from which a cell is folded

def in_repository(text, cfg, up='../'):
    "Links to files that the site has not: to the repository, or none where that has no address."
    to = rf"[\1]({cfg['repo_url'].rstrip('/')}/blob/{cfg['branch']}/\2)" if has_address(cfg) else r'\1'
    return re.sub(rf'(?<!!)\[([^\]]*)\]\({re.escape(up)}([^)]*)\)', to, text)

def summary_page(scale): return 'summary' if scale == STUDY else f'summary-{scale}'

def relinked(text, cfg):
    "Links out of nbs/ as links of the site: pages stay pages, committed figures are copied, all else is in the repository."
    text = addressed(re.sub(r'\n[^\n]*\{site_url\}[^\n]*', '', text), cfg)        # the reader is there already
    text = re.sub(r'\]\(\.\./paper_figures/([\w-]+)/summary\.md\)', lambda m: f']({summary_page(m[1])}.md)', text)
    text = re.sub(r'(!\[[^\]]*\]\()\.\./(paper_figures/)', r'\1\2', text)
    return in_repository(text, cfg)

def page(nb, cfg):
    "A notebook as a page: directives gone, hidden code out, long code folded, no progress bars."
    cells = []
    for c in nb['cells']:
        d, c = directives(c), json.loads(json.dumps(c))
        text = source(c)
        if c['cell_type'] == 'markdown': set_source(c, relinked(text, cfg))
        elif c['cell_type'] == 'code':
            c['outputs'] = [homeless(o) for o in c.get('outputs', []) if shown(o)]
            for o in c['outputs']:
                if md := o.get('data', {}).get('text/markdown'): o['data'] = {'text/markdown': relinked(''.join(md), cfg)}
            body = re.sub(r'^#\s*\|.*\n?', '', text, flags=re.M).strip('\n')
            if 'injected-parameters' in tags(c) or not (body or c['outputs']): continue
            c['metadata'] = {'tags': ['remove-input'] if 'hide' in d else ['hide-input'] if body.count('\n') >= LONG else []}
            if 'hide' in d and not c['outputs']: continue
            if 'fig-alt' in d: c['metadata']['mystnb'] = {'image': {'alt': d['fig-alt']}}
            set_source(c, body)
        else: continue
        cells.append(c)
    return {**nb, 'cells': cells}

def executed(path, scale):
    "The notebook as it was last executed in bulk, when it is still the same."
    ran = ROOT/'build'/scale/'notebooks'/path.name
    if path.stem == 'index': ran = ROOT/'build'/'index'/path.name
    if ran.exists():
        new, old = read(ran), read(path)
        have = {c['id']: source(c) for c in new['cells']}
        if all(have.get(c['id']) == source(c) for c in old['cells'] if c['cell_type'] == 'code'): return {**new, 'metadata': old['metadata'], 'cells': [
            next((n for n in new['cells'] if n['id'] == c['id']), c) if c['cell_type'] == 'code' else c for c in old['cells']]}, True
    return read(path), False

def api(mod, title): return f'# {mod}\n\nFrom [{title}](../{title}.ipynb).\n\n```{{eval-rst}}\n.. automodule:: dfkd_nb.{mod}\n   :members:\n```\n'

def gallery(scales):
    "Every committed figure and table, the paper's numbering first."
    parts = ['# Gallery\n\nEvery table and figure that `make paper` draws. The paper’s own numbers stand beside ours in the tables, and in full in the [summary](summary.md).\n']
    for scale in scales:
        home = ROOT/'paper_figures'/scale
        parts.append(f'\n## Scale `{scale}`\n\n{about(scale)}\n')
        figures = sorted((p for p in home.glob('*.png')), key=lambda p: (not p.stem.startswith('fig'), p.stem))
        for p in figures: parts.append(f'### {caption(p.stem)}\n\n{explained(p.stem)}![{caption(p.stem)}](paper_figures/{scale}/{p.name})\n')
        for p in sorted(home.glob('*.md')):
            if p.stem in ('summary', 'report'): continue
            parts.append(f'### {caption(p.stem)}\n\n{explained(p.stem)}{p.read_text(encoding="utf-8")}\n')
    return '\n'.join(parts)

def about(scale):
    "What a scale is: the first line of its file."
    if scale == 'smoke': return 'The small run that `make paper` repeats on any machine, of one to three seeds. It tests the code; numbers to quote are in the other scales.'
    return (ROOT/'scales'/f'{scale}.yaml').read_text(encoding='utf-8').split('\n')[0].lstrip('# ')

@cache
def _drawn():
    "(pattern of a name, notebook) of all strings in cells that save something."
    names = re.compile(r"""(?<=')[a-z]\w*(?:\{[\w+]+\}\w*)*(?=')""")
    return {(re.sub(r'\{[^}]+\}', r'\\w+', name), p.stem) for p in numbered() for c in read(p)['cells'] if c['cell_type'] == 'code' and 'save_' in source(c) for name in names.findall(source(c))}

def explained(stem):
    "Where a table or figure is made and read."
    pages = [(len(pattern), nb) for pattern, nb in _drawn() if re.fullmatch(pattern, stem) or re.fullmatch(pattern, f'{stem}_set')]       # the paper's own figures lose the name of their data set
    return f"*Made and explained in [{(nb := max(pages)[1])}]({nb}.ipynb).*\n\n" if pages else ''

def caption(stem):
    "fig07 → Fig. 7; fid_curves_digits → fid curves, digits."
    if m := re.fullmatch(r'(fig|table)(\d+)(?:_(\w+))?', stem): return f"{'Fig.' if m[1] == 'fig' else 'Table'} {int(m[2])}" + (f", {m[3].replace('_', ' ')}" if m[3] else '')
    return stem.replace('_', ' ')

def summary(scale, cfg):
    "The summary of a scale as a page."
    text = (ROOT/'paper_figures'/scale/'summary.md').read_text(encoding='utf-8')
    text = in_repository(text, cfg, '../../')
    text = re.sub(r'\]\(\.\./([\w-]+)/summary\.md\)', lambda m: f']({summary_page(m[1])}.md)', text)
    text = re.sub(r'\]\(\w+\.md\)', lambda m: m[0] if m[0].startswith('](summary') else '](gallery.md)', text)
    return re.sub(r'\]\((?!http|#|gallery|summary)([\w./-]+)\)', rf'](paper_figures/{scale}/\1)', text)

def in_reading_order(stems):
    "As the front page names them, new readers first."
    front = '\n'.join(map(source, read(NBS/'index.ipynb')['cells']))
    named = re.findall(r'\]\((\d\d\w*)\.ipynb\) \|', front)
    return sorted(stems, key=lambda s: named.index(s) if s in named else len(named))

def lay_out(src, scale):
    "All that Sphinx reads."
    cfg = settings()
    shutil.rmtree(src, ignore_errors=True)
    (src/'api').mkdir(parents=True)
    books, fresh = [NBS/'index.ipynb', *numbered()], []
    for p in books:
        nb, ran = executed(p, scale)
        (src/p.name).write_text(dump(page(nb, cfg)), encoding='utf-8')
        if ran: fresh.append(p.stem)
    mods = [(module(read(p)), p.stem) for p in numbered()]
    mods = [(m, t) for m, t in mods if (ROOT/'dfkd_nb'/f'{m}.py').exists()]
    for m, t in mods: (src/'api'/f'{m}.md').write_text(api(m, t), encoding='utf-8')
    (src/'api'/'index.md').write_text('# API\n\nAll that `dfkd_nb` exports, by module, and the notebook that each comes from.\n\n| module | notebook | |\n|---|---|---|\n'
                                         + '\n'.join(f'| [{m}]({m}.md) | [{t}](../{t}.ipynb) | {ast.get_docstring(ast.parse((ROOT/"dfkd_nb"/f"{m}.py").read_text(encoding="utf-8")))} |' for m, t in mods)
                                         + '\n\n```{toctree}\n:hidden:\n:maxdepth: 1\n\n' + '\n'.join(m for m, _ in mods) + '\n```\n', encoding='utf-8')
    scales = [d.name for d in sorted((ROOT/'paper_figures').iterdir()) if any(d.glob('*.png'))]        # some hold only weights, to go on from
    scales.sort(key=lambda s: (s != STUDY, s))
    for s in scales: shutil.copytree(ROOT/'paper_figures'/s, src/'paper_figures'/s, ignore=shutil.ignore_patterns('results', 'weights', '*.svg', '*.csv', '*.md'))
    (src/'gallery.md').write_text(gallery(scales), encoding='utf-8')
    summaries = [s for s in scales if (ROOT/'paper_figures'/s/'summary.md').exists()]
    for s in summaries: (src/f'{summary_page(s)}.md').write_text(summary(s, cfg), encoding='utf-8')
    shutil.copy(ROOT/TRIED, src)
    nb = read(src/'index.ipynb')
    toc = lambda cap, names: f'```{{toctree}}\n:caption: {cap}\n:hidden:\n\n' + '\n'.join(names) + '\n```\n'
    parts = {'Notebooks': in_reading_order([p.stem for p in numbered()]),
             'Results': [*map(summary_page, summaries), 'gallery'], 'Reference': ['api/index', TRIED.stem]}
    contents = '\n'.join(toc(cap, names) for cap, names in parts.items())
    nb['cells'].append({'cell_type': 'markdown', 'id': 'toc', 'metadata': {}, 'source': contents})
    (src/'index.ipynb').write_text(dump(nb), encoding='utf-8')
    (src/'_static').mkdir()
    shutil.copy(ROOT/'docs'/'site.css', src/'_static')
    shutil.copy(next(f.locate() for f in files('sphinx-mathjax-offline') if f.name == 'tex-svg-full.js'), src/'_static')
    shutil.copy(ROOT/'docs'/'conf.py', src)
    return fresh

def main(args=None):
    p = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    p.add_argument('scale', nargs='?', default='smoke')
    a, start = p.parse_args(args), time.time()
    fresh = lay_out(SITE/'src', a.scale)
    shutil.rmtree(SITE/'html', ignore_errors=True)
    rc = subprocess.run([sys.executable, '-m', 'sphinx', '-W', '--keep-going', '-q', '-b', 'html', SITE/'src', SITE/'html'], env=os.environ | {'DFKD_ROOT': str(ROOT)}).returncode
    if not rc: print(f"{(SITE/'html').relative_to(ROOT)}: {len(list((SITE/'html').rglob('*.html')))} pages, {len(fresh)} notebooks as executed, the others with their committed outputs; {time.time()-start:.0f} s")
    return rc

if __name__ == '__main__': sys.exit(main())
