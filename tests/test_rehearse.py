"`make rehearse`: every stage in short, and what it says of the whole."
import graph, pytest, torch, yaml
from cells import ROOT
from dfkd_nb import inversion
from dfkd_nb.data import get_data
from dfkd_nb.inversion import ABLATIONS
from dfkd_nb.recipes import RECIPES
from rehearse import Count, Counted, Few, OnGPU, Rehearsal, main, rehearse, table

pytestmark = pytest.mark.no_cover       # lessons reach the same lines, and coverage takes a third of the time

@pytest.mark.slow
def test_rehearsal(tmp_path, monkeypatch):
    monkeypatch.setenv('DFKD_RUNS', str(tmp_path))
    monkeypatch.setenv('DFKD_SHIPPED', '0')
    left_out = {nb: [] for nb in ('04_gan', '05_fid', '06_distill', '07_ablations', '11_deploy')}
    small = {'rounds': 60, 'n_images': 16, 'bs': 16, 's_steps': 4}
    cfg = {'plan': {'digits': [0]},
           'only': left_out,
           'parameters': {'10_ladder': {'inversion_recipe': small, 'full_seeds': 1}}}
    wild_of = inversion.wild_of
    monkeypatch.setattr(inversion, 'wild_of', lambda dataset, shape, n: wild_of(dataset, shape, 1000))
    rows = rehearse(cfg, 'digits', batches=2).set_index('stage')
    # a variant costs what its like does, and is not run again
    taken = [f'invert {v} (taken as invert)' for v in ('dafl', *ABLATIONS)]
    assert list(rows.index) == ['train_teacher', 'class_probes', 'train_teacher fine', 'invert', 'distill wild',
                                'distill drawn', 'distill wild selected (taken as distill wild)', *taken]
    dafl = rows.loc[taken[0]]
    assert dafl['of them'] == 60
    assert dafl.seconds == rows.loc['invert'].seconds
    assert rows.loc['invert short (taken as invert)', 'of them'] == 20
    teacher, inverted = rows.loc['train_teacher'], rows.loc['invert']
    recipes = RECIPES['digits']
    assert teacher['of them'] == recipes['teacher']['epochs']*(1257//64)       # 1,257 training images, batches of 64
    assert teacher['hours'] == teacher['seconds']*teacher['of them']/3600
    assert inverted['of them'] == 60 != recipes['inversion']['rounds'] and inverted['a'] == 'round'
    assert rows['hours'].isna().to_dict() == {k: k == 'class_probes' for k in rows.index}
    assert rows.loc['distill wild', 'of them'] == recipes['wild']['epochs']*(recipes['student']['n_images']//64)

def test_sizes_are_of_the_whole():
    few = Few(data := get_data('digits'))
    few.keep(100)
    assert few.sizes == data.sizes and len(few.read('train')[0]) == 100
    few.keep(3)                 # … but twice each class: a stage refuses a class without an image
    assert few.read('train')[1].bincount().tolist() == [2]*10

@pytest.mark.parametrize('scale,why', [
    ('drones', 'detection is not rehearsed yet'),
    ('nope', "no scale 'nope'"),
    ('cifar10 --only 07_ablations', 'does not run 07_ablations'),
])
def test_what_is_not_rehearsed(scale, why, capsys):
    with pytest.raises(SystemExit) as e: main(scale.split())
    assert why in f'{e.value} {capsys.readouterr().err}'

RATES = dict(device='card', measured='a day', product=1e12, memory=1e9, launch=1e-3, kernel=1e-6, share=.5, steps={})

def test_count_is_of_the_batch_that_was_asked_for():
    "A small batch, scaled, counts as the large one: launches as they are, operations and bytes by the images."
    w = torch.randn(8, 4, requires_grad=True)
    def step(n):
        with Count(RATES, 64/n) as c: (torch.randn(n, 8) @ w).relu().sum().backward()
        return c
    small, large = step(4), step(64)
    assert abs(small.launches-large.launches) <= 1 < 5 < large.launches
    assert small.flops == large.flops == 2*2*64*8*4         # forward, and for the weights
    with Count(RATES, 1) as c: torch.zeros(6, 4).t().reshape(3, 8)[0].view(2, 4)
    assert c.launches <= 2                                                          # views launch nothing

@pytest.mark.slow
def test_budget(tmp_path, monkeypatch, capsys):
    "Counted stages, written one by one; the arithmetic of the card is what its rates say."
    monkeypatch.setenv('DFKD_RUNS', str(tmp_path))
    monkeypatch.setenv('DFKD_SHIPPED', '0')
    cfg = {'plan': {'digits': [0]},
           'only': {nb: [] for nb in graph.STAGES if nb not in ('02a_training', '03_probes', '04_gan')},
           'parameters': {}}
    seen, how = [], Counted(RATES)
    rows = rehearse(cfg, 'digits', 1, how=how, note=lambda rows: seen.append(len(rows))).set_index('stage')
    assert seen == list(range(1, len(rows)+1))
    assert {'train_teacher', 'train_generator', 'train_generator unguided'} <= set(rows.index)
    teacher = rows.loc['train_teacher']
    # a launch takes a millisecond
    assert teacher['one by one, ms'] == max(teacher.launches, teacher['replayed, ms'])
    assert teacher['one by one, minutes'] == teacher['one by one, ms']*teacher['of them']/60000
    assert rows.loc['train_generator', 'launches'] > rows.loc['train_generator unguided', 'launches']
    text = table(rows.reset_index().to_dict('records'), how)
    assert 'minutes one by one and ' in text
    assert text.endswith('minutes replayed in all, one stage after the other.')
    assert 'nan' not in text

def test_rates_say_where_they_come_from():
    for card in yaml.safe_load((ROOT/'benchmarks/rates.yaml').read_text()).values():
        assert card.keys() == RATES.keys()
        assert card['measured']
        assert all(card[k] > 0 for k in ('product', 'memory', 'launch', 'kernel', 'share'))

def test_minutes_of_a_gpu():
    assert OnGPU().row({'seconds': .006}, 'batch', 1000) == {'ms': 6., 'a': 'batch', 'of them': 1000, 'minutes': .1}

def test_what_is_there_is_written(tmp_path, monkeypatch):
    "A rehearsal that ends early leaves the stages that it has."
    import rehearse as tool
    def breaks(cfg, dataset, batches, only, how, note):
        note([{'stage': 'train_teacher', 'seconds': 1., 'a': 'batch', 'of them': 7200, 'hours': 2.}])
        raise KeyboardInterrupt
    monkeypatch.setattr(tool, 'rehearse', breaks)
    with pytest.raises(KeyboardInterrupt): main(['cifar10', '--out', str(tmp_path/'x.md')])
    assert '| train_teacher' in (said := (tmp_path/'x.md').read_text()) and '2.0 hours in all' in said

def test_rounds_of_training_and_of_a_measurement():
    rehearsal = Rehearsal(Few(get_data('digits')), 1)
    asked, step, _, change = rehearsal.plan({'rounds': 9, 'every': 5, 'patience': 2}, 'teacher')
    assert (asked, step, change(3)) == (9, 'round', {'rounds': 3, 'every': 1, 'patience': 0})
    assert rehearsal.plan({'rounds': 9}, '')[0] is None         # such as of latencies
