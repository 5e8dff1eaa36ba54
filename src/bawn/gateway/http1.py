"""HTTP/1.1 on a door: bytes in, one whole request out, at most one at a time.

This file knows framing and limits and nothing of models. It refuses whatever two parsers could read
differently (RFC 9112 §6.1, §11.2): a body framed in two ways, a second Host, a trailer, an upgrade. After
any refusal the connection is closed, so that its state is never in doubt. Slow senders are cut by the
sweep of the listener that owns the connection, which reads `deadline`.

A client says the same head again and again, but for the length of the body. Where a whole request begins and
ends its head with the bytes of the one before, around another length, it means the same: it is not parsed a
second time. Whether its caller may call is asked anew each time.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Callable
from typing import Protocol, cast

import httptools

from bawn.errors import Fault
from bawn.gateway.settings import Limits
from bawn.gateway.upload import Upload
from bawn.terms.door import Door
from bawn.terms.way import Way
from bawn.wire import Route

Headers = list[tuple[bytes, bytes]]

_PIPELINED_BYTES = 64 * 1024
_WRITE_HIGH_WATER = 256 * 1024
_REASONS = {
    200: b"OK", 400: b"Bad Request", 401: b"Unauthorized", 403: b"Forbidden", 404: b"Not Found",
    405: b"Method Not Allowed", 408: b"Request Timeout", 409: b"Conflict", 413: b"Content Too Large",
    415: b"Unsupported Media Type", 421: b"Misdirected Request", 422: b"Unprocessable Content",
    425: b"Too Early", 429: b"Too Many Requests", 431: b"Request Header Fields Too Large", 500: b"Internal Server Error",
    502: b"Bad Gateway", 503: b"Service Unavailable", 504: b"Gateway Timeout", 529: b"Overloaded",
}  # fmt: skip
_LINGER_SECONDS = 2.0
_LAST_CHUNK = b"0\r\n\r\n"


class Head:
    """The head of a request, while its body is still coming."""

    __slots__ = ("call", "claim", "door", "headers", "keep_alive", "method", "path", "route", "upload_bytes", "way")

    def __init__(self, method: str, path: bytes, headers: Headers, *, keep_alive: bool) -> None:
        self.method = method
        self.path = path
        self.headers = headers
        self.keep_alive = keep_alive
        self.claim = ""
        """The token that was sent, as the service read it when it glanced at the head."""
        self.route: Route | None = None
        """What is asked for, likewise."""
        self.upload_bytes = 0
        """How long the body may be when it is to be read while it comes; 0 has it read whole first."""
        self.door: Door | None = None
        """Whose door it counts as, where a ticket tells that and not the listener."""
        self.way: Way | None = None
        """The scripts before it, where a ticket tells that."""
        self.call = ""
        """The call that it is made for, likewise."""


class BodyBudget:
    """How many bytes of bodies the connections of one door hold together; a thousand of them could else fill the
    machine's memory, each within its own limit."""

    __slots__ = ("held", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.held = 0

    def take(self, size: int) -> None:
        if self.held + size > self.limit:
            raise Fault("limit.bodies", f"The requests of this container hold over {self.limit} bytes already.")
        self.held += size


class Service(Protocol):
    """Who answers the requests of a connection."""

    def glance(self, head: Head) -> Fault | None:
        """A reason to refuse on the head alone, before a body is taken in."""

    def begin(self, head: Head, body: bytes, connection: DoorConnection) -> Callable[[], None]:
        """Start answering. The returned function is called when the client leaves before the end."""

    def refuse(self, head: Head | None, fault: Fault, connection: DoorConnection) -> None:
        """Answer a request that could not be read."""


class DoorConnection(asyncio.Protocol):
    """One client connection of one door."""

    __slots__ = (
        "_answered",
        "_begun",
        "_body",
        "_body_size",
        "_budget",
        "_clock",
        "_closing",
        "_head",
        "_head_bytes",
        "_header_bytes",
        "_headers",
        "_held",
        "_known",
        "_left",
        "_limits",
        "_lingering",
        "_lost",
        "_new_heads",
        "_on_drain",
        "_on_full",
        "_on_lost",
        "_parser",
        "_pipelined_bytes",
        "_service",
        "_streaming",
        "_transport",
        "_upload",
        "_url",
        "_waiting",
        "_whole",
        "busy",
        "deadline",
    )  # fmt: skip

    def __init__(
        self,
        service: Service,
        limits: Limits,
        clock: Callable[[], float],
        on_lost: Callable[[DoorConnection], None],
        budget: BodyBudget | None = None,
    ) -> None:
        self._budget = budget or BodyBudget(limits.bodies_bytes)
        self._held = 0
        self._service = service
        self._limits = limits
        self._clock = clock
        self._on_lost = on_lost
        self._transport: asyncio.Transport | None = None
        self._waiting: deque[tuple[Head, bytes]] = deque()
        self._known: tuple[bytes, bytes, Head] | None = None
        """The head of the last request as it was sent, before and behind the digits of its length, and what it means."""
        self._new_heads = 0
        self._whole: Head | None = None
        self._pipelined_bytes = 0
        self._answered: Head | None = None
        self._begun = False
        self._head_bytes = 0
        self._left: Callable[[], None] | None = None
        self._on_full: Callable[[], None] | None = None
        self._on_drain: Callable[[], None] | None = None
        self._closing = False
        self._lost = self._lingering = False
        self._streaming = False
        self._upload: Upload | None = None
        self.busy = False
        """Whether a request is being answered."""
        self.deadline = clock() + limits.idle_seconds
        """When the sweep may cut the connection, in monotonic seconds."""
        self._parser = httptools.HttpRequestParser(self)
        self._url = b""
        self._headers: Headers = []
        self._header_bytes = 0
        self._head: Head | None = None
        self._body: list[bytes] = []
        self._body_size = 0

    # what asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A cast: uvloop's transports are none of asyncio's classes, though they do the same.
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=_WRITE_HIGH_WATER)

    def data_received(self, data: bytes) -> None:
        if self._closing:
            return
        between = not (self.busy or self._begun or self._waiting)
        if between and self._known is not None and self._repeated(data, *self._known):
            return
        if not self._timed(len(data)):
            return
        if self._head is None:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
            if self._head is None and self._head_bytes > self._limits.header_bytes:
                raise self._too_large()
        except httptools.HttpParserCallbackError as error:
            self._refuse(error.__context__)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade, Fault) as error:
            self._refuse(error)
        else:
            whole = self._taken()
            if between and whole is not None and self._new_heads < _NEW_HEADS:
                self._new_heads += 1
                self._known = _known(data, whole)

    def eof_received(self) -> bool:
        # Clients of model APIs do not half-close; one that stops sending has left.
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = self._closing = True
        if self._upload is not None:
            self._upload.fail(Fault("http.malformed", "The upload was broken off."))
        self._release()
        left, self._left = self._left, None
        if left is not None:
            left()
        self._on_lost(self)

    def pause_writing(self) -> None:
        if self._on_full is not None:
            self._on_full()

    def resume_writing(self) -> None:
        if self._on_drain is not None:
            self._on_drain()

    # what httptools calls

    def on_message_begin(self) -> None:
        self._url = b""
        self._headers = []
        self._header_bytes = 0
        self._head = None
        self._body = []
        self._body_size = 0

    def on_url(self, url: bytes) -> None:
        self._url += url
        if len(self._url) > 4096:
            raise Fault("http.malformed", "The path is over 4096 bytes.")

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._head is not None:
            raise Fault("http.malformed", "Trailers are not taken.")
        self._headers.append((name.lower(), value))
        self._header_bytes += len(name) + len(value)
        if self._header_bytes > self._limits.header_bytes:
            raise self._too_large()
        if len(self._headers) > self._limits.header_count:
            raise Fault("http.headers_too_large", f"There are over {self._limits.header_count} headers.")

    def on_headers_complete(self) -> None:
        if self._parser.should_upgrade():
            raise Fault("http.malformed", "No tunnel and no other protocol is opened here.")
        self._head_bytes = 0
        head = Head(
            self._parser.get_method().decode("latin-1"),
            self._url,
            self._headers,
            keep_alive=self._parser.should_keep_alive(),
        )
        self._head = head
        expects = _checked(head, self._parser.get_http_version())
        fault = self._service.glance(head)
        if fault is not None:
            raise fault
        _not_too_long(head, head.upload_bytes or self._limits.body_bytes)
        self.deadline = self._clock() + self._limits.body_seconds
        if expects and self._transport is not None:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if head.upload_bytes:
            self._begin_upload(head)

    def on_body(self, body: bytes) -> None:
        if self._upload is not None and not self._upload.whole:
            self._upload.put(body)
            return
        self._body_size += len(body)
        if self._body_size > self._limits.body_bytes:
            raise Fault("http.body_too_large", f"The body is over {self._limits.body_bytes} bytes.")
        self._budget.take(len(body))
        self._held += len(body)
        self._body.append(body)

    def on_message_complete(self) -> None:
        assert self._head is not None
        if self._upload is not None and not self._upload.whole:
            self._upload.finish()
            self._head = None
            return
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        head, self._head, self._body = self._head, None, []
        self._whole = head
        if self.busy or self._waiting:
            self._waiting.append((head, body))
        else:
            self._begin(head, body)

    # what the answering side calls

    @property
    def lost(self) -> bool:
        return self._lost

    @property
    def upload(self) -> Upload | None:
        """The body of the request that is being answered, when it is read while it comes."""
        return self._upload

    def watch_writing(self, full: Callable[[], None], drained: Callable[[], None]) -> None:
        """Be told when the client reads too slowly, and when it has caught up."""
        self._on_full, self._on_drain = full, drained

    def write_whole(self, status: int, headers: Headers, body: bytes) -> None:
        """A whole answer, and the end of this request."""
        if self._lost or self._transport is None:
            return
        bodiless = self._answered is not None and self._answered.method == "HEAD"
        head = _head_bytes(status, headers, b"content-length: %d" % len(body), keep_alive=self._keeps)
        self._transport.write(head if bodiless else head + body)
        self._finished()

    def write_head(self, status: int, headers: Headers) -> None:
        """Open a streamed answer."""
        self._streaming = True
        if self._transport is not None and not self._lost:
            self._transport.write(_head_bytes(status, headers, b"transfer-encoding: chunked", keep_alive=self._keeps))

    def write_chunk(self, data: bytes) -> None:
        if self._transport is not None and not self._lost and data:
            self._transport.write(b"%x\r\n%b\r\n" % (len(data), data))

    def write_end(self) -> None:
        """Close a streamed answer as complete."""
        if self._transport is not None and not self._lost:
            self._transport.write(_LAST_CHUNK)
        self._finished()

    @property
    def streaming(self) -> bool:
        """Whether the head of a streamed answer has gone out."""
        return self._streaming

    def abort(self) -> None:
        """Cut the connection without another word."""
        self._closing = True
        if self._transport is not None:
            self._transport.abort()

    def close(self) -> None:
        """Let what is written go out, then close."""
        self._closing = True
        if self._transport is not None:
            self._transport.close()

    def overdue(self) -> None:
        """Called by the sweep after the deadline: refuse what is half sent, close what is idle."""
        if self._lingering:
            self.abort()
            return
        if self._upload is not None and not self._upload.whole:
            self._upload.fail(Fault("http.too_slow", "The upload stood still for too long."))
            return
        if self.busy or self._closing:
            return
        if self._begun:
            self._refuse(Fault("http.too_slow", "The request took too long to arrive."))
        else:
            self.close()

    # inside

    def _repeated(self, data: bytes, before: bytes, behind: bytes, head: Head) -> bool:
        """Begin `data`, if it is one whole request with this head around a length of its own."""
        if not data.startswith(before):
            return False
        begin = len(before)
        end = data.find(b"\r", begin, begin + _LENGTH_DIGITS + 1)
        if end == -1 or not data.startswith(behind, end):
            return False
        digits = data[begin:end]
        if not digits.isdigit():
            return False
        body = data[end + len(behind) :]
        if len(body) != int(digits) or len(body) > self._limits.body_bytes:
            return False
        fault = self._service.glance(head)
        try:
            if fault is None:
                self._budget.take(len(body))
        except Fault as full:
            fault = full
        if fault is not None:
            self._head = head
            self._refuse(fault)
            return True
        self._held += len(body)
        self._begin(head, body)
        return True

    def _timed(self, size: int) -> bool:
        """Whether so many bytes more may come now, and until when the rest has to."""
        if self._uploading:
            self.deadline = self._clock() + self._limits.body_seconds
        elif self.busy:
            # Pipelined requests wait; whoever sends without end is not speaking HTTP.
            self._pipelined_bytes += size
            if self._pipelined_bytes > _PIPELINED_BYTES:
                self.abort()
                return False
        elif not self._begun:
            self._begun = True
            self.deadline = self._clock() + self._limits.header_seconds
        return True

    def _taken(self) -> Head | None:
        """The head of the request that the parser has ended, once."""
        whole, self._whole = self._whole, None
        return whole

    def _begin(self, head: Head, body: bytes) -> None:
        self.busy = True
        self._answered = head
        self._left = self._service.begin(head, body, self)

    def _begin_upload(self, head: Head) -> None:
        if self.busy or self._waiting:
            # It would have to be held while the requests before it are answered, which is what it must not be.
            raise Fault("http.malformed", "An upload was sent before the answer to the request before it.")
        self._upload = Upload(head.upload_bytes, self._pause_reading, self._resume_reading)
        self._begin(head, b"")

    @property
    def _uploading(self) -> bool:
        return self._upload is not None and not self._upload.whole

    def _pause_reading(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def _resume_reading(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    @property
    def _keeps(self) -> bool:
        if self._uploading:
            # Answered before the end of its body: what still comes is no request.
            return False
        return not self._closing and self._answered is not None and self._answered.keep_alive

    def _too_large(self) -> Fault:
        return Fault("http.headers_too_large", f"The head is over {self._limits.header_bytes} bytes.")

    def _finished(self) -> None:
        keeps = self._keeps
        early = self._uploading
        if self._upload is not None:
            self._upload = None
            self._resume_reading()
        self._left = self._on_full = self._on_drain = None
        self.busy = self._streaming = False
        if self._lost:
            return
        if not keeps:
            self._linger() if early else self.close()
            return
        self._answered = None
        if not self._waiting and self._head is None:
            self._release()
        self._pipelined_bytes = 0
        self._begun = self._head is not None or self._head_bytes > 0
        self.deadline = self._clock() + (self._limits.body_seconds if self._begun else self._limits.idle_seconds)
        if self._waiting:
            # In the next turn, so that a long row of small requests does not grow the stack.
            asyncio.get_running_loop().call_soon(self._next)

    def _linger(self) -> None:
        """Close for writing only: a client that is still sending would lose the answer to a reset (RFC 9112 §9.6)."""
        self._closing = self._lingering = True
        self.deadline = self._clock() + _LINGER_SECONDS
        if self._transport is not None and self._transport.can_write_eof():
            self._transport.write_eof()

    def _release(self) -> None:
        self._budget.held -= self._held
        self._held = 0

    def _next(self) -> None:
        if self._waiting and not self.busy and not self._closing:
            self._begin(*self._waiting.popleft())

    def _refuse(self, error: BaseException | None) -> None:
        if self._upload is not None and not self._upload.whole:
            # The call is being answered already, and says so itself.
            self._closing = True
            self._upload.fail(_as_fault(error))
            return
        if self.busy or self._waiting:
            # The requests before were whole; garbage behind them ends the connection after the answer.
            self._waiting.clear()
            self._closing = True
            return
        fault = _as_fault(error)
        self._closing = True
        self._answered = self._head
        self._service.refuse(self._head, fault, self)


def _checked(head: Head, version: str) -> bool:
    """Refuse ambiguous framing; answers whether the client waits for `100 Continue`."""
    seen: dict[bytes, bytes] = {}
    for name, value in head.headers:
        if name in _ONCE and name in seen:
            raise Fault("http.malformed", f"The header {name.decode('latin-1')!r} was sent twice.")
        seen[name] = value
        if _ODD_BYTES.search(value):
            raise Fault("http.malformed", "A header holds control or non-ASCII bytes.")
    if version != "1.1":
        raise Fault("http.malformed", "Only HTTP/1.1 is spoken here.")
    if not _HOST.fullmatch(seen.get(b"host", b"")):
        raise Fault("http.malformed", "The request has no valid Host header.")
    if b"transfer-encoding" in seen:
        if b"content-length" in seen:
            raise Fault("http.malformed", "The body is framed in two ways.")
        if seen[b"transfer-encoding"].strip().lower() != b"chunked":
            raise Fault("http.malformed", "The only transfer coding taken is chunked.")
    length = seen.get(b"content-length", b"0")
    if not length.isdigit() or len(length) > 18:
        raise Fault("http.malformed", "The Content-Length is not a number.")
    if seen.get(b"content-encoding", b"identity").strip().lower() not in (b"identity", b""):
        raise Fault("http.unsupported_encoding", "The body is compressed.")
    return seen.get(b"expect", b"").lower() == b"100-continue"


def _not_too_long(head: Head, limit: int) -> None:
    """Refuse on the announced length, before a byte of the body is taken."""
    for name, value in head.headers:
        if name == b"content-length" and int(value) > limit:
            raise Fault("http.body_too_large", f"The body is over {limit} bytes.")


def _as_fault(error: BaseException | None) -> Fault:
    return error if isinstance(error, Fault) else Fault("http.malformed", "This is not one HTTP/1.1 request.")


def _known(data: bytes, head: Head) -> tuple[bytes, bytes, Head] | None:
    """The head at the beginning of `data`, which was parsed as `head`, if a later one can be compared with it."""
    end = data.find(b"\r\n\r\n") + 4
    length = _LENGTH.search(data, 0, end)
    if length is None or len(data) != end + int(length[1]) or any(name == b"expect" for name, _ in head.headers):
        return None
    return data[: length.start(1)], data[length.end(1) : end], head


_NEW_HEADS = 8
"""A client whose head is another one each time is not worth remembering for longer."""
_LENGTH_DIGITS = 9
_LENGTH = re.compile(rb"\r\n[Cc]ontent-[Ll]ength:[ \t]*([0-9]{1,9})(?=\r\n)")
_ONCE = frozenset(
    (b"host", b"content-length", b"transfer-encoding", b"content-type", b"content-encoding", b"expect", b"connection")
)
_HOST = re.compile(rb"[A-Za-z0-9._:\[\]-]+")
_ODD_BYTES = re.compile(rb"[^\t\x20-\x7e]")


def _head_bytes(status: int, headers: Headers, framing: bytes, *, keep_alive: bool) -> bytes:
    lines = [b"HTTP/1.1 %d %b" % (status, _REASONS.get(status, b"Status"))]
    lines += [b"%b: %b" % pair for pair in headers]
    lines.append(framing)
    if not keep_alive:
        lines.append(b"connection: close")
    return b"\r\n".join(lines) + b"\r\n\r\n"
