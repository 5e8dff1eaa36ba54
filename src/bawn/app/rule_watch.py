"""Sees that the files of rules beside `bawn.yaml` were changed, and lets what they say now hold.

Looked at once a second; what differs is read when it has stayed the same for one more look, so that a file is not read
while somebody writes it. A mistake changes nothing: the rules before hold, and `bawn status` says what is wrong.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import structlog

from bawn.app.rule_files import AGENT_FILES, FOLDER, Part
from bawn.errors import Fault
from bawn.terms.event import Event

_LOOK_S = 1.0
_log = structlog.get_logger("bawn.app.rules")

State = frozenset[tuple[str, int, int, int]]
"""Name, number, size and time of each file."""


class Recorder(Protocol):
    async def record(self, event: Event) -> str: ...


class RuleWatch:
    def __init__(
        self,
        folder: Path,
        read: Callable[[], Sequence[Part]],
        check: Callable[[Sequence[Part]], None],
        apply: Callable[[Sequence[Part]], None],
        recorder: Recorder,
    ) -> None:
        """`read` gives the rules of all files, `check` and `apply` say whether they fit and let them hold; each raises a
        Fault `config.*` with the reason why not."""
        self._folder = folder
        self._read = read
        self._check = check
        self._apply = apply
        self._recorder = recorder
        self._held = self._before = state(folder)
        self.wrong = ""
        """Why what stands in the files does not hold; empty when it does."""

    async def run(self) -> None:
        """For ever."""
        while True:
            await asyncio.sleep(_LOOK_S)
            await self.look()

    async def look(self) -> None:
        now = state(self._folder)
        settled, self._before = now == self._before, now
        if now == self._held or not settled:
            return
        self._held = now
        try:
            parts = self._read()
            self._check(parts)
            await self._recorder.record(Event("rules.reloaded", principal="bawn"))
            self._apply(parts)
            self.wrong = ""
        except Fault as fault:
            self.wrong = fault.sentence
            _log.warning("rules.refused", code=fault.code)
            with contextlib.suppress(Fault):
                await self._recorder.record(
                    Event("rules.refused", principal="bawn", code=fault.code, cause=fault.sentence)
                )


def state(folder: Path) -> State:
    """What can be seen of the files without reading them."""
    paths = [folder / name for name in AGENT_FILES]
    with contextlib.suppress(OSError):
        paths += (folder / FOLDER).iterdir()
    found = set()
    for path in paths:
        with contextlib.suppress(OSError):
            seen = path.stat()
            found.add((path.name, seen.st_ino, seen.st_size, seen.st_mtime_ns))
    return frozenset(found)
