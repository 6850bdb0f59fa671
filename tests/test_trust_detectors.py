"Detectors from elsewhere: folders, bundles, students, commands"
import copy, json, shutil
from pathlib import Path
import numpy as np, pytest, torch, transformers, yaml
from safetensors.torch import load_file, save_file
from dfkd_nb.bundle import Bundle, load_student
from dfkd_nb.cli import main
from dfkd_nb.deploy import read_card, run_onnx
from dfkd_nb.detr import FLYING, create_detector, get_detection, get_frames, load_detector, scene, write_coco
from dfkd_nb.detr_bundle import (DetectorBundle, WithheldFrames, adopt_detector, best_frames, check_detectors,
                                 compress_detector, foreign_detector, frame_source, load_detector_student,
                                 match_frames, save_detector_bundle, save_detector_student, usual_shape)
from dfkd_nb.detr_distill import NoiseFrames, distill_detr, frames_from
from dfkd_nb.detr_hub import FAMILIES, FoundDetector, found_arch, sketch_detector
from dfkd_nb.runs import Run, file_hashes

transformers.logging.disable_progress_bar()
RESNET = dict(layer_type='basic', depths=[1]*4, hidden_sizes=[8, 16, 16, 32], embedding_size=8)
SHARED = dict(d_model=32, encoder_layers=1, decoder_layers=2, encoder_ffn_dim=32, decoder_ffn_dim=32,
              encoder_attention_heads=2, decoder_attention_heads=2, num_queries=12)
LEVELS = dict(out_indices=[2, 3, 4], **RESNET)
SMALL = {
    'detr': dict(backbone_config=dict(model_type='resnet', out_features=['stage4'], **RESNET), **SHARED),
    'deformable_detr': dict(backbone_config=dict(model_type='resnet', **LEVELS), **SHARED),
    'two stages': dict(backbone_config=dict(model_type='resnet', **LEVELS), two_stage=True, with_box_refine=True,
                       two_stage_num_proposals=12, **SHARED),
    'rt_detr': dict(backbone_config=dict(model_type='rt_detr_resnet', **LEVELS), encoder_hidden_dim=32,
                    encoder_in_channels=[16, 16, 32], decoder_in_channels=[32, 32, 32], **SHARED),
}

def saved(name, folder, classes=('cat', 'dog', 'owl'), **size):
    "A small detector with random weights, as transformers saves it; the network"
    make = getattr(transformers, FAMILIES[{'two stages': 'deformable_detr'}.get(name, name)][0])
    torch.manual_seed(0)
    config = make.config_class(**SMALL[name], num_labels=len(classes))
    config.id2label, config.label2id = dict(enumerate(classes)), {c: i for i,c in enumerate(classes)}
    net = make(config).eval()
    net.save_pretrained(folder)
    prepare = transformers.RTDetrImageProcessor if name == 'rt_detr' else transformers.DetrImageProcessor
    prepare(**size).save_pretrained(folder)
    return net

@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    "A folder with a small DETR"
    saved('detr', path := tmp_path_factory.mktemp('detr')/'detr', size={'shortest_edge': 64, 'longest_edge': 100})
    return path

@pytest.fixture(scope='module')
def runs(tmp_path_factory): return tmp_path_factory.mktemp('runs')

@pytest.fixture(scope='module')
def teacher(folder, runs):
    detector, arch = foreign_detector(f'hf:{folder}')
    return adopt_detector(detector, detector.classes, detector.usual, arch, root=runs)

# --- folders that are what they say

@pytest.mark.parametrize('name', SMALL)
def test_the_three_families(name, tmp_path, tried):
    theirs = saved(name, tmp_path/'f')
    mine, arch = foreign_detector(f'hf:{tmp_path/"f"}')
    x = torch.rand(2, 3, 64, 96)
    with torch.no_grad(): a, b = mine(x), theirs(pixel_values=(x-mine.mean)/mine.std)
    torch.testing.assert_close(a['logits'], b.logits, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(a['boxes'], b.pred_boxes, atol=1e-5, rtol=1e-4)
    run = adopt_detector(mine, mine.classes, (3, 64, 96), arch, root=tmp_path/'runs')
    with torch.no_grad(): c = load_detector(run)(x)
    torch.testing.assert_close(c['logits'], a['logits'], atol=1e-5, rtol=1e-4)
    tried(f'a {name} of transformers', f"{run.result['params']['parameters']:,} parameters, the same answers")

@pytest.mark.parametrize('change', [dict(num_denoising=0), dict(freeze_backbone_batch_norms=False)])
def test_settings_that_decide_which_weights_there_are(change, tmp_path, tried, monkeypatch):
    monkeypatch.setitem(SMALL, 'rt_detr', {**SMALL['rt_detr'], **change})
    theirs = saved('rt_detr', tmp_path/'f')
    mine, _ = foreign_detector(f'hf:{tmp_path/"f"}')
    x = torch.rand(1, 3, 64, 64)
    with torch.no_grad(): a, b = mine(x)['logits'], theirs(pixel_values=x).logits
    torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)
    tried(f'an RT-DETR with {change}', 'the same answers')

