"""What is in the picture? Runs a student exported by `dfkd export` with onnxruntime and Pillow alone.

    python examples/onnx_predict.py MODEL.onnx IMAGE [IMAGE …]
"""
import json, sys
import numpy as np
import onnxruntime as ort
from PIL import Image

def prepare(path, card):
    "A picture as the model wants it: (1, C, H, W), float32 in 0…1, normalised here where the model does not do it itself."
    im = Image.open(path).convert('L' if card['channels'] == 1 else 'RGB').resize((card['size'], card['size']), Image.BILINEAR)
    x = np.asarray(im, np.float32).reshape(card['size'], card['size'], -1).transpose(2, 0, 1)/255
    if not card['normalised_inside']: x = (x - np.array(card['mean'])[:, None, None])/np.array(card['std'])[:, None, None]
    return x[None].astype(np.float32)

def main(args):
    if len(args) < 2: sys.exit(__doc__)
    model = ort.InferenceSession(args[0], providers=['CPUExecutionProvider'])
    card = json.loads(model.get_modelmeta().custom_metadata_map.get('dfkd_nb', 'null')) or sys.exit(f'{args[0]} was not exported by dfkd_nb')
    for path in args[1:]:
        logits = model.run(None, {model.get_inputs()[0].name: prepare(path, card)})[0][0]
        p = np.exp(logits - logits.max()); p /= p.sum()
        k = int(p.argmax())
        print(f"{path}: {card['classes'][k] if card['classes'] else k} ({p[k]:.1%})")

if __name__ == '__main__': main(sys.argv[1:])
