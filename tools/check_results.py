"""Checks what a run made: every expected file is there, numbers are in plausible ranges, the claims hold.
`check_results.py [SCALE]`. What is expected stands in study.py."""
import sys
from itertools import product
from math import isfinite
from pathlib import Path
from statistics import mean
sys.path.insert(0, str(Path(__file__).parent))
import graph, report
from cells import ROOT
from dfkd_nb.results import read_records
from study import ACCURACY, BEYOND, BOXES, INT8, MAP50, MAP50_BEYOND, NOTEBOOKS, drawn_for

RUNGS = NOTEBOOKS['06_distill'].rungs

def pick(results, **where): return [r for r in results if all(r.get(k) == v for k, v in where.items())]
def average(results, metric): return mean(r['metrics'][metric] for r in results) if results else float('nan')
def seeds_of(results): return sorted(r['seed'] for r in results)

def files(out, results, cfg):
    "What is missing."
    drawn = drawn_for(cfg['plan'], lambda nb: graph.sets(cfg, nb))
    for name in [f'{n}.{end}' for n in drawn for end in (('png',) if n.startswith('fig') else ('csv', 'md'))]:
        yield f'{name} is there', exists(out/name)
    yield 'summary.md is there', exists(out/'summary.md')
    for dataset, seeds in cfg['plan'].items():
        expected = detection_results if dataset in BOXES else image_results
        for seed in seeds:
            for what, where in expected(cfg, dataset, seed):
                yield what, bool(pick(results, dataset=dataset, **where))

def exists(path): return path.exists() and path.stat().st_size > 0

def image_results(cfg, dataset, seed):
    "(what it is called, its fields) of each result of one seed of a data set of images."
    runs = {nb for nb, d, s in graph.jobs(cfg) if (d, s) == (dataset, seed)}
    end, of, default = f'of {dataset}, seed {seed}', {'seed': seed}, {'seed': seed, 'variant': 'default'}
    for stage in ('teacher', 'probes', 'generator'): yield f'{stage} {end}', {'stage': stage, **default}
    baselines = graph.parameters(cfg, '06_distill', dataset, seed, '').get('baselines', True)
    for rung in RUNGS:
        if rung != 'noise' or baselines:
            yield f'student on {rung} {end}', {'stage': 'student', 'rung': rung, **default}
    if '05_fid' in runs:
        for v in NOTEBOOKS['05_fid'].variants:
            yield f'fid of {dataset}, {v}, seed {seed}', {'stage': 'fid', 'variant': v, **of}
    if '07_ablations' in runs:
        for v in NOTEBOOKS['07_ablations'].variants:
            yield f'student {v} {end}', {'stage': 'student', 'variant': v, **of}
    if '11_deploy' in runs: yield f'deploy {end}', {'stage': 'deploy', **default}
    asked = cfg['parameters'].get('10_ladder', {})
    if '10_ladder' in runs and seed < asked.get('ladder_seeds', 1):
        for rung in NOTEBOOKS['10_ladder'].rungs:
            if rung != 'drawn' or asked.get('with_drawn', True):
                yield f'student on {rung} {end}', {'stage': 'student', 'rung': rung, **default}

def detection_results(cfg, dataset, seed):
    "Likewise of a data set of boxes."
    runs = {nb for nb, d, s in graph.jobs(cfg) if (d, s) == (dataset, seed)}
    students = '09_detr_distill' in runs
    given = graph.parameters(cfg, '09_detr_distill', dataset, seed, '')
    for stage, recipe in [('detr_teacher', 'recipe'), *[('detr_generator', 'gan_recipe')]*students]:
        s = given.get(recipe, {}).get('seed', seed)         # of one seed for all students, where a recipe says so
        yield f'{stage} of {dataset}, seed {s}', {'stage': stage, 'seed': s, 'variant': 'default'}
    for nb in sorted(runs):
        for rung, m in product(NOTEBOOKS[nb].rungs, NOTEBOOKS[nb].matching):
            where = {'stage': 'detr_student', 'rung': rung, 'matching': m, 'seed': seed, 'variant': 'default'}
            yield f'detr_student on {rung}, {m}, of {dataset}, seed {seed}', where

