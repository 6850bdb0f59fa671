"Models: names, arguments and weights that mean more than a network"
import builtins, os, socket
from pathlib import Path
import pytest, timm, torch
from hypothesis import given, settings, strategies as st
from dfkd_nb.models import Classifier, create_classifier, create_net, differences, load_classifier, sketch
from dfkd_nb.runs import Run

TIMM = 'vit_tiny_patch16_224'
TINY = {'img_size': 16, 'patch_size': 8, 'embed_dim': 16, 'depth': 1, 'num_heads': 2}
HF = {
    'image_size': 16,
    'patch_size': 8,
    'hidden_size': 16,
    'num_hidden_layers': 1,
    'num_attention_heads': 2,
    'intermediate_size': 32,
}

@pytest.fixture(autouse=True)
def tiny_model():
    "A small network by a name of its own, for the tests of this file alone"
    from dfkd_nb.models import MODELS
    MODELS['vit_test_tiny'] = {**TINY, 'in_chans': 3}
    yield
    del MODELS['vit_test_tiny']

@pytest.fixture
def sealed(tried, monkeypatch):
    "No network, no writing, no unpickling, no program: whoever tries fails the test"
    def stop(what):
        def no(*a, **kw): pytest.fail(f'{what} was called with {a[:2]}')
        return no
    real = builtins.open
    def read_only(file, mode='r', *a, **kw):
        if set(mode) & set('wax+'): pytest.fail(f'{file} was opened to write')
        return real(file, mode, *a, **kw)
    # what is imported lazily is read from here on
    import transformers
    for head in ('ViT', 'DeiT', 'Dinov2', 'Beit'): getattr(transformers, f'{head}ForImageClassification')
    monkeypatch.setattr(builtins, 'open', read_only)
    for where, names in (
            (socket.socket, ['connect', 'connect_ex']),
            (os, ['makedirs', 'mkdir', 'rename', 'replace', 'remove', 'symlink', 'system']),
            (torch, ['load', 'save']),
            (torch.hub, ['load_state_dict_from_url', 'download_url_to_file', 'load']),
    ):
        for n in names: monkeypatch.setattr(where, n, stop(n))

EVIL = [
    ('hf-hub:timm/vit_tiny_patch16_224.augreg_in21k', {}),
    ('hf_hub:timm/x', {}),
    ('local-dir:/tmp/x', {}),
    (f'{TIMM}.hf-hub:x/y', {}),
    (f'/tmp/{TIMM}', {}),
    (f'./{TIMM}', {}),
    (f'../../{TIMM}', {}),
    (f'{TIMM}.no_such_tag', {}),
    (f'{TIMM}\n', {}),
    (f' {TIMM}', {}),
    ('https://example.org/x.pth', {}),
    ('', {}),
    ('__class__', {}),
    ('create_net', {}),
    ('ｖit_tiny_patch16_224', {}),
    ('vit_tiny_patch16_22\u0664', {}),
    ('v'*10**6, {}),
    (7, {}),
    (None, {}),
    (['resnet18'], {}),
    ('torchvision:', {}),
    ('torchvision:fasterrcnn_resnet50_fpn', {}),
    ('torchvision:deeplabv3_resnet50', {}),
    ('torchvision:quantized_resnet18', {}),
    ('torchvision:vit_b_16', {'weights': 'DEFAULT'}),
    ('torchvision:vit_b_16', {'weights_backbone': 'DEFAULT'}),
    ('torchvision:vit_b_16', {'progress': True}),
    ('torchvision:vit_b_16', {'norm_layer': 'x'}),
    ('torchvision:vit_b_16', {'in_chans': 1}),
    ('hf:', {}),
    ('hf:/tmp/x', {}),
    ('hf:google/vit', {}),
    ('hf:timm_wrapper', {}),
    ('hf:vit_hybrid', {}),
    ('hf:vit', {'config': {'auto_map': {'AutoConfig': 'x--y.Z'}}}),
    ('hf:vit', {'trust_remote_code': True}),
    ('hf:vit', {'config': {'_name_or_path': 'google/vit'}}),
    ('hf:vit', {'config': {'_attn_implementation': 'kernels-community/x'}}),
    ('hf:vit', {'config': {'backbone': 'resnet18', 'use_pretrained_backbone': True}}),
    ('hf:vit', {'config': {'hidden_act': '__import__'}}),
    ('hf:vit', {'config': {'model_type': 'deit'}}),
    ('hf:vit', {'config': 'config.json'}),
    ('hf:vit', {'config': {'torch_dtype': 'os.system'}}),
    ('hf:vit', {'head': 'Trainer'}),
    ('hf:vit', {'head': '__class__'}),
    ('hf:vit', {'config': [1]}),
    ('hf:vit', {'config': {'hidden_size': {'a': 1}}}),
    *((TIMM, {k: v}) for k, v in {
        'pretrained': True, 'pretrained_cfg': {'url': 'http://127.0.0.1:9/evil.pth'},
        'pretrained_cfg_overlay': {'file': '/tmp/evil.pth'}, 'cache_dir': '/tmp/cache',
        'checkpoint_path': '/tmp/evil.pth', 'scriptable': True, 'features_only': True, 'pretrained_strict': False,
        'url': 'file:///tmp/x', 'file': '/tmp/x', 'kwargs': {'pretrained': True}, 'embed_layer': 'x',
        'norm_layer': '__class__', 'block_fn': 'x', 'attn_layer': 'diff', 'weight_init': 'jax', 'device': 'cuda:7',
        'dtype': 'float64', 'name': 'resnet18', 'num_classes': 3, 'stats': {}, 'model_name': 'resnet18', 'self': 1,
        '__class__': 1, 'img_sizе': 32, 'depth': 10**9, 'embed_dim': 0, 'num_heads': -1, 'patch_size': 0,
        'img_size': 10**9, 'mlp_ratio': float('nan'), 'drop_rate': float('inf'), 'reg_tokens': True,
        'class_token': 'no', 'in_chans': '3', 'global_pool': ['avg'], 'init_values': 1e300}.items()),
]

