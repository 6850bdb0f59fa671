"""`make outputs`: copies the outputs of executed notebooks back into nbs/, where they read well on the web. Source
cells stay as they are."""
import argparse, json, subprocess, sys
from base64 import b64decode, b64encode
from pathlib import Path
sys.path.insert(0, str(Path(__file__).parent))
from cells import NBS, ROOT, read, runs, source, text, write
from dfkd_nb.results import light_png

def shown(out):
    "Whether a reader wants this output: no progress bars, no stderr."
    if out['output_type'] == 'stream': return out['name'] != 'stderr'
    data = out.get('data', {})
    return 'application/vnd.jupyter.widget-view+json' not in data and '<progress' not in text(data.get('text/html', ''))

def homeless(out):
    "The output without this machine's paths."
    return json.loads(json.dumps(out).replace(f'{ROOT}/', '').replace(str(ROOT), '.'))

def light(out):
    "The output with its picture as `save_figure` saves it, in a third of the bytes."
    data = out.get('data', {})
    if 'image/png' not in data: return out
    png = b64encode(light_png(b64decode(text(data['image/png'])))).decode()
    return {**out, 'data': {**data, 'image/png': png}}

def carry(nb, executed):
    """Gives `nb` the outputs of its executed copy, matched by cell id; returns the ids of cells that were edited since,
    whose outputs stay."""
    ran = {c['id']: c for c in executed['cells'] if c['cell_type'] == 'code'}
    edited = []
    for c in nb['cells']:
        if not runs(c): continue
        r = ran.get(c['id'])
        if r is None or source(r) != source(c): edited.append(c['id'])
        else: c['outputs'] = [light(homeless(o)) for o in r['outputs'] if shown(o)]
    return edited

def main(args=None):
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument('folder', nargs='?', default=ROOT/'build/smoke/notebooks', type=Path)
    p.add_argument('--nbs', default=NBS, type=Path)
    a = p.parse_args(args)
    done = []
    for path in sorted(a.nbs.glob('*.ipynb')):
        ran = a.folder/path.name
        if not ran.exists(): continue
        nb = read(path)
        if edited := carry(nb, read(ran)):
            print(f"{path.name}: edited since it was run, outputs left as they were: cells {', '.join(edited)}")
        write(nb, path)
        subprocess.run([Path(sys.executable).parent/'nbdev-clean', '--fname', path], cwd=ROOT, check=True)
        done.append(path.name)
    if not done:
        print(f'no executed notebooks in {a.folder}: run `make paper`')
        return 1
    print(f"outputs copied into: {', '.join(done)}")
    return 0

if __name__ == '__main__': sys.exit(main())
