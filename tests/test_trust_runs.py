"Run folders: files that were altered, cut short, swapped, or are none"
import contextlib, json, multiprocessing, os, shutil, threading, time, warnings
from pathlib import Path
import numpy as np, pytest, torch
from hypothesis import HealthCheck, given, settings, strategies as st
from safetensors.torch import save
from tqdm import tqdm
from dfkd_nb import runs
from dfkd_nb.checks import *
from dfkd_nb.runs import *

class Stop(Exception): "As if the process had been killed"

def make(stop=None, width=3, bad=None):
    "A toy stage of four epochs: `stop` ends it in that epoch, `bad` makes something not finite"
    @stage('toy', 'runs')
    def toy(run, lr=.1, seed=0):
        seed_all('init', seed)
        net = torch.nn.Linear(width, 2)
        with torch.no_grad(): net.weight.fill_(1.)
        opt = torch.optim.Adam(net.parameters(), lr)
        for epoch in run.epochs(4, every=0., net=net, opt=opt):
            if epoch == stop: raise Stop
            loss = net(torch.randn(5, width)).square().mean()
            opt.zero_grad()
            loss.backward()
            opt.step()
            run.log.append({'epoch': epoch+1, 'loss': loss.item() if (bad, epoch) != ('loss', 2) else float('nan')})
            run.snapshot(epoch+1, net.state_dict())
        weights = net.state_dict()
        if bad == 'weights': weights['bias'] = weights['bias']*torch.inf
        return weights, {'metrics': {'accuracy': .973 if bad != 'metrics' else float('inf')},
                         'params': {'deep': [0., {'x': float('nan') if bad == 'params' else 1.}]}}
    return toy

toy = make()

@pytest.fixture
def run(tmp_path): return toy(root=tmp_path/'runs')

def again(root, f=toy, **kw):
    "The stage once more, and what it warned of"
    with warnings.catch_warnings(record=True) as w:
        warnings.simplefilter('always')
        new = f(root=root, **kw)
    return new, ' '.join(str(x.message).split('(', 1)[-1] for x in w if 'set aside' in str(x.message))

def flip(path, at=-1, bit=1):
    data = bytearray(path.read_bytes())
    data[at] ^= bit
    path.write_bytes(data)

def put(path, what):
    "Something else in the place of a file"
    if path.is_dir() and not path.is_symlink(): shutil.rmtree(path)
    else: path.unlink(missing_ok=True)
    if what == 'a folder': path.mkdir()
    elif what == 'a pipe': os.mkfifo(path)
    elif what == 'a link to nowhere': path.symlink_to('nowhere')
    elif what == 'a link to a device': path.symlink_to('/dev/zero')
    elif what == 'an empty file': path.write_bytes(b'')
    elif what == 'zeros': path.write_bytes(bytes(300))
    elif what == 'deep JSON': path.write_text('['*3000 + ']'*3000)
    elif what == 'a shape of 10^18': path.write_bytes(forged({'shape': [10**9, 10**9]}))
    elif what == 'a header of 2^60 bytes': path.write_bytes((1<<60).to_bytes(8, 'little') + bytes(100))
    elif what == 'a list': save_tree(path, [torch.ones(2), 1], checked=True)
    elif what == 'a plain safetensors file': path.write_bytes(save({'w': torch.ones(2)}))
    elif what == 'a tree that refers to what is not there':
        path.write_bytes(save({'0': torch.ones(2)}, {'tree': '{"tensor": "7"}'}))
    elif what == 'one tensor in 100,000 places':
        path.write_bytes(save({'0': torch.ones(2)}, {'tree': json.dumps([{'tensor': '0'}]*10**5)}))
    elif what == 'a tree 3,000 deep': path.write_bytes(save({'0': torch.ones(2)}, {'tree': '['*3000 + ']'*3000}))
    else: raise KeyError(what)

def forged(said, n=16):
    head = json.dumps({'w': {'dtype': 'F32', 'shape': [4], 'data_offsets': [0, n], **said}}).encode()
    return len(head).to_bytes(8, 'little') + head + bytes(n)

INSTEAD = ['a folder', 'a pipe', 'a link to nowhere', 'a link to a device', 'an empty file', 'zeros', 'deep JSON',
           'a shape of 10^18', 'a header of 2^60 bytes', 'a list', 'a plain safetensors file',
           'a tree that refers to what is not there', 'one tensor in 100,000 places', 'a tree 3,000 deep']
FILES = ['result.json', 'weights.safetensors', 'run.json', 'manifest.json', 'snapshot-0002.safetensors']

