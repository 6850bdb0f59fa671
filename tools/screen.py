"""What `make paper` shows while it runs: a line for each result and for each table of the paper, and how far it is.

All is read from the files that jobs write, so that it is the same on one machine and on a cluster: a job has begun when
its log is there, is done when its output is, and has failed when the last line of its log says so."""
import json, sys, time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tqdm import tqdm
from cells import short
from execute import FAILED
from study import HEADLINES, is_table

# --- what is said of a result

WORDS = 'stage', 'dataset', 'rung', 'matching', 'variant'

def clock(minutes):
    "0:07, 1:10, 2:05:00: minutes and seconds, with hours where there are any."
    m, s = divmod(round(60*minutes), 60)
    return f'{m//60}:{m%60:02}:{s:02}' if m >= 60 else f'{m}:{s:02}'

def rough(minutes):
    "About so long: 20 s, 3 min, 2 h 10 min."
    if minutes < .9: return f'{max(10, round(6*minutes)*10)} s'
    h, m = divmod(round(minutes), 60)
    return f'{h} h {m} min' if h else f'{m} min'

def headline(result):
    "What a result found: teacher digits seed 0 … 98.6 %"
    words = [str(result[k]) for k in WORDS if result.get(k, 'default') not in (None, 'default')]
    try: found = HEADLINES.get(result['stage'], '').format(**result['metrics']).replace('%', ' %')
    except (KeyError, TypeError, ValueError): found = ''        # that metric is not there, or no number
    return f"{' '.join(words)} seed {result.get('seed', 0)}" + (f' … {found}' if found else '')

def read_json(path):
    "A result that is being replaced or was damaged is None: it is looked at again when it changes."
    try: return json.loads(path.read_text(encoding='utf-8'))
    except (OSError, ValueError): return None

def line(path, notes, made='in'):
    "The line of a result, with the minutes that the notes beside it tell."
    result = read_json(path)
    if not isinstance(result, dict) or 'stage' not in result: return None
    minutes = (read_json(notes) or {}).get('minutes')
    return headline(result), f' {made} {clock(minutes)}' if minutes is not None else ''

class Results:
    "Tells each result once: as soon as its stage is finished, or when a job records one that was finished before."
    def __init__(self, runs, out):
        self.runs, self.out = Path(runs), Path(out)
        self.seen = dict(self.files())
        self.said = {told[0] for told in (line(p, p) for p in self.recorded()) if told}
    def recorded(self): return [p for p in self.out.glob('results/*.json') if not p.name.endswith('.run.json')]
    def files(self):
        "Results and tables with the times at which they were written."
        runs = [p for p in self.runs.glob('*/*/result.json') if '.' not in p.parent.name]     # others were set aside
        tables = [p for p in self.out.glob('*.md') if is_table(p.stem)]
        for p in [*runs, *self.recorded(), *tables]:
            with suppress(FileNotFoundError): yield p, p.stat().st_mtime_ns
    def new(self):
        "Lines of what was written since the last call."
        files = dict(self.files())
        fresh = [p for p, at in files.items() if self.seen.get(p) != at]
        self.seen = files
        told = (self.told(p) for p in sorted(fresh, key=files.get))
        return [text for text in told if text]
    def told(self, path):
        if path.suffix == '.md': return f'table: {short(path)}'
        if path.name == 'result.json': found = line(path, path.with_name('run.json'))       # a stage is done
        else:                                                                               # a job has recorded it
            found = line(path, path.with_suffix('.run.json'), 'made earlier, in')
            if found and found[0] in self.said: return None
        if not found: return None
        self.said.add(found[0])
        return ''.join(found)

# --- how far it is

@dataclass
class Job:
    "A notebook that has to be executed."
    name: str
    minutes: float              # that it takes, roughly
    chain: float                # that it and the longest chain behind it take
    output: Path
    said: Path                  # where its words lie
    page: bool = False
    begun: float|None = None    # seconds since the epoch
    done: float|None = None
    failed: bool = False
    @property
    def running(self): return self.begun is not None and self.done is None and not self.failed

