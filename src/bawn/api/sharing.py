"""What stands behind the public hosts: links to ports of containers, and nothing of the management API.

The operator's own tunnel brings a request to the loopback port under a host that the configuration names; that host
never reaches the API, and the API's own names never reach here, so what a container serves is of another origin
than everything of ours. `/s/<id>/…?bawn_token=…` exchanges the token for a cookie and leaves it out of the
address; without a good token there is one answer, whatever is wrong. HTTP and WebSocket pass; our cookie and what says
who asked by which way do not.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
from collections.abc import AsyncIterator
from http.cookies import CookieError, SimpleCookie
from typing import Protocol
from urllib.parse import parse_qsl, urlencode

import httptools
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as open_websocket
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.typing import Origin

from bawn.errors import Fault
from bawn.identity.shares import Share, Shares

PATH = re.compile(r"/s/([0-9a-f]{16})(/.*)?\Z", re.DOTALL)
TOKEN, COOKIE = "bawn_token", "bawn_share"
HEAD_LIMIT = 64 * 1024
IDLE_S = 300.0
_HOP = frozenset({"connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer",
                  "transfer-encoding", "upgrade", "host", "cookie", "content-length", "expect"})  # fmt: skip
_OURS = ("x-forwarded-", "x-real-ip", "forwarded", "cf-", "sec-websocket-")


class Dial(Protocol):
    async def dial(self, ref: str, port: int, by: str) -> socket.socket: ...


class Sharing:
    def __init__(self, shares: Shares, ports: Dial) -> None:
        self._shares = shares
        self._ports = ports

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            return
        found = PATH.match(scope["path"])
        token, query = _split(scope)
        headers = Headers(scope=scope)
        share = self._shares.opened(found[1], token or _cookie(headers)) if found else None
        if found is None or share is None or (scope["type"] == "websocket" and token):
            await _refuse(scope, receive, send, 404, b"There is nothing here, or no longer.\n")
            return
        if token or not found[2]:
            await _welcome(send, found[1], found[2] or "/", query, token)
            return
        try:
            made = await self._ports.dial(share.container_uuid, share.port, f"share:{share.id}")
        except Fault:
            await _refuse(scope, receive, send, 502, b"Nothing answers behind this link at the moment.\n")
            return
        target = _target(scope, found[1], query)
        try:
            if scope["type"] == "websocket":
                await _websocket(scope, receive, send, made, share, target)
            else:
                await _http(scope, receive, send, made, share, target)
        except (OSError, TimeoutError, httptools.HttpParserError, EOFError, ConnectionClosed):
            return  # half an answer is told by the connection's end
        finally:
            made.close()


class ByHost:
    """Public hosts to the links, everything else to the guarded API."""

    def __init__(self, api: ASGIApp, sharing: ASGIApp, hosts: frozenset[str]) -> None:
        self._api = api
        self._sharing = sharing
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        named = Headers(scope=scope).getlist("host") if scope["type"] in ("http", "websocket") else []
        public = len(named) == 1 and named[0].lower() in self._hosts
        await (self._sharing if public else self._api)(scope, receive, send)


def _split(scope: Scope) -> tuple[str, str]:
    """The token of the address, and the query without it."""
    pairs = parse_qsl(scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True)
    tokens = [value for name, value in pairs if name == TOKEN]
    if not tokens:
        return "", scope.get("query_string", b"").decode("latin-1")
    return tokens[0], urlencode([(name, value) for name, value in pairs if name != TOKEN])


def _cookie(headers: Headers) -> str:
    with contextlib.suppress(CookieError):
        for text in headers.getlist("cookie"):
            jar = SimpleCookie(text)
            if COOKIE in jar:
                return jar[COOKIE].value
    return ""


def _target(scope: Scope, share_id: str, query: str) -> str:
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    rest = raw.decode("latin-1").partition(f"/s/{share_id}")[2] or "/"
    return rest + (f"?{query}" if query else "")


async def _welcome(send: Send, share_id: str, rest: str, query: str, token: str) -> None:
    place = f"/s/{share_id}{rest}" + (f"?{query}" if query else "")
    headers = [
        (b"location", place.encode("ascii", "ignore")),
        (b"referrer-policy", b"no-referrer"),
        (b"content-length", b"0"),
    ]
    if token:
        cookie = f"{COOKIE}={token}; Path=/s/{share_id}/; HttpOnly; Secure; SameSite=Lax"
        headers.append((b"set-cookie", cookie.encode("ascii", "ignore")))
    await send({"type": "http.response.start", "status": 303, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


async def _refuse(scope: Scope, receive: Receive, send: Send, status: int, text: bytes) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008})
        return
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(text)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text})


def _passed(scope: Scope) -> list[tuple[bytes, bytes]]:
    """The request's headers as the container sees them; of its cookies, all but ours."""
    passed: list[tuple[bytes, bytes]] = []
    for name, value in scope["headers"]:
        text = name.decode("latin-1").lower()
        if text == "cookie":
            others = [part for part in value.split(b";") if part.split(b"=")[0].strip() != COOKIE.encode()]
            value = b";".join(others).strip()
            if value:
                passed.append((name, value))
        elif text not in _HOP and not text.startswith(_OURS):
            passed.append((name, value))
    return passed


