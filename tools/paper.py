"""`make paper`: Snakemake over the notebooks, then the reproduction report. Killed at any point, it goes on when called
again.

The screen is for a person (screen.py). What Snakemake and the jobs say lies in build/<scale>/log; that of a job that
fails is shown, and `VERBOSE=1` shows all of it as it comes."""
import argparse, fcntl, os, subprocess, sys, time
from pathlib import Path
sys.path.insert(0, str(Path(__file__).parent))
import graph, report
from cells import NBS, ROOT, short
from execute import FAILED
from screen import Job, Progress, Results, Screen, failure, rough
from study import PAGE

SHARED = .9     # of a GPU's memory, what all notebooks that run at once may take: each process has some MB beside it

def gpu_share(scale, cores):
    "What part of a GPU's memory each notebook may take, when as many run at once as the scale's `threads` let."
    n = graph.at_once(graph.load(scale), cores)
    return f'{SHARED/n if n > 1 else 1:.3f}'

def jobs_of(scale, outputs):
    "The jobs that make these outputs (paths from the root), as the screen counts them."
    cfg, build = graph.load(scale), ROOT/'build'/scale
    found = {}
    for nb, d, s in graph.jobs(cfg):
        found[f'jobs/{nb}-{d}-seed{s}'] = f'{nb} {d} seed {s}', graph.MINUTES[nb], graph.remaining(cfg, nb, d) + PAGE
    for name in graph.drawn(cfg): found[f'notebooks/{name}'] = f'page {name}', PAGE, PAGE
    return [Job(name, minutes, chain, build/f'{at}.ipynb', build/'log'/f'{Path(at).name}.txt', name.startswith('page'))
            for at, (name, minutes, chain) in found.items() if f'build/{scale}/{at}.ipynb' in outputs]

class Snakemake:
    "How it is called for a scale."
    def __init__(self, scale, cores, lock, env):
        on = [f'-c{cores}'] if cores else []
        self.call = [sys.executable, '-m', 'snakemake', *on, '--config', f'scale={scale}']
        # Snakemake holds our lock with us: should only this process be killed, a second run still sees the first
        self.how = dict(cwd=ROOT, env=env, pass_fds=[lock.fileno()])
    def unlock(self): subprocess.run([*self.call, '--unlock', '--quiet'], capture_output=True, **self.how)
    def plan(self, args, words):
        "The outputs that are to be made, or None when it cannot say; why not is added to `words`."
        got = subprocess.run([*self.call, *args, '--summary'], capture_output=True, text=True, **self.how)
        if got.returncode: words.write_text(got.stdout + got.stderr, encoding='utf-8')
        rows = [row.split('\t') for row in got.stdout.splitlines()]
        return None if got.returncode else {row[0] for row in rows if row[-1] == 'update pending'}
    def start(self, args, words): return subprocess.Popen([*self.call, *args], stdout=words, stderr=words, **self.how)

def watch(process, progress, results, screen, verbose):
    "Show what happens until Snakemake has ended; returns its exit code and the last lines of jobs that failed."
    failed = []
    def look():
        now = time.time()
        for text in results.new(): screen.say(text)
        for job in progress.look(now):
            failed.append(failure(job.said))
            screen.say(failed[-1] if verbose else job.said.read_text(encoding='utf-8', errors='replace').strip())
        screen.show(now)
    try:
        while process.poll() is None:
            look()
            time.sleep(1)
        look()
    except KeyboardInterrupt:
        try: process.wait(3)
        except subprocess.TimeoutExpired: process.kill()        # its jobs end with it
        raise
    finally: screen.close()
    return process.returncode, failed

def without_reason(progress):
    "Last lines of jobs that ended without one: killed, say, for want of memory."
    return [f'{FAILED} {j.name}: it ended without saying why (killed?) [its words: {short(j.said)}]'
            for j in progress.jobs if j.running]

