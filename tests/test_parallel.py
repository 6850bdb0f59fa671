"Several processes: teachers and students take the same course as in one process; all else one of them does alone."
import json, os, socket
import numpy as np, pytest
from dfkd_nb.all import *

@stage('metric', 'runs')
def by_one(run, value:float):
    "A stage of one process, with a metric that would gather from all"
    from torchmetrics import MeanMetric
    metric = MeanMetric()
    metric.update(value)
    about = {'dataset': 'none', 'model': 'none', 'variant': 'default', 'seed': 0, 'params': {}}
    return {}, {**about, 'metrics': {'mean': metric.compute().item()}}

def chain(tmp, rank, n, port):
    "Writes the losses of some stages, and how many images this process trained on."
    # `accelerate launch` starts one process only on a CPU; these are the variables that it sets
    os.environ |= {'DFKD_RUNS': str(tmp/f'runs{n}'), 'RANK': f'{rank}', 'LOCAL_RANK': f'{rank}', 'WORLD_SIZE': f'{n}',
                   'LOCAL_WORLD_SIZE': f'{n}', 'MASTER_ADDR': '127.0.0.1', 'MASTER_PORT': f'{port}'}
    seen, forward = [0], Classifier.forward
    def counted(self, x):
        seen[0] += len(x)*(self.training and len(x) > 2)        # the check of labels asks for two
        return forward(self, x)
    Classifier.forward = counted
    data = get_data('digits')
    few = ImageData('few', {k: tuple(t[:384] for t in data.read(k)) for k in ('train', 'valid', 'test')}, data.classes)
    teacher = train_teacher(few, epochs=2, bs=64)
    # one that travels with the repository: rounding would send the students of two teachers apart
    ready = train_teacher(data, **recipe_for('digits', 'teacher'))
    student = distill(ready, RealSource(few), few, epochs=2, kd=1., ce=1., patch=1., augment='affine')
    cached = distill(ready, RealSource(few), few, epochs=2, kd=1., ce=1., patch=1.)
    logs = [r.result['log'] for r in (teacher, student, cached)]
    trained_on = seen[0]
    if n > 1: # stages of one process, the second of which asks for others that processes share
        assert by_one(3.).result['metrics'] == {'mean': 3.}
        few_drawn = DrawnSource(data.shape, 10, ready.result['params']['mean'], ['strokes'])
        choose_source(ready, {'noise': NoiseSource(data.shape, 10), 'drawn': few_drawn}, steps=1, n=64)
    write_atomic(tmp/f'said{n}'/f'{rank}.json', json.dumps([trained_on, logs]))

def logs(tmp, n, fresh):
    "Losses of the chain's stages when `n` processes work on it, and the images that each of them trained on."
    with socket.create_server(('127.0.0.1', 0)) as s: port = s.getsockname()[1]
    processes = [fresh(chain, tmp, rank, n, port) for rank in range(n)]
    for p in processes: p.join(300)
    assert [p.exitcode for p in processes] == [0]*n
    seen, courses = zip(*(json.loads((tmp/f'said{n}'/f'{rank}.json').read_text()) for rank in range(n)))
    assert all(c == courses[0] for c in courses)
    return courses[0], list(seen)

@pytest.mark.slow
def test_two_processes_as_one(tmp_path, fresh):
    (one, (all_seen,)), (two, seen) = logs(tmp_path, 1, fresh), logs(tmp_path, 2, fresh)
    assert seen == [all_seen//2]*2                                      # each trained on its half of the batches
    for a, b in zip(one, two, strict=True):
        assert len(a) == len(b) > 1
        np.testing.assert_allclose([r['loss'] for r in a], [r['loss'] for r in b], rtol=.005)
        assert abs(a[-1]['accuracy']-b[-1]['accuracy']) < .03
    finished = [sorted(p.parent.parent.name for p in (tmp_path/f'runs{n}').rglob('result.json')) for n in (1, 2)]
    assert finished == [['student', 'student', 'teacher'], ['choice', 'metric', *4*['student'], 'teacher']]
