"Reports: pages of folders that someone else filled"
import contextlib, io, json, re, shutil
from html.parser import HTMLParser
from pathlib import Path
import numpy as np, pytest, torch, yaml
from PIL import Image
from safetensors.torch import save_file
from dfkd_nb.bundle import Bundle, card_student, compress, load_student, save_bundle, save_student
from dfkd_nb.checks import file_hashes
from dfkd_nb.cli import main
from dfkd_nb.data import ImageData, get_data
from dfkd_nb.gan import train_generator
from dfkd_nb.models import create_net
from dfkd_nb.probes import class_probes
from dfkd_nb.recipes import recipe_for
from dfkd_nb.report import by_class, bundle_page, student_page, write_report
from dfkd_nb.training import train_teacher

ROOT = Path(__file__).parents[1]
EVIL = ['<script>alert(1)</script>', '"><img src=x onerror=alert(2)>', "' onmouseover='alert(3)", '{{ 7*7 }}', '&amp;',
        '</svg><style>*{display:none}</style>', 'javascript:alert(4)', '8', '9', '…']
LICENCE = '</pre></details><script>alert(5)</script>\n<iframe src="https://example.org">'

class Page(HTMLParser):
    "What a page is made of: its tags, their attributes, its text"
    def __init__(self, text):
        super().__init__()
        self.tags, self.text, self.open = [], [], []
        self.feed(text)
    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.open.append(tag)
    def handle_endtag(self, tag):
        if tag in self.open: self.open.pop(len(self.open)-1-self.open[::-1].index(tag))
    def handle_data(self, data):
        if 'style' not in self.open: self.text.append(data)
    def of(self, tag): return [a for t, a in self.tags if t == tag]

def harmless(text):
    "A page, once it is sure that nothing in it acts, and that it asks for nothing"
    page = Page(text)
    tags = {t for t, _ in page.tags}
    assert not tags & {'script', 'iframe', 'object', 'embed', 'form', 'link', 'base'} and len(page.of('style')) == 1
    for _, attrs in page.tags:
        assert not [a for a in attrs if a.startswith('on')]
        for a in ('src', 'href'): assert not attrs.get(a) or attrs[a].startswith(('data:image/png;base64,', '#'))
    assert page.of('meta')[2]['content'].startswith("default-src 'none'")
    return page

@pytest.fixture(scope='session')
def made(tmp_path_factory):
    "A bundle whose classes and licence are hostile, and students of several sources"
    home, digits = tmp_path_factory.mktemp('made'), get_data('digits')
    teacher = train_teacher(digits, **recipe_for('digits', 'teacher'), seed=0)
    probes = class_probes(digits, teacher, seed=0)
    generator = train_generator(digits, teacher, probes, **recipe_for('digits', 'generator'), seed=0)
    bundle = Bundle(save_bundle(home/'b', teacher, probes, generator, EVIL, LICENCE))
    save_bundle(home/'alone', teacher, classes=EVIL)
    for source in ('gan', 'drawn', 'noise', 'teacher'):
        how = dict(rounds=1, drawn=64) if source == 'teacher' else dict(n_images=64, epochs=1)
        run = compress(bundle, 'vit_digits_student', source, root=home/'runs', **how)
        save_student(home/source, run, bundle)
    return home

@pytest.fixture(scope='session')
def real():
    d = get_data('digits')
    return ImageData('dig<i>its', d._splits, EVIL)

def forged(folder, to, change):
    "A student whose result says something else, with hashes to match"
    shutil.copytree(folder, to)
    r = json.loads((to/'result.json').read_text())
    change(r)
    (to/'result.json').write_text(json.dumps(r))
    card = yaml.safe_load((to/'student.yaml').read_text())
    card['files'] |= file_hashes(to, ['result.json'])
    (to/'student.yaml').write_text(yaml.safe_dump(card))
    return to

def untrained(out, classes):
    "A bundle of a teacher that was never trained"
    weights = out.with_name('w.safetensors')
    save_file(create_net('vit_digits_teacher', classes).state_dict(), weights)
    args = ['--teacher', 'vit_digits_teacher', '--weights', str(weights), '--mean', '.3', '--std', '.3']
    assert main(['bundle', *args, '--channels', '1', '--classes', str(classes), '--out', str(out)]) == 0
    return out

