"""Makes the Colab badge and the clone line of every notebook from `repo_url` in settings.ini. `--check` only tells
whether they agree."""
import argparse, re, sys
from pathlib import Path
sys.path.insert(0, str(Path(__file__).parent))
from cells import NBS, read, set_source, settings, source, write

def linked(nb, name, url, branch='main'):
    "Rewrites the links of a notebook in place; returns whether any changed."
    colab = f"https://colab.research.google.com/github/{url.split('github.com/')[-1]}/blob/{branch}/nbs/{name}"
    badge = f'[![Open In Colab](https://colab.research.google.com/assets/colab-badge.svg)]({colab})'
    changed = False
    for c in nb['cells']:
        old = new = source(c)
        if c['cell_type'] == 'markdown': new = re.sub(r'^\[!\[Open In Colab\].*$', lambda _: badge, old, flags=re.M)
        elif c['cell_type'] == 'code': new = re.sub(r'(git clone [^\n]*?)https://\S+', lambda m: m[1] + url, old)
        if new == old: continue
        set_source(c, new)
        changed = True
    return changed

def main(args=None):
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument('--check', action='store_true')
    check, cfg = p.parse_args(args).check, settings()
    stale = []
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