@pytest.mark.parametrize('name,arch', EVIL, ids=[f'{str(n)[:40]}-{i}' for i, (n, _) in enumerate(EVIL)])
def test_nothing_is_fetched_or_written(name, arch, tried, sealed):
    tried.refused(f'{str(name)[:50]!r} with {str(arch)[:60]}', lambda: sketch(name, 3, arch), '.')
    state = {'w': torch.zeros(1)}
    class Said:
        path, weights = Path('run'), state
        result = {'model': name, 'params': {'num_classes': 3, 'mean': [.5]*3, 'std': [.5]*3, 'arch': arch}}
    with pytest.raises(ValueError) as e: load_classifier(Said)
    assert len(str(e.value)) < 2000

@pytest.mark.parametrize('name,arch', [
    (TIMM, {**TINY}),
    ('vit_tiny_patch16_224.augreg_in21k_ft_in1k', TINY),
    ('vit_tiny_r_s16_p8_224', {'depth': 1}),
    ('resnet18', {}),
    ('torchvision:resnet18', {}),
    ('hf:vit', {'config': HF}),
    ('hf:deit', {'config': HF, 'head': 'DeiTForImageClassificationWithTeacher'}),
    ('hf:dinov2', {'config': HF}),
    ('hf:beit', {'config': HF}),
    ('vit_digits_teacher', {'drop_path_rate': .1}),
])
def test_what_is_built_offline(name, arch, tried, sealed):
    net = create_net(name, 3, **arch)
    assert sum(p.numel() for p in net.parameters()) == sum(p.numel() for p in sketch(name, 3, arch).parameters())
    tried(f'{name}, built without network and without writing',
          f'{sum(p.numel() for p in net.parameters()):,} parameters')

@pytest.mark.parametrize('what,arch', [
    ('parameters', {'embed_dim': 16_384, 'depth': 8, 'num_heads': 1}),
    ('patches', {'img_size': 4096, 'patch_size': 1}),
])
def test_size_is_looked_at_before_memory_is_taken(what, arch, tried):
    tried.refused(f'a network of too many {what}', lambda: create_net('vit_digits_teacher', 10, **arch), what)

def test_a_build_changes_no_random_number():
    torch.manual_seed(0)
    want = torch.rand(3)
    torch.manual_seed(0)
    sketch(TIMM, 3, TINY)
    assert torch.equal(torch.rand(3), want)

VALUES = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
                      lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text(max_size=8), v, max_size=3),
                      max_leaves=5)
KEYS = st.sampled_from(['img_size', 'patch_size', 'embed_dim', 'depth', 'num_heads', 'mlp_ratio', 'in_chans',
                        'global_pool', 'init_values', 'config', 'head', 'pretrained_cfg']) | st.text(max_size=8)

@settings(derandomize=True, max_examples=80, deadline=None)
@given(st.sampled_from(['vit_digits_student', TIMM, 'torchvision:vit_b_16', 'hf:vit', 'hf:dinov2']),
       st.dictionaries(KEYS, VALUES, max_size=2) | VALUES)
def test_fuzz_of_arguments(name, arch):
    try: sketch(name, 3, arch)
    except ValueError as e: assert '\n' not in str(e).strip() and len(str(e)) < 2000

# Runs
def run_of(tmp_path, net, **params):
    "A run folder as someone else may write one"
    (tmp_path/'result.json').write_text('{}')
    class Said(Run):
        stage, path, weights = 'student', tmp_path, {k: v.clone() for k, v in net.state_dict().items()}
        result = {'model': 'vit_digits_student', 'params': {'num_classes': 3, 'mean': [.3], 'std': [.4], **params}}
        def __init__(self): pass
    return Said()

BAD = [
    ('a thousand million classes', {'num_classes': 10**9}, 'at most 100,000'),
    ('no class', {'num_classes': 0}, 'at least 1'),
    ('classes as text', {'num_classes': '3'}, 'whole number'),
    ('another number of classes', {'num_classes': 4}, 'another architecture'),
    ('a mean that is NaN', {'mean': [float('nan')]}, 'finite'),
    ('a mean of images in 0…255', {'mean': [123.7]}, 'divide it by 255'),
    ('a deviation of 0', {'std': [0.]}, 'at least'),
    ('a negative deviation', {'std': [-.2]}, 'at least'),
    ('an infinite deviation', {'std': [float('inf')]}, 'finite'),
    ('three means for one channel', {'mean': [.5]*3}, 'values for 3 channel'),
    ('no mean', {'mean': []}, 'values for 1 channel'),
    ('a mean that is null', {'mean': None}, 'a list'),
    ('a mean in a list in a list', {'mean': [[.3]]}, 'must be a list'),
    ('more names than classes', {'classes': list('abcd')}, '4 are named'),
    ('a name twice', {'classes': ['a', 'b', 'a']}, 'twice'),
    ('an empty name', {'classes': ['a', '', 'b']}, 'printable'),
    ('a name that is null', {'classes': ['a', None, 'b']}, 'printable'),
    ('names as a text', {'classes': 'abc'}, 'a list'),
    ('a name with a line break', {'classes': ['a', 'b\nc', 'd']}, 'printable'),
    ('arguments as a list', {'arch': ['depth']}, 'table'),
    ('deeper than its weights', {'arch': {'depth': 200}}, 'another architecture'),
    ('images of another size', {'arch': {'img_size': 64}}, 'another architecture'),
]

