"`make shipped`: make the finished digits stages in tests_data/digits/ anew, by the notebooks' own stage cells."
import json, os, shutil, subprocess, sys
from pathlib import Path
sys.path.insert(0, str(Path(__file__).parent))
import graph
from cells import ROOT

LIMIT = 3_000_000                                      # bytes, so that the repository stays light
LEFT_OUT = {('student', 'no_teacher'), ('student', 'noise')}    # (stage, variant or rung): half a minute each to make

def wanted(r): return not {(r['stage'], r.get('variant')), (r['stage'], r.get('rung'))} & LEFT_OUT

def main():
    build, dest = ROOT/'build'/'shipped', ROOT/'tests_data'/'digits'
    env = os.environ | dict(DFKD_RUNS=str(build/'runs'), DFKD_SHIPPED='0')
    for nb in graph.STAGES:
        subprocess.run([sys.executable, ROOT/'tools'/'execute.py', '--stages', ROOT/'nbs'/f'{nb}.ipynb', build/f'{nb}.ipynb', '-y', '{dataset: digits, seed: 0}'], env=env, check=True)
    loaded = set()          # the folders that the last notebook's stages stand on: those of today's code
    new = build/'digits'
    shutil.rmtree(new, ignore_errors=True)
    for f in sorted((build/'runs').glob('*/*/result.json'), key=lambda f: f.stat().st_mtime, reverse=True):
        r = json.loads(f.read_text())
        what = r['stage'], r.get('rung'), r['variant']
        if what in loaded or not wanted(r): continue
        loaded.add(what)
        shutil.copytree(f.parent, new/r['stage']/f.parent.name)
    size = sum(f.stat().st_size for f in new.rglob('*') if f.is_file())
    for f in sorted(new.rglob('weights.safetensors')): print(f'{f.stat().st_size/1e6:6.2f} MB  {f.relative_to(new)}')
    if size > LIMIT: sys.exit(f'{size/1e6:.2f} MB are more than the {LIMIT/1e6:.0f} MB that may travel with the repository')
    shutil.rmtree(dest, ignore_errors=True)
    shutil.copytree(new, dest)
    print(f'{len(loaded)} stages, {size/1e6:.2f} MB, in {dest.relative_to(ROOT)}')

if __name__ == '__main__': main()