@pytest.mark.parametrize('name', FILES)
@pytest.mark.parametrize('what', INSTEAD)
def test_something_else_in_the_place_of_a_file(run, tmp_path, tried, name, what):
    put(run.path/name, what)
    new, said = again(tmp_path/'runs')
    assert new.finished and new.log and len(new.snapshots) == 4 and said
    if name == 'weights.safetensors': tried(f'{what} instead of the weights', said.split(';')[0].rstrip(')'))

def other(run, tmp_path): return toy(lr=.2, root=tmp_path/'other')

def better(run, tmp_path):
    (run.path/'result.json').write_text((run.path/'result.json').read_text().replace('0.973', '0.983'))
def one_bit(run, tmp_path): flip(run.path/'weights.safetensors')
def minutes(run, tmp_path): (run.path/'run.json').write_text('{"minutes": 1}')
def snapshot_bit(run, tmp_path): flip(run.path/'snapshot-0003.safetensors')
def snapshot_gone(run, tmp_path): (run.path/'snapshot-0003.safetensors').unlink()
def snapshot_swap(run, tmp_path):
    shutil.copy(run.path/'snapshot-0001.safetensors', run.path/'snapshot-0003.safetensors')
def weights_gone(run, tmp_path): (run.path/'weights.safetensors').unlink()
def no_manifest(run, tmp_path): (run.path/'manifest.json').unlink()
def others_result(run, tmp_path):
    for f in ('result.json', 'weights.safetensors'): shutil.copy(other(run, tmp_path).path/f, run.path/f)
def others_all(run, tmp_path):
    for f in other(run, tmp_path).path.iterdir(): shutil.copy(f, run.path)
def others_weights(run, tmp_path):
    w = {'weight': torch.zeros(2, 3), 'bias': torch.zeros(2)}
    save_tree(run.path/'weights.safetensors', w)
    r = run.result
    r['weights'] = weights_hash(runs.flatten_tree(load_tree(run.path/'weights.safetensors')))
    (run.path/'result.json').write_text(json.dumps(r))
def outside(run, tmp_path):
    m = read_json(run.path/'manifest.json')
    (run.path/'manifest.json').write_text(
        json.dumps({**m, 'files': {**m['files'], '../../x': {'bytes': 1, 'sha256': ''}}}))
def nothing_said(run, tmp_path):
    (run.path/'manifest.json').write_text(json.dumps({**read_json(run.path/'manifest.json'), 'files': {}}))
def later(run, tmp_path):
    (run.path/'manifest.json').write_text(json.dumps({**read_json(run.path/'manifest.json'), 'format': 2}))
def file_for_folder(run, tmp_path):
    shutil.rmtree(run.path)
    run.path.write_text('x')
def link_for_folder(run, tmp_path):
    shutil.rmtree(run.path)
    run.path.symlink_to(tmp_path/'nowhere')

ALTERED = {
    'one digit of the accuracy is another': better,
    'one bit of the weights is another': one_bit,
    'other minutes in run.json': minutes,
    'one bit of a snapshot is another': snapshot_bit,
    'a snapshot is missing': snapshot_gone,
    'one snapshot in the place of another': snapshot_swap,
    'the weights are missing': weights_gone,
    'no manifest': no_manifest,
    "another run's result and weights": others_result,
    "all of another run's files": others_all,
    'other weights, and the hash in the result redone': others_weights,
    'a manifest that names a file outside': outside,
    'a manifest that names nothing': nothing_said,
    'a manifest of a later version': later,
    'a file in the place of the folder': file_for_folder,
    'a link to nowhere in the place of the folder': link_for_folder,
}

@pytest.mark.parametrize('what', ALTERED)
def test_altered(run, tmp_path, tried, what):
    before, weights = run.result, run.weights
    ALTERED[what](run, tmp_path)
    new, said = again(tmp_path/'runs')
    assert new.result == before
    assert new.weights['weight'].equal(weights['weight'])
    assert len(list((tmp_path/'runs/toy').glob('*.damaged-1'))) == 1
    tried(what, said.split(';')[0].rstrip(')'))

def test_another_file_is_nobodys_business(run, tmp_path):
    (run.path/'notes.txt').write_text('mine')
    new, said = again(tmp_path/'runs')
    assert new.finished and not said and (run.path/'notes.txt').exists()

