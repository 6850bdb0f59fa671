"What a notebook cannot show about runs: SIGKILL, two processes at once, a full disk."
import errno, os, signal, time
import pytest, torch
from dfkd_nb.data import *
from dfkd_nb.models import *
from dfkd_nb.training import *
from dfkd_nb.probes import *
from dfkd_nb.gan import *
from dfkd_nb.distill import *
from dfkd_nb.runs import *

def chain(root):
    "Teacher, class probes, generator and student, with a checkpoint after each epoch"
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)        # bars of progress
    os.environ['DFKD_SHIPPED'] = '0'
    torch.set_num_threads(1)
    Run.epochs.__defaults__ = None, None, 0.
    digits = get_data('digits')
    data = ImageData('few', {k: tuple(t[:640] for t in digits.read(k)) for k in digits.sizes}, digits.classes)
    t = train_teacher(data, model='vit_digits_student', epochs=4, root=root)
    p = class_probes(data, t, root=root)
    g = train_generator(data, t, p, epochs=4, widths=(16, 8), d_widths=(8, 8), probe_batch=8, root=root)
    distill(t, GanSource(g), data, n_images=640, epochs=4, patch=1., ce=.1, augment='affine', mixup=1., root=root)

def results(root): return {p.parent.relative_to(root): p.read_bytes() for p in sorted(root.glob('*/*/result.json'))}

def kill_when(proc, root, stage, epoch):
    "SIGKILL as soon as a stage has a checkpoint after `epoch` epochs"
    for _ in range(6000):
        for f in root.glob(f'{stage}/*/checkpoint.safetensors'):
            try: done = load_tree(f)['epoch']
            except Exception: continue
            if done >= epoch:
                proc.kill()
                proc.join()
                assert proc.exitcode == -signal.SIGKILL
                return done
        assert proc.is_alive(), f'ended before {stage} reached epoch {epoch}'
        time.sleep(.01)

def ends_well(proc):
    proc.join()
    return proc.exitcode == 0

@pytest.mark.slow
def test_killed_chain_ends_with_the_same_numbers(tmp_path, fresh):
    whole, killed = tmp_path/'whole', tmp_path/'killed'
    assert ends_well(fresh(chain, whole))
    for stage, epoch in (('teacher', 1), ('generator', 2), ('student', 1)):
        assert kill_when(fresh(chain, killed), killed, stage, epoch) < 4
        assert not list(killed.glob(f'{stage}/*/result.json'))
    assert ends_well(fresh(chain, killed))
    assert len(results(whole)) == 4 and results(whole) == results(killed)
    assert not list(killed.glob('*/*/*.part')) or all(f.name != 'result.json' for f in killed.glob('*/*/*.part'))

@stage('slow', 'runs')
def slow(run, log, seed=0):
    with open(log, 'a') as f: f.write('computed ')
    time.sleep(1)
    return {'x': torch.ones(3)}, {'metrics': {'x': 1.}}

def slowly(tmp, said):
    (tmp/said).write_text(slow(str(tmp/'log'), root=tmp/'runs').result['weights'])

def test_two_at_once_compute_once(tmp_path, fresh):
    both = [fresh(slowly, tmp_path, said) for said in 'ab']
    assert all(map(ends_well, both))
    assert (tmp_path/'a').read_text() == (tmp_path/'b').read_text() != ''
    assert (tmp_path/'log').read_text() == 'computed '

def test_full_disk_leaves_nothing_that_looks_whole(tmp_path, monkeypatch):
    @stage('full', 'runs')
    def full(run, seed=0): return {'x': torch.ones(3)}, {'metrics': {'x': 1.}}
    real, calls = os.fsync, []
    def fsync(fd):
        calls.append(fd)
        if len(calls) == 2: raise OSError(errno.ENOSPC, 'No space left on device')     # weights fit, run.json does not
        real(fd)
    monkeypatch.setattr(os, 'fsync', fsync)
    with pytest.raises(OSError, match='No space'): full(root=tmp_path)
    assert not list(tmp_path.rglob('result.json')) and not list(tmp_path.rglob('*.part'))
    assert full(root=tmp_path).finished

def test_result_without_its_weights_is_set_aside(tmp_path):
    @stage('toy', 'runs')
    def toy(run, seed=0): return {'x': torch.ones(3)}, {'metrics': {'x': 1.}}
    run = toy(root=tmp_path)
    (run.path/'result.json').write_text('{"metrics": ')                 # cut short
    with pytest.warns(UserWarning, match='set aside'): again = toy(root=tmp_path)
    assert again.finished and len(list((tmp_path/'toy').glob('*.damaged-1'))) == 1
