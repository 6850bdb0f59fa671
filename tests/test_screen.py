"What `make paper` shows: lines of results, the time left, failures, and the order in which pages are drawn."
import json, re, subprocess, sys
import pytest
import execute, graph, paper, study
from cells import ROOT
from dfkd_nb.results import read_records
from screen import Job, Progress, Results, Screen, clock, headline, rough

# --- lines

def result(stage='student', value=.9639, **fields):
    return dict(stage=stage, dataset='digits', variant='default', seed=0, metrics=dict(accuracy=value)) | fields

def test_headline():
    assert headline(result('teacher', .9861)) == 'teacher digits seed 0 … 98.6 %'
    assert headline(result(rung='gan', variant='unguided', seed=1)) == 'student digits gan unguided seed 1 … 96.4 %'
    matched = result('detr_student', dataset='scenes', rung='gan', matching='index', metrics={'map50': .4199})
    assert headline(matched) == 'detr_student scenes gan index seed 0 … mAP@50 42.0 %'
    assert headline(result('fid', metrics={'fid': 2.841})) == 'fid digits seed 0 … FID 2.84'
    # a metric that is not there, or no number, or a stage that nobody knows: the line says what it can
    for of in ({}, {'accuracy': None}): assert headline(result(metrics=of)) == 'student digits seed 0'
    assert headline(result('other')) == 'other digits seed 0'

def test_every_result_has_a_headline():
    made = {s.name for n in study.NOTEBOOKS.values() for s in n.makes}
    assert made <= study.HEADLINES.keys()
    for scale in ('smoke', 'digits', 'drones'):
        for name, result in read_records(ROOT/'paper_figures'/scale).items(): assert ' … ' in headline(result), name

def test_times():
    assert [clock(m) for m in (.11, 1.1667, 125)] == ['0:07', '1:10', '2:05:00']
    assert [rough(m) for m in (.02, .5, 3.4, 130)] == ['10 s', '30 s', '3 min', '2 h 10 min']

def write(path, data, minutes=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data) if not isinstance(data, str) else data, encoding='utf-8')
    notes = path.with_name('run.json') if path.name == 'result.json' else path.with_suffix('.run.json')
    if minutes: notes.write_text(json.dumps({'minutes': minutes}), encoding='utf-8')

def test_results_are_told_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    runs, out = tmp_path/'runs', tmp_path/'out'
    write(out/'results/old.json', result(seed=7))
    seen = Results(runs, out)
    assert seen.new() == []
    write(runs/'student/abc/result.json', result(rung='gan'), 1.1667)
    write(runs/'student/abc.damaged-1/result.json', result(rung='real'))
    assert seen.new() == ['student digits gan seed 0 … 96.4 % in 1:10']
    write(out/'results/a.json', result(rung='gan'), 1.1667)             # the job records it at its end
    write(out/'results/old.json', result(seed=7) | {'log': []})         # a page records it once more
    assert seen.new() == []
    write(out/'results/b.json', result(rung='noise', value=.5), 2)      # a stage that an earlier run had finished
    write(out/'results/c.json', '{')
    assert seen.new() == ['student digits noise seed 0 … 50.0 % made earlier, in 2:00']
    write(out/'table1.md', '| a |')
    write(out/'ladder_digits.md', '| a |')
    assert seen.new() == ['table: out/table1.md']
    assert seen.new() == []

# --- the time left

def job(tmp_path, name, minutes, chain=None, page=False):
    return Job(name, minutes, chain or minutes, tmp_path/f'{name}.ipynb', tmp_path/f'{name}.txt', page)

def test_time_left(tmp_path):
    jobs = [job(tmp_path, 'a', 2, 6), job(tmp_path, 'b', 4, 4), job(tmp_path, 'c', 2)]
    p, start = Progress(jobs, 2, since=0), 1000.
    assert p.left(start) == 6                       # the longest chain: all of 8 minutes on two cores would be 4
    assert Progress(jobs, 1, since=0).left(start) == 8
    (tmp_path/'a.txt').write_text('begun')
    assert p.look(start) == [] and [j.running for j in jobs] == [True, False, False]
    assert p.left(start+60) == pytest.approx(5) and p.part(start+60) == pytest.approx(1/8)
    (tmp_path/'a.ipynb').write_text('{}')
    p.look(start+240)                               # it took twice as long as expected …
    assert p.factor(0) == pytest.approx(5/3)        # … which counts, beside a minute as expected
    assert p.left(start+240) == pytest.approx(4*5/3) and p.part(start+240) == pytest.approx(2/8)
    assert p.told(start+240) == '25 %, about 7 min left, 1 of 3 notebooks done'
    for j in jobs: j.begun, j.done = start, start+60
    assert p.left(start+240) == 0 and p.part(start+240) == 1

def test_late_jobs_slow_it_down(tmp_path):
    "One that runs for longer than expected says something of the machine before it is done."
    p = Progress([job(tmp_path, 'a', 1), job(tmp_path, 'b', 1)], 1, since=0)
    p.jobs[0].begun = 0
    assert p.factor(30) == 1 and p.factor(600) == pytest.approx(11/2)
    assert p.left(600) > 0 and p.part(600) < .5

def test_nothing_is_made_up(tmp_path):
    "The minutes of the study are those of `smoke`."
    p = Progress([job(tmp_path, 'a', 1), job(tmp_path, 'page', 1, page=True)], 1, known=False, since=0)
    assert p.left(0) is None and 'known after the first stages' in p.told(0)
    p.jobs[1].begun, p.jobs[1].done = 0, 60
    assert p.left(60) is None
    p.jobs[0].begun, p.jobs[0].done = 60, 120
    assert p.left(120) == 0

