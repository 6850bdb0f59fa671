"""`make shipped`: make the finished small stages in tests_data/stages/ anew, by the notebooks' own stage cells, and of
them examples/digits.bundle; what `make paper` has made is loaded."""
import json, os, shutil, subprocess, sys
from pathlib import Path
sys.path.insert(0, str(Path(__file__).parent))
from cells import ROOT
from dfkd_nb.bundle import PARTS, memorisation, save_bundle
from dfkd_nb.data import get_data
from dfkd_nb.results import read_records
from dfkd_nb.runs import Run, seal
from study import NOTEBOOKS

LIMIT = 9_000_000                                   # bytes, so that the repository stays light
STUDENTS = {which for n in NOTEBOOKS.values() for which in n.ships}     # (rung, variant) that travel
STAYS = shutil.ignore_patterns('run.json', 'snapshot-*', '.*')

def execute(nb, out):
    "The stages of a notebook, of the smallest data set of its line."
    dataset = 'scenes' if NOTEBOOKS[nb].line == 'boxes' else 'digits'
    params = json.dumps({'dataset': dataset, 'seed': 0, 'out': str(out)})
    tool, src, dst = ROOT/'tools'/'execute.py', ROOT/'nbs'/f'{nb}.ipynb', out/f'{nb}.ipynb'
    subprocess.run([sys.executable, tool, '--stages', src, dst, '-y', params],
                   env=os.environ | {'DFKD_SHIPPED': '0'}, check=True)

def bundle_of(runs, out):
    "What readers try the command on: teacher, probes and generator of the digits"
    data = get_data('digits')
    audit = memorisation(runs['generator'], data)[0]
    shutil.rmtree(out, ignore_errors=True)
    save_bundle(out, *(runs[part] for part in PARTS), data.classes, 'CC-BY-4.0', audit)

def main():
    out, dest = ROOT/'build'/'shipped', ROOT/'tests_data'/'stages'
    new = out/'stages'
    shutil.rmtree(out, ignore_errors=True)
    for nb, n in NOTEBOOKS.items():
        if n.travels: execute(nb, out)
    digits = {}
    for name, r in read_records(out).items():
        if r['stage'] == 'student' and (r['rung'], r['variant']) not in STUDENTS: continue
        run = Run(r['stage'], r['config'])
        assert run.finished, f'{run.path} is not what {name} was recorded from'
        if (r['dataset'], r['variant']) == ('digits', 'default'): digits[r['stage']] = run
        shutil.copytree(run.path, new/run.stage/run.key, ignore=STAYS)
        seal(new/run.stage/run.key)                  # without the files that do not travel
    size = sum(f.stat().st_size for f in new.rglob('*') if f.is_file())
    for f in sorted(new.rglob('weights.safetensors')):
        print(f'{f.stat().st_size/1e6:6.2f} MB  {f.parent.relative_to(new)}')
    if size > LIMIT:
        sys.exit(f'{size/1e6:.2f} MB are more than the {LIMIT/1e6:.0f} MB that may travel with the repository')
    shutil.rmtree(dest, ignore_errors=True)
    shutil.copytree(new, dest)
    bundle_of(digits, ROOT/'examples'/'digits.bundle')
    print(f'{size/1e6:.2f} MB in {dest.relative_to(ROOT)}')

if __name__ == '__main__': main()
