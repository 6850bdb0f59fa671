"Every notebook's lessons against the *exported* module: what ships is what is tested, and what coverage counts."
import importlib, re
import pytest
from cells import NBS, directives, evals, module, numbered, read, source

FLAGS = {'slow', 'cuda', 'net'}
EXPORTS = {'export', 'exporti', 'exports', 'default_exp'}

def lessons(nb):
    "The cells to run: not exported, not flagged, no figure set-up of the front end."
    for c in nb['cells']:
        d = directives(c)
        if c['cell_type'] == 'code' and evals(c) and not (FLAGS | EXPORTS) & d.keys():
            yield c['id'], re.sub(r'^\s*%matplotlib.*$', '', source(c), flags=re.M)

@pytest.mark.parametrize('path', numbered(), ids=lambda p: p.stem)
def test_lessons(path, monkeypatch):
    from IPython.core.interactiveshell import InteractiveShell
    monkeypatch.chdir(NBS)
    nb, shell = read(path), InteractiveShell()
    shell.display_formatter.active_types = ['text/plain']
    # names that the exported cells import are used by the lessons too
    if m := module(nb):
        exported = vars(importlib.import_module(f'dfkd_nb.{m}'))
        shell.user_ns.update({k: v for k, v in exported.items() if not k.startswith('__')})
    ran = 0
    for id, src in lessons(nb):
        r = shell.run_cell(src)
        if err := r.error_before_exec or r.error_in_exec:
            raise AssertionError(f'{path.name}, cell {id}:\n{src}') from err
        ran += 1
    import matplotlib.pyplot as plt
    plt.close('all')
    assert ran, f'{path.name} has no lessons'