@pytest.mark.parametrize('what,params,says', BAD, ids=[b[0] for b in BAD])
def test_results_that_lie(what, params, says, tmp_path, tried):
    tried.refused(what, lambda: load_classifier(run_of(tmp_path, create_net('vit_digits_student', 3), **params)), says)

def test_weights_that_are_none(tmp_path, tried):
    net = create_net('vit_digits_student', 3)
    run = run_of(tmp_path, net)
    assert load_classifier(run).net.head.out_features == 3
    run.weights['norm.bias'][0] = float('inf')
    tried.refused('one weight is infinite', lambda: load_classifier(run), 'norm.bias')
    run.weights['norm.bias'] = run.weights['norm.bias'].long()
    tried.refused('weights are whole numbers', lambda: load_classifier(run), 'int64')
    run.result = []
    tried.refused('a result that is a list', lambda: load_classifier(run), 'not that of a classifier')

def test_images(tried):
    "Grey for three channels is repeated; colour for one is refused."
    clf = create_classifier(TIMM, 3, {'mean': [.5, .4, .3], 'std': [.2, .3, .4]}, **TINY).eval()
    x = torch.rand(2, 1, 20, 24)
    assert torch.allclose(clf(x), clf(x.expand(-1, 3, -1, -1)), atol=1e-6)
    tried('a grey image, a teacher of three channels', 'the channel is repeated')
    grey = create_classifier(TIMM, 3, {'mean': [.5], 'std': [.2]}, **TINY)
    assert grey.chans == 1
    tried.refused('a colour image, a teacher of one channel', lambda: grey(torch.rand(1, 3, 16, 16)),
                  'convert the images')
    tried.refused('four channels, a teacher of three', lambda: clf(torch.rand(1, 4, 16, 16)), 'convert the images')
    tried.refused('a network of 32×16 pixels',
                  lambda: Classifier(timm.create_model(TIMM, **{**TINY, 'img_size': (32, 16)}), [.5]*3, [.5]*3),
                  'square')

# Teachers from elsewhere
from dfkd_nb.bundle import adopt, class_places, foreign_teacher, own_names, read_preparation, read_weights
from safetensors.torch import save_file
import json, pickle, zipfile, transformers

HALF = {'mean': [.5]*3, 'std': [.5]*3}
BIRDS = ['wren', 'crow', 'owl']

def hf_folder(path, kind='ViT', head=None, prepared=None, change=None, **more):
    "A folder of Hugging Face, its network, and its `config.json` changed"
    torch.manual_seed(0)
    config = getattr(transformers, f'{kind}Config')(
        **{**HF, 'id2label': dict(enumerate(BIRDS)), 'label2id': {n: i for i, n in enumerate(BIRDS)}, **more})
    net = getattr(transformers, head or f'{kind}ForImageClassification')(config).eval()
    for p in net.parameters(): p.data += torch.randn_like(p)*.05
    net.save_pretrained(path)
    if prepared is not None: (path/'preprocessor_config.json').write_text(json.dumps(prepared))
    if change is not None:
        said = json.loads((path/'config.json').read_text())
        for k, v in change.items():
            if v is DROP: said.pop(k, None)
            else: said[k] = v
        (path/'config.json').write_text(json.dumps(said))
    return net

DROP = type('Drop', (), {'__repr__': lambda self: 'nothing'})()

def timm_file(path, name=TIMM, prefix='', **more):
    torch.manual_seed(0)
    net = timm.create_model(name, num_classes=3, **{**TINY, **more}).eval()
    for p in net.parameters(): p.data += torch.randn_like(p)*.05
    save_file({f'{prefix}{k}': v.contiguous() for k, v in net.state_dict().items()}, path)
    return net

def same(clf, net, mean=.5, std=.5, chans=3):
    x = torch.rand(2, chans, clf.size, clf.size)
    out = net((x-mean)/std)
    with torch.no_grad(): assert torch.allclose(clf(x), getattr(out, 'logits', out), atol=1e-4)

@pytest.mark.parametrize('kind,head', [
    ('ViT', None),
    ('DeiT', None),
    ('DeiT', 'DeiTForImageClassificationWithTeacher'),
    ('Dinov2', None),
    ('Dinov2WithRegisters', None),
    ('ViTMSN', None),
    ('Beit', None),
    ('Data2VecVision', None),
])
def test_hugging_face_folders(kind, head, tmp_path, tried, monkeypatch):
    net = hf_folder(tmp_path/'hub', kind, head, {'image_mean': [.4]*3, 'image_std': [.3]*3})
    monkeypatch.setattr(socket.socket, 'connect', lambda *a: pytest.fail('the network was asked'))
    clf, arch = foreign_teacher(f'hf:{tmp_path}/hub')
    same(clf, net, .4, .3)
    assert clf.classes == BIRDS
    run = adopt(clf, BIRDS, arch, root=tmp_path/'runs')
    same(load_classifier(run), net, .4, .3)
    tried(f'a folder of {head or kind}', 'its classes, normalisation and logits')

