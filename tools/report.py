"""The reproduction report: compares what a run made in build/<scale> with what is committed in paper_figures/<scale>,
then publishes it there. How far a metric may lie from the committed one stands in study.py."""
import argparse, io, json, re, subprocess, sys, tarfile
from collections import Counter
from pathlib import Path
sys.path.insert(0, str(Path(__file__).parent))
from cells import ROOT
from study import FOUND, RELATIVE, TOLERANCE, WIDER

# What a run makes, and publishing may replace, but for what is kept
MADE   = ['results/*.json', 'results.json', 'runs.json', 'weights/*.safetensors', '*.csv', '*.md', '*.png', '*.svg']
KEPT   = {'report.md', 'README.md'}
VARIES = re.compile(r'latency|minutes')     # tables and figures of what follows the machine: not compared
# Fields that follow the machine: hashes of weights, curves, counts. All others must be equal.
LOOSE  = {'metrics', 'config', 'log', 'confusion', 'curve', 'protocol', 'classes'}

def made(folder):
    "{relative name: bytes} of what a run makes."
    folder = Path(folder)
    found = [p for pattern in MADE for p in sorted(folder.glob(pattern)) if p.name not in KEPT]
    return {str(p.relative_to(folder)): p.read_bytes() for p in found}

def committed(scale, root=ROOT):
    "The same of the last commit; of the folder as it is where there is no git or nothing at HEAD."
    home = f'paper_figures/{scale}'
    got = subprocess.run(['git', 'archive', 'HEAD', home], cwd=root, capture_output=True)
    if got.returncode: return apart(made(root/home))
    with tarfile.open(fileobj=io.BytesIO(got.stdout)) as tar:
        files = {Path(m.name).relative_to(home): tar.extractfile(m).read() for m in tar if m.isfile()}
    return apart({str(p): data for p, data in files.items() if is_made(p)})

def apart(files):
    "With every published result in a file of its own, as it was made."
    from dfkd_nb.results import as_json     # late, since it loads torch
    results = json.loads(files.pop('results.json', b'{}'))
    return files | {f'results/{name}.json': as_json(r).encode() for name, r in results.items()}

def is_made(path):
    "Whether a run makes a file of this relative path."
    if path.name in KEPT: return False
    return any(path.match(pattern) and len(path.parts) == pattern.count('/') + 1 for pattern in MADE)

def kind(name):
    if name.endswith('.run.json') or name == 'runs.json' or VARIES.search(name): return 'varies'
    kinds = {'.json': 'result', '.safetensors': 'weights', '.csv': 'table', '.md': 'table'}
    return kinds.get(Path(name).suffix, 'figure')

def allowed(metric, value, result):
    "The tolerance of one metric of one result."
    variant = re.sub(r'\d+$', '', result.get('variant') or '')      # epoch14 is 'epoch'
    for which in (variant, result.get('rung'), None):
        wider = WIDER.get((result.get('stage'), which), {})
        if metric in wider: return wider[metric]
    return TOLERANCE.get(metric, RELATIVE*abs(value))

def leaves(x, at=''):
    "Numbers and words of nested metrics, by name: `curve.3`."
    if isinstance(x, dict): items = x.items()
    elif isinstance(x, list): items = enumerate(x)
    else: return {at: x}
    return {k: v for i, y in items for k, v in leaves(y, f'{at}.{i}'.strip('.')).items()}

def is_number(x): return isinstance(x, (int, float)) and not isinstance(x, bool)

def as_far_as(old, new):
    """A new result with those `params` that the old one has: later code may name more of its settings. What a run finds
    by itself need not be the same."""
    if 'params' not in old: return new
    found = {k: old['params'].get(k) for k in FOUND}
    return new | {'params': {k: found.get(k, v) for k, v in new['params'].items() if k in old['params']}}

def deviation(old, new):
    "(largest share of a tolerance used, what it was); above 1 is outside."
    new = as_far_as(old, new)
    if rest := [k for k in old.keys() | new.keys() if k not in LOOSE and old.get(k) != new.get(k)]:
        return float('inf'), f"{', '.join(sorted(rest))} differ"
    a, b = leaves(old['metrics']), leaves(new['metrics'])
    worst = 0., ''
    for k in sorted(a.keys() | b.keys()):
        x, y = a.get(k), b.get(k)
        if x == y or (x != x and y != y): continue
        share, told = float('inf'), f'{k} {x} → {y}'
        if is_number(x) and is_number(y):
            told = f'{k} {x:.4g} → {y:.4g}'
            tolerance = allowed(k.split('.')[0], x, old)
            if tolerance > 0 and y == y: share = abs(x - y)/tolerance
        if not share <= worst[0]: worst = share, told
    return worst

def compare(old, new):
    """What became of every compared file: {name: (verdict, note)}, verdicts identical, within, outside, missing, new;
    drawn files: identical, redrawn. Another machine's weights are other bits: they are within when their result is."""
    out = {}
    for name in sorted(old.keys() | new.keys()):        # results/ come before weights/
        if kind(name) == 'varies': continue
        if name not in new: out[name] = 'missing', ''
        elif name not in old: out[name] = 'new', ''
        elif old[name] == new[name]: out[name] = 'identical', ''
        elif kind(name) == 'weights':
            result = out.get(f'results/{Path(name).stem}.json', ('missing', ''))[0]
            out[name] = 'within' if result in ('identical', 'within') else 'outside', f'its result is {result}'
        elif kind(name) != 'result': out[name] = 'redrawn', ''
        else:
            try: share, note = deviation(json.loads(old[name]), json.loads(new[name]))
            except (ValueError, KeyError, AttributeError) as e: share, note = float('inf'), f'unreadable ({e})'
            out[name] = 'within' if share <= 1 else 'outside', (share, note)
    return out

