"""The summary: every number of the paper beside ours, and every claim in words with the measurement that decides it.
`summary.py [SCALE]` writes build/<scale>/summary.md from the results there. What the paper says, and why we may differ, stands in paper_figures/paper.yaml."""
import argparse, ast, csv, json, math, re, sys
from collections import Counter
from decimal import Decimal
from pathlib import Path
from statistics import fmean
import yaml
sys.path.insert(0, str(Path(__file__).parent))
from cells import ROOT
from dfkd_nb.runs import mean_sd, paired_difference

NUMBERS = ['reached', 'beaten', 'not reached', 'not comparable', 'not run at this scale']       # verdicts on a number ...
CLAIMS  = ['reached', 'refuted', 'undecided', 'untestable']                                     # ... and on a claim
NOTHING = 'untestable', 'no result at this scale yet'
UNIT    = dict(fid=(1, ''), kid=(1, ''), latency_change=(1, ' ms'), epochs=(1, ' epochs'))              # how a metric is told: factor and unit; else percent
PERCENT = 100, ' points'
BETTER  = dict(accuracy=1, label_agreement=1, fid=-1)                                            # on which side of the paper's number it is better; else it has to be equal

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
    counts = {r['we build'].split('`')[1]: int(r['counted'].replace(',', '')) for r in rows}
    sizes = Path(folder)/'detr_sizes.csv'
    for r in csv.DictReader(sizes.read_text(encoding='utf-8').splitlines()) if sizes.exists() else []: counts |= {f"{r['detector']}.{k}": int(r[k]) for k in ('parameters', 'trainable', 'frozen')}
    return results, counts

def value(r, metric): return next((r[k][metric] for k in ('metrics', 'params', 'run') if metric in r.get(k, {})), None)
def extractor(r): return r.get('params', {}).get('extractor', '')

def pick(results, variant='default', **where):
    "Results with these fields or settings; of several variants, the first that a data set has."
    found = [r for r in results if all(r.get(k, value(r, k)) == v for k, v in where.items())]
    there = {(r['dataset'], r.get('variant')) for r in found}
    order = [variant] if isinstance(variant, str) else variant
    return [r for r in found if r.get('variant') == next((v for v in order if (r['dataset'], v) in there), ...)]

def alike(results, names={}):
    "Results that differ by seed only: {name: results}. The name says no more than is needed to tell them apart."
    parts = lambda r: (r['dataset'], r.get('model', ''), extractor(r))
    groups = {}
    for r in results: groups.setdefault(parts(r), []).append(r)
    sets = Counter(k[0] for k in groups)
    return {', '.join(filter(None, [names.get(k[0], k[0]), *(k[1:] if sets[k[0]] > 1 else [])])): rs for k, rs in groups.items()}

def paired(a, b, equal=()):
    "Pairs of results of the same data set, model, extractor and seed, and with the same settings of the names in `equal`."
    key = lambda r: (r['dataset'], r.get('model'), extractor(r), r['seed'], *(value(r, p) for p in equal))
    other = {key(r): r for r in b}
    return [(r, other[key(r)]) for r in a if key(r) in other]

def interval(d):
    "95 % interval of a mean, infinite for a single value."
    p = paired_difference(d, [0]*len(d))
    return float(p['low']), float(p['high'])

# --- numbers

def printed(x):
    "(value, one unit of its last digit) of what the paper prints: 97.75, '9,498,122', '21.3 M'."
    number, times = re.match(r'([\d,.]+) ?(\w*)', str(x)).groups()
    number, times = Decimal(number.replace(',', '')), {'k': 10**3, 'M': 10**6}.get(times, 1)
    return float(number*times), float(Decimal(1).scaleb(number.as_tuple().exponent)*times)

def millions(n): return f'{n/1e6:.1f} M' if n % 1e5 == 0 else f'{n:,}'

def judge(said, ours, better):
    "Verdict on our values: as good, better with all of the interval, or by how much not. `better` 0: equal, up to one unit of the last digit (the paper rounds or cuts off)."
    (goal, unit), mean, (low, high) = printed(said), fmean(ours), interval(ours)
    if not better: return 'reached' if abs(mean-goal) < unit else 'not reached'
    if min(better*(low-goal), better*(high-goal)) > 0: return 'beaten'
    if better*(mean-goal) > -unit/2: return 'reached'
    return f"not reached: {abs(mean-goal):.2f} worse{', within our interval' if len(ours) > 1 and low <= goal <= high else ''}"

def of_paper(n, paper):
    "What the paper prints: the value of a key such as `table4.real.teacher`, else the entry itself."
    if not re.match('[a-z]', n): return n
    for k in n.split('.'): paper = paper[k]
    return paper

