"Bundles and students: what someone else's folder says of itself"
import json, os, re, resource, shutil
from pathlib import Path
import pytest, torch, yaml
from hypothesis import HealthCheck, given, settings, strategies as st
from dfkd_nb.bundle import Bundle, card_student, compress, load_student, preflight, save_bundle, save_student
from dfkd_nb.checks import file_hashes, parse_json
from dfkd_nb.data import get_data
from dfkd_nb.gan import Generator, train_generator
from dfkd_nb.models import create_net
from dfkd_nb.probes import class_probes
from dfkd_nb.recipes import recipe_for
from dfkd_nb.runs import flatten_tree, load_tree, save_tree, weights_hash
from dfkd_nb.training import train_teacher

PARTS = 'teacher', 'probes', 'generator'

@pytest.fixture(scope='session')
def digits(): return get_data('digits')

@pytest.fixture(scope='session')
def made(digits, tmp_path_factory):
    "A bundle of the finished stages that travel with the repository"
    teacher = train_teacher(digits, **recipe_for('digits', 'teacher'), seed=0)
    probes = class_probes(digits, teacher, seed=0)
    generator = train_generator(digits, teacher, probes, **recipe_for('digits', 'generator'), seed=0)
    return save_bundle(tmp_path_factory.mktemp('made')/'digits.bundle', teacher, probes, generator, digits.classes,
                       licence='CC-BY-4.0')

@pytest.fixture(scope='session')
def student(made, tmp_path_factory):
    bundle, home = Bundle(made), tmp_path_factory.mktemp('student')
    run = compress(bundle, 'vit_digits_student', 'noise', n_images=64, epochs=1, root=home/'runs')
    return save_student(home/'student', run, bundle)

def rewrite(file, change):
    "Change what a JSON or YAML file says"
    if file.suffix == '.json': read, write = json.loads, json.dumps
    else: read, write = yaml.safe_load, lambda x: yaml.safe_dump(x, sort_keys=False)
    said = read(file.read_text())
    changed = change(said)
    file.write_text(write(said if changed is None else changed))

def seal(folder):
    "A forger's work: the hashes of the card are made anew, so that only what is said can betray it"
    names = [f'{p}/{f}' for p in PARTS if (folder/p).is_dir() for f in ('result.json', 'weights.safetensors')]
    rewrite(folder/'card.yaml', lambda card: card.update(files=file_hashes(folder, names)))
    return folder

@pytest.fixture
def forge(made, tmp_path):
    "forge(part, change) -> a copy of the bundle whose result says something else, with hashes to match"
    def make(part, change):
        copy = tmp_path/'forged'
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(made, copy)
        rewrite(copy/'card.yaml' if part == 'card' else copy/part/'result.json', change)
        return copy if part == 'card' else seal(copy)
    return make

def put(*path_and_value):
    "put('a', 'b', 3)(said) sets said['a']['b'] = 3"
    *path, key, value = path_and_value
    def change(said):
        for p in path: said = said[p]
        said[key] = value
    return change

def drop(*path):
    *path, key = path
    def change(said):
        for p in path: said = said[p]
        del said[key]
    return change

def rename(old, new):
    def change(card): card['files'][new] = card['files'].pop(old)
    return change

# --- the card