@pytest.mark.parametrize('change, says', [(dict(eval_size=640), 'eval_size is set'),
                                          (dict(encoder_hidden_dim=34), 'encoder_hidden_dim must be a multiple')])
def test_other_rt_detrs(change, says, tmp_path, tried):
    saved('rt_detr', tmp_path/'f')
    where = config(tmp_path/'f', tmp_path/'g', lambda said: said.update(change))
    tried.refused(f'an RT-DETR with {change}', lambda: foreign_detector(where), says)

def test_its_preparation(tmp_path):
    saved('rt_detr', tmp_path/'f', size={'height': 320, 'width': 320})
    mine, _ = foreign_detector(f'hf:{tmp_path/"f"}')
    assert (mine.usual, mine.mean.flatten().tolist(), mine.std.flatten().tolist()) == ((3, 320, 320), [0]*3, [1]*3)
    saved('detr', tmp_path/'g')
    mine, _ = foreign_detector(f'hf:{tmp_path/"g"}')
    assert mine.usual == (3, 800, 1066) and round(mine.mean[0].item(), 3) == .485

def test_names_that_older_versions_gave(folder, tmp_path):
    "Files bear the names of the version that wrote them; transformers knows the old ones"
    shutil.copytree(folder, tmp_path/'f')
    state = load_file(tmp_path/'f'/'model.safetensors')
    save_file({f'module.{k}': v for k,v in state.items()}, tmp_path/'f'/'model.safetensors')
    a, b = (foreign_detector(f'hf:{p}')[0] for p in (folder, tmp_path/'f'))
    assert all(torch.equal(p, q) for p,q in zip(a.state_dict().values(), b.state_dict().values()))

def test_an_older_description(tried):
    "Before version 5, a backbone of timm was one entry"
    _, arch = found_arch({'model_type': 'deformable_detr', 'backbone': 'resnet50', 'use_timm_backbone': True,
                          'backbone_config': None, 'dilation': False})
    assert arch['backbone'] == {'model_type': 'timm_backbone', 'backbone': 'resnet50', 'out_indices': [2, 3, 4]}
    net = sketch_detector('hf:deformable_detr', 91, arch)
    tried('the description of a published Deformable DETR', f'{sum(p.numel() for p in net.parameters()):,} parameters')

# --- folders that are not

def config(folder, tmp_path, change):
    "A copy of a folder with another configuration"
    shutil.copytree(folder, tmp_path/'f')
    said = json.loads((tmp_path/'f'/'config.json').read_text())
    change(said)
    (tmp_path/'f'/'config.json').write_text(json.dumps(said))
    return f'hf:{tmp_path/"f"}'

@pytest.mark.parametrize('what, change, says', [
    ('code of its own', dict(auto_map={'AutoModel': 'm.py'}), 'asks for auto_map'),
    ('code that shall be trusted', dict(trust_remote_code=True), 'asks for trust_remote_code'),
    ('quantisation', dict(quantization_config={'bits': 4}), 'asks for quantization_config'),
    ('another kind of model', dict(model_type='yolos'), "model_type must be one of 'detr'"),
    ('no kind of model', dict(model_type=None), 'model_type must be one of'),
    ('a model of masks', dict(architectures=['DetrForSegmentation']), 'is the one that finds objects'),
    ('a backbone by a path', dict(backbone_config=None, backbone='/etc/passwd'), 'backbone must be one of'),
    ('a backbone by an address', dict(backbone_config=None, backbone='https://x/y.pth'), 'backbone must be one of'),
    ('a backbone of another kind', dict(backbone_config={'model_type': 'swin'}), 'model_type must be one of'),
    ('a backbone that is a text', dict(backbone_config='resnet'), 'must be a table'),
    ('a billion queries', dict(num_queries=10**9), 'num_queries must be at most'),
    ('no queries', dict(num_queries=0), 'num_queries must be at least'),
    ('queries that are true', dict(num_queries=True), 'num_queries must be'),
    ('a width that is a text', dict(d_model='32'), 'd_model must be'),
    ('a width that its heads do not divide', dict(encoder_attention_heads=5), 'multiple of 4 and of its 5 heads'),
    ('a width of NaN', dict(d_model=float('nan')), 'NaN'),
    ('a million layers', dict(decoder_layers=10**6), 'decoder_layers must be at most'),
    ('four channels', dict(num_channels=4), 'num_channels must be'),
    ('an activation by code', dict(activation_function='os.system'), 'activation_function must be one of'),
    ('names and numbers that disagree', dict(num_labels=7), 'contradicts itself'),
    ('names that are numbers', dict(id2label={'0': 1, '1': 2, '2': 3}), 'are no texts'),
    ('numbers with a gap', dict(id2label={'0': 'a', '5': 'b', '6': 'c'}), 'numbers its classes'),
])
def test_configurations(what, change, says, folder, tmp_path, tried):
    where = config(folder, tmp_path, lambda said: said.update(change))
    tried.refused(what, lambda: foreign_detector(where), says)