# --- what acts, what is fetched

def test_bundle_is_harmless(made, real, tried):
    page = harmless(bundle_page(Bundle(made/'b'), real))
    text = ' '.join(page.text)
    for name in EVIL: assert name in text, 'a name is shown as it is'
    assert 'alert(5)' in text and 'dig<i>its' in text and '49' not in re.findall(r'asked for: (\S+)', text)
    tried('a bundle with a class named <script>alert(1)</script>, and tags in its licence', 'shown as text in its page')
    harmless(bundle_page(Bundle(made/'alone')))

@pytest.mark.parametrize('source', ['gan', 'drawn', 'noise', 'teacher'])
def test_student_is_harmless(made, source):
    run, bundle = load_student(made/source), Bundle(made/'b')
    page = harmless(student_page(run, bundle, measure=False))
    assert EVIL[0] in ' '.join(page.text)
    titles = ' '.join(page.text)
    assert ('Inverted anew' in titles) == (source == 'teacher')
    alone = ' '.join(harmless(student_page(run)).text)
    assert ('They are not shown: the bundle is not at hand' in alone) == (source == 'gan')

def test_nothing_of_a_result_is_markup(made, tmp_path, tried):
    def change(r):
        r['params']['<b>kinds'] = '<b>bold\ud800'
        r['recipe'] = r['variant'] = '<b>'
        r['rung'] = '<b>rung'
        r['images_read'] = {'<b>real/train': 5}
    text = student_page(load_student(forged(made/'noise', tmp_path/'s', change)), measure=False)
    page = harmless(text)
    assert not page.of('b') and '<b>rung' in ' '.join(page.text) and '<b>real/train' in ' '.join(page.text)
    text.encode()
    tried('a result whose settings hold tags and halves of characters', 'shown as text in its page')

ODD = {
    'a log of no rows': lambda r: r.update(log=5),
    'a log of more rows than are drawn, of which few are measured':
        lambda r: r.update(log=[{'epoch': i, 'loss': 1., **({'accuracy': .5} if i % 50 == 49 else {})}
                                for i in range(600)]),
    'a log of numbers that are none': lambda r: r.update(log=[{'epoch': [], 'loss': '1', 'accuracy': True}]*3),
    'a log of a number of 400 digits': lambda r: r.update(log=[{'epoch': 10**400, 'loss': 10**400}]*3),
    'a log of a hundred thousand rows': lambda r: r.update(log=[{'epoch': i, 'loss': 1.} for i in range(10**5)]),
    'a confusion that is none': lambda r: r.update(confusion=[[1], 'x']),
    'a confusion of negative numbers': lambda r: r.update(confusion=[[-1]*10]*10),
    'settings of all sorts': lambda r: r['params'].update({f'a{i}': v for i, v in enumerate(
        [None, {}, [[]], [1]*10**5, 'x'*10**5, 10**400, -1.5, {'a': 1}])}),
    'a metric of 1e14': lambda r: r['metrics'].update(alignment=1e14),
    'a source that is none': lambda r: r['config'].update(source=3, teacher=[]),
}

@pytest.mark.parametrize('what', ODD)
def test_odd_results(made, tmp_path, what, tried):
    text = student_page(load_student(forged(made/'noise', tmp_path/'s', ODD[what])), measure=False)
    harmless(text)
    assert len(text) < 400_000
    tried(what, 'left out of the page, or shortened')

@pytest.mark.parametrize('name, value', [('agreement', 1e300), ('accuracy', 1.5), ('teacher_accuracy', -1),
                                         ('x', 1e300)])
def test_metrics_that_cannot_be(made, tmp_path, name, value, tried):
    folder = forged(made/'noise', tmp_path/'s', lambda r: r['metrics'].update({name: value}))
    tried.refused(f'a result whose {name} is {value:g}', lambda: load_student(folder), 'it lies in')

# --- the same, small, accessible

