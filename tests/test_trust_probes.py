"Probes: attention that is another than it looks"
import numpy as np, pytest, timm, torch, torchvision, transformers
from torch import nn
from dfkd_nb.data import ImageData
from dfkd_nb.models import Classifier
from dfkd_nb.probes import Probe, attention_probes, check_probe, class_probes, gram_row, resize_probe, row_of
from dfkd_nb.training import train_teacher

TINY = dict(img_size=32, patch_size=8, embed_dim=32, depth=2, num_heads=4, num_classes=3)
SMALL = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, image_size=32,
             patch_size=8, num_labels=3)

def classifier(net): return Classifier(net.eval(), [.5]*3, [.5]*3)

@pytest.mark.parametrize('name,more', [
    ('vit_tiny_patch16_224', {}),
    ('vit_base_patch32_clip_224', {}),
    ('deit_tiny_distilled_patch16_224', {}),
    ('deit3_small_patch16_224', {}),
    ('vit_small_patch14_reg4_dinov2', {}),
    ('vit_tiny_patch16_224', {'qk_norm': True}),
    ('vit_tiny_patch16_224', {'global_pool': 'avg'}),
    ('vit_tiny_patch16_224', {'no_embed_class': True, 'reg_tokens': 3}),
    ('beit3_base_patch16_224', {}),
    ('flexivit_small', {}),
])
def test_timm_is_probed_right(name, more, tried):
    assert check_probe(classifier(timm.create_model(name, **TINY, **more))) < 1e-6
    tried(f'timm: {name} {more or ""}', 'its row of the full attention')

@pytest.mark.parametrize('kind', ['ViT', 'DeiT', 'Dinov2', 'Dinov2WithRegisters', 'ViTMSN', 'Beit', 'Data2VecVision'])
def test_hugging_face_is_probed_right(kind, tried):
    net = getattr(transformers, f'{kind}ForImageClassification')(getattr(transformers, f'{kind}Config')(**SMALL))
    assert check_probe(classifier(net)) < 1e-6
    tried(f'Hugging Face: {kind}', 'its row of the full attention')

def test_torchvision_is_probed_right(tried):
    assert check_probe(classifier(torchvision.models.VisionTransformer(32, 8, 2, 4, 32, 64, num_classes=3))) < 1e-6
    tried('torchvision: VisionTransformer', 'its row of the full attention')

FAMILIES = ['cait_xxs24_224', 'xcit_nano_12_p8_224', 'eva_giant_patch14_224', 'eva02_tiny_patch14_224',
            'beit_base_patch16_224', 'beitv2_base_patch16_224', 'convit_tiny', 'vit_relpos_base_patch16_cls_224',
            'vit_relpos_small_patch16_224', 'vit_base_patch16_rope_reg1_gap_256', 'vit_small_patch16_dinov3',
            'vit_base_patch16_siglip_224', 'samvit_base_patch16', 'volo_d1_224', 'pit_ti_distilled_224',
            'tnt_s_patch16_224', 'swin_tiny_patch4_window7_224', 'crossvit_9_240', 'mvitv2_tiny_cls', 'resnet18',
            'levit_128s', 'vit_dlittle_patch16_reg1_gap_256', 'naflexvit_base_patch16_gap', 'hiera_tiny_224',
            'mixer_s32_224', 'pvt_v2_b0', 'vit_huge_patch14_xp_224']

@pytest.mark.parametrize('name', [n for n in FAMILIES if timm.is_model(n)])
def test_other_attention_of_timm_is_refused(name, tried):
    with torch.device('meta'): net = timm.create_model(name)
    tried.refused(f'timm: {name}', lambda: Probe(net), 'take a')

@pytest.mark.parametrize('kind,more', [
    ('Beit', {'use_relative_position_bias': True}),
    ('Beit', {'use_shared_relative_position_bias': True}),
    ('Data2VecVision', {'use_shared_relative_position_bias': True}),
    ('Pvt', None),
    ('Swin', None),
    ('Siglip', None),
    ('CLIP', None),
    ('IJepa', {}),
    ('ResNet', None),
    ('Levit', None),
    ('YolosModel', None),
    ('PvtV2', None),
    ('Hiera', None),
])
def test_other_attention_of_hugging_face_is_refused(kind, more, tried):
    name = kind.removesuffix('Model')
    head = kind if kind.endswith('Model') else f'{kind}ForImageClassification'
    with torch.device('meta'):
        net = getattr(transformers, head)(
            getattr(transformers, f'{name}Config')(**({} if more is None else {**SMALL, **more})))
    tried.refused(f'Hugging Face: {kind} {more or ""}', lambda: Probe(net), 'take a')

class Rolled(timm.models.vision_transformer.Attention):
    "A subclass with another forward pass"
    def forward(self, x, *a, **kw): return super().forward(x.roll(1, 1), *a, **kw)

