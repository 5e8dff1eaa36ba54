"""The stage in which a model call passes a script: the call goes to the script's worker, and its answer is the answer.

The script has the rest of the stages before it, which it reaches by asking in the call's place; so a call that passes
a script ends here, and the stages behind this one see the script's own call instead.
"""

from __future__ import annotations

from collections.abc import Callable

from bawn.errors import Fault
from bawn.scripts.answering import EVENTS, JSON, answered, content_type, refusal
from bawn.scripts.settings import Scripts
from bawn.scripts.ways import Ways
from bawn.scripts.working import ScriptCall, Workers, safe
from bawn.stages.asked import Asked
from bawn.stages.stage import Ending, Given, Source, View
from bawn.terms.clock import Clock
from bawn.terms.exchange import Endpoint

_SOUND = frozenset((Endpoint.SPEECH, Endpoint.TRANSCRIPTIONS))
_REFUSAL_BYTES = 1 << 20


class ScriptStage:
    """Fulfils `stages.Stage`."""

    name = "scripts"

    def __init__(self, ways: Ways, workers: Workers, settings: Callable[[], Scripts], clock: Clock) -> None:
        self._ways = ways
        self._workers = workers
        self._settings = settings
        self._clock = clock

    async def request(self, asked: Asked) -> Given | None:
        layer = self._ways.layer(asked.container, asked.way, asked.path)
        if layer is None:
            return None
        asked.notes.append(("script", f"{layer.exec}/{layer.file}"))
        source = await self._workers.call(
            ScriptCall(
                call=asked.call,
                container=asked.container,
                exec=layer.exec,
                file=layer.file,
                parameters=layer.parameters,
                method=asked.method,
                path=asked.path,
                headers=safe(asked.headers),
                body=asked.document.body() if asked.document is not None and asked.changed else asked.exchange.body,
                timeout_s=layer.timeout_s,
                after=layer.after,
            )
        )
        try:
            given = await self._given(asked, source)
        except BaseException:
            source.leave()
            raise
        if given.source is None:
            source.leave()
        return given

    async def _given(self, asked: Asked, source: Source) -> Given:
        settings = self._settings()
        if not 200 <= source.status < 300:
            raise refusal(source.status, source.headers, await source.body(_REFUSAL_BYTES))
        kind = content_type(source.headers)
        exchange = asked.exchange
        if kind == EVENTS and exchange.stream:
            return Given(b"", source, free=True, alone=True)
        if exchange.endpoint in _SOUND and kind != JSON and not exchange.stream:
            return Given(b"", source, free=True, alone=True)
        if kind != JSON:
            raise Fault(
                "script.bad_answer",
                "A script answered this call with something that is no answer to it.",
                cause=f"its content type is {kind.decode('latin-1')[:100]!r}",
            )
        body = await source.body(settings.limits.answer_bytes)
        created = int(self._clock.now().timestamp())
        data = answered(exchange, body, settings.pending, asked.call, created)
        # What the script asked for is priced by itself.
        return Given(data, free=True, alone=True)

    def view(self, asked: Asked) -> View | None:
        return None

    def over(self, asked: Asked, ending: Ending) -> None:
        """Nothing is kept of a call."""
