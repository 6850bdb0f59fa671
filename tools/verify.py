"""`make verify`: the weights of record of a scale, evaluated on the real test set and compared with the committed
results. `verify.py [SCALE]`"""
import argparse, json, shutil, sys, tempfile
from functools import cache
from pathlib import Path
sys.path.insert(0, str(Path(__file__).parent))
from cells import ROOT
from dfkd_nb.data import get_data
from dfkd_nb.detr import evaluate_detector, get_detection, load_detector
from dfkd_nb.detr_distill import GanScenes, asked_recall
from dfkd_nb.models import load_classifier
from dfkd_nb.training import accuracy, predict
from dfkd_nb.results import read_records
from dfkd_nb.runs import Run

POINTS = .1     # of accuracy, by which another machine's rounding may move it; at least one image
MAP50  = .5     # points of mAP@50, likewise
FOUND  = 2      # points of objects found in generated scenes, likewise

def of_record(weights, result, folder):
    "Weights of record and their result as the library's loaders read them: a finished run, in an empty folder."
    shutil.copyfile(weights, folder/'weights.safetensors')
    (folder/'result.json').write_text(json.dumps(result), encoding='utf-8')
    run = Run(result['stage'], {})
    run.path = folder
    return run

def evaluated(path, result, data):
    "(what was found, whether it agrees with the result)"
    with tempfile.TemporaryDirectory() as tmp: return evaluate(path, of_record(path, result, Path(tmp)), data)

def evaluate(path, run, data):
    "The same of a run."
    result, metrics = run.result, run.result['metrics']
    if result['stage'] == 'detr_generator': return scenes(path, run)
    x, y, *boxes = data.read('test')
    if boxes:
        got, said = evaluate_detector(load_detector(run), data)['map50'], metrics['map50']
        off = 100*(got - said)
        return (f'mAP@50 {got:.2%} on {len(x):,} test frames of {data.name}, {said:.2%} in the result: '
                f'{off:+.2f} points', abs(off) <= MAP50)
    got, said = accuracy(predict(load_classifier(run), x), y), metrics['accuracy']
    images = round((got - said)*len(y))
    return (f'{got:.2%} of {len(y):,} test images of {data.name}, {said:.2%} in the result: '
            f'{100*(got - said):+.2f} points, {images:+} images', abs(images) <= max(1, POINTS/100*len(y)))

def scenes(path, run):
    "Likewise for a generator of scenes, by the teacher of record"
    result = run.result
    name = f"detr_teacher-{result['dataset']}-default-*-seed{result['seed']}.safetensors"
    teacher = next(path.parent.glob(name), None)
    if teacher is None: raise FileNotFoundError(f'its teacher, {name}, is not beside it')
    of_teacher = read_records(path.parents[1])[teacher.stem]
    with tempfile.TemporaryDirectory() as tmp: T = load_detector(of_record(teacher, of_teacher, Path(tmp)))
    got, said = asked_recall(T, GanScenes(run).sample(400, result['seed'])), result['metrics']['asked_recall']
    return (f'the teacher finds {got:.1%} of the objects asked for, {said:.1%} in the result',
            100*abs(got - said) <= FOUND)

def main(args=None, root=ROOT):
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument('scale', nargs='?', default='smoke')
    scale = p.parse_args(args).scale
    folder, good = root/'paper_figures'/scale, 0
    data_of = {True: cache(get_detection), False: cache(get_data)}      # each set is read once, for all weights
    found = sorted((folder/'weights').glob('*.safetensors'))
    if not found:
        where = (folder/'weights').relative_to(root)
        print(f'no weights of record in {where}: `make paper SCALE={scale}` makes them', file=sys.stderr)
        return 2
    results = read_records(folder)
    for path in found:
        result = results.get(path.stem)
        if result is None:
            print(f'NOT: {path.stem}: has no result in {folder.relative_to(root)}')
            continue
        try: data = data_of[result['stage'].startswith('detr')](result['dataset'])
        except (ValueError, FileNotFoundError) as e:
            print(f'{path.stem}: {e}', file=sys.stderr)
            return 2
        try: what, ok = evaluated(path, result, data)
        except Exception as e:          # whatever a damaged file brings about
            what, ok = f'cannot be loaded ({type(e).__name__}: {e})', False
        print(f"{'' if ok else 'NOT: '}{path.stem}: {what}")
        good += ok
    print(f'{good} of {len(found)} weights of record agree with their results')
    return 0 if good == len(found) else 1

if __name__ == '__main__': sys.exit(main())