def comparable(n, paper, results):
    "(our results for one number, why they are not comparable): of the paper's data set, else of one that stands in for it."
    of, names, apart = n.get('of', {}), paper['names'], [n['apart']] if 'apart' in n else []
    found = pick(results, **{k: v for k, v in of.items() if k not in ('metric', 'times')}) if of else []
    if theirs := n.get('set'):
        sets = [theirs, *(d for d, for_ in paper['stand_in'].items() if for_ == theirs)]
        found = next((rs for d in sets if (rs := [r for r in found if r['dataset'] == d])), [])
        if found and (d := found[0]['dataset']) != theirs: apart.append(paper['why']['stand_in'].format(ours=names[d], paper=names[theirs]))
    if found and (m := found[0].get('model')) in paper['smaller']: apart.append(paper['why']['smaller'].format(model=m))
    if of.get('stage') == 'fid':
        found = [r for r in found if extractor(r) == 'inception'] or found
        if found and (e := extractor(found[0])) != 'inception': apart.append(paper['why']['extractor'].format(extractor=e))
    return found, apart

def row(n, paper, results, counts):
    "One line of the table, of one model and extractor: that of most seeds."
    said, of = of_paper(n['paper'], paper), n.get('of', {})
    found, apart = comparable(n, paper, results)
    several, found = len(groups := alike(found)) > 1, max(groups.values(), key=len, default=[])
    metric, unit = of.get('metric'), printed(said)[1]
    better = BETTER.get(metric, 0)
    times = of.get('times') or (UNIT.get(metric, PERCENT)[0] if better else 1)
    ours = [counts[m]*n.get('times', 1)] if (m := n.get('count')) in counts else [v*times for r in found if (v := value(r, metric)) is not None]
    text = mean_sd(ours, 1) if better or not ours else f'{fmean(ours):,.{max(0, round(-math.log10(unit)))}f}'
    if found: text = ', '.join([text, *[found[0]['variant']]*isinstance(of.get('variant'), list), *[found[0]['model']]*several])
    if not ours: verdict = NUMBERS[4]
    elif apart: verdict = f"{NUMBERS[3]}: {'; '.join(apart)}"
    else:
        verdict = judge(said, ours, better)
        if verdict.startswith(NUMBERS[2]) and n.get('why'): verdict += f"{'; ' if ':' in verdict else ': '}{n['why']}"
    return {'where': n['where'], 'what': n['what'], 'paper': said, 'ours': text, 'verdict': verdict}

def numbers(paper, results, counts):
    "{heading: rows} of all numbers that the paper prints; those of `models` come first."
    models = []
    for name, m in paper['models'].items():
        (where, what), said = m['where'].split(', '), millions(m['params'])
        models.append({'where': where, 'what': f"{what}, parameters" + (f" ({m['stated']})" if said != m['stated'] else ''), 'paper': said, 'count': name, 'why': m['note']})
    return {heading: [row(n, paper, results, counts) for n in models*(i == 0) + rows] for i, (heading, rows) in enumerate(paper['numbers'].items())}

# --- claims: each measure takes the results and its settings in paper.yaml, and gives (verdict, measurement)

def signed(x, digits=2): return f'{x:+.{digits}f}'.replace('-', '−')

def decide(samples, claimed):
    "From [(label, differences one a seed, unit, margin)]: reached when all samples are, refuted when some are and none is reached; one seed decides nothing."
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
        pairs = paired(a, b, c.get('equal', [])) if 'b' in c else [(r, None) for r in a]
        times, unit = UNIT.get(metric, PERCENT)
        for name, group in alike([r for r, _ in pairs], paper['names']).items():
            both = [(value(r, metric), value(s, metric) if s else 0) for r, s in pairs if r in group]
            d = [times*(x-y) for x, y in both if None not in (x, y)]
            if d: samples.append((f"{name}: {c.get('name', metric)}", d, unit, 0))
    return decide(samples, claimed)

def earlier(results, paper):
    "Epochs until the FID is that of the unguided run's end, guided − unguided; a curve that never gets there counts as one step longer."
    def reach(curve, goal): return next((p['epoch'] for p in curve if p['fid'] <= goal), 2*curve[-1]['epoch']-curve[-2]['epoch'])
    pairs = [(a, b) for a, b in paired(pick(results, stage='fid'), pick(results, stage='fid', variant='unguided')) if min(len(r.get('curve', [])) for r in (a, b)) > 1]
    samples = []
    for name, group in alike([a for a, _ in pairs], paper['names']).items():
        d = [reach(a['curve'], goal)-reach(b['curve'], goal) for a, b in pairs if a in group for goal in [b['curve'][-1]['fid']]]
        samples.append((f'{name}: epochs to that FID', d, UNIT['epochs'][1], 0))
    return decide(samples, 'lower')

