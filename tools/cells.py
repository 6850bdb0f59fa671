"""What every tool needs to know of a notebook: its cells' source, tags and nbdev directives, its module and its
parameters. Standard library only."""
import ast, json, os, re, sys
from configparser import ConfigParser
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NBS = ROOT/'nbs'

def use_this_package(environ=os.environ):
    """The package of this checkout, for this process and those that it starts: it may be installed nowhere, or that of
    another."""
    if str(ROOT) not in sys.path: sys.path.insert(0, str(ROOT))
    paths = environ.get('PYTHONPATH', '').split(os.pathsep)
    if str(ROOT) not in paths: environ['PYTHONPATH'] = os.pathsep.join([str(ROOT), *filter(None, paths)])

use_this_package()

def settings(root=ROOT):
    ini = ConfigParser(delimiters=['='], interpolation=None)
    ini.read(root/'settings.ini', encoding='utf-8')
    return ini['DEFAULT']

def has_address(cfg):
    "Whether `repo_url` is an address, and no placeholder: links to it lead somewhere."
    return '/OWNER/' not in cfg['repo_url']

def site_url(cfg):
    "Where GitHub Pages shows the site of `repo_url`."
    owner, name = cfg['repo_url'].rstrip('/').split('/')[-2:]
    return f'https://{owner.lower()}.github.io/{name}'

def addressed(md, cfg):
    "With the addresses of the repository and its site; lines that need one are left out while it is a placeholder."
    if not has_address(cfg): md = re.sub(r'^.*\{(?:repo|site)_url\}.*(?:\n\n?|$)', '', md, flags=re.M)
    return md.replace('{repo_url}', cfg['repo_url'].rstrip('/')).replace('{site_url}', site_url(cfg))

def short(path):
    "A path as one types it here."
    path = Path(path)
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path

def numbered(nbs=NBS): return sorted(Path(nbs).glob('[0-9]*.ipynb'))

def read(path): return json.loads(Path(path).read_text(encoding='utf-8'))

def dump(nb):
    "In the layout of `nbdev-clean`, so that a tool's write is no diff of its own."
    return json.dumps(nb, sort_keys=True, indent=1, ensure_ascii=False) + '\n'

def write(nb, path): Path(path).write_text(dump(nb), encoding='utf-8')

def text(x): return x if isinstance(x, str) else ''.join(x)
def source(cell): return text(cell['source'])
def set_source(cell, s): cell['source'] = s.splitlines(True)
def tags(cell): return cell.get('metadata', {}).get('tags', [])

def directives(cell):
    "The `#| name: value` lines at the head of a code cell, as a dict."
    found = {}
    if cell['cell_type'] != 'code': return found
    for line in source(cell).splitlines():
        if m := re.match(r'\s*#\s*\|\s*([\w-]+)\s*:?\s*(.*)', line): found[m[1]] = m[2].strip()
        elif line.strip() and not line.startswith(('#', '%')): break
    return found

def evals(cell): return directives(cell).get('eval', 'true').lower() != 'false'

def runs(cell):
    """Whether a run executes this cell: `cuda` and `net` mark what needs a GPU or a network, tried by
    `nbdev-test --flags` and never part of a run."""
    return cell['cell_type'] == 'code' and evals(cell) and not {'cuda', 'net'} & directives(cell).keys()

def module(nb):
    "The module that `#| default_exp` names, or None."
    return next((d['default_exp'] for c in nb['cells'] if 'default_exp' in (d := directives(c))), None)

def parameter_cells(nb): return [c for c in nb['cells'] if 'parameters' in tags(c)]

def declared(nb):
    "Names assigned in the notebook's one `parameters` cell; none when there is no such cell."
    statements = [s for c in parameter_cells(nb) for s in ast.parse(source(c)).body]
    assigned = [s for s in statements if isinstance(s, (ast.Assign, ast.AnnAssign))]
    targets = [t for s in assigned for t in getattr(s, 'targets', None) or [s.target]]
    return [n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)]

def library(nb, pkg='dfkd_nb'):
    """The lines by which a notebook imports the package's modules, its own last: what its stage cells need to run
    without the rest."""
    code = '\n'.join(source(c) for c in nb['cells'] if c['cell_type'] == 'code')
    lines = re.findall(rf'^from {pkg}\.\w+ import \*', code, re.M)
    return '\n'.join(dict.fromkeys(lines + [f'from {pkg}.{module(nb)} import *']))
