"""`make paper`: Snakemake over the notebooks, then the reproduction report. Killed at any point, it goes on when called
again."""
import argparse, fcntl, os, subprocess, sys, time
from pathlib import Path
sys.path.insert(0, str(Path(__file__).parent))
import graph, report
from cells import ROOT

SHARED = .9     # of a GPU's memory, what all notebooks that run at once may take: each process has some MB beside it

def gpu_share(scale, cores):
    "What part of a GPU's memory each notebook may take, when as many run at once as the scale's `threads` let."
    n = graph.at_once(graph.load(scale), cores)
    return f'{SHARED/n if n > 1 else 1:.3f}'

def make(scale, cores, more, lock, env):
    "All that a scale has to make, and the comparison with what is committed; an exit code."
    def run(*cmd):
        call = [sys.executable, '-m', 'snakemake', *([f'-c{cores}'] if cores else []), '--config', f'scale={scale}']
        # Snakemake holds our lock with us: should only this process be killed, a second run still sees the first
        return subprocess.run([*call, *cmd], cwd=ROOT, env=env, pass_fds=[lock.fileno()]).returncode
    # ours is the only run, so a lock of Snakemake's that is still there was left by a killed one
    if any((ROOT/'.snakemake/locks').glob('*')): run('--unlock', '--quiet')
    rc = run('--rerun-incomplete', '--rerun-triggers', 'mtime', 'params', 'input', '--quiet', 'rules', *more)
    if rc: return rc
    import summary      # late, since it loads torch
    return summary.main([scale]) or report.main([scale])

def main(args=None):
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument('scale', nargs='?', default='smoke')
    p.add_argument('-c', '--cores', help="default: this machine's, or those of a profile")
    a, more = p.parse_known_args(args)      # whatever else: Snakemake's, such as --workflow-profile profiles/slurm
    here = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()
    cores = a.cores or (None if any('profile' in m for m in more) else here)
    env = dict(os.environ)
    if cores:       # jobs of a cluster have a GPU each
        env.setdefault('DFKD_GPU_SHARE', gpu_share(a.scale, here if cores == 'all' else int(cores)))
    (ROOT/'build').mkdir(exist_ok=True)
    start = time.time()
    with open(ROOT/'build/.paper.lock', 'w') as lock:
        try: fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print('another `make paper` is at work here', file=sys.stderr)
            return 1
        rc = make(a.scale, cores, more, lock, env)
    print(f'{(time.time()-start)/60:.1f} minutes')
    return rc

if __name__ == '__main__': sys.exit(main())
