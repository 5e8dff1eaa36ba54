"""One small request of the gateway's own to a provider, through the same pool as the calls of containers.

For what no container asked: a token for a key, a check of a provider. The answer is small and taken whole.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from msgspec import Struct

from bawn.errors import Fault
from bawn.gateway.answer import Answer
from bawn.gateway.pool import Pool
from bawn.gateway.providers import Origin
from bawn.gateway.settings import Timeouts

_SECONDS = 30.0
_LONGEST = 1 << 20


class Told(Struct, frozen=True):
    """An answer, whole."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes

    @property
    def content_type(self) -> str:
        found = (value for name, value in self.headers if name == b"content-type")
        return next(found, b"").split(b";")[0].strip().lower().decode("latin-1")


async def ask(
    pool: Pool, clock: Callable[[], float], origin: Origin, head: bytes, body: bytes, seconds: float = _SECONDS
) -> Told:
    """Faults of `upstream.*`. On a connection of its own, so that none has to be tried twice."""
    try:
        async with asyncio.timeout(seconds):
            connection = await pool.take(origin, fresh=True)
            answer = Answer(connection, _FREE, clock, _done, secret=b"", usage_added=False)
            try:
                connection.send(head, body, answer)
                await answer.head_arrived()
                return Told(answer.status, answer.headers, await answer.body(_LONGEST))
            finally:
                answer.leave()
                connection.abort()
    except TimeoutError as error:
        raise Fault("upstream.timeout", "The provider took too long to answer.") from error


_FREE = Timeouts()
"""No sweep looks at these answers: the time limit above is theirs."""


def _done(answer: Answer) -> None:
    """Nothing is kept of it."""
