"""Images: files that are not what they seem

One function opens a picture, one lists a folder; every reader goes through them.
"""
import io, os, socket, struct, warnings, zlib
import numpy as np, pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from PIL import Image
from dfkd_nb.data import TURNS, as_images, flat_image, get_data, list_images, open_image
from dfkd_nb.fid import image_batches
from dfkd_nb.inversion import read_wild

GREY = np.random.default_rng(0).integers(0, 256, (6, 9), dtype=np.uint8)
RGB = np.random.default_rng(1).integers(0, 256, (6, 9, 3), dtype=np.uint8)

def chunk(kind, data): return struct.pack('>I', len(data))+kind+data+struct.pack('>I', zlib.crc32(kind+data))

def huge_png(w, h):
    head = struct.pack('>IIBBBBB', w, h, 8, 0, 0, 0, 0)
    return b'\x89PNG\r\n\x1a\n'+chunk(b'IHDR', head)+chunk(b'IDAT', zlib.compress(b''))+chunk(b'IEND', b'')

def classes(folder, n=4, **colours):
    "A folder of classes, each of `n` pictures of one colour"
    for name, colour in colours.items():
        (folder/name).mkdir(parents=True, exist_ok=True)
        for i in range(n): Image.new('RGB', (8, 8), colour).save(folder/name/f'{i}.png')
    return folder

def said(call):
    "What a call gives, and the one warning it said"
    with warnings.catch_warnings(record=True) as w:
        warnings.simplefilter('always')
        result = call()
    ours = [str(x.message) for x in w if 'left out' in str(x.message) or 'passed over' in str(x.message)]
    assert len(ours) <= 1
    return result, ours[0] if ours else ''

DEPTHS = {
    'a 16-bit PNG': ('a.png', GREY.astype(np.uint16)*257),
    'a 16-bit TIFF': ('a.tif', GREY.astype(np.uint16)*257),
    'a 16-bit PGM': ('a.pgm', GREY.astype(np.uint16)*257),
    'a TIFF of 32-bit numbers in 0…65535': ('a.tiff', GREY.astype(np.int32)*257),
    'a TIFF of 32-bit numbers in 0…255': ('a.tiff', GREY.astype(np.int32)),
    'a float TIFF in 0…1': ('a.tif', GREY/np.float32(255)),
    'a float TIFF in 0…255': ('a.tif', GREY.astype(np.float32)),
    'a float TIFF from −3 to 7': ('a.tif', np.float32(GREY.astype(float)/255*10-3)),
    'a TIFF of 32-bit numbers in ±10⁹': ('a.tif', np.int32((GREY/255-.5)*2e9))}

@pytest.mark.parametrize('what', DEPTHS)
def test_depths(what, tmp_path, tried):
    name, a = DEPTHS[what]
    Image.fromarray(a).save(tmp_path/name)
    want = GREY if GREY.min() == 0 and GREY.max() == 255 else None
    for mode in ('L', 'RGB', None):
        got = np.asarray(open_image(tmp_path/name, mode))
        got = got if got.ndim == 2 else got[...,0]
        if want is None and a.min() < 0:
            assert got.min() == 0 and got.max() == 255 and np.corrcoef(got.ravel(), GREY.ravel())[0, 1] > .999
        else: assert np.array_equal(got, GREY)
    tried(what, 'its grey levels, in 8 bits')

@pytest.mark.parametrize('ending', ['png', 'tif', 'pgm'])
def test_dark_sixteen_bits(ending, tmp_path, tried):
    "A darker copy of a 16-bit picture is darker, also where no value exceeds 255"
    for most in (65535, 514, 255):
        Image.fromarray(np.uint16([[0, most]])).save(tmp_path/f'{most}.{ending}')
    got = [int(np.asarray(open_image(tmp_path/f'{most}.{ending}', 'L')).max()) for most in (65535, 514, 255)]
    assert got == [255, 2, 1]
    tried(f'a dark picture of 16 bits ({ending})', 'dark, as every viewer shows it')

FULL = GREY.copy()
FULL[0,:2] = 0, 255

