"""The walk of a call, room by room, in the order of `docs/flow.md`.

    http1       a whole request          → RawCall
    admission   RawCall                  → Admitted          who, and may they
    wire        the body                 → Exchange          what is asked
    pipeline    Admitted, Exchange       → Prepared          stages, permissions
    opening     Prepared                 → Opened            on record before it happens
    upstream    Opened                   → Answer            the key is added here, nowhere else
    carrying    Answer                   → frames            text at once, tool calls whole and judged
    closing     Account                  → settlement, record

Each step takes what only the step before it can make, so a call that skipped one does not type-check.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

import msgspec
import structlog
from msgspec import structs

from bawn.errors import Fault
from bawn.gateway.admission import Admission, Admitted, Standings
from bawn.gateway.attempt import Begun
from bawn.gateway.call import RawCall, new_call_id
from bawn.gateway.carrying import CONVERSATIONS, Carrying
from bawn.gateway.closing import Account, Closing
from bawn.gateway.hooks import HookCalls
from bawn.gateway.http1 import DoorConnection, Head
from bawn.gateway.models import model_list
from bawn.gateway.object_calls import ObjectCalls
from bawn.gateway.opening import Recorder, open_record
from bawn.gateway.other_calls import OtherCalls
from bawn.gateway.pipeline import named
from bawn.gateway.reply import Reply
from bawn.gateway.running import RunningCall, RunningCalls
from bawn.gateway.script_calls import ONLY_A_SCRIPT, ScriptCalls
from bawn.gateway.toolgate import ToolGate
from bawn.gateway.works import Works
from bawn.guardrails.settlement import Outcome
from bawn.scripts.ways import Ways
from bawn.scripts.working import Workers
from bawn.stages.asked import Asked
from bawn.terms.clock import Clock
from bawn.terms.door import Door, DoorKind
from bawn.terms.exchange import Endpoint, Exchange, WireName
from bawn.terms.principal import Container
from bawn.terms.way import NO_WAY, Way
from bawn.wire import Route, endpoint, wire
from bawn.wire.endpoints import is_gemini
from bawn.wire.objects import Body
from bawn.wire.openai_sound import read_transcription
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


class Gateway:
    """Answers the calls of all AI doors."""

    def __init__(
        self,
        works: Works,
        standings: Standings,
        recorder: Recorder,
        closing: Closing,
        clock: Clock,
    ) -> None:
        self.works = works
        self.running = RunningCalls(standings, clock)
        self._standings = standings
        self._admission = Admission(standings, clock)
        self._recorder = recorder
        self._closing = closing
        self.clock = clock
        self._objects = ObjectCalls(self._admission, recorder, clock)
        self._others = OtherCalls(self._admission, recorder)
        self.scripts: ScriptCalls | None = None
        """None where no script is ever before a call."""
        self.hooks: HookCalls | None = None
        """What agents report by hooks of their own; None where nobody listens to it."""
        self._open_gate = ToolGate((), recorder)
        """For what a script is given: it is the operator's own, and what it makes of it passes the gate."""
        self.poll: Callable[[str, str], Awaitable[dict[str, str]]] = _no_ticket
        """What became of a ticket, by the container's uuid and its number."""
        self._tasks: set[asyncio.Task[None]] = set()

    def glance(self, door: Door, head: Head) -> Fault | None:
        """What can be refused on the head: an unknown path, and a caller who may not call."""
        try:
            if head.route is None:
                head.route = self._route(door, head)
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
                    if head.upload_bytes and self._passes_scripts(container, door, head):
                        head.upload_bytes = 0
        except Fault as fault:
            return fault
        return None

    def _route(self, door: Door, head: Head) -> Route:
        if door.kind is not DoorKind.EXEC or self.scripts is None:
            return self.route(head)
        try:
            return self.route(head)
        except Fault as fault:
            container = self._container(door)
            host = next((value for name, value in head.headers if name == b"host"), b"")
            if (
                fault.code not in _NO_ROW
                or container is None
                or not self.scripts.only(container, door, head.method, head.path, host)
            ):
                raise
            return ONLY_A_SCRIPT

    def _passes_scripts(self, container: Container, door: Door, head: Head) -> bool:
        """Whether a script is given the call; its body is then read whole."""
        if head.way is not None:
            return bool(head.way.ahead)
        host = next((value for name, value in head.headers if name == b"host"), b"")
        return self.scripts is not None and self.scripts.before(container, door, host)

    def use_scripts(self, ways: Ways, workers: Workers) -> None:
        """From now on calls pass the scripts that stand before them."""
        self.scripts = ScriptCalls(ways, workers, self._admission, self._recorder)

    def admitted(self, door: Door, claim: str) -> Container:
        """The container that may call by a door now; Fault `auth.refused`."""
        return self._admission.check(door, claim)

    def route(self, head: Head) -> Route:
        """What is asked for by its path. Faults `http.*`."""
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
        works = self.works
        account = Account(raw, self._container(raw.door))
        reply = Reply(connection, raw.id, raw.route.wire or _wire_of_path(raw.path))
        try:
            await self._walk(works, raw, call, connection, reply, account)
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
            if account.asked is not None:
                self._after(works, account, account.asked)

    def _after(self, works: Works, account: Account, asked: Asked) -> None:
        """What is to be known of a call once the client has its answer."""
        if asked.seen:
            works.pipeline.over(asked, self._closing.ending(account))
        if account.raw.way is not None:
            return  # a conversation is what the agent was sent, not what its scripts were
        if not (asked.seen or asked.exchange.tools):
            return  # nobody looks at it, and no agent does
        if account.status == 200 and account.outcome == "ok" and asked.exchange.endpoint in CONVERSATIONS:
            works.pipeline.remember(asked, account.said, account.streamed)

    async def _walk(
        self,
        works: Works,
        raw: RawCall,
        call: RunningCall,
        connection: DoorConnection,
        reply: Reply,
        account: Account,
    ) -> None:
        route = raw.route
        if route.endpoint is Endpoint.PROBE:
            account.status = 200
            reply.whole(200, (), b"")
            return
        admitted = self._admission.admit(raw)
        before = NO_WAY
        if self.scripts is not None:
            before = self.scripts.way(admitted.container, raw)
            if await self.scripts.walk(works, admitted, before, reply, account):
                return
        if raw.way is not None:
            works = structs.replace(works, gate=self._open_gate)
        if route.endpoint is Endpoint.MODELS:
            account.status = 200
            reply.json(model_list(works.permissions, admitted, route, self.clock.now()))
            return
        if route.endpoint is Endpoint.APPROVAL:
            ticket = await self.poll(admitted.container.uuid, route.model)
            account.status = 200
            reply.json(msgspec.json.encode(ticket))
            return
        if route.endpoint is Endpoint.HOOK and self.hooks is not None:
            await self.hooks.walk(works, admitted, reply, account)
            return
        if route.endpoint is Endpoint.OTHER:
            await self._others.walk(works, admitted, reply, account)
            return
        if route.object is not None:
            await self._objects.walk(works, admitted, route.object, connection, reply, account)
            return
        carrying = Carrying(works, self._recorder, self.clock, call, connection, reply, account)
        await self._converse(works, admitted, before, carrying, account)

    async def _converse(
        self, works: Works, admitted: Admitted, before: Way, carrying: Carrying, account: Account
    ) -> None:
        """What is asked of a model."""
        raw, route = admitted.raw, admitted.raw.route
        exchange = _asked(raw, route)
        if raw.way is not None and (provider := raw.header(b"x-bawn-provider")):
            exchange = _at(works, exchange, route, provider.decode("latin-1"))
        account.exchange = exchange
        if len(raw.body) > _LARGE:
            # Reading it took a while; what waits, streams of others above all, goes before the rest.
            await asyncio.sleep(0)
        account.asked = asked = works.pipeline.asked(admitted, exchange, before)
        prepared = await works.pipeline.prepare(admitted, asked)
        account.exchange, account.target = prepared.exchange, prepared.target
        if works.failover is not None and (chain := works.failover.chain(prepared)) is not None:
            still = partial(self._still, admitted)
            await carrying.answer(await works.failover.answered(prepared, chain, account, still))
            return
        way = works.upstream.passage(prepared) if prepared.given is None else None
        opened = await open_record(prepared, self._recorder, way.detail if way is not None else ())
        account.opened = opened
        if len(raw.body) > _LARGE:
            await asyncio.sleep(0)
        self._still(admitted)
        if prepared.given is not None:
            await carrying.given(opened, prepared.given)
        elif way is not None:
            await carrying.answer(Begun(opened, way, await works.upstream.send(opened, way)))

    def _still(self, admitted: Admitted) -> None:
        """Writing the record took time; the right to call must hold now, not only when it was asked."""
        self._admission.admit(admitted.raw)

    def _container(self, door: Door) -> Container | None:
        standing = self._standings.standing(door.container_uuid)
        return standing.container if standing is not None else None

    async def drain(self) -> None:
        """Cut what still runs and wait for the settlements."""
        for task in tuple(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)


async def _no_ticket(container: str, ticket: str) -> dict[str, str]:
    raise Fault("resource.not_found", "This container has no such approval.")


def _raw(door: Door, head: Head, body: bytes, received: float) -> RawCall:
    route = head.route or _NO_ROUTE
    return RawCall(
        new_call_id(),
        door,
        head.method,
        head.path,
        route,
        head.claim,
        tuple(head.headers),
        body,
        received,
        head.way,
        head.call,
    )


def _at(works: Works, exchange: Exchange, route: Route, provider: str) -> Exchange:
    """The same model at another provider, for a script that names one."""
    model = f"{provider}/{works.permissions.target(exchange.model).model}"
    body = exchange.body if route.model else wire(exchange.wire).with_model(exchange.body, model)
    return wire(exchange.wire).read_request(named(route, model), body)


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