def compute(scale, cores, more, lock, env):
    "Let Snakemake make what is not there; an exit code."
    out, verbose = ROOT/'build'/scale, bool(env.get('VERBOSE')) or '-n' in more
    (out/'log').mkdir(parents=True, exist_ok=True)
    words = out/'log'/'snakemake.txt'
    snakemake = Snakemake(scale, cores, lock, env)
    # ours is the only run, so a lock of Snakemake's that is still there was left by a killed one
    if any((ROOT/'.snakemake/locks').glob('*')): snakemake.unlock()
    args = ['--rerun-incomplete', '--rerun-triggers', 'mtime', 'params', 'input', *more]
    outputs = snakemake.plan(args, words)
    if outputs is None:
        print(words.read_text(encoding='utf-8').strip(), file=sys.stderr)
        return 1
    cfg = graph.load(scale)
    slots = int(cores)//cfg.get('threads', 1) if cores else sys.maxsize      # a cluster runs all that can run
    progress = Progress(jobs_of(scale, outputs), slots, known=scale == 'smoke')
    begin(progress, scale)
    results = Results(NBS/(env.get('DFKD_RUNS') or ROOT/'runs'), out)
    with open(words, 'w', encoding='utf-8') as f:
        process = snakemake.start(args, None if verbose else f)
        rc, failed = watch(process, progress, results, Screen(progress, False if verbose else None), verbose)
    if not rc: return 0
    failed += without_reason(progress) if rc > 0 else [f'{FAILED} Snakemake: it was killed (signal {-rc})']
    if not failed and not verbose: print(words.read_text(encoding='utf-8').strip(), file=sys.stderr)
    done = sum(j.done is not None for j in progress.jobs)
    print(f'\nstopped: {done} of {len(progress.jobs)} notebooks are done, the same command goes on from here.',
          f"Snakemake's words: {short(words)}", *failed, sep='\n', file=sys.stderr)
    return rc

def begin(progress, scale):
    "Say what there is to do."
    n, pages = len(progress.jobs), sum(j.page for j in progress.jobs)
    left = progress.left(progress.since)
    about = f', about {rough(left)}' if left else ''
    if n: print(f'{scale}: {n} notebooks to run, {n-pages} that compute and {pages} pages{about}', flush=True)
    else: print(f'{scale}: nothing to make anew', flush=True)

def end(scale, minutes):
    "Say where things are, what to open, and how long it took."
    site = 'make site' if scale == 'smoke' else f'.venv/bin/python tools/site.py {scale}'
    print(f"the paper's numbers beside ours: paper_figures/{scale}/summary.md",
          f'executed notebooks: build/{scale}/notebooks',
          f'next: {site}, then open build/site/html/index.html',
          f'{rough(minutes)} in all', sep='\n')

def make(scale, cores, more, lock, env):
    "All that a scale has to make, and the comparison with what is committed; an exit code."
    start = time.time()
    if rc := compute(scale, cores, more, lock, env): return rc
    import summary      # late, since it loads torch
    rc = summary.main([scale]) or report.main([scale])
    end(scale, (time.time()-start)/60)
    return rc

def main(args=None):
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('scale', nargs='?', default='smoke')
    p.add_argument('-c', '--cores', help="default: this machine's, or those of a profile")
    a, more = p.parse_known_args(args)      # whatever else: Snakemake's, such as --workflow-profile profiles/slurm
    here = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()
    cores = a.cores or (None if any('profile' in m for m in more) else here)
    if cores == 'all': cores = here
    env = dict(os.environ)
    if cores: env.setdefault('DFKD_GPU_SHARE', gpu_share(a.scale, int(cores)))      # jobs of a cluster have a GPU each
    (ROOT/'build').mkdir(exist_ok=True)
    with open(ROOT/'build/.paper.lock', 'w') as lock:
        try: fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print('another `make paper` is at work here', file=sys.stderr)
            return 1
        try: return make(a.scale, cores, more, lock, env)
        except KeyboardInterrupt:
            print('\nstopped: the same command goes on from here', file=sys.stderr)
            return 130

if __name__ == '__main__': sys.exit(main())