@pytest.mark.parametrize('high', [1.02, 2., 2.55, 63.5])
@pytest.mark.parametrize('kind', ['tif', 'ppm'])
def test_floats_that_are_no_grey_levels(high, kind, tmp_path, tried):
    a = FULL/np.float32(255)*np.float32(high)
    if kind == 'tif': Image.fromarray(a).save(tmp_path/'a.tif')
    else: (tmp_path/'a.ppm').write_bytes(b'Pf\n9 6\n-1.0\n'+a.astype('<f4').tobytes())
    tried.refused(f'a picture of floats in 0…{high} ({kind})', lambda: open_image(tmp_path/f'a.{kind}'),
                  f'a.{kind} cannot be read as an image .*must lie in 0…1')
    with pytest.raises(ValueError, match='must lie in 0…1'): as_images(a[None])      # one rule for both

@pytest.mark.parametrize('low,high', [(0, 1), (-.0009, 1.0009), (0, 255)])
def test_floats_that_are_grey_levels(low, high, tmp_path, tried):
    a = (FULL/255*(high-low)+low).astype(np.float32)
    Image.fromarray(a).save(tmp_path/'a.tif')
    (tmp_path/'a.ppm').write_bytes(b'Pf\n9 6\n-1.0\n'+a[::-1].astype('<f4').tobytes())
    for name in ('a.tif', 'a.ppm'): assert np.array_equal(open_image(tmp_path/name, 'L'), as_images(a[None])[0,0])
    tried(f'a picture of floats in {low}…{high}', 'the grey levels that an array of them has')

def tiff(path, a, kind, bits, white_is_zero=False):
    "A TIFF as Pillow does not write it; `kind` is 1 (without sign), 2 (with one) or 3 (floats)"
    h, w = a.shape
    tags = {256: w, 257: h, 258: bits, 259: 1, 262: int(not white_is_zero), 273: 8, 277: 1, 278: h, 279: a.nbytes,
            339: kind}
    entries = b''.join(struct.pack('<HHII', k, 4, 1, v) for k, v in tags.items())
    head = b'II*\0'+struct.pack('<I', 8+a.nbytes)+a.tobytes()
    path.write_bytes(head+struct.pack('<H', len(tags))+entries+bytes(4))

TIFFS = {
    '8 bits': (FULL, 1, 8),
    '16 bits': (FULL.astype('<u2')*257, 1, 16),
    '32 bits without sign': (FULL.astype('<u4')*16843009, 1, 32),
    'floats': (FULL/np.float32(255), 3, 32)}

@pytest.mark.parametrize('what', TIFFS)
@pytest.mark.parametrize('white_is_zero', [False, True])
def test_tags_of_tiffs(what, white_is_zero, tmp_path, tried):
    a, kind, bits = TIFFS[what]
    if white_is_zero: a = a.max()-a
    tiff(tmp_path/'a.tif', a, kind, bits, white_is_zero)
    said = f"a TIFF of {what}, {'white' if white_is_zero else 'black'} is zero"
    if bits == 32 and kind == 1 and white_is_zero:
        return tried.refused(said, lambda: open_image(tmp_path/'a.tif'), 'a.tif cannot be read as an image')
    assert np.array_equal(open_image(tmp_path/'a.tif', 'L'), FULL)
    tried(said, 'its grey levels, in 8 bits')

@pytest.mark.parametrize('bad', [np.nan, np.inf, -np.inf])
def test_no_numbers(bad, tmp_path, tried):
    Image.fromarray(np.float32([[0, bad, 1]])).save(tmp_path/'a.tif')
    tried.refused(f'a float TIFF with {bad}', lambda: open_image(tmp_path/'a.tif'), 'a.tif cannot be read as an image')

def transparent(mode):
    "A picture of two pixels: the left one is to be seen (10), the right one is not"
    if mode == 'P':
        im = Image.new('P', (2, 1))
        im.putpalette([10, 10, 10, 0, 0, 0])
        im.putpixel((1, 0), 1)
        return im, dict(transparency=1)
    if mode == 'I;16': return Image.fromarray(np.uint16([[2570, 0]])), dict(transparency=0)
    if mode == 'L': return Image.fromarray(np.uint8([[10, 0]])), dict(transparency=0)
    if mode == 'RGB': return Image.fromarray(np.uint8([[[10]*3, [0]*3]])), dict(transparency=(0, 0, 0))
    a = np.uint8([[[10, 255], [0, 0]]])
    return Image.fromarray(a if mode == 'LA' else a[...,[0, 0, 0, 1]], mode), {}

