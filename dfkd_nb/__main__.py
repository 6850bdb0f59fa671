"`python -m dfkd_nb`: the command `dfkd`"
import sys
from dfkd_nb.cli import main

sys.exit(main())
