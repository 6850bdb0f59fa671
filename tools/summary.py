"""The summary: every number of the paper beside ours, and every claim in words with the measurement that decides it.
`summary.py [SCALE]` writes build/<scale>/summary.md from the results there. What the paper says, and why we may
differ, stands in dfkd_nb/paper.yaml.

A claim of that file, from end to end:

    - {claim: "“each loss component … has an essential function”: the distillation loss", where: §6.4,
       measure: difference, with: {claimed: higher, compare: [
         {metric: accuracy, a: {stage: student, rung: gan, variant: all_losses}, b: {variant: no_kd}}]}}

1. `claim` and `where` are printed as they are. `measure` names a function of MEASURES below, and `with` holds its
   arguments; every measure is called with the results and the whole of paper.yaml before them.
2. `a` is a filter: results with these fields, or metrics and settings of that name. Without `variant`, those of the
   variant `default`; of a list of variants, the first that a data set has. `b` says only what differs from `a`: here
   students on the same rung, taught without the distillation loss.
3. `difference` pairs the two by data set, model, extractor and seed (and by the settings listed in `equal`), and takes
   `metric` of `a` minus that of `b`, in the unit of UNIT (percentage points where that says nothing). Without `b`, the
   value of `a` itself is held against 0. `name` is what the page calls the metric.
4. There is one sample of differences for each data set (and model, where there are several). `decide` makes the 95 %
   interval of each: all of it on the side that is `claimed` (higher or lower) reaches the claim there, all of it on
   the other side refutes it. Over all data sets and entries of `compare`: reached if all are, refuted if some are and
   none is reached, else undecided; one seed has no interval, and is shown only.
5. The row of the page: the claim, where, the verdict, and for each sample its mean, interval and number of seeds, as
   in `MNIST: accuracy +4.03 points [+3.65, +4.41], n=3`.

The other measures need no such filters: each says in its docstring what it takes. `central: true` marks the claim
that the page tells at its top."""
import argparse, ast, csv, math, re, sys
from collections import Counter
from decimal import Decimal
from pathlib import Path
from statistics import fmean
import yaml
sys.path.insert(0, str(Path(__file__).parent))
from cells import ROOT
from dfkd_nb.results import mean_sd, paired_difference, read_notes, read_records

# Verdicts on a number, and on a claim
REACHED, BEATEN, NOT_REACHED, NOT_COMPARABLE, NOT_RUN = NUMBERS = (
    'reached', 'beaten', 'not reached', 'not comparable', 'not run at this scale')
CLAIMS  = ['reached', 'refuted', 'undecided', 'untestable']
NOTHING = 'untestable', 'no result at this scale yet'
# How a metric is told: factor and unit; else percent
UNIT    = dict(fid=(1, ''), kid=(1, ''), latency_change=(1, ' ms'), epochs=(1, ' epochs'))
PERCENT = 100, ' points'
# On which side of the paper's number a metric is better; else it has to be equal
BETTER  = dict(accuracy=1, label_agreement=1, fid=-1)

# --- results

def rows_of(path):
    "The rows of a table, none where there is no such file."
    return list(csv.DictReader(path.read_text(encoding='utf-8').splitlines())) if path.exists() else []

def read(folder):
    "Results of a run, each with what lies in its .run.json; and the counted parameters of the audit, by model."
    folder = Path(folder)
    notes = read_notes(folder/'results')
    results = [r | {'run': notes.get(name, {})} for name, r in read_records(folder).items()]
    counts = {r['we build'].split('`')[1]: int(r['counted'].replace(',', '')) for r in rows_of(folder/'audit.csv')}
    for r in rows_of(folder/'detr_sizes.csv'):
        counts |= {f"{r['detector']}.{k}": int(r[k]) for k in ('parameters', 'trainable', 'frozen')}
    return results, counts

