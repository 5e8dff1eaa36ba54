"""Posting a notice to a web address of the operator's, by the same way as calls to providers.

The gateway process refuses itself every other way out (`network_guard.py`). The address is the operator's configuration, never
a call's; nothing of the answer is read but its status, and a redirect is an answer like any other.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from urllib.parse import urlsplit

from bawn import __version__
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

    def by_socket(self, path: Path) -> Post:
        """The same, to whoever listens on a unix socket of ours; the address is not looked at."""
        origin = Origin("notifier", 80, tls=False, unix=str(path))

        async def post(_url: str, body: bytes, timeout_s: float) -> int:
            return await self._post(origin, "/", body, timeout_s)

        return post

    async def _post(self, origin: Origin, target: str, body: bytes, timeout_s: float) -> int:
        head = (
            f"POST {target} HTTP/1.1\r\nhost: {origin.authority}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\naccept-encoding: identity\r\nuser-agent: bawn/{__version__}\r\n"
            "connection: close\r\n\r\n"
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
