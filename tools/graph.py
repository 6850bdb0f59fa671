"What the Snakefile orders: which notebook with which parameters, and a hash of the code that decides its result."
import ast, hashlib, json, re
from functools import cache
import yaml
from cells import NBS, ROOT, declared, evals, module, numbered, read, source, tags
from study import BOXES, EXAMPLES, FIRST, NOTEBOOKS, SMOKE, is_table, line_of, recipes

STAGES  = list(NOTEBOOKS)
NEEDS   = {nb: n.needs for nb, n in NOTEBOOKS.items()}
MINUTES = {nb: n.minutes for nb, n in NOTEBOOKS.items()}

def load(scale, root=ROOT):
    "Plan, `only` and parameters of a scale."
    path = root/'scales'/f'{scale}.yaml'
    if scale != 'smoke' and not path.exists():
        there = ['smoke', *sorted(p.stem for p in path.parent.glob('*.yaml'))]
        raise SystemExit(f"no scale {scale!r}: there are {', '.join(there)}")
    given = SMOKE if scale == 'smoke' else yaml.safe_load(path.read_text(encoding='utf-8'))
    cfg = {'only': {}, 'parameters': {}, **given}
    if bad := wrong(cfg): raise SystemExit(f"scale {scale}: {'; '.join(dict.fromkeys(bad))}")
    return cfg

def wrong(cfg):
    "What is wrong with a scale: else found out when that job's turn comes, maybe hours later, or never."
    known = {*NOTEBOOKS, *(p.stem for p in numbered())}     # a misspelt name would count for nothing, silently
    bad = [f'{k}: there is no notebook {nb}' for k in ('only', 'parameters') for nb in cfg[k] if nb not in known]
    bad += [f'only: {nb}: {d} is not in the plan' for nb, ds in cfg['only'].items() for d in ds if d not in cfg['plan']]
    bad += [f'only: {nb}: {d} wants a number of seeds from 1 up, got {n!r}' for nb, ds in cfg['only'].items()
            if isinstance(ds, dict) for d, n in ds.items() if type(n) is not int or n < 1]
    if bad: return bad
    there = set(jobs(cfg))
    bad += [f'{nb} runs for {d}, seed {s}, and {n}, which it needs, does not'
            for nb, d, s in there for n in NEEDS[nb] if (n, d, s) not in there]
    return bad or [f'{nb}: {b}' for nb, d in drawn(cfg).values() for b in misspelt(nb, parameters(cfg, nb, d, 0, ''))]

@cache
def arguments(module, name, lib=ROOT/'dfkd_nb'):
    "Of a function of the package, read without importing it."
    tree = ast.parse((lib/f'{module}.py').read_text(encoding='utf-8'))
    f = next(n for n in tree.body if getattr(n, 'name', '') == name)
    return {a.arg for a in f.args.args+f.args.kwonlyargs}

def misspelt(nb, params):
    "What a notebook's parameters or recipes name that there is not."
    names = declared(read(NBS/f'{nb}.ipynb'))
    if names:
        for k in params.keys() - {*names, 'dataset', 'seed', 'out'}:
            yield f"does not declare {k}; declared are {', '.join(names)}"
    for recipe, stage in recipes(line_of(nb)).items():
        module, name = stage.made_by.split('.')
        for k in params.get(recipe, {}).keys() - arguments(module, name) - {*stage.also}:
            yield f'{recipe}: {name} does not take {k}'

def sets(cfg, nb):
    "The data sets that a notebook runs for: those of its line, unless `only` names fewer."
    asked, boxes = cfg.get('only', {}).get(nb, cfg['plan']), line_of(nb) == 'boxes'
    return [d for d in cfg['plan'] if d in asked and (d in BOXES) == boxes]

def seeds(cfg, nb, dataset):
    "The seeds that a notebook runs for: those of the plan, or the first of them, as many as `only` says."
    asked = cfg.get('only', {}).get(nb)
    return cfg['plan'][dataset][:asked[dataset] if isinstance(asked, dict) else None]

def jobs(cfg):
    "All (notebook, data set, seed) to compute, each after what it needs."
    return [(nb, d, s) for nb in STAGES for d in sets(cfg, nb) for s in seeds(cfg, nb, d)]