def plausible(results):
    "Fractions are fractions, and each kind of student says which real images it read."
    fraction = 'accuracy', 'agreement'
    for r in results:
        fields = [r.get(k) for k in ('stage', 'dataset', 'rung', 'matching', 'variant', 'seed')]
        name = ' '.join(str(v) for v in fields if v is not None)
        numbers = {k: v for k, v in report.leaves(r['metrics']).items() if report.is_number(v)}
        bad = [k for k, v in numbers.items() if not isfinite(v) or (k.startswith(fraction) and not 0 <= v <= 1)]
        yield f"{name}: metrics are plausible{': ' + ', '.join(bad) if bad else ''}", not bad
        if r['stage'] in ('student', 'detr_student') and r.get('rung') not in (None, 'real'):
            read = [k for k in r.get('images_read', {}) if k.endswith(('/train', '/valid'))]
            yield f'{name}: read no real image to train on', not read

def claims(results, dataset, seeds):
    "The figures to reach."
    mine = pick(results, dataset=dataset, variant='default')
    teachers = pick(mine, stage='teacher')
    students = {rung: pick(mine, stage='student', rung=rung) for rung in (*RUNGS, *BEYOND)}
    for k, least in ACCURACY.items():
        found = teachers if k == 'teacher' else students[k]
        got = average(found, 'accuracy')
        all_seeds = sorted({r['seed'] for r in found}) == sorted(seeds)
        yield f'{k}: {got:.4f} is at least {least}, {len(found)} seeds', got >= least and all_seeds
    for rung, least in BEYOND.items():
        got = average(students[rung], 'accuracy')
        yield f'{rung}: {got:.4f} is at least {least}, {len(students[rung])} seed(s)', got >= least
    for r in pick(results, stage='deploy', dataset=dataset):
        m = r['metrics']
        lost = m['accuracy']-m['accuracy_int8']
        yield (f"exported, seed {r['seed']}: the file's answers are the student's, and int8 loses {lost:.4f}",
               m['same_answer'] == 1 and lost < INT8)
    gan, noise = (average(students[rung], 'accuracy') for rung in ('gan', 'noise'))
    yield f'gan {gan:.4f} is above noise {noise:.4f}', gan > noise
    large, small = ({r['params']['parameters'] for r in rs} for rs in (teachers, students['gan']))
    yield (f'student {small} has at most a quarter of the teacher {large}',
           bool(large and small) and max(small) <= min(large)/4)

def detection(results, dataset, seeds):
    "The figures to reach, of detectors."
    mine = pick(results, dataset=dataset, variant='default')
    students = {k: pick(mine, stage='detr_student', rung=k, matching='hungarian') for k in (*MAP50, *MAP50_BEYOND)}
    for rung, least in MAP50_BEYOND.items():
        got = average(students[rung], 'map50')
        n = len(students[rung])
        yield f'detector, rung {rung}: mAP@50 {got:.4f} is at least {least}, {n} seed(s)', got >= least
    for k, least in MAP50.items():
        found = pick(mine, stage='detr_teacher') if k == 'teacher' else students[k]
        got = average(found, 'map50')
        yield (f'detector, {k}: mAP@50 {got:.4f} is at least {least}, {len(found)} seeds',
               got >= least and seeds_of(found) == sorted(seeds))

def main(scale='smoke'):
    out, cfg = ROOT/'paper_figures'/scale, graph.load(scale)
    plan = cfg['plan']
    results = list(read_records(out).values())
    checks, told = [*files(out, results, cfg), *plausible(results)], []
    if scale == 'smoke':
        told = [*claims(results, 'digits', plan['digits']), *detection(results, 'scenes', plan['scenes'])]
    checks += told
    for what, ok in checks:
        if not ok: print('NOT:', what)
    if told: print(*(what for what, ok in told if ok), sep='\n')
    print(f'{sum(ok for _, ok in checks)} of {len(checks)} checks hold')
    return 0 if all(ok for _, ok in checks) else 1

if __name__ == '__main__': sys.exit(main(*sys.argv[1:]))
