"`make rehearse`: every stage in short, and what it says of the whole."
import graph, pytest
from dfkd_nb.data import get_data
from dfkd_nb.distill import KD_RECIPES
from dfkd_nb.inversion import APART, INVERSION
from dfkd_nb.training import RECIPES
from rehearse import Few, main, rehearse

def test_rehearsal(tmp_path, monkeypatch):
    monkeypatch.setenv('DFKD_RUNS', str(tmp_path)); monkeypatch.setenv('DFKD_SHIPPED', '0')
    left_out = {nb: [] for nb in ('04_gan', '05_fid', '06_distill', '07_ablations', '11_deploy')}
    rows = rehearse({'plan': {'digits': [0]}, 'only': left_out, 'parameters': {'10_ladder': {'inversion_recipe': {'rounds': 60}, 'full_seeds': 1}}}, 'digits', batches=2).set_index('stage')
    taken = [f'invert {v} (taken as invert)' for v in ('dafl', *APART)]       # a variant costs what its like does, and is not run again
    assert list(rows.index) == ['train_teacher', 'class_probes', 'train_teacher fine', 'invert', 'distill wild', 'distill drawn', 'distill wild selected (taken as distill wild)', *taken]
    dafl = rows.loc[taken[0]]
    assert dafl['of them'] == 60 and dafl.seconds == rows.loc['invert'].seconds and rows.loc['invert short (taken as invert)', 'of them'] == 20
    teacher, inversion = rows.loc['train_teacher'], rows.loc['invert']
    assert teacher['of them'] == RECIPES['digits']['epochs']*(1257//64) and teacher['hours'] == teacher['seconds']*teacher['of them']/3600      # 1,257 training images, batches of 64
    assert inversion['of them'] == 60 and inversion['a'] == 'round' and 'rounds' not in INVERSION['digits']
    assert rows['hours'].isna().to_dict() == {k: k == 'class_probes' for k in rows.index}
    assert rows.loc['distill wild', 'of them'] == 15*(KD_RECIPES['digits']['n_images']//64)

def test_sizes_are_of_the_whole():
    few = Few(data := get_data('digits'))
    few.keep(100)
    assert few.sizes == data.sizes and len(few.read('train')[0]) == 100

@pytest.mark.parametrize('scale,why', [('drones', 'detection is not rehearsed yet'), ('nope', "no scale 'nope'"), ('cifar10 --only 07_ablations', 'does not run 07_ablations')])
def test_what_is_not_rehearsed(scale, why, capsys):
    with pytest.raises(SystemExit) as e: main(scale.split())
    assert why in f'{e.value} {capsys.readouterr().err}'
