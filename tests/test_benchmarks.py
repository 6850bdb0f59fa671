"The benchmark runs, its ratios are ratios, and the plain way of distilling computes what ours computes."
import importlib.util, json
from pathlib import Path
import pytest
from dfkd_nb import deploy

pytestmark = pytest.mark.no_cover       # lessons reach the same lines, and coverage takes a third of the time

@pytest.fixture(scope='session')
def bench():
    spec = importlib.util.spec_from_file_location('throughput', Path(__file__).parents[1]/'benchmarks'/'throughput.py')
    spec.loader.exec_module(m := importlib.util.module_from_spec(spec))
    return m

@pytest.mark.slow
def test_stages(bench, tmp_path):
    got = {s: bench.run_stage(s, 'digits', 2, tmp_path) for s in bench.STAGES}
    assert all(r['images_per_s'] > 0 and min(r['flops_per_image'].values()) > 0 for r in got.values())
    flops = {s: sum(r['flops_per_image'].values()) for s,r in got.items()}
    assert flops['cGAN guided'] > flops['cGAN unguided']
    assert flops['distillation, live teacher'] > flops['distillation, cached teacher']
    assert bench.Batches.__iter__.__qualname__ == 'Batches.__iter__' # as it was

def test_flops_are_torchs(bench):
    import torch
    from torch.utils.flop_counter import FlopCounterMode
    net, x = bench.create_net('vit_digits_student'), torch.rand(4, 1, 16, 16)
    with FlopCounterMode(display=False) as torchs: net(x).sum().backward()
    with bench.Flops() as ours: net(x).sum().backward()
    assert torchs.get_total_flops() == ours.n[torch.float32] > 0

def test_comparison(bench, tmp_path, capsys):
    bench.main(['--size', 'digits', '--steps', '4', '--rounds', '1', '--stages', '--out', str(tmp_path)])
    r = json.loads((tmp_path/'throughput.json').read_text())
    d = r['distillation']
    assert all(set(b['images_per_s']) == {'float32', 'bfloat16'} and b['chosen'] == 'float32' for b in r['precision'])
    assert (tmp_path/'throughput.md').read_text() in capsys.readouterr().out
    assert all(v > 0 for v in d['ratio_to_plain'].values()) and d['ratio_to_plain']['plain'] == 1
    for k, v in d['losses']['plain'].items(): assert v > 1e-3 and d['losses']['live'][k] == pytest.approx(v, rel=1e-4)

@pytest.mark.slow
def test_deploy(tmp_path, capsys, monkeypatch):
    spec = importlib.util.spec_from_file_location('deploy_bench', Path(__file__).parents[1]/'benchmarks'/'deploy.py')
    spec.loader.exec_module(m := importlib.util.module_from_spec(spec))
    monkeypatch.setattr(deploy, 'peak_memory', lambda form, shape: 1.)      # a process each, which the lessons start
    m.main(['--pairs', 'digits', '--rounds', '3', '--out', str(tmp_path)])
    d = json.loads((tmp_path/'deploy.json').read_text())['digits']
    assert (tmp_path/'deploy.md').read_text() in capsys.readouterr().out
    assert d['forms']['teacher, PyTorch']['times_faster_1'] == 1 and 0 < d['share_of_floor'] < 1
    assert d['times_faster']['student, ONNX against teacher, ONNX']['1 image'] == pytest.approx(
        d['forms']['teacher, ONNX']['p50_ms_1']/d['forms']['student, ONNX']['p50_ms_1'], rel=1e-2)

def test_foreign_teachers(tmp_path, capsys):
    "A case that is finished is not run again; its row, from what the commands said"
    spec = importlib.util.spec_from_file_location('foreign', Path(__file__).parents[1]/'benchmarks'/'foreign.py')
    spec.loader.exec_module(m := importlib.util.module_from_spec(spec))
    said = {'bundle': {'teacher': {'parameters': 2_700_000, 'accuracy': .844}, 'classes': ['a', 'b', 'c']},
            'generator': 'passed', 'distill': {'source': 'gan'}, 'evaluate': {'accuracy': .776},
            'export': {'bytes': 434_669}, 'minutes': {'all': 6.94}, 'commit': 'abc'}
    (tmp_path/'work/hf-vit').mkdir(parents=True)
    (tmp_path/'work/hf-vit/found.json').write_text(json.dumps(said))
    m.main(['--work', str(tmp_path/'work'), '--cases', 'hf-vit', '--out', str(tmp_path)])
    table = (tmp_path/'foreign.md').read_text()
    assert table in capsys.readouterr().out and '| hf-vit, 2.7 M | ' in table and '84.4' in table
    [row] = json.loads((tmp_path/'foreign.json').read_text())['cases']
    assert row['student (%)'] == pytest.approx(77.6) and row['minutes'] == 6.94 and row['generator'] == 'passed'
    assert row['commit'] == 'abc'
