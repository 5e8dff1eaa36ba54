"""`python -m bawn.store FILE`: make or upgrade the store, then end."""

import sys
from pathlib import Path

from bawn.errors import Fault
from bawn.store.engine import open_store
from bawn.store.upgrade import upgrade

try:
    store = open_store(Path(sys.argv[1]))
    upgrade(store)
    store.close()
except Fault as fault:
    sys.exit(f"{fault.sentence} {fault.remedy}")