class Reordered(timm.models.VisionTransformer):
    "Its class token comes last"
    def _pos_embed(self, x): return super()._pos_embed(x).flip(1)

def test_subclasses_are_not_their_parents(tried):
    net = timm.create_model('vit_tiny_patch16_224', **TINY)
    net.blocks[0].attn.__class__ = Rolled
    tried.refused('a subclass of timm\'s attention, in one block', lambda: Probe(net), 'Rolled')
    tried.refused('a subclass of timm\'s network', lambda: Probe(Reordered(**TINY)), 'Reordered')
    tv = torchvision.models.VisionTransformer(32, 8, 2, 4, 32, 64)
    tv.encoder.layers[1].self_attention.__class__ = type('Biased', (nn.MultiheadAttention,), {})
    tried.refused('a subclass of torch\'s attention', lambda: Probe(tv), 'Biased')
    hf = transformers.ViTForImageClassification(transformers.ViTConfig(**SMALL))
    attention = next(m for m in hf.modules() if hasattr(m, 'q_proj') or hasattr(m, 'query'))
    attention.__class__ = type('ViTAttention', (type(attention),), {})
    tried.refused('a class of the same name from elsewhere', lambda: Probe(hf), 'not that of its type')

def test_a_changed_forward_pass_is_found(tried):
    "`check_probe`, on a random image: hooks that never fire, rows that are no attention, weights that are damaged."
    def net(): return timm.create_model('vit_tiny_patch16_224', **TINY)
    silent = net()
    silent.blocks[1].attn.forward = lambda x, *a, **kw: x
    tried.refused('an attention that is passed by', lambda: check_probe(classifier(silent)), 'no attention of block 1')
    biased = net()
    forward = biased.blocks[0].attn.forward
    def tilted(x, *a, **kw):
        return forward(x, attn_mask=torch.linspace(0, 3, x.shape[1]).expand(x.shape[1], -1))
    biased.blocks[0].attn.forward = tilted
    tried.refused('an attention with a bias from elsewhere', lambda: check_probe(classifier(biased)),
                  'differs from its full attention')
    damaged = net()
    damaged.blocks[1].attn.qkv.weight.data[0, 0] = float('nan')
    tried.refused('a weight that is NaN', lambda: check_probe(classifier(damaged)), 'not finite')

SET = {
    'no bias': ({'bias': False}, 'no bias'),
    'keys beside those of the tokens': ({'add_bias_kv': True}, 'bias_k'),
    'a key of zeros': ({'add_zero_attn': True}, 'add_zero_attn'),
    'the batch second': ({'batch_first': False}, 'batch_first'),
    'narrow values': ({'kdim': 32, 'vdim': 16}, '_qkv_same_embed_dim'),
}

@pytest.mark.parametrize('what', SET)
def test_attention_of_pytorch_that_is_set_otherwise(what, tried):
    more, says = SET[what]
    net = torchvision.models.VisionTransformer(32, 8, 2, 4, 32, 64, num_classes=3)
    net.encoder.layers[0].self_attention = nn.MultiheadAttention(32, 4, **{'batch_first': True, **more})
    tried.refused(f'torchvision with {what}', lambda: check_probe(classifier(net)), says)

def test_settings_that_were_changed_afterwards(tried):
    tv = torchvision.models.VisionTransformer(32, 8, 2, 4, 32, 64, num_classes=3)
    tv.encoder.layers[0].self_attention.num_heads = 2
    tried.refused('torchvision: other heads', lambda: check_probe(classifier(tv)), 'head_dim')
    tv = torchvision.models.VisionTransformer(32, 8, 2, 4, 32, 64, num_classes=3)
    tv.encoder.layers[0].__class__ = type('Masked', (type(tv.encoder.layers[0]),), {})
    tried.refused('torchvision: another block', lambda: check_probe(classifier(tv)), 'Masked')
    net = timm.create_model('vit_tiny_patch16_224', **TINY)
    net.blocks[0].attn.scale = .5
    tried.refused('timm: a scale that its fused attention passes by', lambda: check_probe(classifier(net)), 'scale')
    net.blocks[0].attn.fused_attn = False
    assert check_probe(classifier(net)) < 1e-6
    tried('timm: the same where attention is not fused', 'probed with that scale')
    net = timm.create_model('vit_tiny_patch16_224', **TINY)
    net.blocks[0].attn.num_heads = 3
    tried.refused('timm: heads that do not fit', lambda: check_probe(classifier(net)), 'fails on a random image')

