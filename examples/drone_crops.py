"""Private-looking data and a teacher to try the command `dfkd` with, from detection data in COCO format:

    python examples/drone_crops.py cut DRONES crops        # squares around the boxes: crops/train/CLASS/*.png and crops/test/CLASS/*.png
    python examples/drone_crops.py teach crops teacher     # a small vision transformer of Hugging Face, from scratch: teacher/model.safetensors

DRONES holds train, val and test, each a folder of frames with a .json beside it; no video lies in two of them, so none does in two splits here.
"""
import argparse, json, random
from pathlib import Path

SIZE, CONTEXT, LEAST = 64, 1.1, 12      # pixels of a crop; its side, in sides of the box; pixels of the frame it shows at least

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
    from transformers import ViTConfig, ViTForImageClassification
    random.seed(seed); torch.manual_seed(seed)
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

if __name__ == '__main__':
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('what', choices=['cut', 'teach']); p.add_argument('source', type=Path); p.add_argument('out', type=Path)
    p.add_argument('--epochs', type=int, default=30); p.add_argument('--seed', type=int, default=0)
    a = p.parse_args()
    cut(a.source, a.out) if a.what == 'cut' else teach(a.source, a.out, a.epochs, a.seed)