@pytest.mark.parametrize('mode,ending', [(m, 'png') for m in ('P', 'I;16', 'L', 'RGB', 'LA', 'RGBA')]+[
    ('P', 'gif'), ('RGBA', 'webp'), ('RGBA', 'tif'), ('LA', 'tif')])
def test_transparency(mode, ending, tmp_path, tried):
    im, kw = transparent(mode)
    im.save(tmp_path/f'a.{ending}', **kw, **({'lossless': True} if ending == 'webp' else {}))
    assert np.asarray(open_image(tmp_path/f'a.{ending}')).tolist() == [[[10]*3, [255]*3]]
    assert np.asarray(open_image(tmp_path/f'a.{ending}', 'L')).tolist() == [[10, 255]]
    tried(f'a transparent pixel ({mode}, {ending})', 'white')

def test_opaque_alpha_changes_nothing(tried):
    assert np.array_equal(flat_image(Image.fromarray(RGB).convert('RGBA')), RGB)
    tried('an alpha channel that hides nothing', 'the pixels as they are')

@pytest.mark.parametrize('ending', ['png', 'jpg', 'webp', 'tif'])
def test_orientation(ending, tmp_path, tried):
    a = np.zeros((16, 32), np.uint8)
    a[:8,:16] = 255                     # the upper left quarter is bright
    for number in range(1, 9):
        for depth in (np.uint8, np.uint16) if ending == 'tif' else (np.uint8,):
            exif, file = Image.Exif(), tmp_path/f'{number}.{ending}'
            exif[0x0112] = number
            Image.fromarray(a.astype(depth)*(257 if depth == np.uint16 else 1)).save(file, exif=exif)
            want = np.asarray(Image.fromarray(a).transpose(TURNS[number]) if number > 1 else a).astype(int)
            got = np.asarray(open_image(file, 'L')).astype(int)
            assert got.shape == want.shape and abs(got-want).max() < 60, number
    tried(f'the eight orientations of EXIF ({ending})', 'upright')

@pytest.mark.parametrize('value', [0, 9, 99])
def test_odd_orientation(value, tmp_path, tried):
    exif = Image.Exif()
    exif[0x0112] = value
    Image.fromarray(GREY).save(tmp_path/'a.png', exif=exif)
    assert np.array_equal(open_image(tmp_path/'a.png', 'L'), GREY)
    tried(f'EXIF orientation {value}', 'the pixels as they are')

def test_broken_exif(tmp_path, tried):
    for junk in (b'Exif\x00\x00nothing', b'Exif\x00\x00II*\x00\xff\xff\xff\xff', b'',
                 b'Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x02\x00\x00\x00\xff\xff\xff\xff\xff'):
        Image.fromarray(GREY).save(tmp_path/'a.jpg', exif=junk)
        assert open_image(tmp_path/'a.jpg').size == (9, 6)
    tried('damaged EXIF', 'the pixels as they are')

@pytest.mark.parametrize('mode',
                         ['1', 'L', 'P', 'RGB', 'CMYK', 'YCbCr', 'LAB', 'HSV', 'RGBX', 'I', 'F', 'PA', 'La', 'RGBa'])
def test_modes(mode, tried):
    no_way_there = mode in ('LAB', 'PA', 'La', 'RGBa')
    im = Image.new(mode, (9, 6)) if no_way_there else Image.fromarray(RGB).convert(mode)
    for want in ('RGB', 'L'): assert flat_image(im, want).mode == want
    assert flat_image(im, None).mode in ('L', 'RGB')
    tried(f'a picture in mode {mode}', '8 bits a channel')

def test_first_of_many(tmp_path, tried):
    frames = [Image.new('RGB', (4, 4), c) for c in ('red', 'lime', 'blue')]
    for ending in ('gif', 'tif', 'webp', 'png'):
        kw = dict(lossless=True) if ending == 'webp' else {}
        frames[0].save(tmp_path/f'a.{ending}', save_all=True, append_images=frames[1:], **kw)
        assert open_image(tmp_path/f'a.{ending}').getpixel((0, 0)) == (255, 0, 0)
    tried('an animated GIF, WebP, PNG, a TIFF of three pages', 'the first')

