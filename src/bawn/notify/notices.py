"""Sends notices: counts them, puts them on record, and brings each to every sink in its own time.

Whoever sends waits for the record and for nothing else. Each sink has a queue of its own, bounded, so that a slow one
holds up no other; what fails is tried again with growing pauses, then given up, on record and in `bawn status`. Queues
are in memory: a restart forgets what was not delivered, while what the notice was about stays where it is kept.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import structlog
from msgspec import structs

from bawn.errors import Fault
from bawn.notify.notice import Action, Notice, sound
from bawn.notify.pauses import pause
from bawn.notify.rate import Rate
from bawn.notify.settings import Notify
from bawn.notify.sinks import Sink, Undelivered
from bawn.terms.clock import Clock
from bawn.terms.event import Event
from bawn.terms.principal import Container

_log = structlog.get_logger("bawn.notify")

PAUSE_S = 1.0
_KNOWN = 1000
"""Containers whose rates are remembered; those that sent nothing of late are forgotten first."""


class Recorder(Protocol):
    async def record(self, event: Event) -> str:
        """Returns when the event is in the record; Fault `audit.unavailable` when it cannot be."""


class Notices:
    def __init__(
        self,
        settings: Notify,
        sinks: Callable[[Notify], Mapping[str, Sink]],
        recorder: Recorder,
        redact: Callable[[str], str],
        clock: Clock,
    ) -> None:
        self._make = sinks
        self._recorder = recorder
        self._redact = redact
        self._clock = clock
        self.host_url = ""
        """Where the management API is on this machine, for links while there is no public address."""
        self._lanes: dict[str, _Lane] = {}
        self._rates: dict[str, Rate] = {}
        self.pause_s = PAUSE_S
        self.apply(settings)

    def apply(self, settings: Notify) -> None:
        """Another configuration holds. What waits for a sink that is still there goes on waiting for it."""
        self._settings = settings
        self._all = Rate(settings.per_minute, self._clock.monotonic())
        self._rates.clear()
        sinks = self._make(settings)
        for name in [name for name in self._lanes if name not in sinks]:
            self._lanes.pop(name).close()
        for name, sink in sinks.items():
            lane = self._lanes.setdefault(name, _Lane(name, self._failed, lambda: self.pause_s))
            lane.sink, lane.limit, lane.attempts = sink, settings.queue, settings.attempts

    async def send(self, notice: Notice, container: Container | None = None, by: str = "") -> str:
        """Its id, once it is on record and waits for every sink. `by`: who sends it, as records write it.

        Faults: `api.invalid`, `notify.too_many`, `audit.unavailable`.
        """
        fit = sound(notice, self._redact)
        self._count(container)
        id_ = f"ntc_{secrets.token_hex(8)}"
        facts = (("notice", id_), ("priority", fit.priority.value), ("characters", str(len(fit.title + fit.message))))
        uuid = container.uuid if container is not None else ""
        await self._recorder.record(Event("notice.accepted", principal=by, container=uuid, detail=facts))
        told = {
            "id": id_,
            "time": self._clock.now().isoformat().replace("+00:00", "Z"),
            "container": container.name if container is not None else "",
            **structs.asdict(fit),
            "priority": fit.priority.value,
            "actions": [self._action(action) for action in fit.actions],
        }
        for name, lane in list(self._lanes.items()):
            if not lane.put(told):
                await self._failed(name, id_, "too many wait for it")
        return id_

    @property
    def sinks(self) -> int:
        return len(self._lanes)

    def troubles(self) -> list[str]:
        """What is wrong with the sinks now, in sentences for `bawn status`."""
        return [trouble for lane in self._lanes.values() if (trouble := lane.trouble())]

    async def drained(self) -> None:
        """Returns when nothing waits any more."""
        for lane in list(self._lanes.values()):
            await lane.drained()

    async def close(self) -> None:
        for lane in self._lanes.values():
            lane.close()
        await asyncio.gather(*(lane.task for lane in self._lanes.values() if lane.task), return_exceptions=True)

    def _action(self, action: Action) -> dict[str, str]:
        url = action.url
        if url.startswith("/"):
            url = (self._settings.public_url or self.host_url) + url
        return {"label": action.label, "method": action.method, "url": url}

    def _count(self, container: Container | None) -> None:
        now = self._clock.monotonic()
        if not self._all.has_room(now):
            raise Fault("notify.too_many", f"More than {self._settings.per_minute} notices a minute.")
        if container is not None:
            if len(self._rates) > _KNOWN:
                self._rates = {uuid: rate for uuid, rate in self._rates.items() if not rate.full(now)}
            own = self._rates.setdefault(container.uuid, Rate(self._settings.container_per_minute, now))
            if not own.has_room(now):
                many = self._settings.container_per_minute
                raise Fault("notify.too_many", f"More than {many} notices a minute of one container.")
            own.take()
        self._all.take()

    async def _failed(self, sink: str, notice: str, because: str) -> None:
        _log.warning("notice.failed", sink=sink, notice=notice, because=because)
        with contextlib.suppress(Fault):
            facts = (("notice", notice), ("sink", sink))
            await self._recorder.record(Event("notice.failed", principal="bawn", cause=because, detail=facts))


class _Lane:
    """The queue before one sink, and the task that empties it; the task is there while something waits."""

    def __init__(self, name: str, failed: Callable[[str, str, str], Any], pause_s: Callable[[], float]) -> None:
        self._name = name
        self._failed = failed
        self._pause_s = pause_s
        self._waiting: list[dict[str, Any]] = []
        self._lost = 0
        self._because = ""
        self.sink: Sink
        self.limit = 1
        self.attempts = 1
        self.task: asyncio.Task[None] | None = None

    def put(self, notice: dict[str, Any]) -> bool:
        """False: there is no room. The oldest stay; they are what people have waited for longest."""
        if len(self._waiting) >= self.limit:
            self._lost += 1
            self._because = self._because or "too many wait for it"
            return False
        self._waiting.append(notice)
        if self.task is None or self.task.done():
            self.task = asyncio.create_task(self._empty(), name=f"notices to {self._name}")
        return True

    def trouble(self) -> str:
        if not self._because:
            return ""
        lost = f" {self._lost} notices were lost." if self._lost else ""
        return f"Notices do not reach the sink {self._name!r}: {self._because}.{lost}"

    async def drained(self) -> None:
        while self.task is not None and not self.task.done():
            await asyncio.wait((self.task,))

    def close(self) -> None:
        self._waiting.clear()
        if self.task is not None:
            self.task.cancel()

    async def _empty(self) -> None:
        while self._waiting:
            await self._bring(self._waiting[0])
            self._waiting.pop(0)

    async def _bring(self, notice: dict[str, Any]) -> None:
        for attempt in range(1, self.attempts + 1):
            try:
                await self.sink.deliver(notice)
            except Undelivered as error:
                self._because = str(error)
                if not error.again:
                    break
                if attempt < self.attempts:
                    await asyncio.sleep(pause(attempt, self._pause_s()))
            else:
                self._because, self._lost = "", 0
                return
        self._lost += 1
        await self._failed(self._name, notice["id"], self._because)


def host_url(listening: Sequence[str]) -> str:
    """The loopback address among those that the management API listens on; empty when it has none."""
    return next((each for each in listening if each.startswith("http://")), "")
