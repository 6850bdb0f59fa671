"Teachers from elsewhere, and the command `dfkd` as a user calls it."
import json, subprocess, sys
from pathlib import Path
import numpy as np, pytest, torch
from PIL import Image
from safetensors.torch import save_file
from dfkd_nb.bundle import adopt, foreign_teacher, held_back, load_student, wild_source
from dfkd_nb.cli import main
from dfkd_nb.data import get_data
from dfkd_nb.inversion import WildSource
from dfkd_nb.models import create_net
from dfkd_nb.training import train_teacher
from dfkd_nb.probes import attention_probes

@pytest.mark.parametrize('name,patches', [
    ('torchvision:vit_b_16', 14),
    ('deit_tiny_distilled_patch16_224', 14),
    ('vit_small_patch14_reg4_dinov2', 37),
])
def test_teachers_from_elsewhere(name, patches, tmp_path):
    net = create_net(name, 3)
    save_file({k: v.contiguous() for k, v in net.state_dict().items()}, tmp_path/'w.safetensors')
    clf, arch = foreign_teacher(name, tmp_path/'w.safetensors', 3)
    run = adopt(clf, list('abc'), arch, root=tmp_path/'runs')
    x = torch.rand(1, 3, 40, 40)
    assert attention_probes(clf, x).shape == (1, patches**2) and run.result['params']['classes'] == ['a', 'b', 'c']

def test_no_class_token_is_refused(tmp_path):
    net = create_net('vit_little_patch16_reg1_gap_256', 3)
    save_file({k: v.contiguous() for k, v in net.state_dict().items()}, tmp_path/'w.safetensors')
    clf, arch = foreign_teacher('vit_little_patch16_reg1_gap_256', tmp_path/'w.safetensors', 3)
    with pytest.raises(ValueError, match='class token'): adopt(clf, list('abc'), arch, root=tmp_path/'runs')

def test_command_is_installed():
    "The console script of the environment, not only the function."
    got = subprocess.run([Path(sys.executable).parent/'dfkd', '--help'], capture_output=True, text=True)
    assert got.returncode == 0 and 'distill' in got.stdout and 'Traceback' not in got.stderr

def test_teacher_alone(tmp_path, capsys):
    "Without data: a bundle with the teacher only, from which the generator is not promised."
    net = create_net('vit_digits_teacher', 4)
    save_file(net.state_dict(), tmp_path/'w.safetensors')
    args = ['bundle', '--teacher', 'vit_digits_teacher', '--weights', str(tmp_path/'w.safetensors'),
            '--classes', 'a,b,c,d', '--channels', '1', '--mean', '.3', '--std', '.3', '--out', str(tmp_path/'b')]
    assert main(args) == 0 and main(args) == 2 and 'is there already' in capsys.readouterr().err
    assert main(['distill', str(tmp_path/'b'), '--student', 'vit_digits_student', '--source', 'gan',
                 '--out', str(tmp_path/'s')]) == 2
    assert 'has no generator' in capsys.readouterr().err
    assert main(['distill', str(tmp_path/'b'), '--student', 'vit_digits_student', '--source', 'noise', '--images', '64',
                 '--epochs', '1', '--out', str(tmp_path/'s')]) == 0
    assert 'withheld images' in capsys.readouterr().out
    assert json.loads((tmp_path/'s/result.json').read_text())['images_read'].keys() <= {'withheld noise/test'}
    assert sorted(p.name for p in tmp_path.iterdir()) == ['b', 's', 'w.safetensors']     # nothing half-written

@pytest.mark.parametrize('name', ['swin_tiny_patch4_window7_224', 'resnet18'])
def test_no_class_token(name, tmp_path, capsys):
    "Networks without a class token's attention: one line that says what to take, and nothing left behind."
    save_file({k: v.contiguous() for k,v in create_net(name, 3).state_dict().items()}, tmp_path/'w.safetensors')
    assert main(['bundle', '--teacher', name, '--weights', str(tmp_path/'w.safetensors'), '--classes', '3',
                 '--out', str(tmp_path/'b')]) == 2
    assert 'no class-token attention to probe' in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ['w.safetensors']