PREPARED = [
    ({'do_normalize': False}, 0, 1),
    ({'do_normalize': False, 'rescale_factor': 1/127.5}, 0, .5),
    ({'image_mean': [.4]*3, 'image_std': [.3]*3, 'rescale_factor': 1/127.5}, .2, .15),
    ({'do_rescale': False, 'image_mean': [127.5]*3, 'image_std': [51.]*3}, .5, .2),
    ({'do_rescale': False, 'do_normalize': False}, 0, 1/255),
    ({'image_mean': .4, 'image_std': .3}, .4, .3),
]

@pytest.mark.parametrize('said,mean,std', PREPARED, ids=str)
def test_preparation_is_honoured(said, mean, std, tmp_path, tried):
    net = hf_folder(tmp_path/'hub', prepared={**said, 'resample': 3, 'size': {'height': 16, 'width': 16}})
    clf, arch = foreign_teacher(f'hf:{tmp_path}/hub')
    same(clf, net, mean, std)
    assert clf.noted == {'resample': 3, 'size': {'height': 16, 'width': 16}}
    tried(f'preprocessor_config.json with {said}', f'(x − {mean:.3g})/{std:.3g}')

@pytest.mark.parametrize(
    'said', [[], 'x', {'do_normalize': 'no'}, {'rescale_factor': 0}, {'rescale_factor': float('nan')},
             {'image_mean': ['a'], 'image_std': [.5]}, {'image_mean': [.5]*2, 'image_std': [.5]*3},
             {'image_mean': [.5]*3, 'image_std': [0]*3}, {'do_flip_channel_order': True}, {'image_mean': [.5]*3},
             {'image_mean': [124.]*3, 'image_std': [58.]*3}, {'image_mean': {}, 'image_std': {}}], ids=str)
def test_preparation_that_means_nothing(said, tmp_path, tried):
    hf_folder(tmp_path/'hub', prepared=said)
    tried.refused(f'preprocessor_config.json with {said}', lambda: foreign_teacher(f'hf:{tmp_path}/hub'),
                  'preprocessor_config|mean|std')

CONFIGS = [
    ({'auto_map': {'AutoModel': 'x--y.Z'}}, 'auto_map'),
    ({'quantization_config': {'load_in_4bit': True}}, 'quantization_config'),
    ({'backbone': 'resnet18'}, 'backbone'),
    ({'model_type': 'timm_wrapper'}, 'model_type must be'),
    ({'model_type': DROP}, 'model_type must be'),
    ({'model_type': ['vit']}, 'model_type must be'),
    ({'architectures': ['Evil']}, 'architectures must be'),
    ({'hidden_size': 10**9}, 'at most'),
    ({'hidden_size': 24}, 'does not fit'),
    ({'num_hidden_layers': 10**9}, 'at most'),
    ({'image_size': [16, 32]}, 'square'),
    ({'hidden_act': 'eval'}, 'hidden_act must be'),
    ({'id2label': {'0': 'a', '2': 'b', '7': 'c'}}, 'numbers its classes'),
    ({'id2label': {'0': 'a', '1': None, '2': 'c'}}, 'no texts'),
    ({'id2label': {'0': '', '1': 'b', '2': 'c'}}, 'printable'),
    ({'id2label': {str(i): str(i) for i in range(200_000)}}, 'at most 100,000'),
    ({'id2label': {'0': 'a', '1': 'b'}}, 'does not fit'),
    ({'problem_type': 'regression'}, 'not for one class'),
    ({'num_channels': 0}, 'at least 1'),
    ({'qkv_bias': 'yes'}, 'True or False'),
    ({'layer_norm_eps': 1e300}, 'at most'),
]

@pytest.mark.parametrize('change,says', CONFIGS, ids=[str(c)[:40] for c, _ in CONFIGS])
def test_configurations_that_lie(change, says, tmp_path, tried):
    hf_folder(tmp_path/'hub', prepared={'image_mean': [.5]*3, 'image_std': [.5]*3}, change=change)
    tried.refused(f'config.json with {str(change)[:50].replace(str(DROP), "—")}',
                  lambda: foreign_teacher(f'hf:{tmp_path}/hub'), says)

@pytest.mark.parametrize(
    'change',
    [{'_name_or_path': 'google/vit', 'torch_dtype': 'float32', '_attn_implementation': 'flash_attention_2',
      'transformers_version': '4.1'}, {'id2label': {'2': 'owl', '0': 'wren', '1': 'crow'}}, {'architectures': None}])
def test_configurations_of_older_versions(change, tmp_path, tried):
    net = hf_folder(tmp_path/'hub', prepared={'image_mean': [.5]*3, 'image_std': [.5]*3}, change=change)
    clf, arch = foreign_teacher(f'hf:{tmp_path}/hub')
    same(clf, net)
    assert clf.classes == BIRDS and '_name_or_path' not in arch['config']
    tried(f'config.json with {str(change)[:50]}', 'read, and what describes no network left out')

def test_a_folder_is_read_without_network_or_writing(tmp_path, request, tried):
    net = hf_folder(tmp_path/'hub', 'DeiT', prepared={'image_mean': [.5]*3, 'image_std': [.5]*3},
                    change={'_name_or_path': 'nobody/nothing', '_commit_hash': 'x'})
    request.getfixturevalue('sealed')
    same(foreign_teacher(f'hf:{tmp_path}/hub')[0], net)
    tried('a folder that says where it came from', 'nothing is asked there')

