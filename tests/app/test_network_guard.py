"""The guard cannot be taken out again, so each test has a process of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

SETUP = """
import asyncio, os, socket, subprocess, sys, tempfile, urllib.request
import uvloop, httpx
from bawn.app.network_guard import keep_in
from bawn.errors import Fault
told = []
server = socket.create_server(("127.0.0.1", 0)); port = server.getsockname()[1]
unix = socket.socket(socket.AF_UNIX); path = tempfile.mkdtemp() + "/s"; unix.bind(path); unix.listen()
keep_in(told.append)
def refused(act):
    try: act()
    except BaseException as error:
        while error is not None:
            if isinstance(error, Fault): return
            error = error.__cause__ or error.__context__
    raise SystemExit(f"went through: {act}")
"""


def tried(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", SETUP + program], capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.parametrize(
    "act",
    [
        "socket.create_connection(('127.0.0.1', port))",
        "socket.socket().connect_ex(('127.0.0.1', port))",
        "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', port))",
        "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendmsg([b'x'], [], 0, ('127.0.0.1', port))",
        "socket.getaddrinfo('example.org', 443)",
        "socket.gethostbyname('example.org')",
        "urllib.request.urlopen(f'http://127.0.0.1:{port}/')",
        "httpx.get(f'http://127.0.0.1:{port}/', trust_env=False)",
        "asyncio.run(asyncio.open_connection('127.0.0.1', port))",
        "subprocess.run(['true'])",
        "os.system('true')",
        "os.fork()",
        "os.execv('/bin/true', ['true'])",
    ],
)
def test_what_wants_a_network_or_a_program_is_refused_and_told(act: str) -> None:
    done = tried(f"refused(lambda: {act})\nassert told, 'not told'\n")
    assert done.returncode == 0, done.stderr


def test_the_pools_own_way_and_unix_sockets_stay_open() -> None:
    program = """
async def main():
    loop = asyncio.get_running_loop()
    for host in ("127.0.0.1", "localhost"):
        transport, _ = await loop.create_connection(asyncio.Protocol, host, port)
        transport.close()
    transport, _ = await loop.create_unix_connection(asyncio.Protocol, path)
    transport.close()
with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner: runner.run(main())
near, far = socket.socketpair(); near.sendmsg([b"x"]); assert far.recv(1) == b"x"
assert not told, told
"""
    done = tried(program)
    assert done.returncode == 0, done.stderr
