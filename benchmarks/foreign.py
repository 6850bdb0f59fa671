"""Teachers as they come from elsewhere, each from a bundle to an ONNX file by the command `dfkd` as it comes: a DeiT
and a ViT of timm, a ViT and a DeiT of Hugging Face, torchvision's ViT-B, on folders of 3 to 20 classes at 32 to 224
pixels. Their owner trains them from scratch first, for minutes; that is not counted.

    python benchmarks/foreign.py --work DIR [--cases timm-deit hf-vit …] [--minutes 4 5] [--out benchmarks/results]

Data lie where DFKD_DATA says. What is finished stays in `--work`, and the same call goes on.
"""
import argparse, importlib.util, json, subprocess, sys, time
from pathlib import Path
import pandas as pd, timm, torch, torch.nn.functional as F, torchvision
from PIL import Image
from safetensors.torch import save_file
from dfkd_nb.data import AUGMENT, data_root, get_data, to_unit
from dfkd_nb.runs import provenance, seed_all, write_atomic
from dfkd_nb.training import autocast, pick_dtype

ROOT = Path(__file__).parents[1]
STUDENT = 'vit_rgb_student'
HALF = ['--mean', '.5', '.5', '.5', '--std', '.5', '.5', '.5']

# --- the teachers

def timm_net(name, K, size): return timm.create_model(name, num_classes=K, img_size=size)

def torchvision_net(name, K, size):
    how = dict(patch_size=16, num_layers=12, num_heads=12, hidden_dim=768, mlp_dim=3072)         # of vit_b_16
    return torchvision.models.VisionTransformer(image_size=size, num_classes=K, **how)

