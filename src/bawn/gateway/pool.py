"""Connections to providers, kept open between calls.

A connection serves one call at a time and comes back only when its answer was whole. TLS is always
verified; there is no switch to turn that off. Idle connections are dropped before a provider would.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import deque
from collections.abc import Callable

from bawn.errors import Fault
from bawn.gateway.connection import ProviderConnection
from bawn.gateway.providers import Origin

_IDLE_SECONDS = 50.0
_IDLE_PER_ORIGIN = 1024


class Pool:
    def __init__(self, clock: Callable[[], float], connect_seconds: float, tls: ssl.SSLContext | None = None) -> None:
        self._clock = clock
        self._connect_seconds = connect_seconds
        self._tls = tls or ssl.create_default_context()
        self._idle: dict[Origin, deque[ProviderConnection]] = {}

    async def take(self, origin: Origin, *, fresh: bool = False) -> ProviderConnection:
        """An open connection, the one used last first. Fault `upstream.unreachable` or `upstream.timeout`."""
        idle = self._idle.get(origin)
        while idle and not fresh:
            connection = idle.pop()
            if connection.open and self._clock() - connection.idle_since < _IDLE_SECONDS:
                return connection
            connection.abort()
        return await self._connect(origin)

    def give(self, origin: Origin, connection: ProviderConnection) -> None:
        """Take a connection back after a whole answer."""
        if not (connection.reusable and connection.open):
            connection.abort()
            return
        idle = self._idle.setdefault(origin, deque())
        connection.idle_since = self._clock()
        idle.append(connection)
        if len(idle) > _IDLE_PER_ORIGIN:
            idle.popleft().abort()

    def sweep(self) -> None:
        """Drop what has been idle too long; called now and then by the owner."""
        now = self._clock()
        for idle in self._idle.values():
            while idle and (not idle[0].open or now - idle[0].idle_since > _IDLE_SECONDS):
                idle.popleft().abort()

    def close(self) -> None:
        for idle in self._idle.values():
            for connection in idle:
                connection.abort()
        self._idle.clear()

    async def _connect(self, origin: Origin) -> ProviderConnection:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._connect_seconds):
                if origin.unix:
                    _, connection = await loop.create_unix_connection(ProviderConnection, origin.unix)
                else:
                    transport, connection = await loop.create_connection(
                        ProviderConnection,
                        origin.at or origin.host,
                        origin.port,
                        ssl=self._tls if origin.tls else None,
                        server_hostname=origin.host if origin.tls else None,
                    )
                    raw = transport.get_extra_info("socket")
                    if raw is not None:
                        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except TimeoutError as error:
            raise Fault("upstream.timeout", "The provider did not accept a connection in time.") from error
        except ssl.SSLError as error:
            raise Fault(
                "upstream.unreachable", "The provider's TLS certificate could not be verified.", cause=str(error)
            ) from error
        except OSError as error:
            raise Fault("upstream.unreachable", "The provider could not be reached.", cause=str(error)) from error
        return connection
