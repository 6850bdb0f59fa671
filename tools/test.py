"""`make test`: pytest; every notebook is one of the tests (tests/test_lessons.py), so that two processes share all of
the work. `make coverage`: the same with the coverage of the exported package, which makes it take far longer."""
import os, re, subprocess, sys, tempfile, time
from pathlib import Path
sys.path.insert(0, str(Path(__file__).parent))
from cells import ROOT

def tee(cmd, env):
    "Runs a command, passing its output on; returns (exit code, the output)."
    lines = []
    with subprocess.Popen(cmd, cwd=ROOT, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as p:
        for line in p.stdout:
            print(line, end='', flush=True)
            lines.append(line)
    return p.returncode, ''.join(lines)

def main(more):
    start, pytest = time.time(), Path(sys.executable).parent/'pytest'
    with tempfile.TemporaryDirectory() as tmp:
        # one thread for each of two workers; lessons must not see, or leave, stages of this checkout
        env = os.environ | dict(DFKD_RUNS=f'{tmp}/runs', OMP_NUM_THREADS='1', MPLBACKEND='Agg', PYTHONUNBUFFERED='1')
        rc, out = tee([pytest, '-n', '2', '--dist', 'worksteal', '--durations', '8', *more], env)
    last = re.findall(r'^.*(?:passed|failed|error).* in .*$', out, re.M)
    print(f"pytest: {last[-1].strip('= ') if last else 'did not finish'}",
          f'{(time.time()-start)/60:.1f} minutes', sep='\n')
    return rc

if __name__ == '__main__': sys.exit(main(sys.argv[1:]))
