"""`make release`: what a scale has to give away, as archives in build/release/<scale>: bundles (teacher, class probes,
generator, card) and students (weights, ONNX, int8, card). `release.py [SCALE]`

Results are those of paper_figures/<scale>. Teachers and generators come from the runs of `make paper SCALE=…`, in a
fresh clone from the finished stages that travel with the repository."""
import argparse, hashlib, json, shutil, sys
from pathlib import Path
import yaml
sys.path.insert(0, str(Path(__file__).parent))
from cells import ROOT, settings
from dfkd_nb import __version__
from dfkd_nb.bundle import card_student, memorisation, save_bundle
from dfkd_nb.data import get_data
from dfkd_nb.deploy import export_onnx, quantize
from dfkd_nb.detr import load_detector
from dfkd_nb.models import load_classifier
from dfkd_nb.results import read_records
from dfkd_nb.runs import Run, flatten_tree, shipped_run, weights_hash
from verify import of_record

def run_of(result):
    "The finished run that a result was recorded from, or None."
    run = Run(result['stage'], result['config'])
    return run if run.finished else shipped_run(result['stage'], result['config'])

def bundle(out, dataset, results, licence):
    "The bundle of a data set's seed 0; says what is missing."
    first = [r for r in results if r['dataset'] == dataset and r['seed'] == 0 and r['variant'] == 'default']
    runs = {}
    for stage in ('teacher', 'probes', 'generator'):
        result = next((r for r in first if r['stage'] == stage), None)
        runs[stage] = run_of(result) if result else None
    if missing := [stage for stage, run in runs.items() if run is None]:
        return f"no bundle of {dataset}: {', '.join(missing)} not in runs/"
    data = get_data(dataset)
    copied = memorisation(runs['generator'], data)[0]
    save_bundle(out, runs['teacher'], runs['probes'], runs['generator'], data.classes, licence, copied)

def student(out, weights, result, licence):
    "A student's weights, ONNX files and card."
    out.mkdir(parents=True)
    run, p = of_record(weights, result, out), result['params']         # with result.json, as `dfkd distill` writes it
    onnx = out/'student.onnx'
    if result['stage'] == 'detr_student': export_onnx(load_detector(run), onnx, p['classes'], shape=p['shape'])
    else:
        export_onnx(load_classifier(run), onnx, get_data(result['dataset']).classes)
        quantize(onnx, out/'student.int8.onnx')
    card = {'made_by': f'dfkd_nb {__version__}', 'licence': licence}
    card |= {k: result[k] for k in ('dataset', 'rung', 'model', 'seed', 'metrics') if k in result}
    card |= {'real_images_read': result['images_read'],
             'files': {f.name: f.stat().st_size for f in sorted(out.iterdir()) if f.name != 'result.json'},
             'use': 'examples/onnx_predict.py student.onnx IMAGE; load_student of dfkd_nb.bundle for PyTorch'}
    (out/'card.yaml').write_text(yaml.safe_dump(card, sort_keys=False, allow_unicode=True), encoding='utf-8')
    result = {**result, 'weights': weights_hash(flatten_tree(run.weights))}
    (out/'result.json').write_text(json.dumps(result, indent=1), encoding='utf-8')
    if result['stage'] == 'student': card_student(out, get_data(result['dataset']).classes, licence)

def main(args=None, root=ROOT):
    p = argparse.ArgumentParser(description=__doc__.split('\n\n')[0])
    p.add_argument('scale', nargs='?', default='smoke')
    p.add_argument('--out', type=Path, help='default: build/release/<scale>')
    a = p.parse_args(args)
    home, out = root/'paper_figures'/a.scale, a.out or root/'build'/'release'/a.scale
    licence = settings(root)['license']
    results = read_records(home)
    if not results:
        print(f'no results in {home}: run `make paper SCALE={a.scale}`', file=sys.stderr)
        return 2
    shutil.rmtree(out, ignore_errors=True)
    name, made = f'dfkd_nb-{__version__}-{a.scale}', []
    for dataset in sorted({r['dataset'] for r in results.values() if r['stage'] == 'teacher'}):
        folder = out/f'{name}-{dataset}.bundle'
        if why := bundle(folder, dataset, results.values(), licence): print(why)
        else: made.append(folder)
    for w in sorted((home/'weights').glob('*.safetensors')):
        result = results[w.stem]
        folder = out/f"{name}-{result['dataset']}-student"
        student(folder, w, result, licence)
        made.append(folder)
    archives = [Path(shutil.make_archive(str(f), 'zip', f.parent, f.name)) for f in made]
    sums = [f'{hashlib.sha256(z.read_bytes()).hexdigest()}  {z.name}\n' for z in archives]
    (out/'SHA256SUMS').write_text(''.join(sums), encoding='utf-8')
    for z in archives: print(f'{z.stat().st_size/1e6:7.2f} MB  {z.name}')
    return 0 if made else 1

if __name__ == '__main__': sys.exit(main())