def test_a_backbone_that_would_be_fetched(folder, tmp_path, monkeypatch, tried):
    "Whatever a folder says, nothing is fetched"
    import socket
    monkeypatch.setattr(socket.socket, 'connect', lambda *_: pytest.fail('asked for the network'))
    change = dict(use_pretrained_backbone=True, pretrained_backbone='x', cache_dir='/tmp/x', _name_or_path='a/b',
                  pretrained_cfg={'url': 'http://x'}, backbone_kwargs={'pretrained': True, 'pretrained_cfg_overlay': 1})
    where = config(folder, tmp_path, lambda said: (said.update(change), said['backbone_config'].update(change)))
    _, arch = foreign_detector(where)
    assert not set(change) & (set(arch['config']) | set(arch['backbone']))
    tried('a folder that asks for a pretrained backbone', 'built from the folder alone')

@pytest.mark.parametrize('arch', [
    {}, {'config': {}}, {'config': [], 'backbone': {}},
    {'config': {'cache_dir': '/tmp'}, 'backbone': {'model_type': 'resnet'}},
    {'config': {}, 'backbone': {'model_type': 'timm_backbone', 'backbone': 'resnet50', 'pretrained': True}},
    {'config': {}, 'backbone': {'model_type': 'timm_backbone', 'backbone': 'hf_hub:x/y'}},
    {'config': {}, 'backbone': {'model_type': 'resnet', 'depths': [64]*8, 'hidden_sizes': [4096]*8}},
    {'config': {}, 'backbone': {'model_type': 'resnet', 'depths': [1], 'hidden_sizes': []}},
])
def test_descriptions_in_a_result(arch, tried):
    tried.refused(f'the description {arch!r:.60}', lambda: FoundDetector('hf:detr', 3, arch), '.')

def nan(state): state['model.input_projection.weight'][0] = float('nan')
def gone(state): state.pop('model.input_projection.weight')
def more(state): state['extra'] = torch.ones(3)
def turned(state): state['bbox_predictor.layers.0.weight'] = torch.ones(32, 31)
def whole(state): state['model.input_projection.weight'] = torch.ones(32, 32, 1, 1, dtype=torch.int64)

@pytest.mark.parametrize('damage, says', [(nan, 'not finite|NaN'), (gone, 'does not fit'), (more, 'does not fit'),
                                          (turned, 'does not fit'), (whole, 'holds whole numbers')])
def test_weights(damage, says, folder, tmp_path, tried):
    shutil.copytree(folder, tmp_path/'f')
    state = load_file(tmp_path/'f'/'model.safetensors')
    damage(state)
    save_file(state, tmp_path/'f'/'model.safetensors')
    tried.refused(f'weights: {damage.__name__}', lambda: foreign_detector(f'hf:{tmp_path/"f"}'), says)

def test_preparations(folder, tmp_path, tried):
    shutil.copytree(folder, tmp_path/'f')
    file = next((tmp_path/'f').glob('*processor*'))
    plain = json.loads(file.read_text())
    for what, change, says in (('means of 0…255', dict(image_mean=[123., 116., 103.]), 'mean'),
                               ('four means', dict(image_mean=[.4]*4), 'mean'),
                               ('a deviation of 0', dict(image_std=[0.]*3), 'image_std'),
                               ('channels in another order', dict(do_flip_channel_order=True), 'do_flip_channel_order'),
                               ('frames of a million pixels', dict(size={'height': 10**6, 'width': 10**6}), 'frames')):
        said = copy.deepcopy(plain)
        said.get('image_processor', said).update(change)
        file.write_text(json.dumps(said))
        tried.refused(what, lambda: foreign_detector(f'hf:{tmp_path/"f"}'), says)

@pytest.mark.parametrize('sides', [(48, 64), (65, 97), (20, 300), (640, 8)])
def test_frames_of_any_sides(sides, tmp_path, tried):
    "RT-DETR itself takes multiples of 32"
    saved('rt_detr', tmp_path/'f')
    mine, arch = foreign_detector(f'hf:{tmp_path/"f"}')
    out = adopt_detector(mine, mine.classes, (3, *sides), arch, root=tmp_path/'runs').result['params']['shape']
    tried(f'an RT-DETR on frames of {sides[0]}×{sides[1]} pixels', f'taken in for frames of {out}')

