"""`ctx.fetch`: requests to the world through the egress socket of the calling container, and by no other way.

The worker has no network. The socket is an ordinary forward proxy; a redirect is a new request to it, so that every hop is
decided on by the policy.
"""

from __future__ import annotations

import asyncio
import functools
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import msgspec

from bawn.scripts.api import FetchFailed
from bawn.scripts.worker.client import Broken, Reply, Stream, request

_REDIRECTS = frozenset((301, 302, 303, 307, 308))
_LINE_LIMIT = 8 << 10
_SECRET = ("authorization", "cookie", "x-api-key", "proxy-authorization")


class Fetcher:
    """`folder`: where the sockets stand, and `ca.pem` where the egress door ends TLS itself."""

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)

    async def fetch(
        self,
        container: int,
        keep: Callable[[Reply], None],
        url: str,
        *,
        method: str,
        headers: Mapping[str, str] | None,
        body: bytes | str | None,
        json: object,
        within_s: float,
        limit_bytes: int,
        redirects: int,
    ) -> Reply:
        said = {name.lower(): value for name, value in (headers or {}).items()}
        if json is not None:
            body = msgspec.json.encode(json)
            said.setdefault("content-type", "application/json")
        data = body.encode() if isinstance(body, str) else body or b""
        method = (method or ("POST" if data else "GET")).upper()
        try:
            async with asyncio.timeout(within_s):
                for _ in range(min(max(redirects, 0), 5) + 1):
                    reply = await self._once(container, url, method, said, data, limit_bytes)
                    location = reply.headers.get("location", "")
                    if redirects == 0 or reply.status not in _REDIRECTS or not location:
                        keep(reply)
                        return reply
                    reply.leave()
                    url, method, said, data = _next(url, location, reply.status, method, said, data)
        except TimeoutError:
            raise FetchFailed(f"there was no answer within {within_s:g} s") from None
        except (Broken, ConnectionError) as error:
            raise FetchFailed(str(error) or "the connection was closed") from error
        raise FetchFailed("there were too many redirects")

    async def _once(
        self, container: int, url: str, method: str, headers: dict[str, str], body: bytes, limit: int
    ) -> Reply:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
            raise FetchFailed("the address must be http:// or https:// and name a host")
        default = 443 if parts.scheme == "https" else 80
        try:
            port = parts.port or default
        except ValueError:
            raise FetchFailed("the address has no such port") from None
        host = parts.hostname if ":" not in parts.hostname else f"[{parts.hostname}]"
        origin = host if port == default else f"{host}:{port}"
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        fixed = {"host": origin, "connection": "close", "accept-encoding": "identity", "user-agent": "bawn-script"}
        sent = {name: value for name, value in (fixed | headers).items() if name != "content-length"} | {
            "host": origin,
            "connection": "close",
        }
        target = path if parts.scheme == "https" else f"http://{origin}{path}"
        try:
            data = request(method, target, sent, body)
        except (ValueError, UnicodeEncodeError) as error:
            raise FetchFailed(str(error)) from None
        stream = await self._connected(container)
        reply = Reply(stream, Stream.abort, head_only=method == "HEAD", limit=limit)
        try:
            if parts.scheme == "https":
                await self._tunnel(stream, f"{host}:{port}", parts.hostname)
            stream.writer.write(data)
            await stream.writer.drain()
            await reply.head()
        except BaseException:
            reply.leave()
            raise
        return reply

    async def _connected(self, container: int) -> Stream:
        try:
            return Stream(*await asyncio.open_unix_connection(str(self._folder / f"{container}.sock")))
        except OSError:
            raise FetchFailed("the calling container has no way out") from None

    async def _tunnel(self, stream: Stream, authority: str, name: str) -> None:
        stream.writer.write(
            request("CONNECT", authority, {"host": authority}, b"").replace(b"content-length: 0\r\n", b"")
        )
        try:
            head = await stream.reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
            raise FetchFailed("the proxy gave no answer") from error
        status = head.split(b" ", 2)[1:2]
        if status != [b"200"]:
            reason = next(
                (
                    line.split(b":", 1)[1].strip().decode("latin-1")
                    for line in head.split(b"\r\n")
                    if line.lower().startswith(b"x-bawn-reason:")
                ),
                "",
            )
            raise FetchFailed(f"the egress policy refused {authority}" + (f" ({reason})" if reason else ""))
        try:
            await stream.writer.start_tls(self._tls(), server_hostname=name)
        except ssl.SSLError as error:
            raise FetchFailed(f"the certificate of {name} could not be verified") from error

    def _tls(self) -> ssl.SSLContext:
        place = self._folder / "ca.pem"
        try:
            return _context(str(place), place.stat().st_mtime_ns)
        except FileNotFoundError:
            return _context("", 0)


@functools.lru_cache(4)
def _context(further: str, _changed: int) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if further:
        context.load_verify_locations(further)
    context.set_alpn_protocols(["http/1.1"])
    return context


def _next(
    url: str, location: str, status: int, method: str, headers: dict[str, str], body: bytes
) -> tuple[str, str, dict[str, str], bytes]:
    """The request that a redirect asks for; what identifies the caller does not go to another origin."""
    to = urljoin(url, location)
    before, after = urlsplit(url), urlsplit(to)
    if before.scheme == "https" and after.scheme != "https":
        raise FetchFailed("a redirect led from https to http")
    if (before.scheme, before.netloc) != (after.scheme, after.netloc):
        headers = {name: value for name, value in headers.items() if name not in _SECRET}
    if status == 303 or (status in (301, 302) and method == "POST"):
        method, body = ("HEAD" if method == "HEAD" else "GET"), b""
        headers = {name: value for name, value in headers.items() if name != "content-type"}
    return to, method, headers, body
