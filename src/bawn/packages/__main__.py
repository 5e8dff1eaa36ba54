"""`python -m bawn.packages --line-fd N --folder DIR --registries-fd N`: the packages door of every container.

The supervisor starts it, and hands it the doors, the line to the gateway, and in memory which registries this host's own
clients ask. When the supervisor's line ends the process ends.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import uvloop

from bawn.packages.door import Doors
from bawn.packages.link import Link, SupervisorLine
from bawn.packages.mirror import Mirror
from bawn.packages.names import NPM, PIP
from bawn.packages.registries import npm_access, pip_access, registries_of
from bawn.packages.shelf import Shelf
from bawn.packages.upstream import Upstream
from bawn.terms.door import PLACES, DoorKind

_DISK_BYTES = 20 * 2**30
"""Until the gateway says another size."""


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bawn.packages", description="The package mirror of all containers."
    )
    parser.add_argument("--line-fd", type=int, required=True, metavar="N", help="the inherited line to the supervisor")
    parser.add_argument("--folder", type=Path, required=True, metavar="DIR", help="where what was fetched is kept")
    parser.add_argument("--registries-fd", type=int, required=True, metavar="N", help="which registries, as JSON")
    asked = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with os.fdopen(asked.registries_fd, "rb") as file:
        said: dict[str, Any] = json.loads(file.read() or b"{}")
    line = socket.socket(fileno=asked.line_fd)
    line.set_inheritable(False)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(line, asked.folder, said))
    return 0


async def serve(line: socket.socket, folder: Path, said: dict[str, Any]) -> None:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    loop.add_signal_handler(signal.SIGHUP, lambda: None)
    shelf = Shelf(folder, _DISK_BYTES)
    link = Link(shelf)
    upstreams = {PIP: Upstream(pip_access(said)), NPM: Upstream(npm_access(said))}
    origin = f"http://{PLACES[DoorKind.PACKAGES].hostname}"
    link.mirror = Mirror(upstreams, registries_of(said), folder, shelf, link.record, origin)
    link.doors = Doors(link.mirror, link.standing, link.refused)
    supervisor = SupervisorLine(line, link.doors, link, ended.set)
    supervisor.open()
    await ended.wait()
    link.doors.shut()
    supervisor.close()
    for upstream in upstreams.values():
        await upstream.close()


if __name__ == "__main__":
    sys.exit(main())