@settings(derandomize=True, max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(name=st.sampled_from(FILES), data=st.data())
def test_random_damage(tmp_path_factory, name, data):
    "Flipped bytes, cuts and insertions in every file are noticed; never a traceback, never a wrong result"
    root = tmp_path_factory.mktemp('fuzz')
    shutil.copytree(WHOLE.path.parents[1], root/'runs', dirs_exist_ok=True)
    run = Run('toy', WHOLE.config, root/'runs')
    old = (run.path/name).read_bytes()
    at = data.draw(st.integers(0, len(old)-1))
    new = data.draw(st.one_of(st.integers(1, 255).map(lambda x: old[:at] + bytes([old[at]^x]) + old[at+1:]),
                              st.just(old[:at]), st.binary(min_size=1, max_size=9).map(lambda b: old[:at]+b+old[at:])))
    (run.path/name).write_bytes(new)
    why = run.fault()
    if not why: assert name == 'manifest.json' and json.loads(new) == json.loads(old)     # a blank more
    else: assert '\n' not in why
    shutil.rmtree(root)

@pytest.fixture(scope='module', autouse=True)
def whole(tmp_path_factory):
    global WHOLE
    WHOLE = toy(root=tmp_path_factory.mktemp('whole'))

# --- checkpoints

def stopped(root, stop=2, f=make, **kw):
    with pytest.raises(Stop): f(stop=stop, **kw)(root=root)
    return next(root.glob('toy/*/checkpoint.safetensors'))

def altered_tree(ck, **kw): save_tree(ck, {**load_tree(ck), **kw}, checked=True)

def ck_other_run(ck, tmp): shutil.copy(stopped(tmp/'b', f=lambda stop: lambda root: make(stop)(lr=.3, root=root)), ck)
def ck_architecture(ck, tmp):
    altered_tree(ck, state={**load_tree(ck)['state'], 'net': torch.nn.Linear(7, 2).state_dict()})
def ck_moments(ck, tmp):
    s = load_tree(ck)['state']
    s['opt']['state'][0]['exp_avg'] = torch.zeros(2, 9)
    altered_tree(ck, state=s)
def ck_no_opt(ck, tmp): altered_tree(ck, state={'net': load_tree(ck)['state']['net']})
def ck_no_hash(ck, tmp): save_tree(ck, load_tree(ck))
def ck_epoch(ck, tmp): altered_tree(ck, epoch=10**6)
def ck_minus(ck, tmp): altered_tree(ck, epoch=-1)
def ck_log(ck, tmp): altered_tree(ck, log='none')
def ck_minutes(ck, tmp): altered_tree(ck, minutes=-1.)
def ck_snapshot(ck, tmp): flip(ck.parent/'snapshot-0001.safetensors')

CHECKPOINTS = {'of another run': ck_other_run, 'of another architecture': ck_architecture,
               'with moments of another shape': ck_moments, 'without the optimiser': ck_no_opt,
               'without a hash': ck_no_hash, 'of epoch 1,000,000 of 4': ck_epoch, 'of epoch -1': ck_minus,
               'with a log that is none': ck_log, 'of -1 minutes': ck_minutes, 'beside a damaged snapshot': ck_snapshot,
               'one bit flipped': lambda ck, tmp: flip(ck),
               'one bit of its header flipped': lambda ck, tmp: flip(ck, 8),        # its first brace
               'cut short': lambda ck, tmp: ck.write_bytes(ck.read_bytes()[:-9]),
               **{f'instead of it {w}': lambda ck, tmp, w=w: put(ck, w) for w in INSTEAD}}

@pytest.mark.parametrize('what', CHECKPOINTS)
def test_checkpoints(tmp_path, tried, what):
    CHECKPOINTS[what](stopped(tmp_path/'runs'), tmp_path)
    new, said = again(tmp_path/'runs')
    assert said
    assert new.result == WHOLE.result
    assert new.weights['weight'].equal(WHOLE.weights['weight'])
    assert len(new.snapshots) == 4
    tried(f'a checkpoint {what}', said.split(';')[0].rstrip(')'))

def test_a_whole_checkpoint_is_used(tmp_path):
    stopped(tmp_path/'runs')
    new, said = again(tmp_path/'runs')
    assert not said and new.result == WHOLE.result

def test_minutes_are_those_of_all_processes(tmp_path):
    "An older checkpoint, which knows none, is used as well"
    for minutes, least, most in ((90., 90, 91), (None, 0, 1)):
        altered_tree(stopped(tmp_path/str(minutes)), minutes=minutes)
        new, said = again(tmp_path/str(minutes))
        assert not said and least <= json.loads((new.path/'run.json').read_text())['minutes'] < most

def test_the_older_form(tmp_path):
    "Functions for state and loading: what does not fit leaves nothing half loaded"
    x, y = torch.zeros(2), torch.zeros(2)
    def load(s):
        x.copy_(s['x'])
        y.copy_(s['y'])
    run = Run('old', {}, tmp_path)
    for _ in run.epochs(3, lambda: {'x': x, 'y': y}, load, every=0.):
        x.add_(1)
        run.log.append({'x': x[0].item()})
    x.fill_(7.)
    assert list(Run('old', {}, tmp_path).epochs(3, lambda: {'x': x, 'y': y}, load, every=0.)) == []
    assert x.tolist() == [3., 3.]
    x.fill_(7.)
    y = torch.zeros(5)
    with pytest.warns(UserWarning, match='does not fit'):
        assert list(Run('old', {}, tmp_path).epochs(3, lambda: {'x': x, 'y': y}, load)) == [0, 1, 2]
    assert x.tolist() == [7., 7.]

# --- nothing non-finite

@pytest.mark.parametrize('bad, says', [
    ('loss', r'toy, epoch 3: loss is nan'),
    ('weights', r'toy, at its end: weights\.bias is -?inf \(2 of 2'),
    ('metrics', r'toy, at its end: metrics\.accuracy is inf'),
    ('params', r'toy, at its end: params\.deep\.1\.x is nan'),
])
def test_nothing_non_finite_is_finished(tmp_path, tried, bad, says):
    tried.refused(f'a number that is none in {bad}', lambda: make(bad=bad)(root=tmp_path), says, NotFinite)
    assert not [p for p in tmp_path.rglob('*') if p.is_file()]

def test_finite():
    require_finite({'a': [1, None, 'x', True, torch.ones(2, dtype=torch.bool), np.ones(2, 'int8'), torch.empty(0)]},
                   'x')
    for bad in (float('nan'), np.float32('inf'), np.array([1., np.nan]), torch.tensor([1., torch.inf]).half(),
                torch.tensor([torch.nan]).bfloat16(), complex('nan'), torch.tensor(complex('inf'))):
        with pytest.raises(NotFinite, match=r'x: a\.1\.b is '): require_finite({'a': [0, {'b': bad}]}, 'x')

# --- several processes

def trial(root, go, out, i):
    try:
        go.wait()
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            run = quick(root=root)
        assert run.finished and list(run.snapshots) == [1] and run.result['metrics'] == {'x': 1.}
        load_tree(run.snapshots[1])
        out.put((i, ''))
    except BaseException as e: out.put((i, repr(e)))

@stage('quick', 'runs')
def quick(run, seed=0):
    with open(run.path.with_name('computed'), 'a') as f: f.write('x')
    run.snapshot(1, {'x': torch.ones(2)})
    time.sleep(.02)
    return {'x': torch.ones(3)}, {'metrics': {'x': 1.}}

@pytest.mark.no_cover           # of processes that are forked it learns nothing
@pytest.mark.parametrize(
    'damage', ['weights.safetensors', 'result.json', 'snapshot-0001.safetensors', 'no manifest', 'a folder', 'nothing'])
def test_several_find_the_same_damage(tmp_path, tried, damage):
    "Eight processes at once: one sets the folder aside and computes, the others load"
    fork = multiprocessing.get_context('fork')
    for n in range(2):
        root, go, out = tmp_path/str(n), fork.Barrier(8), fork.Queue()
        run = quick(root=root)
        if damage == 'no manifest': (run.path/'manifest.json').unlink()
        elif damage == 'a folder': put(run.path/'run.json', 'a folder')
        elif damage != 'nothing': flip(run.path/damage)
        jobs = [fork.Process(target=trial, args=(root, go, out, i)) for i in range(8)]
        for j in jobs: j.start()
        said = [out.get(timeout=60) for _ in jobs]
        for j in jobs: j.join()
        assert not [e for _, e in said if e], said
        left = sorted(p.name for p in (root/'quick').iterdir())
        assert left == sorted(['computed', run.key] + [f'{run.key}.damaged-1']*(damage != 'nothing')), left
        assert (root/'quick/computed').read_text() == ('x' if damage == 'nothing' else 'xx')
    tried(f'8 processes find the same damaged folder ({damage})',
          'one sets it aside and computes, the others load what it made')

def test_who_works_is_not_disturbed(tmp_path):
    "A process that only looks does not set aside what another is at work on"
    run = quick(root=tmp_path)
    flip(run.path/'weights.safetensors')
    hold = multiprocessing.get_context('fork')
    go, held = hold.Event(), hold.Event()
    def work():
        with runs.alone(Run('quick', run.config, tmp_path)):
            held.set()
            go.wait()
    p = hold.Process(target=work)
    p.start()
    held.wait()
    assert not Run('quick', run.config, tmp_path).finished and run.path.exists()
    go.set()
    p.join()
    with pytest.warns(UserWarning, match='set aside'): assert not run.finished

def take_part(root, rank, port, out):
    os.environ.update(RANK=str(rank), WORLD_SIZE='2', LOCAL_WORLD_SIZE='2', MASTER_ADDR='here', MASTER_PORT=port)
    run = together(root=root)
    out.put((rank, run.finished))

@stage('together', 'runs', parallel=True)
def together(run, seed=0):
    with open(run.path.with_name('computed'), 'a') as f: f.write(str(world()[0]))
    time.sleep(.5)
    return {'x': torch.ones(3)}, {'metrics': {'x': 1.}}

@pytest.mark.parametrize('left', ['nothing', 'another launch at work'])
def test_others_take_part_once_the_first_has_begun(tmp_path, tried, left):
    "A job that works holds the lock, as the first process of two waits; then it finishes, or it gives up"
    fork = multiprocessing.get_context('fork')
    out, run = fork.Queue(), Run('together', together(root=tmp_path/'x').config, tmp_path)
    run.path.parent.mkdir(parents=True)
    if left != 'nothing': Path(f'{run.path}.begun').write_text('elsewhere 29500')
    jobs = [fork.Process(target=take_part, args=(tmp_path, rank, '29501', out)) for rank in (1, 0)]
    with runs.alone(run):
        for j in jobs: j.start()
        time.sleep(1)
        if left != 'nothing': shutil.copytree(tmp_path/'x/together'/run.key, run.path)         # it has finished
    assert sorted(out.get(timeout=60) for _ in jobs) == [(0, True), (1, True)]
    for j in jobs: j.join()
    computed = run.path.with_name('computed')
    assert sorted(computed.read_text() if computed.exists() else '') == (['0', '1'] if left == 'nothing' else [])
    tried(f'two processes of one launch, while another holds the lock ({left})', 'both work, or both load')

# --- what a killed process leaves

def test_leftovers_are_swept(tmp_path, tried):
    ck = stopped(tmp_path/'runs')
    (ck.parent/'weights.safetensors.123.part').write_bytes(b'half')
    (ck.parent.parent/f'{ck.parent.name}.lock').write_bytes(b'')
    new, said = again(tmp_path/'runs')
    assert not said and [p.name for p in (tmp_path/'runs/toy').iterdir()] == [new.key]
    assert sorted(p.name for p in new.path.iterdir()) == sorted(
        ['manifest.json', 'result.json', 'run.json', 'weights.safetensors',
         *(f'snapshot-000{i}.safetensors' for i in range(1, 5))])
    tried('half-written files and the lock of a killed process', 'swept by the next run of that key, which goes on')

@pytest.mark.parametrize('what', ['a folder', 'a link to nowhere', 'a link to a device', 'a pipe'])
def test_something_else_in_the_place_of_the_lock(tmp_path, tried, what):
    lock = tmp_path/'toy'/f"{Run('toy', WHOLE.config).key}.lock"
    lock.parent.mkdir()
    put(lock, what)
    tried.refused(f'{what} in the place of a lock', lambda: toy(root=tmp_path),
                  rf'{lock.name} is (a folder|a link|no plain file), .*remove it, or move it away')
    assert os.path.lexists(lock) and len(list(lock.parent.iterdir())) == 1

def test_a_link_in_the_place_of_a_run_folder(run, tmp_path, tried):
    mine, name = tmp_path/'mine', run.path
    shutil.copytree(run.path, mine)
    (mine/'checkpoint.safetensors').write_bytes(b'mine')
    (mine/'weights.safetensors.1.part').write_bytes(b'mine')
    shutil.rmtree(name)
    name.symlink_to(mine)
    assert again(tmp_path/'runs')[0].finished                  # it may be read ...
    assert (mine/'checkpoint.safetensors').exists() and (mine/'weights.safetensors.1.part').exists()
    (mine/'result.json').unlink()
    before = sorted(p.name for p in mine.iterdir())
    tried.refused('a link to another folder in the place of an unfinished run', lambda: toy(root=tmp_path/'runs'),
                  f'{name.name} is a link to {mine}')
    assert name.is_symlink() and sorted(p.name for p in mine.iterdir()) == before        # ... and not written

MINE = ['thesis.part', 'thesis.123.part', 'weights.safetensors.part', 'weights.safetensors.old.part',
        'video.mp4.1.part', 'snapshot-mine.safetensors']

def test_files_of_the_user_stay(tmp_path, tried):
    for name, f in {'finished': toy, 'given up': make(bad='loss'), 'killed': make(stop=2)}.items():
        root, folder = tmp_path/name, stopped(tmp_path/name).parent
        for m in MINE: (folder/m).write_text('mine')
        (folder/'folder.part').mkdir()
        (folder/'snapshot-0001.safetensors.77.part').write_bytes(b'half')
        with contextlib.suppress(Stop, NotFinite): f(root=root)
        toy_left = {p.name for p in folder.iterdir()}
        assert {*MINE, 'folder.part'} <= toy_left and 'snapshot-0001.safetensors.77.part' not in toy_left, name
    tried("files of the user's in a run folder, thesis.part among them", 'left alone, whatever becomes of the run')

def test_killed_at_the_very_end(run, tmp_path):
    (run.path/'checkpoint.safetensors').write_bytes(b'x')
    run.path.with_name(f'{run.key}.lock').write_bytes(b'')
    again(tmp_path/'runs')
    assert not (run.path/'checkpoint.safetensors').exists() and [p.name for p in run.path.parent.iterdir()] == [run.key]

def test_killed_between_manifest_and_result(tmp_path):
    "result.json comes last: what is there without it is no finished run, and no damaged one"
    new = toy(root=tmp_path)
    (new.path/'result.json').unlink()
    made, said = again(tmp_path)
    assert not said and made.result == WHOLE.result

# --- what travels

def test_shipped(run, tmp_path, monkeypatch, tried):
    monkeypatch.setenv('DFKD_SHIPPED', str(tmp_path/'runs'))
    monkeypatch.setenv('DFKD_RUNS', str(tmp_path/'own'))
    assert toy().path == run.path and not (tmp_path/'own').exists()
    flip(run.path/'weights.safetensors')
    with pytest.warns(UserWarning, match='was altered') as w: assert toy().path.is_relative_to(tmp_path/'own')
    assert run.path.exists()                                            # not ours to move
    tried('a finished stage that travels with the repository, one bit flipped', str(w[0].message))

def test_all_that_travels_is_whole():
    for f in (project_root()/'tests_data/stages').glob('*/*/result.json'): check_run(f.parent)

def test_seal(run, tried):
    (run.path/'manifest.json').unlink()
    (run.path/'run.json').unlink()
    seal(run.path)
    assert run.fault() == '' and 'run.json' not in read_json(run.path/'manifest.json')['files']
    flip(run.path/'weights.safetensors')
    tried.refused('sealing a damaged folder', lambda: seal(run.path), 'weights are not those')
    moved = run.path.rename(run.path.with_name('0'*16))
    flip(moved/'weights.safetensors')
    tried.refused('sealing a folder of another name', lambda: seal(moved), 'other settings')

# --- what else a run says, and when it saves

def test_extra_and_commit(tmp_path, monkeypatch):
    run = Run('toy', {'a': 1}, tmp_path)
    run.extra['graphs'] = 'eager: why'
    said = json.loads((run.finish({}, {'metrics': {}}).path/'run.json').read_text())
    assert said['graphs'] == 'eager: why' and said['commit'] == provenance()['commit']
    monkeypatch.setattr(runs, 'project_root', lambda: tmp_path)
    for named, commit in {'0123abc': '0123abc', '': None, 'main; rm': None}.items():
        monkeypatch.setenv('DFKD_COMMIT', named)
        assert provenance.__wrapped__()['commit'] == commit

def test_checkpoints_when_they_are_cheap(monkeypatch):
    now = [0.]
    monkeypatch.setattr(runs.time, 'time', lambda: now[0])
    def saved(every, cost, epoch, n):
        now[0], due, times = 0., Due(every), 0
        for i in range(n):
            now[0] += epoch
            if due(last=i+1 == n):
                with due: now[0] += cost
                times += 1
        return times, times*cost/now[0]
    assert saved(10., .001, 1., 100)[0] == 10                           # cheap: every ten seconds
    times, share = saved(10., 2., 1., 1000)
    assert 8 <= times <= 12 and share < .022                            # costly: every hundred
    assert saved(0., 5., 1., 10)[0] == 10                               # asked for: after each epoch

# --- files

BAD_JSON = {
    'NaN': '[NaN]',
    'infinity': '{"a": -Infinity}',
    '1e999': '[1e999]',
    'two values of one name': '{"a": 1, "a": 2}',
    'nesting 3,000 deep': '['*3000+']'*3000,
    'nesting 100 deep': '{"a":'*100+'1'+'}'*100,
    'an integer of 10,000 digits': '1'*10_000,
    'half a file': '{"a": [1, 2',
    'nothing': '',
    'bytes that are no text': b'\xff\xfe{}',
    'more than expected': '[' + '1,'*600 + '1]',
}

@pytest.mark.parametrize('what', BAD_JSON)
def test_json(tmp_path, tried, what):
    data = BAD_JSON[what]
    (tmp_path/'x.json').write_bytes(data if isinstance(data, bytes) else data.encode())
    tried.refused(f'JSON: {what}',
                  lambda: read_json(tmp_path/'x.json', most=12_000 if what != 'more than expected' else 1000),
                  r'x\.json')

BAD_YAML = {
    'references to itself': 'a: &a [1]\nb: [*a]',
    'a billion laughs': 'a: &a [x]\n'
        + '\n'.join(f'{chr(98+i)}: &{chr(98+i)} [{", ".join([f"*{chr(97+i)}"]*9)}]' for i in range(9)),
    'nesting 3,000 deep': '['*3000+']'*3000,
    'nesting by blanks': '\n'.join(' '*i+'a:' for i in range(300)),
    'a Python object': 'a: !!python/object/apply:os.system ["true"]',
    'a date': 'a: 2024-01-01',
    'a set': 'a: !!set {x, y}',
    'infinity': 'a: .inf',
    'two values of one name': 'a: 1\na: 2',
    'a list as a name': '? [1, 2]\n: 3',
    'a tab': 'a:\n\t- 1',
    'bytes that are no text': b'\xff\xfe\x00',
    'two documents': 'a: 1\n---\nb: 2',
    'merged tables': '<<: 3\na: 1',
    'a binary': 'a: !!binary aGk=',
    'a number of 10,000 digits': 'a: ' + '1'*10_000,
}

@pytest.mark.parametrize('what', BAD_YAML)
def test_yaml(tmp_path, tried, what):
    data = BAD_YAML[what]
    (tmp_path/'x.yaml').write_bytes(data if isinstance(data, bytes) else data.encode())
    tried.refused(f'YAML: {what}', lambda: read_yaml(tmp_path/'x.yaml'), r'x\.yaml')

BAD_TENSORS = {
    'a shape of 10^18': {'shape': [10**9, 10**9]},
    'a shape whose product is 2^64 + 4': {'shape': [2**32+1, 2**32-1]},
    'a negative size': {'shape': [-4]},
    'a size that is true': {'shape': [4, True]},
    'a size that is 4.0': {'shape': [4.]},
    'an unknown type': {'dtype': 'F31'},
    'a type that is a list': {'dtype': ['F32']},
    'offsets outside': {'data_offsets': [16, 32]},
    'offsets backwards': {'data_offsets': [16, 0]},
    'offsets that are one': {'data_offsets': [0]},
    'nothing of its type': {'dtype': None},
    '40 dimensions': {'shape': [4]+[1]*40},
    'something more': {'x': 1},
}

@pytest.mark.parametrize('what', BAD_TENSORS)
def test_tensors(tmp_path, tried, what):
    (tmp_path/'w.safetensors').write_bytes(forged(BAD_TENSORS[what]))
    tried.refused(f'a safetensors file: {what}', lambda: read_tensors(tmp_path/'w.safetensors'), r'w\.safetensors')

def test_tensors_overlap(tmp_path, tried):
    w = {'dtype': 'F32', 'shape': [4], 'data_offsets': [0, 16]}
    head = json.dumps({'a': w, 'b': w}).encode()
    (tmp_path/'w.safetensors').write_bytes(len(head).to_bytes(8, 'little') + head + bytes(16))
    tried.refused('a safetensors file: tensors in each other', lambda: read_tensors(tmp_path/'w.safetensors'),
                  'overlap')

@settings(derandomize=True, max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_tensors_at_random(tmp_path_factory, data):
    "Whatever bytes a tensor file has: its tensors, or one clear line"
    path = tmp_path_factory.mktemp('t')/'w.safetensors'
    save_tree(path, {'a': torch.ones(2, 3), 'b': [1, torch.zeros(4).half()]})
    old = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        old[data.draw(st.integers(0, len(old)-1))] = data.draw(st.integers(0, 255))
    path.write_bytes(old[:data.draw(st.integers(0, len(old)))] if data.draw(st.booleans()) else old)
    for f in (read_tensors, load_tree, lambda p: load_tree(p, checked=True)):
        try: f(path)
        except ValueError as e: assert '\n' not in str(e) and 'w.safetensors' in str(e)

@pytest.mark.parametrize('name',
                         ['../x', '/etc/passwd', 'a/../../x', 'a//b', './a', '', '.', 'a\\b', 'C:x', 'a\0b', 3, None])
def test_names_in_a_list_of_files(tmp_path, tried, name):
    tried.refused(f'a list of files that names {name!r}',
                  lambda: check_files(tmp_path, {name: {'bytes': 1, 'sha256': ''}}), 'no name of a file')

def test_lists_of_files(tmp_path, tried):
    (tmp_path/'d/sub').mkdir(parents=True)
    (tmp_path/'d/sub/a').write_text('a')
    said = file_hashes(tmp_path/'d', ['sub/a'])
    check_files(tmp_path/'d', said)
    (tmp_path/'d/.DS_Store').write_text('')
    check_files(tmp_path/'d', said)
    (tmp_path/'d/b').write_text('b')
    tried.refused('a file too many', lambda: check_files(tmp_path/'d', said), 'b is not in its list')
    check_files(tmp_path/'d', said, but=['b'])
    check_files(tmp_path/'d', said, extra=True)
    (tmp_path/'d/sub').rename(tmp_path/'elsewhere')
    (tmp_path/'d/sub').symlink_to(tmp_path/'elsewhere')
    tried.refused('a folder that is a link', lambda: check_files(tmp_path/'d', said, extra=True), 'is a link')

def work(root):
    # tqdm's own lock is shared by all that were forked, and a killed one would keep it
    tqdm.set_lock(threading.RLock())
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        make()(root=root)

def killed_often(root):
    "Starts processes that work, each to be killed at a random moment"
    fork, rng, kills = multiprocessing.get_context('fork'), np.random.default_rng(0), 0
    for _ in range(40):
        p = fork.Process(target=work, args=[root])
        p.start()
        time.sleep(rng.uniform(0, .06))
        p.kill()
        p.join()
        kills += p.exitcode == -9
        assert p.exitcode in (0, -9)
        if kills % 5 == 0: shutil.rmtree(root/'toy', ignore_errors=True)            # else all would be done soon

@pytest.mark.no_cover
def test_killed_anywhere(tmp_path, tried, fresh):
    """SIGKILL at random moments, also while files are written

    The run goes on, nothing is set aside, and it ends the same. PyTorch may refuse to train in a fork of a process
    that has trained, so they are the children of a fresh one.
    """
    often = fresh(killed_often, tmp_path)
    often.join()
    assert often.exitcode == 0
    made, said = again(tmp_path)
    assert not said and made.result == WHOLE.result and made.weights['weight'].equal(WHOLE.weights['weight'])
    assert [p.name for p in (tmp_path/'toy').iterdir()] == [made.key]
    assert not list(made.path.glob('*.part'))
    assert not (made.path/'checkpoint.safetensors').exists()
    tried('kills at random moments of a run', 'it goes on, and ends with the same result and weights')

def test_a_result_is_not_larger_than_what_is_read(tmp_path, tried):
    @stage('toy', 'runs')
    def counted(run, classes:int=3):
        return {}, {'metrics': {'accuracy': 1.}, 'params': {}, 'confusion': [[0]*3]*classes}
    assert len(counted(classes=1000, root=tmp_path).result['confusion']) == 1000
    many = counted(classes=4000, root=tmp_path)
    assert 'confusion' not in many.result and counted(classes=4000, root=tmp_path).path == many.path
    tried('a student of 4,000 classes', 'finished, without the table of which class it takes for which')

@pytest.mark.parametrize('what, said', [('a list', '[1]'), ('null', 'null'), ('a result without metrics', '{"a": {}}'),
                                        ('a result that is a number', '{"a": 1}'),
                                        ('an accuracy of 5', '{"a": {"metrics": {"accuracy": 5}}}')])
def test_results_that_are_none(what, said, tmp_path, tried):
    from dfkd_nb.results import read_records
    (tmp_path/'results.json').write_text(said)
    tried.refused(f'a file of results that holds {what}', lambda: read_records(tmp_path), '')
