"""Posting a notice to a web address of the operator's, by the same way as calls to providers.

The gateway process refuses itself every other way out (`network_guard.py`). The address is the operator's configuration, never
a call's; nothing of the answer is read but its status, and a redirect is an answer like any other.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from msgspec import structs

from bawn import __version__
from bawn.egress.addresses import refusal
from bawn.errors import Fault
from bawn.gateway.pool import Pool
from bawn.gateway.providers import Origin
from bawn.notify.sinks import Post


class _Status:
    """Takes the head of an answer; whatever comes after is nobody's."""

    def __init__(self) -> None:
        self.come: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def on_head(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        if not self.come.done():
            self.come.set_result(status)

    def on_data(self, data: bytes) -> None:
        pass

    def on_end(self) -> None:
        pass

    def on_broken(self, fault: Fault) -> None:
        if not self.come.done():
            self.come.set_exception(fault)


class Posting:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def post(self, url: str, body: bytes, timeout_s: float) -> int:
        """The status of the answer. Faults of `upstream.*`, none of which tells the address."""
        parts = urlsplit(url)
        tls = parts.scheme == "https"
        origin = Origin(parts.hostname or "", parts.port or (443 if tls else 80), tls)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return await self._post(origin, target, body, timeout_s)

    async def send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes, timeout_s: float, *, private: bool
    ) -> int:
        """The status of the answer. Unless `private`, the address is looked up here and must be public, and the connection
        goes to what was found: Fault `rule.failed` where it is not. Other faults are of `upstream.*`."""
        parts = urlsplit(url)
        tls = parts.scheme == "https"
        origin = Origin(parts.hostname or "", parts.port or (443 if tls else 80), tls)
        if not private:
            origin = structs.replace(origin, at=await _public(origin))
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        said = {"content-type": "application/json", **{name.lower(): value for name, value in headers.items()}}
        lines = "".join(f"{name}: {value}\r\n" for name, value in said.items())
        return await self._exchange(origin, method, target, lines, body, timeout_s)

    def by_socket(self, path: Path) -> Post:
        """The same, to whoever listens on a unix socket of ours; the address is not looked at."""
        origin = Origin("notifier", 80, tls=False, unix=str(path))

        async def post(_url: str, body: bytes, timeout_s: float) -> int:
            return await self._post(origin, "/", body, timeout_s)

        return post

    async def _post(self, origin: Origin, target: str, body: bytes, timeout_s: float) -> int:
        return await self._exchange(origin, "POST", target, "content-type: application/json\r\n", body, timeout_s)

    async def _exchange(
        self, origin: Origin, method: str, target: str, lines: str, body: bytes, timeout_s: float
    ) -> int:
        length = f"content-length: {len(body)}\r\n" if method != "GET" else ""
        agent = "" if "user-agent:" in lines else f"user-agent: bawn/{__version__}\r\n"
        head = (
            f"{method} {target} HTTP/1.1\r\nhost: {origin.authority}\r\n{lines}{length}"
            f"accept-encoding: identity\r\n{agent}connection: close\r\n\r\n"
        )
        try:
            async with asyncio.timeout(timeout_s):
                connection = await self._pool.take(origin, fresh=True)
                try:
                    answer = _Status()
                    connection.send(head.encode("ascii"), body, answer)
                    return await answer.come
                finally:
                    connection.abort()
        except TimeoutError:
            raise Fault("upstream.timeout", "The address did not answer in time.") from None


async def _public(origin: Origin) -> str:
    """The address of a host, which is public as all its addresses are. Fault `rule.failed`."""
    try:
        # By the loop's own code: this process refuses itself Python's.
        found = await asyncio.get_running_loop().getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise Fault("upstream.unreachable", "The address has no host that is known.", cause=str(error)) from error
    addresses = [str(each[4][0]) for each in found]
    if not addresses or any(refusal(ip_address(address), ()) for address in addresses):
        raise Fault("rule.failed", "The address is not public, and no setting allows it.")
    return addresses[0]
