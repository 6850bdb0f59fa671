"`make readme`: README.md and its figures, from the outputs stored in nbs/index.ipynb. `--check` tells if they agree."
import argparse, base64, re, sys
from pathlib import Path
sys.path.insert(0, str(Path(__file__).parent))
from cells import NBS, ROOT, addressed, directives, read, settings, source, text

def figure(cell):
    "Where the figure of a cell with `#| label: NAME` is kept, seen from the top."
    return f"docs/{directives(cell)['label']}.png"

def figures(nb):
    "The figures that README.md shows: path and bytes."
    return {figure(c): base64.b64decode(text(o['data']['image/png'])) for c in nb['cells'] if 'label' in directives(c)
            for o in c['outputs'] if 'image/png' in o.get('data', {})}

def output(out, cell):
    "One output as Markdown: its figure, its text/markdown, else its plain text."
    if out['output_type'] == 'stream': return fenced(out['text']) if out['name'] == 'stdout' else ''
    data = out.get('data', {})
    if 'image/png' in data and 'label' in directives(cell):
        return f"![{directives(cell)['fig-alt']}]({figure(cell)})"
    if 'text/markdown' in data: return text(data['text/markdown']).strip()
    return fenced(data['text/plain']) if 'text/plain' in data else ''

def fenced(lines): return f'```\n{text(lines).rstrip()}\n```'

def code(cell):
    "The parts that a code cell gives: what is shown of its source, and its outputs."
    d = directives(cell)
    outs = [md for o in cell['outputs'] if (md := output(o, cell))]
    if 'default_exp' in d: return []
    if 'hide' in d or d.get('echo') == 'false': return outs
    src = '\n'.join(line for line in source(cell).splitlines() if not line.lstrip().startswith('#|')).strip()
    return [f'```python\n{src}\n```', *outs] if src else outs

def render(nb, cfg):
    "README.md, of the notebook and the settings."
    parts = ['<!-- Made from nbs/index.ipynb by `make readme`: edit that. -->']
    for c in nb['cells']:
        if c['cell_type'] == 'code': parts += code(c)
        elif c['cell_type'] == 'markdown': parts.append(source(c).strip())
    md = addressed('\n\n'.join(p for p in parts if p), cfg).rstrip() + '\n'
    # links of nbs/index.ipynb, seen from the top
    return re.sub(r'\]\((?=\d\d\w*\.ipynb)', '](nbs/', md.replace('](../', ']('))

def main(args=None):
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument('--check', action='store_true')
    nb = read(NBS/'index.ipynb')
    new = {'README.md': render(nb, settings()).encode(), **figures(nb)}
    if not p.parse_args(args).check:
        for name, content in new.items(): (ROOT/name).write_bytes(content)
        return 0
    stale = [name for name, content in new.items() if not (ROOT/name).exists() or (ROOT/name).read_bytes() != content]
    if stale: print(f"not what nbs/index.ipynb gives (run `make readme`): {', '.join(stale)}", file=sys.stderr)
    return int(bool(stale))

if __name__ == '__main__': sys.exit(main())