def test_another_description(folder, runs, tried):
    detector, arch = foreign_detector(f'hf:{folder}')
    fewer = {**arch, 'config': {**arch['config'], 'num_queries': 9}}
    for what, other in (('no description', None), ('a description of another network', fewer),
                        ('a description of something else', {'x': 1})):
        args = detector, detector.classes, (3, 64, 64), other
        tried.refused(what, lambda args=args: adopt_detector(*args, root=runs), 'built again|config|x')

def test_no_preparation(tmp_path, tried):
    saved('rt_detr', tmp_path/'f')
    next((tmp_path/'f').glob('*processor*')).unlink()
    where = f'hf:{tmp_path/"f"}'
    tried.refused('a folder that does not say how images are prepared', lambda: foreign_detector(where), 'pass mean')
    assert foreign_detector(where, mean=[0.]*3, std=[1.]*3)[0].usual is None

def test_sizes_that_say_nothing():
    for noted in ({}, {'size': 'large'}, {'size': {'height': 'x', 'width': 3}}, {'size': {'longest_edge': 9}}):
        assert usual_shape(noted) is None

@pytest.mark.parametrize('how, says', [
    (dict(model='detr_tiny'), 'say how many classes'), (dict(model='vit', classes=2), 'must be one of'),
    (dict(model='detr_tiny', classes=2), 'name the file'), (dict(model='hf:/no/such'), 'there is no'),
    (dict(model=3), 'model must be'), (dict(model='detr_tiny', classes=0), 'classes must be'),
    (dict(model='detr_tiny', classes=2, weights='/no/such.safetensors'), 'there is no file'),
])
def test_names(how, says, tried):
    tried.refused(f'a detector by {how}', lambda: foreign_detector(**how), says, (ValueError, FileNotFoundError))

def test_taken_in(folder, runs, tried):
    detector, arch = foreign_detector(f'hf:{folder}')
    for what, args, says in (('two names for three classes', (['cat', 'dog'], (3, 64, 64)), 'classes'),
                             ('a name twice', (['cat', 'cat', 'dog'], (3, 64, 64)), 'twice'),
                             ('frames in grey', (['cat', 'dog', 'owl'], (1, 64, 64)), 'shape'),
                             ('frames of no pixels', (['cat', 'dog', 'owl'], (3, 0, 64)), 'shape')):
        tried.refused(what, lambda args=args: adopt_detector(detector, *args, arch, root=runs), says)
    broken = copy.deepcopy(detector)
    broken.net.net.class_labels_classifier.weight.data.fill_(1e38)
    broken.net.net.class_labels_classifier.bias.data.fill_(float('inf'))
    tried.refused('weights whose answers are infinite',
                  lambda: adopt_detector(broken, ['cat', 'dog', 'owl'], (3, 64, 64), arch, root=runs), 'not finite')

# --- bundles

@pytest.fixture
def bundle(teacher, tmp_path): return save_detector_bundle(tmp_path/'b', teacher)

def redo(path, change, card='card.yaml'):
    "A card with a change, and with the hashes that the files have now"
    said = yaml.safe_load((path/card).read_text())
    said['files'] = file_hashes(path, list(said['files']))
    change(said)
    (path/card).write_text(yaml.safe_dump(said))

def result(path, change):
    file = path/'teacher'/'result.json'
    said = json.loads(file.read_text())
    change(said)
    file.write_text(json.dumps(said))

def test_whole(bundle):
    b = DetectorBundle(bundle)
    assert (b.classes, b.shape, DetectorBundle(bundle, 32).shape) == (['cat', 'dog', 'owl'], (3, 64, 85), (3, 32, 42))

JUDGED = dict(scenes=1, found=1., unseen=[], spread=1., real_spread=None)

@pytest.mark.parametrize('what, change, says', [
    ('another task', lambda c: c.update(task='classification'), 'not for detection'),
    ('a task that is a table', lambda c: c.update(task={}), 'not for detection'),
    ('no task', lambda c: c.pop('task'), 'is a bundle for'),
    ('a later format', lambda c: c.update(format=2), 'upgrade'),
    ('a class twice', lambda c: c.update(classes=['cat', 'cat', 'owl']), 'twice'),
    ('classes in another order', lambda c: c.update(classes=['dog', 'cat', 'owl']), 'contradicts itself'),
    ('no classes', lambda c: c.update(classes=[]), 'classes'),
    ('a class of control characters', lambda c: c['classes'].__setitem__(0, 'c\x1bat'), 'classes'),
    ('more parameters', lambda c: c['teacher'].update(parameters=7), 'contradicts itself'),
    ('a mean of 200', lambda c: c['teacher'].update(mean=[200.]*3), 'mean'),
    ('frames of 10^9 pixels', lambda c: c['teacher'].update(shape=[3, 10**9, 10**9]), 'shape'),
    ('frames of another size', lambda c: c['teacher'].update(shape=[3, 64, 64]), 'contradicts itself'),
    ('an mAP that nobody measured', lambda c: c['teacher'].update(map50=.99), 'contradicts itself'),
    ('an mAP of 1e308', lambda c: c['teacher'].update(map50=1e400), 'finite'),
    ('a judgement without a generator', lambda c: c.update(judgement=JUDGED), 'judges a generator'),
    ('a licence that moves the cursor', lambda c: c.update(licence='CC0\x1b[2J'), 'licence'),
    ('an entry that is unknown', lambda c: c.update(run='rm -rf /'), 'run'),
    ('a file outside', lambda c: c['files'].update({'../x': {'bytes': 1, 'sha256': '0'*64}}), 'lists other files'),
])
def test_cards(what, change, says, bundle, tried):
    redo(bundle, change)
    tried.refused(what, lambda: DetectorBundle(bundle), says)

