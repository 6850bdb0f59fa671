"What the Snakefile orders: which notebook with which parameters, and a hash of the code that decides its result."
import ast, hashlib, json, re
from functools import cache
from pathlib import Path
import yaml
from cells import NBS, ROOT, declared, evals, module, numbered, read, source, tags

# What each stage notebook needs to have run before it, for the same data set and seed
NEEDS = {'02a_training': [], '03_probes': ['02a_training'], '04_gan': ['03_probes'], '05_fid': ['04_gan'], '06_distill': ['04_gan'], '07_ablations': ['06_distill'],
         '08_detr': [], '09_detr_distill': ['08_detr'], '10_ladder': ['03_probes'], '11_deploy': ['06_distill']}
STAGES = list(NEEDS)
PER_DATASET = STAGES[1:]        # drawn once per data set, the others once
# Roughly one smoke job on one core; what starts first follows from these, and no result does
MINUTES = {'02a_training': 1, '03_probes': .3, '04_gan': 2, '05_fid': .5, '06_distill': 2.6, '07_ablations': 1.5, '08_detr': 3, '09_detr_distill': 6, '10_ladder': 4, '11_deploy': .7}
DETECTION = {'08_detr', '09_detr_distill'}             # the notebooks of the detection line …
BOXES = {'scenes', 'drones'}        # … and its data sets; all others are the classification line's

# Whose arguments a recipe changes
TAKES = {'recipe': 'training.train_teacher', 'gan_recipe': 'gan.train_generator', 'extractor_recipe': 'fid.train_extractor', 'kd_recipe': 'distill.distill', 'wild_recipe': 'distill.distill', 'inversion_recipe': 'inversion.invert'}
TAKES_BOXES = {'recipe': 'detr.train_detr', 'gan_recipe': 'detr_distill.train_scene_generator', 'kd_recipe': 'detr_distill.distill_detr'}

# Seeds are whole chains: teacher, probes, generator, student. Other scales are YAML files of the same keys.
SMOKE = dict(plan={'digits': [0, 1, 2], 'digits_rgb': [0], 'scenes': [0]},
             only={'05_fid': ['digits'], '07_ablations': ['digits'], '10_ladder': ['digits'], '11_deploy': ['digits']},   # notebook: its data sets, where these are not all of the plan's
             parameters={})     # notebook: {parameter: value} or, for one data set only, notebook: {data set: {parameter: value}}

def load(scale, root=ROOT):
    "Plan, `only` and parameters of a scale."
    path = root/'scales'/f'{scale}.yaml'
    if scale != 'smoke' and not path.exists():
        raise SystemExit(f"no scale {scale!r}: there are {', '.join(['smoke', *sorted(p.stem for p in path.parent.glob('*.yaml'))])}")
    cfg = {'only': {}, 'parameters': {}, **(SMOKE if scale == 'smoke' else yaml.safe_load(path.read_text(encoding='utf-8')))}
    known = {*NEEDS, *(p.stem for p in numbered())}     # a misspelt name would count for nothing, silently
    bad  = [f'{k}: there is no notebook {nb}' for k in ('only', 'parameters') for nb in cfg[k] if nb not in known]
    bad += [f'only: {nb}: {d} is not in the plan' for nb, ds in cfg['only'].items() for d in ds if d not in cfg['plan']]
    bad += [f'{nb} runs for {d}, and {n}, which it needs, does not' for nb, d, _ in jobs(cfg) for n in NEEDS[nb] if d not in sets(cfg, n)]
    if not bad: bad = [f'{nb}: {b}' for nb, d in drawn(cfg).values() for b in misspelt(nb, parameters(cfg, nb, d, 0, ''))]
    if bad: raise SystemExit(f"scale {scale}: {'; '.join(dict.fromkeys(bad))}")
    return cfg

@cache
def arguments(module, name, lib=ROOT/'dfkd_nb'):
    "Of a function of the package, read without importing it."
    f = next(n for n in ast.parse((lib/f'{module}.py').read_text(encoding='utf-8')).body if getattr(n, 'name', '') == name)
    return {a.arg for a in f.args.args+f.args.kwonlyargs}

def misspelt(nb, params):
    "What a notebook's parameters or recipes name that there is not: else found out when that job's turn comes, maybe hours later."
    names, takes = declared(read(NBS/f'{nb}.ipynb')), TAKES_BOXES if nb in DETECTION else TAKES
    yield from (f"does not declare {k}; declared are {', '.join(names)}" for k in params.keys()-{*names, 'dataset', 'seed', 'out'} if names)
    yield from (f"{r}: {takes[r].split('.')[1]} does not take {k}" for r in takes.keys() & params for k in params[r].keys()-arguments(*takes[r].split('.'))-{*['tone']*(r == 'wild_recipe')})