def robust(results, paper):
    "Accuracy with the early-stopped generator of worst FID, against that with the finished one; a loss that the paper calls minor on this set is allowed."
    fid = {(r['dataset'], r['seed'], p['epoch']): p['fid'] for r in pick(results, stage='fid') for p in r.get('curve', [])}
    worst = {}      # name: (two seeds or more, mean FID, epoch, differences, margin), the largest of all epochs
    for epoch in sorted({int(m[1]) for r in results if (m := re.fullmatch(r'epoch(\d+)', r.get('variant', '')))}):
        early, final = (pick(results, v, stage='student', rung='gan') for v in (f'epoch{epoch}', 'default'))
        pairs = [(a, b) for a, b in paired(early, final) if (a['dataset'], a['seed'], epoch) in fid]
        for name, group in alike([a for a, _ in pairs], paper['names']).items():
            d, text = [100*(value(a, 'accuracy')-value(b, 'accuracy')) for a, b in pairs if a in group], paper['text'].get(paper['stand_in'].get(group[0]['dataset'], group[0]['dataset']))
            f = fmean(fid[r['dataset'], r['seed'], epoch] for r in group)
            worst[name] = max(worst.get(name, (False,)), (len(d) > 1, f, epoch, d, text['teacher']-text['student'] if text else 0))
    return decide([(f'{name}: accuracy at epoch {e}, FID {f:.1f} (allowed: {signed(-margin)})', d, PERCENT[1], margin) for name, (_, f, e, d, margin) in worst.items()], 'higher')

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
    for name, group in alike(pick(results, stage='student', rung='gan'), paper['names']).items():
        for teacher in pick(results, stage='teacher', dataset=group[0]['dataset'])[:1]:
            s, of = (value(r, 'parameters') or 0 for r in (group[0], teacher))
            if s:
                told.append(f'{name}: {s:,} of {of:,} parameters, {of/s:.1f} times fewer')
                less.append(s < of)
    return ('reached' if all(less) else 'refuted', '<br>'.join(told)) if told else NOTHING

def inside(results, paper, code, name):
    "By construction: whether a class of ours, built as the paper describes, has attention in it."
    found = [n for n in ast.parse((ROOT/code).read_text(encoding='utf-8')).body if isinstance(n, ast.ClassDef) and n.name == name]
    if not found: return 'untestable', f'{code} has no class {name}'
    has = any(re.search('attn|attention', (getattr(n, 'id', '') or getattr(n, 'attr', '')).lower()) for n in ast.walk(found[0]))
    return 'reached' if has else 'refuted', f"by construction: `{name}` in [{code}](../../{code}) {'has attention' if has else 'has none; attention is in the loss alone'}"

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
    rows = [r for part in ours.values() for r in part]
    n, c = tally([r['verdict'] for r in rows], NUMBERS), tally([r['verdict'] for r in said], CLAIMS)
    counted = [True]*len(paper['models']) + ['count' in n for part in paper['numbers'].values() for n in part]
    sizes = sum(c and r['verdict'].startswith('reached') for c, r in zip(counted, rows, strict=True))
    seen = {(r['dataset'], r['seed']) for r in results if r['stage'].endswith(('teacher', 'student'))}     # one teacher may serve several seeds
    seeds = Counter(d for d, _ in sorted(seen))
    names, stand_in = paper['names'], paper['stand_in']
    data = [f"{names.get(d, d)}{f' (for {names[stand_in[d]]})' if d in stand_in else ''}, {k} seed{'s'*(k > 1)}" for d, k in seeds.items()]
    tables = [f'[{t}]({t}.md)' for t in ('table1', 'table3', 'unsaid') if (Path(folder)/f'{t}.md').exists()]
    central = next(r for r, spec in zip(said, paper['claims']) if spec.get('central'))
    return '\n\n'.join([f'# Summary, {scale}', '<!-- Made by tools/summary.py from the results and paper_figures/paper.yaml. -->',
        f"**In short.** Of the paper's {sum(n.values())} numbers, {n['reached'] + n['beaten']} reached or beaten ({sizes} of them sizes of models), {n['not reached']} not reached, {n['not comparable']} not comparable, "
        f"{n[NUMBERS[4]]} not run at this scale. Of its {len(said)} claims in words, {c['reached']} reached, {c['refuted']} refuted, {c['undecided']} undecided, {c['untestable']} untestable here. "
        f"The central claim, that students learn more from images made with the probe: **{central['verdict']}** ({central['measured'].replace('<br>', '; ')})."
        + (' This is the quick run, of up to three seeds; where the [study of record](../digits/summary.md), with more, says otherwise, trust that one.' if scale == 'smoke' else ''),
        f"Data: {'; '.join(data) or 'none yet'}. Settings are compared in {', '.join(tables) or 'no table yet'}.",
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
    if not any(folder.glob('results/*.json')):     # a page alone would look like a run that made nothing else
        print(f'no results in {folder}: run `make paper SCALE={a.scale}`', file=sys.stderr); return 1
    text = page(a.scale, folder, yaml.safe_load((root/'paper_figures/paper.yaml').read_text(encoding='utf-8')))
    if a.print: print(text)
    else: (folder/'summary.md').write_text(text, encoding='utf-8')
    return 0

if __name__ == '__main__': sys.exit(main())