def carried(old, new):
    """Weights of record that a run did not write, and whose result is the committed one to the byte: a restored teacher
    is not trained anew."""
    def same_result(name):
        result = f'results/{Path(name).stem}.json'
        return result in old and old[result] == new.get(result)
    return {k: v for k, v in old.items() if kind(k) == 'weights' and k not in new and same_result(k)}

def gathered(new, old):
    "What was made, with all results in one file, and the notes of all runs (results/*.run.json) in another."
    from dfkd_nb.results import as_json     # late, since it loads torch
    ending = '.run.json'
    notes = json.loads(old.get('runs.json', b'{}'))         # of restored runs, which have none of their own
    notes |= {Path(k).name.removesuffix(ending): json.loads(v) for k, v in new.items() if k.endswith(ending)}
    results = {Path(k).stem: json.loads(v) for k, v in sorted(new.items()) if kind(k) == 'result'}
    kept = {k: v for k, v in sorted(notes.items()) if k in results}
    files = {k: v for k, v in new.items() if not k.startswith('results/')}
    one = {'results.json': as_json(results), **({'runs.json': json.dumps(kept, indent=1)} if kept else {})}
    return files | {k: v.encode() for k, v in one.items()}

def publish(new, dest):
    "Copies what was made; removes what is no longer made, of these kinds only."
    dest.mkdir(parents=True, exist_ok=True)
    for name in made(dest).keys() - new.keys(): (dest/name).unlink()
    for name, data in new.items():
        (dest/name).parent.mkdir(exist_ok=True)
        (dest/name).write_bytes(data)

def summary(scale, old, new):
    "(lines of the report, whether the committed results are reproduced)"
    n = Counter(kind(k) for k in new if not k.endswith(('.md', '.svg')))
    lines = [f"made: {n['result']} results, {n['table']} tables, {n['figure']} figures, {n['weights']} weights of "
             f'record in paper_figures/{scale}']
    if not old: return [*lines, f'nothing is committed yet for {scale}: nothing to compare with'], True
    all_ = compare(old, new)
    of = {'result': {}, 'weights': {}, 'drawn': {}}
    for name, (verdict, note) in all_.items(): of.get(kind(name), of['drawn'])[name] = verdict, note
    counts = [Counter(verdict for verdict, _ in part.values()) for part in of.values()]
    lines += told_of_results(of['result'], counts[0])
    if of['weights']: lines += told_of_weights(of['weights'], counts[1])
    d = counts[2]
    lines.append(f"tables and figures: {d['identical']} files identical, {d['redrawn']} redrawn, "
                 f"{d['missing']} missing, {d['new']} new")
    lines += [f'  missing: {k}' for k, (verdict, _) in all_.items() if verdict == 'missing']
    ok = not any(c['outside'] + c['missing'] for c in counts)
    if not ok: end = 'NO'
    else: end = f"yes, {'byte for byte' if is_all(counts, 'identical') else 'within the stated tolerances'}"
    return [*lines, f'reproduced: {end}'], ok

def is_all(counts, verdict): return all(c.total() == c[verdict] for c in counts)

def told_of_results(verdicts, c):
    yield (f"results against the committed ones: {c['identical']} identical, {c['within']} within tolerance, "
           f"{c['outside']} outside, {c['missing']} missing, {c['new']} new")
    if c['within']:
        (share, what), name = max((note, k) for k, (v, note) in verdicts.items() if v == 'within')
        yield f'  furthest within: {name}: {what} ({share:.0%} of its tolerance)'
    yield from (f'  outside: {k}: {note[1]}' for k, (v, note) in verdicts.items() if v == 'outside')

def told_of_weights(verdicts, c):
    yield (f"weights of record: {c['identical']} identical, {c['within']} of other bits (their results are within "
           f"tolerance), {c['outside']} outside, {c['missing']} missing, {c['new']} new")
    yield from (f'  outside: {k}: {note}' for k, (v, note) in verdicts.items() if v == 'outside')

def main(args=None, root=ROOT):
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument('scale', nargs='?', default='smoke')
    scale = p.parse_args(args).scale
    build, dest = root/'build'/scale, root/'paper_figures'/scale
    new = made(build)
    if not new:
        print(f'nothing in {build.relative_to(root)}: run `make paper SCALE={scale}`', file=sys.stderr)
        return 1
    old = committed(scale, root)
    new |= carried(old, new)
    lines, ok = summary(scale, old, new)
    publish(gathered(new, old), dest)
    page = [f'# Reproduction report, {scale}', '', *(f'- {line.strip()}' for line in lines), '']
    (build/'report.md').write_text('\n'.join(page), encoding='utf-8')
    print('\n'.join(lines), f'report: build/{scale}/report.md', sep='\n')
    return 0 if ok else 1

if __name__ == '__main__': sys.exit(main())
