"""The summary: every number of the paper beside ours, and every claim in words with the measurement that decides it.
`summary.py [SCALE]` writes build/<scale>/summary.md from the results there. What the paper says, and why we may differ, stands in paper_figures/paper.yaml."""
import argparse, csv, json, re, sys
from collections import Counter
from decimal import Decimal
from pathlib import Path
from statistics import fmean, stdev
import yaml
from scipy.stats import t
sys.path.insert(0, str(Path(__file__).parent))
from cells import ROOT
from dfkd_nb.runs import mean_sd

NUMBERS = ['reached', 'beaten', 'not reached', 'not comparable', 'not run at this scale']       # verdicts on a number ...
CLAIMS  = ['reached', 'refuted', 'undecided', 'untestable']                                     # ... and on a claim
NOTHING = 'untestable', 'no result at this scale yet'
UNIT    = dict(fid=(1, ''), kid=(1, ''), latency=(1, ' ms'), epochs=(1, ' epochs'))              # how a metric is told: factor and unit; else percent
PERCENT = 100, ' points'
BETTER  = dict(accuracy=1, label_agreement=1, map=1, map50=1, fid=-1)                           # on which side of the paper's number it is better; else it has to be equal

# --- results

def read(folder):
    "Results of a run, each with what lies in its .run.json; and the counted parameters of the audit, by model."
    results = []
    for p in sorted(Path(folder).glob('results/*.json')):
        if not p.name.endswith('.run.json'):
            extra = p.with_suffix('.run.json')
            results.append(json.loads(p.read_text(encoding='utf-8')) | {'run': json.loads(extra.read_text(encoding='utf-8')) if extra.exists() else {}})
    audit = Path(folder)/'audit.csv'
    rows = csv.DictReader(audit.read_text(encoding='utf-8').splitlines()) if audit.exists() else []
    return results, {r['we build'].split('`')[1]: int(r['counted'].replace(',', '')) for r in rows}

def value(r, metric): return next((r[k][metric] for k in ('metrics', 'params', 'run') if metric in r.get(k, {})), None)
def extractor(r): return r.get('params', {}).get('extractor', '')

def pick(results, variant='default', **where):
    "Results with these fields; of several variants, the first that there is."
    found = [r for r in results if all(r.get(k) == v for k, v in where.items())]
    return next((rs for v in ([variant] if isinstance(variant, str) else variant) if (rs := [r for r in found if r.get('variant') == v])), [])

def alike(results):
    "Results that differ by seed only: {name: results}. The name says no more than is needed to tell them apart."
    parts = lambda r: (r['dataset'], r.get('model', ''), extractor(r))
    groups = {}
    for r in results: groups.setdefault(parts(r), []).append(r)
    sets = Counter(k[0] for k in groups)
    return {k[0] if sets[k[0]] == 1 else ', '.join(filter(None, k)): rs for k, rs in groups.items()}

def paired(a, b, **equal):
    "Pairs of results of the same data set, model, extractor and seed; with `params`, also of the same settings of these names."
    key = lambda r: (r['dataset'], r.get('model'), extractor(r), r['seed'], *(value(r, p) for p in equal.get('params', [])))
    other = {key(r): r for r in b}
    return [(r, other[key(r)]) for r in a if key(r) in other]

def interval(d):
    "95 % t-interval of a mean, infinite for a single value: that of `paired_difference`, which takes seconds to import."
    half = t.ppf(.975, len(d)-1)*stdev(d)/len(d)**.5 if len(d) > 1 else float('inf')
    return fmean(d)-half, fmean(d)+half

# --- numbers

def printed(x):
    "(value, one unit of its last digit) of what the paper prints: 97.75, '9,498,122', '21.3 M'."
    number, times = re.match(r'([\d,.]+) ?(\w*)', str(x)).groups()
    number, times = Decimal(number.replace(',', '')), {'k': 10**3, 'M': 10**6}.get(times, 1)
    return float(number*times), float(Decimal(1).scaleb(number.as_tuple().exponent)*times)

def millions(n): return f'{n/1e6:.1f} M' if n % 1e5 == 0 else f'{n:,}'

