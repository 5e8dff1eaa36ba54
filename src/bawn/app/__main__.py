"""`python -m bawn.app`."""

import sys

from bawn.app import compiled

if __name__ == "__main__":
    compiled.use()
    from bawn.app.main import main  # after that, since it imports what was built

    sys.exit(main())