@pytest.mark.parametrize('what, change, says', [
    ('a network by a path', lambda r: r.update(model='/etc/passwd'), '.'),
    ('a network of ours', lambda r: r.update(model='detr_tiny'), '.'),
    ('settings for a download', lambda r: r['params']['arch']['config'].update(cache_dir='/tmp/x'), 'not known'),
    ('a pretrained backbone', lambda r: r['params']['arch']['backbone'].update(pretrained_cfg={}), 'not known'),
    ('a network of 10^9 layers', lambda r: r['params']['arch']['config'].update(encoder_layers=10**9), 'encoder_layer'),
    ('a network of more layers', lambda r: r['params']['arch']['config'].update(encoder_layers=3), 'another architect'),
    ('another number of parameters', lambda r: r['params'].update(parameters=7), 'contradicts itself'),
    ('weights of another run', lambda r: r.update(weights='0'*64), 'not the weights'),
    ('a stage of another kind', lambda r: r.update(stage='teacher'), 'stage'),
    ('no classes', lambda r: r['params'].pop('classes'), 'classes'),
    ('an infinite metric', lambda r: r.update(metrics={'map50': float('inf')}), 'finite|Infinity'),
])
def test_results(what, change, says, bundle, tried):
    result(bundle, change)
    said = json.loads((bundle/'teacher'/'result.json').read_text())
    told = {'model': said.get('model'), 'parameters': said['params'].get('parameters')}
    redo(bundle, lambda c: c['teacher'].update(told))
    tried.refused(what, lambda: DetectorBundle(bundle), says)

def test_damage(bundle, tried):
    file = bundle/'teacher'/'weights.safetensors'
    content = bytearray(file.read_bytes())
    content[-5] ^= 1
    file.write_bytes(content)
    tried.refused('one bit of the weights', lambda: DetectorBundle(bundle), 'is damaged')
    (bundle/'teacher'/'more.py').write_text('')
    tried.refused('a file more', lambda: DetectorBundle(bundle), 'more|damaged')

def test_one_kind_for_the_other(bundle, teacher, tmp_path, tried):
    tried.refused('a detector where a classifier is expected', lambda: Bundle(bundle), "a bundle for 'detection'")
    digits = 'examples/digits.bundle'
    tried.refused('a classifier where a detector is expected', lambda: DetectorBundle(digits), 'not for detection')
    tried.refused('a bundle where a student is expected', lambda: load_detector_student(bundle), 'holds no student')
    other = Run('teacher', {})
    tried.refused('a run that is no detector', lambda: save_detector_bundle(tmp_path/'x', other), 'teacher')
    tried.refused('a teacher that is a path', lambda: save_detector_bundle(tmp_path/'x', str(tmp_path)), 'teacher')
    assert not (tmp_path/'x').exists()

# --- sources and students

@pytest.mark.parametrize('source, says', [
    ('gan', 'has no generator'), ('ether', 'unknown source'), ('auto', 'unknown source'),
    ('wild:/no/such', 'there is no folder'), ('wild:', 'names no'),
])
def test_sources(source, says, bundle, tried):
    tried.refused(f'the source {source!r}', lambda: frame_source(DetectorBundle(bundle), source), says,
                  (ValueError, FileNotFoundError))

def test_settings_of_another_source(bundle, tried):
    b = DetectorBundle(bundle)
    tried.refused('rounds for drawn pictures', lambda: frame_source(b, 'drawn', rounds=3), 'of the source `teacher`')
    tried.refused('an unknown setting', lambda: compress_detector(b, width=3), 'width')