@pytest.mark.parametrize('w,h', [(10**5, 10**5), (10**4, 10**4), (2**31-1, 2**31-1), (1, 2**31-1)])
def test_bombs(w, h, tmp_path, tried):
    (tmp_path/'bomb.png').write_bytes(huge_png(w, h))
    tried.refused(f'a PNG of {w:,}×{h:,} pixels', lambda: open_image(tmp_path/'bomb.png'),
                  'bomb.png cannot be read .* too large')

def test_bomb_in_wild(tmp_path, tried):
    (tmp_path/'bomb.png').write_bytes(huge_png(10**5, 10**5))
    Image.fromarray(RGB).resize((30, 30)).save(tmp_path/'fine.png')
    x, text = said(lambda: read_wild(tmp_path, (3, 8, 8), 5))
    assert len(x) == 5 and 'files that cannot be read (1)' in text
    tried('a decompression bomb among foreign pictures', text)

ODD = {
    'an empty file': lambda p: p.write_bytes(b''),
    'a text': lambda p: p.write_text('no picture'),
    'PostScript, which Pillow would run a program for': lambda p: p.write_text(
        '%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n'),
    'an SVG': lambda p: p.write_text('<svg xmlns="http://www.w3.org/2000/svg"/>'),
    'half a PNG': lambda p: Image.fromarray(RGB).resize((90, 90)).save(p, 'PNG')
        or p.write_bytes(p.read_bytes()[:3000]),
    'half a JPEG': lambda p: Image.fromarray(RGB).resize((90, 90)).save(p, 'JPEG')
        or p.write_bytes(p.read_bytes()[:1000]),
    'half a BMP': lambda p: Image.fromarray(RGB).save(p, 'BMP') or p.write_bytes(p.read_bytes()[:100]),
    'half a TIFF': lambda p: Image.fromarray(RGB).save(p, 'TIFF') or p.write_bytes(p.read_bytes()[:100]),
    'half a GIF': lambda p: Image.fromarray(RGB).convert('P').save(p, 'GIF') or p.write_bytes(p.read_bytes()[:30]),
    'half a WebP': lambda p: Image.fromarray(RGB).save(p, 'WEBP') or p.write_bytes(p.read_bytes()[:30]),
    'half a PPM': lambda p: Image.fromarray(RGB).save(p, 'PPM') or p.write_bytes(p.read_bytes()[:40]),
    'a PNG with a flipped bit': lambda p: Image.fromarray(RGB).save(p, 'PNG')
        or p.write_bytes(p.read_bytes()[:60]+bytes([p.read_bytes()[60]^1])+p.read_bytes()[61:]),
    'a pipe': lambda p: os.mkfifo(p),
    'a folder': lambda p: p.mkdir(),
    'a link to a pipe': lambda p: (os.mkfifo(p.with_name('pipe')), p.symlink_to('pipe')),
}

@pytest.mark.parametrize('what', ODD)
def test_odd_files(what, tmp_path, tried):
    ODD[what](p := tmp_path/'a.png')
    tried.refused(what, lambda: open_image(p), 'a.png')

@pytest.mark.parametrize('what,make', [
    ('a link to nothing', lambda p: p.symlink_to('nowhere')),
    ('a link to itself', lambda p: p.symlink_to(p.name)),
    ('a missing file', lambda p: None),
])
def test_missing(what, make, tmp_path, tried):
    make(p := tmp_path/'a.png')
    tried.refused(what, lambda: open_image(p), 'a.png', FileNotFoundError)

@pytest.mark.parametrize('name',
                         ['a\nb.png', 'a\udcff.png', 'é'*90+'.png', '-rf.png', ' .png', 'a;b$(c).png', '‮gnp.png'])
def test_names(name, tmp_path, tried):
    Image.fromarray(GREY).save(tmp_path/'x.png')
    os.rename(tmp_path/'x.png', tmp_path/name)
    if name != ' .png': assert [p.name for p in list_images(tmp_path)] == [name]
    assert np.array_equal(open_image(tmp_path/name, 'L'), GREY)
    (tmp_path/name).write_bytes(b'broken')
    tried.refused(f'a broken file called {ascii(name[:20])}', lambda: open_image(tmp_path/name), 'cannot be read')

@pytest.mark.parametrize('name,says', [
    ('a\0b.png', 'no file'),
    ('x'*300+'.png', 'no file'),
    ('/'.join(['d'*200]*30), 'no file'),
])
def test_impossible_names(name, says, tmp_path, tried):
    tried.refused(f'a name of {len(name)} characters: {ascii(name[:5])}…', lambda: open_image(tmp_path/name), says,
                  FileNotFoundError)

