"""`python -m bawn.app`."""

import sys

from bawn.app.main import main

sys.exit(main())
