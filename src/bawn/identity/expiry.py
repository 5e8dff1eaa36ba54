"""A container whose time is over: its right to call models is withdrawn at that moment, then its box is stopped.

The withdrawal comes first and does not wait for the box. Time is looked at anew at least every
`LONGEST_SLEEP_S`, since the wall clock may be set while this sleeps. (Admission compares the time of expiry
itself as well, so this task being late never lets a call in; it is what cuts running streams.)
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from bawn.errors import Fault
from bawn.identity.record import Record
from bawn.identity.registry import Registry
from bawn.terms.clock import Clock

LONGEST_SLEEP_S = 30.0
RETRY_S = 5.0

log = structlog.get_logger(__name__)


class Expiry:
    def __init__(self, registry: Registry, clock: Clock, stop_box: Callable[[Record], Awaitable[None]]) -> None:
        self._registry = registry
        self._clock = clock
        self._stop_box = stop_box
        self._settled: dict[str, Record] = {}
        """Containers already dealt with, as they were then; a changed one is looked at again."""
        self._changed = asyncio.Event()
        registry.watch(lambda uuid: self._changed.set())

    async def run(self) -> None:
        """Runs until cancelled."""
        while True:
            self._changed.clear()
            failed = await self._settle()
            timeout = RETRY_S if failed else self._until_next()
            try:
                async with asyncio.timeout(timeout):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def _settle(self) -> bool:
        """Deals with everything that is over; whether something failed and is to be tried again."""
        failed = False
        now = self._clock.now()
        living = self._registry.list()
        self._settled = {record.uuid: record for record in living if self._settled.get(record.uuid) == record}
        for record in living:
            if record.expires is None or record.expires > now or record.uuid in self._settled:
                continue
            try:
                revoked = await self._registry.expire(record.uuid)
                if revoked.state == "running":
                    await self._stop_box(revoked)
                self._settled[record.uuid] = self._registry.get(record.uuid)
            except Fault as fault:
                failed = failed or fault.code != "api.not_found"
                log.warning("expiry.failed", container=record.number, code=fault.code, sentence=fault.sentence)
        return failed

    def _until_next(self) -> float:
        now = self._clock.now()
        waits = [
            (record.expires - now).total_seconds()
            for record in self._registry.list()
            if record.expires is not None and record.uuid not in self._settled
        ]
        return max(0.0, min([LONGEST_SLEEP_S, *waits]))