def hf_net(name, K, size):
    import transformers
    config, net = {'hf-vit': (transformers.ViTConfig, transformers.ViTForImageClassification),
                   'hf-deit': (transformers.DeiTConfig, transformers.DeiTForImageClassification)}[name]
    return net(config(hidden_size=192, num_hidden_layers=6, num_attention_heads=3, intermediate_size=768,
                      image_size=size, patch_size=size//8, num_labels=K))

CASES = { # name: (what makes the network, its name, pixels, data set, classes, images a class, epochs)
    'timm-deit':   (timm_net, 'deit_tiny_patch16_224', 224, 'drones', None, 300, 12),
    'hf-vit':      (hf_net, 'hf-vit', 64, 'cifar10', ('airplane', 'frog', 'truck'), 2000, 15),
    'hf-deit':     (hf_net, 'hf-deit', 32, 'mnist', 5, 1000, 8),
    'torchvision': (torchvision_net, 'torchvision:vit_b_16', 64, 'cifar10', ('bird', 'cat', 'horse', 'ship'), 1000, 5),
    'timm-vit':    (timm_net, 'vit_tiny_patch16_224', 96, 'cifar100', 20, 400, 10),
}

# --- their folders

def crops(folder, size, each):
    "Crops of drone footage, as `examples/drone_crops.py` cuts them, larger."
    spec = importlib.util.spec_from_file_location('drone_crops', ROOT/'examples'/'drone_crops.py')
    spec.loader.exec_module(m := importlib.util.module_from_spec(spec))
    m.SIZE = size
    m.cut(data_root()/'drones', folder)
    for kind in (folder/'train').iterdir():
        for f in sorted(kind.iterdir())[each:]: f.unlink()

def pictures(folder, dataset, classes, size, each):
    "Images of some classes as files."
    data = get_data(dataset, size=size)
    names = list(map(str, data.classes))
    names = names[:classes] if isinstance(classes, int) else list(classes)
    for split, most in (('train', each), ('test', each//4)):
        x, y = data.read(split)
        for name in names:
            (folder/split/name).mkdir(parents=True)
            for i, k in enumerate((y == list(map(str, data.classes)).index(name)).nonzero()[:most, 0].tolist()):
                Image.fromarray(x[k].permute(1, 2, 0).squeeze(-1).numpy()).save(folder/split/name/f'{i:04}.png')

# --- their training

def trained(net, folder, size, epochs, bs=32):
    "Train a network from scratch, plainly, as its owner would; its accuracy on the test images."
    data = get_data(folder, size=size, channels=3)
    x, y = data.read('train')
    opt = torch.optim.AdamW(net.parameters(), 5e-4, weight_decay=.05)
    steps = epochs*(len(x)//bs)
    rate = torch.optim.lr_scheduler.OneCycleLR(opt, 5e-4, total_steps=steps)
    dtype = pick_dtype(384), torch.device('cpu')
    def answer(x):
        with autocast(*dtype): out = net((x-.5)/.5)
        return getattr(out, 'logits', out).float()
    for epoch in range(epochs):
        net.train()
        for i in torch.randperm(len(x)).split(bs)[:len(x)//bs]:
            loss = F.cross_entropy(answer(AUGMENT['crop_flip' if size > 32 else 'affine'](to_unit(x[i]))), y[i],
                                   label_smoothing=.1)
            opt.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), 1.)
            opt.step()
            rate.step()
        print(f'  epoch {epoch+1} of {epochs}: loss {loss:.2f}', flush=True)
    net.eval()
    x, y = data.read('test')
    with torch.inference_mode(): right = torch.cat([answer(to_unit(b)).argmax(1) for b in x.split(64)]) == y
    return right.float().mean().item()

def teacher(case, home):
    "Folder and teacher of a case, made once; the command's options that name them."
    make, name, size, dataset, classes, each, epochs = CASES[case]
    folder, weights = home/'images', home/('hf' if make is hf_net else 'weights.safetensors')
    if not folder.exists():
        part = home/'images.part'
        if dataset == 'drones': crops(part, size, each)
        else: pictures(part, dataset, classes, size, each)
        part.rename(folder)
    if not weights.exists():
        seed_all('foreign', case)
        K = sum(1 for _ in (folder/'train').iterdir())
        net = make(name, K, size)
        print(f'{case}: {K} classes, accuracy {trained(net, folder, size, epochs):.1%}', flush=True)
        if make is hf_net:
            net.config.id2label = dict(enumerate(sorted(p.name for p in (folder/'train').iterdir())))
            net.save_pretrained(home/'part')
            (home/'part').rename(weights)
        else: save_file({k: v.contiguous() for k, v in net.state_dict().items()}, weights)
    if make is hf_net: return ['--teacher', f'hf:{weights}', *HALF]
    return ['--teacher', name, '--weights', weights, *HALF]

# --- from bundle to ONNX

def dfkd(*args):
    "What a command says, as an object, and its minutes."
    start = time.perf_counter()
    command = [Path(sys.executable).parent/'dfkd', *map(str, args), '--json']
    done = subprocess.run(command, capture_output=True, text=True)
    minutes = (time.perf_counter()-start)/60
    try: said = json.loads(done.stdout)
    except ValueError: said = {'error': done.stderr[-500:]}
    print(f"  dfkd {args[0]}: {minutes:.1f} minutes, {said.get('error', 'done')}", flush=True)
    return said, minutes

def must(*args):
    "The same of a command that has to end well: a case that failed is no result, and is tried again by the next call"
    said, minutes = dfkd(*args)
    if 'error' in said: sys.exit(f"dfkd {args[0]}: {said['error']}")
    return said, minutes

def chain(case, home, minutes):
    "The four commands; what came out."
    options, images = teacher(case, home), home/'images'
    bundle, student, file = home/'bundle', home/'student', home/'student.onnx'
    made, a = dfkd('bundle', *options, '--data', images, '--out', bundle, '--minutes', minutes[0])
    generator = 'passed'
    if 'error' in made:             # with its work kept, in a bundle of the teacher alone
        generator = made['error']
        made, more = must('bundle', *options, '--classes', ','.join(sorted(p.name for p in (images/'train').iterdir())),
                          '--out', bundle)
        a += more
    taught = ['--student', STUDENT, '--minutes', minutes[1], '--data', images, '--out', student]
    learnt, b = must('distill', bundle, *taught)
    right, c = must('evaluate', student, '--data', images)
    exported, d = must('export', student, '--out', file)
    return {'bundle': made, 'generator': generator, 'distill': learnt, 'evaluate': right, 'export': exported,
            'minutes': {'bundle': a, 'distill': b, 'all': a+b+c+d}, 'commit': provenance()['commit']}

def row(case, r):
    "What came out, on a line of the table."
    make, name, size, dataset, *_ = CASES[case]
    card, said = r['bundle'], r['distill']
    right = card['teacher'].get('accuracy', said.get('teacher_accuracy'))   # a bundle without data has not measured it
    return {'teacher': f"{name}, {card['teacher']['parameters']/1e6:.1f} M", 'pixels': size,
            'images': f"{dataset}, {len(card['classes'])} classes", 'teacher (%)': 100*right,
            'generator': 'passed' if r['generator'] == 'passed' else 'failed', 'source chosen': said.get('source', ''),
            'student (%)': 100*r['evaluate']['accuracy'], 'ONNX (MB)': r['export']['bytes']/1e6,
            'minutes': r['minutes']['all']}

def main(args=None):
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--work', type=Path, required=True)
    p.add_argument('--cases', nargs='+', default=list(CASES), choices=CASES)
    p.add_argument('--minutes', type=float, nargs=2, default=(4, 5), help='of bundle and distill')
    p.add_argument('--out', type=Path, help='folder for foreign.md and foreign.json')
    a = p.parse_args(args)
    found = {}
    for case in a.cases:
        home = a.work.absolute()/case
        if not (home/'found.json').exists():
            home.mkdir(parents=True, exist_ok=True)
            print(case, flush=True)
            write_atomic(home/'found.json', json.dumps(chain(case, home, a.minutes), indent=1))
        found[case] = json.loads((home/'found.json').read_text())
    device, rows = provenance(), [row(c, r) for c, r in found.items()]
    md = f"{device['device']}, {device['threads']} threads\n\n"
    md += pd.DataFrame(rows).round(1).to_markdown(index=False) + '\n'
    print(md)
    if a.out:
        write_atomic(a.out/'foreign.md', md)
        cases = [{**said, 'commit': r['commit']} for said, r in zip(rows, found.values())]    # not all in one go
        kept = {'provenance': device, 'minutes': a.minutes, 'cases': cases}
        write_atomic(a.out/'foreign.json', json.dumps(kept, indent=1)+'\n')

if __name__ == '__main__': main()