CARDS = {
    'of a newer format': (put('format', 2), 'upgrade'),
    'whose format is a text': (put('format', '1'), 'not the card'),
    'whose format is `true`': (put('format', True), 'not the card'),
    'of format 0': (put('format', 0), "'format'"),
    'that is a list': (lambda card: [card], 'not the card'),
    'with a name nobody knows': (put('run_this', 'x'), "'run_this'"),
    'without classes': (drop('classes'), "'classes'"),
    'whose classes are null': (put('classes', None), "'classes'"),
    'whose classes are a text': (put('classes', '0123456789'), "'classes'"),
    'with 3 classes for 10': (put('classes', ['a', 'b', 'c']), 'number of classes is 3'),
    'with a class named twice': (put('classes', [*'012345678', '8']), 'twice'),
    'with a class without a name': (put('classes', [*'012345678', '']), 'printable'),
    'with a class of 300 letters': (put('classes', [*'012345678', 'x'*300]), 'printable'),
    'with a class that moves the cursor': (put('classes', [*'012345678', '\x1b[2J']), 'printable'),
    'with classes that are numbers': (put('classes', list(range(10))), "'classes.0'"),
    'with a mean that is infinite': (put('teacher', 'mean', [float('inf')]), 'finite'),
    'with a mean of two channels': (put('teacher', 'mean', [.3, .3]), 'one value a channel'),
    "with another mean than the teacher's": (put('teacher', 'mean', [.5]), 'contradicts itself'),
    'with a deviation of 0': (put('teacher', 'std', [0.]), "'teacher.std.0'"),
    'with another digit in the accuracy': (put('teacher', 'accuracy', .999), 'contradicts itself'),
    'with another number of parameters': (put('teacher', 'parameters', 86_000_000), 'contradicts itself'),
    'of another teacher': (put('teacher', 'model', 'vit_digits_fine'), 'contradicts itself'),
    'with images of 10^9 pixels': (put('images', 'shape', [1, 10**9, 10**9]), "'images.shape.1'"),
    'with images of other pixels': (put('images', 'shape', [1, 32, 32]), 'contradicts itself'),
    'with images of two channels': (put('images', 'shape', [2, 16, 16]), "'images.shape.0'"),
    'that read fewer images': (put('read_to_make_it', {}), 'contradicts itself'),
    'whose licence clears the screen': (put('licence', '\x1b[2J\x1b]0;owned\a'), "'licence'.*printable"),
    'whose licence writes over its line': (put('licence', 'MIT\rnone'), "'licence'.*printable"),
    'whose note turns the direction of writing': (put('note', 'a\u202eb'), "'note'.*printable"),
    'of images with `true` channels': (put('images', 'shape', [True, 16, 16]), "'images.shape.0'"),
    'whose licence is a number': (put('licence', 3), "'licence'"),
    'whose licence has 200,000 letters': (put('licence', 'x'*200_000), "'licence'"),
    'whose audit is a text': (put('memorisation', 'fine'), "'memorisation'"),
    'that lists a file outside': (rename('teacher/result.json', '../x'), 'lists other files'),
    'that lists an absolute path': (rename('teacher/result.json', '/etc/hostname'), 'lists other files'),
    'that lists the teacher alone of two files': (drop('files', 'teacher/weights.safetensors'), 'lists other files'),
    'that lists nothing': (put('files', {}), 'has no teacher'),
    'with a hash that is none': (put('files', 'teacher/result.json', 'sha256', 'x'), 'sha256'),
    'with a size that is none': (put('files', 'teacher/result.json', 'bytes', -1), 'bytes'),
}

@pytest.mark.parametrize('what', CARDS)
def test_card(what, forge, tried):
    change, says = CARDS[what]
    folder = forge('card', change)
    tried.refused(f'a card {what}', lambda: Bundle(folder), says)

TEXTS = {
    'that unfolds to gigabytes (references)': ('a: &a [x, x, x, x]\nb: &b [*a, *a, *a, *a]\nc: [*b, *b, *b, *b]\n',
                                               'refers to itself'),
    'nested 3,000 deep': ('a: ' + '['*3000 + ']'*3000, 'nested'),
    'that constructs a Python object': ('!!python/object/apply:os.system [echo]', 'names a type'),
    'with a truth value that is none, by its type': ('a: !!bool x\n', 'names a type'),
    'with a number that is empty, by its type': ('a: !!int ""\n', 'names a type'),
    'with a date that is none, by its type': ('a: !!timestamp x\n', 'names a type'),
    'with a type of its own': ('a: !card 1\n', 'names a type'),
    'that says a name twice': ('format: 1\nformat: 1\n', 'twice'),
    'that is empty': ('', 'not the card'),
    'that is no text': (b'\xff\xfe\x00', 'no text'),
    'with NaN': ('format: 1\nclasses: .nan\n', 'finite'),
    'with 900,000 classes': ('format: 1\nclasses: [' + 'x,'*900_000 + ']', 'bytes'),
}

@pytest.mark.parametrize('what', TEXTS)
def test_text_of_card(what, made, tmp_path, tried):
    text, says = TEXTS[what]
    folder = tmp_path/'b'
    shutil.copytree(made, folder)
    (folder/'card.yaml').write_bytes(text if isinstance(text, bytes) else text.encode())
    tried.refused(f'a card {what}', lambda: Bundle(folder), says)

def test_large_card(made, tmp_path, tried):
    folder = tmp_path/'b'
    shutil.copytree(made, folder)
    with open(folder/'card.yaml', 'r+b') as f: f.truncate(100 << 20)
    tried.refused('a card of 100 MB', lambda: Bundle(folder), 'bytes')

