"Teachers from elsewhere, and the command `dfkd` as a user calls it."
import json, subprocess, sys
from pathlib import Path
import pytest, torch
from safetensors.torch import save_file
from dfkd_nb.bundle import adopt, foreign_teacher, main
from dfkd_nb.models import create_net
from dfkd_nb.probes import attention_probes

@pytest.mark.parametrize('name,patches', [('torchvision:vit_b_16', 14), ('deit_tiny_distilled_patch16_224', 14), ('vit_small_patch14_reg4_dinov2', 37)])
def test_teachers_from_elsewhere(name, patches, tmp_path):
    net = create_net(name, 3)
    save_file({k: v.contiguous() for k, v in net.state_dict().items()}, tmp_path/'w.safetensors')
    clf, arch = foreign_teacher(name, tmp_path/'w.safetensors', 3)
    run = adopt(clf, 'abc', arch, root=tmp_path/'runs')
    x = torch.rand(1, 3, 40, 40)
    assert attention_probes(clf, x).shape == (1, patches**2) and run.result['params']['classes'] == ['a', 'b', 'c']

def test_no_class_token_is_refused(tmp_path):
    net = create_net('vit_little_patch16_reg1_gap_256', 3)
    save_file({k: v.contiguous() for k, v in net.state_dict().items()}, tmp_path/'w.safetensors')
    clf, arch = foreign_teacher('vit_little_patch16_reg1_gap_256', tmp_path/'w.safetensors', 3)
    with pytest.raises(ValueError, match='class token'): adopt(clf, 'abc', arch, root=tmp_path/'runs')

def test_command_is_installed():
    "The console script of the environment, not only the function."
    got = subprocess.run([Path(sys.executable).parent/'dfkd', '--help'], capture_output=True, text=True)
    assert got.returncode == 0 and 'distill' in got.stdout and 'Traceback' not in got.stderr

def test_teacher_alone(tmp_path, capsys):
    "Without data: a bundle with the teacher only, from which the generator is not promised."
    net = create_net('vit_digits_teacher', 4)
    save_file(net.state_dict(), tmp_path/'w.safetensors')
    args = ['bundle', '--teacher', 'vit_digits_teacher', '--weights', str(tmp_path/'w.safetensors'), '--classes', 'a,b,c,d', '--channels', '1', '--mean', '.3', '--std', '.3', '--out', str(tmp_path/'b')]
    assert main(args) == 0 and main(args) == 2 and 'is there already' in capsys.readouterr().err
    assert main(['distill', str(tmp_path/'b'), '--student', 'vit_digits_student', '--out', str(tmp_path/'s')]) == 2 and 'has no generator' in capsys.readouterr().err
    assert main(['distill', str(tmp_path/'b'), '--student', 'vit_digits_student', '--source', 'noise', '--images', '64', '--epochs', '1', '--out', str(tmp_path/'s')]) == 0
    assert 'withheld images' in capsys.readouterr().out and json.loads((tmp_path/'s/result.json').read_text())['images_read'].keys() <= {'withheld noise/test'}
    assert sorted(p.name for p in tmp_path.iterdir()) == ['b', 's', 'w.safetensors']     # nothing half-written
