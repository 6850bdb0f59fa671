"""Makes badge and clone line of every notebook from `repo_url` in settings.ini. `--check` tells whether they agree.

While `repo_url` is a placeholder, a badge would lead nowhere, and there is none. The clone line stays: its cell does
something on Colab alone."""
import argparse, re, sys
from pathlib import Path
sys.path.insert(0, str(Path(__file__).parent))
from cells import NBS, has_address, read, set_source, settings, source, write

BADGE = re.compile(r'^\[!\[Open In Colab\].*(?:\n\n?|$)', re.M)

def badged(text, badge):
    "The head of a notebook, with a badge below its title and summary; without one where `badge` is empty."
    text = BADGE.sub('', text).rstrip()
    if not badge: return text
    top = re.match(r'# .*(?:\n\n>(?:.|\n(?!\n))*)?', text)[0]
    return f'{top}\n\n{badge}{text[len(top):]}'

def linked(nb, name, url, branch='main'):
    "Rewrites the links of a notebook in place; returns whether any changed."
    colab = f"https://colab.research.google.com/github/{url.split('github.com/')[-1]}/blob/{branch}/nbs/{name}"
    badge = f'[![Open In Colab](https://colab.research.google.com/assets/colab-badge.svg)]({colab})'
    changed = False
    for i, c in enumerate(nb['cells']):
        old = new = source(c)
        if i == 0 and name[0].isdigit(): new = badged(old, badge if has_address({'repo_url': url}) else '')
        elif c['cell_type'] == 'code':   new = re.sub(r'(git clone [^\n]*?)https://\S+', lambda m: m[1] + url, old)
        if new == old: continue
        set_source(c, new)
        changed = True
    return changed

def main(args=None):
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument('--check', action='store_true')
    check, cfg, stale = p.parse_args(args).check, settings(), []
    for path in sorted(NBS.glob('*.ipynb')):
        nb = read(path)
        if linked(nb, path.name, cfg['repo_url'].rstrip('/'), cfg.get('branch', 'main')):
            stale.append(path.name)
            if not check: write(nb, path)
    if stale:
        what = 'links differ from settings.ini (run `make links`)' if check else 'links rewritten'
        print(f"{what}: {', '.join(stale)}")
    return 1 if stale and check else 0

if __name__ == '__main__': sys.exit(main())