# --- its files

def flip(file):
    data = bytearray(file.read_bytes())
    data[-5] ^= 1
    file.write_bytes(bytes(data))

def link(file):
    other = file.with_name('other')
    shutil.move(file, other.parent.parent.parent/'elsewhere')
    file.symlink_to(other.parent.parent.parent/'elsewhere')

def folder_for(file):
    file.unlink()
    file.mkdir()

def pipe_for(file):
    file.unlink()
    os.mkfifo(file)

FOLDERS = {
    'one flipped bit in the weights': ('teacher/weights.safetensors', flip, 'was altered'),
    'one flipped bit in a result': ('probes/result.json', flip, 'was altered'),
    'a file cut short': ('generator/weights.safetensors', lambda f: f.write_bytes(f.read_bytes()[:1000]), 'bytes'),
    'a missing file': ('probes/result.json', lambda f: f.unlink(), 'missing'),
    'a missing part': ('generator', shutil.rmtree, 'missing'),
    'a file too many': ('teacher/setup.py', lambda f: f.write_text('1/0'), 'not in its list'),
    'a pickle beside the weights': ('teacher/weights.pt', lambda f: f.write_bytes(b'cos\nsystem'), 'not in its list'),
    'a link in place of the weights': ('teacher/weights.safetensors', link, 'is a link'),
    'a card that is a link': ('card.yaml', link, 'is a link'),
    'a folder in place of a file': ('teacher/result.json', folder_for, 'folder'),
    'a pipe in place of a file': ('teacher/result.json', pipe_for, 'pipe'),
}

@pytest.mark.parametrize('what', FOLDERS)
def test_files(what, made, tmp_path, tried):
    name, spoil, says = FOLDERS[what]
    folder = tmp_path/'here'/'b'
    shutil.copytree(made, folder)
    spoil(folder/name)
    tried.refused(what, lambda: Bundle(folder), says)

@pytest.mark.parametrize('what,path', {
    'a folder that is not there': 'nowhere',
    'an empty folder': '.',
    'a file': 'file',
}.items())
def test_no_bundle(what, path, tmp_path, tried):
    (tmp_path/'file').touch()
    tried.refused(f'{what} for a bundle', lambda: Bundle(tmp_path/path), 'holds no bundle')

# --- results whose hashes were made anew

EVIL = {
    'pretrained': True,
    'cache_dir': '/tmp/evil',
    'pretrained_cfg': {'url': 'http://localhost:9/evil.pth', 'architecture': 'vit_tiny_patch16_224'},
}
P = 'params'