def sets(cfg, nb):
    "The data sets that a notebook runs for: those of its line, unless `only` names fewer."
    return [d for d in cfg['plan'] if d in cfg.get('only', {}).get(nb, cfg['plan']) and (d in BOXES) == (nb in DETECTION)]

def jobs(cfg):
    "All (notebook, data set, seed) to compute, each after what it needs."
    return [(nb, d, s) for nb in STAGES for d in sets(cfg, nb) for s in cfg['plan'][d]]

def at_once(cfg, cores):
    "How many notebooks of a scale run at the same time on so many cores: `threads` cores each, and no more than there are ends of chains."
    needed = {(n, d, s) for nb, d, s in jobs(cfg) for n in NEEDS[nb]}
    return max(1, min(cores//cfg.get('threads', 1), sum(j not in needed for j in jobs(cfg))))

def remaining(cfg, nb, dataset):
    "Minutes from the start of a job to the end of the longest chain that waits for it."
    after = [n for n in STAGES if nb in NEEDS[n] and dataset in sets(cfg, n)]
    return round(MINUTES[nb] + max((remaining(cfg, n, dataset) for n in after), default=0), 1)

def drawn(cfg, nbs=NBS):
    "Executed copies of the last pass: {name: (notebook, data set)}; the first data set's copy bears the notebook's own name."
    return {f'{nb}-{d}' if i else nb: (nb, d)
            for nb in (p.stem for p in numbered(nbs)) for i, d in enumerate(sets(cfg, nb)[:None if nb in PER_DATASET else 1])}

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
        if not self.plots: node.body = [n for n in node.body if not (isinstance(n, ast.FunctionDef) and n.name.startswith(('plot_', 'table_')))]
        # `__all__` would tell of a new plot function
        node.body = [n for n in node.body if not (isinstance(n, ast.Assign) and getattr(n.targets[0], 'id', '') == '__all__')]
        return self.visit_body(node)
    def visit_body(self, node):
        if ast.get_docstring(node, clean=False) is not None: node.body = node.body[1:] or [ast.Pass()]
        return self.generic_visit(node)
    visit_FunctionDef = visit_AsyncFunctionDef = visit_ClassDef = visit_body

def bare(code, plots=True):
    "Code without comments, layout and docstrings; without `plots`, also without the functions plot_* and table_*."
    return ast.unparse(_Bare(plots).visit(ast.parse(re.sub(r'^(\s*)(%%|%\w|!(?!=)).*$', r'\1pass', code, flags=re.M))))

def imports(code, pkg='dfkd_nb'):
    "The package's modules that a piece of code imports."
    found = set()
    for n in ast.walk(ast.parse(code)):
        if isinstance(n, ast.ImportFrom):
            base = f'{pkg}.{n.module or ""}'.rstrip('.') if n.level else n.module or ''
            if base == pkg: found |= {a.name for a in n.names}
            elif base.startswith(f'{pkg}.'): found.add(base.split('.')[1])
        elif isinstance(n, ast.Import): found |= {a.name.split('.')[1] for a in n.names if a.name.startswith(f'{pkg}.')}
    return found

def closure(mods, lib):
    "Those modules and all that they import, in turn."
    seen, todo = {}, list(mods)
    while todo:
        path = lib/f'{(m := todo.pop())}.py'
        if m in seen or not path.exists(): continue
        seen[m] = path.read_text(encoding='utf-8')
        todo += imports(seen[m])
    return seen

def code_hash(nb_path, stages=False, root=ROOT):
    "Changes when the notebook's code does, or that of a module it needs; not with prose, comments, or (for stages) how results are drawn."
    nb = read(nb_path)
    cells = [c for c in nb['cells'] if c['cell_type'] == 'code' and evals(c)]
    lib = closure({module(nb) or ''}.union(*(imports(bare(source(c))) for c in cells)), root/'dfkd_nb')
    code = [bare(source(c), not stages) for c in cells if not stages or {'parameters', 'stage'} & set(tags(c))]
    return hashlib.sha1('\n'.join(code + [f'#{m}\n{bare(s, not stages)}' for m, s in sorted(lib.items())]).encode()).hexdigest()[:12]