@pytest.mark.parametrize('ending,kind', [
    ('png', 'JPEG'),
    ('jpg', 'PNG'),
    ('gif', 'BMP'),
    ('tif', 'WEBP'),
    ('bmp', 'GIF'),
])
def test_lying_endings(ending, kind, tmp_path, tried):
    Image.new('RGB', (5, 4), 'red').save(tmp_path/f'a.{ending}', kind)
    assert open_image(tmp_path/f'a.{ending}').size == (5, 4)
    tried(f'a {kind} file called .{ending}', 'read as what it is')

@pytest.mark.parametrize('size', [(1, 1), (1, 500), (500, 1), (1, 7), (3, 2000)])
def test_thin_pictures(size, tmp_path, tried):
    for c in 'ab':
        (tmp_path/c).mkdir()
        for i in range(3): Image.new('RGB', size, (i*50, 0, 90)).save(tmp_path/c/f'{i}.png')
    assert get_data(tmp_path, size=8).shape == (3, 8, 8)
    assert sum(len(b) for b in image_batches(tmp_path)) == 6
    assert read_wild(tmp_path, (3, 8, 8), 4).shape == (4, 3, 8, 8)
    tried(f'pictures of {size[0]}×{size[1]} pixels', 'brought to size')

ENDINGS = ['png', 'PNG', 'jpg', 'JPG', 'jpeg', 'webp', 'bmp', 'gif', 'tif', 'TIFF', 'ppm', 'pgm']

@pytest.mark.parametrize('ending', ENDINGS)
def test_same_endings_everywhere(ending, tmp_path, tried):
    for c in 'ab':
        (tmp_path/c).mkdir()
        for i in range(3): Image.new('L', (8, 8), i*60+20).save(tmp_path/c/f'{i}.{ending}')
    assert len(list_images(tmp_path)) == 6
    assert sum(get_data(tmp_path, size=8).sizes.values()) == 6
    assert sum(len(b) for b in image_batches(tmp_path)) == 6
    assert len(read_wild(tmp_path, (1, 8, 8), 6)) == 6
    tried(f'pictures called .{ending}', 'read by every reader')

HIDDEN = ['.ipynb_checkpoints', '__MACOSX', '.git', '@eaDir', '.Trash', 'Thumbs.db', '$RECYCLE.BIN']

@pytest.mark.parametrize('name', HIDDEN)
def test_hidden_folders(name, tmp_path, tried):
    classes(tmp_path, cat='red', dog='blue', **{name: 'lime'})
    (tmp_path/'cat'/name).mkdir()
    (tmp_path/'cat'/name/'0.png').write_bytes(b'no picture')
    (tmp_path/'cat'/'._0.png').write_bytes(b'\0\5\x16\7')
    (tmp_path/'cat'/'.DS_Store').write_bytes(b'')
    d, text = said(lambda: get_data(tmp_path, size=8))
    assert d.classes == ['cat', 'dog'] and sum(d.sizes.values()) == 8 and 'hidden ones (3)' in text
    assert sum(len(b) for b in image_batches(tmp_path)) == 8 and len(read_wild(tmp_path, (3, 8, 8), 8)) == 8
    tried(f'a hidden folder {name}, a hidden file ._0.png', text)

def test_pipes_and_links(tmp_path, tried):
    folder = classes(tmp_path/'set', cat='red', dog='blue')
    os.mkfifo(folder/'cat'/'pipe.png')
    here = os.getcwd()
    os.chdir(folder/'cat')
    with socket.socket(socket.AF_UNIX) as s: s.bind('s.png')
    os.chdir(here)
    (folder/'cat'/'gone.png').symlink_to('nowhere')
    (folder/'cat'/'round.png').symlink_to('round.png')
    (folder/'cat'/'up').symlink_to(folder)
    (folder/'cat'/'all').symlink_to('/')
    (folder/'cat'/'dogs').symlink_to(folder/'dog')
    (folder/'again').symlink_to(tmp_path)
    Image.new('RGB', (8, 8), 'red').save(tmp_path/'outside.png')
    (folder/'cat'/'linked.png').symlink_to(tmp_path/'outside.png')
    d, text = said(lambda: get_data(folder, size=8))
    assert d.classes == ['cat', 'dog'] and sum(d.sizes.values()) == 9
    assert 'pipes or devices (2)' in text and 'links to nothing (2)' in text and 'folders met twice (4)' in text
    tried('pipes, sockets, links to nothing and in circles in a folder of classes', text)
    assert sum(len(b) for b in image_batches(folder)) == 9
    tried('a link to a picture elsewhere', 'followed')

