"""Arrays: types, layouts and sizes that could mean something else

Images and labels of an `.npz`, of `ImageData`, and of the FID are read by the same functions.
"""
import os, pickle, struct, warnings, zipfile
import numpy as np, pytest, torch
from hypothesis import given, settings, strategies as st
from hypothesis.extra import numpy as hnp
from safetensors.torch import load_file, save_file
from dfkd_nb.data import (ImageData, NoiseSource, RealSource, _split, as_images, as_labels, as_names, check_classes,
                          get_data)
from dfkd_nb.fid import (Extractor, distance, frechet_distance, image_batches, inception_extractor, kid,
                         random_inception, recall, statistics)
from dfkd_nb.inversion import WildSource

X = np.random.default_rng(0).integers(0, 256, (30, 8, 8), dtype=np.uint8)
X[0,0,:2] = 0, 255
Y = np.arange(30) % 3
PIXELS = Extractor(lambda x: x.flatten(1)[:,:5], 'pixels')

IMAGES = {
    'int64 in 0…255': X.astype(np.int64),
    'uint16 in 0…255': X.astype(np.uint16),
    'big-endian int32': X.astype('>i4'),
    'uint64': X.astype(np.uint64),
    'float64 in 0…1': X/255,
    'float32 in 0…1': (X/255).astype(np.float32),
    'float64 in 0…255': X.astype(float),
    'big-endian floats': (X/255).astype('>f8'),
    'float16 in 0…255': X.astype(np.float16),
    'long doubles': X.astype(np.longdouble),
    'Fortran order': np.asfortranarray(X),
    'reversed twice': X[::-1][::-1],
    'read-only': np.frombuffer(X.tobytes(), np.uint8).reshape(X.shape),
    '(n,1,H,W)': X[:,None],
    '(n,H,W,1)': X[...,None],
}

@pytest.mark.parametrize('what', IMAGES)
def test_images(what, tmp_path, tried):
    x = IMAGES[what]
    assert torch.equal(as_images(x), torch.tensor(X)[:,None])
    assert torch.equal(ImageData('d', {'train': (x, Y)}, range(3)).read('train')[0], torch.tensor(X)[:,None])
    if x.dtype.itemsize <= 8:
        np.savez(tmp_path/'a.npz', x_train=x, y_train=Y, x_test=x, y_test=Y)
        assert torch.equal(get_data(tmp_path/'a.npz').read('test')[0], torch.tensor(X)[:,None])
    assert distance(x, X[:,None], PIXELS)['fid'] < 1e-9
    tried(what, 'the same images, FID 0')

@pytest.mark.parametrize(
    'dtype',
    [torch.int16, torch.int64, torch.uint8, torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.uint16])
def test_tensors(dtype, tried):
    if dtype == torch.bfloat16:
        assert (as_images(torch.tensor(X/255).to(dtype)).int()[:,0]-torch.tensor(X).int()).abs().max() <= 1
    else: assert torch.equal(as_images(torch.tensor(X.astype(np.int32)).to(dtype)), torch.tensor(X)[:,None])
    tried(f'a tensor of {dtype}', 'the same images')

def test_bools(tried):
    assert as_images(X > 100).unique().tolist() == [0, 255]
    assert as_images(torch.tensor(X) > 100).unique().tolist() == [0, 255]
    assert distance(X > 100, np.uint8(X > 100)*255, PIXELS)['fid'] == 0
    tried('images of False and True', '0 and 255')

RGB = np.random.default_rng(1).integers(0, 256, (6, 8, 10, 3), dtype=np.uint8)

def test_layouts(tried):
    assert np.array_equal(as_images(RGB), RGB.transpose(0, 3, 1, 2))
    assert np.array_equal(as_images(RGB.transpose(0, 3, 1, 2)), RGB.transpose(0, 3, 1, 2))
    tried('(n,H,W,3)', 'channels first')

