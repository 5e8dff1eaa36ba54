"""The advisories as they are on the disk now: read at once, and again when they change.

Until they could be read once nothing is known to be harmless, so nothing is served. When a renewal cannot be read, perhaps
because it is being written, what was known before goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import structlog

from bawn.packages.advisories import Advisories, load, signature

_log = structlog.get_logger("bawn.packages")

LOOK_S = 300.0
AGAIN_S = 15.0
"""After they could not be read."""


class Renewal:
    """`know` is told what is known; None when nothing may be served."""

    def __init__(self, know: Callable[[Advisories | None], None]) -> None:
        self._know = know
        self._watched: tuple[str, bool] | None = None
        self._task: asyncio.Task[None] | None = None
        self.look_s, self.again_s = LOOK_S, AGAIN_S

    def watch(self, place: str | None, *, every: bool) -> None:
        """`place`: a folder or zip, or none."""
        wanted = None if place is None else (place, every)
        if wanted == self._watched and (wanted is None or self._task is not None):
            return
        self.close()
        self._watched = wanted
        if place is None:
            self._know(Advisories())
            return
        self._know(None)
        self._task = asyncio.create_task(self._watching(Path(place), every=every))

    def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def _watching(self, place: Path, *, every: bool) -> None:
        seen: tuple[int, int] | None = None
        while True:
            wait_s = self.look_s
            try:
                now = await asyncio.to_thread(signature, place)
                if now != seen:
                    known = await asyncio.to_thread(load, place, every=every)
                    seen = now
                    self._know(known)
                    _log.info("packages.advisories", packages=len(known))
            except (OSError, ValueError) as error:
                wait_s = self.again_s
                _log.error("packages.advisories_unreadable", error=type(error).__name__)
            await asyncio.sleep(wait_s)
