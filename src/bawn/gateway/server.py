"""The walk of a call, room by room, in the order of `docs/flow.md`.

    http1       a whole request          → RawCall
    admission   RawCall                  → Admitted          who, and may they
    wire        the body                 → Exchange          what is asked
    pipeline    Admitted, Exchange       → Prepared          stages, permissions
    opening     Prepared                 → Opened            on record before it happens
    upstream    Opened                   → Answer            the key is added here, nowhere else
    relay       Answer                   → frames            text at once, tool calls whole and judged
    closing     Account                  → settlement, record

Each step takes what only the step before it can make, so a call that skipped one does not type-check.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

import structlog

from bawn.errors import Fault
from bawn.gateway.admission import Admission, Admitted, Standings
from bawn.gateway.answer import Answer
from bawn.gateway.attempt import Begun, is_event_stream, stream_reader
from bawn.gateway.call import RawCall, new_call_id
from bawn.gateway.claims import claim
from bawn.gateway.closing import Account, Closing
from bawn.gateway.failover import Failover
from bawn.gateway.http1 import DoorConnection, Head
from bawn.gateway.models import model_list
from bawn.gateway.object_calls import ObjectCalls
from bawn.gateway.opening import Opened, Recorder, open_record
from bawn.gateway.other_calls import OtherCalls
from bawn.gateway.owners import OWED
from bawn.gateway.passage import Passage
from bawn.gateway.permissions import Permissions
from bawn.gateway.pipeline import Pipeline
from bawn.gateway.relay import Relay
from bawn.gateway.reply import Reply
from bawn.gateway.running import RunningCall, RunningCalls
from bawn.gateway.settings import Limits
from bawn.gateway.toolgate import ToolGate, Withheld
from bawn.gateway.upstream import Upstream
from bawn.guardrails.settlement import Outcome
from bawn.terms.clock import Clock
from bawn.terms.door import Door
from bawn.terms.exchange import Endpoint, Exchange, Usage, WireName
from bawn.terms.frames import HeldCall
from bawn.terms.principal import Container
from bawn.terms.value import Value
from bawn.translation.errors import read_error, write_error
from bawn.wire import Route, endpoint, wire
from bawn.wire.endpoints import is_gemini
from bawn.wire.interface import Answer as WholeAnswer
from bawn.wire.interface import StreamReader
from bawn.wire.objects import Body
from bawn.wire.openai_sound import JSON, SOUND, kind_of_answer, read_sound, read_transcription
from bawn.wire.other_calls import other_path, other_route

_log = structlog.get_logger("bawn.gateway")
_BYTES_PER_TOKEN = 4
_NO_ROW = ("http.unknown_path", "http.method_not_allowed")
_LARGE = 256 * 2**10
"""Bytes of a body over which a call gives way between its steps."""
KEEPING = ("store", "background")
"""By which a request has the provider keep its answer."""
_NO_ROUTE = Route(Endpoint.PROBE, None)
"""Of what was no call; such a request is only ever refused."""


class Works(Value, frozen=True):
    """Everything a call needs that follows from the configuration; a call keeps the one it began with."""

    limits: Limits
    permissions: Permissions
    pipeline: Pipeline
    upstream: Upstream
    failover: Failover | None = None
    """None: every call has one try."""


class Gateway:
    """Answers the calls of all AI doors."""

    def __init__(
        self,
        works: Works,
        standings: Standings,
        recorder: Recorder,
        gate: ToolGate,
        closing: Closing,
        clock: Clock,
    ) -> None:
        self.works = works
        self.running = RunningCalls(standings, clock)
        self._standings = standings
        self._admission = Admission(standings, clock)
        self._recorder = recorder
        self._gate = gate
        self._closing = closing
        self.clock = clock
        self._objects = ObjectCalls(self._admission, recorder, gate, clock, self._carry_refusal)
        self._others = OtherCalls(self._admission, recorder, self._carry_refusal)
        self._tasks: set[asyncio.Task[None]] = set()

    def glance(self, door: Door, head: Head) -> Fault | None:
        """What can be refused on the head: an unknown path, and a caller who may not call."""
        try:
            if head.route is None:
                head.route = self._route(head)
                if head.route.endpoint is not Endpoint.PROBE:
                    head.claim = self._admission.claim(head.headers)
            if head.route.endpoint is not Endpoint.PROBE:
                container = self._admission.check(door, head.claim)
                if head.route.endpoint is Endpoint.OTHER:
                    self.works.permissions.permit_path(container, head.route.model)
                if head.route.object is not None:
                    row = head.route.object.row
                    self.works.permissions.permit_family(container, row.family)
                    head.upload_bytes = self.works.limits.upload_bytes if row.body is Body.UPLOAD else 0
        except Fault as fault:
            return fault
        return None

    def _route(self, head: Head) -> Route:
        try:
            return endpoint(head.method, head.path, head.headers)
        except Fault as fault:
            path = other_path(head.method, head.path)
            if fault.code not in _NO_ROW or not self.works.permissions.opens(path):
                raise
            return other_route(path, anthropic=any(name == b"anthropic-version" for name, _ in head.headers))

    def begin(self, door: Door, head: Head, body: bytes, connection: DoorConnection) -> Callable[[], None]:
        raw = _raw(door, head, body, self.clock.monotonic())
        call = RunningCall(door.container_uuid)
        self.running.add(call)
        task = asyncio.get_running_loop().create_task(self._run(raw, call, connection))
        call.task = task
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return call.leave

    def refuse(self, door: Door, head: Head | None, fault: Fault, connection: DoorConnection) -> None:
        """Answer what was not a call, in the format that its path suggests."""
        shown = head or Head("", b"", [], keep_alive=False)
        raw = _raw(door, shown, b"", self.clock.monotonic())
        account = Account(raw, self._container(door))
        account.fault, account.status, account.outcome = fault, fault.status, "refused"
        Reply(connection, raw.id, raw.route.wire or _wire_of_path(shown.path)).refuse(fault)
        self._closing.close(account)

    async def _run(self, raw: RawCall, call: RunningCall, connection: DoorConnection) -> None:
        """One call from its first line to its settlement. Nothing is raised out of here."""
        account = Account(raw, self._container(raw.door))
        reply = Reply(connection, raw.id, raw.route.wire or _wire_of_path(raw.path))
        try:
            await self._walk(raw, call, connection, reply, account)
        except Fault as fault:
            _ended(account, fault, "upstream_error" if fault.kind.blame == "upstream" else "refused")
        except asyncio.CancelledError:
            if call.reason is not None:
                _ended(account, call.reason, "revoked")
            else:
                account.outcome = "client_left" if call.left else "cut"
        except Exception as error:  # noqa: BLE001 - the outermost loop: a client never sees a traceback
            _log.error("call.failed", call=raw.id, error=type(error).__name__, exc_info=error)
            _ended(account, Fault("internal", "The gateway failed on this call."), "cut")
        finally:
            self.running.remove(call)
            if account.fault is not None and not connection.lost:
                reply.refuse(account.fault)
            self._closing.close(account)

    async def _walk(
        self, raw: RawCall, call: RunningCall, connection: DoorConnection, reply: Reply, account: Account
    ) -> None:
        works = self.works
        route = raw.route
        if route.endpoint is Endpoint.PROBE:
            account.status = 200
            reply.whole(200, (), b"")
            return
        admitted = self._admission.admit(raw)
        if route.endpoint is Endpoint.MODELS:
            account.status = 200
            reply.json(model_list(works.permissions, admitted, route, self.clock.now()))
            return
        if route.endpoint is Endpoint.OTHER:
            await self._others.walk(self.works, admitted, reply, account)
            return
        if route.object is not None:
            await self._objects.walk(self.works, admitted, route.object, connection, reply, account)
            return
        exchange = _asked(raw, route)
        account.exchange = exchange
        if len(raw.body) > _LARGE:
            # Reading it took a while; what waits, streams of others above all, goes before the rest.
            await asyncio.sleep(0)
        prepared = await works.pipeline.prepare(admitted, exchange)
        account.exchange, account.target = prepared.exchange, prepared.target
        if works.failover is not None and (chain := works.failover.chain(prepared)) is not None:
            still = partial(self._still, admitted)
            begun = await works.failover.answered(prepared, chain, account, still)
            await self._carry(begun, call, connection, reply, account, works)
            return
        way = works.upstream.passage(prepared) if prepared.given is None else None
        opened = await open_record(prepared, self._recorder, way.detail if way is not None else ())
        account.opened = opened
        if len(raw.body) > _LARGE:
            await asyncio.sleep(0)
        self._still(admitted)
        if way is None:
            given = prepared.given.data if prepared.given is not None else b""
            await self._carry_given(opened, given, call, connection, reply, account)
            return
        begun = Begun(opened, way, await works.upstream.send(opened, way))
        await self._carry(begun, call, connection, reply, account, works)

    async def _carry(
        self, begun: Begun, call: RunningCall, connection: DoorConnection, reply: Reply, account: Account, works: Works
    ) -> None:
        """An answer, as far as it has come, to the client."""
        opened, way, answer = begun.opened, begun.way, begun.answer
        account.key_label = answer.key_label
        try:
            if answer.status != 200:
                await self._carry_refusal(answer, way, reply, account, works.limits)
            elif opened.prepared.exchange.stream and is_event_stream(answer, way):
                await self._carry_stream(begun, call, connection, reply, account)
            else:
                await self._carry_whole(begun, reply, account, works.limits)
        finally:
            answer.leave()
            works.upstream.settle(answer, account.usage)

    def _still(self, admitted: Admitted) -> None:
        """Writing the record took time; the right to call must hold now, not only when it was asked."""
        self._admission.admit(admitted.raw)

    async def _carry_whole(self, begun: Begun, reply: Reply, account: Account, limits: Limits) -> None:
        opened, way, answer, body = begun.opened, begun.way, begun.answer, begun.body
        carried = body is not None
        if body is None:
            body = await answer.body(limits.answer_bytes)
        account.first_byte = self.clock.monotonic()
        if opened.prepared.exchange.stream:
            raise Fault("upstream.broken", "The provider was asked for a stream and answered something else.")
        if way.carriage is not None:
            if not carried:
                body = way.carriage.answer(body, opened.prepared.admitted.raw.id, int(self.clock.now().timestamp()))
            try:
                headers = [*answer.headers, *way.headers]
                await self._release(opened, _without(answer.secret, body), headers, reply, account)
            finally:
                account.usage = way.carriage.usage
            return
        endpoint = opened.prepared.exchange.endpoint
        kind = kind_of_answer(endpoint, _content_type(answer)) if endpoint in SOUND else JSON
        await self._release(opened, _without(answer.secret, body), answer.headers, reply, account, kind)

    async def _release(
        self,
        opened: Opened,
        body: bytes,
        headers: list[tuple[bytes, bytes]],
        reply: Reply,
        account: Account,
        kind: bytes = JSON,
    ) -> None:
        """Let a whole answer out, its tool calls judged."""
        exchange = opened.prepared.exchange
        read = _answered(exchange, kind, body)
        account.usage, account.answered_model = read.usage, read.model
        for stage in opened.prepared.frame_stages:
            for frame in await stage.frame(HeldCall(read.calls, body)):
                body = frame.data
            read = _answered(exchange, kind, body)
        if read.calls:
            verdict = await self._gate.judge(opened, HeldCall(read.calls, body))
            if isinstance(verdict, Withheld):
                raise Fault("tool.refused", f"A tool call was refused: {verdict.decision.because}.")
            body = verdict.data
        await self._claim(opened, read.made, account)
        account.status = 200
        kept = [pair for pair in headers if pair[0] != b"content-type"]
        reply.whole(200, [(b"content-type", kind), *kept], body)

    async def _carry_stream(
        self,
        begun: Begun,
        call: RunningCall,
        connection: DoorConnection,
        reply: Reply,
        account: Account,
    ) -> None:
        opened, way, answer = begun.opened, begun.way, begun.answer
        reader = begun.reader
        if reader is None:
            reader = stream_reader(opened, answer, way, int(self.clock.now().timestamp()))
        before_end = None
        if any(tool.type in KEEPING for tool in opened.prepared.exchange.hosted_tools):
            before_end = partial(self._claim_read, opened, reader, account)
        relay = Relay(opened, reader, self._gate, reply, self.clock.monotonic, answer=answer, before_end=before_end)
        relay.flow(connection)
        call.on_cut = relay.stop
        account.status = 200
        kept = [*(pair for pair in answer.headers if pair[0] != b"content-type"), *way.headers]
        reply.open_stream(200, [(b"content-type", b"text/event-stream"), *kept])
        try:
            relay.begin(begun.frames)
            answer.hand_to(relay)
            await relay.run()
        finally:
            relay.stop()
            account.first_byte = relay.first_byte
            _take_usage(account, reader, relay)

    async def _claim(self, opened: Opened, made: str, account: Account) -> None:
        """What the provider keeps of an answer, because it was asked to, belongs to the container. What goes on in the
        background is paid for when its end is read."""
        if not made:
            return
        prepared = opened.prepared
        hosted = [tool.type for tool in prepared.exchange.hosted_tools]
        if any(kind in KEEPING for kind in hosted):
            owed = account.usage is None and "background" in hosted
            kind = "response" + OWED if owed else "response"
            await claim(opened, self.works.permissions, self._recorder, made, kind, self.clock.now())
            if owed:
                account.usage, account.free = Usage(), True

    async def _claim_read(self, opened: Opened, reader: StreamReader, account: Account) -> None:
        account.usage = reader.usage
        await self._claim(opened, reader.made, account)

    async def _carry_given(
        self,
        opened: Opened,
        data: bytes,
        call: RunningCall,
        connection: DoorConnection,
        reply: Reply,
        account: Account,
    ) -> None:
        """An answer of a stage goes the same way as one of a provider: the gate stays last."""
        exchange = opened.prepared.exchange
        if not exchange.stream:
            await self._release(opened, data, [], reply, account)
            return
        reader = wire(exchange.wire).stream_reader(hide_usage=False)
        relay = Relay(opened, reader, self._gate, reply, self.clock.monotonic, answer=None)
        call.on_cut = relay.stop
        account.status = 200
        reply.open_stream(200, ((b"content-type", b"text/event-stream"),))
        relay.on_data(data)
        relay.on_end()
        await relay.run()

    async def _carry_refusal(
        self, answer: Answer, way: Passage | None, reply: Reply, account: Account, limits: Limits
    ) -> None:
        """The provider said no. Its words pass when they are of its wire; what concerns our key does not."""
        body = _without(answer.secret, await answer.body(min(limits.answer_bytes, 2**20)))
        account.status = answer.status
        account.outcome = "upstream_error"
        if answer.status in (401, 403):
            raise Fault(
                "upstream.key_refused",
                "The provider did not accept the key that this installation has for it.",
                cause=f"the provider answered {answer.status}"
                + (f" to the key with the label {answer.key_label}" if answer.key_label else ""),
            )
        if way is not None and way.carriage is not None:
            sentence = read_error(body)
            written = write_error(reply.wire, answer.status, sentence) if sentence is not None else b""
            # Once more: what was escaped in the provider's words may be plain in ours.
            body = _without(answer.secret, written)
        if not 400 <= answer.status < 600 or not wire(reply.wire).is_error(body):
            raise Fault(
                "upstream.broken",
                "The provider answered with an error that is not of its wire.",
                cause=f"status {answer.status}, {len(body)} bytes",
            )
        kept = [pair for pair in answer.headers if pair[0] != b"content-type"]
        reply.whole(answer.status, [(b"content-type", b"application/json"), *kept], body)

    def _container(self, door: Door) -> Container | None:
        standing = self._standings.standing(door.container_uuid)
        return standing.container if standing is not None else None

    async def drain(self) -> None:
        """Cut what still runs and wait for the settlements."""
        for task in tuple(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)


def _raw(door: Door, head: Head, body: bytes, received: float) -> RawCall:
    route = head.route or _NO_ROUTE
    return RawCall(new_call_id(), door, head.method, head.path, route, head.claim, tuple(head.headers), body, received)


def _wire(route: Route) -> WireName:
    assert route.wire is not None
    return route.wire


def _wire_of_path(path: bytes) -> WireName:
    """The format for an answer to something that may not be a call."""
    if is_gemini(path):
        return WireName.GEMINI
    if b"/responses" in path:
        return WireName.RESPONSES
    return WireName.ANTHROPIC if b"/messages" in path else WireName.OPENAI


def _ended(account: Account, fault: Fault, outcome: Outcome) -> None:
    account.fault, account.outcome = fault, outcome
    account.status = fault.status


def _asked(raw: RawCall, route: Route) -> Exchange:
    if route.endpoint is Endpoint.TRANSCRIPTIONS:
        return read_transcription(raw.header(b"content-type"), raw.body)
    return wire(_wire(route)).read_request(route, raw.body)


def _answered(exchange: Exchange, kind: bytes, body: bytes) -> WholeAnswer:
    return wire(exchange.wire).read_answer(exchange.endpoint, body) if kind == JSON else read_sound(kind, body)


def _content_type(answer: Answer) -> bytes:
    return next((value for name, value in answer.headers if name == b"content-type"), b"")


def _without(secret: bytes, body: bytes) -> bytes:
    return body.replace(secret, b"[redacted]") if secret and secret in body else body


def _take_usage(account: Account, reader: StreamReader, relay: Relay) -> None:
    """What the stream used; when it was cut before the provider told, what went out, estimated."""
    account.usage, account.answered_model = reader.usage, reader.model
    if reader.usage is None and relay.frames:
        body = account.exchange.body if account.exchange is not None else b""
        account.usage = Usage(input_tokens=len(body) // _BYTES_PER_TOKEN, output_tokens=relay.frames)
        account.usage_estimated = True
