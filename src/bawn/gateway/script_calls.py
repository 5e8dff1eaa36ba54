"""The walk of a call that passes a script and is none to a model: lists of models, kept objects, opened paths, and paths
that only a script knows. What the script says is passed on whole, as JSON or text.

The stages and the tool gate know nothing of such an answer. So one that has anything in it by which a client would run a
tool is refused: a path that only a script knows is no way round the gate.
"""

from __future__ import annotations

import re
from typing import Protocol

from bawn.errors import Fault
from bawn.gateway.admission import Admission, Admitted
from bawn.gateway.call import RawCall
from bawn.gateway.closing import Account
from bawn.gateway.opening import Recorder
from bawn.gateway.reply import Reply
from bawn.gateway.settings import Limits
from bawn.scripts.answering import JSON, content_type, refusal
from bawn.scripts.ways import Layer, Ways, exec_of
from bawn.scripts.working import ScriptCall, Workers, safe
from bawn.stages.stage import Source
from bawn.terms.door import Door, DoorKind
from bawn.terms.event import Event
from bawn.terms.exchange import Endpoint, WireName
from bawn.terms.principal import Container, label
from bawn.terms.way import Way
from bawn.wire import Route
from bawn.wire.other_calls import read_other_path_answer, read_other_path_text

ONLY_A_SCRIPT = Route(Endpoint.SCRIPT, WireName.OPENAI)
_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_UNTYPED = (Endpoint.MODELS, Endpoint.OTHER, Endpoint.SCRIPT)
_TEXT = re.compile(rb"text/(plain|markdown|csv|event-stream)|application/(x-ndjson|jsonl)")
_REFUSAL_BYTES = 1 << 20


class Works(Protocol):
    """What follows from the configuration; of `server`, which stands above."""

    @property
    def limits(self) -> Limits: ...


class ScriptCalls:
    """All that the gateway asks about scripts. Without one, no call passes any."""

    def __init__(self, ways: Ways, workers: Workers, admission: Admission, recorder: Recorder) -> None:
        self.ways = ways
        self._workers = workers
        self._admission = admission
        self._recorder = recorder

    def chosen(self, door: Door, host: bytes) -> str:
        """The exec that the URL names: none at the AI door, where no Host header chooses anything."""
        return exec_of(host) if door.kind is DoorKind.EXEC else ""

    def only(self, container: Container, door: Door, method: str, path: bytes, host: bytes) -> bool:
        """Whether a path that nobody else knows is answered by the script that the URL names."""
        return (
            door.kind is DoorKind.EXEC
            and method in _METHODS
            and self.ways.serves(container, self.chosen(door, host), path)
        )

    def way(self, container: Container, raw: RawCall) -> Way:
        """The scripts before a call. Fault `script.unknown_exec`."""
        if raw.way is not None:
            return raw.way
        return self.ways.begin(container, self.chosen(raw.door, raw.header(b"host")))

    def before(self, container: Container, door: Door, host: bytes) -> bool:
        """Whether a call by this door passes any."""
        return bool(self.ways.begin(container, self.chosen(door, host)).ahead)

    async def walk(self, works: Works, admitted: Admitted, way: Way, reply: Reply, account: Account) -> bool:
        """Answer by the next script, if this is a call for which that is done here and there is one."""
        raw = admitted.raw
        if raw.route.endpoint not in _UNTYPED and raw.route.object is None:
            return False
        layer = self.ways.layer(admitted.container, way, raw.path) if way.ahead else None
        if layer is None:
            if raw.route.endpoint is Endpoint.SCRIPT:
                raise Fault("http.unknown_path", "There is nothing at this path.")
            return False
        await self._recorder.record(_event(admitted, layer))
        # Writing the record took time; the right to call must hold now, not only when it was asked.
        self._admission.admit(raw)
        source = await self._workers.call(
            ScriptCall(
                call=raw.id,
                container=admitted.container,
                exec=layer.exec,
                file=layer.file,
                parameters=layer.parameters,
                method=raw.method,
                path=raw.path,
                headers=safe(raw.headers),
                body=raw.body,
                timeout_s=layer.timeout_s,
                after=layer.after,
            )
        )
        try:
            await self._pass(works, raw, source, reply, account)
        finally:
            source.leave()
        return True

    async def _pass(self, works: Works, raw: RawCall, source: Source, reply: Reply, account: Account) -> None:
        failed = any(name == b"x-bawn-script-fault" for name, _ in source.headers)
        if failed or (raw.route.endpoint is not Endpoint.SCRIPT and not 200 <= source.status < 300):
            raise refusal(source.status, source.headers, await source.body(_REFUSAL_BYTES))
        if not 200 <= source.status < 300 and not 400 <= source.status < 600:
            raise _bad(f"its status is {source.status}")
        body = await source.body(works.limits.answer_bytes)
        kind = content_type(source.headers)
        try:
            if kind == JSON:
                read_other_path_answer(body)
            else:
                read_other_path_text(body)
        except Fault as fault:
            raise _bad(fault.cause or fault.sentence) from None
        if kind != JSON and body and not (_TEXT.fullmatch(kind) or raw.route.object is not None):
            raise _bad(f"its content type is {kind.decode('latin-1')[:100]!r}")
        account.status = source.status
        headers = [(b"content-type", kind), *(pair for pair in source.headers if pair[0] == b"retry-after")]
        reply.whole(source.status, headers if kind else headers[1:], body)


def _event(admitted: Admitted, layer: Layer) -> Event:
    raw, container = admitted.raw, admitted.container
    return Event(
        event="script.called",
        endpoint=raw.route.endpoint.value,
        method=raw.method,
        api_key_name=f"container-{container.name}",
        principal=label(container),
        container=container.uuid,
        call=raw.id,
        detail=(("script", f"{layer.exec}/{layer.file}"), *((("for", raw.parent),) if raw.parent else ())),
    )


def _bad(cause: str) -> Fault:
    return Fault(
        "script.bad_answer", "A script answered this call with something that is no answer to it.", cause=cause
    )
