"""HTTP/1.1 as a client over a stream that is open already: one request, one answer read on demand.

Reading stands still while the script does not take what has come, so that a slow agent slows its model's stream and nothing
piles up in between.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import httptools
import msgspec

from bawn.scripts.api import Event, ScriptError, TooLarge
from bawn.wire.sse import SseSplitter, TooLong

BODY_LIMIT = 64 << 20
HEAD_LIMIT = 64 << 10
_PIECE = 64 << 10
HOP_BY_HOP = frozenset(
    (
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    )
)
"""RFC 9110, 7.6.1: said between neighbours, not passed on."""


class Broken(ScriptError):
    """The connection ended before the answer did."""


class Stream:
    """A connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @property
    def fresh(self) -> bool:
        return not (self.reader.at_eof() or self.writer.is_closing())

    def abort(self) -> None:
        self.writer.transport.abort()


class Reply:
    """An answer; see `bawn.scripts.api.Answer`."""

    def __init__(
        self, stream: Stream, give_back: Callable[[Stream], None], *, head_only: bool = False, limit: int = BODY_LIMIT
    ) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.location = ""
        self._stream: Stream | None = stream
        self._give_back = give_back
        self._head_only = head_only
        self._limit = limit
        self._parser = httptools.HttpResponseParser(self)
        self._pieces: deque[bytes] = deque()
        self._head_done = False
        self._done = False
        self._framed = False
        self._seen = 0
        self._taken = 0

    # what the parser calls

    def on_header(self, name: bytes, value: bytes) -> None:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        if key in ("content-length", "transfer-encoding"):
            self._framed = True
        if key not in HOP_BY_HOP:
            self.headers[key] = f"{self.headers[key]}, {text}" if key in self.headers else text

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()
        if self.status >= 200:
            self._head_done = True
        else:
            self.headers.clear()  # 100 Continue and the like: the answer comes yet

    def on_body(self, data: bytes) -> None:
        self._pieces.append(data)

    def on_message_complete(self) -> None:
        if self._head_done:
            self._done = True

    # reading

    async def head(self) -> None:
        """Waits for status and headers. Raises Broken; `ConnectionResetError` when not one byte came."""
        while not self._head_done:
            await self._more()
        self._done = self._done or self._head_only
        if self._done:
            self._release()

    async def _more(self) -> None:
        stream = self._stream
        if stream is None:
            raise Broken("the answer was closed")
        try:
            data = await stream.reader.read(_PIECE)
        except OSError as error:
            self._drop()
            if not self._seen:
                raise ConnectionResetError from error
            raise Broken("the connection broke in the middle of the answer") from error
        if not data:
            self._drop()
            if self._head_done and not self._framed:  # a body that ends with its connection
                self._done = True
            elif not self._seen:
                raise ConnectionResetError
            else:
                raise Broken("the connection ended in the middle of the answer")
            return
        self._seen += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._drop()
            raise Broken("the answer is not HTTP/1.1") from error
        if self._seen > HEAD_LIMIT and not self._head_done:
            self._drop()
            raise Broken("the headers of the answer are too long")

    async def chunks(self) -> AsyncIterator[bytes]:
        while True:
            while self._pieces:
                data = self._pieces.popleft()
                self._taken += len(data)
                yield data
            if self._done:
                self._release()
                return
            await self._more()

    async def body(self) -> bytes:
        found = []
        size = 0
        async for data in self.chunks():
            size += len(data)
            if size > self._limit:
                self._drop()
                raise TooLarge(f"the answer is longer than {self._limit} bytes")
            found.append(data)
        return b"".join(found)

    async def json(self) -> Any:
        return msgspec.json.decode(await self.body())

    async def text(self) -> str:
        return (await self.body()).decode(errors="replace")

    async def events(self) -> AsyncIterator[Event]:
        splitter = SseSplitter()
        try:
            async for data in self.chunks():
                for frame in splitter.feed(data):
                    if frame.data is not None:
                        yield _event(frame.raw, frame.event, frame.data)
        except TooLong:
            self._drop()
            raise TooLarge("an event of the stream is too long") from None
        for frame in splitter.last():
            if frame.data is not None:
                yield _event(frame.raw, frame.event, frame.data)

    @property
    def ok(self) -> bool:
        return self.status < 400

    @property
    def done(self) -> bool:
        """Whether all has come."""
        return self._done

    async def close(self) -> None:
        self.leave()

    def leave(self) -> None:
        self._pieces.clear()
        if self._stream is not None:
            self._drop()

    def _release(self) -> None:
        stream, self._stream = self._stream, None
        if stream is None:
            return
        if self._parser.should_keep_alive() and self._framed and not self._head_only and stream.fresh:
            self._give_back(stream)
        else:
            stream.abort()

    def _drop(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.abort()


def _event(raw: bytes, name: bytes, data: bytes) -> Event:
    return Event(data.decode(errors="replace"), name=name.decode(errors="replace"), raw=raw)


def request(method: str, target: str, headers: Mapping[str, str], body: bytes) -> bytes:
    """A request as it goes out. Raises ValueError for what is not one line."""
    lines = [f"{method} {target} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if body or method not in ("GET", "HEAD"):
        lines.append(f"content-length: {len(body)}")
    for line in lines:
        if "\r" in line or "\n" in line or "\0" in line:
            raise ValueError("a header is one line")
    if " " in target or " " in method or not target:
        raise ValueError("the address of a request has no spaces")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body


class Door:
    """The gateway's socket: connections are kept and used again."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._idle: list[Stream] = []

    async def send(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """The answer, once its head is here. Raises Broken."""
        data = request(method, target, {"host": "ai.bawn.internal"} | dict(headers), body)
        while True:
            stream = self._kept()
            again = stream is not None
            try:
                stream = stream or await self._opened()
                return await self._ask(stream, method, data)
            except ConnectionResetError as error:
                # One that was kept may have been closed just now; then nothing of the request was taken.
                if not again:
                    raise Broken("the gateway closed the connection") from error

    async def _ask(self, stream: Stream, method: str, data: bytes) -> Reply:
        reply = Reply(stream, self._idle.append, head_only=method == "HEAD")
        try:
            stream.writer.write(data)
            if len(data) > _PIECE:
                with contextlib.suppress(ConnectionError):  # it may have answered and closed; that is read below
                    await stream.writer.drain()
            await reply.head()
        except BaseException:
            reply.leave()
            raise
        return reply

    def _kept(self) -> Stream | None:
        while self._idle:
            stream = self._idle.pop()
            if stream.fresh:
                return stream
            stream.abort()
        return None

    async def _opened(self) -> Stream:
        try:
            return Stream(*await asyncio.open_unix_connection(self._path))
        except OSError as error:
            raise Broken("the gateway cannot be reached") from error