RESULTS = {
    'a teacher that asks to be fetched': ('teacher', put(P, 'arch', EVIL), 'pretrained'),
    'a teacher that names a checkpoint': ('teacher', put(P, 'arch', {'checkpoint_path': '/tmp/evil.pth'}),
                                          'checkpoint_path'),
    'a teacher that names a file two tables down': (
        'teacher', put(P, 'arch', {'norm_layer': {'pretrained_cfg': {'file': '/tmp/evil.pth'}}}), 'norm_layer'),
    'a teacher of unknown architecture': ('teacher', lambda r: r.update(model='../../evil'),
                                          'contradicts itself|unknown model'),
    'a teacher of 3 classes': ('teacher', put(P, 'num_classes', 3), 'number of classes'),
    'a teacher of 900,000 classes': ('teacher', put(P, 'num_classes', 900_000), 'num_classes'),
    'a teacher of 10^9 wide tokens': ('teacher', put(P, 'arch', {'embed_dim': 10**9}), 'embed_dim'),
    'a teacher that is deeper than its weights': ('teacher', put(P, 'arch', {'depth': 5}), 'not of the network'),
    'a teacher without parameters': ('teacher', drop(P), "'params'"),
    'a teacher whose arguments are a list': ('teacher', put(P, 'arch', []), "'params.arch'"),
    'probes of 17 patches': ('probes', put(P, 'patches', 17), 'patches'),
    'probes of another teacher': ('probes', put('config', 'teacher', 'weights', '0'*16), 'contradicts itself'),
    'probes of no teacher': ('probes', drop('config', 'teacher'), "'config.teacher'"),
    'a generator of another teacher': ('generator', put('config', 'teacher', 'weights', '0'*16), 'contradicts itself'),
    'a generator of other probes': ('generator', put('config', 'probes', 'weights', '0'*16), 'contradicts itself'),
    'a generator 10^9 wide': ('generator', put(P, 'arch', 'widths', [10**9, 48]), 'widths'),
    'a generator 16,384 wide': ('generator', put(P, 'arch', 'widths', [2**14, 2**14]), 'not of the network'),
    'a generator of 100,000 layers': ('generator', put(P, 'arch', 'widths', [8]*100_000), 'widths'),
    'a generator with noise of 10^9': ('generator', put(P, 'arch', 'z', 10**9), "'params.arch.z'"),
    'a generator of 5 classes': ('generator', put(P, 'arch', 'classes', 5), 'number of classes'),
    'a generator with an argument of its own': ('generator', put(P, 'arch', 'device', 'cuda'), 'device'),
    'a generator of `true` channels': ('generator', put(P, 'arch', 'chans', True), "'params.arch.chans'"),
    'a generator of 1.0 channels': ('generator', put(P, 'arch', 'chans', 1.0), "'params.arch.chans'"),
    'a generator of images of `true` channels': ('generator', put(P, 'shape', [True, 16, 16]), 'shape'),
    'a generator of images of 4096 pixels': ('generator', put(P, 'arch', 'widths', [1]*10), 'at most 128 are taken'),
    'a generator of images of 256 pixels': ('generator', put(P, 'arch', 'widths', [8]*6), 'at most 128 are taken'),
    'a generator of unknown kind': ('generator', lambda r: r.update(model='evil'), "'model'"),
    'a generator of images of 10^9 pixels': ('generator', put(P, 'shape', [1, 10**9, 10**9]), 'shape'),
    'results that are a list': ('teacher', lambda r: [r], 'dictionary'),
    'a result of another stage': ('probes', lambda r: r.update(stage='teacher'), "'stage'"),
    'weights of another hash': ('generator', lambda r: r.update(weights='0'*16), 'not the weights'),
}

@pytest.mark.parametrize('what', RESULTS)
def test_results(what, forge, tried, tmp_path):
    part, change, says = RESULTS[what]
    folder, before = forge(part, change), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    tried.refused(what, lambda: Bundle(folder), says)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000, 'refused before memory is taken'
    assert not Path('/tmp/evil').exists()

@pytest.mark.parametrize('what,text,says', [
    ('a result nested 3,000 deep', '['*3000 + ']'*3000, 'nested'),
    ('a result with NaN', '{"stage": NaN}', 'NaN'),
    ('a result that is no JSON', '{', 'no JSON'),
])
def test_text_of_results(what, text, says, made, tmp_path, tried):
    shutil.copytree(made, folder := tmp_path/'b')
    (folder/'teacher/result.json').write_text(text)
    tried.refused(what, lambda: Bundle(seal(folder)), says)

# --- weights whose hashes were made anew

def weights(part, change):
    "Change the tensors of a part, and let result and card bear the new hashes"
    def spoil(folder):
        file = folder/part/'weights.safetensors'
        tree = change(load_tree(file))
        save_tree(file, tree)
        rewrite(folder/part/'result.json', lambda r: r.update(weights=weights_hash(flatten_tree(tree))))
    return spoil

def filled(which, value):
    "The first tensor of a generator, filled with a value"
    def change(tree):
        next(iter(tree[which].values())).fill_(value)
        return tree
    return change

WEIGHTS = {
    'a NaN in the generator': ('generator', filled('raw', float('nan')), 'finite|NaN|nan'),
    'an infinite weight in the averaged generator': ('generator', filled('ema', float('inf')), 'finite|inf'),
    'a generator without its average': ('generator', lambda t: {'raw': t['raw']}, 'raw and averaged'),
    'probes of 3 classes': ('probes', lambda t: {'cap': t['cap'][:3].clone()}, '10 classes'),
    'probes of 15 patches': ('probes', lambda t: {'cap': t['cap'][:, :15].clone()}, '16 patches'),
    'probes that are NaN': ('probes', lambda t: {'cap': t['cap']*float('nan')}, 'finite|NaN|nan'),
    'probes that are no shares': ('probes', lambda t: {'cap': t['cap']*-1}, 'shares'),
    'probes that are a list': ('probes', lambda t: [t['cap']], 'does not hold class probes'),
}