def test_linked_classes(tmp_path, tried):
    classes(tmp_path/'a', cat='red', dog='blue')
    (tmp_path/'b').mkdir()
    for c in ('cat', 'dog'): (tmp_path/'b'/c).symlink_to(tmp_path/'a'/c)
    assert get_data(tmp_path/'b', size=8).identity['content'] == get_data(tmp_path/'a', size=8).identity['content']
    tried('classes that are links to folders', 'read like folders')
    (tmp_path/'a'/'wolf').symlink_to('dog')
    tried.refused('two classes that are one folder by links', lambda: get_data(tmp_path/'a', size=8),
                  'dog and wolf are one folder')

def test_many_links_end(tmp_path, tried):
    here = tmp_path
    for _ in range(12):
        (here/'d').mkdir()
        for k in range(3): (here/f'l{k}').symlink_to('d')
        here = here/'d'
    Image.fromarray(GREY).save(here/'a.png')
    assert len(list_images(tmp_path, {})) == 1
    tried('3¹² paths of links to one picture', 'each folder is entered once')

def test_grey_by_all(tmp_path, tried):
    classes(tmp_path, 60, a='gray', b='red', c='green')
    x, y = get_data(tmp_path, size=8).read('train')
    assert x.shape[1] == 3 and not (x[y == 1][0] == x[y == 2][0]).all()
    tried('a folder whose first 60 pictures are grey', 'in colour, as one picture is')

@pytest.mark.parametrize('channels', [1, 3, None])
def test_channels(channels, tmp_path, tried):
    classes(tmp_path, a='gray', b='white')
    d = get_data(tmp_path, size=8, channels=channels)
    assert d.shape[0] == (channels or 1)
    Image.new('RGB', (8, 8), 'red').save(tmp_path/'b'/'x.png')
    assert get_data(tmp_path, size=8, channels=channels).shape[0] == (channels or 3)
    tried(f'channels={channels} of a folder', f'{channels or "as many as the pictures have"}')

def test_grey_splits_agree(tmp_path, tried):
    classes(tmp_path/'train', a='gray', b='white')
    classes(tmp_path/'test', a='gray', b='red')
    assert get_data(tmp_path, size=8).shape == (3, 8, 8)
    tried('grey pictures in train, coloured ones in test', 'both in colour')

def test_unreadable_in_class(tmp_path, tried):
    classes(tmp_path, a='red', b='blue')
    for i in range(3): (tmp_path/'a'/f'bad{i}.png').write_bytes(b'no')
    tried.refused('three broken files in a class', lambda: get_data(tmp_path, size=8),
                  '3 of 11 cannot be read, first .*bad0.png.*bad1.png')
    for i in range(2): (tmp_path/'a'/f'bad{i}.png').unlink()
    tried.refused('one broken file in a class', lambda: get_data(tmp_path, size=8),
                  'bad2.png cannot be read as an image')
    tried.refused('a broken file in a folder for the FID', lambda: list(image_batches(tmp_path)),
                  'bad2.png cannot be read as an image')

def test_empty_classes(tmp_path, tried):
    classes(tmp_path, a='red', b='blue')
    (tmp_path/'c').mkdir()
    (tmp_path/'d').mkdir()
    (tmp_path/'d'/'notes.txt').write_text('hi')
    tried.refused('classes without pictures', lambda: get_data(tmp_path, size=8), 'none in c, d')

def test_what_is_beside(tmp_path, tried):
    classes(tmp_path, a='red', b='blue')
    (tmp_path/'README.md').write_text('hi')
    (tmp_path/'a'/'x.heic').write_bytes(b'..')
    Image.fromarray(GREY).save(tmp_path/'beside.png')
    d, text = said(lambda: get_data(tmp_path, size=8))
    assert 'files of other kinds (2)' in text
    assert 'pictures beside the classes (1)' in text
    assert sum(d.sizes.values()) == 8
    tried('files of other kinds, a picture beside the classes', text)