def value(r, metric):
    "A metric of a result, else a setting, else what is noted of its run; None where it has none of these."
    return next((r[k][metric] for k in ('metrics', 'params', 'run') if metric in r.get(k, {})), None)

def extractor(r): return r.get('params', {}).get('extractor', '')

def pick(results, variant='default', **where):
    "Results with these fields or settings; of several variants, the first that a data set has."
    found = [r for r in results if all(r.get(k, value(r, k)) == v for k, v in where.items())]
    there = {(r['dataset'], r.get('variant')) for r in found}
    order = [variant] if isinstance(variant, str) else variant
    first = lambda dataset: next((v for v in order if (dataset, v) in there), ...)
    return [r for r in found if r.get('variant') == first(r['dataset'])]

def alike(results, names=None):
    "Results that differ by seed only: {name: results}. The name says no more than is needed to tell them apart."
    groups, names = {}, names or {}
    for r in results:
        groups.setdefault((r['dataset'], r.get('model', ''), extractor(r)), []).append(r)
    sets = Counter(dataset for dataset, *_ in groups)
    def name(dataset, *rest):
        parts = [names.get(dataset, dataset), *(rest if sets[dataset] > 1 else [])]
        return ', '.join(filter(None, parts))
    return {name(*key): rs for key, rs in groups.items()}

def paired(a, b, equal=()):
    "Pairs of results of the same data set, model, extractor and seed, and of the same settings that `equal` names."
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
    """Verdict on our values: as good, better with all of the interval, or by how much not. `better` 0: equal, up to
    one unit of the last digit (the paper rounds or cuts off)."""
    (goal, unit), mean, (low, high) = printed(said), fmean(ours), interval(ours)
    if not better: return REACHED if abs(mean-goal) < unit else NOT_REACHED
    if min(better*(low-goal), better*(high-goal)) > 0: return BEATEN
    if better*(mean-goal) > -unit/2: return REACHED
    within = ', within our interval' if len(ours) > 1 and low <= goal <= high else ''
    return f'{NOT_REACHED}: {abs(mean-goal):.2f} worse{within}'

def of_paper(n, paper):
    "What the paper prints: the value of a key such as `table4.real.teacher`, else the entry itself."
    if not re.match('[a-z]', n): return n
    for k in n.split('.'): paper = paper[k]
    return paper

def comparable(n, paper, results):
    """(our results for one number, why they are not comparable): of the paper's data set, else of one that stands in
    for it."""
    of, names, why = n.get('of', {}), paper['names'], paper['why']
    apart = [n['apart']] if 'apart' in n else []
    found = pick(results, **{k: v for k, v in of.items() if k not in ('metric', 'times')}) if of else []
    if theirs := n.get('set'):
        sets = [theirs, *(d for d, stands_for in paper['stand_in'].items() if stands_for == theirs)]
        by_set = {d: [r for r in found if r['dataset'] == d] for d in sets}
        found = next(filter(None, by_set.values()), [])
        if found and found[0]['dataset'] != theirs:
            apart.append(why['stand_in'].format(ours=names[found[0]['dataset']], paper=names[theirs]))
    if found and found[0].get('model') in paper['smaller']:
        apart.append(why['smaller'].format(model=found[0]['model']))
    if of.get('stage') == 'fid':
        found = [r for r in found if extractor(r) == 'inception'] or found
        if found and extractor(found[0]) != 'inception':
            apart.append(why['extractor'].format(extractor=extractor(found[0])))
    return found, apart