@pytest.mark.parametrize('what', WEIGHTS)
def test_weights(what, made, tmp_path, tried):
    part, change, says = WEIGHTS[what]
    shutil.copytree(made, folder := tmp_path/'b')
    weights(part, change)(folder)
    if part == 'probes':
        hash_ = json.loads((folder/'probes/result.json').read_text())['weights']
        rewrite(folder/'generator/result.json', lambda r: r['config']['probes'].update(weights=hash_))
    tried.refused(what, lambda: Bundle(seal(folder)), says)

HEADS = {
    'a tensor of 10^18 numbers': ({'0': {'dtype': 'F32', 'shape': [10**9, 10**9], 'data_offsets': [0, 16]}}, 'bytes'),
    'tensors that overlap': ({'0': {'dtype': 'F32', 'shape': [4], 'data_offsets': [0, 16]},
                              '1': {'dtype': 'F32', 'shape': [4], 'data_offsets': [0, 16]}}, 'overlap'),
    'a tree that names what is not there': ({'__metadata__': {'tree': '{"dict": [["cap", {"tensor": "7"}]]}'},
                                             '0': {'dtype': 'F32', 'shape': [4], 'data_offsets': [0, 16]}},
                                            'belong together'),
    'no tree': ({'0': {'dtype': 'F32', 'shape': [4], 'data_offsets': [0, 16]}}, 'belong together'),
}

@pytest.mark.parametrize('what', HEADS)
@pytest.mark.parametrize('part', ['teacher', 'generator'])
def test_head_of_weights(what, part, made, tmp_path, tried):
    head, says = HEADS[what]
    shutil.copytree(made, folder := tmp_path/'b')
    text = json.dumps(head).encode()
    (folder/part/'weights.safetensors').write_bytes(len(text).to_bytes(8, 'little') + text + bytes(16))
    tried.refused(f'weights of the {part} with {what}', lambda: Bundle(seal(folder)), says)

# --- what would take more memory than there is

def test_lines_of_a_licence(forge, tried):
    text = 'Licence\r\n\n\tone\ftwo\u00a0\u200d\n'
    assert Bundle(forge('card', put('licence', text))).card['licence'] == text
    tried('a licence of several lines', 'taken as it is')

def test_a_generator_that_is_wide_where_images_are_large(forge, tried):
    def change(folder):
        p = json.loads((folder/'generator/result.json').read_text())['params']
        G = Generator(**{**p['arch'], 'widths': [1, 1, 1, 1, 2**14]})
        state = {k: v.clone() for k,v in G.state_dict().items()}
        tree = {'raw': state, 'ema': {k: v.clone() for k,v in state.items()}}
        save_tree(folder/'generator/weights.safetensors', tree)
        p['arch']['widths'], p['parameters'] = [1, 1, 1, 1, 2**14], sum(t.numel() for t in G.parameters())
        rewrite(folder/'generator/result.json',
                lambda r: r.update(params=p, weights=weights_hash(flatten_tree(tree))))
        return seal(folder)
    folder = change(forge('generator', lambda r: None))
    tried.refused('a generator of a megabyte that draws in 250 GB', lambda: Bundle(folder), 'narrower generator')

def test_a_teacher_of_huge_images(made, tmp_path, tried):
    shutil.copytree(made, folder := tmp_path/'b')
    for part in ('probes', 'generator'): shutil.rmtree(folder/part)
    arch = dict(img_size=4096, patch_size=256, in_chans=1, embed_dim=2, depth=1, num_heads=1)
    state = create_net('vit_digits_teacher', 10, **arch).state_dict()
    save_tree(folder/'teacher/weights.safetensors', state)
    n = sum(v.numel() for v in state.values())
    def change(r):
        r['params'].update(arch=arch, parameters=n)
        r['weights'] = weights_hash(flatten_tree(state))
    rewrite(folder/'teacher/result.json', change)
    def card(c):
        c['teacher'].update(parameters=n, takes=[1, 4096, 4096])
        c['images']['shape'] = None
        c['read_to_make_it'] = {'teacher': c['read_to_make_it']['teacher']}
    rewrite(folder/'card.yaml', card)
    bundle, before = Bundle(seal(folder)), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for source in ('noise', 'drawn', f'wild:{tmp_path}', 'teacher'):
        tried.refused(f'a teacher of images of 4096 pixels, and {source.partition(":")[0]}',
                      lambda source=source: compress(bundle, 'vit_digits_student', source, root=tmp_path/'runs'),
                      'memory here')
    tried.refused('a teacher of images of 4096 pixels, and small ones', lambda: preflight(
        bundle.teacher, 'vit_digits_student', (1, 16, 16)), 'ask for a teacher of smaller images')
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000, 'refused before memory is taken'