BAD = {
    'floats in −1…1': (X/127.5-1, 'undo the normalisation'),
    'floats in 0…3.7': (X/255*3.7, 'undo the normalisation'),
    'floats up to 1000': (X*4., 'undo the normalisation'),
    'numbers up to 65535': (X.astype(int)*257, '0…255, got 0…65535'),
    'numbers below 0': (X.astype(int)-1, '0…255, got -1'),
    'numbers of 10^12': (X.astype(np.int64)*10**10, '0…255'),
    'NaN': (np.where(X > 250, np.nan, X/255), 'not numbers'),
    'infinity': (np.where(X > 250, np.inf, X/255), 'infinite'),
    'complex numbers': (X+0j, 'plain numbers'),
    'texts': (X.astype(str), 'plain numbers'),
    'Python objects': (X.astype(object), 'plain numbers'),
    'dates': (X.astype('M8[s]'), 'plain numbers'),
    'records': (np.zeros(4, 'u1,u1'), 'plain numbers'),
    'no images': (X[:0], 'empty'),
    'images without height': (X[:,:0], 'empty'),
    'a single number': (np.uint8(3), 'must be'),
    'one row': (X[0,0], r'\(n,C,H,W\)'),
    'five axes': (X[None,None], r'\(n,C,H,W\)'),
    'two channels': (np.zeros((5, 2, 8, 8)), '1 or 3 channels'),
    'four channels (RGBA)': (np.zeros((5, 8, 8, 4)), '1 or 3 channels'),
    'one picture (H,W,3)': (RGB[0], 'several things'),
    '(n,3,32,3)': (np.zeros((5, 3, 32, 3)), 'several things'),
    '(n,1,28,1)': (np.zeros((5, 1, 28, 1)), 'several things'),
    'lists of unequal length': ([[[1, 2]], [[1]]], 'one array'),
    'None': (None, 'plain numbers'),
    'a text': ('cat.png', 'plain numbers'),
}

@pytest.mark.parametrize('what', BAD)
def test_bad_images(what, tmp_path, tried):
    x, says = BAD[what]
    tried.refused(f'images: {what}', lambda: ImageData('d', {'train': (x, Y)}, range(3)), 'd/train: images.*'+says)
    if isinstance(x, np.ndarray) and x.dtype != object:
        np.savez(tmp_path/'a.npz', x_train=x, y_train=Y, x_test=x, y_test=Y)
        with pytest.raises(ValueError, match='a.npz: x_train.*'+says): get_data(tmp_path/'a.npz')
        with pytest.raises(ValueError): statistics(x, PIXELS)
        with pytest.raises(ValueError): WildSource(x, 3)

LABELS = {
    '(n,1)': Y[:,None],
    'one-hot': np.eye(3)[Y],
    'one-hot of bool': np.eye(3, dtype=bool)[Y],
    'whole floats': Y.astype(float),
    'big-endian': Y.astype('>i8'),
    'big-endian floats': Y.astype('>f4'),
    'uint64': Y.astype(np.uint64),
    'int8': Y.astype(np.int8),
    'a list': Y.tolist(),
    'a tensor of floats': torch.tensor(Y).float(),
    'a tensor (n,1)': torch.tensor(Y)[:,None],
    'bfloat16': torch.tensor(Y).bfloat16(),
}

@pytest.mark.parametrize('what', LABELS)
def test_labels(what, tmp_path, tried):
    y = LABELS[what]
    assert as_labels(y).tolist() == Y.tolist() and as_labels(y).dtype == torch.int64
    np.savez(tmp_path/'a.npz', x_train=X, y_train=np.asarray(y if what != 'bfloat16' else Y), x_test=X, y_test=Y)
    d = get_data(tmp_path/'a.npz')
    assert len(d.classes) == 3 and d.read('test')[1].tolist() == Y.tolist()
    tried(f'labels: {what}', 'the same labels')

def test_bool_labels(tried):
    assert as_labels(Y > 0).tolist() == (Y > 0).astype(int).tolist()
    tried('labels: False and True', '0 and 1')

BAD_LABELS = {
    'texts': (np.array(['cat', 'dog', 'cow'])[Y], 'number the classes'),
    'digits as texts': (Y.astype(str), 'number the classes'),
    'bytes': (Y.astype('S'), 'number the classes'),
    'objects': (Y.astype(object), 'number the classes'),
    'below 0': (Y-1, 'got -1'),
    '10^12': (np.where(Y, Y, 10**12), '10000000000'),
    '2^63 and more': (np.where(Y, Y, 2**63).astype(np.uint64), 'at most 100,000 classes'),
    '10^300': (np.where(Y, Y, 1e300), 'at most 100,000'),
    'halves': (Y/2, 'whole numbers'),
    'NaN': (np.where(Y, Y, np.nan), 'whole numbers'),
    'infinity': (np.where(Y, Y, np.inf), 'at most 100,000'),
    'probabilities': (np.full((30, 3), 1/3), 'whole number an image'),
    'two a row': (np.stack([Y, Y], 1), 'whole number an image'),
    '(1,n)': (Y[None], 'whole number an image'),
    'none': (Y[:0], '30 .*images but 0 labels'),
    'one too few': (Y[1:], '30 .*images but 29 labels'),
    'a number': (np.int64(3), 'whole number an image'),
}