def test_folders(tmp_path, tried):
    "Shards, PyTorch files, names of older versions, timm's folders."
    half = {'image_mean': [.5]*3, 'image_std': [.5]*3}
    net = hf_folder(tmp_path/'hub', prepared=half)
    state = net.state_dict()
    net.save_pretrained(tmp_path/'shards', max_shard_size='8KB')
    (tmp_path/'shards/preprocessor_config.json').write_text(json.dumps(half))
    assert len(list((tmp_path/'shards').glob('*.safetensors'))) > 1
    same(foreign_teacher(f'hf:{tmp_path}/shards')[0], net)
    tried('weights in several files', 'read by their index')
    index = tmp_path/'shards/model.safetensors.index.json'
    said = json.loads(index.read_text())
    (tmp_path/'outside.safetensors').write_bytes((tmp_path/'hub/model.safetensors').read_bytes())
    for name, says in (
            ('../outside.safetensors', 'no name of a file beside it'),
            (str(tmp_path/'outside.safetensors'), 'no name of a file beside it'),
            ('..', 'no name of'),
            ('nowhere.safetensors', 'there is no file'),
            (7, 'no name of'),
    ):
        index.write_text(json.dumps({**said, 'weight_map': {**said['weight_map'], 'classifier.bias': name}}))
        tried.refused(f'an index that leads to {Path(str(name)).name if str(name).startswith("/") else name}',
                      lambda: foreign_teacher(f'hf:{tmp_path}/shards'), says, (ValueError, FileNotFoundError))
    index.write_text(
        json.dumps({**said, 'weight_map': {**said['weight_map'], 'ghost': said['weight_map']['classifier.bias']}}))
    tried.refused('an index with a tensor that is in no file', lambda: foreign_teacher(f'hf:{tmp_path}/shards'),
                  'ghost is not in')
    a, b = sorted(set(said['weight_map'].values()))[:2]
    swapped = {k: {a: b, b: a}.get(v, v) for k, v in said['weight_map'].items()}
    index.write_text(json.dumps({**said, 'weight_map': swapped}))
    tried.refused('an index that mixes its files up', lambda: foreign_teacher(f'hf:{tmp_path}/shards'), 'is not in')
    (tmp_path/'hub/model.safetensors').unlink()
    tried.refused('a folder without weights', lambda: foreign_teacher(f'hf:{tmp_path}/hub'), 'there is no file',
                  FileNotFoundError)
    torch.save({f'_orig_mod.{k}': v for k, v in state.items()}, tmp_path/'hub/pytorch_model.bin')
    same(foreign_teacher(f'hf:{tmp_path}/hub')[0], net)
    tried('pytorch_model.bin of a compiled model', 'read as tensors, the prefix taken off')
    (tmp_path/'timm').mkdir()
    net = timm_file(tmp_path/'timm/model.safetensors')
    (tmp_path/'timm/config.json').write_text(json.dumps({
        'architecture': TIMM,
        'num_classes': 3,
        'model_args': TINY,
        'label_names': BIRDS,
        'pretrained_cfg': {'mean': [.5]*3, 'std': [.5]*3, 'url': 'http://127.0.0.1:9/x'},
    }))
    clf, arch = foreign_teacher(f'hf:{tmp_path}/timm')
    same(clf, net)
    assert clf.classes == BIRDS and clf.name == TIMM
    adopt(clf, BIRDS, arch, root=tmp_path/'runs')
    tried("a folder of timm's", 'its network, normalisation and classes')
    tried.refused('no folder', lambda: foreign_teacher(f'hf:{tmp_path}/nowhere'), 'there is no', FileNotFoundError)

TIMM_SAYS = {
    'its classes twice, differently': ({'model_args': {**TINY, 'num_classes': 4}}, 'num_classes'),
    'its pooling twice, differently': ({'global_pool': 'avg', 'pretrained_cfg': {'global_pool': 'max'}}, 'global_pool'),
    'its mean twice, differently': ({'mean': [.1]*3, 'pretrained_cfg': {'mean': [.5]*3}}, 'mean'),
    'a pooling that there is not': ({'global_pool': 'evil'}, 'global_pool'),
    'a pooling that is a list': ({'pretrained_cfg': {'global_pool': ['avg']}}, 'global_pool'),
    'no mean': ({'pretrained_cfg': {'mean': []}}, 'values for 3 channel'),
}

@pytest.mark.parametrize('what', TIMM_SAYS)
def test_folders_of_timm_that_say(what, tmp_path, tried):
    more, says = TIMM_SAYS[what]
    timm_file(tmp_path/'model.safetensors')
    (tmp_path/'config.json').write_text(json.dumps(
        {'architecture': TIMM, 'num_classes': 3, 'model_args': TINY, **more}))
    tried.refused(f'a folder of timm that says {what}', lambda: foreign_teacher(f'hf:{tmp_path}'), says)

@pytest.mark.parametrize('more', [{}, {'global_pool': 'avg'}, {'global_pool': 'max'}, {'global_pool': 'avgmax'},
                                  {'global_pool': 'max', 'fc_norm': False}, {'reg_tokens': 2}], ids=str)