def judge(paper, ours, better):
    "Verdict on our values: as good, better with all of the interval, or by how much not. `better` 0: equal, up to one unit of the last digit (the paper rounds or cuts off)."
    (goal, unit), mean = printed(paper), fmean(ours)
    if not better: return 'reached' if abs(mean-goal) < unit else 'not reached'
    if min(better*(x-goal) for x in interval(ours)) > 0: return 'beaten'
    return 'reached' if better*(mean-goal) > -unit/2 else f'not reached: {abs(mean-goal):.2f} short'

def row(n, paper, results, counts):
    "One line of the table: where, what, paper, ours, verdict."
    said, apart, of, names = n['paper'], [], n.get('of', {}), paper['names']
    for k in said.split('.') if re.match(r'[a-z]', str(said)) else []: said = paper[k] if said is n['paper'] else said[k]
    found = pick(results, **{k: v for k, v in of.items() if k not in ('metric', 'times')}) if of else []
    if theirs := n.get('set'):          # the paper's own data set, else one that stands in for it
        stand_ins = [d for d, of_paper in paper['stand_in'].items() if of_paper == theirs]
        found = next((rs for d in [theirs, *stand_ins] if (rs := [r for r in found if r['dataset'] == d])), [])
        if found and (d := found[0]['dataset']) != theirs: apart.append(paper['why']['stand_in'].format(ours=names[d], paper=names[theirs]))
    if of.get('stage') == 'fid':        # only Inception's features compare
        found = [r for r in found if extractor(r) == 'inception'] or found
        if found and extractor(found[0]) != 'inception': apart.append(paper['why']['extractor'].format(extractor=extractor(found[0])))
    if 'apart' in n: apart.insert(0, n['apart'])
    found = max(alike(found).values(), key=len, default=[])     # one model: that of most seeds
    metric = of.get('metric')
    better = BETTER.get(metric, 0)
    times = of.get('times', UNIT.get(metric, PERCENT)[0] if better else 1)
    ours = [counts[m]] if (m := n.get('count')) in counts else [v*times for r in found if (v := value(r, metric)) is not None]
    if better: text = mean_sd(ours, 1, 1)
    else: text = f"{fmean(ours):,.{max(0, -Decimal(str(printed(said)[1])).normalize().as_tuple().exponent)}f}" if ours else '–'
    if not ours: verdict = NUMBERS[4]
    elif apart: verdict = f"not comparable: {'; '.join(apart)}"
    else:
        verdict = judge(said, ours, better)
        if 'not' in verdict and n.get('why'): verdict += f"{'; ' if ':' in verdict else ': '}{n['why']}"
    return {'where': n['where'], 'what': n['what'], 'paper': said, 'ours': text, 'verdict': verdict}

def numbers(paper, results, counts):
    "{heading: rows} of all numbers that the paper prints."
    models = [{'where': m['where'].split(',')[0], 'what': f"{m['where'].split(', ')[1]} ({m['stated']}), parameters", 'paper': millions(m['params']), 'count': name, 'why': m['note']}
              for name, m in paper['models'].items()]
    return {heading: [row(n, paper, results, counts) for n in (models if heading == next(iter(paper['numbers'])) else []) + rows] for heading, rows in paper['numbers'].items()}

# --- claims: each measure takes the results and its settings in paper.yaml, and gives (verdict, measurement)

def signed(x, digits=2): return f'{x:+.{digits}f}'.replace('-', '−')

def decide(samples, claimed):
    "From [(label, differences one a seed, unit, margin)]. One seed decides nothing; one sample on the other side refutes, unless another is reached."
    side, said, told = {'higher': 1, 'lower': -1}[claimed], [], []
    for label, d, unit, margin in samples:
        ends = sorted(side*x+margin for x in interval(d))
        if len(d) > 1: said.append('reached' if ends[0] > 0 else 'refuted' if ends[1] < 0 else 'undecided')
        told.append(f"{label} {signed(fmean(d))}{unit} {'[{}, {}]'.format(*map(signed, interval(d))) if len(d) > 1 else '(one seed: no interval)'}, n={len(d)}")
    if not samples: return NOTHING
    verdict = 'reached' if said and set(said) == {'reached'} else 'refuted' if 'refuted' in said and 'reached' not in said else 'undecided'
    return verdict, '<br>'.join(told)

