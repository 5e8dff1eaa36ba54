"""The last records, and the next ones as they come: the only source of "live".

The gateway cannot read the log; it asks the writer. Following is asking again for what came after the last
number seen, so a follower misses nothing when writer or connection are begun anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec

from bawn.audit.packets import TAIL_LIMIT, TailRequest
from bawn.audit.recorder import Recorder

ASK_EVERY_S = 0.3


class Feed:
    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    async def tail(self, request: TailRequest) -> list[dict[str, Any]]:
        """Records as they stand in the log, with fields that this version does not know; oldest first."""
        return [msgspec.json.decode(line) for line in await self._recorder.tail(request)]

    async def follow(self, request: TailRequest) -> AsyncIterator[dict[str, Any]]:
        """The last `request.n` records, then every later one that fits."""
        while True:
            # Where the log stands is asked first, so that a follower of something rare does not make the writer
            # search the same lines again and again.
            newest = await self.tail(TailRequest(n=1))
            records = await self.tail(request)
            for record in records:
                yield record
            after = max([request.after, *(record["sequence"] for record in (*newest, *records))])
            request = msgspec.structs.replace(request, after=after, n=TAIL_LIMIT)
            await asyncio.sleep(ASK_EVERY_S)
