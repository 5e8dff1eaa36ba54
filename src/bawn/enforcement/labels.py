"""Which tags a conversation carries: those of its container, those that an operator gave it, and those that it names.

What comes from inside a container only adds: there is no way to take a tag away from in there.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Coroutine, Mapping
from typing import Any

import structlog

from bawn.errors import Fault

_log = structlog.get_logger("bawn.rules")
_MOST = 20_000
_MOST_NAMED = 32


class Labels:
    def __init__(self, containers: Mapping[str, frozenset[str]] | None = None) -> None:
        self._containers: Mapping[str, frozenset[str]] = containers or {}
        """By uuid; of the operator."""
        self._sessions: OrderedDict[tuple[str, str], frozenset[str]] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()

    def hold(self, containers: Mapping[str, frozenset[str]]) -> None:
        """The tags that containers have from now on."""
        self._containers = containers

    def tag(self, container: str, session: str, tags: frozenset[str]) -> None:
        """An operator gives a conversation these tags, in place of those before."""
        self._sessions[container, session] = tags
        while len(self._sessions) > _MOST:
            self._sessions.popitem(last=False)

    def of(self, container: str, session: str, named: bytes = b"") -> frozenset[str]:
        tags = self._containers.get(container, frozenset()) | self._sessions.get((container, session), frozenset())
        if named:
            inside = [each.strip() for each in named.decode("ascii", "replace").split(",")]
            tags |= frozenset(each for each in inside[:_MOST_NAMED] if each)
        return tags

    def background(self, work: Coroutine[Any, Any, None]) -> None:
        """Something that nobody waits for; its failure is in the log."""
        task = asyncio.ensure_future(_logged(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _logged(work: Coroutine[Any, Any, None]) -> None:
    try:
        await work
    except Fault as fault:
        _log.warning("rule.not_told", code=fault.code)
