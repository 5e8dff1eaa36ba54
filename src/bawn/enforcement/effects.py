"""What follows from a rule beside the conversation: a command, a webhook, a notice.

Each rule has a lane of its own, bounded, so that one whose receiver is slow holds up no other; commands of a rule run one after
another, in the order of what happened. Whatever becomes of an effect, the agent's call knows nothing of it; its end is told,
its failure above all.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable

from msgspec import Struct

from bawn.errors import Fault
from bawn.rules.happening import Happening
from bawn.rules.model import Notification, Rule, Shell, Webhook

QUEUED = 1000
"""Effects of one rule that may wait."""
QUEUED_BYTES = 32 * 2**20
"""Characters of everything that waits."""
_AT_ONCE = 4

Beside = Shell | Webhook | Notification


class Doing(Struct, frozen=True):
    """One effect to be done."""

    rule: Rule
    action: Beside
    happened: Happening
    container: str
    """Its uuid."""

    @property
    def size(self) -> int:
        """Characters of everything that somebody inside a container may have made long, and the room of the rest."""
        happened = self.happened
        named = len(happened.session) + len(happened.key) + len(happened.tool) + sum(map(len, happened.tags))
        told = len(happened.title) + len(happened.directory) + len(happened.error)
        return happened.size + named + told + 1000


Do = Callable[[Doing], Awaitable[None]]
"""Does one. A Fault says why it could not."""


class _Lane:
    __slots__ = ("running", "waiting")

    def __init__(self) -> None:
        self.waiting: deque[Doing] = deque()
        self.running = 0


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
        self._lanes: dict[str, _Lane] = {}
        self._size = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def add(self, doing: Doing) -> None:
        """To be done soon; one that finds no room is not done, and that is told."""
        lane = self._lanes.setdefault(doing.rule.id, _Lane())
        if len(lane.waiting) >= QUEUED or self._size + doing.size > QUEUED_BYTES:
            self._tell(doing, Fault("rule.failed", "Too many effects of rules wait already."), 0.0)
            return
        lane.waiting.append(doing)
        self._size += doing.size
        if lane.running < (1 if isinstance(doing.action, Shell) else _AT_ONCE):
            lane.running += 1
            task = asyncio.get_running_loop().create_task(self._work(doing.rule.id, lane), name="effects of rules")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def settled(self) -> None:
        """Until all that was added is done."""
        while self._tasks:
            await asyncio.wait(tuple(self._tasks))

    async def stop(self) -> None:
        """What is not done by now will not be, and that is told."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for lane in self._lanes.values():
            for doing in lane.waiting:
                self._tell(doing, Fault("rule.failed", "Bawn ended before this was done."), 0.0)
        self._lanes.clear()

    async def _work(self, name: str, lane: _Lane) -> None:
        try:
            while lane.waiting:
                doing = lane.waiting.popleft()
                self._size -= doing.size
                await self._one(doing)
        finally:
            lane.running -= 1
            if not lane.running and not lane.waiting:
                self._lanes.pop(name, None)

    async def _one(self, doing: Doing) -> None:
        began = self._clock()
        fault: Fault | None = Fault("rule.failed", "Bawn ended before this was done.")
        try:
            await self._do(doing)
            fault = None
        except Fault as error:
            fault = error
        except Exception as error:  # noqa: BLE001 - nothing that one effect does may stop the others
            fault = Fault("rule.failed", "An effect of a rule failed.", cause=type(error).__name__)
        finally:
            self._tell(doing, fault, self._clock() - began)

    def _tell(self, doing: Doing, fault: Fault | None, seconds: float) -> None:
        with contextlib.suppress(Fault):
            self._ended(doing, fault, seconds)