# --- students

STUDENTS = {
    'an altered digit of its accuracy': ('result.json', lambda f: rewrite(f, put('metrics', 'agreement', .99)),
                                         'damaged'),
    'one flipped bit': ('weights.safetensors', flip, 'damaged'),
    'no card': ('student.yaml', lambda f: f.unlink(), 'holds no student'),
    'a file too many': ('run.py', lambda f: f.write_text('1/0'), 'not in its list'),
    'a missing file': ('bundle.yaml', lambda f: f.unlink(), 'missing'),
    'other classes': ('student.yaml', lambda f: rewrite(f, put('classes', ['cat', 'dog'])), 'number of classes'),
    'another size': ('student.yaml', lambda f: rewrite(f, put('images', 'shape', [1, 32, 32])), 'contradicts itself'),
    'a newer format': ('student.yaml', lambda f: rewrite(f, put('format', 9)), 'upgrade'),
    'a name nobody knows': ('student.yaml', lambda f: rewrite(f, put('x', 1)), "'x'"),
    'a list of files without its weights': ('student.yaml', lambda f: rewrite(f, drop('files', 'weights.safetensors')),
                                            'lists no weights'),
}

@pytest.mark.parametrize('what', STUDENTS)
def test_student(what, student, tmp_path, tried):
    name, spoil, says = STUDENTS[what]
    shutil.copytree(student, folder := tmp_path/'s')
    spoil(folder/name)
    tried.refused(f'a student with {what}', lambda: load_student(folder), says)

@pytest.mark.parametrize('config', [[], 'x', {'data': 5}])
def test_student_of_an_odd_config(config, student, tmp_path):
    "The shape of its images is not known then; it is no traceback"
    shutil.copytree(student, folder := tmp_path/'s')
    rewrite(folder/'result.json', put('config', config))
    card_student(folder, [str(i) for i in range(10)])
    assert load_student(folder).card['images']['shape'] is None

@pytest.mark.parametrize('said', ['[1, 2]', 'read_to_make_it:', 'read_to_make_it: [1]', '{teacher: 3}',
                                  '{teacher: {3: 3}}'])
def test_odd_card_of_its_bundle(said, student, tmp_path, tried, capsys):
    shutil.copytree(student, folder := tmp_path/'s')
    (folder/'bundle.yaml').write_text(said)
    card_student(folder, [str(i) for i in range(10)])
    for command in ('evaluate', 'report'):
        args = [command, folder, '--data', 'digits', *(['--out', tmp_path/'r.html'] if command == 'report' else [])]
        tried.command(f'dfkd {command} of a student whose bundle.yaml says {said}', args, 'bundle.yaml', capsys)

def test_many_names_one_of_them_twice(tried):
    "Each is counted once: to compare each with all others would take minutes"
    names = ','.join(f'"k{i}":1' for i in range(300_000))
    text = f'{{{names},"z":1,"z":2}}'
    tried.refused('JSON of 300,000 names, and one of them twice', lambda: parse_json(text, 'x.json'), "names 'z' twice")

def test_bundles_of_other_things(made, tmp_path, tried):
    b, out = Bundle(made), tmp_path/'b'
    for what, call, says in (
            ('no teacher', lambda: save_bundle(out, None), 'teacher must be a run of the stage'),
            ('a generator in place of the teacher', lambda: save_bundle(out, b.generator), 'not of generator'),
            ('a judgement of other numbers', lambda: save_bundle(out, b.teacher, judged={'x': 1}), 'judged'),
            ('no path', lambda: Bundle(None), 'the bundle must be'),
            ('data by its name', lambda: compress(b, 'vit_digits_student', data='digits'), 'must be an ImageData')):
        tried.refused(f'Python: a bundle of {what}', call, says)
    assert not out.exists()

def test_student_forged(student, tmp_path, tried):
    shutil.copytree(student, folder := tmp_path/'s')
    rewrite(folder/'result.json', put(P, 'arch', EVIL))
    card_student(folder, [str(i) for i in range(10)])
    tried.refused('a student that asks to be fetched, with hashes to match', lambda: load_student(folder), 'pretrained')

