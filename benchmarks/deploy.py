"""What a student gains over its teacher where it is deployed: the paper's pairs, in PyTorch (eager, compiled), ONNX and
int8, all forms in turn in one run.

    python benchmarks/deploy.py [--pairs digits mnist cifar] [--rounds 30] [--compiled] [--out DIR]

Time, size and memory do not depend on what the weights are, so they are seeded random ones.
"""
import argparse, json, tempfile
from pathlib import Path
import pandas as pd, torch
from dfkd_nb.deploy import compare_forms, forms
from dfkd_nb.models import create_classifier, n_params
from dfkd_nb.runs import provenance, seed_all, write_atomic

PAIRS = { # name: teacher, student
    'digits': ('vit_digits_teacher', 'vit_digits_student'),
    'mnist':  ('vit_mnist_teacher', 'deit_xtiny_patch4_28'),
    'cifar':  ('deit_base_patch4_32', 'vit_cifar_student'),
}

def measure(pair, rounds, compiled):
    "(what the pair is, one row a form)"
    seed_all('benchmark', pair)
    chans = 3 if pair == 'cifar' else 1
    teacher, student = PAIRS[pair]
    T, S = (create_classifier(n, 10, dict(mean=[.5]*chans, std=[.5]*chans)).eval() for n in (teacher, student))
    x, y = torch.randint(0, 256, (64, chans, T.size, T.size), dtype=torch.uint8), torch.zeros(64, dtype=torch.long)
    with tempfile.TemporaryDirectory() as tmp:
        rows = compare_forms(forms(T, S, Path(tmp), calibration=x, compiled=compiled), x, y, rounds=rounds)
    return f'{teacher} ({n_params(T):,} parameters) → {student} ({n_params(S):,})', rows.drop(columns='accuracy')

def times_faster(rows, of):
    "The student in ONNX against a form of the teacher."
    ratio = lambda times: times[f'teacher, {of}']/times['student, ONNX']
    return {'1 image': ratio(rows.p50_ms_1), '64 images': ratio(rows.p50_ms_64)}

def main(args=None):
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--pairs', nargs='+', default=list(PAIRS), choices=PAIRS)
    p.add_argument('--rounds', type=int, default=30, help='of one image; a third as many of 64')
    p.add_argument('--compiled', action='store_true', help='also torch.compile (takes a C++ compiler)')
    p.add_argument('--out', type=Path, help='folder for deploy.md and deploy.json')
    a = p.parse_args(args)
    device, parts, kept = provenance(), [], {}
    for pair in a.pairs:
        title, rows = measure(pair, a.rounds, a.compiled)
        over = {f'student, ONNX against teacher, {of}': times_faster(rows, of) for of in ('PyTorch', 'ONNX')}
        share = rows.mb['student, int8']/rows.mb['student, ONNX']
        kept[pair] = {'pair': title, 'forms': rows.round(4).to_dict('index'), 'times_faster': over, 'int8_share': share}
        tables = [rows.round(2).to_markdown(), pd.DataFrame(over).T.round(1).to_markdown()]
        parts.append('\n\n'.join([f'## {pair}', title, *tables, f'int8 file: {share:.0%} of fp32\n']))
    md = f"{device['device']}, {device['threads']} threads\n\n" + '\n'.join(parts)
    print(md)
    if a.out:
        write_atomic(a.out/'deploy.md', md)
        write_atomic(a.out/'deploy.json', json.dumps({'provenance': device, **kept}, indent=1)+'\n')

if __name__ == '__main__': main()