def test_folders_that_timm_writes(more, tmp_path, tried):
    torch.manual_seed(0)
    net = timm.create_model(TIMM, num_classes=3, **{**TINY, **more}).eval()
    for p in net.parameters(): p.data += torch.randn_like(p)*.05
    timm.models.save_for_hf(net, tmp_path, model_args={**TINY, **more})
    clf, arch = foreign_teacher(f'hf:{tmp_path}')
    same(clf, net)
    assert 'num_classes' not in arch and clf.net.global_pool == net.global_pool
    said = json.loads((tmp_path/'config.json').read_text())
    for k in more: said['model_args'].pop(k)
    said['model_args'].pop('global_pool', None)
    (tmp_path/'config.json').write_text(json.dumps(said))
    same(foreign_teacher(f'hf:{tmp_path}')[0], net)
    tried(f'a folder as timm writes it, with {more or "nothing special"}', 'its classes and its pooling')

def test_folders_of_an_older_timm(tmp_path, tried):
    timm_file(tmp_path/'model.safetensors')
    said = {'architecture': TIMM, 'num_classes': 3, 'model_args': TINY, 'mean': [.1, .2, .3], 'std': [.2]*3}
    for k in ('labels', 'label_names'):
        (tmp_path/'config.json').write_text(json.dumps({**said, k: BIRDS}))
        clf = foreign_teacher(f'hf:{tmp_path}')[0]
        assert clf.classes == BIRDS and torch.allclose(clf.mean.flatten(), torch.tensor([.1, .2, .3]))
        tried(f'all in one table, classes as {k}', 'its normalisation and its classes')
    (tmp_path/'config.json').write_text(json.dumps({**said, 'labels': [*BIRDS, 'more']}))
    with pytest.warns(UserWarning, match='names 4 classes, and the network has 3'):
        assert foreign_teacher(f'hf:{tmp_path}')[0].classes is None
    tried('four names for three classes', 'left out, with a warning')
    hf_folder(tmp_path/'hub', prepared={'image_mean': [.5]*3, 'image_std': [.5]*3}, change={'id2label': DROP})
    assert foreign_teacher(f'hf:{tmp_path}/hub')[0].classes == BIRDS
    tried('a folder of Hugging Face that has label2id alone', 'its names')

@pytest.mark.parametrize(
    'prefix', ['', 'module.', '_orig_mod.', 'model.', 'backbone.', '_orig_mod.module.', 'module.model.backbone.'])
def test_prefixes(prefix, tmp_path, tried):
    net = timm_file(tmp_path/'w.safetensors', prefix=prefix, img_size=224, patch_size=56)
    same(_tiny(tmp_path/'w.safetensors'), net)
    tried(f'names that begin with {prefix!r}', 'taken off where the rest is the network\'s')

def _tiny(path, **kw):
    "A teacher of the shapes of TINY, from a name of ours that has its width and depth"
    return foreign_teacher('vit_test_tiny', path, **{**HALF, **kw})[0]

SHAPES = [{'img_size': 32}, {'img_size': 64, 'patch_size': 16}, {'global_pool': 'avg'}, {'reg_tokens': 4},
          {'in_chans': 1}, {'img_size': 24, 'reg_tokens': 2, 'global_pool': 'avg'}, {'num_classes': 3}]

@pytest.mark.parametrize('more', SHAPES, ids=str)
def test_shapes_say_what_names_do_not(more, tmp_path, tried):
    more = {k: v for k, v in more.items() if k != 'num_classes'}
    net, chans = timm_file(tmp_path/'w.safetensors', **more), more.get('in_chans', 3)
    clf = _tiny(tmp_path/'w.safetensors', mean=[.5]*chans, std=[.5]*chans)
    same(clf, net, chans=chans)
    tried(f'a timm network with {more or "no number of classes named"}',
          f'{clf.size} pixels, {clf.chans} channels, pooling {clf.net.global_pool}')

def test_what_shapes_do_not_say(tmp_path, tried):
    net = timm_file(tmp_path/'w.safetensors', global_pool='avg', fc_norm=False)
    same(_tiny(tmp_path/'w.safetensors', pool='avg'), net)
    tried('an answer from the mean of the patches, without a norm of its own', 'as --pool says')
    tried.refused('a size that is not that of the weights', lambda: _tiny(tmp_path/'w.safetensors', img_size=64),
                  'pos_embed is .*--img-size')
    for bad, says in (
            ({'pool': 'nope'}, 'pool must be'),
            ({'img_size': 0}, 'at least 4'),
            ({'img_size': 10**9}, 'at most'),
            ({'classes': 0}, 'at least 1'),
            ({'classes': 4}, 'head.weight is'),
            ({'mean': [.5]}, '1 values for 3'),
            ({'mean': [124.]*3}, 'divide it by 255'),
            ({'std': [0.]*3}, 'at least'),
            ({'chans': 0}, 'at least 1'),
            ({'mean': 'abc'}, 'mean'),
    ):
        tried.refused(f'foreign_teacher with {bad}', lambda bad=bad: _tiny(tmp_path/'w.safetensors', **bad), says)

class Evil:
    def __reduce__(self): return os.system, ('echo ran > /tmp/dfkd-evil',)

