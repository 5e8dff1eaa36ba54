"""One connection to a provider: a request out, an answer in, again while both sides agree.

The connection pushes what it reads into a `Sink` from the event loop's read callback, without a task
switch per chunk; a sink that cannot keep up pauses it. Whatever goes wrong reaches the sink once, as a
Fault, and the connection is then never used again.
"""

from __future__ import annotations

import asyncio
import re
from typing import Protocol, cast

import httptools

from bawn.errors import Fault

_HEAD_LIMIT = 64 * 1024
PIECE = 128 * 1024
"""Bytes of a long body that are handed to the kernel at once."""


class Sink(Protocol):
    """Who takes an answer in, in this order: head, data any number of times, then end or broken."""

    def on_head(self, status: int, headers: list[tuple[bytes, bytes]]) -> None: ...

    def on_data(self, data: bytes) -> None: ...

    def on_end(self) -> None: ...

    def on_broken(self, fault: Fault) -> None: ...


class ProviderConnection(asyncio.Protocol):
    __slots__ = (
        "_closed", "_head_bytes", "_head_seen", "_headers", "_informational", "_parser", "_sink", "_status_line",
        "_transport", "_writable", "answered", "idle_since", "reusable", "used",
    )  # fmt: skip

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._sink: Sink | None = None
        self._closed = False
        self.reusable = True
        self.used = 0
        """How many requests went out on it."""
        self.answered = False
        """Whether a byte of the current answer has come."""
        self.idle_since = 0.0
        self._writable: asyncio.Event | None = None
        """Cleared while the provider takes less than is sent; there only for a request that is sent in parts."""
        self._reset()

    def _reset(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._headers: list[tuple[bytes, bytes]] = []
        self._head_bytes = 0
        self._head_seen = False
        self._informational = False
        self._status_line = b""

    @property
    def open(self) -> bool:
        return not self._closed and self._transport is not None and not self._transport.is_closing()

    def send(self, head: bytes, body: bytes, sink: Sink) -> None:
        """Send a request; the answer goes to `sink`."""
        if self._transport is None or self._sink is not None:
            # Never reached; but two calls on one connection would get each other's answers, so no assert, which -O drops.
            self.abort()
            raise Fault("internal", "A connection to the provider was given to two calls.")
        self._reset()
        self._sink = sink
        self.answered = False
        self.used += 1
        # One write for small bodies: two would cost a second system call and packet.
        if len(body) <= 65536:
            self._transport.write(head + body)
        else:
            self._transport.write(head)
            self._transport.write(body)

    async def send_long(self, body: bytes) -> None:
        """A long body, after `send` without one: piece by piece, since the kernel takes its time to carry a megabyte, in
        which no stream would move."""
        for start in range(0, len(body), PIECE):
            if self._transport is None or not self.open:
                return
            self._transport.write(body[start : start + PIECE])
            await asyncio.sleep(0)

    async def send_part(self, data: bytes) -> None:
        """One part of a body, after `send` without one, once the provider has taken most of those before it."""
        if self._writable is None:
            self._writable = asyncio.Event()
            self._writable.set()
        if self._transport is not None and self.open and data:
            self._transport.write(b"%x\r\n%b\r\n" % (len(data), data))
        await self._writable.wait()

    def send_end(self) -> None:
        """The body that was sent in parts is whole."""
        self._writable = None
        if self._transport is not None and self.open:
            self._transport.write(b"0\r\n\r\n")

    def pause(self) -> None:
        if self._transport is not None and self.open:
            self._transport.pause_reading()

    def resume(self) -> None:
        if self._transport is not None and self.open:
            self._transport.resume_reading()

    def abort(self) -> None:
        """Leave at once; the provider sees a closed connection and can stop working."""
        self.reusable = False
        self._sink = None
        self._closed = True
        self.resume_writing()
        if self._transport is not None:
            self._transport.abort()

    # what asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A cast: uvloop's transports are none of asyncio's classes, though they do the same.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self._sink is None:
            # Bytes that nobody asked for: whatever they are, they must not become the next answer.
            self.abort()
            return
        self.answered = True
        if not self._head_seen:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
            if not self._head_seen and self._head_bytes > _HEAD_LIMIT:
                raise Fault("upstream.broken", "The head of the provider's answer is too large.")
        except httptools.HttpParserCallbackError as error:
            self._broken(error.__context__)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade, Fault) as error:
            self._broken(error)

    def pause_writing(self) -> None:
        if self._writable is not None:
            self._writable.clear()

    def resume_writing(self) -> None:
        if self._writable is not None:
            self._writable.set()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._closed = True
        self.reusable = False
        self.resume_writing()
        sink, self._sink = self._sink, None
        if sink is None:
            return
        if self._head_seen and self._ends_with_connection:
            sink.on_end()
        else:
            sink.on_broken(Fault("upstream.broken", "The provider closed the connection before its answer was whole."))

    # what httptools calls

    def on_status(self, status: bytes) -> None:
        self._status_line += status

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._head_seen:
            self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if 100 <= status < 200:
            self._informational = True
            return
        self._head_seen = True
        _unambiguous(self._headers)
        if self._sink is not None:
            self._sink.on_head(status, self._headers)

    def on_body(self, body: bytes) -> None:
        if self._sink is not None:
            self._sink.on_data(body)

    def on_message_complete(self) -> None:
        if self._informational:
            # 1xx (RFC 9110 §15.2): the real head follows on the same parser.
            self._informational = False
            self._headers = []
            return
        sink, self._sink = self._sink, None
        if not self._parser.should_keep_alive():
            self.reusable = False
        if sink is not None:
            sink.on_end()

    # inside

    @property
    def _ends_with_connection(self) -> bool:
        names = {name for name, _ in self._headers}
        return b"content-length" not in names and b"transfer-encoding" not in names

    def _broken(self, error: BaseException | None) -> None:
        sink = self._sink
        self.abort()
        if sink is not None:
            sentence = "The provider's answer is not HTTP/1.1 as it must be."
            sink.on_broken(error if isinstance(error, Fault) else Fault("upstream.broken", sentence))


_LENGTH = re.compile(rb"[0-9]{1,18}")


def _unambiguous(headers: list[tuple[bytes, bytes]]) -> None:
    """Refuse an answer whose length two readers could see differently."""
    lengths = [value for name, value in headers if name == b"content-length"]
    codings = [value for name, value in headers if name == b"transfer-encoding"]
    if len(lengths) > 1 or len(codings) > 1 or (lengths and codings):
        raise Fault("upstream.broken", "The provider framed its answer in two ways.")
    if lengths and not _LENGTH.fullmatch(lengths[0]):
        raise Fault("upstream.broken", "The provider's answer has no valid length.")
    for name, value in headers:
        if name == b"content-encoding" and value.strip().lower() not in (b"identity", b""):
            raise Fault("upstream.broken", "The provider compressed its answer although it was asked not to.")
