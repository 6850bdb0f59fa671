"Detection: boxes that are not what a file says"
import copy, json, os, shutil, tempfile, time
from pathlib import Path
import numpy as np, pytest, torch
from hypothesis import HealthCheck, given, settings, strategies as st
from PIL import Image
from dfkd_nb.data import TURNS
from dfkd_nb.detr import *
from dfkd_nb.detr_hub import *
from dfkd_nb.detr_distill import *
from dfkd_nb.detr_ladder import *
from dfkd_nb.runs import Run

W, H = 32, 24
BOXES = [[2, 3, 10, 8], [14, 4, 9, 12], [20, 10, 8, 9], [4, 12, 12, 6]]

def good():
    "A COCO file of three images of 32×24 pixels, two classes and four objects"
    owner = [0, 1, 1, 2]
    return {
        'images': [dict(id=i, file_name=f'{i}.png', width=W, height=H) for i in range(3)],
        'categories': [dict(id=1, name='bird'), dict(id=3, name='drone')],
        'annotations': [dict(id=k, image_id=owner[k], category_id=(1, 3)[k % 2], bbox=list(b), area=b[2]*b[3],
                             iscrowd=0) for k,b in enumerate(BOXES)],
    }

def write(folder, d=None, name='train', images=True):
    "Write a COCO file, and the images that `good` names"
    (folder/name).mkdir(parents=True, exist_ok=True)
    for i in range(3):
        if images:
            Image.fromarray(np.random.default_rng(i).integers(0, 256, (H, W, 3), 'u1')).save(folder/name/f'{i}.png')
    (folder/f'{name}.json').write_text(d if isinstance(d, str) else json.dumps(good() if d is None else d))
    return folder/f'{name}.json', folder/name

def changed(change):
    d = good()
    change(d)
    return d

@pytest.fixture(scope='session')
def pictures(tmp_path_factory): return write(tmp_path_factory.mktemp('coco'))[1]

def said(tmp_path, pictures, change):
    "What `read_coco` gives for a changed file"
    file = tmp_path/'x.json'
    file.write_text(json.dumps(changed(change)))
    return read_coco(file, pictures)

@pytest.fixture
def folder(tmp_path):
    for s in ('train', 'val', 'test'): write(tmp_path, name=s)
    return tmp_path

def rewrite(folder, split, change):
    file = folder/f'{split}.json'
    d = json.loads(file.read_text())
    change(d)
    file.write_text(json.dumps(d))

def get(folder, **kw): return get_detection(folder, shortest=24, longest=32, **kw)


# ---- records: read right, or refused with their name

ann = lambda k, v, i=1: lambda d: d['annotations'][i].update({k: v})
img = lambda k, v, i=1: lambda d: d['images'][i].update({k: v})
cat = lambda k, v, i=1: lambda d: d['categories'][i].update({k: v})
drop = lambda name, k, i=1: lambda d: d[name][i].pop(k)

