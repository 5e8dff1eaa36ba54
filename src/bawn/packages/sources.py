"""Pages of registries, from wherever they can be had: from the registry, or as it had them last.

What a page said was sound when it was kept, so it goes on when the registry is down; what is made of it is marked. A page
is kept only after it could be read.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from msgspec import Struct

from bawn.packages.pages import Page, Pages
from bawn.packages.reasons import Refused
from bawn.packages.upstream import Upstream

T = TypeVar("T")

FRESH_S = 300.0
STALE_S = 20.0
"""After this a registry that was down is tried again."""
_WEIGHT = 32 * 2**20
"""Bytes of pages whose readings are kept in memory: a reading takes several times as much."""
_READ_AT_ONCE = 4
"""Pages: the largest take hundreds of megabytes while they are read."""


class Reading(Struct, Generic[T], frozen=True):
    """What was made of pages."""

    value: T
    weight: int = 0
    """Bytes of those pages."""
    stale: bool = False


class Sources:
    def __init__(self, pages: Pages) -> None:
        self._pages = pages
        self._reading = asyncio.Semaphore(_READ_AT_ONCE)

    async def read(
        self, upstream: Upstream, url: str, accept: str, made: Callable[[Page], T], *, local: bool = False
    ) -> Reading[T] | None:
        """What `made` makes of the page; None when the registry has none. Refused when neither it nor an earlier one is had."""
        try:
            page = await upstream.page(url, accept, local=local)
            if page is None:
                await self._pages.forget(url)
                return None
            reading = await self._made(page, made, stale=False)
            if not local:
                await self._pages.keep(url, page)
            return reading
        except Refused as refused:
            earlier = None if refused.code != "packages.upstream" or local else await self._pages.last(url)
            if earlier is None:
                raise
            return await self._made(earlier, made, stale=True)

    async def _made(self, page: Page, made: Callable[[Page], T], *, stale: bool) -> Reading[T]:
        async with self._reading:
            return Reading(await asyncio.to_thread(made, page), len(page.body), stale)


class Memory(Generic[T]):
    """Readings of the last minutes, the longest unused forgotten first."""

    def __init__(self, weight: int = _WEIGHT) -> None:
        self._most = weight
        self._held: OrderedDict[str, tuple[float, Reading[T]]] = OrderedDict()
        self._weight = 0
        self.now: Callable[[], float] = time.monotonic

    async def get(self, key: str, ask: Callable[[], Awaitable[Reading[T]]]) -> Reading[T]:
        held = self._held.get(key)
        if held is not None and self.now() - held[0] < (STALE_S if held[1].stale else FRESH_S):
            self._held.move_to_end(key)
            return held[1]
        reading = await ask()
        self._drop(key)
        self._held[key] = (self.now(), reading)
        self._weight += reading.weight + 1024
        while self._weight > self._most and len(self._held) > 1:
            self._drop(next(iter(self._held)))
        return reading

    def clear(self) -> None:
        self._held.clear()
        self._weight = 0

    def _drop(self, key: str) -> None:
        held = self._held.pop(key, None)
        if held is not None:
            self._weight -= held[1].weight + 1024
