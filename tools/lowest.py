"""`make lowest`: an environment of exactly the lower bounds in settings.ini, and the tests in it.
`lowest.py [pytest's arguments]`

It lies in build/lowest and takes some GB, for a second torch; what is there is used again. Everything that the bounds
do not name is as new as they allow. uv installs it faster than pip, where it is found."""
import os, re, shutil, subprocess, sys
from pathlib import Path
sys.path.insert(0, str(Path(__file__).parent))
from cells import ROOT, settings

HOME   = ROOT/'build'/'lowest'
# in the one left out, several processes train, for minutes
QUICK  = ['tests', '--ignore', 'tests/test_parallel.py', '-n', '2', '--dist', 'worksteal']
GROUPS = 'requirements', 'dev_requirements'

def pins(cfg):
    "The lower bounds as exact versions, one a line."
    names = ' '.join(cfg[g] for g in GROUPS).split()
    if odd := [n for n in names if not re.fullmatch(r'[\w.-]+[>=]=[\w.]+', n)]:
        raise SystemExit(f"settings.ini: no lower bound is read from {', '.join(odd)}; write name>=version")
    return '\n'.join(n.replace('>=', '==') for n in names) + '\n'

def installer(python):
    "The command that installs into an environment."
    if uv := shutil.which('uv'): return [uv, 'pip', 'install', '--quiet', '--python', python]
    return [python, '-m', 'pip', 'install', '--quiet', '--disable-pip-version-check']

def environment(home=HOME):
    "The environment of the lower bounds: its Python."
    python, ready, wanted = home/'venv'/'bin'/'python', home/'ready.txt', pins(settings())
    if python.exists() and ready.exists() and ready.read_text() == wanted: return python
    ready.unlink(missing_ok=True)
    subprocess.run([sys.executable, '-m', 'venv', home/'venv'], check=True)
    (home/'pins.txt').write_text(wanted)
    subprocess.run([*installer(python), '-c', home/'pins.txt', '-e', f'{ROOT}[dev]'], check=True)
    ready.write_text(wanted)
    return python

def main(args=None):
    python = environment()
    path = f"{python.parent}{os.pathsep}{os.environ['PATH']}"
    env = os.environ | dict(OMP_NUM_THREADS='1', MPLBACKEND='Agg', DFKD_TRIED=str(HOME/'tried'), PATH=path)
    return subprocess.run([python, '-m', 'pytest', *(args or QUICK)], cwd=ROOT, env=env).returncode

if __name__ == '__main__': sys.exit(main(sys.argv[1:]))
