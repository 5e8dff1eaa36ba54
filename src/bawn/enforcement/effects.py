"""What follows from a rule beside the conversation: a command, a webhook, a notice.

They wait in a bounded queue and are done by a few workers; whatever becomes of them, the agent's call knows nothing of it.
Each has a record, of its failure above all.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from msgspec import Struct

from bawn.errors import Fault
from bawn.rules.happening import Happening
from bawn.rules.model import Notification, Rule, Shell, Webhook

QUEUED = 1000
_WORKERS = 4

Beside = Shell | Webhook | Notification


class Doing(Struct, frozen=True):
    """One effect to be done."""

    rule: Rule
    action: Beside
    happened: Happening
    container: str
    """Its uuid."""


Do = Callable[[Doing], Awaitable[None]]
"""Does one. A Fault says why it could not."""


class Effects:
    def __init__(
        self,
        do: Do,
        ended: Callable[[Doing, Fault | None, float], None],
        clock: Callable[[], float],
    ) -> None:
        """`ended` is told of each: with the Fault if it failed, and its seconds."""
        self._do = do
        self._ended = ended
        self._clock = clock
        self._queue: asyncio.Queue[Doing] = asyncio.Queue(QUEUED)
        self._workers: list[asyncio.Task[None]] = []

    def start(self) -> None:
        self._workers = [asyncio.create_task(self._work(), name="effects of rules") for _ in range(_WORKERS)]

    async def stop(self) -> None:
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)
        while not self._queue.empty():
            doing = self._queue.get_nowait()
            with contextlib.suppress(Fault):
                self._ended(doing, Fault("rule.failed", "Bawn ended before this was done."), 0.0)
            self._queue.task_done()

    def add(self, doing: Doing) -> None:
        """To be done soon; one that finds the queue full is not done, and that is on record."""
        try:
            self._queue.put_nowait(doing)
        except asyncio.QueueFull:
            with contextlib.suppress(Fault):
                self._ended(doing, Fault("rule.failed", "Too many effects of rules wait already."), 0.0)

    async def settled(self) -> None:
        """Until all that was added is done."""
        await self._queue.join()

    async def _work(self) -> None:
        while True:
            doing = await self._queue.get()
            began = self._clock()
            fault: Fault | None = None
            try:
                await self._do(doing)
            except Fault as error:
                fault = error
            except Exception as error:  # noqa: BLE001 - nothing that one effect does may stop the others
                fault = Fault("rule.failed", "An effect of a rule failed.", cause=type(error).__name__)
            with contextlib.suppress(Fault):
                self._ended(doing, fault, self._clock() - began)
            self._queue.task_done()
