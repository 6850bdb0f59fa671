"""Private-looking data, a teacher of them, and what students get from it by the command `dfkd` as it comes. From detection data in COCO format:

    python examples/drone_crops.py cut DRONES crops        # squares around the boxes: crops/train/CLASS/*.png and crops/test/CLASS/*.png
    python examples/drone_crops.py teach crops teacher     # a small vision transformer of Hugging Face, from scratch
    python examples/drone_crops.py study crops teacher out # `dfkd bundle`, then `dfkd distill` for each source and seed, and students of the real images beside them; prints the commands

DRONES holds train, val and test, each a folder of frames with a .json beside it; no video lies in two of them, so none lies both in train and in test here.
"""
import argparse, json, subprocess
from pathlib import Path

SIZE, CONTEXT, LEAST, STUDENT = 64, 1.1, 12, 'vit_rgb_student'      # pixels of a crop; its side, in sides of the box; pixels of the frame it shows at least

def cut(source, out):
    from PIL import Image
    for split in ('train', 'val', 'test'):
        d = json.loads((source/f'{split}.json').read_text())
        frames, names = {im['id']: im['file_name'] for im in d['images']}, {c['id']: c['name'] for c in d['categories']}
        for a in d['annotations']:
            x, y, w, h = a['bbox']
            half = max(CONTEXT*max(w, h), LEAST)/2
            with Image.open(source/split/frames[a['image_id']]) as im:
                box = [round(v) for v in (x+w/2-half, y+h/2-half, x+w/2+half, y+h/2+half)]
                crop = im.convert('RGB').crop(box).resize((SIZE, SIZE), Image.Resampling.BICUBIC)
            folder = out/('test' if split == 'test' else 'train')/names[a['category_id']]
            folder.mkdir(parents=True, exist_ok=True)
            crop.save(folder/f"{split}{a['id']:05}.png")
    for split in ('train', 'test'): print(split, {f.name: len(list(f.iterdir())) for f in sorted((out/split).iterdir())})

def teach(data, out, epochs, seed):
    import torch
    from torchvision import datasets
    from torchvision.transforms import v2
    from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor
    torch.manual_seed(seed)
    as_tensor = [v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize([.5]*3, [.5]*3)]
    train = datasets.ImageFolder(data/'train', v2.Compose([v2.RandomResizedCrop(SIZE, (.6, 1), (.8, 1.25)), v2.RandomHorizontalFlip(), v2.ColorJitter(.3, .3), *as_tensor]))
    test = datasets.ImageFolder(data/'test', v2.Compose(as_tensor))
    model = ViTForImageClassification(ViTConfig(image_size=SIZE, patch_size=8, hidden_size=128, num_hidden_layers=4, num_attention_heads=4, intermediate_size=512, num_labels=len(train.classes)))
    batches = torch.utils.data.DataLoader(train, batch_size=32, shuffle=True, drop_last=True)
    opt = torch.optim.AdamW(model.parameters(), weight_decay=.05)
    rate = torch.optim.lr_scheduler.OneCycleLR(opt, 1e-3, epochs=epochs, steps_per_epoch=len(batches))
    for epoch in range(epochs):
        model.train()
        for x, y in batches:
            loss = torch.nn.functional.cross_entropy(model(x).logits, y, label_smoothing=.1)
            opt.zero_grad(); loss.backward(); opt.step(); rate.step()
        model.eval()
        with torch.no_grad(): right = sum((model(x).logits.argmax(1) == y).sum().item() for x, y in torch.utils.data.DataLoader(test, batch_size=128))
        print(f'epoch {epoch+1}: loss {loss.item():.3f}, {right/len(test):.1%} of {len(test)} test images', flush=True)
    model.save_pretrained(out)
    ViTImageProcessor(size={'height': SIZE, 'width': SIZE}).save_pretrained(out)    # says how it normalises

def study(data, teacher, out, seeds):
    import torch
    from dfkd_nb.bundle import Bundle, compress, load_student, make_source
    from dfkd_nb.data import RealSource, get_data, plot_images
    from dfkd_nb.runs import record
    def dfkd(*args, out):
        if not (out/'card.yaml').exists() and not (out/'result.json').exists():     # a killed study goes on
            print('dfkd', *args, '--out', out, flush=True)
            subprocess.run(['dfkd', *map(str, args), '--out', str(out)], check=True)
    dfkd('bundle', '--teacher', f'hf:{teacher}', '--data', data, '--size', SIZE, '--licence', 'CC0-1.0', out=out/'drones.bundle')
    real, bundle = get_data(data, size=SIZE), Bundle(out/'drones.bundle')
    sheets = [real.read('test'), make_source(bundle).sample(200)]
    pick = [(x[i], real.classes[k]) for x, y in sheets for k in range(len(real.classes)) for i in (y == k).nonzero()[::len(y)//20, 0][:3]]
    plot_images(torch.stack([x for x, _ in pick]), [name for _, name in pick], cols=len(pick)//2, scale=.75, title='above: test images; below: generated').savefig(out/'pictures.png', dpi=100, bbox_inches='tight')
    for seed in range(seeds):
        for source in ('gan', 'noise', 'drawn', 'teacher'):
            dfkd('distill', out/'drones.bundle', '--student', STUDENT, '--source', source, '--seed', seed, '--data', data, '--size', SIZE, out=out/f'{source}{seed}')
            record(load_student(out/f'{source}{seed}'), out)
        # what the owner could do: the teacher's answers on the real images, for as many steps
        record(compress(bundle, STUDENT, RealSource(real), real, out/'runs', epochs=round(20*10_000/real.sizes['train']), lr=1e-3, seed=seed), out)

if __name__ == '__main__':
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('what', choices=['cut', 'teach', 'study']); p.add_argument('folders', type=Path, nargs='+', help='what it reads, and last what it writes')
    p.add_argument('--epochs', type=int, default=30); p.add_argument('--seed', type=int, default=0); p.add_argument('--seeds', type=int, default=1)
    a = p.parse_args()
    if len(a.folders) != (n := 3 if a.what == 'study' else 2): p.error(f'{a.what} takes {n} folders')
    if missing := [str(f) for f in a.folders[:-1] if not f.is_dir()]: p.error(f"there is no folder {', '.join(missing)}")
    {'cut': cut, 'teach': lambda *f: teach(*f, a.epochs, a.seed), 'study': lambda *f: study(*f, a.seeds)}[a.what](*a.folders)