@pytest.mark.parametrize('kind', ['ViT', 'Dinov2', 'Beit', 'Data2VecVision'])
def test_settings_of_hugging_face_that_were_changed(kind, tried):
    def net(): return getattr(transformers, f'{kind}ForImageClassification')(
        getattr(transformers, f'{kind}Config')(**SMALL))
    def attention(n): return next(m for m in n.modules() if hasattr(m, 'q_proj') or hasattr(m, 'query'))
    for what in ('scaling', 'is_causal', 'num_attention_heads'):
        n = net()
        if not hasattr(attention(n), what): continue
        setattr(attention(n), what, {'scaling': 2., 'is_causal': True, 'num_attention_heads': 2}[what])
        tried.refused(f'{kind}: another {what}', lambda n=n: check_probe(classifier(n)), what)
    n = net()
    n.config.num_attention_heads = 2
    tried.refused(f'{kind}: heads changed in the configuration', lambda: check_probe(classifier(n)), 'heads|head_dim')
    n = net()
    was = n.config._attn_implementation
    check_probe(classifier(n))
    assert n.config._attn_implementation == was

def test_precision_and_depth(tried):
    for to in ('half', 'double', 'bfloat16'):
        net = classifier(getattr(timm.create_model('vit_tiny_patch16_224', **TINY), to)())
        tried.refused(f'a network after .{to}()', lambda net=net: check_probe(net), 'call .float')
        tried.refused(f'probes of a network after .{to}()',
                      lambda net=net: attention_probes(net, torch.rand(1, 3, 32, 32)), 'call .float')
    empty = timm.create_model('vit_tiny_patch16_224', **TINY)
    empty.blocks = nn.Sequential()
    tried.refused('timm: no blocks', lambda: check_probe(classifier(empty)), 'no blocks')
    empty = torchvision.models.VisionTransformer(32, 8, 0, 4, 32, 64, num_classes=3)
    tried.refused('torchvision: no blocks', lambda: check_probe(classifier(empty)), 'no blocks')
    empty = transformers.ViTForImageClassification(transformers.ViTConfig(**{**SMALL, 'num_hidden_layers': 0}))
    tried.refused('Hugging Face: no blocks', lambda: check_probe(classifier(empty)), 'no blocks|no list')

@pytest.mark.parametrize('block', [99, -5, True, 1.0, '0', 'all', None, [0], np.int64(1), float('nan')])
def test_blocks(block, tried):
    tried.refused(f'block {block!r}', lambda: Probe(timm.create_model('vit_tiny_patch16_224', **TINY), block),
                  'block must be')

def test_arguments(tried):
    clf = classifier(timm.create_model('vit_tiny_patch16_224', **TINY))
    x = torch.rand(2, 3, 32, 32)
    for bad, says in (
            ({'bs': 0}, 'bs must be at least 1'),
            ({'probe': 'nope'}, "probe must be 'attention' or 'gram'"),
            ({'block': 'all'}, 'block'),
    ):
        tried.refused(f'attention_probes with {bad}', lambda bad=bad: attention_probes(clf, x, **bad), says)
    with Probe(clf) as p: clf(x)
    tried.refused('row_of with another probe', lambda: row_of(p, 'nope'), 'probe must be')
    tried.refused('a probe before any image', lambda: Probe(clf).ap, 'run the model')
    for n in (0, -4, 50):
        tried.refused(f'a probe brought to {n} patches', lambda n=n: resize_probe(torch.ones(1, 16), n),
                      'square|at least 1')
    assert gram_row(torch.zeros(1, 5, 4)).isfinite().all()

@pytest.fixture(scope='session')
def teacher(tmp_path_factory):
    return train_teacher(dataset(), model='vit_digits_student', epochs=1, bs=4, root=tmp_path_factory.mktemp('teacher'))

def dataset(classes=3, labels=(0, 1, 2)):
    rng = np.random.default_rng(0)
    y = np.array(list(labels)*4)
    x = rng.integers(0, 255, (len(y), 1, 16, 16), dtype=np.uint8)
    every = np.arange(classes).repeat(2)
    return ImageData('tiny', {'train': (x, y), 'valid': (x[:2], y[:2]), 'test': (x[:1].repeat(len(every), 0), every)},
                     list('abcdefgh'[:classes]))

def test_classes_without_images(teacher, tmp_path, tried):
    tried.refused('a class without a training image', lambda: class_probes(dataset(3, (0, 2)), teacher, root=tmp_path),
                  'no image in train')
    tried.refused('more classes than the teacher has',
                  lambda: class_probes(dataset(4, (0, 1, 2, 3)), teacher, root=tmp_path), '3 classes, the data 4')
    for bad, says in (
            ({'block': 7}, 'block'),
            ({'block': 'all'}, 'block'),
            ({'probe': 'nope'}, 'probe must be'),
            ({'seed': -1}, 'seed must be at least 0'),
    ):
        tried.refused(f'class_probes with {bad}',
                      lambda bad=bad: class_probes(dataset(), teacher, root=tmp_path, **bad), says)
    assert not list(tmp_path.rglob('result.json'))
    cap = class_probes(dataset(), teacher, root=tmp_path).weights['cap']
    assert cap.isfinite().all() and cap.shape == (3, 16)
