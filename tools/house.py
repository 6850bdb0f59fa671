"""`make house`: how the code reads, in numbers, beside the houses that it was built after. Writes docs/house.md.

Lines are those of the notebooks' code cells, and of tools, tests and benchmarks; functions those of the package."""
import ast, re, subprocess, sys
from pathlib import Path
from statistics import median
sys.path.insert(0, str(Path(__file__).parent))
from cells import NBS, ROOT, directives, read, source

PAGE = Path('docs/house.md')
WIDE = 120              # columns
MANY = 8                # arguments

# Measured on 28 November 2026 from their own files, and of this project before its lines and cells were taken apart
BEFORE  = 'here, before'
MEASURE = ['lines over 120 columns (%)', 'the same of tools and tests (%)', 'export cell, median / p90 lines',
           'parallel assignments per 100 lines', 'most arguments; functions with more than 8',
           'files; size of the tree', 'README: line of the first Python']
HOUSES  = {BEFORE:        ['12', '17', '24 / 67', '5.1', '25; 13', '1,418; 88 MB', '186 of 233'],
           'fastcore':    ['2.6', '', '7 / 17', '1.1', '15; 5', '94; 3 MB', '32 of 69'],
           'miniai':      ['0.5', '', '7 / 20', '1.1', '9; 2', '138; 33 MB', ''],
           'timm, task/': ['0', '', '', '0', '11; 3', '', ''],
           'DETR':        ['0', '', '', '0.1', '9; 1', '43; 0.4 MB', '94 of 268']}

def code_cells(nbs=NBS):
    "(directives, source) of every code cell."
    return [(directives(c), source(c)) for p in sorted(nbs.glob('*.ipynb')) for c in read(p)['cells']
            if c['cell_type'] == 'code']

def percent_wide(lines): return 100*sum(len(line) > WIDE for line in lines)/max(1, len(lines))

def lines_of_exports(cells):
    "How many lines each export cell has, without blank ones and directives."
    exports = [s for d, s in cells if 'export' in d]
    return sorted(sum(bool(re.match(r'\s*(?!#\s*\|)\S', line)) for line in s.splitlines()) for s in exports)

def parallel(tree):
    "Assignments of several values to several names."
    return sum(isinstance(n, ast.Assign) and isinstance(n.value, ast.Tuple) and isinstance(n.targets[0], ast.Tuple)
               for n in ast.walk(tree))

def numbers_of_arguments(tree):
    "Of every function, without the `self` of a method."
    for f in ast.walk(tree):
        if not isinstance(f, ast.FunctionDef): continue
        names = [a.arg for a in (*f.args.posonlyargs, *f.args.args, *f.args.kwonlyargs)]
        yield len(names) - (names[:1] == ['self'])

def tree_of_files(root=ROOT, pattern='*'):
    "Sizes of the files that git knows, in bytes."
    cmd = ['git', 'ls-files', '-z', '--', pattern]
    names = subprocess.run(cmd, cwd=root, capture_output=True, text=True, check=True).stdout
    return [p.stat().st_size for n in names.split('\0') if n and (p := root/n).is_file()]

def first_python(root=ROOT):
    lines = (root/'README.md').read_text(encoding='utf-8').splitlines()
    return f"{lines.index('```python')+1} of {len(lines)}"

def measured():
    "The column of this project, now."
    cells = code_cells()
    in_cells = [line for _, s in cells for line in s.splitlines()]
    scripts = [p for d in ('tools', 'tests', 'benchmarks') for p in (ROOT/d).rglob('*.py')]
    in_scripts = [line for p in scripts for line in p.read_text(encoding='utf-8').splitlines()]
    package = [p.read_text(encoding='utf-8') for p in sorted((ROOT/'dfkd_nb').glob('[a-z]*.py'))]
    trees, lines = [ast.parse(t) for t in package], sum(len(t.splitlines()) for t in package)
    exports = lines_of_exports(cells)
    counts = [n for t in trees for n in numbers_of_arguments(t)]
    sizes = tree_of_files()
    return [f'{percent_wide(in_cells):.1f}', f'{percent_wide(in_scripts):.1f}',
            f'{median(exports):g} / {exports[int(.9*len(exports))]}', f'{100*sum(map(parallel, trees))/lines:.1f}',
            f'{max(counts)}; {sum(n > MANY for n in counts)}', f'{len(sizes):,}; {sum(sizes)/1e6:.0f} MB',
            first_python()]

def page():
    "The table as Markdown."
    columns = {'here': measured(), **HOUSES}
    head = ['| | ' + ' | '.join(columns) + ' |', '|---|' + '---|'*len(columns)]
    rows = [f"| {m} | {' | '.join(c[i] or '–' for c in columns.values())} |" for i, m in enumerate(MEASURE)]
    return '\n'.join(['# How the code reads', '', __doc__.split('\n\n')[1], '', *head, *rows, ''])

if __name__ == '__main__':
    (ROOT/PAGE).write_text(page(), encoding='utf-8')
    print(page())