def test_files_of_weights(tmp_path, tried):
    p, good = tmp_path/'w.pt', {'a': torch.zeros(2)}
    def bad(what, tree, says, save=torch.save):
        save(tree, p)
        tried.refused(what, lambda: read_weights(p), says)
    bad('a pickle that runs a program', Evil(), 'more than tensors')
    bad('a program within a checkpoint', {'state_dict': good, 'args': Evil()}, 'more than tensors')
    bad('a list of tensors', [torch.zeros(2)], 'holds a list')
    bad('a number', 7, 'holds a int')
    bad('nothing', {}, 'no tensors by name')
    bad('numbers for names', {1: torch.zeros(2)}, 'no tensors by name')
    bad('a tensor that claims 10^12 values', {'a': torch.zeros(1).expand(10**12)}, 'claims more values')
    bad('complex weights', {'a': torch.zeros(2, dtype=torch.complex64)}, 'no plain tensor')
    bad('a sparse tensor', {'a': torch.eye(3).to_sparse()}, 'no plain tensor')
    bad('a tensor without values', {'a': torch.zeros(2, device='meta')}, 'no plain tensor|more than tensors')
    p.write_bytes(pickle.dumps({'a': 1}))
    tried.refused('a plain pickle', lambda: read_weights(p), 'no tensors|more than tensors')
    for what, data in (('an empty file', b''), ('a text', b'weights'), ('zeros', bytes(4000))):
        for ending in ('pt', 'safetensors'):
            path = tmp_path/f'x.{ending}'
            path.write_bytes(data)
            tried.refused(f'{what} as .{ending}', lambda path=path: read_weights(path), 'damaged')
    torch.save(good, p)
    with zipfile.ZipFile(p) as z, zipfile.ZipFile(tmp_path/'packed.pt', 'w', zipfile.ZIP_DEFLATED) as out:
        for n in z.namelist(): out.writestr(n, z.read(n))
    tried.refused('a compressed archive', lambda: read_weights(tmp_path/'packed.pt'), 'compressed')
    tried.refused('a folder', lambda: read_weights(tmp_path), 'folder')
    os.mkfifo(tmp_path/'pipe.safetensors')
    os.mkfifo(tmp_path/'pipe.pt')
    for n in ('pipe.safetensors', 'pipe.pt'):
        tried.refused(f'a pipe, {n}', lambda n=n: read_weights(tmp_path/n), 'pipe')
    for wrap in ('state_dict', 'model', 'model_state_dict'):
        torch.save({wrap: good, 'epoch': 3}, p)
        assert read_weights(p).keys() == {'a'}
    assert not Path('/tmp/dfkd-evil').exists()

def test_names_of_files_and_tensors(tmp_path, tried):
    for what, name in (('a name of 10,000 characters', 'x'*10_000), ('a name with a null', 'a\0b')):
        says, errors = 'no name of a file|there is no|control', (ValueError, FileNotFoundError)
        tried.refused(f'weights: {what}', lambda name=name: read_weights(name), says, errors)
        tried.refused(f'hf: {what}', lambda name=name: foreign_teacher(f'hf:{name}'), says, errors)
    save_file({'module.'*50_000+'a': torch.zeros(1)}, tmp_path/'w.safetensors')
    tried.refused('a tensor whose name has 350,000 characters', lambda: _tiny(tmp_path/'w.safetensors', classes=3),
                  'does not fit|header')
    for model in ('hf:vit', 'torchvision:vit_b_16', 'local-dir:x', 'nope', 7, None, ['resnet18']):
        (tmp_path/'config.json').write_text(json.dumps({'architecture': model}))
        tried.refused(f"a folder of timm's model {model!r}", lambda: foreign_teacher(f'hf:{tmp_path}'),
                      'timm has no model')

@pytest.mark.parametrize('value', [float('nan'), float('inf'), -float('inf')])
def test_weights_that_are_not_finite(value, tmp_path, tried):
    net = timm_file(tmp_path/'w.safetensors')
    net.head.weight.data[1, 2] = value
    save_file({k: v.contiguous() for k, v in net.state_dict().items()}, tmp_path/'w.safetensors')
    tried.refused(f'a teacher with a weight that is {value}', lambda: _tiny(tmp_path/'w.safetensors'), 'head.weight is')
    state = {k: v.double() for k, v in net.state_dict().items()}
    state['head.weight'][1, 2] = 1e300
    save_file(state, tmp_path/'w.safetensors')
    tried.refused('a weight beyond what float32 holds', lambda: _tiny(tmp_path/'w.safetensors'), 'head.weight is inf')

PLACES = [
    (['cat', 'dog', 'owl'], ['owl', 'cat', 'dog'], [2, 0, 1]),
    (None, ['b', 'a'], [0, 1]),
    (['1', '0'], ['0', '1'], [1, 0]),
    ([str(i) for i in range(11)], sorted(map(str, range(11))), [0, 1, 10, 2, 3, 4, 5, 6, 7, 8, 9]),
    (['Snowy Owl', 'Cat'], ['cat', 'snowy_owl'], [1, 0]),
    (['é', 'a'], ['a', 'e\u0301'], [1, 0]),
    (['cat', 'Cat'], ['Cat', 'cat'], [1, 0]),
    (['cat', 'dog', 'owl'], ['owl', 'cat'], [2, 0]),
]

@pytest.mark.parametrize('own,data,places', PLACES, ids=str)
def test_classes_by_name(own, data, places, tried):
    assert class_places(own, data) == places
    tried(f"the teacher's {own}, the data's {data}"[:80], f'places {places}')

