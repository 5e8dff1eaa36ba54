"""What this process tells the record, over the line to the gateway.

`record` returns when the event is durable, and whatever waits for that is not done when it raises: no gateway, no
connection. `note` is for what happened already and cannot be refused any more: it waits here, bounded, until a gateway
takes it, also across a gateway that comes anew. Refusals are noted at a bounded rate a container, so that whoever
provokes them cannot fill the disk; the next one noted says how many were left out.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

import msgspec

from bawn.errors import Fault
from bawn.lines.line import Line
from bawn.terms.event import Event

_NOTES = 10_000
_WINDOW = 64
"""Notes under way at once."""
_RECORD_S = 10.0
_RETRY_S = 1.0


class Recorder:
    def __init__(self) -> None:
        self._line: Line | None = None
        self._notes: deque[Event] = deque()
        self._pump: asyncio.Task[None] | None = None
        self.lost = 0
        """Notes that found no room."""

    @property
    def ready(self) -> bool:
        return self._line is not None

    def attach(self, line: Line | None) -> None:
        self._line = line
        self._go_on()

    async def record(self, event: Event) -> str:
        """The id of its record, once durable. Fault `audit.unavailable` when it is not."""
        if self._line is None:
            raise Fault("audit.unavailable", "The gateway is not there, so nothing can be recorded.")
        packet = await self._line.ask("record", wait_s=_RECORD_S, event=msgspec.to_builtins(event))
        said = packet.body.get("record")
        packet.close()
        if not isinstance(said, str) or not said:
            raise Fault("audit.unavailable", "The gateway did not say under which id it recorded.")
        return said

    def note(self, event: Event) -> None:
        if len(self._notes) >= _NOTES:
            self._notes.popleft()
            self.lost += 1
        self._notes.append(event)
        self._go_on()

    def _go_on(self) -> None:
        if self._line is not None and self._notes and (self._pump is None or self._pump.done()):
            self._pump = asyncio.create_task(self._send_notes(), name="notes for the record")

    async def _send_notes(self) -> None:
        while self._notes and self._line is not None:
            under_way = [self._notes.popleft() for _ in range(min(_WINDOW, len(self._notes)))]
            outcomes = await asyncio.gather(*map(self.record, under_way), return_exceptions=True)
            again = [event for event, outcome in zip(under_way, outcomes, strict=True) if _for_now(outcome)]
            self.lost += sum(isinstance(outcome, BaseException) for outcome in outcomes) - len(again)
            self._notes.extendleft(reversed(again))
            if again:
                await asyncio.sleep(_RETRY_S)


def _for_now(outcome: object) -> bool:
    """Whether a record failed only because it cannot be written at the moment; what the gateway will never take is let go."""
    return isinstance(outcome, Fault) and outcome.code == "audit.unavailable"


class Thinned:
    """Lets through so many refusals a second, with room for a burst, and counts the others."""

    def __init__(self, monotonic: Callable[[], float], *, per_s: float = 20, burst: float = 200) -> None:
        self._monotonic = monotonic
        self._per_s = per_s
        self._burst = burst
        self._left = burst
        self._at = monotonic()
        self.left_out = 0

    def take(self) -> int | None:
        """How many were left out before this one; None when this one is left out as well."""
        now = self._monotonic()
        self._left = min(self._burst, self._left + (now - self._at) * self._per_s)
        self._at = now
        if self._left < 1:
            self.left_out += 1
            return None
        self._left -= 1
        before, self.left_out = self.left_out, 0
        return before