def test_a_teacher_that_sees_nothing(bundle, runs, tried):
    "A network with random weights is confident of nothing"
    b = DetectorBundle(bundle)
    tried.refused('drawn pictures for a teacher that sees nothing',
                  lambda: WithheldFrames(b.teacher, frame_source(b, 'drawn')), 'finds nothing in 80 withheld frames')
    source, why = best_frames(b, runs, rounds=1)
    assert source.rung == 'drawn' and 'it recognises 0% of its inverted objects' in why
    tried('auto, for a teacher that recognises none of its objects', why)

def test_pairs(bundle, tried):
    b = DetectorBundle(bundle)
    tried.refused('a student larger than its teacher', lambda: check_detectors(b, 'detr_resnet50'), 'is no smaller')
    tried.refused('a classifier as a student', lambda: check_detectors(b, 'vit_digits_student'), 'student must be')
    tried.refused('a student that is larger by some', lambda: compress_detector(b, 'detr_micro'), 'is no smaller')

@pytest.fixture(scope='module')
def student(runs, tmp_path_factory):
    "A bundle of the teacher of drawn scenes, and a student that has learned next to nothing"
    from dfkd_nb.detr import train_detr
    from dfkd_nb.recipes import recipe_for
    trained = train_detr(get_detection('scenes'), **recipe_for('scenes', 'teacher'), seed=0)
    path = tmp_path_factory.mktemp('student')
    b = DetectorBundle(save_detector_bundle(path/'b', trained))
    data = WithheldFrames(trained, frame_source(b, 'drawn'), n=60)
    run = distill_detr(trained, frame_source(b, 'drawn'), data, n_images=64, epochs=1, root=runs)
    return save_detector_student(path/'s', run, b)

def test_students(student, tmp_path, tried):
    assert load_detector_student(student).card['source'] == 'drawn'
    for what, change, says in (('another model', lambda c: c.update(model='detr_tiny'), 'contradicts itself'),
                               ('a model that is none', lambda c: c.update(model='x'), 'model'),
                               ('other classes', lambda c: c.update(classes=['a', 'b']), 'contradicts itself'),
                               ('another task', lambda c: c.update(task='x'), 'not for detection'),
                               ('another source', lambda c: c.update(source='real'), 'contradicts itself'),
                               ('no weights', lambda c: c['files'].pop('weights.safetensors'), 'does not list')):
        shutil.copytree(student, path := tmp_path/what)
        redo(path, change, 'student.yaml')
        tried.refused(what, lambda: load_detector_student(path), says)
    tried.refused('a detector where a classifier is expected', lambda: load_student(student), "for 'detection'")

# --- frames

def frames(folder, n=6, names=FLYING, split='annotations'):
    "Drawn frames in COCO's format; the folder"
    made = [scene(np.random.default_rng([3, i]), (48, 64)) for i in range(n)]
    write_coco(folder, split, *zip(*made), names)
    if split == 'annotations': (folder/'annotations').rename(folder/'images')
    return folder

def test_frames_of_one_set(tmp_path, tried):
    assert len(get_frames(frames(tmp_path/'one'), 48, 64).read('test')[0]) == 6
    frames(tmp_path/'two', 4, split='train')
    frames(tmp_path/'two', 3, split='val')
    two = get_frames(tmp_path/'two', 48, 64)
    assert [len(two.read(s)[0]) for s in ('val', 'test')] == [3, 3]
    (tmp_path/'none').mkdir()
    tried.refused('a folder without annotations', lambda: get_frames(tmp_path/'none'), 'there are no annotations')
    tried.refused('no folder', lambda: get_frames(tmp_path/'x'), 'x', FileNotFoundError)

@pytest.mark.parametrize('what, change', [
    ('no annotations', dict(annotations=[])), ('no classes', dict(annotations=[], categories=[])),
    ('crowds alone', lambda said: [a.update(iscrowd=1) for a in said['annotations']]),
    ('no images', dict(images=[], annotations=[])),
])
def test_frames_without_objects(what, change, student, tmp_path, tried, capsys):
    file = frames(tmp_path/'f')/'annotations.json'
    said = json.loads(file.read_text())
    change(said) if callable(change) else said.update(change)
    file.write_text(json.dumps(said))
    tried.command(f'frames with {what}', ['evaluate', student, '--data', tmp_path/'f'], 'there is no object', capsys)
    args = ['distill', student.parent/'b', *SHORT, '--data', tmp_path/'f', '--check', '--out', tmp_path/'s']
    tried.command(f'to measure by: frames with {what}', args, 'there is no object', capsys)

def test_frames_of_other_classes(tmp_path, tried):
    data = get_frames(frames(tmp_path/'one', 20, ['crow', *FLYING[1:]]), 48, 64)
    tried.refused('frames of a class that the teacher lacks', lambda: match_frames(data, list(FLYING)), 'such as crow')
    more = match_frames(get_frames(frames(tmp_path/'two', 20), 48, 64), ['zebra', *reversed(FLYING)])
    labels = more.read('test')[1]
    assert labels.max() == 4 and (labels[labels >= 0] > 0).all()

