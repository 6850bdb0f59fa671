"Several processes: the LayerNorm stages (teacher, distillation) take the same course as one process does."
import json, os, subprocess, sys
from pathlib import Path
import numpy as np

CHAIN = '''
import json, sys
from pathlib import Path
from dfkd_nb.all import *
seen, forward = [0], Classifier.forward
def counted(self, x):
    seen[0] += len(x)*(self.training and len(x) > 2)        # the check of labels asks for two
    return forward(self, x)
Classifier.forward = counted
data = get_data('digits')
teacher = train_teacher(data, epochs=4, bs=64)
# one that travels with the repository: rounding would send the students of two teachers apart
ready = train_teacher(data, **recipe_for('digits', 'teacher'))
student = distill(ready, RealSource(data), data, epochs=3, kd=1., ce=1., patch=1., augment='affine')
cached = distill(ready, RealSource(data), data, epochs=2, kd=1., ce=1., patch=1.)
logs = [r.result['log'] for r in (teacher, student, cached)]
write_atomic(Path(sys.argv[1])/f'{world()[0]}.json', json.dumps([seen[0], logs]))
'''

def logs(tmp, n):
    "Losses of the chain's stages when `n` processes work on it, and the images that each of them trained on."
    script = tmp/'chain.py'
    script.write_text(CHAIN)
    # `accelerate launch` starts one process only on a CPU; torch's own launcher sets the same variables
    launch = [sys.executable]
    if n > 1: launch += ['-m', 'torch.distributed.run', '--standalone', '--nproc_per_node', str(n)]
    env = os.environ | {'DFKD_RUNS': str(tmp/f'runs{n}'), 'OMP_NUM_THREADS': '1'}
    got = subprocess.run([*launch, str(script), str(tmp/f'said{n}')], env=env, capture_output=True, text=True,
                         timeout=300, cwd=Path(__file__).parents[1])
    assert got.returncode == 0, got.stderr[-3000:]
    seen, courses = zip(*(json.loads((tmp/f'said{n}'/f'{rank}.json').read_text()) for rank in range(n)))
    assert all(c == courses[0] for c in courses)
    return courses[0], list(seen)

def test_two_processes_as_one(tmp_path):
    (one, (all_seen,)), (two, seen) = logs(tmp_path, 1), logs(tmp_path, 2)
    assert seen == [all_seen//2]*2                                      # each trained on its half of the batches
    for a, b in zip(one, two, strict=True):
        assert len(a) == len(b) > 1
        np.testing.assert_allclose([r['loss'] for r in a], [r['loss'] for r in b], rtol=.005)
        assert abs(a[-1]['accuracy']-b[-1]['accuracy']) < .03
    finished = [sorted(p.parent.parent.name for p in (tmp_path/f'runs{n}').rglob('result.json')) for n in (1, 2)]
    assert finished[0] == finished[1] == ['student', 'student', 'teacher']