def difference(results, paper, claimed, compare):
    "Of `metric` between results a and b, paired by seed; without b, its distance from 0."
    samples = []
    for c in compare:
        a, metric = pick(results, **c['a']), c['metric']
        b = pick(results, **{**c['a'], **c['b']}) if 'b' in c else []
        pairs = paired(a, b, params=c.get('equal', [])) if 'b' in c else [(r, None) for r in a]
        times, unit = UNIT.get(metric, PERCENT)
        for name, group in alike([r for r, _ in pairs]).items():
            d = [times*(value(r, metric)-(value(s, metric) if s else 0)) for r, s in pairs if r in group and value(r, metric) is not None and (not s or value(s, metric) is not None)]
            if d: samples.append((f"{name}: {c.get('name', metric)}", d, unit, 0))
    return decide(samples, claimed)

def earlier(results, paper):
    "Epochs until the FID is that of the unguided run's end, guided − unguided; a curve that never gets there counts as one step longer."
    def reach(curve, goal): return next((p['epoch'] for p in curve if p['fid'] <= goal), 2*curve[-1]['epoch']-curve[-2]['epoch'])
    pairs = [(a, b) for a, b in paired(pick(results, stage='fid'), pick(results, stage='fid', variant='unguided')) if min(len(r.get('curve', [])) for r in (a, b)) > 1]
    samples = []
    for name, group in alike([a for a, _ in pairs]).items():
        d = [reach(a['curve'], goal)-reach(b['curve'], goal) for a, b in pairs if a in group for goal in [b['curve'][-1]['fid']]]
        samples.append((f'{name}: epochs to that FID', d, UNIT['epochs'][1], 0))
    return decide(samples, 'lower')

def robust(results, paper):
    "Accuracy with the early-stopped generator of worst FID, against that with the finished one; a loss that the paper calls minor on this set is allowed."
    fid = {(r['dataset'], r['seed']): {p['epoch']: p['fid'] for p in r.get('curve', [])} for r in pick(results, stage='fid')}
    early = {}
    for r in results:
        if r['stage'] == 'student' and (m := re.fullmatch(r'epoch(\d+)', r.get('variant', ''))):
            early.setdefault((r['dataset'], r['model'], r['seed']), []).append((fid.get((r['dataset'], r['seed']), {}).get(int(m[1])), r))
    worst = [max(((f, i, r) for i, (f, r) in enumerate(rs) if f is not None), default=None) for rs in early.values()]
    pairs = paired([w[2] for w in worst if w], pick(results, stage='student', rung='gan'))
    samples = []
    for name, group in alike([a for a, _ in pairs]).items():
        text = paper['text'].get(paper['stand_in'].get(group[0]['dataset'], group[0]['dataset']), {})
        margin = text['teacher']-text['student'] if text else 0
        f = fmean(w[0] for w in worst if w and w[2] in group)
        samples.append((f'{name}: accuracy at a FID of {f:.1f} (allowed: {signed(-margin)})', [100*(value(a, 'accuracy')-value(b, 'accuracy')) for a, b in pairs if a in group], PERCENT[1], margin))
    return decide(samples, 'higher')

def unread(results, paper, of):
    "Real training images read by these stages, as their ledgers say."
    told, n = [], []
    for where in of:
        if not (found := pick(results, **where)): return NOTHING
        n.append(max(sum(k for split, k in r.get('images_read', {}).items() if not split.endswith('/test')) for r in found))
        told.append(f"{where['stage']}: {n[-1]:,} real training images read, n={len(found)}")
    return 'refuted' if any(n) else 'reached', '<br>'.join(told)

def smaller(results, paper):
    "Parameters of the student against its teacher's."
    told, less = [], []
    for name, group in alike(pick(results, stage='student', rung='gan')).items():
        for teacher in pick(results, stage='teacher', dataset=group[0]['dataset'])[:1]:
            s, of = (value(r, 'parameters') for r in (group[0], teacher))
            told.append(f'{name}: {s:,} of {of:,} parameters, {of/s:.1f} times fewer'); less.append(s < of)
    return ('reached' if all(less) else 'refuted', '<br>'.join(told)) if told else NOTHING

