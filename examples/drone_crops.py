"""Private-looking data, a teacher of them, and what students get from it by the command `dfkd` as it comes. From
detection data in COCO format:

    python examples/drone_crops.py cut DRONES crops
    python examples/drone_crops.py teach crops teacher
    python examples/drone_crops.py study crops teacher out

The first cuts squares around the boxes: crops/train/CLASS/*.png and crops/test/CLASS/*.png. The second trains a small
vision transformer of Hugging Face from scratch. The third is `dfkd bundle`, then `dfkd distill` for each source and
seed, and students of the real images beside them; it prints the commands.

DRONES holds train, val and test, each a folder of frames with a .json beside it; no video lies in two of them, so none
lies both in train and in test here.
"""
import argparse, json, subprocess
from pathlib import Path

SIZE    = 64        # pixels of a crop …
CONTEXT = 1.1       # … its side, in sides of the box …
LEAST   = 12        # … and the pixels of the frame that it shows at least
STUDENT = 'vit_rgb_student'
# what the command did before it planned by the minute
EPOCHS  = 100       # of the generator
TAUGHT  = ['--images', 10_000, '--epochs', 20]
ROUNDS  = ['--rounds', 150]

def cut(source, out):
    from PIL import Image
    for split in ('train', 'val', 'test'):
        d = json.loads((source/f'{split}.json').read_text())
        frames = {im['id']: im['file_name'] for im in d['images']}
        names = {c['id']: c['name'] for c in d['categories']}
        for a in d['annotations']:
            x, y, w, h = a['bbox']
            half = max(CONTEXT*max(w, h), LEAST)/2
            with Image.open(source/split/frames[a['image_id']]) as im:
                box = [round(v) for v in (x+w/2-half, y+h/2-half, x+w/2+half, y+h/2+half)]
                crop = im.convert('RGB').crop(box).resize((SIZE, SIZE), Image.Resampling.BICUBIC)
            folder = out/('test' if split == 'test' else 'train')/names[a['category_id']]
            folder.mkdir(parents=True, exist_ok=True)
            crop.save(folder/f"{split}{a['id']:05}.png")
    for split in ('train', 'test'):
        print(split, {f.name: len(list(f.iterdir())) for f in sorted((out/split).iterdir())})

def teach(data, out, epochs, seed):
    import torch
    from torch.nn.functional import cross_entropy
    from torch.utils.data import DataLoader
    from torchvision import datasets
    from torchvision.transforms import v2
    from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor
    torch.manual_seed(seed)
    as_tensor = [v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize([.5]*3, [.5]*3)]
    altered = [v2.RandomResizedCrop(SIZE, (.6, 1), (.8, 1.25)), v2.RandomHorizontalFlip(), v2.ColorJitter(.3, .3)]
    train = datasets.ImageFolder(data/'train', v2.Compose([*altered, *as_tensor]))
    test = datasets.ImageFolder(data/'test', v2.Compose(as_tensor))
    config = ViTConfig(image_size=SIZE, patch_size=8, hidden_size=128, num_hidden_layers=4, num_attention_heads=4,
                       intermediate_size=512, num_labels=len(train.classes))
    model = ViTForImageClassification(config)
    batches = DataLoader(train, batch_size=32, shuffle=True, drop_last=True)
    opt = torch.optim.AdamW(model.parameters(), weight_decay=.05)
    rate = torch.optim.lr_scheduler.OneCycleLR(opt, 1e-3, epochs=epochs, steps_per_epoch=len(batches))
    for epoch in range(epochs):
        model.train()
        for x, y in batches:
            loss = cross_entropy(model(x).logits, y, label_smoothing=.1)
            opt.zero_grad()
            loss.backward()
            opt.step()
            rate.step()
        model.eval()
        with torch.no_grad():
            right = sum((model(x).logits.argmax(1) == y).sum().item() for x, y in DataLoader(test, batch_size=128))
        said = f'loss {loss.item():.3f}, {right/len(test):.1%} of {len(test)} test images'
        print(f'epoch {epoch+1}: {said}', flush=True)
    model.save_pretrained(out)
    # says how it normalises
    ViTImageProcessor(size={'height': SIZE, 'width': SIZE}).save_pretrained(out)

def dfkd(*args, out):
    "Runs the command, unless a study that was killed has done so already."
    if (out/'card.yaml').exists() or (out/'result.json').exists(): return
    print('dfkd', *args, '--out', out, flush=True)
    subprocess.run(['dfkd', *map(str, args), '--out', str(out)], check=True)

def show(real, made, path):
    "Three test images of each class, and below them three generated ones."
    import torch
    from dfkd_nb.data import plot_images
    pick = []
    for x, y in (real.read('test'), made):
        for k, name in enumerate(real.classes):
            pick += [(x[i], name) for i in (y == k).nonzero()[::len(y)//20, 0][:3]]
    fig = plot_images(torch.stack([x for x, _ in pick]), [name for _, name in pick], cols=len(pick)//2, scale=.75,
                      title='above: test images; below: generated')
    fig.savefig(path, dpi=100, bbox_inches='tight')

def study(data, teacher, out, seeds):
    from dfkd_nb.bundle import Bundle, compress, load_student, make_source
    from dfkd_nb.data import RealSource, get_data
    from dfkd_nb.results import record
    home, sized = out/'drones.bundle', ['--data', data, '--size', SIZE]
    dfkd('bundle', '--teacher', f'hf:{teacher}', *sized, '--epochs', EPOCHS, '--licence', 'CC0-1.0', out=home)
    real, bundle = get_data(data, size=SIZE), Bundle(home)
    show(real, make_source(bundle).sample(200), out/'pictures.png')
    for seed in range(seeds):
        for source in ('gan', 'noise', 'drawn', 'teacher'):
            student = out/f'{source}{seed}'
            dfkd('distill', home, '--student', STUDENT, '--source', source, '--seed', seed, *sized,
                 *(ROUNDS if source == 'teacher' else TAUGHT), out=student)
            record(load_student(student), out)
        # what the owner could do: the teacher's answers on the real images, for as many steps
        epochs = round(20*10_000/real.sizes['train'])
        record(compress(bundle, STUDENT, RealSource(real), real, out/'runs', epochs=epochs, lr=1e-3, seed=seed), out)

if __name__ == '__main__':
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('what', choices=['cut', 'teach', 'study'])
    p.add_argument('folders', type=Path, nargs='+', help='what it reads, and last what it writes')
    p.add_argument('--epochs', type=int, default=30)
    p.add_argument('--seed', type=int, default=0)
    p.add_argument('--seeds', type=int, default=1)
    a = p.parse_args()
    n = 3 if a.what == 'study' else 2
    if len(a.folders) != n: p.error(f'{a.what} takes {n} folders')
    missing = [str(f) for f in a.folders[:-1] if not f.is_dir()]
    if missing: p.error(f"there is no folder {', '.join(missing)}")
    if a.what == 'cut': cut(*a.folders)
    elif a.what == 'teach': teach(*a.folders, a.epochs, a.seed)
    else: study(*a.folders, a.seeds)
