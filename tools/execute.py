"""Execute a notebook by papermill into another file: parameters are checked first, nbdev's `eval: false` is heeded,
`--stages` computes only."""
import argparse, logging, os, re, sys, threading, time
from pathlib import Path
import nbformat, yaml
sys.path.insert(0, str(Path(__file__).parent))
from cells import declared, library, parameter_cells, read, runs, short, tags

def refusal(nb, name, params):
    """Why these parameters cannot be given to this notebook, or None. papermill itself only warns, and then runs the
    defaults."""
    if not params: return None
    n, names = len(parameter_cells(nb)), declared(nb)
    if n != 1: return f'{name}: needs exactly one cell tagged `parameters` to be given any, has {n}'
    unknown = sorted(params.keys() - {*names})
    if not unknown: return None
    return f"{name}: does not declare {', '.join(unknown)}; declared are {', '.join(names) or 'none'}"

def prepared(nb, stages=False):
    "The notebook to execute: cells that papermill must not run made raw; with `stages`, only what computes."
    for c in nb.cells:
        if c.cell_type == 'code' and not runs(c):
            c.cell_type = 'raw'
            for k in ('outputs', 'execution_count'): c.pop(k, None)
    if stages:
        start = nbformat.v4.new_code_cell(library(nb), id='stages-import')
        nb.cells = [start] + [c for c in nb.cells if c.cell_type == 'code' and {'parameters', 'stage'} & set(tags(c))]
    return nb

def follow(pid):
    "End with the process that asked for this run: a killed Snakemake would leave kernels training."
    def watch():
        while True:
            try: os.kill(pid, 0)
            except ProcessLookupError: os._exit(1)      # the kernel sees its parent gone and ends by itself
            except PermissionError: pass
            time.sleep(1)
    threading.Thread(target=watch, daemon=True).start()

FAILED = 'FAILED'       # begins the last line of a notebook that failed: tools/paper.py looks for it

def last_line(told, dst, error):
    "What failed, in which cell, why, and where to look, on one line."
    cells = read(dst)['cells'] if dst.exists() else []
    begun = [c for c in cells if c['cell_type'] == 'code' and c['metadata'].get('papermill', {}).get('start_time')]
    cell = ''
    if begun:       # a cell whose kernel died has no number
        last = begun[-1]
        cell = f", cell In [{last['execution_count'] or ' '}] ({last['id']})"
    # papermill's own error holds that of the cell
    name, words = getattr(error, 'ename', type(error).__name__), str(getattr(error, 'evalue', error))
    why = f'{name}: {plain(words)}'.rstrip(': ')
    return f'{FAILED} {told}{cell}: {why} [log notebook: {short(dst)}]'

def plain(text):
    "Text on one line, without colours."
    return ' '.join(re.sub(r'\x1b\[[\d;]*m', '', text).split())

def execute(src, dst, params=None, stages=False):
    """Run `src` in its own folder into `dst`; returns an exit code, and leaves the executed notebook, traceback and
    all, at `dst`."""
    src, dst = Path(src).resolve(), Path(dst).resolve()
    why = f'{src.name}: would write over its input' if src == dst else refusal(read(src), src.name, params)
    if why:
        print(why, file=sys.stderr)
        return 2
    from papermill import execute_notebook
    logging.getLogger('papermill').setLevel(logging.ERROR)      # it warns of parameters assigned as a tuple
    dst.parent.mkdir(parents=True, exist_ok=True)
    dst.unlink(missing_ok=True)     # what an earlier run left would tell of another failure
    told = ' '.join([src.stem, *(str(params[k]) for k in ('dataset', 'seed') if k in (params or {}))])
    bar = {'desc': told, 'mininterval': .1 if sys.stderr.isatty() else 10}
    nb = prepared(nbformat.read(src, as_version=4), stages)
    # ipykernel warns at every start that a local kernel's TCP is not encrypted, and calls it an error that a healthy
    # kernel is interrupted at its end; what goes wrong in a cell comes by another way
    quiet = ['--IPKernelApp.log_level=CRITICAL']
    try:
        execute_notebook(nb, dst, parameters=params, kernel_name='python3', cwd=src.parent, progress_bar=bar,
                         extra_arguments=quiet)
    except Exception as e:
        print(re.sub(r'\x1b\[[\d;]*m', '', str(e)).strip(), last_line(told, dst, e), sep='\n', file=sys.stderr)
        return 1
    return 0

def main(args=None):
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument('notebook')
    p.add_argument('out')
    p.add_argument('-y', '--yaml', default='', help="parameters, as in 'dataset: digits' or '{seed: 1, out: build}'")
    p.add_argument('--stages', action='store_true', help='only the cells tagged parameters or stage')
    a = p.parse_args(args)
    if pid := os.environ.get('DFKD_PARENT'): follow(int(pid))
    params = yaml.safe_load(a.yaml) or {}
    if not isinstance(params, dict): p.error('-y wants a mapping')
    return execute(a.notebook, a.out, params, a.stages)

if __name__ == '__main__': sys.exit(main())
