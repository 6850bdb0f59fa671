"What a scale gives away can be used by those who get it."
import json, shutil, subprocess, sys, zipfile
from pathlib import Path
import pytest
from PIL import Image
from restore import todays
from dfkd_nb.bundle import Bundle, compress, load_student
from dfkd_nb.data import get_data
from dfkd_nb.models import load_classifier
from dfkd_nb.training import predict
from dfkd_nb.results import read_records
from dfkd_nb.runs import Run, check_run, seal
import release, restore

ROOT = Path(__file__).parents[1]

@pytest.mark.slow
@pytest.mark.no_cover
def test_release(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv('DFKD_RUNS', str(tmp_path/'runs'))           # as in a fresh clone
    assert release.main(['smoke', '--out', str(tmp_path/'out')]) == 0
    assert 'no bundle of digits_rgb' in capsys.readouterr().out
    sums = (tmp_path/'out'/'SHA256SUMS').read_text().splitlines()
    for line in sums: zipfile.ZipFile(tmp_path/'out'/line.split()[1]).extractall(tmp_path/'got')
    folder = lambda end: next((tmp_path/'got').glob(f'*{end}'))
    bundle = Bundle(folder('digits.bundle'))
    assert bundle.card['memorisation']['generated'] and bundle.card['licence'] == 'Apache-2.0'
    assert compress(bundle, 'vit_digits_student', 'gan', root=tmp_path/'taught', epochs=1, n_images=64).finished
    x, y = get_data('digits').read('test')
    run = load_student(folder('digits-student'))
    Image.fromarray(x[0, 0].numpy()).save(tmp_path/'x.png')
    said = subprocess.run([sys.executable, ROOT/'examples'/'onnx_predict.py', folder('digits-student')/'student.onnx',
                           tmp_path/'x.png'], capture_output=True, text=True, check=True).stdout
    assert said.split()[1] == str(int(predict(load_classifier(run), x[:1]).argmax()))
    assert len(sums) == 4
    assert json.loads((folder('scenes-student')/'result.json').read_text())['stage'] == 'detr_student'

def test_restored_weights_are_finished_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv('DFKD_RUNS', str(tmp_path))
    def restored(*more):
        assert restore.main(['smoke', *more]) == 0
        return dict(reversed(line.split()) for line in capsys.readouterr().out.splitlines())
    plain, trusted, committed = restored(), restored('--trust'), read_records(ROOT/'paper_figures'/'smoke')
    assert restored() == plain and len(plain) == 3      # once more changes nothing
    for name, folder in [*plain.items(), *trusted.items()]:
        result = committed[name]
        # the same while the code is that of the results
        config = result['config'] if folder == plain[name] else todays(result)
        run = Run(result['stage'], config, tmp_path)
        assert run.path == tmp_path/folder and run.finished and run.result['metrics'] == result['metrics']
    assert restore.main(['nothing']) == 2

def test_runs_of_another_machine_are_taken_in(tmp_path, monkeypatch, capsys):
    "Also without their snapshots, which are too large to travel; never what is altered, cut off, or of other settings."
    shipped = next((ROOT/'tests_data'/'stages'/'generator').iterdir())
    there = tmp_path/'there'/'generator'/shipped.name
    shutil.copytree(shipped, there)
    (there/'snapshot-0001.safetensors').write_bytes(b'large')
    seal(there)
    for alter in ('cut', 'other', 'altered'): shutil.copytree(there, tmp_path/alter/'generator'/shipped.name)
    (there/'snapshot-0001.safetensors').unlink()                # stays on the machine
    monkeypatch.setenv('DFKD_RUNS', str(tmp_path/'runs'))
    monkeypatch.setenv('DFKD_SHIPPED', '0')
    run = Run('generator', json.loads((shipped/'result.json').read_text())['config'])
    assert not run.finished
    for _ in range(2): assert restore.main(['--from', str(tmp_path/'there')]) == 0
    assert run.finished
    assert run.path.is_relative_to(tmp_path/'runs')
    assert f'generator/{run.key}' in capsys.readouterr().out
    shutil.rmtree(tmp_path/'runs')
    cut, altered = tmp_path/'cut'/'generator'/shipped.name, tmp_path/'altered'/'generator'/shipped.name
    (cut/'weights.safetensors').write_bytes((cut/'weights.safetensors').read_bytes()[:1000])
    (altered/'result.json').write_text((altered/'result.json').read_text().replace('0.9', '0.8', 1))
    (tmp_path/'other'/'generator'/shipped.name).rename(tmp_path/'other'/'generator'/('0'*16))
    for bad in ('cut', 'altered', 'other'):
        assert restore.main(['--from', str(tmp_path/bad)]) == 1
        assert capsys.readouterr().err.startswith('NOT: ') and not list((tmp_path/'runs').glob('*/*'))
    assert restore.main(['--from', str(tmp_path/'nowhere')]) == 2

def test_shipped_stages_are_whole(tmp_path, monkeypatch, capsys):
    "What is made for the repository is sealed anew, since snapshots and provenance stay here; too much is refused."
    import shipped
    runs = tmp_path/'runs'
    monkeypatch.setenv('DFKD_RUNS', str(runs))
    monkeypatch.setenv('DFKD_SHIPPED', '0')
    for stage in ('teacher', 'probes', 'generator', 'student'):
        shutil.copytree(ROOT/'tests_data'/'stages'/stage, runs/stage)
    for f in runs.glob('*/*'):
        for name in ('snapshot-0001.safetensors', 'run.json'): (f/name).write_bytes(b'{}')
        seal(f)
    def executes(cmd, **_):         # as the notebooks' stage cells leave their results
        results = tmp_path/'build'/'shipped'/'results'
        results.mkdir(parents=True, exist_ok=True)
        for f in runs.glob('*/*/result.json'): shutil.copy(f, results/f'{f.parent.name}.json')
    monkeypatch.setattr(shipped.subprocess, 'run', executes)
    monkeypatch.setattr(shipped, 'ROOT', tmp_path)
    shipped.main()
    made = sorted((tmp_path/'tests_data'/'stages').glob('*/*'))
    assert made
    new, kept = (Bundle(root/'examples'/'digits.bundle').card['files'] for root in (tmp_path, ROOT))
    assert new == kept                                          # the one that travels is of these stages
    assert all(check_run(f) and {p.name for p in f.iterdir()} == {'manifest.json', 'result.json', 'weights.safetensors'}
               for f in made)
    monkeypatch.setattr(shipped, 'LIMIT', 1000)
    with pytest.raises(SystemExit, match='may travel'): shipped.main()
    assert sorted((tmp_path/'tests_data'/'stages').glob('*/*')) == made
