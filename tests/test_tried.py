"The page of what was tried: made of what the tests note, and held against it."
import json, tempfile
from html import unescape
from types import SimpleNamespace
import pytest
import conftest, tried as tool

def note(root, test, *rows, kind='Images: files that are not what they seem'):
    "Rows as the fixture leaves them"
    folder = root/'build'/'tried'
    folder.mkdir(parents=True, exist_ok=True)
    rows = [dict(kind=kind, test=test, tried=a, answer=b) for a, b in rows]
    (folder/f'{abs(hash(test))}.json').write_text(json.dumps(rows))

@pytest.fixture
def root(tmp_path):
    "A repository of two test files"
    tool.lines_of_tests.cache_clear()
    for folder in ('tests', 'docs'): (tmp_path/folder).mkdir()
    (tmp_path/'tests/test_trust_images.py').write_text('def test_late(): pass\ndef test_bomb(): pass\n')
    (tmp_path/'tests/test_trust_names.py').write_text('def test_twin(): pass\n')
    note(tmp_path, 'tests/test_trust_names.py::test_twin', ('a folder and a file', 'refused: twin'), kind='Names')
    note(tmp_path, 'tests/test_trust_images.py::test_bomb', ('a bomb', 'refused: x.png is too large'))
    for i in (10, 9): note(tmp_path, f'tests/test_trust_images.py::test_late[{i}-a]', (f'case {i}', 'grey'))
    return tmp_path

def test_page_in_the_order_of_the_tests(root):
    note(root, 'tests/test_trust_images.py::test_renamed', ('old', 'gone'))
    note(root, 'tests/test_trust_gone.py::test_bomb', ('old', 'gone'))
    note(root, 'tests/test_trust_images.py::test_of_nothing')
    assert [r['tried'] for r in tool.rows(root)] == ['case 9', 'case 10', 'a bomb', 'a folder and a file']
    assert tool.main([], root) == 0
    text = (root/tool.PAGE).read_text()
    assert text.startswith(f'# {tool.TITLE}\n') and '4 rows of 2 kinds' in text and 'gone' not in text
    assert text.index('## Images: files that') < text.index('| a bomb | refused: x.png is too large |') < text.index(
        '## Names')

def test_check(root, capsys):
    assert tool.main(['--check'], root) == 1 and 'make tried' in capsys.readouterr().err
    assert tool.main([], root) == tool.main(['--check'], root) == 0
    note(root, 'tests/test_trust_images.py::test_bomb', ('a bomb', 'refused: another answer'))
    assert tool.main(['--check'], root) == 1
    said = capsys.readouterr().err
    assert '- | a bomb | refused: x.png' in said and '+ | a bomb | refused: another' in said
    assert tool.main(['--check', '--rows'], root) == 0
    note(root, 'tests/test_trust_images.py::test_bomb', ('a bomb', 'opened'))
    assert tool.main(['--check', '--rows'], root) == 1
    note(root, 'tests/test_trust_images.py::test_bomb', ('another bomb', 'refused: another answer'))
    assert tool.main(['--check', '--rows'], root) == 1
    capsys.readouterr()
    for f in (root/'build/tried').iterdir(): f.unlink()
    assert tool.main(['--check'], root) == 1 and 'no test has noted' in capsys.readouterr().err

@pytest.mark.parametrize('old, new', [
    ('x.png: 1,234 bytes', 'x.png: 98 bytes'),
    ('run 3fa9c1d2e4 is set aside', 'run 0b1c2d3e4f is set aside'),
    ('killed (4321)', 'killed (77120)'),
    ('.b.4321 swept', '.b.812 swept'),
    ('agrees on 99.12 %', 'agrees on 98.9 %'),
    ('within 0.3 s', 'within 12 s'),
    ('off by 1.2e-07', 'off by 3.4e-08'),
])
def test_what_varies_is_no_difference(root, old, new):
    name = 'tests/test_trust_images.py::test_bomb'
    note(root, name, ('a bomb', old))
    tool.main([], root)
    before = (root/tool.PAGE).read_text()
    note(root, name, ('a bomb', new))
    assert tool.main(['--check'], root) == 0
    assert tool.main([], root) == 0 and (root/tool.PAGE).read_text() == before       # no diff of its own

@pytest.mark.parametrize('old, new', [
    ('got 0', 'got 1'),
    ('exit code 2', 'exit code 1'),
    ('10 classes', '3 classes'),
    ('epochs', 'rounds'),
    ('300 classes', '900 classes'),
    ('[3, 2]', '[3, 4]'),
])
def test_what_matters_is_a_difference(old, new): assert tool.differences(f'| a | {old} |', f'| a | {new} |')

def test_nothing_of_this_machine_and_nothing_endless(root):
    tmp = tempfile.gettempdir()
    assert tool.told(f'{tmp}/pytest-of-me/pytest-12/test_x0/a.png is black', root) == 'a.png is black'
    assert tool.told(f'{root}/nbs and /etc/passwd', root) == 'nbs and /etc/passwd'
    long = tool.told('x'*5000 + ' is no name', root)
    assert '…' in long and long.endswith('is no name') and len(long) < 100
    assert len(tool.told('so on '*500, root)) <= tool.LONGEST[1]+1

def test_markdown_of_an_answer_is_text(root):
    "Whatever is in an answer, a row has two cells and shows it as it is."
    from markdown_it import MarkdownIt
    for text in ('a|b', '`x` *y* _z_', '<script>', '$x$ $y$', r'\d+\|', '[a](http://b)', 'a\nb', '{code}`x`', '![i](j)',
                 '&lt;', '~~a~~', '\\'):
        html = MarkdownIt('commonmark').enable('table').render(tool.table([dict(tried=text, answer='ok')], root))
        cells = [unescape(c.split('</td>')[0]) for c in html.split('<td>')[1:]]
        assert cells == [' '.join(text.split()), 'ok'], html

def test_fixture_notes(tmp_path, capsys):
    node = SimpleNamespace(nodeid='tests/test_trust_x.py::test_y')
    t = conftest.Tried(SimpleNamespace(module=SimpleNamespace(__doc__='Kind: of what\n\nmore'), node=node), tmp_path)
    def refuse(): raise ValueError(f'{tmp_path}/a.png:\n  too large'.replace('\n', ' '))
    t.refused('a bomb', refuse, 'too large')
    t('a grey one', 'its grey levels')
    assert [(r['kind'], r['tried'], r['answer']) for r in t.rows] == [
        ('Kind: of what', 'a bomb', 'refused: a.png: too large'), ('Kind: of what', 'a grey one', 'its grey levels')]
    def lines(): raise ValueError('two\nlines')
    with pytest.raises(AssertionError): t.refused('x', lines, 'two')
    with pytest.raises(pytest.fail.Exception): t.refused('x', lambda: None, 'two')

def test_notes_of_tests_that_are_no_more(tmp_path, monkeypatch):
    monkeypatch.setattr(conftest, 'TRIED', tmp_path)
    names = ['tests/a.py::test_x', 'tests/a.py::test_y[1]', 'tests/b.py::test_z']
    for n in names: conftest.noted(n).write_text(json.dumps([dict(test=n)]))
    (tmp_path/'torn.json').write_text('[{')
    gone = list(conftest.tests_that_are_no_more({'tests/a.py::test_x', 'tests/a.py::test_y[2]'}))
    assert gone == [conftest.noted(names[1])]
