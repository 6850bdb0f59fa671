"Sources that are chosen, and what a card says of its generator"
import shutil
import pytest, torch, yaml
from dfkd_nb.bundle import Bundle, check_generator, compress
from dfkd_nb.data import get_data
from dfkd_nb.distill import distill
from dfkd_nb.sources import choose_source
from test_sources import bundle, digits, stages           # noqa: F401

@pytest.fixture
def forge(bundle, tmp_path):                              # noqa: F811
    "forge(change) -> a copy of the bundle whose card says something else"
    def make(change):
        shutil.copytree(bundle.path, copy := tmp_path/'forged')
        said = yaml.safe_load((copy/'card.yaml').read_text())
        change(said)
        (copy/'card.yaml').write_text(yaml.safe_dump(said, sort_keys=False))
        return copy
    return make

def says(**changes): return lambda card: card['judgement'].update(changes)

OPENED = {
    'of no images': (says(images=0), 'judgement.images'),
    'with a share above 1': (says(label_agreement=1.2), 'judgement.label_agreement'),
    'that is not finite': (says(variety=float('nan')), 'finite'),
    'of a class that there is not': (says(unseen=[10]), 'other classes'),
    'with a name nobody knows': (says(run=1), "'judgement.run'"),
    'that is a text': (lambda card: card.update(judgement='fine'), "'judgement'"),
    'whose warning clears the screen': (lambda card: card.update(warning='\x1b[2J'), "'warning'.*printable"),
}

@pytest.mark.parametrize('what', OPENED)
def test_judgement(what, forge, tried):
    change, why = OPENED[what]
    tried.refused(f'a card with a judgement {what}', lambda: Bundle(forge(change)), why)

MEASURED = {
    'a better label agreement': (says(label_agreement=.99), 'label_agreement 0.99, but measured is'),
    'more diversity': (says(diversity=3.), 'diversity 3.0'),
    'no diversity': (says(diversity=None), 'diversity None'),
    'a larger smallest class': (says(smallest_class=.2), 'smallest_class'),
    'even images': (says(even=.5), 'even'),
    'a fault that there is not': (lambda card: card.update(warning='it failed'), 'of faults.*none was found'),
}

@pytest.mark.parametrize('what', MEASURED)
def test_measured_anew(what, forge, tried):
    change, why = MEASURED[what]
    altered = Bundle(forge(change))
    tried.refused(f'a card that was altered by hand: {what}', lambda: check_generator(altered), why)

def test_a_fault_that_is_concealed(bundle, tried, monkeypatch):                     # noqa: F811
    "As if the generator had failed, and its card kept silent"
    monkeypatch.setattr('dfkd_nb.bundle.faults', lambda *_: ['its images of a class are all alike'])
    tried.refused('a card that says nothing of a failed generator', lambda: check_generator(bundle),
                  'all alike.*altered')

def test_measured_by_the_command(forge, tmp_path, tried, capsys):
    folder = forge(says(label_agreement=.99))
    for source in ('gan', 'auto'):
        for more in (['--check'], []):
            tried.command(' '.join(['dfkd distill --source', source, *more, 'from a bundle whose card was altered']),
                          ['distill', folder, '--student', 'vit_digits_student', '--source', source, *more,
                           '--out', tmp_path/'s'], 'the card was altered', capsys)
    assert sorted(p.name for p in tmp_path.iterdir()) == ['forged']

AUTO = {
    'trials of no steps': (dict(trial=0), 'trial must be'),
    'a setting of neither training': (dict(sauce=1), 'sauce is no setting'),
    'a rate that is none': (dict(lr=-1), 'lr must be'),
    'more images than there is memory for': (dict(n_images=10**9), 'take fewer'),
    'real images of another size': (dict(data=28), 'pass --size 16'),
    'a student that there is not': (dict(student='vit_smal'), 'unknown model'),
}

@pytest.mark.parametrize('what', AUTO)
def test_auto(what, bundle, tmp_path, tried):                                       # noqa: F811
    "Refused before anything is tried"
    kw, why = dict(AUTO[what][0]), AUTO[what][1]
    if 'data' in kw: kw['data'] = get_data('digits', size=kw['data'])
    kw = {'student': 'vit_digits_student', 'root': tmp_path/'runs', **kw}
    tried.refused(f"compress from 'auto' with {what}", lambda: compress(bundle, source='auto', **kw), why)
    assert not (tmp_path/'runs').exists()

@pytest.mark.parametrize('source,why', [('auto:', 'names no file'), ('auto:{tmp}/no', 'no folder'),
                                        ('auto:{tmp}', 'pictures|images'), ('auto:http://x.org/y', 'is an address'),
                                        ('automatic', 'unknown source')])
def test_auto_of_a_folder(source, why, bundle, tmp_path, tried, capsys):            # noqa: F811
    args = ['distill', bundle.path, '--student', 'vit_digits_student', '--out', tmp_path/'s']
    tried.command(f'dfkd distill --source {source}', [*args, '--source', source.format(tmp=tmp_path)], why, capsys)
    assert not list(tmp_path.iterdir())

def test_no_source(stages, tmp_path, tried):                                        # noqa: F811
    tried.refused('a choice among no sources', lambda: choose_source(stages[0], {}, root=tmp_path), 'sources')
    tried.refused('a choice of what is no source', lambda: choose_source(stages[0], {'a': None}, root=tmp_path),
                  'a is no image source')

class Odd:
    "A source that gives whatever it is told to"
    rung, identity = 'odd', {'odd': 1}
    def __init__(self, *given, shape=(1, 16, 16)): self.given,self.shape = given,shape
    def sample(self, n=64, seed=0): return self.given if len(self.given) > 1 else self.given[0]

PICTURES = torch.randint(0, 256, (64, 1, 16, 16), dtype=torch.uint8)
GIVES = {
    'images of another size': ((PICTURES[..., :8, :8], None), 'says that its images are'),
    'fewer images than a batch': ((PICTURES[:10], None), 'fewer than a batch of 64'),
    'fewer labels than images': ((PICTURES, [0]*7), 'but 7 labels'),
    'labels that are NaN': ((PICTURES, [float('nan')]*64), 'labels'),
    'labels beyond the classes': ((PICTURES, [10]*64), 'must be 0…9'),
    'nothing': ((None,), 'must give a pair'),
    'images alone': ((PICTURES,), 'must give a pair'),
    'a text': (('images', None), 'images'),
}

@pytest.mark.parametrize('what', GIVES)
def test_what_a_source_gives(what, bundle, tried):        # noqa: F811
    given, says = GIVES[what]
    tried.refused(f'a source that gives {what}',
                  lambda: distill(bundle.teacher, Odd(*given), get_data('digits'), n_images=64, epochs=1), says)

def test_labels_of_a_source(bundle, tmp_path, tried):     # noqa: F811
    "Labels in a column, or one-hot, are the labels that they are."
    y = torch.arange(64) % 10
    def agreed(labels, name):
        run = distill(bundle.teacher, Odd(PICTURES, labels), get_data('digits'), n_images=64, epochs=1, variant=name,
                      root=tmp_path)
        return run.result['metrics']['label_agreement']
    assert agreed(y, 'plain') == agreed(y[:, None], 'column') == agreed(torch.eye(10)[y], 'onehot')
    tried('a source whose labels are a column, or one-hot', 'read as labels')

def test_sources_without_a_shape(bundle, tried):          # noqa: F811
    tried.refused('a source whose shape is None',
                  lambda: distill(bundle.teacher, Odd(PICTURES, None, shape=None), get_data('digits')), 'are None')
