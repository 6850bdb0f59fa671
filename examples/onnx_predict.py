"""What is in the picture? Runs a student exported by `dfkd export` with onnxruntime and Pillow alone.

    python examples/onnx_predict.py MODEL.onnx IMAGE [IMAGE …]

Small networks are often fastest with one thread: how many are best is measured on this machine when there are many
images.
"""
import json, os, sys, time
import numpy as np
import onnxruntime as ort
from PIL import Image

def prepare(path, card):
    """A picture as the model wants it: (1, C, H, W), float32 in 0…1, normalised here where the model does not do it
    itself."""
    C, H, W = card['shape']
    im = Image.open(path).convert('L' if C == 1 else 'RGB')
    if 'made_with' in card:             # the size that the model learned from, first
        _, h, w = card['made_with']
        im = im.resize((w, h), Image.BILINEAR)
    im = im.resize((W, H), Image.BILINEAR)
    x = np.asarray(im, np.float32).reshape(H, W, C).transpose(2, 0, 1)/255
    if not card['normalised_inside']:
        mean, std = (np.array(card[k])[:, None, None] for k in ('mean', 'std'))
        x = (x - mean)/std
    return x[None].astype(np.float32)

def softmax(z):
    e = np.exp(z - z.max(-1, keepdims=True))
    return e/e.sum(-1, keepdims=True)

def boxes_of(logits, boxes, card, min_score=.5):
    "What a detector found, best first: (score, class, corners in 0…1)."
    p = 1/(1 + np.exp(-logits)) if card['scores'] == 'sigmoid' else softmax(logits)[:, :-1]
    found = sorted(((p[q, k], k, boxes[q]) for q, k in np.argwhere(p >= min(min_score, p.max()))), key=lambda f: -f[0])
    return [(s, k, (cx-w/2, cy-h/2, cx+w/2, cy+h/2)) for s, k, (cx, cy, w, h) in found]

def load(path, threads):
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    return ort.InferenceSession(path, options, providers=['CPUExecutionProvider'])

def fastest(path, x, rounds=20):
    "The model with as many threads as take the min_score time for an input on this machine."
    counts = [n for n in (1, 2, 4, 8, 16) if n <= (os.cpu_count() or 1)]
    models, times = {n: load(path, n) for n in counts}, {n: [] for n in counts}
    for _ in range(rounds):
        for n, model in models.items():
            start = time.perf_counter()
            model.run(None, {model.get_inputs()[0].name: x})
            times[n].append(time.perf_counter()-start)
    return models[min(counts, key=lambda n: np.median(times[n]))]

def main(args):
    if len(args) < 2: sys.exit(__doc__)
    model = load(args[0], 1)
    card = json.loads(model.get_modelmeta().custom_metadata_map.get('dfkd_nb', 'null'))
    if not card: sys.exit(f'{args[0]} was not exported by dfkd_nb')
    if len(args) > 100: model = fastest(args[0], prepare(args[1], card))        # else measuring takes longer
    name = lambda k: card['classes'][k] if card['classes'] else k
    for path in args[1:]:
        out = [o[0] for o in model.run(None, {model.get_inputs()[0].name: prepare(path, card)})]
        if card['task'] == 'detection':
            for s, k, box in boxes_of(*out, card):
                print(f"{path}: {name(k)} ({s:.1%}) at {', '.join(f'{v:.2f}' for v in box)}")
        else:
            p = softmax(out[0])
            print(f'{path}: {name(int(p.argmax()))} ({p.max():.1%})')

if __name__ == '__main__': main(sys.argv[1:])
