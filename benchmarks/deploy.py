"""What a student gains over its teacher where it is deployed: the paper's pairs, in PyTorch (eager, compiled), ONNX and
int8, all forms in turn in one run; and how near to the least possible time the student's file comes.

    python benchmarks/deploy.py [--pairs digits mnist cifar] [--rounds 30] [--compiled] [--out DIR]

Time, size and memory do not depend on what the weights are, so they are seeded random ones.
"""
import argparse, json, tempfile
from pathlib import Path
import pandas as pd, torch
from dfkd_nb.deploy import compare_forms, floor_ms, forms
from dfkd_nb.models import create_classifier, n_params
from dfkd_nb.runs import provenance, seed_all, write_atomic

PAIRS = { # name: teacher, student
    'digits': ('vit_digits_teacher', 'vit_digits_student'),
    'mnist':  ('vit_mnist_teacher', 'deit_xtiny_patch4_28'),
    'cifar':  ('deit_base_patch4_32', 'vit_cifar_student'),
}

def measure(pair, rounds, compiled):
    "(what the pair is, one row a form, the least time of the student's file for one image as a share of its time)"
    seed_all('benchmark', pair)
    chans = 3 if pair == 'cifar' else 1
    teacher, student = PAIRS[pair]
    T, S = (create_classifier(n, 10, dict(mean=[.5]*chans, std=[.5]*chans)).eval() for n in (teacher, student))
    x, y = torch.randint(0, 256, (64, chans, T.size, T.size), dtype=torch.uint8), torch.zeros(64, dtype=torch.long)
    with tempfile.TemporaryDirectory() as tmp:
        rows = compare_forms(forms(T, S, Path(tmp), calibration=x, compiled=compiled), x, y, rounds=rounds)
        floor = floor_ms(S, threads=int(rows.threads_1['student, ONNX']))/rows.p50_ms_1['student, ONNX']
    return f'{teacher} ({n_params(T):,} parameters) → {student} ({n_params(S):,})', rows.drop(columns='accuracy'), floor

def times_faster(rows, form, of):
    "A form of the student against one of the teacher."
    ratio = lambda times: times[f'teacher, {of}']/times[f'student, {form}']
    return {'1 image': ratio(rows.p50_ms_1), '64 images': ratio(rows.p50_ms_64)}

def of_int8(rows):
    "What int8 gains, in words."
    gain = rows.p50_ms_1['student, ONNX']/rows.p50_ms_1['student, int8']
    share = rows.mb['student, int8']/rows.mb['student, ONNX']
    speed = f'{gain:.1f} times as fast as' if gain > 1 else f'slower than (it takes {1/gain:.2f} times as long as)'
    return f'int8 file: {share:.0%} of the size of float32, and for one image {speed} that'

def main(args=None):
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--pairs', nargs='+', default=list(PAIRS), choices=PAIRS)
    p.add_argument('--rounds', type=int, default=30, help='of one image; a third as many of 64')
    p.add_argument('--compiled', action='store_true', help='also torch.compile (takes a C++ compiler)')
    p.add_argument('--out', type=Path, help='folder for deploy.md and deploy.json')
    a = p.parse_args(args)
    device, parts, kept = provenance(), [], {}
    for pair in a.pairs:
        title, rows, floor = measure(pair, a.rounds, a.compiled)
        over = {f'student, {form} against teacher, {of}': times_faster(rows, form, of)
                for form in ('ONNX', 'int8') for of in ('PyTorch', 'ONNX')}
        kept[pair] = {'pair': title, 'forms': rows.round(4).to_dict('index'), 'times_faster': over,
                      'share_of_floor': round(floor, 3)}
        tables = [rows.round(2).to_markdown(), pd.DataFrame(over).T.round(1).to_markdown()]
        least = f'student, ONNX: {floor:.0%} of the speed that its multiplications alone allow, for one image'
        parts.append('\n\n'.join([f'## {pair}', title, *tables, f'{least}\n\n{of_int8(rows)}\n']))
    md = f"{device['device']}, {device['threads']} threads\n\n" + '\n'.join(parts)
    print(md)
    if a.out:
        write_atomic(a.out/'deploy.md', md)
        write_atomic(a.out/'deploy.json', json.dumps({'provenance': device, **kept}, indent=1)+'\n')

if __name__ == '__main__': main()
