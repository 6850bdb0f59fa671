import os, sys, tempfile
from pathlib import Path
import pytest

os.environ.setdefault('MPLBACKEND', 'Agg')
os.environ.setdefault('DFKD_RUNS', tempfile.mkdtemp(prefix='dfkd-runs-'))     # tests see no stages of this checkout, and leave none
sys.path.insert(0, str(Path(__file__).parents[1]/'tools'))

@pytest.fixture
def make_nb(tmp_path):
    "make_nb('04_x', ('code', 'x = 1', ['parameters']), ('markdown', '# hi', [])) -> path of a small notebook"
    import nbformat as nf
    def make(name, *cells):
        nb = nf.v4.new_notebook(metadata={'kernelspec': {'name': 'python3', 'display_name': 'python3', 'language': 'python'}})
        for i, (kind, src, tags) in enumerate(cells):
            c = getattr(nf.v4, f'new_{kind}_cell')(src, id=f'c{i}')
            if tags: c.metadata['tags'] = tags
            nb.cells.append(c)
        nf.write(nb, path := tmp_path/f'{name}.ipynb')
        return path
    return make