@pytest.mark.parametrize('what', BAD_LABELS)
def test_bad_labels(what, tmp_path, tried):
    y, says = BAD_LABELS[what]
    tried.refused(f'labels: {what}', lambda: ImageData('d', {'train': (X, y)}, range(3)), 'd/train.*'+says)
    if y.dtype == object: return
    np.savez(tmp_path/'a.npz', x_train=X, y_train=y, x_test=X, y_test=Y)
    with pytest.raises(ValueError, match='a.npz: .*'+says) as e: get_data(tmp_path/'a.npz')
    assert '\n' not in str(e.value)

NAMES = {
    'bytes': np.array(['a', 'é', 'c']).astype('U').tolist(),
    'S': [b'a', 'é'.encode(), b'c'],
    'numbers': [7, 8, 9],
    'an array of texts': np.array(['x', 'y', 'z']),
    'a tuple': ('x', 'y', 'z'),
    'a range': range(3),
}

@pytest.mark.parametrize('what', NAMES)
def test_class_names(what, tried):
    assert all(isinstance(n, str) for n in as_names(NAMES[what])) and len(as_names(NAMES[what])) == 3
    tried(f'class names: {what}', 'texts')

BAD_NAMES = {
    'one text': 'abc',
    'none': [],
    'a number': 3,
    'nothing': None,
    'floats': [1.5, 2., 3.],
    'twice the same': ['a', 'b', 'a'],
    'an empty one': ['a', '', 'c'],
    'a newline in one': ['a', 'b\nc', 'd'],
    'half a character': ['a', '\ud800', 'c'],
    'bytes that are no text': [b'\xff', b'a', b'b'],
    'a square': np.array([['a', 'b'], ['c', 'd']]),
    'a million': range(10**6),
    'bool': [True, False],
    'a table': {'a': 1},
    'very long': ['x'*5000, 'y'],
}

@pytest.mark.parametrize('what', BAD_NAMES)
def test_bad_class_names(what, tried):
    tried.refused(f'class names: {what}', lambda: ImageData('d', {'train': (X, Y)}, BAD_NAMES[what]), 'd: class names')

def test_number_of_names(tmp_path, tried):
    save = lambda names: np.savez(tmp_path/'a.npz', x_train=X, y_train=Y, x_test=X, y_test=Y, class_names=names)
    save(['a', 'b'])
    tried.refused('two names for three classes', lambda: get_data(tmp_path/'a.npz'),
                  r'a.npz: .*labels must be 0…1, got 0…2')
    save(np.array([b'a', b'b', b'c']))
    assert get_data(tmp_path/'a.npz').classes == ['a', 'b', 'c']
    save(['a', 'b', 'c', 'd'])
    tried.refused('four names for three classes, where something is trained',
                  lambda: check_classes(get_data(tmp_path/'a.npz')), r'no image in train of 1 of 4 classes \(d\)')
    save(np.array([['a', 'b', 'c']]))
    tried.refused('names in a square', lambda: get_data(tmp_path/'a.npz'), 'a.npz: .*class names')

@pytest.mark.parametrize('labels,missing', [([0, 2, 5]*10, '1, 3, 4'), ([0]*29+[2], '1'), ([5]*30, '0, 1, 2, 3, 4')])
def test_classes_without_images(labels, missing, tried):
    d = ImageData('d', {'train': (X, labels), 'test': (X, Y)}, range(max(labels)+1))
    tried.refused(f'a class without an image in train: {sorted(set(labels))} of {max(labels)+1}',
                  lambda: check_classes(d), missing)

def test_least(tried):
    d = ImageData('d', {'train': (X, [0]*29+[1])}, ['a', 'b'])
    check_classes(d)
    tried.refused('a class of one image where two are needed', lambda: check_classes(d, min_images=2),
                  r'fewer than 2 images in train of 1 of 2 classes \(b\)')
    tried.refused('a set of one class', lambda: check_classes(ImageData('d', {'train': (X, [0]*30)}, ['a'])),
                  'nothing to tell apart')
    tried.refused('a split that is not there', lambda: d.read('valid'), "no split 'valid': there are train")