def test_the_same_page(made, real, tmp_path):
    pages = [write_report(made/'gan', tmp_path/f'{i}.html', Bundle(made/'b'), real, False) for i in (0, 1)]
    assert pages[0].read_bytes() == pages[1].read_bytes()
    inverted = []
    for seed in (1, 2):
        torch.manual_seed(seed)             # whatever was drawn before
        inverted.append(student_page(load_student(made/'teacher'), Bundle(made/'b'), measure=False))
    assert inverted[0] == inverted[1]

def test_how_large_it_may_get():
    "Noise of 200 pixels in ten classes, which no picture format makes smaller."
    x = torch.randint(0, 256, (100, 3, 200, 200), dtype=torch.uint8)
    asked = torch.arange(100)%10
    groups = by_class(x, torch.randn(100, 10), [str(i) for i in range(10)], asked)
    pictures = [p for g in groups for p in g['pictures']]
    assert len(pictures) == 80 and sum(len(p['src']) for p in pictures) < 1_500_000

def test_accessible(made, real):
    bundle = Bundle(made/'b')
    for text in (bundle_page(bundle, real), student_page(load_student(made/'gan'), bundle, real, False)):
        page = Page(text)
        assert page.of('html')[0]['lang'] == 'en' and len(page.of('h1')) == 1 and page.of('main')
        assert all(i.get('alt') for i in page.of('img')), 'each picture says what it shows'
        assert all(t.get('scope') in ('row', 'col') for t in page.of('th'))
        assert all(s.get('aria-label') for s in page.of('svg'))
        ids = [a['id'] for _, a in page.tags if 'id' in a]
        assert len(ids) == len(set(ids)) and {a['href'][1:] for a in page.of('a')} <= set(ids)
        assert 'prefers-color-scheme: dark' in text and 'width=device-width' in text

def test_times(made, tmp_path):
    text = write_report(made/'noise', tmp_path/'r.html', Bundle(made/'b')).read_text()
    assert 'student, int8' in text and re.search(r'Measured on CPU .* threads?, one image', text)

def test_many_classes(tmp_path):
    "Of many classes some are shown, and the most frequent mistakes are told."
    distill = ['distill', str(untrained(tmp_path/'b', 300)), '--student', 'vit_digits_student', '--source', 'noise',
               '--images', '64']
    assert main([*distill, '--epochs', '1', '--out', str(tmp_path/'s')]) == 0
    text = student_page(load_student(tmp_path/'s'), Bundle(tmp_path/'b'), measure=False)
    assert 'The most frequent differences' in text and '(300 in all)' in text and len(text) < 500_000

# --- the command

def test_command(made, tmp_path, tried, capsys):
    out, b = tmp_path/'r.html', made/'b'
    tried.command('dfkd report of a student', ['report', made/'gan', '--bundle', b, '--no-latency', '--out', out],
                  'open it in a browser', capsys, code=0)
    harmless(out.read_text())
    tried.command('… over a file that is there', ['report', made/'gan', '--out', out], 'is there already', capsys)
    tried.command('… of a bundle', ['report', b, '--out', tmp_path/'b.htm'], 'open it', capsys, code=0)
    tried.command('… with --bundle of another teacher', ['report', made/'gan', '--bundle', untrained(tmp_path/'o', 10),
                  '--out', tmp_path/'x.html'], 'was not made from', capsys)
    tried.command('… of a folder that is neither', ['report', tmp_path, '--out', tmp_path/'x.html'],
                  'neither a student nor a bundle|lies inside', capsys)
    tried.command('… of a folder that is not there', ['report', tmp_path/'none', '--out', tmp_path/'x.html'],
                  'neither a student nor a bundle', capsys)
    tried.command('… of a bundle with --bundle', ['report', b, '--bundle', b, '--out', tmp_path/'x.html'],
                  '--bundle is for a student', capsys)
    tried.command('… into the student', ['report', made/'gan', '--out', made/'gan/r.html'], 'lies inside', capsys)
    tried.command('… as a PDF', ['report', made/'gan', '--out', tmp_path/'x.pdf'], 'should end in .html', capsys)
    tried.command('… with data of other classes',
                  ['report', made/'gan', '--data', 'digits', '--out', tmp_path/'x.html'],
                  'not those of the teacher', capsys)
    assert sorted(p.name for p in tmp_path.glob('*.htm*')) == ['b.htm', 'r.html']
    assert sorted(p.name for p in (made/'gan').iterdir()) == ['bundle.yaml', 'result.json', 'student.yaml',
                                                             'weights.safetensors']

