"Models: names, arguments and weights that mean more than a network"
import builtins, os, random, socket
from pathlib import Path
import pytest, timm, torch, torchvision
from hypothesis import given, settings, strategies as st
from dfkd_nb.models import Classifier, check_names, create_classifier, create_net, load_classifier, sketch
from dfkd_nb.runs import Run

TIMM = 'vit_tiny_patch16_224'
TINY = {'img_size': 16, 'patch_size': 8, 'embed_dim': 16, 'depth': 1, 'num_heads': 2}
HF = {'image_size': 16, 'patch_size': 8, 'hidden_size': 16, 'num_hidden_layers': 1, 'num_attention_heads': 2, 'intermediate_size': 32}

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
    import transformers                                                     # what is imported lazily is read from here on
    for head in ('ViT', 'DeiT', 'Dinov2', 'Beit'): getattr(transformers, f'{head}ForImageClassification')
    monkeypatch.setattr(builtins, 'open', read_only)
    for where, names in ((socket.socket, ['connect', 'connect_ex']), (os, ['makedirs', 'mkdir', 'rename', 'replace', 'remove', 'symlink', 'system']),
                         (torch, ['load', 'save']), (torch.hub, ['load_state_dict_from_url', 'download_url_to_file', 'load'])):
        for n in names: monkeypatch.setattr(where, n, stop(n))

EVIL = [
    ('hf-hub:timm/vit_tiny_patch16_224.augreg_in21k', {}), ('hf_hub:timm/x', {}), ('local-dir:/tmp/x', {}), (f'{TIMM}.hf-hub:x/y', {}),
    (f'/tmp/{TIMM}', {}), (f'./{TIMM}', {}), (f'../../{TIMM}', {}), (f'{TIMM}.no_such_tag', {}), (f'{TIMM}\n', {}), (f' {TIMM}', {}),
    ('https://example.org/x.pth', {}), ('', {}), ('__class__', {}), ('create_net', {}), ('ｖit_tiny_patch16_224', {}), ('vit_tiny_patch16_22\u0664', {}),
    ('v'*10**6, {}), (7, {}), (None, {}), (['resnet18'], {}), ('torchvision:', {}), ('torchvision:fasterrcnn_resnet50_fpn', {}),
    ('torchvision:deeplabv3_resnet50', {}), ('torchvision:quantized_resnet18', {}), ('torchvision:vit_b_16', {'weights': 'DEFAULT'}),
    ('torchvision:vit_b_16', {'weights_backbone': 'DEFAULT'}), ('torchvision:vit_b_16', {'progress': True}),
    ('torchvision:vit_b_16', {'norm_layer': 'x'}), ('torchvision:vit_b_16', {'in_chans': 1}), ('hf:', {}), ('hf:/tmp/x', {}), ('hf:google/vit', {}),
    ('hf:timm_wrapper', {}), ('hf:vit_hybrid', {}), ('hf:vit', {'config': {'auto_map': {'AutoConfig': 'x--y.Z'}}}), ('hf:vit', {'trust_remote_code': True}),
    ('hf:vit', {'config': {'_name_or_path': 'google/vit'}}), ('hf:vit', {'config': {'_attn_implementation': 'kernels-community/x'}}),
    ('hf:vit', {'config': {'backbone': 'resnet18', 'use_pretrained_backbone': True}}), ('hf:vit', {'config': {'hidden_act': '__import__'}}),
    ('hf:vit', {'config': {'model_type': 'deit'}}), ('hf:vit', {'config': 'config.json'}), ('hf:vit', {'config': {'torch_dtype': 'os.system'}}),
    ('hf:vit', {'head': 'Trainer'}), ('hf:vit', {'head': '__class__'}), ('hf:vit', {'config': [1]}), ('hf:vit', {'config': {'hidden_size': {'a': 1}}}),
    *((TIMM, {k: v}) for k, v in {
        'pretrained': True, 'pretrained_cfg': {'url': 'http://127.0.0.1:9/evil.pth'}, 'pretrained_cfg_overlay': {'file': '/tmp/evil.pth'},
        'cache_dir': '/tmp/cache', 'checkpoint_path': '/tmp/evil.pth', 'scriptable': True, 'features_only': True, 'pretrained_strict': False,
        'url': 'file:///tmp/x', 'file': '/tmp/x', 'kwargs': {'pretrained': True}, 'embed_layer': 'x', 'norm_layer': '__class__', 'block_fn': 'x',
        'attn_layer': 'diff', 'weight_init': 'jax', 'device': 'cuda:7', 'dtype': 'float64', 'name': 'resnet18', 'num_classes': 3, 'stats': {},
        'model_name': 'resnet18', 'self': 1, '__class__': 1, 'img_sizе': 32, 'depth': 10**9, 'embed_dim': 0, 'num_heads': -1, 'patch_size': 0,
        'img_size': 10**9, 'mlp_ratio': float('nan'), 'drop_rate': float('inf'), 'reg_tokens': True, 'class_token': 'no', 'in_chans': '3',
        'global_pool': ['avg'], 'init_values': 1e300}.items()),
]