@pytest.mark.parametrize(
    'labels', [[0, 0, 1, 1, 2, 2], [0, 0, 1, 1], [0]*50+[1]*2, [0, 0, 0, 1], list(range(10))*2, [0]*3+[1]*3+[2]*100])
def test_no_class_loses_its_last_image(labels, tried):
    y = np.array(labels)
    parts = _split(np.arange(len(y)), y)
    assert set(parts['train'][1]) == set(labels) and all(len(p[1]) for p in parts.values())
    assert sorted(np.concatenate([p[0] for p in parts.values()])) == list(range(len(y)))
    tried(f'{len(y)} images of {len(set(labels))} classes, to be split',
          f"train {len(parts['train'][1])}, every class among them")

def test_too_few_to_split(tmp_path, tried):
    np.savez(tmp_path/'a.npz', x_train=X[:3], y_train=Y[:3], x_test=X, y_test=Y)
    tried.refused('one image a class, to hold some out', lambda: get_data(tmp_path/'a.npz'),
                  'no class has more than one image')

def npy(shape, dtype='|u1', body=b''):
    head = f"{{'descr': {dtype!r}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    head += b' '*(-(len(head)+11) % 64)+b'\n'
    return b'\x93NUMPY\x01\x00'+struct.pack('<H', len(head))+head+body

def npz(path, **members):
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as z:
        for k,v in members.items(): z.writestr(k.replace('__', '.'), v)

GOOD = {
    'y_train.npy': npy((30,), body=Y.astype(np.uint8).tobytes()),
    'x_test.npy': npy(X.shape, body=X.tobytes()),
    'y_test.npy': npy((30,), body=Y.astype(np.uint8).tobytes()),
}

HEADERS = {
    'a size of 10^12 in a file of some bytes': npy((10**12, 8, 8)),
    'a size below 0': npy((-30, 8, 8)),
    'more said than there': npy((31, 8, 8), body=X.tobytes()),
    'less said than there': npy((29, 8, 8), body=X.tobytes()),
    'Python objects': npy((3,), '|O', pickle.dumps([1, 2, 3])),
    'no array': b'hello',
    'an empty member': b'',
    'code in the header': b"\x93NUMPY\x01\x00\x20\x00__import__('os').system('echo')\n   ",
    'a header of version 9': b'\x93NUMPY\x09\x00'+npy(X.shape)[8:],
    'brackets 3,000 deep': b'\x93NUMPY\x01\x00'+struct.pack('<H', 6000)+b'('*3000+b')'*3000,
    'a type that is none': npy(X.shape, '|x9'),
    'sizes that are texts': npy("('a', 'b')"),
}

@pytest.mark.parametrize('what', HEADERS)
def test_headers(what, tmp_path, tried):
    npz(tmp_path/'a.npz', **GOOD, **{'x_train.npy': HEADERS[what]})
    tried.refused(f'an npz with {what}', lambda: get_data(tmp_path/'a.npz'), 'a.npz cannot be read')

@pytest.mark.parametrize('dtype', ['<U0', '|S0', '|V0', [], ('|u1', (0,))], ids=str)
@pytest.mark.parametrize('which', ['class_names', 'y_train', 'x_test'])
def test_values_of_no_bytes(dtype, which, tmp_path, tried):
    good = {**GOOD, 'x_train.npy': npy(X.shape, body=X.tobytes())}
    npz(tmp_path/'a.npz', **{**good, f'{which}.npy': npy((10**12,), dtype)})
    tried.refused(f'an npz whose {which} are 10^12 values of 0 bytes each ({dtype})',
                  lambda: get_data(tmp_path/'a.npz'), f'a.npz cannot be read .*{which} ')

MANY = {
    'an array': np.broadcast_to(np.uint8(1), 10**12),
    'an array of empty texts': np.broadcast_to(np.array(''), 10**12),
    'a tensor': torch.ones(1, dtype=torch.uint8).expand(10**12),
    'a range': range(10**30),
}

@pytest.mark.parametrize('what', MANY)
def test_no_more_names_are_made_than_allowed(what, tried):
    "What takes no memory, and would as a list"
    tried.refused(f'class names: far too many, {what}', lambda: as_names(MANY[what]), 'a list of 1 to 100,000 names')