# --- a card says only what it knows

@pytest.fixture(scope='session')
def bundled(tmp_path_factory):
    "A bundle of a teacher that came as a file, measured on images of a folder; beside it, what was said"
    home, digits = tmp_path_factory.mktemp('bundled'), get_data('digits')
    teacher = train_teacher(digits, **recipe_for('digits', 'teacher'), seed=0)
    save_file(teacher.weights, home/'w.safetensors')
    x, y = digits.read('test')
    for i, (im, k) in enumerate(zip(x[:200, 0].numpy(), y.tolist())):
        (home/'holiday'/str(k)).mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.ascontiguousarray(im)).save(home/'holiday'/str(k)/f'{i}.png')
    args = ['bundle', '--teacher', 'vit_digits_teacher', '--weights', str(home/'w.safetensors'), '--mean', '.3049',
            '--std', '.3184', '--size', '16', '--epochs', '1', '--width', '16', '--tries', '1', '--anyway',
            '--data', str(home/'holiday')]
    with contextlib.redirect_stdout(io.StringIO()) as out: assert main([*args, '--out', str(home/'b')]) == 0
    (home/'said.txt').write_text(out.getvalue())
    return home

@pytest.fixture
def foreign(bundled, tmp_path):
    "A copy of it, to be altered"
    return shutil.copytree(bundled/'b', tmp_path/'b')

def test_a_teacher_from_elsewhere(foreign, bundled, tried):
    said = '40 images held out from holiday; whether the teacher has seen them is not known'
    assert said in (bundled/'said.txt').read_text()
    card = Bundle(foreign).card
    assert card['teacher']['trained_on'] == 'unknown' and card['teacher']['measured_on'] == said
    assert card['teacher']['takes'] == [1, 16, 16] and card['classes'] == [str(i) for i in range(10)]
    text = bundle_page(Bundle(foreign))
    assert said in text and 'unknown (it was trained elsewhere)' in text and 'test images of holiday' not in text
    tried('dfkd bundle --data of a teacher from elsewhere', f'its accuracy is of {said}')

@pytest.mark.parametrize('name, value', [('trained_on', 'ImageNet'), ('takes', [3, 224, 224]),
                                         ('measured_on', '10,000 test images')])
def test_a_card_that_knows_better(foreign, name, value, tried):
    card = yaml.safe_load((foreign/'card.yaml').read_text())
    card['teacher'][name] = value
    (foreign/'card.yaml').write_text(yaml.safe_dump(card, sort_keys=False))
    tried.refused(f'a card that says {name}: {value}', lambda: Bundle(foreign), 'contradicts itself')

def test_older_cards(foreign):
    "They name the data of a teacher from elsewhere, and say less."
    card = yaml.safe_load((foreign/'card.yaml').read_text())
    for k in ('measured_on', 'takes'): card['teacher'].pop(k)
    card['teacher']['trained_on'] = 'holiday'
    (foreign/'card.yaml').write_text(yaml.safe_dump(card, sort_keys=False))
    assert 'whether the teacher has seen them is not known' in bundle_page(Bundle(foreign))
    text = bundle_page(Bundle(ROOT/'examples/drone_crops/drones.bundle'))
    assert 'unknown (it was trained elsewhere)' in text

def test_a_student_without_its_bundles_card(made, tmp_path):
    shutil.copytree(made/'noise', tmp_path/'s')
    for f in ('bundle.yaml', 'student.yaml'): (tmp_path/'s'/f).unlink()
    card_student(tmp_path/'s', EVIL)
    assert 'What its bundle was made from is not known' in student_page(load_student(tmp_path/'s'))