# --- commands

@pytest.fixture
def weights(student): return student.parent/'b'/'teacher'/'weights.safetensors'

MICRO = ['--student', 'detr_micro']
SHORT = [*MICRO, '--source', 'drawn', '--images', '64', '--epochs', '1']
TINY = ['bundle', '--detector', 'detr_tiny']

@pytest.mark.parametrize('what, args, says', [
    ('neither teacher nor detector', ['bundle', '--classes', '4'], '--teacher, or --detector'),
    ('a teacher and a detector', [*TINY, '--teacher', 'x', '--classes', '4'], '--teacher is for classifiers'),
    ('a detector in grey', [*TINY, '--channels', '1'], '--channels is for'),
    ('a detector with a pooling', [*TINY, '--classes', '4', '--pool', 'avg'], '--pool is for classifiers'),
    ('epochs without frames', [*TINY, '--classes', '4', '--epochs', '3'], 'needs --data'),
    ('a detector by an address', ['bundle', '--detector', 'hf:https://x/y', '--classes', '4'], 'is an address'),
    ('a detector of no folder', ['bundle', '--detector', 'hf:/no/such'], 'there is no'),
    ('no weights', [*TINY, '--classes', '4'], 'name the file with the weights'),
    ('classes that are none', [*TINY, '--weights', 'w.pt', '--classes', ','], 'classes'),
    ('a class of nine digits', [*TINY, '--weights', 'w.pt', '--classes', '12345678'], 'classes'),
    ('frames that are not there', [*TINY, '--weights', 'w.pt', '--data', '/no/such'], '/no/such'),
    ('a file in place of a folder of frames', [*TINY, '--weights', 'w.pt', '--data', 'README.md'],
     'README.md is no data set: a folder is wanted'),
    ('one value for three channels', [*TINY, '--weights', 'w.pt', '--classes', '4', '--mean', '.5', '--std', '.2'],
     'mean must be a list of 3'),
    ('frames of a size that is none', [*TINY, '--classes', '4', '--size', '0'], '--size must be'),
])
def test_commands(what, args, says, tmp_path, tried, capsys):
    tried.command(what, [*args, '--out', tmp_path/'out'], says, capsys)
    assert not (tmp_path/'out').exists()

def test_commands_on_a_bundle(student, tmp_path, tried, capsys):
    bundle, out = student.parent/'b', tmp_path/'out'
    for what, args, says in (
            ('a student of another task', ['--student', 'vit_digits_student'], 'student must be one of'),
            ('a source that is none', [*MICRO, '--source', 'ether'], 'unknown source'),
            ('a folder to choose among', [*MICRO, '--source', f'auto:{tmp_path}'], 'is for classifiers'),
            ('rounds for drawn pictures', [*MICRO, '--source', 'drawn', '--rounds', '3'], '--rounds is for'),
            ('minutes and epochs', [*MICRO, '--minutes', '3', '--epochs', '2'], 'give one of the two'),
            ('too few minutes', [*MICRO, '--source', 'noise', '--minutes', '.01'], 'too little on'),
            ('frames of 3 pixels', [*MICRO, '--size', '3'], '--size must be at least')):
        tried.command(what, ['distill', bundle, *args, '--out', out], says, capsys)
        assert not out.exists()
    picture = next(f for f in Path('examples/drone_crops').rglob('*.png'))
    for command, kind in ((['report', bundle], 'html'), (['probe', bundle, picture], 'png')):
        tried.command(f'{command[0]} of a detector', [*command, '--out', tmp_path/f'x.{kind}'], 'detection', capsys)
    asked = ['export', 'examples/digits.bundle', '--out', tmp_path/'x.onnx', '--size', 9]
    tried.command('a size for a classifier', asked, '--size is for detectors', capsys)

def test_from_a_folder_to_a_file(student, weights, tmp_path, tried, capsys):
    frames(tmp_path/'frames')
    asked = ['evaluate', student, '--data', tmp_path/'frames']
    tried.command('a student on frames of a folder', asked, 'mAP@50', capsys, 0)
    asked = ['export', student, '--out', tmp_path/'s.onnx', '--size', 64]
    tried.command('a student as a file', asked, 'frames 3×64×64', capsys, 0)
    card = read_card(tmp_path/'s.onnx')
    assert (card['task'], card['classes']) == ('detection', list(FLYING))
    logits, boxes = run_onnx(tmp_path/'s.onnx', torch.rand(2, 3, 64, 64))
    assert logits.shape == (2, 8, 4) and boxes.shape == (2, 8, 4)
    args = ['bundle', '--detector', 'detr_tiny', '--weights', weights, '--classes', ','.join(FLYING), '--size', '64']
    tried.command('weights of a run of ours', [*args, '--out', tmp_path/'b'], 'DetectorBundle', capsys, 0)
    tried.command('the same again', [*args, '--out', tmp_path/'b'], 'is there already', capsys)
    asked = ['distill', tmp_path/'b', *SHORT, '--check', '--out', tmp_path/'s']
    tried.command('a look at what would be done', asked, 'time: about', capsys, 0)
    assert not (tmp_path/'s').exists()

