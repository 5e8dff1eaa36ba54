"""Who waits for tickets, and who watches them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from bawn.approvals.ticket import State, Ticket

FAR_BEHIND = 1000
"""Changes that a watcher may not have read yet; with more it is left, and looks anew."""


class Waiting:
    """Serves one event loop."""

    def __init__(self) -> None:
        self._calls: dict[str, list[asyncio.Future[None]]] = {}
        self._watchers: set[asyncio.Queue[Ticket | None]] = set()

    def tell(self, ticket: Ticket) -> None:
        """The ticket is new, or changed. The newest waiter hears it first."""
        if ticket.state is not State.OPEN:
            for call in reversed(self._calls.get(ticket.id, ())):
                if not call.done():
                    call.set_result(None)
        for watcher in list(self._watchers):
            if watcher.full():
                self._leave(watcher)
            else:
                watcher.put_nowait(ticket)

    async def changed(self, ticket_id: str, until: float | None) -> bool:
        """Waits until an open ticket is open no more; False when that takes too long. `until`: of the loop's clock."""
        calls = self._calls.setdefault(ticket_id, [])
        call = asyncio.get_running_loop().create_future()
        calls.append(call)
        try:
            async with asyncio.timeout_at(until):
                await call
            return True
        except TimeoutError:
            return False
        finally:
            calls.remove(call)
            if not calls:
                self._calls.pop(ticket_id, None)

    def watch(self, now: Sequence[Ticket]) -> AsyncIterator[Ticket]:
        """`now`, then every ticket that changes from this moment on, whenever the reading begins."""
        watcher: asyncio.Queue[Ticket | None] = asyncio.Queue(FAR_BEHIND)
        self._watchers.add(watcher)
        return self._read(watcher, now)

    async def _read(self, watcher: asyncio.Queue[Ticket | None], now: Sequence[Ticket]) -> AsyncIterator[Ticket]:
        try:
            for ticket in now:
                yield ticket
            while (changed := await watcher.get()) is not None:
                yield changed
        finally:
            self._watchers.discard(watcher)

    def close(self) -> None:
        """Nobody watches any more."""
        for watcher in list(self._watchers):
            self._leave(watcher)

    def _leave(self, watcher: asyncio.Queue[Ticket | None]) -> None:
        self._watchers.discard(watcher)
        while not watcher.empty():
            watcher.get_nowait()
        watcher.put_nowait(None)
