"""`python -m bawn.egress --line-fd N`: the egress door of every container, as a process without provider keys.

The supervisor starts it, and hands it the doors and the line to the gateway over one inherited socket. When that
socket ends the process ends, and its doors with it.
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import os
import resource
import signal
import socket
import sys
import time
from datetime import UTC, datetime

import uvloop

from bawn.egress.authority import Authority
from bawn.egress.dial import SystemDialler, SystemResolver, Way
from bawn.egress.doors import Doors
from bawn.egress.link import Link, SupervisorLine
from bawn.egress.own_addresses import OwnAddresses
from bawn.egress.recorder import Recorder
from bawn.egress.walls import Walls
from bawn.errors import Fault

_PR_SET_DUMPABLE = 4


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bawn.egress", description="The forward proxy of all containers.")
    parser.add_argument("--line-fd", type=int, required=True, metavar="N", help="the inherited line to the supervisor")
    asked = parser.parse_args()
    try:
        _keep_to_itself()
        line = socket.socket(fileno=asked.line_fd)
        line.set_inheritable(False)
    except (Fault, OSError) as error:
        sys.stderr.write(f"bawn.egress: {error}\n")
        return 2
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(line))
    return 0


def _keep_to_itself() -> None:
    """Before a secret comes: no core file, no debugger, no /proc/<pid>/mem for others; and room for many connections."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        sentence = "The kernel does not protect this process's memory."
        raise Fault("internal", sentence, cause=os.strerror(ctypes.get_errno()))
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def _serve(line: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    loop.add_signal_handler(signal.SIGHUP, lambda: None)
    resolver = SystemResolver()
    recorder = Recorder()
    authority = Authority(lambda: datetime.now(UTC))
    way = Way(resolver, SystemDialler(), OwnAddresses(time.monotonic))
    walls = Walls(recorder, authority, way, time.monotonic)
    doors = Doors(walls)
    link = Link(walls, recorder, authority)
    link.on_door = doors.open
    supervisor = SupervisorLine(line, doors, link, ended.set)
    supervisor.open()
    await ended.wait()
    doors.shut()
    supervisor.close()
    resolver.close()


if __name__ == "__main__":
    sys.exit(main())
