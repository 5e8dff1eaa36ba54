"""What stands in a batch, permitted line by line as if each were a call; one line that may not be, and none is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from functools import partial

from msgspec import structs

from bawn.errors import Fault
from bawn.gateway.admission import Admitted
from bawn.gateway.pipeline import Pipeline
from bawn.stages.asked import Asked
from bawn.stages.stage import Ending
from bawn.terms.exchange import Endpoint, Exchange, Fetch, HostedTool, Usage
from bawn.wire.batch_lines import MOST_LINES, read_params, read_requests, read_result

_ADDED = ("input_tokens", "output_tokens", "cached_tokens", "cache_write_tokens", "reasoning_tokens")
_AT_ONCE = 32
_UNKEPT = (b"cache-control", b"no-store")
MOST_BYTES = 256 * 2**20
"""Of an input file: more than providers take."""


class Permitted:
    """The lines of one batch that were permitted so far, and by which ways they lead out."""

    def __init__(self, pipeline: Pipeline, admitted: Admitted, provider: str) -> None:
        self._pipeline, self._admitted, self._provider = pipeline, admitted, provider
        self._hosted: dict[HostedTool, None] = {}
        self._unknown: dict[str, None] = {}
        self._fetches: dict[str, Fetch] = {}
        self._bytes = 0
        self.lines = 0

    async def take(self, read: Callable[[], Exchange], size: int = 0) -> None:
        """The next line. The Fault that a call would have met, with the line's number."""
        self.lines += 1
        self._bytes += size
        if self.lines % _AT_ONCE == 0:
            # Other calls have their turn.
            await asyncio.sleep(0)
        try:
            if self.lines > MOST_LINES or self._bytes > MOST_BYTES:
                raise Fault("request.invalid", f"A batch has at most {MOST_LINES} lines and {MOST_BYTES} bytes.")
            await self._permit(read())
        except Fault as fault:
            raise Fault(
                fault.code, f"Line {self.lines} of the batch: {fault.sentence}", cause=fault.cause, remedy=fault.remedy
            ) from fault

    async def _permit(self, exchange: Exchange) -> None:
        # The provider reads its own name of the model, since nobody changes it on the way.
        named = structs.replace(exchange, model=f"{self._provider}/{exchange.model}")
        asked = self._pipeline.asked(self._admitted, named)
        # For stages each line is a call of its own, that ends when it is permitted. What was kept answers no line.
        asked.call = f"{asked.call}.{self.lines}"
        asked.headers = (_UNKEPT, *asked.headers)
        ending = Ending(403, "refused", None, named.model, None, 0)
        try:
            await self._judge(exchange, named, asked)
            ending = Ending(200, "ok", None, named.model, None, 0)
        finally:
            self._pipeline.over(asked, ending)
        self._hosted.update(dict.fromkeys(exchange.hosted_tools))
        self._unknown.update(dict.fromkeys(exchange.unknown_tools))
        for fetch in exchange.fetches:
            self._fetches.setdefault(fetch.url, fetch)

    async def _judge(self, exchange: Exchange, named: Exchange, asked: Asked) -> None:
        prepared = await self._pipeline.prepare(self._admitted, asked)
        if prepared.exchange is not named or prepared.given is not None:
            raise Fault("stage.refused", "A stage would change or answer this, which in a batch nobody can.")
        if (prepared.target.provider, prepared.target.model) != (self._provider, exchange.model):
            raise Fault("request.unknown_model", "A batch names each model as its provider does, and not by an alias.")

    def ways(self, exchange: Exchange) -> Exchange:
        """The batch itself, with what its lines make the provider do."""
        return structs.replace(
            exchange,
            hosted_tools=tuple(self._hosted),
            unknown_tools=(*exchange.unknown_tools, *self._unknown),
            fetches=(*exchange.fetches, *self._fetches.values()),
        )


async def permit_requests(permitted: Permitted, body: bytes) -> None:
    """All that stand in the body of a batch of messages."""
    for request in read_requests(body):
        await permitted.take(partial(read_params, request))


async def used(lines: AsyncIterator[bytes], asked: Endpoint) -> Iterable[tuple[str, Usage]]:
    """What the lines of an output used, by model."""
    sums: dict[str, Usage] = {}
    async for line in lines:
        result = read_result(line, asked)
        if result.usage is not None:
            before = sums.get(result.model, Usage())
            added = {name: getattr(before, name) + getattr(result.usage, name) for name in _ADDED}
            sums[result.model] = Usage(**added)
    return sums.items()
