"""FID against pytorch-fid's command line: the same two folders of images, the same weights, each in a process of its
own; ratios of wall time and peak memory in one run.

    python benchmarks/fid.py [--n 1000] [--dims 2048] [--weights FILE] [--out benchmarks/results]
"""
import argparse, json, os, subprocess, sys, tempfile, time
from pathlib import Path
import numpy as np
import pandas as pd
from PIL import Image
from dfkd_nb.data import get_data, random_affine, to_bytes, to_unit
from dfkd_nb.fid import random_inception, reference_command
from dfkd_nb.runs import provenance, seed_all, write_atomic

OURS = """
import sys
from dfkd_nb.fid import *
a, b, dims, weights = sys.argv[1:]
print('FID: ', distance(a, b, inception_extractor(weights, int(dims)))['fid'])"""

def folder(path, x):
    "Write images (n,C,H,W) uint8 as PNG files."
    path.mkdir()
    for i, im in enumerate(x): Image.fromarray(im.permute(1, 2, 0).numpy()).save(path/f'{i:05}.png')
    return str(path)

def run(cmd, env):
    "(FID, seconds, peak MB) of a process of its own."
    start = time.time()
    with tempfile.TemporaryFile('w+') as err:
        p = subprocess.Popen(cmd, env=env, stdout=subprocess.PIPE, stderr=err, text=True)
        out = p.stdout.read()
        _, status, usage = os.wait4(p.pid, 0)
        took = time.time()-start
        err.seek(0)
        if status: sys.exit(f'failed: {err.read()[-2000:]}')
    mb = usage.ru_maxrss/(1024 if sys.platform == 'linux' else 1024**2)
    return float(out.split('FID:')[1]), took, mb

def main(args=None):
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--n', type=int, default=1000, help='images in each folder')
    p.add_argument('--dims', type=int, default=2048, help='features: 64, 192, 768 or 2048')
    p.add_argument('--weights', help="Inception's weights as safetensors; default: seeded random ones")
    p.add_argument('--out', help='folder for fid-*.md and fid-*.json')
    a = p.parse_args(args)
    seed_all('benchmark')
    x = get_data('digits_rgb').read('train')[0]
    draw = lambda: to_bytes(random_affine(to_unit(x[np.random.choice(len(x), a.n)])))
    with tempfile.TemporaryDirectory() as tmp:
        tmp = Path(tmp)
        dirs = [folder(tmp/n, draw()) for n in 'ab']
        weights = a.weights or str(random_inception(tmp/'inception.safetensors'))
        env = os.environ | {'DFKD_RUNS': str(tmp/'runs')}
        rows = []
        ours = [sys.executable, '-W', 'ignore', '-c', OURS, *dirs, str(a.dims), weights]
        ways = {'pytorch-fid': reference_command(*dirs, weights, a.dims), 'dfkd_nb': ours,
                'dfkd_nb, statistics of the real set cached': ours}
        for name, cmd in ways.items():
            print(f'{name} …', file=sys.stderr, flush=True)
            rows.append(dict(zip(('FID', 'seconds', 'peak MB'), run(cmd, env)), what=name))
    t, first = pd.DataFrame(rows).set_index('what'), rows[0]
    t['times as fast'] = first['seconds']/t.seconds
    t['share of the memory'] = t['peak MB']/first['peak MB']
    t['relative difference'] = (t.FID/first['FID']-1).abs()
    where = provenance()
    head = (f"{a.n:,} + {a.n:,} images of 32×32, {a.dims} features, {'the given' if a.weights else 'seeded random'} "
            f"weights, {where['threads']} threads, {where['device']}")
    md = f"{head}\n\n{t.to_markdown(floatfmt=('', '.6g', '.1f', '.0f', '.2f', '.2f', '.1e'))}\n"
    print(md)
    if a.out:
        name = Path(a.out)/f"fid-{'cpu' if 'CPU' in where['device'] else 'gpu'}-{a.n}"
        write_atomic(f'{name}.md', md)
        write_atomic(f'{name}.json', json.dumps({'n': a.n, 'dims': a.dims, 'rows': rows, **where}, indent=1))
    return t

if __name__ == '__main__': main()