def row(n, paper, results, counts):
    "One line of the table, of one model and extractor: that of most seeds."
    said, of = of_paper(n['paper'], paper), n.get('of', {})
    found, apart = comparable(n, paper, results)
    groups = alike(found)
    found = max(groups.values(), key=len, default=[])
    metric, unit = of.get('metric'), printed(said)[1]
    better = BETTER.get(metric, 0)
    times = of.get('times') or (UNIT.get(metric, PERCENT)[0] if better else 1)
    if n.get('count') in counts: ours = [counts[n['count']]*n.get('times', 1)]
    else: ours = [v*times for r in found if (v := value(r, metric)) is not None]
    text = mean_sd(ours, 1) if better or not ours else f'{fmean(ours):,.{max(0, round(-math.log10(unit)))}f}'
    if found:
        if isinstance(of.get('variant'), list): text += f", {found[0]['variant']}"
        if len(groups) > 1: text += f", {found[0]['model']}"
    return {'where': n['where'], 'what': n['what'], 'paper': said, 'ours': text,
            'verdict': verdict_on(n, said, ours, better, apart)}

def verdict_on(n, said, ours, better, apart):
    if not ours: return NOT_RUN
    if apart: return f"{NOT_COMPARABLE}: {'; '.join(apart)}"
    verdict = judge(said, ours, better)
    if verdict.startswith(NOT_REACHED) and n.get('why'):
        verdict += f"{'; ' if ':' in verdict else ': '}{n['why']}"
    return verdict

def sizes_of_models(paper):
    "Numbers of parameters, as entries like those of `numbers`."
    for name, m in paper['models'].items():
        (where, what), said = m['where'].split(', '), millions(m['params'])
        also = f" ({m['stated']})" if said != m['stated'] else ''
        yield {'where': where, 'what': f'{what}, parameters{also}', 'paper': said, 'count': name, 'why': m['note']}

def numbers(paper, results, counts):
    "{heading: rows} of all numbers that the paper prints; those of `models` come first."
    parts = dict(paper['numbers'])
    first = next(iter(parts))
    parts[first] = [*sizes_of_models(paper), *parts[first]]
    return {heading: [row(n, paper, results, counts) for n in part] for heading, part in parts.items()}

# --- claims: each measure takes the results and its settings in paper.yaml, and gives (verdict, measurement)

def signed(x, digits=2): return f'{x:+.{digits}f}'.replace('-', '−')

def decide(samples, claimed):
    """From [(label, differences one a seed, unit, margin)]: reached when all samples are, refuted when some are and
    none is reached; one seed decides nothing."""
    if not samples: return NOTHING
    side, said, told = {'higher': 1, 'lower': -1}[claimed], set(), []
    for label, d, unit, margin in samples:
        range_ = '(one seed: no interval)'
        if len(d) > 1:
            low, high = interval(d)
            worst, best = sorted(side*x+margin for x in (low, high))
            said.add('reached' if worst > 0 else 'refuted' if best < 0 else 'undecided')
            range_ = f'[{signed(low)}, {signed(high)}]'
        told.append(f'{label} {signed(fmean(d))}{unit} {range_}, n={len(d)}')
    if said == {'reached'}: verdict = 'reached'
    else: verdict = 'refuted' if 'refuted' in said and 'reached' not in said else 'undecided'
    return verdict, '<br>'.join(told)

def difference(results, paper, claimed, compare):
    "Of `metric` between results a and b, paired by seed; without b, its distance from 0."
    samples = []
    for c in compare:
        a, metric = pick(results, **c['a']), c['metric']
        times, unit = UNIT.get(metric, PERCENT)
        if 'b' in c: pairs = paired(a, pick(results, **{**c['a'], **c['b']}), c.get('equal', []))
        else: pairs = [(r, None) for r in a]
        for name, group in alike([r for r, _ in pairs], paper['names']).items():
            both = [(value(r, metric), value(s, metric) if s else 0) for r, s in pairs if r in group]
            d = [times*(x-y) for x, y in both if None not in (x, y)]
            if d: samples.append((f"{name}: {c.get('name', metric)}", d, unit, 0))
    return decide(samples, claimed)

def epochs_until(curve, goal):
    "The first epoch whose FID is at most this; one step more than the curve has, where none is."
    return next((p['epoch'] for p in curve if p['fid'] <= goal), 2*curve[-1]['epoch']-curve[-2]['epoch'])

