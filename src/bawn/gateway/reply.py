"""What goes out to the client, in the format of the wire it speaks.

The bytes of an answer are written by `Reply.write` alone, and it takes only what may go out: text, the end,
and tool calls that the gate let pass. Everything else is a refusal with a code.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from bawn.errors import Fault
from bawn.gateway.http1 import DoorConnection, Headers
from bawn.gateway.toolgate import Cleared, Rewritten
from bawn.terms.exchange import WireName
from bawn.terms.frames import End, TextFrame
from bawn.wire import wire

_PASSED_BACK = frozenset(
    (b"content-type", b"request-id", b"x-request-id", b"retry-after", b"openai-processing-ms", b"x-should-retry")
)
_KEEP_ALIVE = {
    # Its package reads comments as parts of what follows.
    WireName.GEMINI: b"\n",
    WireName.ANTHROPIC: b'event: ping\ndata: {"type":"ping"}\n\n',
}
_PASSED_BACK_PREFIXES = (b"anthropic-ratelimit-", b"x-ratelimit-", b"x-bawn-")


class Reply:
    """The one answer to one request."""

    __slots__ = ("_call_id", "_connection", "first_byte", "wire")

    def __init__(self, connection: DoorConnection, call_id: str, speaks: WireName) -> None:
        self._connection = connection
        self._call_id = call_id
        self.wire = speaks

    @property
    def started(self) -> bool:
        """Whether the head of a stream has gone out, so that a refusal has to be an event in it."""
        return self._connection.streaming

    def whole(self, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> None:
        self._connection.write_whole(status, self._headers(headers), body)

    def json(self, body: bytes) -> None:
        self.whole(200, ((b"content-type", b"application/json"),), body)

    def open_stream(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        self._connection.write_head(status, [*self._headers(headers), (b"cache-control", b"no-store")])

    def write(self, item: TextFrame | Cleared | Rewritten | End) -> None:
        """One part of a stream. Nothing else can be written into one, but for its end in an error."""
        self._connection.write_chunk(item.data)

    def end(self) -> None:
        self._connection.write_end()

    def keep_alive(self) -> None:
        """Between two frames of a stream: something that says nothing, so that nobody in between gives up."""
        self._connection.write_chunk(_KEEP_ALIVE.get(self.wire, b": waiting\n\n"))

    def passed_on(self, data: bytes) -> None:
        """An error event of the provider itself, before `cut`; it carries no answer."""
        self._connection.write_chunk(data)

    def refuse(self, fault: Fault) -> None:
        """Say no: as an error body, or as the event by which this wire ends a stream in error."""
        speaks = wire(self.wire)
        if self.started:
            self._connection.write_chunk(speaks.stream_error(fault, self._call_id))
            self.cut()
            return
        headers: Headers = [(b"content-type", b"application/json"), (b"x-bawn-code", fault.code.encode("ascii"))]
        if fault.retry_after > 0:
            headers.append((b"retry-after", b"%d" % math.ceil(fault.retry_after)))
        if not fault.kind.retry:
            # Official SDKs retry 408, 409, 429 and 5xx by themselves; this header stops them.
            headers.append((b"x-should-retry", b"false"))
        self.whole(fault.status, headers, speaks.refusal(fault, self._call_id))

    def cut(self) -> None:
        """Close a stream without its last chunk, so that HTTP too says that it is not whole."""
        self._connection.close()

    def _headers(self, headers: Iterable[tuple[bytes, bytes]]) -> Headers:
        kept = [
            (name, value) for name, value in headers if name in _PASSED_BACK or name.startswith(_PASSED_BACK_PREFIXES)
        ]
        kept.append((b"x-bawn-call", self._call_id.encode("ascii")))
        return kept