def test_zips(tmp_path, tried):
    with pytest.warns(UserWarning, match='Duplicate'), zipfile.ZipFile(tmp_path/'a.npz', 'w') as z:
        for k,v in (
                *GOOD.items(),
                ('x_train.npy', npy(X.shape, body=X.tobytes())),
                ('x_train.npy', npy(X.shape, body=X.tobytes())),
        ):
            z.writestr(k, v)
    tried.refused('an npz with x_train twice', lambda: get_data(tmp_path/'a.npz'), 'holds x_train twice')
    npz(tmp_path/'b.npz', **GOOD)
    tried.refused('an npz without x_train', lambda: get_data(tmp_path/'b.npz'), 'b.npz lacks x_train')
    for what, content in {
            'text': b'hello',
            'nothing': b'',
            'a pickle': pickle.dumps(X),
            'the first half of an npz': (tmp_path/'b.npz').read_bytes()[:300],
    }.items():
        (tmp_path/'c.npz').write_bytes(content)
        tried.refused(f'an npz that is {what}', lambda: get_data(tmp_path/'c.npz'), 'c.npz cannot be read')
    os.mkfifo(tmp_path/'p.npz')
    tried.refused('an npz that is a pipe', lambda: get_data(tmp_path/'p.npz'), 'p.npz', (ValueError, FileNotFoundError))