@pytest.mark.parametrize('own,data', [
    (['cat', 'dog'], ['cat', 'dgo']),
    (['cat', 'dog'], ['cat', 'dog', 'owl']),
    (['a', 'b'], ['c', 'd']),
    (['0', '1', '2'], ['a', 'b', 'c']),
    (['x', 'y'], ['0', '1']),
    (['A', 'a'], ['a', 'ä']),
    (['a', 'b'], ['a', 'a']),
], ids=str)
def test_classes_of_other_names(own, data, tried):
    tried.refused(f"the teacher's {own}, the data's {data}", lambda: class_places(own, data), 'name the folders')

def test_names_of_adopted_classes(tmp_path, tried):
    hf_folder(tmp_path/'hub', prepared={'image_mean': [.5]*3, 'image_std': [.5]*3})
    clf, arch = foreign_teacher(f'hf:{tmp_path}/hub')
    for names, says in (
            (['a', 'b'], '2 are named'),
            (['a', 'b', 'b'], 'twice'),
            (['a', ' b', 'c'], 'printable'),
            (['a', '', 'c'], 'printable'),
            (['a', None, 'c'], 'printable'),
            (['a', float('nan'), 'c'], 'finite'),
            (['a', 'x'*300, 'c'], 'printable'),
            (['a', 'b\x00', 'c'], 'control'),
            (sorted(BIRDS), 'own order'),
            ([], '0 are named'),
    ):
        tried.refused(f'a teacher of three classes named {str(names)[:40]}',
                      lambda names=names: adopt(clf, names, arch, root=tmp_path/'runs'), says)
    tried.refused('arguments of another network',
                  lambda: adopt(clf, BIRDS, {'config': {**HF, 'hidden_size': 32}}, root=tmp_path/'runs'),
                  'cannot be built again')
    assert own_names(['crane', 'wren', 'crane'], 'x') == ['crane (0)', 'wren', 'crane (2)']
    assert read_preparation(tmp_path) == {'noted': {}}
    assert not list((tmp_path/'runs').rglob('result.json'))

@settings(derandomize=True, max_examples=40, deadline=None)
@given(st.dictionaries(st.sampled_from(['model_type', 'hidden_size', 'num_hidden_layers', 'id2label', 'architectures',
                                        'image_size', 'architecture', 'model_args', 'pretrained_cfg', 'num_labels',
                                        'problem_type']) | st.text(max_size=5), VALUES, max_size=4) | VALUES)
def test_fuzz_of_configurations(said):
    import tempfile
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder)/'config.json').write_text(json.dumps(said))
        with pytest.raises((ValueError, FileNotFoundError)) as e: foreign_teacher(f'hf:{folder}')
        assert '\n' not in str(e.value).strip()

def test_command(tmp_path, tried, capsys):
    "`dfkd bundle`: classes of the folder, size and pooling that are named."
    from dfkd_nb.bundle import Bundle
    from dfkd_nb.cli import main
    half = ['--mean', .5, .5, .5, '--std', .5, .5, .5]
    hf_folder(tmp_path/'hub', prepared={'image_mean': [.5]*3, 'image_std': [.5]*3})
    bundle = lambda out, *args: ['bundle', '--teacher', f'hf:{tmp_path}/hub', *args, '--out', tmp_path/out]
    tried.command('the names of the folder in another order', bundle('x', '--classes', 'crow,owl,wren'), 'own order',
                  capsys)
    assert main(list(map(str, bundle('named')))) == 0 and Bundle(tmp_path/'named').classes == BIRDS
    tried('a folder that names its classes, and no --classes', f'the card has them: {", ".join(BIRDS)}')
    timm_file(tmp_path/'w.safetensors', global_pool='avg', fc_norm=False)
    _tiny(tmp_path/'w.safetensors')
    args = ['bundle', '--teacher', 'vit_test_tiny', '--weights', tmp_path/'w.safetensors', '--classes', 3, *half]
    for more, says in (
            (['--img-size', 0], '--img-size must be at least'),
            (['--pool', 'nope'], '--pool must be'),
            (['--img-size', 64], 'pos_embed'),
    ):
        tried.command(f'dfkd bundle {" ".join(map(str, more))}', [*args, *more, '--out', tmp_path/'y'], says, capsys)
    assert main(list(map(str, [*args, '--pool', 'avg', '--out', tmp_path/'y']))) == 0
    assert Bundle(tmp_path/'y').teacher.result['params']['arch']['global_pool'] == 'avg'

@pytest.mark.parametrize('what, change, says', [
    ('numbers its names in two ways', {'label2id': {'cat': 1, 'dog': 0}}, 'in label2id'),
    ('counts another number of classes', {'num_labels': 7}, 'num_labels is 7'),
])
def test_names_that_contradict(what, change, says, tmp_path, tried):
    import json
    from dfkd_nb.bundle import read_config
    said = {'model_type': 'vit', **HF, 'id2label': {'0': 'cat', '1': 'dog'}, **change}
    (tmp_path/'config.json').write_text(json.dumps(said))
    tried.refused(f'a Hugging Face folder that {what}', lambda: read_config(tmp_path), says)

def test_names_of_tensors_that_do_not_print(tmp_path, tried):
    net = create_net('vit_digits_student')
    save_file({**net.state_dict(), 'a\x1b[2Jb': torch.zeros(1)}, tmp_path/'w.safetensors')
    texts = differences(net, read_weights(tmp_path/'w.safetensors'))
    assert texts and all(t.isprintable() for t in texts)
    tried('weights with a name of control characters', texts[0])
