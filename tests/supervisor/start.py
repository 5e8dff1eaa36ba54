"""The supervisor with stand-ins for the processes that it starts."""

import sys
from pathlib import Path

from bawn.supervisor.main import main
from bawn.supervisor.processes import Programs

here = Path(__file__).parent
service = (str(here / "stand_in_service.py"),)
gateway = (str(here / "stand_in_gateway.py"),)
owner = (str(here / "stand_in_owner.py"),)
programs = Programs(gateway, audit=service, scripted=service, egress=owner, packages=owner, notifier=service)
sys.exit(main(sys.argv[1:], programs))