@pytest.mark.parametrize('name', ['a\nb', 'a\udcff', ' ', 'a\x1b[31m'])
def test_names_of_classes(name, tmp_path, tried):
    classes(tmp_path, fine='red', other='blue')
    os.rename(tmp_path/'other', tmp_path/name)
    tried.refused(f'a class called {ascii(name)}', lambda: get_data(tmp_path, size=8),
                  'names of the classes must be plain texts')

def test_splits_of_a_folder(tmp_path, tried):
    for s in ('train', 'val', 'test'): classes(tmp_path/s, a='red', b='blue')
    assert get_data(tmp_path, size=8).sizes == {'train': 8, 'valid': 8, 'test': 8}
    tried('a folder with train, val and test', 'three splits')
    os.rename(tmp_path/'test', tmp_path/'validation')
    tried.refused('a folder with train and val alone', lambda: get_data(tmp_path, size=8), 'but no test')
    os.rename(tmp_path/'validation', tmp_path/'test')
    os.rename(tmp_path/'test'/'b', tmp_path/'test'/'c')
    tried.refused('other classes in test', lambda: get_data(tmp_path, size=8), 'differ: b, c')

SPELT = [
    ('Train', 'Test'), ('training', 'testing'), ('train', 'Test'), ('TRAIN', 'VAL', 'TEST'), ('trainset', 'testset'),
    ('training_set', 'test_set'), ('train_images', 'val-images', 'test images'), ('train2017', 'val2017', 'test2017'),
    ('Training', 'Validation', 'Testing'), ('train', 'dev', 'test'), ('trn', 'tst')]

@pytest.mark.parametrize('names', SPELT, ids=str)
def test_splits_however_spelt(names, tmp_path, tried):
    for s in names: classes(tmp_path/s, a='red', b='blue', n=12)
    d = get_data(tmp_path, size=8)
    assert d.classes == ['a', 'b'] and set(d.sizes) == {'train', 'valid', 'test'} and d.sizes['test'] == 24
    tried(f"a folder with {', '.join(names)}", 'the splits, however they are spelt')

@pytest.mark.parametrize('names,says', [
    (('train', 'dev'), 'but no test'), (('Train', 'VAL'), 'but no test'), (('training', 'eval'), 'but no test'),
    (('val', 'test'), 'but no train'), (('dev', 'validation'), 'but no train or test'), (('train',), 'but no test'),
    (('train', 'unseen'), 'but no test'), (('Training', 'a', 'b'), 'but no test'),
    (('train', 'Train', 'test'), 'two of them for one split'), (('train', 'val', 'dev', 'test'), 'two of them'),
], ids=str)
def test_splits_that_would_be_classes(names, says, tmp_path, tried):
    for s in names: classes(tmp_path/s, a='red', b='blue')
    tried.refused(f"a folder with {', '.join(names)}", lambda: get_data(tmp_path, size=8), says)

def test_splits_without_classes(tmp_path, tried):
    classes(tmp_path/'x', train='red', dev='blue')
    tried.refused('pictures in train and dev, without classes', lambda: get_data(tmp_path/'x', size=8), 'but no test')
    classes(tmp_path/'y', train='red', bus='blue', car='green')
    classes(tmp_path/'z', valid='red', invalid='blue')
    assert get_data(tmp_path/'y', size=8).classes == ['bus', 'car', 'train']
    assert get_data(tmp_path/'z', size=8).classes == ['invalid', 'valid']
    tried('train beside bus and car, valid beside invalid', 'classes')

@pytest.mark.parametrize('size', [(20000, 12), (9, 5000), (2000, 10)])
def test_wild_of_thin_pictures(size, tmp_path, tried):
    Image.new('RGB', size, 'red').save(tmp_path/'a.png')
    assert read_wild(tmp_path, (3, 8, 8), n=4).unique().tolist() == [0, 255]
    tried(f'foreign pictures: one of {size[0]}×{size[1]} pixels', 'its middle')

def test_wild_reads_on(tmp_path, tried):
    for i in range(20): (tmp_path/f'{i:02}.jpg').write_bytes(b'no')
    for i in range(20, 24): Image.fromarray(RGB).resize((40, 40)).save(tmp_path/f'{i}.jpg')
    x, text = said(lambda: read_wild(tmp_path, (3, 8, 8), 4))
    assert len(x) == 4 and 'files that cannot be read (20)' in text
    tried('20 broken files before 4 pictures, 4 wanted', text)

