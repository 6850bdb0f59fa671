"""Every notebook from top to bottom, what it exports taken from the *exported* module: what ships is what is tested,
and what coverage counts."""
import ast, dis, re, types
import pytest
from cells import NBS, ROOT, directives, evals, module, numbered, read, source

FLAGS = {'slow', 'cuda', 'net'}
EXPORTS = {'export', 'exporti', 'exports'}

def to_run(nb):
    "(id, code, whether it is exported) of all cells but the flagged ones and the figure set-up of the front end."
    for c in nb['cells']:
        d = directives(c)
        if c['cell_type'] == 'code' and evals(c) and not FLAGS & d.keys():
            yield c['id'], re.sub(r'^\s*%matplotlib.*$', '', source(c), flags=re.M), bool(EXPORTS & d.keys())

def defined(statement):
    "The names that a statement at the top of a cell defines."
    if isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
        patched = any(getattr(d, 'id', '') == 'patch' for d in statement.decorator_list)
        return [] if patched else [statement.name]      # `patch` leaves no name of its own
    targets = getattr(statement, 'targets', None) or [getattr(statement, 'target', None)]
    return [n.id for t in targets if t for n in ast.walk(t) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)]

def taken(code, mod):
    "What an exported cell gives to those below it: what it imports, and what it defines, from the module."
    body, names = ast.parse(code).body, {}
    lines = [ast.unparse(s) for s in body if isinstance(s, (ast.Import, ast.ImportFrom))]
    lines += [f'from dfkd_nb.{mod} import {n}' for s in body for n in defined(s)]
    exec('\n'.join(lines), names)
    del names['__builtins__']
    return names

def globals_read(code):
    "The global names that functions of compiled code read."
    found = {i.argval for i in dis.get_instructions(code) if i.opname == 'LOAD_GLOBAL'}
    return found.union(*(globals_read(c) for c in code.co_consts if isinstance(c, types.CodeType)))

def hidden(mod, exported, names):
    "What functions of the module would read in the notebook as another thing than in the module."
    path = ROOT/'dfkd_nb'/f'{mod}.py'
    asked = globals_read(compile(path.read_text(encoding='utf-8'), path, 'exec'))
    return [n for n, v in exported.items() if n in asked and names.get(n) is not v]

@pytest.mark.slow
@pytest.mark.parametrize('path', [*numbered(), NBS/'index.ipynb'], ids=lambda p: p.stem)
def test_lessons(path, monkeypatch):
    "No lesson asks for what only comes below it, or hides what the module's functions read in the notebook."
    from IPython.core.interactiveshell import InteractiveShell
    monkeypatch.chdir(NBS)
    nb, shell, exported, ran = read(path), InteractiveShell(), {}, 0
    for id, code, exports in to_run(nb):
        if exports:
            exported |= (names := taken(code, module(nb)))
            shell.user_ns.update(names)
            continue
        r = shell.run_cell(code)
        if err := r.error_before_exec or r.error_in_exec:
            raise AssertionError(f'{path.name}, cell {id}:\n{code}') from err
        ran += 1
    import matplotlib.pyplot as plt
    plt.close('all')
    assert ran, f'{path.name} has no lessons'
    assert not exported or not hidden(module(nb), exported, shell.user_ns)