def test_what_is_found_before_the_work(student, weights, folder, tmp_path, tried, capsys):
    out = ['--out', tmp_path/'s']
    asked = ['distill', student.parent/'b', *MICRO, '--source', 'teacher', '--rounds', 1, '--images', 10**8]
    tried.command('a hundred million frames', [*asked, *out], 'take fewer --images', capsys)
    tried.command('a look at a hundred million frames', [*asked, '--check', *out], 'take fewer --images', capsys)
    asked = ['bundle', '--detector', f'hf:{folder}', '--classes', 'a,b,c']
    tried.command('names beside those of the folder', [*asked, *out], 'leave --classes out', capsys)
    inside = ['bundle', '--detector', 'detr_tiny', '--weights', weights, '--classes', 4, '--out', weights.parent/'new']
    tried.command('a bundle within the bundle whose weights are read', inside, 'a bundle or a student', capsys)
    large = ['evaluate', student, '--data', 'scenes', '--size', 4096]
    tried.command('frames larger than any', large, '--size must be at', capsys)
    assert not (tmp_path/'s.work').exists() and DetectorBundle(student.parent/'b')

def test_it_goes_on(student, tmp_path, capsys, monkeypatch):
    "What was stopped between its stages goes on as planned"
    import dfkd_nb.detr_cli as detr_cli
    args = ['distill', student.parent/'b', *SHORT, '--out', tmp_path/'s']
    def stop(*_, **__): raise KeyboardInterrupt
    monkeypatch.setattr(detr_cli, 'save_detector_student', stop)
    assert main(list(map(str, args))) == 130 and (tmp_path/'s.work'/'plan.json').exists()
    monkeypatch.undo()
    assert main(list(map(str, args))) == 0 and 'going on as planned' in capsys.readouterr().out
    assert not (tmp_path/'s.work').exists() and load_detector_student(tmp_path/'s')

def test_noise_as_a_source():
    assert NoiseFrames((3, 16, 16)).sample(2)[0].shape == (2, 3, 16, 16) and create_detector('detr_micro', 1)

# --- what a source of somebody else gives

class Foreign(NoiseFrames):
    "Frames of noise, with whatever labels and boxes"
    def __init__(self, give, shape=(3, 64, 64)):
        super().__init__(shape)
        self.give = give
    def sample(self, n, seed=0): return self.give(*super().sample(n, seed))

@pytest.mark.parametrize('what,give,says', [
    ('no labels', lambda x, l, b: (x, None, None), 'labels must be an array'),
    ('frames alone', lambda x, l, b: x, 'must give frames, labels'),
    ('labels of classes that are not there', lambda x, l, b: (x, l*0+99, b+.3), 'labels must be below 3, got 99'),
    ('labels that are no whole numbers', lambda x, l, b: (x, l+.5, b), 'must be whole numbers'),
    ('fewer labels than frames', lambda x, l, b: (x, l[1:], b[1:]), 'do not belong together'),
    ('boxes in pixels', lambda x, l, b: (x, l*0, b+30), 'shares of the image'),
    ('boxes that are NaN', lambda x, l, b: (x, l*0, b*np.nan), 'shares of the image'),
    ('frames in grey', lambda x, l, b: (x[:,:1], l, b), r'must be uint8 \(n,3,H,W\)'),
    ('no frame', lambda x, l, b: (x[:0], l[:0], b[:0]), 'there are none'),
    ('too few frames', lambda x, l, b: (x[:4], l[:4], b[:4]), 'gives 4 of 64 frames'),
])
def test_foreign_sources(what, give, says, tried):
    tried.refused(f'a source of {what}', lambda: frames_from(Foreign(give), 64, 0, 3, bs=8), says)

@pytest.mark.parametrize('what,source,says', [
    ('no source', Path('x'), 'has no rung'),
    ('a source of frames alone', Foreign(lambda x, l, b: x), 'must give frames, labels'),
    ('a source of labels that are texts', Foreign(lambda x, l, b: (x, 'cat', b)), 'labels must be an array'),
])
def test_no_frames_to_withhold(what, source, says, teacher, tried):
    tried.refused(f'{what}, to measure a student by', lambda: WithheldFrames(teacher, source, 30), says)

def test_no_source(teacher, runs, tried):
    data = get_frames('scenes', size=64)
    tried.refused('a folder in place of a source', lambda: distill_detr(teacher, Path('x'), data, root=runs),
                  'source is a .*Path, which has no rung')
