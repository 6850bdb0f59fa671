"Checks what a run made: every expected file is there, numbers are in plausible ranges, the claims hold. `check_results.py [SCALE]`"
import json, sys
from pathlib import Path
from statistics import mean
sys.path.insert(0, str(Path(__file__).parent))
import graph, report
from cells import ROOT

FIGURES = {'07_ablations': ['fig13'], '08_detr': ['fig14', 'fig15', 'fig16', 'fig17'], '09_detr_distill': ['fig18', 'fig19'], '02a_training': [f'fig{i:02}' for i in range(1, 13)]}    # the paper's numbering; a notebook that runs where it is drawn
TABLES  = {'05_fid': ['table2'], '08_detr': ['detr_sizes'], '02a_training': ['table1', 'table3', 'table4', 'table5']}
GREY, COLOUR = {'digits', 'mnist'}, {'digits_rgb', 'cifar10'}
DRAWN_FOR = dict.fromkeys(('fig01', 'fig02'), {'digits'}) | dict.fromkeys(('fig04', 'fig08', 'fig11', 'table5'), COLOUR) | \
            dict.fromkeys(('fig03', 'fig05', 'fig06', 'fig07', 'fig09', 'fig10', 'fig12', 'fig13', 'table1', 'table2', 'table3', 'table4'), GREY)     # only where one of these is in the plan
RUNGS   = ['real', 'gan', 'noise']
LADDER  = ['wild', 'teacher', 'drawn']              # the rungs beyond the paper …
BEYOND  = dict(wild=.87, teacher=.92)               # … and the least accuracy of their students, for digits
PAIRED  = ['real', 'gan']                           # rungs on which a detector is taught in both ways …
MATCHING = ['hungarian', 'index']                   # … which are these
LOSSES  = ['all_losses', 'no_kd', 'no_patch']       # each removed in turn
CLAIMS  = dict(teacher=.98, real=.97, gan=.94)      # least mean test accuracy over the seeds, for digits
MAP50   = dict(teacher=.8, real=.7, gan=.5)         # least mean mAP@50 of the detector and its matched students, for scenes

def pick(results, **where): return [r for r in results if all(r.get(k) == v for k, v in where.items())]
def acc(rs): return mean(r['metrics']['accuracy'] for r in rs) if rs else float('nan')

def files(out, results, cfg):
    "What is missing."
    plan, there = cfg['plan'], lambda table: [n for nb, names in table.items() if graph.sets(cfg, nb) for n in names if DRAWN_FOR.get(n, plan.keys()) & plan.keys()]
    drawn = [f'{f}.{e}' for f in there(FIGURES) for e in ('png', 'svg')] + [f'{t}.{e}' for t in there(TABLES) for e in ('csv', 'md')] + ['summary.md']
    for name in drawn:
        yield f'{name} is there', (p := out/name).exists() and p.stat().st_size > 0
    for d, seeds in plan.items():
        for s in seeds:
            of = dict(dataset=d, seed=s, variant='default')
            if d in graph.BOXES:
                for stage, r in (('detr_teacher', 'recipe'), ('detr_generator', 'gan_recipe'))[:1 + (d in graph.sets(cfg, '09_detr_distill'))]:       # of one seed for all students, where a recipe says so
                    t = graph.parameters(cfg, '09_detr_distill', d, s, '').get(r, {}).get('seed', s)
                    yield f'{stage} of {d}, seed {t}', bool(pick(results, stage=stage, **of | {'seed': t}))
                for rung in PAIRED if d in graph.sets(cfg, '09_detr_distill') else ():
                    for m in MATCHING: yield f'detr_student on {rung}, {m}, of {d}, seed {s}', bool(pick(results, stage='detr_student', rung=rung, matching=m, **of))
                continue
            for stage in ('teacher', 'probes', 'generator'): yield f'{stage} of {d}, seed {s}', bool(pick(results, stage=stage, **of))
            if d in graph.sets(cfg, '05_fid'):
                for v in ('default', 'unguided'): yield f'fid of {d}, {v}, seed {s}', bool(pick(results, stage='fid', dataset=d, seed=s, variant=v))
            if d in graph.sets(cfg, '10_ladder') and s < cfg['parameters'].get('10_ladder', {}).get('ladder_seeds', 1):
                for rung in (g for g in LADDER if g != 'drawn' or cfg['parameters'].get('10_ladder', {}).get('with_drawn', True)): yield f'student on {rung} of {d}, seed {s}', bool(pick(results, stage='student', rung=rung, **of))
            if d in graph.sets(cfg, '11_deploy'): yield f'deploy of {d}, seed {s}', bool(pick(results, stage='deploy', **of))
            if d in graph.sets(cfg, '07_ablations'):
                for v in LOSSES: yield f'student {v} of {d}, seed {s}', bool(pick(results, stage='student', dataset=d, seed=s, variant=v))
            for rung in RUNGS: yield f'student on {rung} of {d}, seed {s}', bool(pick(results, stage='student', rung=rung, **of))

