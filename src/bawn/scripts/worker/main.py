"""The worker as a program: limits first, then the socket that it inherits, then the loop until it is killed."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import socket
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import uvloop

from bawn.scripts.worker.client import Door
from bawn.scripts.worker.context import Reach
from bawn.scripts.worker.database import Files
from bawn.scripts.worker.fetching import Fetcher
from bawn.scripts.worker.loading import Scripts
from bawn.scripts.worker.output import Output
from bawn.scripts.worker.places import About
from bawn.scripts.worker.server import Channel, Service

FILE_LIMIT = 2 << 30
STACK_BYTES = 1 << 20
"""Of a thread: stacks count towards the limit of memory whole, used or not."""


def limit(about: About) -> None:
    """What no script can raise again; control groups hold the same for all its processes together where there are any."""
    wanted = [
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, FILE_LIMIT),
        (resource.RLIMIT_DATA, about.memory_bytes),
        (resource.RLIMIT_NPROC, about.pids),
        (resource.RLIMIT_NOFILE, about.open_files),
    ]
    for kind, value in wanted:
        if value or kind == resource.RLIMIT_CORE:
            _, most = resource.getrlimit(kind)
            least = value if most == resource.RLIM_INFINITY else min(value, most)
            resource.setrlimit(kind, (least, least))
    os.nice(5)


async def serve(listener: socket.socket, about: About) -> None:
    places = about.places
    scripts = Scripts(Path(places.scripts) / about.exec_id)
    # The project's modules before ours; its own files last, so that none stands in the place of a module.
    sys.path.insert(0, places.modules)
    sys.path += [f"{places.scripts}/{about.exec_id}", places.scripts]
    reach = Reach(Door(places.door), Fetcher(places.egress), Files(Path(places.data)), about.env)
    service = Service(about, scripts, reach)
    server = await asyncio.get_running_loop().create_unix_server(lambda: Channel(service), sock=listener)
    async with server:
        await server.serve_forever()


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bawn.scripts.worker")
    parser.add_argument("--socket-fd", type=int, required=True)
    parser.add_argument("--about-fd", type=int, required=True)
    asked = parser.parse_args(arguments)
    with open(asked.about_fd, "rb") as file:  # noqa: PTH123 - a descriptor
        file.seek(0)
        about = About.read(json.loads(file.read()))
    limit(about)
    threading.stack_size(STACK_BYTES)
    listener = socket.socket(fileno=asked.socket_fd)
    listener.setblocking(False)
    sys.stdout = sys.stderr = Output(1)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(listener, about))