@pytest.mark.parametrize('name,arch', EVIL, ids=[f'{str(n)[:40]}-{i}' for i, (n, _) in enumerate(EVIL)])
def test_nothing_is_fetched_or_written(name, arch, tried, sealed):
    tried.refused(f'{str(name)[:50]!r} with {str(arch)[:60]}', lambda: sketch(name, 3, arch), '.')
    state = {'w': torch.zeros(1)}
    class Said: path, weights, result = Path('run'), state, {'model': name, 'params': {'num_classes': 3, 'mean': [.5]*3, 'std': [.5]*3, 'arch': arch}}
    with pytest.raises(ValueError) as e: load_classifier(Said)
    assert len(str(e.value)) < 2000

@pytest.mark.parametrize('name,arch', [
    (TIMM, {**TINY}), ('vit_tiny_patch16_224.augreg_in21k_ft_in1k', TINY), ('vit_tiny_r_s16_p8_224', {'depth': 1}), ('resnet18', {}), ('torchvision:resnet18', {}),
    ('hf:vit', {'config': HF}), ('hf:deit', {'config': HF, 'head': 'DeiTForImageClassificationWithTeacher'}), ('hf:dinov2', {'config': HF}), ('hf:beit', {'config': HF}),
    ('vit_digits_teacher', {'drop_path_rate': .1})])
def test_what_is_built_offline(name, arch, tried, sealed):
    net = create_net(name, 3, **arch)
    assert sum(p.numel() for p in net.parameters()) == sum(p.numel() for p in sketch(name, 3, arch).parameters())
    tried(f'{name}, built without network and without writing', f'{sum(p.numel() for p in net.parameters()):,} parameters')

@pytest.mark.parametrize('what,arch', [('parameters', {'embed_dim': 16_384, 'depth': 256, 'num_heads': 1}), ('patches', {'img_size': 4096, 'patch_size': 1})])
def test_size_is_looked_at_before_memory_is_taken(what, arch, tried):
    tried.refused(f'a network of too many {what}', lambda: create_net('vit_digits_teacher', 10, **arch), what)

def test_a_build_changes_no_random_number():
    torch.manual_seed(0)
    want = torch.rand(3)
    torch.manual_seed(0)
    sketch(TIMM, 3, TINY)
    assert torch.equal(torch.rand(3), want)

VALUES = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8), lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text(max_size=8), v, max_size=3), max_leaves=5)
KEYS = st.sampled_from(['img_size', 'patch_size', 'embed_dim', 'depth', 'num_heads', 'mlp_ratio', 'in_chans', 'global_pool', 'init_values', 'config', 'head', 'pretrained_cfg']) | st.text(max_size=8)

@settings(derandomize=True, max_examples=150, deadline=None)
@given(st.sampled_from(['vit_digits_student', TIMM, 'torchvision:vit_b_16', 'hf:vit', 'hf:dinov2']), st.dictionaries(KEYS, VALUES, max_size=2) | VALUES)
def test_fuzz_of_arguments(name, arch):
    try: sketch(name, 3, arch)
    except ValueError as e: assert '\n' not in str(e).strip() and len(str(e)) < 2000

# Runs
def run_of(tmp_path, net, **params):
    "A run folder as someone else may write one"
    class Said: path, weights = tmp_path, {k: v.clone() for k, v in net.state_dict().items()}
    Said.result = {'model': 'vit_digits_student', 'params': {'num_classes': 3, 'mean': [.3], 'std': [.4], **params}}
    return Said

BAD = [
    ('a thousand million classes', {'num_classes': 10**9}, 'at most 100,000'), ('no class', {'num_classes': 0}, 'at least 1'), ('classes as text', {'num_classes': '3'}, 'whole number'),
    ('another number of classes', {'num_classes': 4}, 'another architecture'), ('a mean that is NaN', {'mean': [float('nan')]}, 'finite'),
    ('a mean of images in 0…255', {'mean': [123.7]}, 'divide it by 255'), ('a deviation of 0', {'std': [0.]}, 'at least'), ('a negative deviation', {'std': [-.2]}, 'at least'),
    ('an infinite deviation', {'std': [float('inf')]}, 'finite'), ('three means for one channel', {'mean': [.5]*3}, 'values for 3 channel'), ('no mean', {'mean': []}, 'values for 1 channel'),
    ('a mean that is null', {'mean': None}, 'a list'), ('a mean in a list in a list', {'mean': [[.3]]}, 'must be a list'), ('more names than classes', {'classes': list('abcd')}, '4 are named'),
    ('a name twice', {'classes': ['a', 'b', 'a']}, 'twice'), ('an empty name', {'classes': ['a', '', 'b']}, 'printable'), ('a name that is null', {'classes': ['a', None, 'b']}, 'printable'),
    ('names as a text', {'classes': 'abc'}, 'a list'), ('a name with a line break', {'classes': ['a', 'b\nc', 'd']}, 'printable'), ('arguments as a list', {'arch': ['depth']}, 'table'),
    ('deeper than its weights', {'arch': {'depth': 200}}, 'another architecture'), ('images of another size', {'arch': {'img_size': 64}}, 'another architecture'),
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
    tried.refused('a colour image, a teacher of one channel', lambda: grey(torch.rand(1, 3, 16, 16)), 'convert the images')
    tried.refused('four channels, a teacher of three', lambda: clf(torch.rand(1, 4, 16, 16)), 'convert the images')
    tried.refused('a network of 32×16 pixels', lambda: Classifier(timm.create_model(TIMM, **{**TINY, 'img_size': (32, 16)}), [.5]*3, [.5]*3), 'square')
