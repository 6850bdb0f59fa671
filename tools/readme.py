"`make readme`: renders nbs/index.ipynb to README.md, from its stored outputs. `--check` only tells whether they agree."
import argparse, re, sys
from pathlib import Path
sys.path.insert(0, str(Path(__file__).parent))
from cells import NBS, ROOT, directives, read, settings, site_url, source, text

def output(out):
    "One output as Markdown: its text/markdown, else its plain text."
    if out['output_type'] == 'stream': return fenced(out['text']) if out['name'] == 'stdout' else ''
    data = out.get('data', {})
    if 'text/markdown' in data: return text(data['text/markdown']).strip()
    return fenced(data['text/plain']) if 'text/plain' in data else ''

def fenced(lines): return f'```\n{text(lines).rstrip()}\n```'

def code(cell):
    "The parts that a code cell gives: what is shown of its source, and its outputs."
    d = directives(cell)
    outs = [o for o in map(output, cell['outputs']) if o]
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
    md = '\n\n'.join(p for p in parts if p) + '\n'
    md = md.replace('{repo_url}', cfg['repo_url'].rstrip('/')).replace('{site_url}', site_url(cfg))
    # links of nbs/index.ipynb, seen from the top
    return re.sub(r'\]\((?=\d\d\w*\.ipynb)', '](nbs/', md.replace('](../', ']('))

def main(args=None):
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument('--check', action='store_true')
    new, path = render(read(NBS/'index.ipynb'), settings()), ROOT/'README.md'
    if not p.parse_args(args).check: path.write_text(new, encoding='utf-8')
    elif not path.exists() or path.read_text(encoding='utf-8') != new:
        print('README.md is not what nbs/index.ipynb gives: run `make readme`', file=sys.stderr)
        return 1
    return 0

if __name__ == '__main__': sys.exit(main())