def test_bomb(tmp_path, tried):
    n = 264 << 20
    with zipfile.ZipFile(tmp_path/'a.npz', 'w', zipfile.ZIP_DEFLATED) as z:
        for k,v in GOOD.items(): z.writestr(k, v)
        with z.open('x_train.npy', 'w', force_zip64=True) as f:
            f.write(npy((n//64, 8, 8)))
            for _ in range(264): f.write(bytes(1 << 20))
    tried.refused('an npz of 264 MiB of zeros in one of 1 MiB', lambda: get_data(tmp_path/'a.npz'), 'a zip bomb')

def test_beyond_memory(tmp_path, tried, monkeypatch):
    import dfkd_nb.data as data
    monkeypatch.setattr(data, 'memory', lambda: 1000)
    np.savez(tmp_path/'a.npz', x_train=X, y_train=Y, x_test=X, y_test=Y)
    tried.refused('an npz beyond the memory', lambda: get_data(tmp_path/'a.npz'), 'a.npz .*of memory here')

@pytest.mark.parametrize('size', [0, -1, 1.5, 10**6, 3, True, '16', float('nan'), None, 4, 8, np.int64(8)])
def test_sizes(size, tried):
    if size in (None, 4, 8) and size is not True:
        return tried(f'get_data(size={size!r})', f"{get_data('digits', size=size).shape[-1]} pixels")
    tried.refused(f'get_data(size={size!r})', lambda: get_data('digits', size=size), 'get_data: size')

@pytest.mark.parametrize('channels', [0, 2, 4, True, '3', 1.5])
def test_bad_channels(channels, tried):
    tried.refused(f'get_data(channels={channels!r})', lambda: get_data('digits', channels=channels),
                  'get_data: channels must be')

def test_size_and_memory(tried):
    tried.refused('digits of 4,096 pixels', lambda: get_data('digits', size=4096),
                  'of memory here: take a smaller size')

def test_wide_images(tmp_path, tried):
    wide = np.repeat(X, 3, 1)
    np.savez(tmp_path/'a.npz', x_train=wide, y_train=Y, x_test=wide, y_test=Y)
    assert get_data(tmp_path/'a.npz').shape == (1, 24, 8) and get_data(tmp_path/'a.npz', size=8).shape == (1, 8, 8)
    tried('images of 24×8 pixels with size=8', '8×8 pixels')

def test_channels_of_arrays(tmp_path, tried):
    assert get_data('digits', channels=3).shape == (3, 16, 16)
    assert torch.equal(get_data('digits', channels=3).read('test')[0][:,1:2], get_data('digits').read('test')[0])
    assert get_data('digits_rgb', channels=1).shape == (1, 32, 32)
    tried('channels=3 of a grey set', 'the channel three times')

@pytest.mark.parametrize('n', [0, -1, 1.5, True, '5'])
def test_samples(n, tried):
    d = ImageData('d', {'train': (X, Y)}, range(3))
    for source in (RealSource(d), NoiseSource(d.shape, 3), WildSource(X, 3)):
        tried.refused(f'{source.rung}: sample({n!r})', lambda source=source: source.sample(n), 'n must be')

@pytest.mark.parametrize('n', [1, 2, 3])
def test_few_for_fid(n, tried):
    tried.refused(f'the FID of {n} images', lambda: distance(X[:n], X, PIXELS),
                  r'real \(a set of images\): a distance of .* means nothing')
    tried.refused(f'the FID to {n} images', lambda: distance(X, iter([X[:n,None]]), PIXELS), 'at least [24]')

def test_equal_and_constant_sets(tried):
    assert distance(X, X, PIXELS)['fid'] == 0 and distance(X[:4], X[:4], PIXELS)['fid'] == 0
    flat = np.full((20, 8, 8), 7, np.uint8)
    d = distance(flat, flat, PIXELS)
    assert d['fid'] == 0 and all(np.isfinite(v) for k,v in d.items() if k != 'protocol')
    d = distance(flat, flat+100, PIXELS)
    assert d['fid'] == pytest.approx(5*(100/255)**2)
    one = Extractor(lambda x: x.flatten(1).mean(1, keepdim=True), 'mean')
    assert distance(X, X, one)['fid'] == 0
    tried('the FID of equal sets, of constant images, of a single feature', '0 where they are equal, finite always')

FID = {
    'another thing than images': (lambda: distance(3, X, PIXELS), 'array, a folder'),
    'nothing': (lambda: distance(None, X, PIXELS), 'array, a folder'),
    'an empty iterable': (lambda: statistics([], PIXELS), 'no images'),
    'batches without their first axis': (lambda: list(image_batches(iter(X))), r'\(n,C,H,W\)'),
    "a folder called ''": (lambda: distance('', X, PIXELS), 'not a folder'),
    'batches of 0': (lambda: image_batches(X, bs=0), 'bs must be'),
    'features that are NaN': (lambda: statistics(X, Extractor(lambda x: x.flatten(1)*float('nan'), 'nan')),
                              'not finite'),
    'features that are pictures': (lambda: statistics(X, Extractor(lambda x: x, 'same')), r'\(n,d\)'),
    'statistics of other features': (
        lambda: distance(statistics(X, PIXELS), statistics(X, Extractor(lambda x: x.flatten(1), 'all')), PIXELS),
        'cannot be compared'),
    'a table of something else': (lambda: distance({'a': 1}, X, PIXELS), 'without cov'),
    'a covariance of the wrong shape': (
        lambda: frechet_distance(torch.zeros(3), torch.eye(2), torch.zeros(3), torch.eye(3)), r'\(d,d\)'),
    'a mean that is NaN': (
        lambda: frechet_distance(torch.full((3,), np.nan), torch.eye(3), torch.zeros(3), torch.eye(3)), 'not finite'),
    'KID of one image': (lambda: kid(torch.zeros(1, 3), torch.zeros(5, 3)), 'at least 2'),
    'KID of subsets of 1': (lambda: kid(torch.zeros(5, 3), torch.zeros(5, 3), size=1), 'at least 2'),
    'KID of 0 subsets': (lambda: kid(torch.zeros(5, 3), torch.zeros(5, 3), subsets=0), 'subsets must be'),
    'recall of 3 images': (lambda: recall(torch.zeros(5, 3), torch.zeros(3, 3)), 'at least 4'),
}

@pytest.mark.parametrize('what', FID)
def test_fid(what, tried):
    call, says = FID[what]
    tried.refused(f'the FID of {what}', call, says)

@pytest.mark.parametrize('name,content', [
    ('w.pth', b'no'),
    ('w.safetensors', b'no'),
    ('w.pth', pickle.dumps({'a': 1})),
    ('w.pth', b''),
    ('w.safetensors', struct.pack('<Q', 2**60)+b'{}'),
])
def test_inception_weights(name, content, tmp_path, tried):
    (tmp_path/name).write_bytes(content)
    tried.refused(f'Inception weights {name}: {len(content)} bytes of something else',
                  lambda: inception_extractor(tmp_path/name), name)

def test_packed_inception_weights(tmp_path, tried):
    torch.save({'a': torch.zeros(10)}, p := tmp_path/'w.pth')
    with zipfile.ZipFile(p) as z, zipfile.ZipFile(tmp_path/'packed.pth', 'w', zipfile.ZIP_DEFLATED) as out:
        for n in z.namelist(): out.writestr(n, z.read(n))
    tried.refused('Inception weights in a compressed archive', lambda: inception_extractor(tmp_path/'packed.pth'),
                  'compressed')

KINDS = [np.uint8, np.int8, np.uint16, np.int32, np.int64, np.uint64, np.float16, np.float32, np.float64,
         np.dtype('>i2'), np.dtype('>f8'), np.bool_]

@settings(derandomize=True, max_examples=300, deadline=None)
@given(st.sampled_from(KINDS).flatmap(
    lambda k: hnp.arrays(k, hnp.array_shapes(min_dims=1, max_dims=5, min_side=0, max_side=5))))
def test_fuzz_images(a):
    try: x = as_images(a)
    except ValueError as e: assert '\n' not in str(e)
    else: assert x.dtype == torch.uint8 and x.ndim == 4 and x.shape[1] in (1, 3) and x.numel() == a.size

@settings(derandomize=True, max_examples=300, deadline=None)
@given(st.sampled_from([*KINDS, np.dtype('U3'), np.dtype('S2')]).flatmap(
    lambda k: hnp.arrays(k, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=6))))
def test_fuzz_labels(a):
    with np.errstate(all='raise'), warnings.catch_warnings():
        warnings.simplefilter('error')
        try: y = as_labels(a)
        except ValueError as e: assert '\n' not in str(e)
        else:
            assert y.dtype == torch.int64 and y.ndim == 1
            assert not len(y) or y.min() >= 0 and y.max() < 100_000

@settings(derandomize=True, max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 6), min_size=2, max_size=40))
def test_fuzz_splits(labels):
    y = np.array(labels)
    try: parts = _split(y, y)
    except ValueError as e: assert 'held out' in str(e)
    else:
        assert set(parts['train'][1]) == set(labels)
        assert all(len(p[1]) for p in parts.values())
        assert sum(len(p[1]) for p in parts.values()) == len(y)

