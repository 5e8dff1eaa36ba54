"""`python -m bawn.scripts.worker`."""

from bawn.scripts.worker.main import main

if __name__ == "__main__":
    main()
