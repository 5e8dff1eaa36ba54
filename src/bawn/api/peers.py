"""uvicorn's protocols, with what they lack for us: who the peer is, and an end of patience.

On a unix socket the kernel says which user connected (SO_PEERCRED, fixed when the connection was made).
It stands in `scope["client"]` as `("uid:<n>", pid)`, where only the guard of the unix socket reads it.
uvicorn itself bounds neither the size of headers nor the time they take.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

MAX_HEADER_BYTES = 32 * 1024
HEADER_TIMEOUT_S = 20.0

_CREDENTIALS = struct.Struct("3i")


def peer(transport: asyncio.BaseTransport) -> tuple[str, int] | None:
    """`("uid:<n>", pid)` of whoever connected; None when this is no unix socket."""
    connection = transport.get_extra_info("socket")
    if connection is None or connection.family != socket.AF_UNIX:
        return None
    pid, uid, _ = _CREDENTIALS.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    return f"uid:{uid}", pid


class PatienceEnded(Exception):
    """The headers became too large."""


class Http(HttpToolsProtocol):
    _seen = 0
    _patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(cast("asyncio.Transport", transport))
        self.client = peer(transport) or self.client
        self._patience = self.loop.call_later(HEADER_TIMEOUT_S, transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        self._lose_patience()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        self._seen = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value) + 4)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._lose_patience()
        super().on_headers_complete()

    def _count(self, size: int) -> None:
        self._seen += size
        if self._seen > MAX_HEADER_BYTES:
            raise PatienceEnded

    def _lose_patience(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None


class WebSocket(WebSocketsSansIOProtocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.client = peer(transport) or self.client
