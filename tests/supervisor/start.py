"""The supervisor with stand-ins for the processes that it starts."""

import sys
from pathlib import Path

from bawn.supervisor.main import main
from bawn.supervisor.processes import Programs

here = Path(__file__).parent
service = (str(here / "stand_in_service.py"),)
sys.exit(main(sys.argv[1:], Programs(gateway=(str(here / "stand_in_gateway.py"),), audit=service, scripted=service)))