def inside(results, paper, code, name):
    "By construction: whether a class of ours, built as the paper describes, has attention in it."
    body = re.search(rf'^class {name}\b.*?(?=^\S)', (ROOT/code).read_text(encoding='utf-8'), re.M | re.S)[0]
    found = 'attention' in body.lower()
    return 'reached' if found else 'refuted', f"by construction: `{name}` in [{code}](../../{code}) {'has' if found else 'has no'} attention; it enters through the loss alone (Eq. 4–5)"

MEASURES = dict(difference=difference, earlier=earlier, robust=robust, unread=unread, smaller=smaller, inside=inside)

def claims(paper, results):
    "Rows of all claims in words."
    for c in paper['claims']:
        verdict, told = MEASURES[c['measure']](results, paper, **c.get('with', {}))
        yield {'claim': c['claim'], 'where': c['where'], 'verdict': verdict, 'measured': told}

# --- the page

def table(rows):
    head = list(rows[0])
    line = lambda cells: f"| {' | '.join(str(c).replace('|', chr(92) + '|') for c in cells)} |"
    return '\n'.join([line(head), line(['---']*len(head)), *(line(r.values()) for r in rows)])

def tally(verdicts, kinds):
    n = Counter(next(k for k in kinds if re.match(rf'{k}\b', v)) for v in verdicts)
    return {k: n[k] for k in kinds}

def page(scale, folder, paper):
    results, counts = read(folder)
    ours, said = numbers(paper, results, counts), list(claims(paper, results))
    n, c = tally([r['verdict'] for rows in ours.values() for r in rows], NUMBERS), tally([r['verdict'] for r in said], CLAIMS)
    seeds = {d: len({r['seed'] for r in results if r['dataset'] == d}) for d in sorted({r['dataset'] for r in results})}
    names, stand_in = paper['names'], paper['stand_in']
    data = [f"{names.get(d, d)}{f' (for {names[stand_in[d]]})' if d in stand_in else ''}, {k} seed{'s'*(k > 1)}" for d, k in seeds.items()]
    central = next(r for r, spec in zip(said, paper['claims']) if spec.get('central'))
    return '\n\n'.join([f'# Summary, {scale}', '<!-- Made by tools/summary.py from the results and paper_figures/paper.yaml. -->',
        f"**In short.** Of the paper's {sum(n.values())} numbers, {n['reached'] + n['beaten']} are reached or beaten ({n['beaten']} beaten) and {n['not reached']} not reached; "
        f"{n['not comparable']} are not comparable and {n[NUMBERS[4]]} not run at this scale. Of its {len(said)} claims in words, {c['reached']} are reached, {c['refuted']} refuted, "
        f"{c['undecided']} undecided and {c['untestable']} untestable here. The central one, that students learn more from images made with the probe: **{central['verdict']}** ({central['measured'].replace('<br>', '; ')}).",
        f"Data of this scale: {'; '.join(data) or 'none yet'}.",
        '## Numbers', *(part for heading, rows in ours.items() for part in (f'### {heading}', table(rows))),
        '## Claims in words', table(said),
        '## How a verdict is made', '\n'.join(f'- {x}' for x in paper['rules'])]) + '\n'

def main(args=None, root=ROOT):
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument('scale', nargs='?', default='smoke')
    p.add_argument('--folder', type=Path, help='where results/ lies and summary.md is written; default: build/<scale>')
    p.add_argument('--print', action='store_true', help='print the page, write nothing')
    a = p.parse_args(args)
    folder = a.folder or root/'build'/a.scale
    text = page(a.scale, folder, yaml.safe_load((root/'paper_figures/paper.yaml').read_text(encoding='utf-8')))
    if a.print: print(text)
    else: folder.mkdir(parents=True, exist_ok=True); (folder/'summary.md').write_text(text, encoding='utf-8')
    return 0

if __name__ == '__main__': sys.exit(main())
