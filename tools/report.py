"The reproduction report: compares what a run made in build/<scale> with what is committed in paper_figures/<scale>, then publishes it there."
import argparse, io, json, re, subprocess, sys, tarfile
from collections import Counter
from pathlib import Path
sys.path.insert(0, str(Path(__file__).parent))
from cells import ROOT
from study import RELATIVE, TOLERANCE, WIDER

MADE   = ['results/*.json', 'weights/*.safetensors', '*.csv', '*.md', '*.png', '*.svg']      # what a run makes, and publishing may replace
KEPT   = {'report.md', 'README.md'}     # ... but for these
VARIES = re.compile(r'latency|minutes')     # tables and figures of what follows the machine: not compared
# Fields that follow the machine: hashes of weights, curves, counts. All others must be equal.
LOOSE = {'metrics', 'config', 'log', 'confusion', 'curve', 'protocol', 'classes'}

def made(folder):
    "{relative name: bytes} of what a run makes."
    folder = Path(folder)
    return {str(p.relative_to(folder)): p.read_bytes() for pat in MADE for p in sorted(folder.glob(pat)) if p.name not in KEPT}

def committed(scale, root=ROOT):
    "The same of the last commit; of the folder as it is where there is no git or nothing at HEAD."
    got = subprocess.run(['git', 'archive', 'HEAD', f'paper_figures/{scale}'], cwd=root, capture_output=True)
    if got.returncode: return made(root/'paper_figures'/scale)
    with tarfile.open(fileobj=io.BytesIO(got.stdout)) as tar:
        files = {Path(m.name).relative_to(f'paper_figures/{scale}'): tar.extractfile(m).read() for m in tar if m.isfile()}
    return {str(p): b for p, b in files.items() if p.name not in KEPT and any(p.match(pat) and len(p.parts) == pat.count('/') + 1 for pat in MADE)}

def kind(name):
    if name.endswith('.run.json') or VARIES.search(name): return 'varies'
    return {'.json': 'result', '.safetensors': 'weights', '.csv': 'table', '.md': 'table'}.get(Path(name).suffix, 'figure')

def allowed(metric, value, result):
    "The tolerance of one metric of one result."
    variant = re.sub(r'\d+$', '', result.get('variant') or '')      # epoch14 is 'epoch'
    for which in (variant, result.get('rung')):
        wider = WIDER.get((result.get('stage'), which), {})
        if metric in wider: return wider[metric]
    return TOLERANCE.get(metric, RELATIVE*abs(value))

def leaves(x, at=''):
    "Numbers and words of nested metrics, by name: `curve.3`."
    items = x.items() if isinstance(x, dict) else enumerate(x) if isinstance(x, list) else None
    return {at: x} if items is None else {k: v for i, y in items for k, v in leaves(y, f'{at}.{i}'.strip('.')).items()}

def is_number(x): return isinstance(x, (int, float)) and not isinstance(x, bool)

def deviation(old, new):
    "(largest share of a tolerance used, what it was); above 1 is outside."
    if rest := [k for k in old.keys() | new.keys() if k not in LOOSE and old.get(k) != new.get(k)]: return float('inf'), f"{', '.join(sorted(rest))} differ"
    a, b = leaves(old['metrics']), leaves(new['metrics'])
    worst = 0., ''
    for k in sorted(a.keys() | b.keys()):
        x, y = a.get(k), b.get(k)
        if x == y or (x != x and y != y): continue
        share = float('inf')
        if is_number(x) and is_number(y) and (tol := allowed(k.split('.')[0], x, old)) > 0 and y == y: share = abs(x - y)/tol
        if not share <= worst[0]: worst = share, f'{k} {x:.4g} → {y:.4g}' if is_number(x) and is_number(y) else f'{k} {x} → {y}'
    return worst

