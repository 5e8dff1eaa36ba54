"""Where the management API listens: the unix socket, and a loopback address. Nowhere else, whatever is asked.

Both sockets are bound here, before anything is served, with the rights they shall have from the first moment.
Each gets its own guard: the unix socket trusts the kernel's word about the peer, loopback trusts tokens only.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import socket
from collections.abc import Generator
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

from bawn.api import peers
from bawn.api.app import build
from bawn.api.asking import AskingPage, Shortcuts
from bawn.api.security import Unbroken, guarded
from bawn.api.services import Services
from bawn.api.sharing import ByHost, Sharing
from bawn.errors import Fault, quoted
from bawn.sdk.frames import MAX_FRAME_BYTES

UNIX_HOST = "bawn"
SHUTDOWN_TIMEOUT_S = 2


def bind_unix(path: Path, group: int | None = None, *, everyone: bool = False) -> socket.socket:
    """Listens on `path`, for its owner alone, for the members of a group, or for everyone to knock.

    Who is let in is decided by the peer's user id in each case; the mode only says who may ask.
    """
    mode = 0o666 if everyone else 0o600 if group is None else 0o660
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # Made under another name and moved: there is no moment with other rights, and an old socket is replaced.
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    before = os.umask(0o177)
    try:
        listener.bind(str(fresh))
    finally:
        os.umask(before)
    if group is not None:
        os.chown(fresh, -1, group)
    fresh.chmod(mode)
    listener.listen(128)
    fresh.rename(path)
    listener.setblocking(False)
    return listener


def bind_loopback(host: str, port: int) -> socket.socket:
    """Listens on a loopback address; Fault `bind.not_loopback` for any other."""
    try:
        address = ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
    except ValueError:
        raise Fault("bind.not_loopback", f"{quoted(host)} is not a loopback address.") from None
    if not address.is_loopback:
        raise Fault("bind.not_loopback", f"{quoted(host)} is not a loopback address.")
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((str(address), port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise Fault("bind.failed", f"{address} port {port} cannot be listened on: {error.strerror}.") from None
    listener.setblocking(False)
    return listener


def loopback_hosts(listener: socket.socket) -> frozenset[str]:
    """The Host headers that a loopback listener answers to."""
    address, port = listener.getsockname()[:2]
    shown = f"[{address}]" if ":" in address else address
    return frozenset({f"{shown}:{port}", f"localhost:{port}"})


class _Server(uvicorn.Server):
    """Signals are the whole process's matter, not a listener's; and it ends when asked, not at its next look."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._ending = asyncio.Event()

    def end(self) -> None:
        self.should_exit = True
        self._ending.set()

    async def main_loop(self) -> None:
        # A tick of zero is the one that sets the date of answers; once a second is enough.
        while not await self.on_tick(0):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await self._ending.wait()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


class ManagementServer:
    """The API on its listeners, from `start` to `stop`."""

    def __init__(self, services: Services, unix: socket.socket, loopback: socket.socket | None = None) -> None:
        app = build(services)
        self._parts = [self._part(app, services, unix, frozenset({UNIX_HOST}), trust_peer=True)]
        if loopback is not None:
            hosts = loopback_hosts(loopback)
            self._parts.append(self._part(app, services, loopback, hosts, trust_peer=False))
        self._tasks: list[asyncio.Task[None]] = []

    @staticmethod
    def _part(
        app: ASGIApp, services: Services, listener: socket.socket, hosts: frozenset[str], *, trust_peer: bool
    ) -> tuple[_Server, socket.socket]:
        guard = guarded(
            app, operators=services.operators, recorder=services.recorder, hosts=hosts, trust_peer=trust_peer
        )
        # Links are for those whom a tunnel brings, and a tunnel ends at the loopback port.
        public = services.public_hosts - hosts
        if public and not trust_peer:
            guard = ByHost(guard, Unbroken(Sharing(services.links, services.ports)), public)
        page = AskingPage(services.approvals, services.operators, services.recorder, hosts, services.public_url)
        guard = Shortcuts(guard, Unbroken(page))
        config = uvicorn.Config(
            guard,
            http=peers.Http,
            ws=peers.WebSocket,
            ws_max_size=MAX_FRAME_BYTES + 1,
            ws_per_message_deflate=False,
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            headers=[("cache-control", "no-store"), ("x-content-type-options", "nosniff")],
            timeout_graceful_shutdown=SHUTDOWN_TIMEOUT_S,
        )
        return _Server(config), listener

    async def start(self) -> None:
        """Returns when all listeners answer."""
        self._tasks = [
            asyncio.create_task(server.serve(sockets=[listener]), name=f"api {listener.getsockname()}")
            for server, listener in self._parts
        ]
        while not all(server.started for server, _ in self._parts):
            for task in self._tasks:
                if task.done():
                    task.result()
            await asyncio.sleep(0.005)

    async def stop(self) -> None:
        """Stops accepting, lets running answers end for a moment, cuts the rest."""
        for server, _ in self._parts:
            server.end()
        await asyncio.gather(*self._tasks)