def test_fuzzed(tried):
    tried('600 arrays of random types, shapes and values as images and as labels', 'right, or refused in one line')
    tried('100 random lists of labels to be split', 'no class loses its last image')

def test_altered_statistics(tmp_path, monkeypatch, tried):
    "Kept statistics are compared with their hash, and made anew where they were altered."
    monkeypatch.setenv('DFKD_RUNS', str(tmp_path))
    pixels = Extractor(lambda x: x.flatten(1)[:, :5], 'pixels')
    pixels.hash = 'abc'
    x = torch.from_numpy(X)[:, None]
    whole = statistics(x, pixels, cache=True)
    [file] = (tmp_path/'statistics').iterdir()
    data = bytearray(file.read_bytes())
    data[-20] ^= 64
    file.write_bytes(data)
    with pytest.warns(UserWarning, match='is damaged'): again = statistics(x, pixels, cache=True)
    assert torch.equal(whole['mean'], again['mean']) and torch.equal(whole['sample'], again['sample'])
    tried('kept statistics of a FID with one bit flipped', 'computed anew, with a warning')
    file.unlink()
    file.mkdir()
    tried.refused('a folder where statistics are kept', lambda: statistics(x, pixels, cache=True), 'is a folder')

@pytest.mark.parametrize('change', [{'n': 'x'}, {'n': 1}, {'mean': torch.zeros(3)}, {'sample': torch.zeros(4)},
                                    {'cov': [[1.]]}])
def test_statistics_that_are_none(change, tried):
    s = statistics(torch.from_numpy(X)[:, None], PIXELS)
    tried.refused(f'statistics with another {next(iter(change))}', lambda: distance({**s, **change}, s, PIXELS),
                  'do not fit together')

@pytest.mark.parametrize('what,change', [
    ('whole numbers', lambda v: (v*1000).to(torch.int32)),
    ('zeros', torch.zeros_like),
    ('half of it NaN', lambda v: torch.where(torch.arange(v.numel()).view(v.shape) % 2 == 0, v, np.nan)),
    ('infinity', lambda v: torch.where(torch.arange(v.numel()).view(v.shape) == 0, -np.inf, v)),
])
def test_inception_that_tells_nothing(what, change, tmp_path, tried):
    random_inception(tmp_path/'good.safetensors')
    weights = {k: change(v) if v.ndim > 1 else v for k,v in load_file(tmp_path/'good.safetensors').items()}
    save_file(weights, tmp_path/'w.safetensors')
    tried.refused(f'Inception weights: {what}', lambda: inception_extractor(tmp_path/'w.safetensors', dims=64),
                  'whole numbers as weights' if what == 'whole numbers' else 'w.safetensors is damaged')
