# Sphinx reads the pages that tools/site.py lays out; all settings of the site are here.
import os, re, sys
from pathlib import Path
sys.path.insert(0, os.environ['DFKD_ROOT'])
sys.path.insert(0, os.environ['DFKD_ROOT'] + '/tools')
from cells import has_address, settings
import docments

cfg = settings()
root = Path(os.environ['DFKD_ROOT'])
project, author = cfg['lib_name'], cfg['author']
release = re.search(r'__version__ = "(.+?)"', (root/cfg['lib_path']/'__init__.py').read_text(encoding='utf-8'))[1]
copyright = f'{author}, {cfg["license"]}'
extensions = ['myst_nb', 'sphinx.ext.autodoc', 'sphinx.ext.viewcode', 'sphinx.ext.mathjax', 'sphinx_copybutton']
nb_execution_mode = 'off'                       # pages are what papermill executed
nb_merge_streams = True
nb_render_markdown_format = 'myst'              # tables in outputs are tables
myst_enable_extensions = ['dollarmath', 'amsmath', 'attrs_inline', 'html_image']
myst_heading_anchors = 3
suppress_warnings = ['myst.header', 'mystnb.unknown_mime_type']
autodoc_member_order = 'bysource'
autodoc_inherit_docstrings = False              # torch's own words on `forward` are not ours
autodoc_typehints = 'none'                      # they stand in the parameter tables
html_theme = 'sphinx_book_theme'
html_title = 'dfkd_nb'
html_static_path = ['_static']
html_css_files = ['site.css']
html_show_sphinx = False
html_context = {'default_mode': 'auto'}         # light or dark, as the reader's system has it
mathjax_path = 'tex-svg-full.js'                # lies in _static: the site needs no other server
html_theme_options = {
    'use_download_button': True, 'navbar_persistent': [], 'show_toc_level': 2, 'home_page_in_toc': True,
}
if has_address(cfg): html_theme_options |= {
    'repository_url': cfg['repo_url'], 'repository_branch': cfg['branch'], 'path_to_docs': 'nbs',
    'use_repository_button': True, 'use_issues_button': True,
    'launch_buttons': {'colab_url': 'https://colab.research.google.com'},
}

def setup(app):
    app.connect('autodoc-process-docstring', docments.describe)
    app.connect('autodoc-process-signature', docments.signature)
    app.connect('html-page-context', no_colab_where_there_is_no_notebook)

def no_colab_where_there_is_no_notebook(app, page, template, context, doctree):
    "The theme offers Colab for every page; only notebooks can be opened there, from nbs/."
    if not (root/'nbs'/f'{page}.ipynb').exists(): context['theme_launch_buttons'] = {}
