# `make paper`: jobs compute (one per notebook, data set and seed), pages draw, each when what it reads is there.
# All is made under build/<scale>; tools/report.py publishes. A committed file that were an output here would look up to
# date in a fresh clone.
import os, sys
from pathlib import Path
sys.path.insert(0, str(Path(workflow.basedir)/'tools'))
import graph

SCALE = config.get('scale', 'smoke')
CFG   = graph.load(SCALE)
PLAN  = CFG['plan']
BUILD = f'build/{SCALE}'
OUT   = Path(workflow.basedir).resolve()/BUILD
DRAWN = graph.drawn(CFG)
RUN   = f'{sys.executable} tools/execute.py'
# What a job says lies beside its log; tools/paper.py shows it when the job fails
SAID  = ' 2>&1 | tee {log.said}' if os.environ.get('VERBOSE') else ' > {log.said} 2>&1'
os.environ['DFKD_PARENT'] = str(os.getpid())     # jobs end with this process, even when it is killed

# Hashes are computed here, once: a params function that took `input` would be left out of the rerun triggers,
# silently.
CODE = {nb: graph.notebook_hash(f'nbs/{nb}.ipynb', stages=True) for nb in graph.STAGES}
DRAW = {name: graph.notebook_hash(f'nbs/{nb}.ipynb') for name, (nb, _) in DRAWN.items()}

def job(nb, dataset, seed): return f'{BUILD}/jobs/{nb}-{dataset}-seed{seed}.ipynb'

def draw_params(w):
    nb, dataset = DRAWN[w.name]
    params = graph.parameters(CFG, nb, dataset, PLAN[dataset][0], OUT)
    return graph.one_line(graph.declared_only(params, f'nbs/{nb}.ipynb'))

wildcard_constraints: nb=r'\d\d[a-z]?_\w+', dataset=r'\w+', seed=r'\d+'

rule all:
    input: [f'{BUILD}/notebooks/{name}.ipynb' for name in DRAWN]

rule stages:
    input: lambda w: [job(n, w.dataset, w.seed) for n in graph.NEEDS[w.nb]], nb=ancient('nbs/{nb}.ipynb')
    output: BUILD + '/jobs/{nb}-{dataset}-seed{seed}.ipynb'
    log:    # a failed job loses its output, and keeps these
        nb=BUILD + '/log/{nb}-{dataset}-seed{seed}.ipynb',
        said=BUILD + '/log/{nb}-{dataset}-seed{seed}.txt',
    params:
        code=lambda w: CODE[w.nb],
        p=lambda w: graph.one_line(graph.parameters(CFG, w.nb, w.dataset, int(w.seed), OUT)),
    threads: CFG.get('threads', 1)
    # the longest chain starts first, or it is alone at the end
    priority: lambda w: graph.remaining(CFG, w.nb, w.dataset)
    # what a scale computes is made here: finished stages that travel with the repository do not count, unless asked
    # for (to a page's examples, in `draw`, they do)
    shell:
        'DFKD_SHIPPED=${{DFKD_SHIPPED:-0}} ' + RUN + ' --stages {input.nb} {log.nb} -y {params.p:q}' + SAID +
        ' && cp {log.nb} {output}'

rule draw:
    input:
        lambda w: [job(*j) for j in graph.read_by(CFG, *DRAWN[w.name])],
        nb=lambda w: ancient(f'nbs/{DRAWN[w.name][0]}.ipynb'),
    output: BUILD + '/notebooks/{name}.ipynb'
    log:
        nb=BUILD + '/log/{name}.ipynb',
        said=BUILD + '/log/{name}.txt',
    params:
        code=lambda w: DRAW[w.name],
        p=draw_params,
    threads: CFG.get('threads', 1)
    priority: lambda w: graph.urgency(DRAWN[w.name][0])
    shell: RUN + ' {input.nb} {log.nb} -y {params.p:q}' + SAID + ' && cp {log.nb} {output}'
