"""Both books as the gateway closes a call with them."""

from __future__ import annotations

from bawn.guardrails.refusals import RefusalBook
from bawn.guardrails.settlement import Refusal, Settlement
from bawn.guardrails.usage import UsageBook
from bawn.store.engine import Store


class Books:
    def __init__(self, store: Store) -> None:
        self.usage = UsageBook(store)
        self.refusals = RefusalBook(store)

    def start(self) -> None:
        """Begins to write in the background of this event loop."""
        self.usage.batches.start()
        self.refusals.start()

    def add(self, settlement: Settlement) -> None:
        """Never waits. Fault `store.unavailable` when too many wait already."""
        self.usage.add(settlement)

    def refuse(self, refusal: Refusal) -> None:
        """Never waits, never raises."""
        self.refusals.refuse(refusal)

    async def close(self) -> None:
        """Writes what is left."""
        await self.usage.batches.close()
        await self.refusals.close()