def changed(path, since):
    "Whether a file is there that was written since then."
    try: return path.stat().st_mtime >= since - 1        # clocks of file systems are coarse
    except FileNotFoundError: return False

def failure(path):
    "The last line of what a job said, if it failed."
    try: last = path.read_text(encoding='utf-8', errors='replace').strip().rpartition('\n')[2]
    except OSError: return None
    return last if last.startswith(FAILED) else None

class Progress:
    "Of all jobs: what is done, and the time left, by what this machine took so far."
    def __init__(self, jobs, slots, known=True, since=None):
        self.jobs, self.slots, self.known = jobs, slots, known
        self.since = time.time() if since is None else since
    def look(self, now):
        "Note which jobs have begun and ended since the last look; returns those that failed since."
        for j in self.jobs:
            if j.begun is None and changed(j.said, self.since): j.begun = now
            if j.done is None and changed(j.output, self.since):
                j.begun, j.done = j.begun or now, now
        broken = [j for j in self.jobs if j.running and failure(j.said)]
        for j in broken: j.failed = True
        return broken
    def factor(self, now):
        """How many minutes this machine takes for one that was expected. Counted are jobs that are done, and those that
        run for longer than expected; a first minute as expected keeps it from jumping."""
        took = expected = 1.
        for j in self.jobs:
            spent = ((j.done or now) - j.begun)/60 if j.begun is not None else 0
            if j.done or spent > j.minutes:
                took += spent
                expected += j.minutes
        return took/expected
    def rest(self, job, now):
        "(expected minutes of this job that are still to come, those before them)"
        if job.failed: return 0, 0
        if job.done: return 0, job.minutes
        spent = (now - job.begun)/60/self.factor(now) if job.begun is not None else 0
        spent = min(spent, .95*job.minutes)
        return job.minutes - spent, spent
    def part(self, now):
        "What part of the work is done, from 0 to 1."
        total = sum(j.minutes for j in self.jobs)
        return sum(self.rest(j, now)[1] for j in self.jobs)/total if total else 1.
    def left(self, now):
        """Minutes that are left: of the work that is shared, or of the longest chain where that is more. None while
        nobody knows: the first job of a scale other than `smoke` has to be done before."""
        if not self.known and not any(j.done and not j.page for j in self.jobs): return None
        rests = {j.name: self.rest(j, now) for j in self.jobs}
        shared = sum(rest for rest, _ in rests.values())/max(1, self.slots)
        chain = max((j.chain - rests[j.name][1] for j in self.jobs if rests[j.name][0]), default=0)
        return self.factor(now)*max(shared, chain)
    def told(self, now):
        "34 %, about 21 min left, 12 of 38 notebooks done"
        left, done = self.left(now), sum(j.done is not None for j in self.jobs)
        about = 'time left known after the first stages' if left is None else f'about {rough(left)} left'
        return f'{int(100*self.part(now))} %, {about}, {done} of {len(self.jobs)} notebooks done'

# --- the screen

class Screen:
    "One bar on a terminal; lines alone elsewhere, and every two minutes one that says how far it is."
    EVERY = 120
    def __init__(self, progress, terminal=None):
        self.progress = progress
        self.terminal = sys.stderr.isatty() if terminal is None else terminal
        self.bar = tqdm(total=1, file=sys.stderr, bar_format='|{bar:24}| {desc}', dynamic_ncols=True,
                        disable=not self.terminal)
        self.last = time.time()
    def say(self, text):
        if self.terminal: self.bar.write(text, file=sys.stdout)
        else: print(text, flush=True)
    def show(self, now):
        "Where it stands now."
        if self.terminal:
            running = ', '.join(j.name for j in self.progress.jobs if j.running)
            self.bar.n = self.progress.part(now)
            self.bar.set_description_str(f'{self.progress.told(now)}; {running}'.rstrip('; '))
        elif now - self.last >= self.EVERY:
            self.last = now
            self.say(self.progress.told(now))
    def close(self):
        self.bar.leave = False
        self.bar.close()