def test_no_bar_without_a_terminal(tmp_path, capsys):
    p = Progress([job(tmp_path, 'a', 1)], 1, since=0)
    s = Screen(p, terminal=False)
    s.say('teacher digits seed 0')
    s.show(s.last+1)
    s.show(s.last+Screen.EVERY)
    s.show(s.last+1)
    s.close()
    out, err = capsys.readouterr()
    assert out == 'teacher digits seed 0\n0 %, about 1 min left, 0 of 1 notebooks done\n' and not err

# --- failures

FAILS = [('code', 'print("before")', []), ('code', 'x = 1\nraise ValueError("the reason\\nin two lines")', []),
         ('code', '1', [])]

def test_last_line_of_a_failure(make_nb, tmp_path, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    nb = make_nb('04_x', ('code', 'dataset, seed = "digits", 0', ['parameters']), *FAILS)
    assert execute.main([str(nb), str(tmp_path/'log/o.ipynb'), '-y', 'seed: 3']) == 1
    err = capfd.readouterr().err
    assert err.strip().splitlines()[-1] == ('FAILED 04_x 3, cell In [4] (c2): ValueError: the reason in two lines '
                                            '[log notebook: log/o.ipynb]')
    assert 'raise ValueError' in err                # and what led there

def test_a_kernel_that_dies(make_nb, tmp_path, capfd):
    nb = make_nb('04_x', ('code', '1', []), ('code', 'import os; os._exit(1)', []), ('code', '2', []))
    assert execute.main([str(nb), str(tmp_path/'o.ipynb')]) == 1
    last = capfd.readouterr().err.strip().splitlines()[-1]
    assert re.match(r'FAILED 04_x, cell In \[[ 2]\] \(c1\): DeadKernelError: Kernel died', last), last

def test_a_healthy_kernel_says_nothing(make_nb, tmp_path, capfd):
    assert execute.main([str(make_nb('04_x', ('code', '1', []))), str(tmp_path/'o.ipynb')]) == 0
    assert 'IPKernelApp' not in ''.join(capfd.readouterr())

def test_failed_job_is_shown_whole(tmp_path, capsys):
    "While the others go on: its words, whose last line is kept for the end; it counts as running no more."
    a, b = jobs = [job(tmp_path, 'a', 1), job(tmp_path, 'b', 1)]
    a.said.write_text('warning: something\nFAILED a: ValueError: the reason [log notebook: a.ipynb]\n')
    b.said.write_text('Executing: 50 %')
    progress = Progress(jobs, 2, since=0)
    gone = subprocess.Popen([sys.executable, '-c', 'import sys; sys.exit(1)'])
    rc, failed = paper.watch(gone, progress, Results(tmp_path, tmp_path), Screen(progress, False), verbose=False)
    assert rc == 1 and failed == ['FAILED a: ValueError: the reason [log notebook: a.ipynb]']
    assert capsys.readouterr().out.startswith('warning: something\nFAILED a')
    assert a.failed and not a.running
    [killed] = paper.without_reason(progress)       # it could say nothing
    assert killed.startswith('FAILED b: it ended without saying why')

# --- when a page is drawn

def pages(cfg): return {name: graph.read_by(cfg, *of) for name, of in graph.drawn(cfg).items()}

def test_pages_wait_for_what_they_read():
    p = pages(graph.load('smoke'))
    assert {n for n, jobs in p.items() if not jobs} == {
        '00_checks', '00_runs', '00a_results', '01_data', '01a_recipes', '02_models', '07a_detr_hub'}
    of = lambda name: {(nb, d) for nb, d, _ in p[name]}
    assert of('04_gan') == {(nb, 'digits') for nb in ('02a_training', '03_probes', '04_gan')} == of('13_cli')
    many = pages(graph.load('digits'))['04_gan']
    assert {s for _, _, s in many} == set(range(5))                 # later seeds as well
    assert ('05_fid', 'digits') in of('07_ablations') and ('06_distill', 'digits') in of('10_ladder')
    assert ('07_ablations', 'digits') in of('06_distill')           # its row of the paper's own settings
    assert of('09_detr_distill') == {('08_detr', 'scenes'), ('09_detr_distill', 'scenes')}
    assert {d for _, d in of('04_gan-digits_rgb')} == {'digits_rgb'}

@pytest.mark.parametrize('scale', ['smoke', 'digits', 'mnist', 'drones'])
def test_every_job_of_a_notebook_comes_before_its_page(scale):
    cfg = graph.load(scale)
    for name, read in pages(cfg).items():
        nb, d = graph.drawn(cfg)[name]
        assert {j for j in graph.jobs(cfg) if j[:2] == (nb, d)} <= set(read)
        assert all((n, d, s) in read for nb, d, s in read for n in graph.NEEDS[nb])

def test_first_table_first():
    "A page that reads nothing, before every job; pages with tables before stages, others last."
    cfg = graph.load('smoke')
    order = {nb: graph.urgency(nb) for nb, _ in graph.drawn(cfg).values()}
    stages = [graph.remaining(cfg, nb, d) for nb, d, _ in graph.jobs(cfg)]
    assert max(order, key=order.get) == study.FIRST and not graph.read_by(cfg, study.FIRST, 'digits')
    assert {nb for nb, n in order.items() if n > max(stages)} == {
        study.FIRST, '04_gan', '05_fid', '06_distill', '08_detr'}
    assert all(n < min(stages) for nb, n in order.items() if n <= max(stages))