def earlier(results, paper):
    """Epochs until the FID is that of the unguided run's end, guided − unguided; a curve that never gets there counts
    as one step longer."""
    pairs = [(a, b) for a, b in paired(pick(results, stage='fid'), pick(results, stage='fid', variant='unguided'))
             if min(len(r.get('curve', [])) for r in (a, b)) > 1]
    samples = []
    for name, group in alike([a for a, _ in pairs], paper['names']).items():
        d = []
        for a, b in pairs:
            goal = b['curve'][-1]['fid']
            if a in group: d.append(epochs_until(a['curve'], goal)-epochs_until(b['curve'], goal))
        samples.append((f'{name}: epochs to that FID', d, UNIT['epochs'][1], 0))
    return decide(samples, 'lower')

def robust(results, paper):
    """Accuracy with the early-stopped generator of worst FID, against that with the finished one; a loss that the paper
    calls minor on this set is allowed."""
    fids = pick(results, stage='fid')
    fid = {(r['dataset'], r['seed'], p['epoch']): p['fid'] for r in fids for p in r.get('curve', [])}
    variants = [re.fullmatch(r'epoch(\d+)', r.get('variant', '')) for r in results]
    worst = {}      # name: (two seeds or more, mean FID, epoch, differences, margin), the largest of all epochs
    for epoch in sorted({int(m[1]) for m in variants if m}):
        early, final = (pick(results, v, stage='student', rung='gan') for v in (f'epoch{epoch}', 'default'))
        pairs = [(a, b) for a, b in paired(early, final) if (a['dataset'], a['seed'], epoch) in fid]
        for name, group in alike([a for a, _ in pairs], paper['names']).items():
            d = [100*(value(a, 'accuracy')-value(b, 'accuracy')) for a, b in pairs if a in group]
            dataset = group[0]['dataset']
            text = paper['text'].get(paper['stand_in'].get(dataset, dataset))
            margin = text['teacher']-text['student'] if text else 0
            f = fmean(fid[r['dataset'], r['seed'], epoch] for r in group)
            worst[name] = max(worst.get(name, (False,)), (len(d) > 1, f, epoch, d, margin))
    return decide([(f'{name}: accuracy at epoch {e}, FID {f:.1f} (allowed: {signed(-margin)})', d, PERCENT[1], margin)
                   for name, (_, f, e, d, margin) in worst.items()], 'higher')

def unread(results, paper, of):
    "Real training images read by the stages of these filters, as their ledgers say."
    told, n = [], []
    for where in of:
        found = pick(results, **where)
        if not found: return NOTHING
        read = [sum(k for split, k in r.get('images_read', {}).items() if not split.endswith('/test')) for r in found]
        n.append(max(read))
        told.append(f"{where['stage']}: {n[-1]:,} real training images read, n={len(found)}")
    return 'refuted' if any(n) else 'reached', '<br>'.join(told)

def smaller(results, paper):
    "Parameters of the student against its teacher's."
    told, less = [], []
    for name, group in alike(pick(results, stage='student', rung='gan'), paper['names']).items():
        for teacher in pick(results, stage='teacher', dataset=group[0]['dataset'])[:1]:
            s, of = (value(r, 'parameters') or 0 for r in (group[0], teacher))
            if not s: continue
            told.append(f'{name}: {s:,} of {of:,} parameters, {of/s:.1f} times fewer')
            less.append(s < of)
    return ('reached' if all(less) else 'refuted', '<br>'.join(told)) if told else NOTHING

def inside(results, paper, code, name):
    "By construction: whether the class `name` in the file `code`, built as the paper describes, has attention in it."
    tree = ast.parse((ROOT/code).read_text(encoding='utf-8'))
    found = [n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == name]
    if not found: return 'untestable', f'{code} has no class {name}'
    words = [(getattr(n, 'id', '') or getattr(n, 'attr', '')).lower() for n in ast.walk(found[0])]
    has = any(re.search('attn|attention', w) for w in words)
    told = 'has attention' if has else 'has none; attention is in the loss alone'
    return 'reached' if has else 'refuted', f'by construction: `{name}` in [{code}](../../{code}) {told}'

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

