"""`python -m bawn.supervisor`."""

import sys

from bawn.supervisor.main import main

sys.exit(main())
