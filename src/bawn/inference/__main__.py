"""`python -m bawn.inference`: the scripted provider as a process."""

from __future__ import annotations

import argparse
import asyncio
import signal
import socket
import sys
from ipaddress import ip_address
from pathlib import Path

import uvloop

from bawn.errors import Fault
from bawn.inference.record import Record
from bawn.inference.script import Script, built_in, load
from bawn.inference.server import serve


def main() -> int:
    options = _options()
    try:
        script = _script(options.script)
        record = Record(options.record) if options.record else None
        listener = _listener(options)
    except Fault as fault:
        sys.stderr.write(f"bawn.inference: {fault.sentence} {fault.remedy}\n")
        return 2
    except OSError as error:
        sys.stderr.write(f"bawn.inference: cannot listen or write: {error}\n")
        return 2
    uvloop.run(_run(listener, script, record))
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bawn.inference", description="A model provider that plays a script."
    )
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--socket-fd", type=int, metavar="N", help="an inherited socket that listens already")
    where.add_argument("--unix", type=Path, metavar="PATH", help="a unix socket to make")
    where.add_argument("--tcp", metavar="127.0.0.1:PORT", help="a loopback port, for tests; 0 takes a free one")
    parser.add_argument(
        "--script", type=Path, action="append", default=[], metavar="FILE", help="played before the built-in ones"
    )
    parser.add_argument("--record", type=Path, metavar="FILE", help="append every request to this file")
    return parser.parse_args()


def _script(paths: list[Path]) -> Script:
    whole = Script()
    for path in paths:
        whole = whole.followed_by(load(path))
    return whole.followed_by(built_in())


def _listener(options: argparse.Namespace) -> socket.socket:
    if options.socket_fd is not None:
        return socket.socket(fileno=options.socket_fd)
    if options.unix is not None:
        listener = socket.socket(socket.AF_UNIX)
        options.unix.unlink(missing_ok=True)
        listener.bind(str(options.unix))
    else:
        host, _, port = options.tcp.rpartition(":")
        if not host or not ip_address(host).is_loopback:
            raise Fault("bind.not_loopback", "The scripted provider answers on loopback only.")
        listener = socket.socket(socket.AF_INET)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, int(port)))
    listener.listen(1024)
    return listener


async def _run(listener: socket.socket, script: Script, record: Record | None) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    name = listener.getsockname()
    server = await serve(listener, script, record)
    where = f"{name[0]}:{name[1]}" if isinstance(name, tuple) else name
    sys.stdout.write(f"ready {where}\n")
    sys.stdout.flush()
    await stop.wait()
    # Not wait_closed(): it would wait for streams that never end, which are part of the repertoire.
    server.close()


if __name__ == "__main__":
    sys.exit(main())
