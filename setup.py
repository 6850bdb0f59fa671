"Package metadata from settings.ini; the version from the package's `__init__.py`."
import re
from configparser import ConfigParser
from pathlib import Path
from setuptools import setup

here = Path(__file__).parent
ini = ConfigParser(delimiters=['='], interpolation=None)
ini.read(here/'settings.ini', encoding='utf-8')
cfg = ini['DEFAULT']
lib, url = cfg['lib_path'], cfg['repo_url'].rstrip('/')
code = (here/lib/'__init__.py').read_text(encoding='utf-8')
version = re.search(r"""^__version__\s*=\s*['"](.+?)['"]""", code, re.M)[1]
readme = here/'README.md'

setup(
    name=cfg['lib_name'], version=version, description=cfg['description'], author=cfg['author'], url=url,
    long_description=readme.read_text(encoding='utf-8') if readme.exists() else '',
    long_description_content_type='text/markdown',
    license_expression=cfg['license'], license_files=['LICENSE'], keywords=cfg['keywords'].split(),
    project_urls={'Repository': url, 'Issues': f'{url}/issues',
                  'Changelog': f"{url}/blob/{cfg['branch']}/CHANGELOG.md"},
    classifiers=['Development Status :: 4 - Beta', 'Intended Audience :: Science/Research',
                 'Programming Language :: Python :: 3 :: Only',
                 'Topic :: Scientific/Engineering :: Artificial Intelligence'],
    packages=[lib], include_package_data=True, python_requires=f">={cfg['min_python']}", zip_safe=False,
    install_requires=cfg['requirements'].split(),
    extras_require={k.removesuffix('_requirements'): v.split() for k, v in cfg.items() if k.endswith('_requirements')},
    entry_points={'console_scripts': cfg['console_scripts'].split(), 'nbdev': [f'{lib}={lib}._modidx:d']},
)
