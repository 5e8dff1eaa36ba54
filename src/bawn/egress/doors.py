"""The egress doors of all containers: who accepts on which listener, how many at once, and the sweep that ends what is overdue.

A connection belongs to the container whose listener accepted it, for its whole life; that is all the identity
there is.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket

from bawn.egress.conversation import Conversation
from bawn.egress.talk import talk
from bawn.egress.walls import Walled, Walls

_TICK_S = 0.1
_BACKLOG = 512


class Doors:
    def __init__(self, walls: Walls) -> None:
        self._walls = walls
        self._servers: dict[str, list[asyncio.Server]] = {}
        self._opening: set[asyncio.Task[None]] = set()
        self._sweeper: asyncio.Task[None] | None = None

    def open(self, uuid: str, listener: socket.socket) -> asyncio.Task[None]:
        """Accept on a listener that stands in the namespace of the container. Nothing passes before a policy says so."""
        listener.setblocking(False)
        # Noted at once, so that a `close` that comes before it stands finds it.
        servers = self._servers.setdefault(uuid, [])
        task = asyncio.create_task(self._open(uuid, servers, listener), name=f"door of {uuid}")
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)
        return task

    async def _open(self, uuid: str, servers: list[asyncio.Server], listener: socket.socket) -> None:
        if self._servers.get(uuid) is not servers:
            listener.close()
            return
        walled = self._walls.of(uuid)
        loop = asyncio.get_running_loop()
        create = loop.create_unix_server if listener.family == socket.AF_UNIX else loop.create_server
        server = await create(lambda: self._accept(walled), sock=listener, backlog=_BACKLOG)
        if self._servers.get(uuid) is not servers:
            server.close()  # closed while it was being opened
            return
        servers.append(server)
        if self._sweeper is None:
            self._sweeper = asyncio.create_task(self._sweep(), name="sweep of the egress doors")

    def close(self, uuid: str) -> None:
        """Close the doors of a container that is no more, and cut whatever goes through them."""
        for server in self._servers.pop(uuid, ()):
            server.close()
        self._walls.remove(uuid)

    def shut(self) -> None:
        for uuid in tuple(self._servers):
            self.close(uuid)
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None

    def _accept(self, walled: Walled) -> asyncio.BaseProtocol:
        return Conversation(self._walls, walled, talk).client

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(_TICK_S)
            with contextlib.suppress(RuntimeError):
                self._walls.sweep()
