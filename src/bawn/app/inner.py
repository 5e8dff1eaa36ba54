"""Model calls that Bawn makes on behalf of a container: by the re-entry door like those of scripts, with a ticket.

So they are admitted, permitted, limited, recorded and paid for as the container's own; no stage sees them, since it is a
stage that asks.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from bawn.errors import Fault
from bawn.gateway.asking import ask
from bawn.gateway.pool import Pool
from bawn.gateway.providers import Origin
from bawn.identity.reentry import Reentry
from bawn.terms.clock import Clock
from bawn.terms.principal import Container
from bawn.terms.way import Way

_BY_STAGE = Way(depth=1, by_stage=True)
_SECONDS = 120.0


class InnerCalls:
    def __init__(self, reentry: Reentry, pool: Pool, door: Path, clock: Clock) -> None:
        self._reentry = reentry
        self._pool = pool
        self._origin = Origin("inner.bawn.internal", 80, tls=False, unix=str(door))
        self._clock = clock
        self._running: set[str] = set()
        self._count = itertools.count(1)

    def lives(self, call: str) -> bool:
        """Whether the call of a ticket is one of these, and not over."""
        return call in self._running

    async def ask(self, container: Container, model: str, text: str) -> str:
        """What a model answers to a text. The Fault that a call of the container would have met."""
        body = {"model": model, "messages": [{"role": "user", "content": text}]}
        said = await self._call(container, "chat/completions", body)
        try:
            answer = said["choices"][0]["message"]["content"]
        except (KeyError, IndexError, TypeError):
            raise _broken() from None
        return answer if isinstance(answer, str) else ""

    async def embed(self, container: Container, model: str, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        """Texts as vectors, in their order."""
        said = await self._call(container, "embeddings", {"model": model, "input": list(texts)})
        try:
            rows = sorted(said["data"], key=lambda row: row["index"])
            vectors = [[float(number) for number in row["embedding"]] for row in rows]
        except (KeyError, TypeError, ValueError):
            raise _broken() from None
        if len(vectors) != len(texts):
            raise _broken()
        return vectors

    async def _call(self, container: Container, path: str, body: dict[str, Any]) -> Any:
        call = f"stage_{next(self._count)}"
        self._running.add(call)
        try:
            ticket = self._reentry.mint(container, 1, way=_BY_STAGE, call=call)
            data = msgspec.json.encode(body)
            head = (
                f"POST /api/v1/{path} HTTP/1.1\r\nhost: {self._origin.authority}\r\nauthorization: Bearer {ticket}\r\n"
                f"content-type: application/json\r\ncontent-length: {len(data)}\r\n\r\n"
            )
            told = await ask(self._pool, self._clock.monotonic, self._origin, head.encode(), data, _SECONDS)
        finally:
            self._running.discard(call)
        try:
            said = msgspec.json.decode(told.body)
        except msgspec.DecodeError:
            raise _broken() from None
        if told.status != 200:
            raise Fault("upstream.broken", f"A model that Bawn asked for the container answered {told.status}.")
        return said


def _broken() -> Fault:
    return Fault("upstream.broken", "A model that Bawn asked for the container answered something else.")