def test_good_ones(made, student, tried):
    assert Bundle(made).classes == list('0123456789') and load_student(student).card['images']['shape'] == [1, 16, 16]
    assert Bundle(Path(__file__).parents[1]/'examples/drone_crops/drones.bundle').generator
    tried('a bundle and a student as they were written, and one of an earlier version', 'opened')

# --- whatever else it may say

JUNK = st.one_of(st.none(), st.booleans(), st.integers(-2, 10**12), st.floats(), st.text(max_size=5),
                 st.lists(st.integers(), max_size=3), st.dictionaries(st.text(max_size=3), st.integers(), max_size=2))

def places(tree, at=()):
    yield at
    if isinstance(tree, (dict, list)) and len(at) < 4:
        for k in (tree if isinstance(tree, dict) else range(min(len(tree), 3))): yield from places(tree[k], (*at, k))

@settings(derandomize=True, max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_fuzz(made, tmp_path_factory, data):
    "Whatever stands in whatever place of a card or a result: opened, or one line"
    folder = tmp_path_factory.mktemp('fuzz')/'b'
    shutil.copytree(made, folder)
    file = data.draw(st.sampled_from(['card.yaml', *(f'{p}/result.json' for p in PARTS)]))
    said = yaml.safe_load((folder/file).read_text())
    said.pop('log', None)
    at = data.draw(st.sampled_from(sorted(filter(None, places(said)), key=str)))
    def change(tree):
        for k in at[:-1]: tree = tree[k]
        tree[at[-1]] = data.draw(JUNK)
    try: rewrite(folder/file, change)
    except ValueError: return
    try: Bundle(folder if file == 'card.yaml' else seal(folder))
    except ValueError as e: assert '\n' not in str(e)
    shutil.rmtree(folder)

def test_answers_that_are_not_finite(made, tmp_path, tried, capsys):
    "Finite weights whose answers overflow are no teacher."
    from safetensors.torch import save_file
    weights = {k: v.float() for k, v in Bundle(made).teacher.weights.items()}
    weights['head.weight'] = torch.full_like(weights['head.weight'], 3e38)
    save_file(weights, tmp_path/'w.safetensors')
    args = ['bundle', '--teacher', 'vit_digits_teacher', '--weights', tmp_path/'w.safetensors', '--classes', '10',
            '--mean', '.3', '--std', '.3', '--out', tmp_path/'b']
    tried.command('a teacher whose weights are finite and whose answers are not', args,
                  'answers of vit_digits_teacher are not finite', capsys)
    assert not (tmp_path/'b').exists()

def test_long_names(made, tried):
    "Names of classes that no card could hold are refused before anything else."
    from dfkd_nb.bundle import LONG_NAMES, ClassNames
    from dfkd_nb.checks import check_value
    names = [f'{i:0200}' for i in range(LONG_NAMES//200+1)]
    tried.refused('classes whose names have over a million bytes together',
                  lambda: check_value(ClassNames, names, 'classes'), 'at most 1,000,000 bytes in all')

@pytest.mark.parametrize('what, classes', [('a set', {'a', 'b'}), ('a number', 5), ('a text', 'ab')])
def test_classes_without_order(what, classes, made, tmp_path, tried):
    tried.refused(f'classes that are {what}', lambda: save_bundle(tmp_path/'b', Bundle(made).teacher, classes=classes),
                  'must be a list of names')

@pytest.mark.parametrize('size', [-1, 2.5, 'x', float('nan'), True, 10**6])
def test_size_of_a_bundle(size, made, tried):
    tried.refused(f'a bundle opened with size={size}', lambda: Bundle(made, size=size), 'Bundle: size')

def test_numbers_without_end(made, tmp_path, tried):
    shutil.copytree(made, tmp_path/'b')
    text = (tmp_path/'b'/'card.yaml').read_text()
    (tmp_path/'b'/'card.yaml').write_text(re.sub(r'^format: .*$', f"format: 0x{'f'*6000}", text, flags=re.M))
    tried.refused('a card whose format has 6,000 digits', lambda: Bundle(tmp_path/'b'), 'card.yaml')

def test_places_that_are_none(tried):
    for what, path in (('of a user who is not there', '~nobody-of-this-name/b'), ('of 300 letters', 'x'*300)):
        for f in (Bundle, load_student):
            tried.refused(f'{f.__name__}: a place {what}', lambda f=f, path=path: f(path), '')
