"""What README.md promises to somebody who installed the wheel: run in an empty folder beside `examples/`, with the
installed package first on the path (`tools/package.py` does so). Nothing of the checkout is imported."""
import importlib, os, re, subprocess, sys
from pathlib import Path

def imported_from(lib):
    "Every module comes from the wheel, and none needs nbdev."
    sys.modules['nbdev'] = None
    modules = sorted(p.stem for p in (lib/'dfkd_nb').glob('[a-z]*.py'))
    for m in modules:
        file = Path(importlib.import_module(f'dfkd_nb.{m}').__file__)
        assert file.is_relative_to(lib), f'{m} came from {file}'
    print('imported without nbdev:', *modules)

def tables():
    "What the paper states travels along."
    from dfkd_nb.models import paper, table_audit, table_unsaid
    assert len(table_audit()) == len(paper()['models']) and len(table_unsaid()) > 3
    print('tables of the paper: its models, what it does not say')

def five_lines(readme):
    "The lines of Python as they stand, with small networks and few steps."
    import timm
    from safetensors.torch import save_file
    from dfkd_nb import bundle
    [lines] = re.findall(r'```python\n(.*?)```', readme, re.S)
    assert len([l for l in lines.splitlines() if l and not l.startswith('from')]) == 5
    name, file = re.search(r"foreign_teacher\('(\w+)', '([\w.]+)'\)", lines).groups()
    net = timm.create_model(name, img_size=32, num_classes=4)
    save_file({k: v.contiguous() for k, v in net.state_dict().items()}, file)
    bundle.TEACHER_ONLY |= dict(rounds=1, every=1, g_steps=1, s_steps=1, drawn=64)
    exec(lines.replace('deit_tiny_patch16_224', 'vit_rgb_student'), here := {})
    assert here['student'].result['images_read'] == {}          # no real image
    assert bundle.load_student('student').card['classes'] == ['bird', 'drone', 'helicopter', 'plane']
    print('five lines of Python: a student of a foreign teacher')

def commands(readme, lib):
    "The commands as they stand, and what is said of them: the student is within 3 points of its teacher."
    from dfkd_nb.bundle import Bundle
    [block] = [b for b in re.findall(r'```sh\n(.*?)```', readme, re.S) if 'dfkd sample' in b]
    paths = os.pathsep.join([str(lib/'bin'), str(Path(sys.executable).parent), os.environ['PATH']])
    got = subprocess.run(['bash', '-ec', block], capture_output=True, text=True, env={**os.environ, 'PATH': paths})
    assert got.returncode == 0, got.stderr
    right, n = re.search(r'([\d.]+)% of (\d+) images of pictures, at 16 pixels', got.stdout).groups()
    teacher = Bundle('examples/digits.bundle').card['teacher']['accuracy']
    assert n == '360' and float(right) >= 100*teacher-3, f'{right} % of {n} images; teacher: {teacher}'
    assert re.search(r'pictures/7/0000.png: 7 \(', got.stdout), got.stdout
    subprocess.run(['dfkd', 'report', 'student', '--no-latency'], check=True, env={**os.environ, 'PATH': paths})
    assert Path('report.html').stat().st_size > 10_000
    print(f'commands: a student that is right on {right} % of {n} images, and as ONNX')

if __name__ == '__main__':
    lib, readme = Path(sys.argv[1]), Path(sys.argv[2]).read_text(encoding='utf-8')
    imported_from(lib)
    tables()
    commands(readme, lib)       # before the lines, which write a folder of the same name
    Path('student').rename('student-of-the-commands')
    five_lines(readme)
