"`make house`: how the code reads, in numbers."
import ast, subprocess
import pytest
import house
from cells import ROOT

def test_numbers(make_nb, tmp_path):
    make_nb('04_x', ('code', '#| export\n#| hide\na = 1\n\nb = 2', []), ('code', 'x = 1\n' + 'y'*121, []))
    cells = house.code_cells(tmp_path)
    assert house.lines_of_exports(cells) == [2]
    assert house.percent_wide([line for _, s in cells for line in s.splitlines()]) == 100/7

def test_what_is_counted():
    code = ['a, b = 1, 2', 'a, b = f()', 'a = 1, 2', 'class C:', '    def f(self, x, *, y=1): pass',
            'def g(a, b, c): pass']
    tree = ast.parse('\n'.join(code))
    assert house.parallel(tree) == 1 and sorted(house.numbers_of_arguments(tree)) == [2, 3]

def test_page_has_a_column_for_each_house():
    rows = house.page().splitlines()
    table = [row for row in rows if row.startswith('| ')]
    assert len(table) == 1+len(house.MEASURE) and len({row.count(' | ') for row in table}) == 1
    assert all(name in table[0] for name in house.HOUSES)

def test_tree_stays_light():
    "A clone is quick: results lie together, pictures have a palette, and weights are those that must be there."
    if subprocess.run(['git', 'rev-parse'], cwd=ROOT, capture_output=True).returncode: pytest.skip('not a git checkout')
    sizes, weights = house.tree_of_files(), house.tree_of_files(pattern='*.safetensors')
    assert 0 < sum(weights) < 25e6 and sum(sizes) < 45e6 and len(sizes) < 900
