"""The AI doors of all containers: who accepts on which listener, and the sweep that ends what is overdue.

A connection belongs to the door whose listener accepted it, for its whole life; that is all the identity
there is. Closing a door closes its connections with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable

from bawn.errors import Fault
from bawn.gateway.http1 import BodyBudget, DoorConnection, Head
from bawn.gateway.pool import Pool
from bawn.gateway.server import Gateway
from bawn.terms.clock import Clock
from bawn.terms.door import Door

_TICK_SECONDS = 0.05
_TICKS_PER_CONNECTION_SWEEP = 10
_TICKS_PER_POOL_SWEEP = 100


class _Standing:
    """One open door and its connections."""

    __slots__ = ("budget", "connections", "door", "gateway", "server")

    def __init__(self, gateway: Gateway, door: Door) -> None:
        self.gateway = gateway
        self.door = door
        self.connections: set[DoorConnection] = set()
        self.budget = BodyBudget(gateway.works.limits.bodies_bytes)
        self.server: asyncio.Server | None = None

    def connect(self) -> DoorConnection:
        gateway = self.gateway
        self.budget.limit = gateway.works.limits.bodies_bytes
        connection = DoorConnection(
            self, gateway.works.limits, gateway.clock.monotonic, self.connections.discard, self.budget
        )
        self.connections.add(connection)
        if len(self.connections) > gateway.works.limits.connections:
            # The oldest idle one makes room; a door whose connections are all busy refuses the new one.
            idle = next((each for each in self.connections if not each.busy and each is not connection), connection)
            asyncio.get_running_loop().call_soon(idle.abort)
        return connection

    def glance(self, head: Head) -> Fault | None:
        return self.gateway.glance(self.door, head)

    def begin(self, head: Head, body: bytes, connection: DoorConnection) -> Callable[[], None]:
        return self.gateway.begin(self.door, head, body, connection)

    def refuse(self, head: Head | None, fault: Fault, connection: DoorConnection) -> None:
        self.gateway.refuse(self.door, head, fault, connection)


class Doors:
    def __init__(self, gateway: Gateway, pool: Pool, clock: Clock) -> None:
        self._gateway = gateway
        self._pool = pool
        self._clock = clock
        self._open: dict[str, list[_Standing]] = {}
        self._sweeper: asyncio.Task[None] | None = None

    async def open(self, door: Door, listener: socket.socket) -> None:
        """Accept on a listener that stands in the namespace of the door's container."""
        standing = _Standing(self._gateway, door)
        listener.setblocking(False)
        standing.server = await asyncio.get_running_loop().create_server(standing.connect, sock=listener, backlog=512)
        self._open.setdefault(door.container_uuid, []).append(standing)
        if self._sweeper is None:
            self._sweeper = asyncio.create_task(self._sweep(), name="sweep of the doors")

    def close(self, uuid: str) -> None:
        """Close the doors of a container and cut whatever comes through them."""
        for standing in self._open.pop(uuid, ()):
            if standing.server is not None:
                standing.server.close()
            for connection in tuple(standing.connections):
                connection.abort()

    def standing(self) -> list[Door]:
        return [standing.door for doors in self._open.values() for standing in doors]

    async def shut(self) -> None:
        for uuid in tuple(self._open):
            self.close(uuid)
        if self._sweeper is not None:
            self._sweeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._sweeper
        await self._gateway.drain()
        self._pool.close()

    async def _sweep(self) -> None:
        tick = 0
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            tick += 1
            self._gateway.works.upstream.sweep()
            if tick % _TICKS_PER_CONNECTION_SWEEP == 0:
                now = self._clock.monotonic()
                for doors in tuple(self._open.values()):
                    for standing in doors:
                        for connection in [each for each in standing.connections if each.deadline <= now]:
                            connection.overdue()
            if tick % _TICKS_PER_POOL_SWEEP == 0:
                self._pool.sweep()
