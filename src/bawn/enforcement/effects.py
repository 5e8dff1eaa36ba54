"""What follows from a rule beside the conversation: a command, a webhook, a notice.

Each rule has a lane of its own, so that one whose receiver is slow holds up no other; commands of a rule run one after
another. In a lane each container has a queue of its own, bounded, in the order of what happened, and their turns come round:
what happens without end in one container takes no room from another, and of the room of a container no rule takes so much
that nothing is left for the others. Whatever becomes of an effect, the agent's call knows nothing of it; its end is told,
its failure above all.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable

from msgspec import Struct

from bawn.errors import Fault
from bawn.rules.happening import Happening
from bawn.rules.model import Notification, Rule, Shell, Webhook

QUEUED = 1000
"""Effects of one rule and one container that may wait."""
QUEUED_BYTES = 64 * 2**20
"""Characters of everything of one container that waits. A queue may have as much of it as it leaves free."""
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


class _Queue:
    """Of one rule and one container."""

    __slots__ = ("size", "waiting")

    def __init__(self) -> None:
        self.waiting: deque[Doing] = deque()
        self.size = 0


class _Lane:
    """Of one rule."""

    __slots__ = ("queues", "running")

    def __init__(self) -> None:
        self.queues: OrderedDict[str, _Queue] = OrderedDict()
        """By container, the one whose turn is next first; none is empty."""
        self.running = 0

    def add(self, doing: Doing) -> None:
        queue = self.queues.setdefault(doing.container, _Queue())
        queue.waiting.append(doing)
        queue.size += doing.size

    def next(self) -> Doing:
        container, queue = next(iter(self.queues.items()))
        doing = queue.waiting.popleft()
        queue.size -= doing.size
        if queue.waiting:
            self.queues.move_to_end(container)
        else:
            del self.queues[container]
        return doing


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
        self._sizes: dict[str, int] = {}
        """What waits, by container."""
        self._tasks: set[asyncio.Task[None]] = set()

    def add(self, doing: Doing) -> None:
        """To be done soon; one that finds no room is not done, and that is told."""
        if not self._room(doing):
            self._tell(doing, Fault("rule.failed", "Too many effects of rules wait already."), 0.0)
            return
        lane = self._lanes.setdefault(doing.rule.id, _Lane())
        lane.add(doing)
        self._sizes[doing.container] = self._sizes.get(doing.container, 0) + doing.size
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
            for doing in (each for queue in lane.queues.values() for each in queue.waiting):
                self._tell(doing, Fault("rule.failed", "Bawn ended before this was done."), 0.0)
        self._lanes.clear()
        self._sizes.clear()

    def _room(self, doing: Doing) -> bool:
        lane = self._lanes.get(doing.rule.id)
        queue = lane.queues.get(doing.container) if lane is not None else None
        places, size = (len(queue.waiting), queue.size) if queue is not None else (0, 0)
        free = QUEUED_BYTES - self._sizes.get(doing.container, 0) - doing.size
        return places < QUEUED and size + doing.size <= free

    def _next(self, lane: _Lane) -> Doing:
        doing = lane.next()
        left = self._sizes[doing.container] - doing.size
        if left:
            self._sizes[doing.container] = left
        else:
            del self._sizes[doing.container]
        return doing

    async def _work(self, name: str, lane: _Lane) -> None:
        try:
            while lane.queues:
                await self._one(self._next(lane))
        finally:
            lane.running -= 1
            if not lane.running and not lane.queues:
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