def plausible(results):
    "Fractions are fractions, and each kind of student says which real images it read."
    for r in results:
        name = ' '.join(str(r[k]) for k in ('stage', 'dataset', 'rung', 'matching', 'variant', 'seed') if r.get(k) is not None)
        numbers = {k: v for k, v in report.leaves(r['metrics']).items() if report.is_number(v)}
        bad = [k for k, v in numbers.items() if v != v or abs(v) == float('inf') or (k.startswith(('accuracy', 'agreement')) and not 0 <= v <= 1)]
        yield f"{name}: metrics are plausible{': ' + ', '.join(bad) if bad else ''}", not bad
        if r['stage'] in ('student', 'detr_student') and r.get('rung') not in (None, 'real'):
            yield f'{name}: read no real image to train on', not [k for k in r.get('images_read', {}) if k.endswith(('/train', '/valid'))]

def claims(results, dataset, seeds):
    "The figures to reach."
    of = dict(teacher=pick(results, stage='teacher', dataset=dataset, variant='default')) | \
         {g: pick(results, stage='student', dataset=dataset, rung=g, variant='default') for g in RUNGS}
    for k, least in CLAIMS.items():
        yield f'{k}: {acc(of[k]):.4f} is at least {least}, {len(of[k])} seeds', acc(of[k]) >= least and sorted({r["seed"] for r in of[k]}) == sorted(seeds)
    for g, least in BEYOND.items():
        yield f"{g}: {acc(got := pick(results, stage='student', dataset=dataset, rung=g, variant='default')):.4f} is at least {least}, {len(got)} seed(s)", acc(got) >= least
    for r in pick(results, stage='deploy', dataset=dataset): yield f"exported, seed {r['seed']}: the file's answers are the student's, and int8 loses {r['metrics']['accuracy']-r['metrics']['accuracy_int8']:.4f}", r['metrics']['same_answer'] == 1 and r['metrics']['accuracy']-r['metrics']['accuracy_int8'] < .009
    yield f"gan {acc(of['gan']):.4f} is above noise {acc(of['noise']):.4f}", acc(of['gan']) > acc(of['noise'])
    size = lambda rs: {r['params']['parameters'] for r in rs}
    t, s = size(of['teacher']), size(of['gan'])
    yield f'student {s} has at most a quarter of the teacher {t}', bool(t and s) and max(s) <= min(t)/4

def detection(results, dataset, seeds):
    "The figures to reach, of detectors."
    of = dict(teacher=pick(results, stage='detr_teacher', dataset=dataset, variant='default')) | \
         {g: pick(results, stage='detr_student', dataset=dataset, rung=g, matching='hungarian', variant='default') for g in PAIRED}
    for k, least in MAP50.items():
        got = mean(r['metrics']['map50'] for r in of[k]) if of[k] else float('nan')
        yield f"detector, {k}: mAP@50 {got:.4f} is at least {least}, {len(of[k])} seeds", got >= least and sorted(r['seed'] for r in of[k]) == sorted(seeds)

def main(scale='smoke'):
    out, cfg = ROOT/'paper_figures'/scale, graph.load(scale)
    plan = cfg['plan']
    results = [json.loads(p.read_text()) for p in sorted((out/'results').glob('*.json')) if not p.name.endswith('.run.json')]
    checks = [*files(out, results, cfg), *plausible(results)]
    told = [*claims(results, 'digits', plan['digits']), *detection(results, 'scenes', plan['scenes'])] if scale == 'smoke' else []
    for what, ok in (checks := checks+told):
        if not ok: print('NOT:', what)
    if told: print(*(what for what, ok in told if ok), sep='\n')
    print(f'{sum(ok for _, ok in checks)} of {len(checks)} checks hold')
    return 0 if all(ok for _, ok in checks) else 1

if __name__ == '__main__': sys.exit(main(*sys.argv[1:]))
