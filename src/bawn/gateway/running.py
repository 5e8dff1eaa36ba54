"""The calls that run now, so that a withdrawn right cuts them.

Nobody below the gateway knows of streams: the registry says that something about a container changed, and
this file looks whether its calls may go on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from bawn.errors import Fault
from bawn.gateway.admission import Admission, Standings
from bawn.terms.clock import Clock


class RunningCall:
    """One call in the hands of its task."""

    __slots__ = ("container_uuid", "left", "on_cut", "reason", "task")

    def __init__(self, container_uuid: str) -> None:
        self.container_uuid = container_uuid
        self.task: asyncio.Task[None] | None = None
        self.reason: Fault | None = None
        """Why it was cut, when it was."""
        self.left = False
        """Whether the client left before the end."""
        self.on_cut: Callable[[], None] | None = None
        """Stops the stream's short way at once; the task follows in the next turn of the loop."""

    def revoke(self, cause: str) -> None:
        self.reason = Fault("call.revoked", "The right to call models was withdrawn.", cause=cause)
        self._cut()

    def leave(self) -> None:
        self.left = True
        self._cut()

    def _cut(self) -> None:
        if self.on_cut is not None:
            self.on_cut()
        if self.task is not None:
            self.task.cancel()


class RunningCalls:
    """All running calls, by container."""

    def __init__(self, standings: Standings, clock: Clock) -> None:
        self._standings = standings
        self._clock = clock
        self._calls: dict[str, set[RunningCall]] = {}

    def add(self, call: RunningCall) -> None:
        self._calls.setdefault(call.container_uuid, set()).add(call)

    def remove(self, call: RunningCall) -> None:
        calls = self._calls.get(call.container_uuid)
        if calls is not None:
            calls.discard(call)
            if not calls:
                del self._calls[call.container_uuid]

    def changed(self, uuid: str) -> None:
        """Something about this container changed; called in the same turn of the loop as the change."""
        calls = self._calls.get(uuid)
        if not calls:
            return
        standing = self._standings.standing(uuid)
        cause = "the container is gone" if standing is None else Admission.withdrawn(standing, self._clock.now())
        if cause:
            for call in tuple(calls):
                call.revoke(cause)

    def count(self, uuid: str | None = None) -> int:
        if uuid is not None:
            return len(self._calls.get(uuid, ()))
        return sum(map(len, self._calls.values()))