REFUSED = {
    'an image without id': (drop('images', 'id'), r'images\[1\]: has no id'),
    'an image without file_name': (drop('images', 'file_name'), r'images\[1\] \(id 1\): has no file_name'),
    'a class without name': (drop('categories', 'name'), r'categories\[1\] \(id 3\): has no name'),
    'a class without id': (drop('categories', 'id'), r'categories\[1\]: has no id'),
    'an object without image': (drop('annotations', 'image_id'), r'annotations\[1\] \(id 1\): has no image_id'),
    'an object without class': (drop('annotations', 'category_id'), r'annotations\[1\] \(id 1\): has no category_id'),
    'an object without box': (drop('annotations', 'bbox'), r'annotations\[1\] has no bbox, nor polygons'),
    'a box that is null, with RLE': (
        lambda d: d['annotations'][1].update(bbox=None, segmentation=dict(counts='abc', size=[24, 32])),
        'has no bbox, nor polygons'),
    'a box of three numbers': (ann('bbox', [1, 2, 3]), r'bbox must be \[x, y, width, height\]'),
    'a box of five numbers': (ann('bbox', [1, 2, 3, 4, 5]), 'bbox must be'),
    'a box of texts': (ann('bbox', ['1', '2', '3', '4']), 'bbox must be'),
    'a box with true in it': (ann('bbox', [True, 2, 3, 4]), 'bbox must be'),
    'a box with null in it': (ann('bbox', [1, 2, None, 4]), 'bbox must be'),
    'a box that is a table': (ann('bbox', dict(x=1, y=2, w=3, h=4)), 'bbox must be'),
    'a box in a list': (ann('bbox', [[1, 2, 3, 4]]), 'bbox must be'),
    'a box of negative width': (ann('bbox', [9, 2, -3, 4]), 'with a positive size'),
    'a box of 1e300': (ann('bbox', [1, 2, 1e300, 4]), 'bbox must be'),
    'a box of an integer of 400 digits': (ann('bbox', [1, 2, 10**400, 4]), 'bbox must be'),
    'an unknown image': (ann('image_id', 77), 'there is no image 77'),
    'an unknown class': (ann('category_id', 2), 'there is no category 2; there are 1, 3'),
    'an id that is null': (img('id', None), r'images\[1\]: id must be a whole number or a text, got None'),
    'an id that is true': (img('id', True), 'id must be a whole number'),
    'an id of 1.5': (img('id', 1.5), 'id must be a whole number'),
    'an id that is a list': (ann('image_id', [1]), r'annotations\[1\] \(id 1\): image_id must be'),
    'an id that is empty': (img('id', ''), 'id must have 1 to 200 characters'),
    'two images of one id': (img('id', 0), 'images share their id'),
    'two images of ids 0 and "0"': (img('id', '0'), 'images share their id'),
    'two images of one file': (img('file_name', './0.png'), 'images share their file_name'),
    'two classes of one id': (cat('id', 1), 'categories share their id'),
    'two classes of one name': (cat('name', 'bird '), 'categories share their name'),
    'two objects of one id': (ann('id', 0), 'share the id 0 and differ'),
    'a class whose name is a number': (cat('name', 3), r'categories\[1\] \(id 3\): name must be a text'),
    'a class without a letter': (cat('name', ' '), 'name must have 1 to 500'),
    'a class name of two lines': (cat('name', 'a\nb'), 'name must not hold control characters'),
    'a crowd of "perhaps"': (ann('iscrowd', 'perhaps'), 'iscrowd must be 0 or 1'),
    'a crowd of 2': (ann('iscrowd', 2), 'iscrowd must be 0 or 1'),
    'images that are null': (lambda d: d.update(images=None), 'images must be a list, got None'),
    'annotations as a table': (lambda d: d.update(annotations={'0': d['annotations'][0]}),
                               'annotations must be a list'),
    'no categories': (lambda d: d.pop('categories'), 'no categories'),
    'an image that is null': (lambda d: d['images'].__setitem__(1, None), r'images\[1\]: must be a table'),
    'an object that is a number': (lambda d: d['annotations'].__setitem__(1, 5), r'annotations\[1\]: must be a table'),
    'a width that is a text': (img('width', '32'), r"width must be a number, got '32'"),
    'a width of 32.5': (img('width', 32.5), 'is said to have 32.5×24 pixels'),
    'a negative height': (img('height', -24), 'is said to have 32×-24 pixels'),
    'width and height swapped': (lambda d: [i.update(width=H, height=W) for i in d['images']],
                                 r'is said to have 24×32 pixels \(width×height\)'),
    'files of half the size': (lambda d: [i.update(width=2*W, height=2*H) for i in d['images']],
                               'is said to have 64×48 pixels'),
    'files of double the size': (lambda d: [i.update(width=W//2, height=H//2) for i in d['images']],
                                 'its boxes would be wrong'),
    'a file outside, by ..': (img('file_name', '../../x.png'), 'leads out of'),
    'a file outside, by a way inside': (img('file_name', 'a/../../../etc/passwd'), 'leads out of'),
    'a file outside, from the root': (img('file_name', '/etc/hostname'), 'is an absolute path'),
    'a file outside, by backslashes': (img('file_name', '..\\..\\x.png'), 'leads out of'),
    'a file on drive C': (img('file_name', 'C:\\x\\0.png'), 'is an absolute path'),
    'a file name with a null byte': (img('file_name', '1\0.png'), 'must not hold control characters'),
    'a file name that is half a character': (img('file_name', '\ud800.png'), 'must not hold control characters'),
    'a file name of 10,000 letters': (img('file_name', 'x'*10**4), 'must have 1 to 500'),
    'a file name of 300 letters': (img('file_name', 'x'*300), 'images are not in'),
    'a file name that is a number': (img('file_name', 1), 'file_name must be a text, got 1'),
    'the folder as a file': (img('file_name', '.'), 'is a folder, not a file'),
    'corners for widths': (
        lambda d: [a.update(bbox=[a['bbox'][0], a['bbox'][1], a['bbox'][0]+a['bbox'][2], a['bbox'][1]+a['bbox'][3]])
                   for a in d['annotations']], 'all fit as corners'),
    'shares for pixels': (lambda d: [a.update(bbox=[v/32 for v in a['bbox']]) for a in d['annotations']],
                          'in pixels, multiply'),
}

@pytest.mark.parametrize('what', REFUSED)
def test_refused(what, tmp_path, pictures, tried):
    change, says = REFUSED[what]
    tried.refused(what, lambda: said(tmp_path, pictures, change), says, (ValueError, FileNotFoundError))

same = lambda r: [x['boxes'] for x in r[0]] == [BOXES[:1], BOXES[1:3], BOXES[3:]]
READ = {
    'ids as texts here, numbers there': (lambda d: [a.update(image_id=str(a['image_id'])) for a in d['annotations']],
                                         same, 'the same boxes'),
    'ids with a point (1.0)': (lambda d: [a.update(image_id=float(a['image_id']), category_id=float(a['category_id']))
                                          for a in d['annotations']], same, 'the same boxes'),
    'ids that are names': (lambda d: [i.update(id=f'a{i["id"]}') for i in d['images']]
                           + [a.update(image_id=f'a{a["image_id"]}') for a in d['annotations']],
                           same, 'the same boxes'),
    'huge ids': (lambda d: [i.update(id=i['id']+2**70) for i in d['images']]
                 + [a.update(image_id=a['image_id']+2**70) for a in d['annotations']],
                 same, 'the same boxes'),
    'objects without ids': (lambda d: [a.pop('id') for a in d['annotations']], same, 'the same boxes'),
    'no area, no iscrowd': (lambda d: [(a.pop('area'), a.pop('iscrowd')) for a in d['annotations']], same,
                            'the same boxes'),
    'no width and height': (lambda d: [(i.pop('width'), i.pop('height')) for i in d['images']], same,
                            'the sizes of the files'),
    'a width of null, a height of 0': (lambda d: [i.update(width=None, height=0) for i in d['images']], same,
                                       'the sizes of the files'),
    'sizes with a point (32.0)': (lambda d: [i.update(width=32., height=24.) for i in d['images']], same,
                                  'the same boxes'),
    'a bbox that is a polygon': (lambda d: [a.update(bbox=None, segmentation=[[x, y, x+w, y, x+w, y+h, x, y+h]])
                                            for a in d['annotations'] for x,y,w,h in [a['bbox']]], same,
                                 'the box around the polygon'),
    'a box without height': (ann('bbox', [3, 4, 5, 0]), lambda r: r[2]['flat'] == 1 and r[2]['objects'] == 3,
                             'left out and counted'),
    'a box of a millionth pixel': (ann('bbox', [3, 4, 5, 1e-6]), lambda r: r[2]['flat'] == 1, 'left out and counted'),
    'a box outside': (ann('bbox', [300, 4, 5, 5]), lambda r: r[2]['outside'] == 1, 'left out and counted'),
    'a box over the edge': (ann('bbox', [25, -4, 50, 10]),
                            lambda r: r[2]['clipped'] == 1 and r[0][1]['boxes'][0] == [25, 0, 7, 6], 'cut at the edge'),
    'a crowd': (ann('iscrowd', 1), lambda r: r[2]['crowds'] == 1 and r[2]['objects'] == 3, 'left out and counted'),
    'a crowd without a box': (lambda d: d['annotations'][1].update(iscrowd=True, bbox=None),
                              lambda r: r[2]['crowds'] == 1, 'left out and counted'),
    'an object that is there twice': (lambda d: d['annotations'].append({**d['annotations'][0], 'id': 99}),
                                      lambda r: same(r) and r[2]['doubled'] == 1, 'once, and counted'),
    'a record that is there twice': (lambda d: d['annotations'].append(d['annotations'][0]),
                                     lambda r: same(r) and r[2]['doubled'] == 1, 'once, and counted'),
    'an image without objects': (lambda d: d['annotations'].pop(0), lambda r: r[2]['empty'] == 1, 'kept and counted'),
    'class ids with gaps': (lambda d: None, lambda r: [x['labels'] for x in r[0]] == [[0], [1, 0], [1]],
                            'labels 0 and 1'),
    'classes in no order': (lambda d: d['categories'].reverse(), lambda r: r[1] == ['bird', 'drone'], 'by their ids'),
    'fields that nobody knows': (lambda d: [x.update(model_config=1, foo={'a': []}) for k in d for x in d[k]], same,
                                 'the same boxes'),
    'a name with a backslash': (img('file_name', '.\\1.png'), same, 'the same boxes'),
    'a picture that is not named': (lambda d: (d['images'].pop(0), d['annotations'].pop(0)),
                                    lambda r: r[2]['extra'] == 1, 'left out and counted'),
}

@pytest.mark.parametrize('what', READ)
def test_read(what, tmp_path, pictures, tried):
    change, right, answer = READ[what]
    assert right(r := said(tmp_path, pictures, change)), r
    tried(what, answer)

@pytest.mark.parametrize('what, text, says', [
    ('a JSON cut short', json.dumps(good())[:-9], 'is no JSON'),
    ('nothing', '', 'is no JSON'),
    ('a list', '[]', "not in COCO's format: no images, categories, annotations"),
    ('a number', '3', "not in COCO's format"),
    ('3,000 brackets in brackets', '['*3000+']'*3000, 'nested'),
    ('NaN in a box', json.dumps(good()).replace('[2, 3, 10, 8]', '[NaN, 3, 10, 8]'), 'NaN'),
    ('1e999 in a box', json.dumps(good()).replace('[2, 3, 10, 8]', '[1e999, 3, 10, 8]'), 'no finite number'),
    ('a box said twice', json.dumps(good()).replace('"area"', '"bbox": [1, 2, 3, 4], "area"', 1), 'twice')])
def test_no_json(what, text, says, tmp_path, pictures, tried):
    (tmp_path/'x.json').write_text(text)
    tried.refused(what, lambda: read_coco(tmp_path/'x.json', pictures), says)

def test_files(tmp_path, pictures, tried):
    file, folder = write(tmp_path)
    (tmp_path/'out.png').write_bytes((folder/'1.png').read_bytes())
    keep = (folder/'1.png').read_bytes()
    def with_(make):
        (folder/'1.png').unlink(missing_ok=True)
        make(folder/'1.png')
    for what, make, says in [
            ('an image that is not there', lambda p: None, '1 of 3 images are not in'),
            ('a link out of the folder', lambda p: p.symlink_to(tmp_path/'out.png'), 'leads out of'),
            ('a link to nothing', lambda p: p.symlink_to(folder/'nowhere'), 'are not in'),
            ('a pipe for an image', lambda p: os.mkfifo(p), 'a pipe'),
            ('a text for an image', lambda p: p.write_text('hello'), 'is none of PNG'),
            ('an empty image', lambda p: p.write_bytes(b''), 'is empty')]:
        with_(make)
        tried.refused(what, lambda: read_coco(file, folder), says, (ValueError, FileNotFoundError))
    with_(lambda p: p.symlink_to('0.png'))
    assert same(read_coco(file, folder))
    tried('a link within the folder', 'followed')
    with_(lambda p: p.write_bytes(keep))
    tried.refused('a JSON that is not there', lambda: read_coco(tmp_path/'y.json', folder), 'there is no such file',
                  FileNotFoundError)
    tried.refused('a folder that is not there', lambda: read_coco(file, tmp_path/'nowhere'), 'there is no such folder',
                  FileNotFoundError)
    tried.refused('a folder for a JSON', lambda: read_coco(folder, folder), 'is a folder')
    big = tmp_path/'big.json'
    with open(big, 'wb') as f: f.truncate(2 << 30)
    tried.refused('a JSON of 2 GB', lambda: read_coco(big, folder), 'at most 1,073,741,824')

@pytest.mark.parametrize('where', ['jpeg', 'png', 'webp', 'png, noted last'])
@pytest.mark.parametrize('orientation', range(1, 9))
def test_turned(where, orientation, tmp_path, tried):
    "A white box on black: whatever the JSON speaks of, the boxes lie on it"
    kind = where[:4].strip(',')
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = np.zeros((H, W, 3), 'u1')
    stored[4:12, 6:20] = 255
    (tmp_path/'train').mkdir()
    file = tmp_path/f'train/a.{kind}'
    Image.fromarray(stored).save(file, exif=exif, **({} if kind == 'png' else dict(quality=100)))
    if where.endswith('last'):              # the note behind the pixels
        data = file.read_bytes()
        i = data.index(b'eXIf')-4
        n = 12+int.from_bytes(data[i:i+4], 'big')
        file.write_bytes(data[:i]+data[i+n:-12]+data[i:i+n]+data[-12:])
    turn = TURNS.get(orientation)
    upright = np.asarray(Image.open(file) if turn is None else Image.open(file).transpose(turn))
    ys, xs = np.nonzero(upright[..., 0] > 128)
    want = [xs.min(), ys.min(), xs.max()+1-xs.min(), ys.max()+1-ys.min()]
    for box, size, of in ((want, upright.shape[1::-1], 'upright'), ([6, 4, 14, 8], (W, H), 'stored')):
        if of == 'stored' and orientation < 5: continue      # both have one size: the upright one is meant
        d = dict(images=[dict(id=1, file_name=file.name, width=size[0], height=size[1])],
                 categories=[dict(id=1, name='a')],
                 annotations=[dict(image_id=1, category_id=1, bbox=list(map(int, box)))])
        (tmp_path/'train.json').write_text(json.dumps(d))
        [r], _, n = read_coco(tmp_path/'train.json', tmp_path/'train')
        assert np.allclose(r['boxes'], [want], atol=1) and (r['height'], r['width']) == upright.shape[:2]
        assert n['turned'] == (of == 'stored')
        if where == 'jpeg': tried(f'EXIF orientation {orientation}, boxes of the {of} picture', 'on the object')


# ---- sets

def test_set(folder, tried):
    data = get(folder)
    x, labels, boxes = data.read('train')
    assert x.shape == (3, 3, H, W) and labels.tolist() == [[0, -1], [1, 0], [1, -1]]
    assert torch.allclose(boxes[0, 0], torch.tensor([7/W, 7/H, 10/W, 8/H]))
    tried('a set as it should be', 'its boxes')

def spelt(to):
    def rename(f):
        for end in ('', '.json'): (f/f'val{end}').rename(f/f'{to}{end}')
    return rename

def roboflow(f):
    spelt('valid')(f)
    for s in ('train', 'valid', 'test'): (f/f'{s}.json').rename(f/s/'_annotations.coco.json')

def coco2017(inside):
    def move(f):
        (f/'annotations').mkdir()
        (f/'images').mkdir()
        for s in ('train', 'val', 'test'):
            (f/f'{s}.json').rename(f/f'annotations/instances_{s}2017.json')
            (f/s).rename(f/(f'images/{s}2017' if inside else f'{s}2017'))
    return move

@pytest.mark.parametrize('what, move, kw', [
    ('`valid` for `val`', spelt('valid'), {}),
    ('`validation` for `val`', spelt('validation'), {}),
    ('another name for `val`', spelt('dev'), dict(splits={'val': 'dev'})),
    ("Roboflow's layout", roboflow, {}),
    ("COCO's layout", coco2017(False), {}),
    ("COCO's layout, images/ inside", coco2017(True), {}),
    ('a layout of your own', lambda f: [(f/f'{s}.json').rename(f/s/'a.json') for s in ('train', 'val', 'test')],
     dict(annotations='{split}/a.json')),
])
def test_layouts(what, move, kw, folder, tried):
    move(folder)
    for s in ('train', 'val', 'test'): assert len(get(folder, **kw).read(s)[0]) == 3
    tried(what, 'found')

def no_objects(d): d['annotations'].clear()
def no_images(d): d.update(images=[], annotations=[])
def one_class(d): d.update(annotations=[a for a in d['annotations'] if a['category_id'] == 1])

@pytest.mark.parametrize('what, change, says, kw', [
    ('no ground truth in val', lambda f: rewrite(f, 'val', no_objects), r'val.json: there is no object in its 3 images',
     {}),
    ('no ground truth in test', lambda f: rewrite(f, 'test', no_objects), r'test.json: there is no object', {}),
    ('no ground truth in train', lambda f: rewrite(f, 'train', no_objects), r'train.json: there is no object', {}),
    ('a split without images', lambda f: rewrite(f, 'test', no_images),
     r'test.json: there is no object in its 0 images', {}),
    ('a class without a box in train', lambda f: rewrite(f, 'train', one_class),
     'has boxes of drone, of which train.json of train has none', {}),
    ('a class that only val knows', lambda f: rewrite(f, 'val', cat('name', 'kite')), 'has boxes of kite', {}),
    ('no val', lambda f: (f/'val.json').unlink(), 'there are no annotations of the split val', {}),
    ('val.json and valid.json', lambda f: (f/'valid.json').write_text('{}'),
     'lies in several places: val.json, valid.json', {}),
    ('train.json, and annotations in train/', lambda f: (f/'train/_annotations.coco.json').write_text('{}'),
     'lies in several places', {}),
    ('annotations= without {split}', lambda f: None, r'annotations must name a place with \{split\} in it',
     dict(annotations='train.json')),
    ('splits= of another split', lambda f: None, 'splits may name train, val, test', dict(splits={'dev': 'x'})),
    ('splits= that is no text', lambda f: None, 'splits', dict(splits={'val': 3})),
    ('an image cut short', lambda f: (f/'train/1.png').write_bytes((f/'train/1.png').read_bytes()[:120]),
     'cannot be read as an image', {}),
])
def test_sets_refused(what, change, says, kw, folder, tried):
    change(folder)
    tried.refused(what, lambda: get(folder, **kw).read('train'), says)

@pytest.mark.parametrize('w, h', [(10000, 1), (1, 10000), (2, 3000), (64, 1), (1, 64)])
def test_nothing_left_of_the_short_side(w, h, folder, tried):
    for width, height in ((63, 1), (63, 3), (w, h)):          # a few rows are left, and do not pass for channels
        Image.new('RGB', (width, height)).save(folder/'val/1.png')
        rewrite(folder, 'val', lambda d, of=(width, height): (
            d['images'][1].update(width=of[0], height=of[1]), d.update(annotations=d['annotations'][:1])))
        if width == 63: assert not get(folder).read('val')[0][1,:,height:].any()
    tried.refused(f'a picture of {w}×{h} pixels', lambda: get(folder), rf'val/1\.png: has {w}×{h} pixels')

@pytest.mark.parametrize('kw, says', [
    (dict(shortest=0), 'shortest must be at least 4'),
    (dict(longest=10**6), 'longest must be at most'),
    (dict(shortest=64, longest=32), 'longest must be at least shortest'),
    (dict(n_train=0), 'n_train must be at least 1'),
    (dict(size=True), 'size must be a whole number'),
    (dict(shortest=float('nan')), 'shortest must be'),
])
def test_arguments_of_sets(kw, says, folder, tried):
    tried.refused(f'get_detection with {kw}', lambda: get_detection(folder, **kw), says)

def test_names(folder, tried, monkeypatch):
    monkeypatch.setenv('DFKD_DATA', str(folder/'nowhere'))
    tried.refused('the empty name', lambda: get_detection(''), 'needs a name')
    tried.refused('no such name', lambda: get_detection('nowhere'),
                  "unknown data set 'nowhere': there are scenes, any folder")
    folder.joinpath('scenes').mkdir()
    for p in list(folder.iterdir()):
        if p.name != 'scenes': shutil.move(p, folder/'scenes')
    monkeypatch.chdir(folder)
    with pytest.warns(UserWarning, match='the built-in set is passed over'): data = get('scenes')
    assert data.classes == ['bird', 'drone']
    tried('`scenes`, where there is a folder scenes/', 'the folder; the built-in set is said to be passed over')

def test_unused_class(folder, tried):
    for s in ('train', 'val', 'test'):
        rewrite(folder, s, lambda d: d['categories'].insert(0, dict(id=0, name='things', supercategory='none')))
    with pytest.warns(UserWarning, match='left out 1 classes without a box: things'): data = get(folder)
    assert data.classes == ['bird', 'drone'] and data.read('val')[1].tolist() == [[0, -1], [1, 0], [1, -1]]
    tried("Roboflow's category without a box", 'left out and said')

def test_classes_by_name(folder, tried):
    def swap(d):
        d['categories'][0]['id'] = 3
        d['categories'][1]['id'] = 1
        for a in d['annotations']: a['category_id'] = 4-a['category_id']
    rewrite(folder, 'val', swap)
    assert (data := get(folder)).read('val')[1].tolist() == data.read('train')[1].tolist()
    tried('other ids for the same classes in val', 'told apart by their names')

def test_dropped_is_said(folder, tried):
    rewrite(folder, 'train',
            lambda d: d['annotations'].append(dict(id=50, image_id=0, category_id=1, bbox=[1, 1, 0, 5])))
    with pytest.warns(UserWarning, match='train.json: left out boxes without area'): data = get(folder)
    assert data.identity['met']['train']['flat'] == 1
    tried('a box of zero width (COCO has some)', 'left out, counted and said')

def test_mixed_depths(folder, tried):
    "16 bits, grey, transparent: through `open_image`"
    Image.fromarray(np.full((H, W), 257*100, np.uint16)).save(folder/'train/0.png')
    Image.new('RGBA', (W, H), (0, 0, 0, 0)).save(folder/'train/1.png')
    x = get(folder).read('train')[0]
    assert (x[0] == 100).all() and (x[1] == 255).all()
    tried('frames of 16 bits, frames that are transparent', 'as every reader has them')

def test_large_file(tmp_path, pictures):
    "50,000 annotations are checked in seconds."
    d = good()
    d['annotations'] = [dict(id=i, image_id=i % 3, category_id=1, bbox=[i % 20, i % 11, 1+i % 7/8, 2+i/10**5])
                        for i in range(5*10**4)]
    (tmp_path/'x.json').write_text(json.dumps(d))
    start = time.process_time()
    assert read_coco(tmp_path/'x.json', pictures)[2]['objects'] == 5*10**4
    assert time.process_time()-start < 10


# ---- a valid file, mutated at random

VALUES = st.sampled_from([None, True, 0, -1, 1, 1.5, 3, 10**30, 1e308, '', '1', 'x', '../x', [], {}, [1], [1, 2, 3, 4],
                          [0, 0, 0, 0], ['a']*4, {'a': 1}, [[]], [[1, 2, 3, 4, 5, 6]]])

@st.composite
def mutated(draw):
    "A valid COCO file in which up to three things were changed, taken away, or doubled"
    d = good()
    for _ in range(draw(st.integers(1, 3))):
        at, places = d, []
        while isinstance(at, (dict, list)) and at:
            key = draw(st.sampled_from(sorted(at)) if isinstance(at, dict) else st.integers(0, len(at)-1))
            places.append((at, key))
            at = at[key]
        if not places: break
        inside, key = places[draw(st.integers(0, len(places)-1))]
        how = draw(st.integers(0, 4))
        if how == 0: del inside[key]
        elif how == 1 and isinstance(inside, list): inside.append(copy.deepcopy(inside[key]))
        else: inside[key] = copy.deepcopy(draw(VALUES))
    return d

@settings(derandomize=True, max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(mutated())
def test_fuzz(pictures, d):
    "Read right, or refused in one line with the file's name."
    file = pictures.parent/'fuzz.json'
    file.write_text(json.dumps(d))
    try: records, classes, n = read_coco(file, pictures)
    except (ValueError, FileNotFoundError) as e:
        assert type(e) in (ValueError, FileNotFoundError) and '\n' not in str(e) and len(str(e)) < 700
        assert 'fuzz.json' in str(e) or str(pictures) in str(e)
        return
    assert n['objects'] == sum(len(r['labels']) for r in records) and len(set(classes)) == len(classes)
    for r in records:
        assert (r['width'], r['height']) == (W, H) and len(r['labels']) == len(r['boxes'])
        assert all(0 <= l < len(classes) for l in r['labels'])
        for x, y, w, h in r['boxes']: assert 0 <= x < x+w <= W+1e-9 and 0 <= y < y+h <= H+1e-9


# ---- arguments that mean nothing, and what a run folder says

NONE = torch.full((4, 1), -1), torch.zeros(4, 1, 4)

def toy(val=None):
    "Eight drawn scenes of 32 pixels, the same in each split"
    splits = {s: lambda: draw_set(8, 2, 32) for s in ('train', 'val', 'test')}
    if val is not None: splits['val'] = val
    return DetectionData('toy', splits, FLYING, {'toy': str(val)})

def fake(**changes):
    "A run of a teacher as its result says, without weights"
    result = {'stage': 'detr_teacher', 'model': 'detr_micro', 'metrics': {'map50': .5},
              'params': {'classes': list(FLYING)}}
    for k,v in changes.items(): (result['params'] if k in ('classes', 'pretrained', 'arch') else result)[k] = v
    home = Path(tempfile.mkdtemp())
    (home/'result.json').write_text('{}')
    return type('Run', (Run,), dict(stage='detr_teacher', path=home, result=result, weights={}, identity=result,
                                    __init__=lambda self: None, __repr__=lambda self: 'Run(fake)'))()

inf, nan = float('inf'), float('nan')
@pytest.mark.parametrize('kw, says', [
    (dict(epochs=0), 'epochs must be at least 1, got 0'),
    (dict(epochs=-1), 'epochs must be'),
    (dict(epochs=1.5), 'epochs must be'),
    (dict(epochs=True), 'epochs must be'),
    (dict(bs=0), 'bs must be at least 1'),
    (dict(lr=0), 'lr must be above 0'),
    (dict(lr=inf), 'lr must be'),
    (dict(lr=nan), 'lr must be'),
    (dict(lr='fast'), 'lr must be'),
    (dict(wd=-1.), 'wd must be at least 0'),
    (dict(seed=-1), 'seed must be'),
    (dict(seed=2**31), 'seed must be'),
    (dict(model='detr'), "model must be one of 'detr_tiny'"),
    (dict(model=['detr_tiny']), 'model must be'),
    (dict(augment='yes'), 'augment must be'),
    (dict(variant='../x'), 'variant must be'),
    (dict(pretrained='facebook/detr-resnet-50'), 'takes no pretrained'),
    (dict(model='detr_slim', pretrained='/nowhere/at/all'), 'brings its own backbone'),
    (dict(model='detr_resnet50', pretrained='/nowhere/at/all'), 'cannot be read as a DETR'),
])
def test_teacher_arguments(kw, says, tried):
    tried.refused(f'a teacher with {kw}', lambda: train_detr(toy(), **{'model': 'detr_micro', 'epochs': 1, **kw}), says)

@pytest.mark.parametrize('kw, says', [
    (dict(lam=-1), 'lam must be at least 0'),
    (dict(lam=nan), 'lam must be'),
    (dict(epochs=0), 'epochs'),
    (dict(bs=0), 'bs'),
    (dict(lr=inf), 'lr'),
    (dict(betas=(.5, 1.)), r'betas\[1\] must be below 1'),
    (dict(betas=.5), 'betas must be'),
    (dict(widths=()), 'widths'),
    (dict(widths=(8, 0)), r'widths\[1\] must be at least 1'),
    (dict(widths=(8, 4)), 'as many layers, got 2 and 3'),
    (dict(z=0), 'z must be'),
    (dict(axes=0), 'axes must be'),
    (dict(dropout=1.), 'dropout must be below 1'),
    (dict(ema=1.), 'ema must be below 1'),
    (dict(probe_batch=0), 'probe_batch'),
    (dict(probe_every=0), 'probe_every'),
    (dict(arch='gan'), "arch must be 'cgan' or 'strong'"),
])
def test_generator_arguments(kw, says, tried):
    tried.refused(f'a generator of scenes with {kw}', lambda: train_scene_generator(toy(), fake(), **kw), says)

@pytest.mark.parametrize('kw, says', [
    (dict(student='nope'), 'student must be one of'),
    (dict(matching='order'), "matching must be 'hungarian' or 'index'"),
    (dict(n_images=0), 'n_images'),
    (dict(epochs=0), 'epochs'),
    (dict(bs=-3), 'bs'),
    (dict(lr=-1.), 'lr'),
    (dict(min_score=1.5), 'min_score must be at most 1'),
    (dict(min_score=nan), 'min_score'),
    (dict(tau=0), 'tau must be above 0'),
])
def test_student_arguments(kw, says, tried):
    tried.refused(f'a student with {kw}', lambda: distill_detr(fake(), NoiseFrames((3, 32, 32)), toy(), **kw), says)

@pytest.mark.parametrize('kw, says', [
    (dict(rounds=0), 'rounds'),
    (dict(n_images=0), 'n_images'),
    (dict(steps=-1), 'steps'),
    (dict(most=0), 'most must be'),
    (dict(smallest=.5, largest=.2), 'smallest first'),
    (dict(smallest=0.), 'sizes must lie within'),
    (dict(largest=nan), 'largest'),
    (dict(detail=-1.), 'detail must be at least 0'),
    (dict(detail=inf), 'detail'),
    (dict(min_score=2), 'min_score must be at most 1'),
    (dict(shape=(1, 32, 32)), 'shape'),
    (dict(shape=(3, 0, 32)), 'shape'),
    (dict(shape=None), 'does not say the shape'),
    (dict(n_images=10**7), 'memory'),
])
def test_inversion_arguments(kw, says, tried):
    teacher = fake()
    teacher.weights = create_detector('detr_micro', 4).net.state_dict()
    given = {'shape': (3, 32, 32), **kw}
    tried.refused(f'objects inverted with {kw}', lambda: invert_objects(teacher, **given), says)

def bank(**changes):
    "A run of `invert_objects` that holds two objects, with changes to what it holds"
    objects = {'canvases': torch.zeros(2, 4, 32, 32, dtype=torch.uint8), 'labels': torch.tensor([0, 1]),
               'boxes': torch.full((2, 4), .5)}
    run = fake(params={'shape': [3, 32, 32], 'mean': [.5]*3})
    run.stage = 'detr_objects'
    run.weights = {'objects': {**objects, **changes}, 'layouts': free_layouts(2)}
    return run

@pytest.mark.parametrize('change, says', [
    (dict(labels=torch.tensor([0, 2])), 'other classes'),
    (dict(labels=torch.tensor([0, 0])), 'no object'),
    (dict(labels=torch.tensor([0., 1.])), 'other classes'),
    (dict(boxes=torch.full((2, 4), nan)), 'boxes of the objects'),
    (dict(boxes=torch.full((2, 4), 7.)), 'outside the image'),
    (dict(canvases=torch.zeros(2, 3, 32, 32, dtype=torch.uint8)), 'no canvases'),
    (dict(canvases=torch.zeros(2, 4, 32, 32)), 'no canvases'),
    (dict(more=torch.zeros(1)), 'holds no objects'),
])
def test_objects(change, says, tried):
    assert InvertedScenes(bank()).sample(3)[0].shape == (3, 3, 32, 32)
    what = f'objects of a run folder with another {next(iter(change))}'
    tried.refused(what, lambda: InvertedScenes(bank(**change)), says)

def test_grounds(tried):
    for what, x, says in (('of another size', torch.zeros(2, 3, 16, 16, dtype=torch.uint8), 'the scenes are to be'),
                          ('of fractions', torch.rand(2, 3, 32, 32)*7, 'grounds'),
                          ('that are none', torch.zeros(0, 3, 32, 32, dtype=torch.uint8), 'grounds')):
        tried.refused(f'foreign grounds {what}', lambda x=x: InvertedScenes(bank(), x), says)
    tried.refused('a detector where objects are expected', lambda: InvertedScenes(fake()), 'detr_objects')

@pytest.mark.parametrize('what, run, says', [
    ('a teacher of other classes', fake(classes=['bird', 'kite']),
     'the teacher knows bird, kite, the data bird, drone'),
    ('a teacher of these classes in another order', fake(classes=list(FLYING[::-1])),
     'the teacher knows plane, helicopter'),
    ('a teacher whose classes are null', fake(classes=None), 'is not a detector'),
    ('a teacher whose classes are a text', fake(classes='bird'), 'is not a detector'),
    ('a teacher of an unknown network', fake(model='/etc/passwd'), 'is not a detector'),
    ('a teacher without weights', fake(), 'another architecture than the result says'),
])
def test_teachers(what, run, says, tried):
    tried.refused(what, lambda: distill_detr(run, NoiseFrames((3, 32, 32)), toy()), says)

def test_a_teacher_that_finds_nothing(monkeypatch, tried):
    "Measured on the frames at hand, whatever its result says"
    import dfkd_nb.detr_distill as module
    monkeypatch.setattr(module, 'load_detector', lambda run: create_detector('detr_micro', 4))
    monkeypatch.setattr(module, 'evaluate_detector', lambda T, data: {'map50': 0.})
    teacher = fake(metrics={'map50': .9})
    tried.refused('a teacher that finds nothing', lambda: can_teach(teacher, toy()), 'finds nothing in the test frames')

@pytest.mark.parametrize('arch, says', [
    (dict(pretrained_cfg=dict(url='http://x')), 'pretrained_cfg'),
    (dict(backbone='/some/file'), 'backbone'),
    (dict(backbone=dict(depths=[10**9]*4)), 'backbone'),
    (dict(d_model=10**9), 'd_model'),
    (dict(encoder_layers=10**6), 'encoder_layers'),
    (dict(num_queries='many'), 'num_queries'),
    (dict(d_model=True), 'd_model'),
    (dict(pretrained='facebook/detr-resnet-50'), 'cannot have pretrained'),
    (dict(scratch=True), 'cannot have scratch'),
    ([], 'arch'),
])
def test_run_that_fetches(arch, says, tried, monkeypatch):
    "Nothing in a result of a detector names a file or an address."
    from transformers import DetrForObjectDetection
    monkeypatch.setattr(DetrForObjectDetection, 'from_pretrained', lambda *a, **k: pytest.fail('fetched'))
    tried.refused(f'a run folder whose detector has arch = {arch}',
                  lambda: load_detector(fake(model='detr_slim', pretrained='x/y', arch=arch)), says)

@pytest.mark.parametrize('what, arch, says', [
    ('10^9 classes', dict(classes=10**9, shape=[3, 32, 32]), 'classes must be at most'),
    ('widths of 10^9', dict(classes=4, shape=[3, 32, 32], widths=[10**9]), 'widths'),
    ('no shape', dict(classes=4), 'is not that of a generator'),
    ('a name of its own', dict(classes=4, shape=[3, 32, 32], url='x'), 'is not that of a generator'),
    ('null', None, 'is not that of a generator'),
    ('a width that does not fit its weights', dict(classes=4, shape=[3, 32, 32], widths=[8, 4]),
     'another architecture'),
])
def test_generators(what, arch, says, tried):
    run = fake(params={'arch': arch})
    run.stage, run.weights = 'detr_generator', {'generator': {}, 'stats': {}}
    tried.refused(f'a generator of scenes whose result says {what}', lambda: GanScenes(run), says)

@pytest.mark.parametrize('what, name, value, says', [
    ('whole numbers', 'count', torch.tensor([0, 1, 2]), 'are no floats'),
    ('true and false', 'share', torch.tensor([True, True]), 'are no floats'),
    ('ten thousand objects in an image', 'count', torch.full((10**4,), 1e-4), 'up to 9,999 objects'),
    ('no image', 'count', torch.ones(1), 'are not those of'),
    ('an object that is not there', 'count', torch.tensor([0., -1.]), 'negative'),
    ('a size of NaN', 'mean', torch.full((2, 4), nan), 'finite|NaN'),
])
def test_numbers_of_layouts(what, name, value, says, tried):
    tried.refused(f'layouts of {what}', lambda: check_layout({**free_layouts(2), name: value}, 2), says)

def test_no_truth(tried):
    def empty(): return torch.zeros(4, 3, 32, 32, dtype=torch.uint8), *NONE
    tried.refused('a teacher where val has no object', lambda: train_detr(toy(val=empty), 'detr_micro', epochs=1),
                  'toy/val: there is no object')
    data = toy()
    found = detect(create_detector('detr_micro', 4), data.read('val')[0])
    for name, measure in (
            ('mean_ap', lambda: mean_ap(found, *NONE, (32, 32), FLYING)),
            ('precision_recall', lambda: precision_recall(found, *NONE)),
    ):
        tried.refused(f'{name} without ground truth', measure, 'there is no object')
    tried.refused('class probes without a class',
                  lambda: class_box_probes(create_detector('detr_micro', 4), *data.read('val'), 9),
                  'no object of class 4')
    tried.refused('layouts of one object',
                  lambda: layout_stats(torch.tensor([[0]]), torch.tensor([[[.5, .5, .1, .1]]]), 1), 'two at least')

def test_not_finite(tried):
    from dfkd_nb.checks import NotFinite
    out = dict(create_detector('detr_micro', 4)(torch.zeros(2, 3, 32, 32)).items())
    out['logits'] = out['logits']*nan
    labels, boxes = torch.tensor([[0], [1]]), torch.full((2, 1, 4), .5)
    tried.refused('predictions that are not numbers', lambda: set_loss(out, labels, boxes), 'no longer finite',
                  NotFinite)

def test_boxes_of_sets(tried):
    x, labels, boxes = draw_set(2, 0, 32)
    for what, change, says in (
            ('boxes in pixels', lambda: (x, labels, boxes*32), 'as shares'),
            ('boxes that are NaN', lambda: (x, labels, boxes*nan), 'as shares'),
            ('floats for images', lambda: (x.float(), labels, boxes), 'must be uint8'),
            ('labels beyond the classes', lambda: (x, labels+4, boxes), 'labels must be below'),
            ('fewer labels than images', lambda: (x, labels[:1], boxes), 'do not belong together'),
    ):
        data = DetectionData('toy', {'train': change}, FLYING, {})
        tried.refused(f'a set with {what}', lambda data=data: data.read('train'), says)

def test_crowded(tried):
    "More objects than queries are said."
    with pytest.warns(UserWarning, match='can name 8 objects an image, and there are up to 9'):
        say_crowded(create_detector('detr_micro', 4), torch.zeros(1, 9))
    tried('more objects in an image than the detector has queries', 'said')

def test_pretrained(tmp_path, monkeypatch, tried):
    "A detector that started from published weights is built again without them."
    from transformers import DetrForObjectDetection
    net = HubDetr(7, **HUB['detr_slim']).net
    net.save_pretrained(tmp_path/'published')
    mine = create_detector('detr_resnet50', 4, pretrained=str(tmp_path/'published'))
    arch = arch_of(mine.net.net)
    assert arch['d_model'] == 96 and arch['backbone']['hidden_sizes'] == [32, 64, 96, 128] and count(mine)['frozen'] > 0
    run = fake(model='detr_resnet50', pretrained=str(tmp_path/'published'), arch=arch)
    run.weights = mine.net.state_dict()
    shutil.rmtree(tmp_path/'published')
    monkeypatch.setattr(DetrForObjectDetection, 'from_pretrained', lambda *a, **k: pytest.fail('fetched'))
    again, x = load_detector(run), torch.rand(1, 3, 32, 32)
    with torch.no_grad(): assert torch.equal(again(x)['boxes'], mine.eval()(x)['boxes'])
    tried('a detector that started from published weights, in a run folder',
          'built from its description; nothing is fetched')

def test_interrupted_generator(tmp_path, monkeypatch, tried):
    "A generator of scenes that is broken off goes on to the same bytes; a broken checkpoint is a fresh start."
    import dfkd_nb.detr_distill as module
    from dfkd_nb.runs import Due
    monkeypatch.setattr(Due, '__call__', lambda self, last=False: True)        # a checkpoint after each epoch
    data = toy()
    teacher = fake()
    teacher.weights = create_detector('detr_micro', 4).eval().net.state_dict()
    def train(root):
        return train_scene_generator(data, teacher, epochs=3, bs=4, widths=(4,), d_widths=(4,), z=4, axes=4,
                                     root=tmp_path/root)
    whole, play = train('whole'), play_scenes
    calls = []
    def breaks(*args):
        calls.append(1)
        if len(calls) == 2: raise KeyboardInterrupt
        return play(*args)
    monkeypatch.setattr(module, 'play_scenes', breaks)
    with pytest.raises(KeyboardInterrupt): train('broken')
    monkeypatch.setattr(module, 'play_scenes', play)
    again = train('broken')
    assert again.result['weights'] == whole.result['weights'] and [r['epoch'] for r in again.result['log']] == [1, 2, 3]
    tried('a generator of scenes, broken off after an epoch', 'the same bytes')

def test_interrupted_inversion(tmp_path, monkeypatch, tried):
    "Objects that were broken off go on to the same bytes."
    import dfkd_nb.detr_ladder as module
    from dfkd_nb.runs import Due
    monkeypatch.setattr(Due, '__call__', lambda self, last=False: True)        # a checkpoint after each round
    monkeypatch.setattr(module, 'recognised', lambda T, c, *rest: torch.ones(len(c), dtype=torch.bool))
    teacher = fake()
    teacher.weights = create_detector('detr_micro', 4).eval().net.state_dict()
    def make(root): return invert_objects(teacher, (3, 32, 32), rounds=3, n_images=2, steps=2, root=tmp_path/root)
    whole, step, calls = make('whole'), module.ObjectInversion.round, []
    def breaks(self):
        calls.append(1)
        if len(calls) == 2: raise KeyboardInterrupt
        return step(self)
    monkeypatch.setattr(module.ObjectInversion, 'round', breaks)
    with pytest.raises(KeyboardInterrupt): make('broken')
    monkeypatch.setattr(module.ObjectInversion, 'round', step)
    again = make('broken')
    assert again.result['weights'] == whole.result['weights'] and [r['epoch'] for r in again.result['log']] == [1, 2, 3]
    tried('an inversion of objects, broken off after a round', 'the same bytes')

def test_nothing_recognised(tmp_path, tried):
    "A teacher that has learnt nothing recognises nothing: no empty bank is written."
    teacher = fake()
    teacher.weights = create_detector('detr_micro', 4).eval().net.state_dict()
    def make(): return invert_objects(teacher, (3, 32, 32), rounds=1, n_images=2, steps=1, min_score=.99, root=tmp_path)
    tried.refused('objects of a teacher that recognises none', make, 'the teacher recognises none')
    assert not list(tmp_path.glob('*/*/result.json'))

def test_scenes_beyond_memory(tried):
    for what in (dict(n_train=10**9), dict(size=4096, n_train=1000)):
        tried.refused(f'drawn scenes: {what}', lambda what=what: get_detection('scenes', **what), 'memory')
