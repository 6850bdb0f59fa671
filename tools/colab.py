"""`make colab`: a page as Colab runs it, the first thing on a machine: its cell fetches and installs the project.

What stands for Colab: an environment that has all packages but this one, a module `google.colab`, an empty folder for
`/content`, and for the public address this checkout, as it is committed."""
import argparse, os, subprocess, sys, tempfile, venv
from pathlib import Path
sys.path.insert(0, str(Path(__file__).parent))
from cells import NBS, ROOT, read, set_source, source, write

COLAB = "import sys, types\nsys.modules['google.colab'] = types.ModuleType('google.colab')\n"

def environment(home):
    "An environment beside the packages of this one; the path of its Python."
    venv.create(home, with_pip=True)
    [lib] = home.glob('lib/python*/site-packages')
    packages = next(p for p in sys.path if p.endswith('site-packages'))
    (lib/'others.pth').write_text(packages + '\n')          # what editable installs add to it is not read
    (lib/'sitecustomize.py').write_text(COLAB)
    return home/'bin'/'python'

def page(name, folder, content):
    "The notebook, which fetches this checkout into `content`."
    nb = read(NBS/f'{name}.ipynb')
    [cell] = [c for c in nb['cells'] if 'google.colab' in source(c)]
    [address] = [word for word in source(cell).split() if word.startswith('https://')]
    set_source(cell, source(cell).replace(address, f'file://{ROOT}').replace('/content', str(content)))
    write(nb, folder/f'{name}.ipynb')

def main(args=None):
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument('nb', nargs='?', default='02_models', help='such as 04_gan')
    name = p.parse_args(args).nb
    with tempfile.TemporaryDirectory() as tmp:
        tmp = Path(tmp)
        python = environment(tmp/'env')
        (tmp/'content').mkdir()
        page(name, tmp, tmp/'content')
        env = {k: v for k, v in os.environ.items() if k not in ('PYTHONPATH', 'DFKD_RUNS')}
        env |= {'PATH': f"{python.parent}:{env['PATH']}", 'MPLBACKEND': 'Agg', 'IPYTHONDIR': str(tmp/'ipython')}
        check = "import dfkd_nb; assert 'env' in dfkd_nb.__file__, dfkd_nb.__file__"
        ran = subprocess.run([python, '-m', 'IPython', '-c', f'%run {name}.ipynb\n{check}'], cwd=tmp, env=env)
    return ran.returncode

if __name__ == '__main__': sys.exit(main())
