"""The sockets of the scripted provider: reads requests, performs acts.

Performing is driven by callbacks, not by a task for each answer: one timer and one write a frame, so that
hundreds of streams at fifty frames a second leave the processor to whoever is being measured. A pause is
counted from when the last one was due, so streams do not drift. When the peer reads slowly the acts wait.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections import deque
from collections.abc import Iterator
from typing import cast

import httptools

from bawn.inference.answer import Act, Gesture
from bawn.inference.kept import Kept
from bawn.inference.provider import Request, answered
from bawn.inference.record import Record
from bawn.inference.script import Script

_ACTS_AT_ONCE = 64
"""After so many acts without a pause the loop gets a turn, lest an endless stream starve the others."""


class Connection(asyncio.Protocol):
    def __init__(self, script: Script, record: Record | None, kept: Kept) -> None:
        self._script = script
        self._kept = kept
        self._record = record
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._waiting: deque[tuple[Request, bool]] = deque()
        """Requests not yet begun, each with whether the connection stays open after its answer."""
        self._stays = True
        self._acts: Iterator[Act] | None = None
        self._number = 0
        self._due = 0.0
        self._timer: asyncio.TimerHandle | asyncio.Handle | None = None
        self._full = False
        self._url = b""
        self._headers: list[tuple[str, str]] = []
        self._body: list[bytes] = []

    # asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.family == socket.AF_INET:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            if self._transport is not None:
                self._transport.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
                self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._timer is not None:
            self._timer.cancel()
        if self._acts is not None:
            self._finish("client gone")

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False
        if self._acts is not None and self._timer is None:
            self._advance()

    # httptools

    def on_message_begin(self) -> None:
        self._url, self._headers, self._body = b"", [], []

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.decode("latin-1").lower(), value.decode("latin-1")))
        if name.lower() == b"expect" and self._transport is not None:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        request = Request(
            method=self._parser.get_method().decode("latin-1"),
            path=self._url.decode("latin-1"),
            headers=tuple(self._headers),
            body=b"".join(self._body),
        )
        self._waiting.append((request, self._parser.should_keep_alive()))
        if self._acts is None and self._timer is None:
            self._begin()

    # performing

    def _begin(self) -> None:
        request, self._stays = self._waiting.popleft()
        if self._record is not None:
            self._number = self._record.request(request)
        self._acts = answered(self._script, request, int(time.time()), self._kept)
        self._due = self._loop.time()
        self._advance()

    def _advance(self) -> None:
        self._timer = None
        transport, acts = self._transport, self._acts
        if transport is None or acts is None:
            return
        for _ in range(_ACTS_AT_ONCE):
            if self._full:
                return
            act = next(acts, None)
            if act is None:
                self._finish("whole")
                if not self._stays:
                    transport.close()
                elif self._waiting:
                    self._timer = self._loop.call_soon(self._begin)
                return
            if isinstance(act, bytes):
                transport.write(act)
            elif isinstance(act, Gesture):
                self._gesture(transport, act)
                return
            else:
                self._due += act
                self._timer = self._loop.call_at(self._due, self._advance)
                return
        self._timer = self._loop.call_soon(self._advance)

    def _gesture(self, transport: asyncio.Transport, gesture: Gesture) -> None:
        if gesture is Gesture.STALL:
            return
        self._finish("cut as scripted")
        if gesture is Gesture.CLOSE:
            transport.close()
            return
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.family == socket.AF_INET:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()

    def _finish(self, how: str) -> None:
        self._acts = None
        if self._record is not None:
            self._record.ended(self._number, how)


async def serve(listener: socket.socket, script: Script, record: Record | None) -> asyncio.Server:
    """Answers on a listening socket of either family until the server is closed."""
    loop = asyncio.get_running_loop()
    listener.setblocking(False)
    kept = Kept()

    def connection() -> Connection:
        return Connection(script, record, kept)

    if listener.family == socket.AF_UNIX:
        return await loop.create_unix_server(connection, sock=listener, backlog=1024)
    return await loop.create_server(connection, sock=listener, backlog=1024)