def compare(old, new):
    """What became of every compared file: {name: (verdict, note)}, verdicts identical, within, outside, missing, new; drawn files: identical, redrawn.
    Another machine's weights are other bits: they are within when their result is."""
    out = {}
    for name in sorted(old.keys() | new.keys()):
        if kind(name) == 'varies': continue
        if name not in new: out[name] = 'missing', ''
        elif name not in old: out[name] = 'new', ''
        elif old[name] == new[name]: out[name] = 'identical', ''
        elif kind(name) == 'weights':   # results/ come before weights/ in this loop
            result = out.get(f'results/{Path(name).stem}.json', ('missing', ''))[0]
            out[name] = 'within' if result in ('identical', 'within') else 'outside', f'its result is {result}'
        elif kind(name) != 'result': out[name] = 'redrawn', ''
        else:
            try: share, note = deviation(json.loads(old[name]), json.loads(new[name]))
            except (ValueError, KeyError, AttributeError) as e: share, note = float('inf'), f'unreadable ({e})'
            out[name] = 'within' if share <= 1 else 'outside', (share, note)
    return out

def carried(old, new):
    "Weights of record that a run did not write, and whose result is the committed one to the byte: a restored teacher is not trained anew."
    return {k: v for k, v in old.items() if kind(k) == 'weights' and k not in new and old.get(r := f'results/{Path(k).stem}.json', 0) == new.get(r, 1)}

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
    lines = [f"made: {n['result']} results, {n['table']} tables, {n['figure']} figures, {n['weights']} weights of record in paper_figures/{scale}"]
    if not old: return lines + [f'nothing is committed yet for {scale}: nothing to compare with'], True
    all_ = compare(old, new)
    res   = {k: v for k, v in all_.items() if kind(k) == 'result'}
    files = {k: v for k, v in all_.items() if kind(k) == 'weights'}
    drawn = {k: v for k, v in all_.items() if k not in res | files}
    c, w, d = (Counter(v for v, _ in x.values()) for x in (res, files, drawn))
    within = max(((note, k) for k, (v, note) in res.items() if v == 'within'), default=None)
    lines.append(f"results against the committed ones: {c['identical']} identical, {c['within']} within tolerance, {c['outside']} outside, "
                 f"{c['missing']} missing, {c['new']} new")
    if within: lines.append(f'  furthest within: {within[1]}: {within[0][1]} ({within[0][0]:.0%} of its tolerance)')
    lines += [f'  outside: {k}: {note[1]}' for k, (v, note) in res.items() if v == 'outside']
    if files: lines.append(f"weights of record: {w['identical']} identical, {w['within']} of other bits (their results are within tolerance), "
                           f"{w['outside']} outside, {w['missing']} missing, {w['new']} new")
    lines += [f'  outside: {k}: {note}' for k, (v, note) in files.items() if v == 'outside']
    lines.append(f"tables and figures: {d['identical']} files identical, {d['redrawn']} redrawn, {d['missing']} missing, {d['new']} new")
    lines += [f'  missing: {k}' for k, (v, _) in all_.items() if v == 'missing']
    ok = not any(x['outside'] + x['missing'] for x in (c, w, d))
    return lines + ['reproduced: ' + ('yes, byte for byte' if ok and (c + w + d)['identical'] == len(all_)
                                      else 'yes, within the stated tolerances' if ok else 'NO')], ok

def main(args=None, root=ROOT):
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument('scale', nargs='?', default='smoke')
    scale = p.parse_args(args).scale
    build, dest = root/'build'/scale, root/'paper_figures'/scale
    new = made(build)
    if not new: print(f'nothing in {build.relative_to(root)}: run `make paper SCALE={scale}`', file=sys.stderr); return 1
    old = committed(scale, root)
    new |= carried(old, new)
    lines, ok = summary(scale, old, new)
    publish(new, dest)
    (build/'report.md').write_text('\n'.join([f'# Reproduction report, {scale}', '', *(f'- {l.strip()}' for l in lines), '']), encoding='utf-8')
    print('\n'.join(lines), f'report: build/{scale}/report.md', sep='\n')
    return 0 if ok else 1

if __name__ == '__main__': sys.exit(main())