async def _http(scope: Scope, receive: Receive, send: Send, made: socket.socket, share: Share, target: str) -> None:
    reader, writer = await asyncio.open_connection(sock=made)
    body = _body(receive)
    sized = [value for name, value in scope["headers"] if name == b"content-length"]
    chunked = not sized and any(name == b"transfer-encoding" for name, _ in scope["headers"])
    lines = [
        f"{scope['method']} {target} HTTP/1.1".encode("latin-1"),
        f"host: localhost:{share.port}".encode(),
        b"connection: close",
    ]
    lines += [b"x-forwarded-prefix: " + f"/s/{share.id}".encode(), b"accept-encoding: identity"]
    lines += [name + b": " + value for name, value in _passed(scope) if name != b"accept-encoding"]
    lines += [b"content-length: " + sized[0]] if sized else [b"transfer-encoding: chunked"] if chunked else []
    writer.write(b"\r\n".join(lines) + b"\r\n\r\n")
    sending = asyncio.create_task(_send_body(body, writer, chunked=chunked))
    try:
        answer = _Answer(send, head=scope["method"] == "HEAD")
        while not answer.done:
            async with asyncio.timeout(IDLE_S):
                data = await reader.read(64 * 1024)
            await answer.feed(data)
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        writer.close()


async def _body(receive: Receive) -> AsyncIterator[bytes]:
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        yield message.get("body", b"")
        if not message.get("more_body", False):
            return


async def _send_body(body: AsyncIterator[bytes], writer: asyncio.StreamWriter, *, chunked: bool) -> None:
    async for piece in body:
        if piece:
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
            await writer.drain()
    if chunked:
        writer.write(b"0\r\n\r\n")


class _Answer:
    """The container's answer, handed on as it comes."""

    def __init__(self, send: Send, *, head: bool) -> None:
        self._send = send
        self._head = head
        self._parser = httptools.HttpResponseParser(self)
        self._headers: list[tuple[bytes, bytes]] = []
        self._out: list[Message] = []
        self._seen = 0
        self.done = False

    async def feed(self, data: bytes) -> None:
        begun = bool(self._seen)
        self._seen += len(data)
        if data:
            self._parser.feed_data(data)
            if not self._out and not begun and self._seen > HEAD_LIMIT:
                raise EOFError
        out, self._out = self._out, []
        for message in out:
            await self._send(message)
        if not data and not self.done:
            self.done = True
            await self._send({"type": "http.response.body", "body": b""})

    def on_header(self, name: bytes, value: bytes) -> None:
        self._seen += 0
        if name.lower() not in {hop.encode() for hop in _HOP - {"content-length", "cookie"}}:
            self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:
            self._headers = []
            return
        self._out.append({"type": "http.response.start", "status": status, "headers": self._headers})
        if self._head or status in (204, 304):
            self.on_message_complete()

    def on_body(self, data: bytes) -> None:
        self._out.append({"type": "http.response.body", "body": data, "more_body": True})

    def on_message_complete(self) -> None:
        if self._parser.get_status_code() >= 200 and not self.done:
            self.done = True
            self._out.append({"type": "http.response.body", "body": b""})


async def _websocket(
    scope: Scope, receive: Receive, send: Send, made: socket.socket, share: Share, target: str
) -> None:
    await receive()  # websocket.connect
    headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in _passed(scope) if name != b"origin"]
    try:
        far = await open_websocket(
            f"ws://localhost:{share.port}{target}",
            sock=made,
            additional_headers=[pair for pair in headers if pair[0].lower() != "user-agent"],
            subprotocols=scope.get("subprotocols") or None,
            origin=Origin(f"http://localhost:{share.port}"),
            compression=None,
            proxy=None,
        )
    except (OSError, InvalidHandshake):
        await send({"type": "websocket.close", "code": 1011})
        return
    async with far:
        await send({"type": "websocket.accept", "subprotocol": far.subprotocol})
        inward = asyncio.create_task(_to_container(receive, far))
        try:
            async for message in far:
                await send({"type": "websocket.send", "text" if isinstance(message, str) else "bytes": message})
            await send({"type": "websocket.close", "code": far.close_code if far.close_code in (1000, 1001) else 1000})
        finally:
            inward.cancel()
            await asyncio.gather(inward, return_exceptions=True)


async def _to_container(receive: Receive, far: ClientConnection) -> None:
    while (message := await receive())["type"] == "websocket.receive":
        text = message.get("text")
        await far.send(message["bytes"] if text is None else text)
    await far.close()
