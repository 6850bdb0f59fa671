"""`make package`: sdist and wheel; the wheel is installed by itself, and tools/installed.py tries it in an empty
folder."""
import os, shutil, subprocess, sys, tempfile
from pathlib import Path
sys.path.insert(0, str(Path(__file__).parent))
from cells import ROOT

def build(dist):
    "The wheel; the sdist lies beside it."
    command = [sys.executable, '-m', 'build', '--outdir', dist, '.']
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode: sys.exit(done.stdout[-2000:] + done.stderr[-2000:])
    [sdist], [wheel] = dist.glob('*.tar.gz'), dist.glob('*.whl')
    print(sdist.name, wheel.name, sep='\n')
    return wheel

def tried(wheel, tmp):
    "Exit code of what is tried with the wheel alone."
    lib, empty = tmp/'lib', tmp/'empty'
    install = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--no-deps', '--target', lib, wheel]
    subprocess.run([sys.executable, *install], check=True)
    empty.mkdir()
    shutil.copytree(ROOT/'examples', empty/'examples')
    env = {k: v for k, v in os.environ.items() if k != 'DFKD_RUNS'} | {'PYTHONPATH': str(lib)}
    command = [sys.executable, ROOT/'tools'/'installed.py', lib, ROOT/'README.md']
    return subprocess.run(command, cwd=empty, env=env).returncode

def main():
    with tempfile.TemporaryDirectory() as tmp: return tried(build(Path(tmp)/'dist'), Path(tmp))

if __name__ == '__main__': sys.exit(main())
