"""One request that is seen, and its answer: what both plain HTTP and terminated TLS do alike.

The request goes on as it was understood, written anew: headers of the hop left out, one way of framing, `identity` as the only
encoding, the host that was judged. A value that was entrusted is put in last, after its record is durable; a body is looked
through for placeholders before it goes, a short one before anything of the request goes.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from bawn.egress.channel import Channel, Stream
from bawn.egress.conversation import Conversation
from bawn.egress.credentials import Astray, Brokered, put_in
from bawn.egress.git import PUSH, Repository, judge_push, service
from bawn.egress.head import Head
from bawn.egress.inbox import Inbox
from bawn.egress.meter import Meter
from bawn.egress.policy import TLS, Asked
from bawn.egress.reasons import Denied
from bawn.egress.scrub import Scrubber
from bawn.egress.upstream_answer import BrokenAnswerError, UpstreamAnswer

_SHORT_BODY = 64 * 1024
_HOP = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"proxy-authorization", b"te", b"trailer", b"transfer-encoding",
     b"upgrade", b"expect", b"content-length", b"host", b"accept-encoding", b"http2-settings"}
)  # fmt: skip
"""Headers that are the hop's (RFC 9110 §7.6.1) or are written anew here."""
_RANGES = frozenset({b"range", b"if-range"})
"""Left out where a value is put in: by ranges an answer could be had in pieces too short to find the value in."""


class Metered:
    """An upstream whose bytes are counted as they are before they are encrypted."""

    def __init__(self, channel: Channel, meter: Meter) -> None:
        self._channel = channel
        self._meter = meter

    async def read(self) -> bytes:
        data = await self._channel.read()
        self._meter.count_down(len(data))
        return data

    def write(self, data: bytes) -> None:
        if self._meter.count_up(len(data)):
            self._channel.write(data)

    async def drain(self) -> None:
        await self._channel.drain()

    def close(self) -> None:
        self._channel.close()

    def abort(self) -> None:
        self._channel.abort()


async def exchange(
    talk: Conversation,
    inbox: Inbox,
    client: Stream,
    head: Head,
    asked: Asked,
    *,
    encrypted: bool,
    repository: Repository | None = None,
) -> bool:
    """Whether both sides can go on. Denied when the container can still be told so, else ConnectionError."""
    credentials = talk.walled.credentials
    broker = asked.host if encrypted and asked.port == TLS else ""
    here = [each for each in credentials if each.host == broker]
    dropped = _HOP | _RANGES if here else _HOP
    kept = [(name, value) for name, value in head.headers if name not in dropped and name not in _hop_too(head)]
    target, headers, used = put_in(credentials, broker, head.path, kept)
    body = inbox.body(head)
    if head.get(b"expect"):
        client.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    astray = Astray()
    wanted = service(repository, head.method, head.path) if repository is not None else b""
    begun, whole = await _begun(body, astray)
    if repository is not None and wanted == PUSH and head.method == b"POST":
        judge_push(repository, b"".join(begun), encoded=bool(head.get(b"content-encoding")))
    await _use(talk, used, asked)
    upstream = Metered(talk.upstream, talk.meter)
    upstream.write(_written(head, target, asked, headers))
    for piece in begun:
        upstream.write(_framed(piece, head))
    if whole:
        upstream.write(_end(head))
    answer = UpstreamAnswer(head.method, Scrubber(talk.walled.search), plain_body=bool(here))
    sending = None if whole else asyncio.create_task(_send(upstream, body, astray, head))
    try:
        await _answered(answer, upstream, client, sending)
    finally:
        trouble = None if sending is None else await _stopped(sending)
    if isinstance(trouble, Denied):
        talk.refused(trouble)  # too late to tell the container: it has its answer
    whole = trouble is None
    talk.upstream_keeps = answer.keeps and whole
    return whole and head.keep_alive


async def _use(talk: Conversation, used: tuple[Brokered, ...], asked: Asked) -> None:
    for each in used:
        talk.walled.uses.take(each)
        await talk.recorded("egress.credential_used", asked, (("credential", each.name),))


async def _begun(body: AsyncIterator[bytes], astray: Astray) -> tuple[list[bytes], bool]:
    """The first pieces of a body, looked through, and whether that is all."""
    pieces: list[bytes] = []
    size = 0
    async for piece in body:
        astray.feed(piece)
        pieces.append(piece)
        size += len(piece)
        if size > _SHORT_BODY:
            return pieces, False
    return pieces, True


async def _send(upstream: Metered, body: AsyncIterator[bytes], astray: Astray, head: Head) -> None:
    """The rest of a long body."""
    try:
        async for piece in body:
            astray.feed(piece)
            upstream.write(_framed(piece, head))
            await upstream.drain()
        upstream.write(_end(head))
    except (Denied, ConnectionError):
        upstream.abort()  # what went already is a request without an end, which nobody acts on
        raise


async def _stopped(sending: asyncio.Task[None]) -> BaseException | None:
    """Why the body did not go whole; what is left of it is given up."""
    sending.cancel()
    await asyncio.wait((sending,))
    return asyncio.CancelledError() if sending.cancelled() else sending.exception()


def _framed(piece: bytes, head: Head) -> bytes:
    return b"%x\r\n%b\r\n" % (len(piece), piece) if head.chunked else piece


def _end(head: Head) -> bytes:
    return b"0\r\n\r\n" if head.chunked else b""


async def _answered(
    answer: UpstreamAnswer, upstream: Metered, client: Stream, sending: asyncio.Task[None] | None
) -> None:
    try:
        await answer.relay(upstream, client)
    except (BrokenAnswerError, ConnectionError) as error:
        if answer.begun:
            raise ConnectionAbortedError("the answer does not come whole") from error
        if sending is not None and sending.done() and not sending.cancelled():
            reason = sending.exception()
            if isinstance(reason, Denied):
                raise reason from None
        sentence = str(error) if isinstance(error, BrokenAnswerError) else "The upstream closed the connection."
        raise Denied("egress.upstream_broken", sentence) from error


def _hop_too(head: Head) -> frozenset[bytes]:
    """Headers that `connection` names as the hop's."""
    return frozenset(word.strip().lower() for value in head.get(b"connection") for word in value.split(b","))


def _written(head: Head, target: bytes, asked: Asked, headers: list[tuple[bytes, bytes]]) -> bytes:
    host = asked.host if asked.port in (80, 443) else f"{asked.host}:{asked.port}"
    lines = [b"%b %b HTTP/1.1" % (head.method, target), b"host: " + host.encode("ascii")]
    lines += [name + b": " + value for name, value in headers]
    lines.append(b"accept-encoding: identity")
    if head.chunked:
        lines.append(b"transfer-encoding: chunked")
    elif head.length or head.get(b"content-length"):
        lines.append(b"content-length: %d" % head.length)
    return b"\r\n".join(lines) + b"\r\n\r\n"
