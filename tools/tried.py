"""`make tried`: the page *What was tried, and what it answers*, made of what the tests note. `tried.py [--check]`

Every test with the fixture `tried` (tests/conftest.py) leaves its rows in build/tried. They become docs/tried.md,
a table per kind, which the site shows; `--check` says which rows of that page are not what the tests answered last."""
import argparse, ast, json, re, sys, tempfile
from collections import Counter
from functools import cache
from pathlib import Path
sys.path.insert(0, str(Path(__file__).parent))
from cells import ROOT

PAGE    = Path('docs/tried.md')
TITLE   = 'What was tried, and what it answers'
LONGEST = 60, 400       # characters of a word, and of an answer: what a test made long on purpose is cut

INTRO = """Files, folders, bundles, models and arguments come from outside, and nothing of them is believed.
Each row below is a test: what was tried, and what the library answered when the tests last ran
(the fixture `tried` notes it once the test has asserted it; `make tried` draws this page)."""

# --- rows

@cache
def lines_of_tests(path):
    "{name of a function: its line} of a test file; empty where there is no such file any more."
    if not path.exists(): return {}
    tree = ast.parse(path.read_text(encoding='utf-8'))
    return {n.name: n.lineno for n in tree.body if isinstance(n, ast.FunctionDef)}

def place(test, root):
    "Where a test stands: its file, the line of its function, then its case with numbers in their order."
    file, _, rest = test.partition('::')
    name, _, case = rest.partition('[')
    line = lines_of_tests(root/file).get(name)
    natural = [(int(part), '') if part.isdigit() else (-1, part) for part in re.split(r'(\d+)', case)]
    return None if line is None else (file, line, natural)

def rows(root=ROOT):
    "What was noted, in the order of the tests; without that of tests which are no more."
    noted = [json.loads(p.read_text(encoding='utf-8')) for p in sorted((root/'build'/'tried').glob('*.json'))]
    placed = [(at, r) for rs in noted if rs and (at := place(rs[0]['test'], root)) for r in rs]
    return [r for _, r in sorted(placed, key=lambda x: x[0])]

# --- the page

def told(text, root=ROOT):
    "A text as the page says it: on one line, without this machine's folders, and nothing endless in it."
    text = ' '.join(str(text).split()).replace(f'{root}/', '')
    text = ''.join(c if c.isprintable() else f'\\x{ord(c):02x}' for c in text)
    text = re.sub(rf'(/private)?{re.escape(tempfile.gettempdir())}/(pytest-of-[^/\s]+/pytest-\d+/[^/\s]+/)?', '', text)
    word, answer = LONGEST
    text = re.sub(rf'\S{{{word+1},}}', lambda m: f'{m[0][:word//2]}…{m[0][-word//3:]}', text)
    return text if len(text) <= answer else f'{text[:answer]}…'

def escaped(text): return re.sub(r'([\\`*_{}\[\]<>$|#~!&])', r'\\\1', text)

def table(rows, root=ROOT):
    def cell(text): return escaped(told(text, root))
    lines = [f"| {cell(r['tried'])} | {cell(r['answer'])} |" for r in rows]
    return '\n'.join(['| tried | answer |', '|---|---|', *lines])

def page(rows, root=ROOT):
    "The whole page, as Markdown."
    kinds = list(dict.fromkeys(r['kind'] for r in rows))
    parts = [f'# {TITLE}', '<!-- Made by `make tried`: edit the tests. -->', INTRO,
             f'{len(rows)} rows of {len(kinds)} kinds.']
    for kind in kinds:
        parts += [f'## {escaped(kind)}', table([r for r in rows if r['kind'] == kind], root)]
    return '\n\n'.join(parts) + '\n'

# --- the check

VARIES = [r'\b0x[0-9a-f]+',                                    # addresses in memory
          r'\b(?=\w*\d)(?=\w*[a-f])[0-9a-f]{6,64}\b',       # keys and hashes
          r'(?<=[a-z]\.)\d{2,7}\b|(?<=\()\d{3,7}(?=\))|(?<=pid )\d+|(?<=process )\d+',     # process ids, also in names
          r'(?<=\bhome)\d+',                             # pytest numbers its folders
          r'\b[\d,.]*\d(?= ?(?:bytes|[kMG]i?B|B|s|ms|seconds)\b)',
          r'-?\b\d+\.\d+(?:e[+-]?\d+)?\b']                   # measured numbers

def steady(line):
    "A line of the page without what differs from run to run: keys, process ids, sizes in bytes, times, measurements."
    for pattern in VARIES: line = re.sub(pattern, '…', line)
    return line

def outline(line):
    "What a row tried, and of which kind its answer is: how it reads can follow the machine."
    tried, _, answer = line.partition(' | ')
    kind = re.match(r'refused|exit code \d+', answer)
    return f"{tried}: {kind[0] if kind else 'answered'}"

def differences(old, new, look=steady):
    "Rows of the committed page that no test answers any more, and answers that it does not have."
    lines = lambda text: Counter(look(l) for l in text.splitlines() if l.startswith(('| ', '## ')))
    a, b = lines(old), lines(new)
    return [f'- {l}' for l in (a-b).elements()] + [f'+ {l}' for l in (b-a).elements()]

def main(args=None, root=ROOT):
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--check', action='store_true',
                   help='write nothing; end with 1 when the page is not what the tests answered')
    p.add_argument('--rows', action='store_true',
                   help='look only whether every row is there and whether it is refused, for another machine')
    a = p.parse_args(args)
    check, path = a.check, root/PAGE
    noted = rows(root)
    if not noted:
        print('no test has noted anything in build/tried: run `make tried`', file=sys.stderr)
        return 1
    new, old = page(noted, root), path.read_text(encoding='utf-8') if path.exists() else ''
    differ = differences(old, new, outline if a.rows else steady)
    if not check:
        if differ or not old: path.write_text(new, encoding='utf-8')
        print(f"{PAGE}: {len(noted)} rows, {'written' if differ or not old else 'as it was'}")
        return 0
    if differ:
        print(f'{PAGE} is not what the tests answer: run `make tried`', *differ[:20], sep='\n', file=sys.stderr)
        if len(differ) > 20: print(f'… and {len(differ)-20} more', file=sys.stderr)
    else: print(f'{PAGE}: {len(noted)} rows, as the tests answer')
    return int(bool(differ))

if __name__ == '__main__': sys.exit(main())
