"""All rooms at once, for notebooks and scripts: `from dfkd_nb.all import *`."""
# The one module that is written by hand: a line for each notebook, in their order; a test holds that none is missing.
# `statistics` is then ours (of FID): whoever wants Python's module of that name imports it afterwards.
from .checks import *
from .runs import *
from .results import *
from .data import *
from .recipes import *
from .models import *
from .training import *
from .probes import *
from .gan import *
from .fid import *
from .distill import *
from .ablations import *
from .detr_hub import *
from .detr import *
from .detr_distill import *
from .drawn import *
from .inversion import *
from .detr_ladder import *
from .deploy import *
from .sources import *
from .bundle import *
from .plan import *
from .report import *
from .detr_bundle import *
from .cli import *
from .detr_cli import *