@pytest.mark.slow
def test_grey_folder(tmp_path, capsys):
    """A grey-scale folder of three classes: read as one channel

    A teacher that guesses is refused, a trained one makes a bundle whose student is grey too.
    """
    rng = np.random.default_rng(0)
    for split, n in (('train', 24), ('test', 12)):
        for k, name in enumerate(('effusion', 'nodule', 'normal')):
            (tmp_path/'scans'/split/name).mkdir(parents=True)
            for i in range(n):
                im = rng.normal(90, 15, (40, 48))
                if k == 0: im[28:] += 100
                if k == 1: im[(y := rng.integers(4, 24)):y+9, (x := rng.integers(4, 34)):x+9] += 100
                Image.fromarray(im.clip(0, 255).astype('uint8')).save(tmp_path/'scans'/split/name/f'{i}.png')
    data = get_data(tmp_path/'scans', size=16)
    assert data.shape == (1, 16, 16) and data.classes == ['effusion', 'nodule', 'normal']
    norm = ['--mean', '.4', '--std', '.2']
    def bundle(weights, out):
        return main(['bundle', '--teacher', 'vit_digits_teacher', '--weights', str(weights), '--data',
                     str(tmp_path/'scans'), '--size', '16', *norm, '--epochs', '1', '--width', '16', '--tries', '1',
                     '--anyway', '--out', str(out)])
    guesses = create_net('vit_digits_teacher', 3).state_dict()
    guesses['head.weight'].zero_()          # one class, whatever it sees
    save_file(guesses, tmp_path/'guesses.safetensors')
    assert bundle(tmp_path/'guesses.safetensors', tmp_path/'b') == 2
    assert 'hardly more than chance' in capsys.readouterr().err
    assert not list(tmp_path.glob('b*'))
    teacher = train_teacher(data, epochs=12, bs=16, augment='none', root=tmp_path/'runs')
    save_file(teacher.weights, tmp_path/'w.safetensors')
    norm[1], norm[3] = str(teacher.result['params']['mean'][0]), str(teacher.result['params']['std'][0])
    assert bundle(tmp_path/'w.safetensors', tmp_path/'b') == 0
    assert main(['distill', str(tmp_path/'b'), '--student', 'vit_digits_student', '--source', 'gan',
                 '--images', '128', '--epochs', '1',
                 '--data', str(tmp_path/'scans'), '--out', str(tmp_path/'s')]) == 0
    assert load_student(tmp_path/'s').result['metrics']['teacher_accuracy'] > .6

def test_pictures_apart_are_other_pictures(tmp_path):
    "Of a few pictures, none is on both sides, nor a crop of one"
    for i in range(20): Image.new('L', (40, 40), 5+12*i).save(tmp_path/f'{i:02}.png')
    source = wild_source(tmp_path, (1, 8, 8), 3, apart=True)
    assert len(source.x) == 10_000 and len(source.apart) == 200
    greys, apart = (set(x.unique().tolist()) for x in (source.x, source.apart))
    assert not greys & apart - {0, 255}         # an even crop is stretched to one of these
    assert wild_source(tmp_path, (1, 8, 8), 3).apart is None

@pytest.mark.parametrize('n,apart', [(10, 1), (40, 4), (9000, 500)])
def test_pictures_held_back(n, apart):
    x = torch.arange(n).fmod(251).byte().view(n, 1, 1, 1).expand(n, 1, 4, 4).contiguous()
    source = held_back(WildSource(x, 3))
    assert (len(source.x), len(source.apart)) == (n-apart, apart)

def test_too_few_to_hold_back():
    with pytest.raises(ValueError, match='at least 10'): held_back(WildSource(torch.zeros(9, 1, 4, 4).byte(), 3))