def in_short(scale, paper, rows, said):
    "The paragraph at the top."
    n, c = tally([r['verdict'] for r in rows], NUMBERS), tally([r['verdict'] for r in said], CLAIMS)
    entries = [*sizes_of_models(paper), *(e for part in paper['numbers'].values() for e in part)]
    sizes = sum('count' in e and r['verdict'].startswith(REACHED) for e, r in zip(entries, rows, strict=True))
    central = next(r for r, spec in zip(said, paper['claims']) if spec.get('central'))
    text = (f"**In short.** Of the paper's {sum(n.values())} numbers, {n[REACHED] + n[BEATEN]} reached or beaten "
            f'({sizes} of them sizes of models), {n[NOT_REACHED]} not reached, {n[NOT_COMPARABLE]} not comparable, '
            f'{n[NOT_RUN]} not run at this scale. Of its {len(said)} claims in words, {c["reached"]} reached, '
            f'{c["refuted"]} refuted, {c["undecided"]} undecided, {c["untestable"]} untestable here. '
            'The central claim, that students learn more from images made with the probe: '
            f"**{central['verdict']}** ({central['measured'].replace('<br>', '; ')}).")
    if scale != 'smoke': return text
    return (f'{text} This is the quick run, of one seed; where the [study of record](../digits/summary.md), '
            'with more, says otherwise, trust that one.')

def data_of(paper, results):
    "The data sets of the results, and how many seeds each has."
    names, stand_in = paper['names'], paper['stand_in']
    taught = [r for r in results if r['stage'].endswith(('teacher', 'student'))]
    seeds = Counter(d for d, _ in sorted({(r['dataset'], r['seed']) for r in taught}))  # one teacher may serve several
    name = lambda d: names.get(d, d) + (f' (for {names[stand_in[d]]})' if d in stand_in else '')
    return '; '.join(f"{name(d)}, {k} seed{'s'*(k > 1)}" for d, k in seeds.items()) or 'none yet'

def page(scale, folder, paper):
    results, counts = read(folder)
    ours, said = numbers(paper, results, counts), list(claims(paper, results))
    rows = [r for part in ours.values() for r in part]
    tables = [f'[{t}]({t}.md)' for t in ('table1', 'table3', 'unsaid') if (Path(folder)/f'{t}.md').exists()]
    parts = [f'# Summary, {scale}', '<!-- Made by tools/summary.py from the results and dfkd_nb/paper.yaml. -->',
             in_short(scale, paper, rows, said),
             f"Data: {data_of(paper, results)}. Settings are compared in {', '.join(tables) or 'no table yet'}.",
             '## Numbers']
    for heading, part in ours.items(): parts += [f'### {heading}', table(part)]
    parts += ['## Claims in words', table(said)]
    parts += ['## How a verdict is made', '\n'.join(f'- {x}' for x in paper['rules'])]
    return '\n\n'.join(parts) + '\n'

def main(args=None, root=ROOT):
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('scale', nargs='?', default='smoke')
    p.add_argument('--folder', type=Path, help='where results lie and summary.md is written; default: build/<scale>')
    p.add_argument('--print', action='store_true', help='print the page, write nothing')
    a = p.parse_args(args)
    folder = a.folder or root/'build'/a.scale
    if not read_records(folder):        # a page alone would look like a run that made nothing else
        print(f'no results in {folder}: run `make paper SCALE={a.scale}`', file=sys.stderr)
        return 1
    paper = yaml.safe_load((root/'dfkd_nb/paper.yaml').read_text(encoding='utf-8'))
    text = page(a.scale, folder, paper)
    if a.print: print(text)
    else: (folder/'summary.md').write_text(text, encoding='utf-8')
    return 0

if __name__ == '__main__': sys.exit(main())