FORMATS = {
    'PNG': ['1', 'L', 'LA', 'P', 'RGB', 'RGBA', 'I;16'],
    'TIFF': ['1', 'L', 'LA', 'P', 'RGB', 'RGBA', 'CMYK', 'I', 'F', 'I;16', 'LAB'],
    'JPEG': ['L', 'RGB', 'CMYK'],
    'GIF': ['L', 'P', 'RGB'],
    'BMP': ['1', 'L', 'P', 'RGB', 'RGBA'],
    'WEBP': ['RGB', 'RGBA'],
    'PPM': ['1', 'L', 'RGB', 'I;16'],
}

@st.composite
def pictures(draw):
    kind = draw(st.sampled_from(sorted(FORMATS)))
    mode = draw(st.sampled_from(FORMATS[kind]))
    w, h = draw(st.integers(1, 20)), draw(st.integers(1, 20))
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    if mode == 'I;16': im = Image.fromarray(rng.integers(0, 65536, (h, w), dtype=np.uint16))
    elif mode == 'I': im = Image.fromarray(rng.integers(-2**31, 2**31, (h, w)).astype(np.int32))
    elif mode == 'F': im = Image.fromarray(rng.normal(size=(h, w)).astype(np.float32)*10.**draw(st.integers(-30, 30)))
    elif mode == 'LAB': im = Image.new('LAB', (w, h))
    else: im = Image.fromarray(rng.integers(0, 256, (h, w, 4), dtype=np.uint8)).convert(mode)
    im.save(f := io.BytesIO(), kind)
    return kind, f.getvalue(), (w, h)

@settings(derandomize=True, max_examples=150, deadline=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pictures(), st.data())
def test_fuzz(tmp_path, picture, data):
    kind, content, size = picture
    (tmp_path/'a.png').write_bytes(content)
    for mode in ('RGB', 'L'):
        im = open_image(tmp_path/'a.png', mode)
        assert im.mode == mode and im.size == size
    i = data.draw(st.integers(0, len(content)-1))
    bad = data.draw(st.sampled_from(['cut', 'flip', 'insert']))
    flipped = bytes([content[i] ^ data.draw(st.integers(1, 255))])
    broken = {'cut': content[:i], 'flip': content[:i]+flipped+content[i+1:],
              'insert': content[:i]+b'\xff\xff'+content[i:]}[bad]
    (tmp_path/'b.png').write_bytes(broken)
    try: assert open_image(tmp_path/'b.png').mode == 'RGB'
    except ValueError as e: assert 'b.png' in str(e) and '\n' not in str(e)

def test_fuzzed(tried):
    tried('150 pictures of random modes and formats, whole and with a cut, a flipped byte, bytes put in',
          'right, or refused in one line')

def small_png(bits, hidden):
    "A grey PNG of so many bits with the levels 0 … most, of which one is transparent"
    levels = range(2**bits)
    row = int(''.join(format(v, f'0{bits}b') for v in levels), 2).to_bytes(bits*len(levels)//8, 'big')
    head = struct.pack('>IIBBBBB', len(levels), 1, bits, 0, 0, 0, 0)
    return (b'\x89PNG\r\n\x1a\n'+chunk(b'IHDR', head)+chunk(b'tRNS', struct.pack('>H', hidden))
            +chunk(b'IDAT', zlib.compress(b'\0'+row))+chunk(b'IEND', b''))

@pytest.mark.parametrize('bits', [2, 4])
def test_transparent_level(bits, tmp_path, tried):
    (tmp_path/'a.png').write_bytes(small_png(bits, 1))
    seen = np.asarray(open_image(tmp_path/'a.png', 'L'))[0].tolist()
    most = 2**bits-1
    assert seen == [0, 255, *(255*v//most for v in range(2, most+1))]
    tried(f'a grey PNG of {bits} bits, one of whose levels is transparent', 'that level is white')

@pytest.mark.parametrize('path', [None, 3, 2.5, ['a.png']])
def test_no_path(path, tried):
    tried.refused(f'{path!r} in place of the path of a picture', lambda: open_image(path), 'a file has a path, got')
