"""`make alone`: each notebook by itself, as when it is the first thing run on the machine: no parameters, an empty
folder of runs."""
import argparse, os, subprocess, sys, tempfile, time
from datetime import date
from pathlib import Path
sys.path.insert(0, str(Path(__file__).parent))
from cells import ROOT, numbered

LIMIT = 180     # seconds, on two cores

def alone(nb):
    "(seconds, what went wrong or '')"
    with tempfile.TemporaryDirectory() as tmp:
        env = os.environ | dict(DFKD_RUNS=f'{tmp}/runs', OMP_NUM_THREADS='2', MKL_NUM_THREADS='2')
        start = time.time()
        rc = subprocess.run([sys.executable, ROOT/'tools/execute.py', nb, f'{tmp}/{nb.name}'], env=env).returncode
        took = time.time() - start
    return took, 'failed' if rc else f'over {LIMIT} s' if took > LIMIT else ''

def main(args=None):
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument('nb', nargs='*', help='names such as 04_gan; all when none is given')
    p.add_argument('--rotate', action='store_true', help='one of them, by the day of the year')
    a, nbs = p.parse_args(args), numbered()
    if a.nb:
        names = [n.stem for n in nbs]
        if unknown := sorted(set(a.nb) - {*names}):
            p.error(f"no notebook {', '.join(unknown)}: there are {', '.join(names)}")
        nbs = [n for n in nbs if n.stem in a.nb]
    if a.rotate: nbs = [nbs[date.today().timetuple().tm_yday % len(nbs)]]
    rows = [(n.stem, *alone(n)) for n in nbs]
    print('notebook      seconds', *(f'{n:<14}{t:7.0f}  {why}' for n, t, why in rows), sep='\n')
    return 1 if any(why for *_, why in rows) else 0

if __name__ == '__main__': sys.exit(main())