def at_once(cfg, cores):
    """How many notebooks of a scale run at the same time on so many cores: `threads` cores each, and no more than
    there are ends of chains."""
    needed = {(n, d, s) for nb, d, s in jobs(cfg) for n in NEEDS[nb]}
    return max(1, min(cores//cfg.get('threads', 1), sum(j not in needed for j in jobs(cfg))))

def remaining(cfg, nb, dataset):
    "Minutes from the start of a job to the end of the longest chain that waits for it."
    after = [n for n in STAGES if nb in NEEDS[n] and dataset in sets(cfg, n)]
    return round(MINUTES[nb] + max((remaining(cfg, n, dataset) for n in after), default=0), 1)

def before(nb):
    "A notebook, all that it needs, and what that needs in turn."
    return {nb}.union(*map(before, NEEDS[nb]))

def read_by(cfg, nb, dataset):
    "The jobs that have to be done before a page is drawn: of all seeds, or it would show the first ones only."
    if nb in NOTEBOOKS: names = set().union(*map(before, (nb, *NOTEBOOKS[nb].reads)))
    elif nb in EXAMPLES:
        of, dataset = EXAMPLES[nb]
        names = before(of)
    else: return []
    return [j for j in jobs(cfg) if j[0] in names and j[1] == dataset]

def urgency(nb):
    "Of a page: the first one before all jobs, then those with tables of the paper, others when nothing else is left."
    if nb == FIRST: return 1000
    draws = NOTEBOOKS[nb].draws.values() if nb in NOTEBOOKS else ()
    return 100 if any(is_table(name) for names in draws for name in names.split()) else 0

def drawn(cfg, nbs=NBS):
    """Executed copies of the last pass: {name: (notebook, data set)}; the first data set's copy bears the notebook's
    own name, and is the only one of a notebook that is drawn once."""
    found = {}
    for nb in (p.stem for p in numbered(nbs)):
        once = nb not in NOTEBOOKS or NOTEBOOKS[nb].once
        for i, d in enumerate(sets(cfg, nb)[:1 if once else None]):
            found[f'{nb}-{d}' if i else nb] = nb, d
    return found

def parameters(cfg, nb, dataset, seed, out):
    "What one execution is given; a data set's own values win over the notebook's."
    mine = cfg['parameters'].get(nb) or {}
    common = {k: v for k, v in mine.items() if k not in cfg['plan']}
    return dict(dataset=dataset, seed=seed, out=str(out)) | common | mine.get(dataset, {})

def declared_only(params, nb_path):
    "Those of the parameters that the notebook declares: some only draw."
    names = declared(read(nb_path))
    return {k: v for k, v in params.items() if k in names}

def one_line(params):
    "YAML (JSON is) on one line: Snakemake then says readably which parameters changed."
    return json.dumps(params)

class _Bare(ast.NodeTransformer):
    "Drops docstrings, and what only draws."
    def __init__(self, plots): self.plots = plots
    def visit_Module(self, node):
        node.body = [n for n in node.body if not self.drops(n)]
        return self.visit_body(node)
    def drops(self, node):
        if isinstance(node, ast.FunctionDef): return not self.plots and node.name.startswith(('plot_', 'table_'))
        # `__all__` would tell of a new plot function
        return isinstance(node, ast.Assign) and getattr(node.targets[0], 'id', '') == '__all__'
    def visit_body(self, node):
        if ast.get_docstring(node, clean=False) is not None: node.body = node.body[1:] or [ast.Pass()]
        return self.generic_visit(node)
    visit_FunctionDef = visit_AsyncFunctionDef = visit_ClassDef = visit_body

@cache          # modules are asked about once a notebook
def bare(code, plots=True):
    "Code without comments, layout and docstrings; without `plots`, also without the functions plot_* and table_*."
    plain = re.sub(r'^(\s*)(%%|%\w|!(?!=)).*$', r'\1pass', code, flags=re.M)       # magics are no Python
    return ast.unparse(_Bare(plots).visit(ast.parse(plain)))

@cache
def imports(code, pkg='dfkd_nb'):
    "The package's modules that a piece of code imports."
    found = set()
    for n in ast.walk(ast.parse(code)):
        if isinstance(n, ast.ImportFrom):
            base = f'{pkg}.{n.module or ""}'.rstrip('.') if n.level else n.module or ''
            if base == pkg: found |= {a.name for a in n.names}
            elif base.startswith(f'{pkg}.'): found.add(base.split('.')[1])
        elif isinstance(n, ast.Import):
            found |= {a.name.split('.')[1] for a in n.names if a.name.startswith(f'{pkg}.')}
    return frozenset(found)

def closure(mods, lib):
    "Those modules and all that they import, in turn."
    seen, todo = {}, list(mods)
    while todo:
        m = todo.pop()
        path = lib/f'{m}.py'
        if m in seen or not path.exists(): continue
        seen[m] = path.read_text(encoding='utf-8')
        todo += imports(seen[m])
    return seen

def notebook_hash(nb_path, stages=False, root=ROOT):
    """Decides whether a notebook is executed again: changes when its code does, or that of a module it needs; not
    with prose, comments, or (for stages) how results are drawn. Whether a stage is then computed again, or loaded,
    is decided by the finer `code_hash` of the package, which is part of a run's settings."""
    nb = read(nb_path)
    cells = [c for c in nb['cells'] if c['cell_type'] == 'code' and evals(c)]
    needs = {module(nb) or ''}.union(*(imports(bare(source(c))) for c in cells))
    if stages: cells = [c for c in cells if {'parameters', 'stage'} & set(tags(c))]
    code = [bare(source(c), not stages) for c in cells]
    code += [f'#{m}\n{bare(s, not stages)}' for m, s in sorted(closure(needs, root/'dfkd_nb').items())]
    return hashlib.sha1('\n'.join(code).encode()).hexdigest()[:12]
