"""Bringing one answer to the client: whole or streamed, from the provider or from a stage.

Views of stages see it first, the tool gate last. Where every call of a message is withheld the model is told, and what it
says then goes on in the same answer; each such round is a call of its own, recorded, reserved and settled as every other.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import structlog

from bawn.errors import Fault
from bawn.gateway.answer import Answer
from bawn.gateway.attempt import Begun, is_event_stream, stream_reader
from bawn.gateway.claims import claim
from bawn.gateway.closing import Account
from bawn.gateway.http1 import DoorConnection
from bawn.gateway.interception import Again, Intercepted, outcomes, tellable, told
from bawn.gateway.opening import Opened, Recorder, open_record
from bawn.gateway.owners import OWED
from bawn.gateway.passage import Passage
from bawn.gateway.passing import without
from bawn.gateway.provider_refusal import carry_refusal
from bawn.gateway.relay import Relay
from bawn.gateway.reply import Reply
from bawn.gateway.running import RunningCall
from bawn.gateway.settings import Interception, Withheld
from bawn.gateway.toolgate import Cleared, Judged, ToolGate
from bawn.gateway.works import Works
from bawn.stages.stage import Given, Sink, Source
from bawn.terms.clock import Clock
from bawn.terms.exchange import Endpoint, Exchange, Usage
from bawn.terms.frames import Frame, HeldCall
from bawn.wire import wire
from bawn.wire.answers import answers
from bawn.wire.editing import Answers
from bawn.wire.interface import Answer as WholeAnswer
from bawn.wire.interface import StreamReader
from bawn.wire.openai_sound import JSON, SOUND, kind_of_answer, read_sound

_log = structlog.get_logger("bawn.gateway")
_BYTES_PER_TOKEN = 4
KEEPING = ("store", "background")
"""By which a request has the provider keep its answer."""
CONVERSATIONS = frozenset((Endpoint.CHAT_COMPLETIONS, Endpoint.RESPONSES, Endpoint.MESSAGES, Endpoint.GENERATE))


class Carrying:
    """The answer of one call on its way."""

    def __init__(
        self,
        works: Works,
        recorder: Recorder,
        clock: Clock,
        call: RunningCall,
        connection: DoorConnection,
        reply: Reply,
        account: Account,
    ) -> None:
        self._works = works
        self._style: Interception = works.interception
        self._gate: ToolGate = works.gate
        self._recorder = recorder
        self._clock = clock
        self._call = call
        self._connection = connection
        self._reply = reply
        self._account = account
        self._first: Usage | None = None
        """What the answer used by itself, without those that came behind it."""
        self._rounds: list[tuple[Answer, StreamReader | None]] = []

    async def answer(self, begun: Begun) -> None:
        """What the provider says, once its head is there, or as far as it was read."""
        account, upstream = self._account, self._works.upstream
        opened, way, answer = begun.opened, begun.way, begun.answer
        account.key_label = answer.key_label
        try:
            if answer.status != 200:
                await carry_refusal(answer, way, self._reply, account, self._works.limits)
            elif opened.prepared.exchange.stream and is_event_stream(answer, way):
                reader = begun.reader or self._reader(opened, answer, way)
                headers = [*answer.headers, *way.headers]
                await self._stream(opened, reader, answer, answer.secret, headers, begun.frames)
            else:
                await self._whole(begun)
        finally:
            answer.leave()
            upstream.settle(answer, self._first)

    async def given(self, opened: Opened, given: Given) -> None:
        """An answer of a stage goes the same way as one of a provider: the gate stays last."""
        exchange = opened.prepared.exchange
        self._account.free = given.free
        headers = list(given.headers)
        if given.alone or given.free:
            # What costs nothing brings no call that does.
            self._style = self._style.model_copy(update={"feedback_rounds": 0})
        source = given.source or _There(given.data)
        try:
            if not exchange.stream:
                body = await source.body(self._works.limits.answer_bytes)
                kind = JSON
                if given.source is not None and exchange.endpoint in SOUND:
                    kind = kind_of_answer(exchange.endpoint, _content_type(source))
                await self._release(opened, body, headers, kind)
                return
            reader = wire(exchange.wire).stream_reader(hide_usage=False)
            await self._stream(opened, reader, source, b"", headers)
        finally:
            source.leave()

    # whole

    async def _whole(self, begun: Begun) -> None:
        opened, way, answer, body, kind = begun.opened, begun.way, begun.answer, begun.body, begun.kind
        if body is None:
            body, kind = await self._body(opened, answer, way)
        else:
            self._account.first_byte = self._clock.monotonic()
            body = without(answer.secret, body)
        if way.carriage is not None:
            self._first = self._account.usage = way.carriage.usage
        await self._release(opened, body, [*answer.headers, *way.headers], kind, counted=way.carriage is not None)

    async def _body(self, opened: Opened, answer: Answer, way: Passage) -> tuple[bytes, bytes]:
        """The whole answer in the client's wire, and its type."""
        exchange = opened.prepared.exchange
        body = await answer.body(self._works.limits.answer_bytes)
        self._account.first_byte = self._account.first_byte or self._clock.monotonic()
        if exchange.stream:
            raise Fault("upstream.broken", "The provider was asked for a stream and answered something else.")
        if way.carriage is not None:
            body = way.carriage.answer(body, opened.prepared.admitted.raw.id, int(self._clock.now().timestamp()))
            return without(answer.secret, body), JSON
        kind = kind_of_answer(exchange.endpoint, _content_type(answer)) if exchange.endpoint in SOUND else JSON
        return without(answer.secret, body), kind

    async def _release(
        self,
        opened: Opened,
        body: bytes,
        headers: Sequence[tuple[bytes, bytes]],
        kind: bytes = JSON,
        *,
        counted: bool = False,
    ) -> None:
        """Let a whole answer out, its tool calls judged; `counted` when what it used is known already."""
        account, exchange = self._account, opened.prepared.exchange
        read = _answered(exchange, kind, body)
        account.answered_model = read.model
        if not counted:
            self._first = account.usage = read.usage
        if opened.prepared.views and kind == JSON:
            came = body
            for view in opened.prepared.views:
                body = await view.whole(body)
            if body is not came:
                read = _answered(exchange, kind, body)
        if read.calls:
            verdict = await self._gate.judge(opened, HeldCall(read.calls, body))
            body = verdict.data if isinstance(verdict, Cleared) else await self._without_calls(opened, verdict)
        await self._claim(opened, read.made)
        account.status = 200
        account.said = body
        kept = [pair for pair in headers if pair[0] != b"content-type"]
        self._reply.whole(200, [(b"content-type", kind), *kept], body)

    async def _without_calls(self, opened: Opened, judged: Judged) -> bytes:
        """A whole answer without what was withheld, or what the model says once it was told."""
        style, exchange = self._style, opened.prepared.exchange
        forms, last = _forms(exchange), judged.data
        for _ in range(style.feedback_rounds):
            if style.withheld is not Withheld.FEEDBACK or not tellable(judged):
                break
            refusals = [told(each) for each in judged.withheld]
            try:
                request = forms.continued(opened.prepared.exchange.body, last, refusals)
                opened, read, last = await self._told_whole(opened, request)
            except Fault as fault:
                _log.info("call.not_told", call=opened.prepared.admitted.raw.id, code=fault.code)
                break
            said = forms.joined(judged.data, last)
            if not read.calls:
                return said
            verdict = await self._gate.judge(opened, HeldCall(read.calls, said))
            if isinstance(verdict, Cleared):
                return verdict.data
            judged = verdict
        return judged.released(outcomes(judged, style), partial(forms.edited, exchange.endpoint)).data

    async def _told_whole(self, opened: Opened, request: bytes) -> tuple[Opened, WholeAnswer, bytes]:
        """What the model says to `request`. The Fault of a provider that does not."""
        exchange = opened.prepared.exchange
        opened, answer, way = await self._again(opened, request)
        usage: Usage | None = None
        try:
            if answer.status != 200:
                raise Fault("upstream.broken", f"The provider answered {answer.status}.")
            body, _ = await self._body(opened, answer, way)
            read = wire(exchange.wire).read_answer(exchange.endpoint, body)
            usage = way.carriage.usage if way.carriage is not None else read.usage
            self._account.usage = summed(self._account.usage, usage)
            for view in opened.prepared.views:
                body = await view.whole(body)
            if opened.prepared.views:
                read = wire(exchange.wire).read_answer(exchange.endpoint, body)
        finally:
            answer.leave()
            self._works.upstream.settle(answer, usage)
        return opened, read, body

    # streamed

    def _reader(self, opened: Opened, answer: Answer, way: Passage) -> StreamReader:
        return stream_reader(opened, answer, way, int(self._clock.now().timestamp()))

    async def _stream(
        self,
        opened: Opened,
        reader: StreamReader,
        source: Source,
        secret: bytes,
        headers: Sequence[tuple[bytes, bytes]],
        begun: Sequence[Frame] = (),
    ) -> None:
        """Carry a stream of which `begun` was read already."""
        account, exchange = self._account, opened.prepared.exchange
        before_end = None
        if any(tool.type in KEEPING for tool in exchange.hosted_tools):
            before_end = partial(self._claim_read, opened, reader)
        style = self._style
        intercepted = Intercepted(_forms(exchange) if exchange.endpoint in CONVERSATIONS else None, style)
        relay = Relay(
            opened,
            reader,
            self._gate,
            self._reply,
            self._clock.monotonic,
            intercepted,
            source=source,
            secret=secret,
            keep_alive=style.keep_alive_seconds,
            before_end=before_end,
        )
        relay.flow(self._connection)
        self._call.on_cut = relay.stop
        account.status = 200
        kept = [pair for pair in headers if pair[0] != b"content-type"]
        self._reply.open_stream(200, [(b"content-type", b"text/event-stream"), *kept])
        used: Usage | None = None
        first = reader
        try:
            relay.begin(begun)
            source.hand_to(relay)
            while (again := await relay.run()) is not None:
                found = await self._told(opened, again, intercepted, relay)
                if found is None:
                    await relay.give_up()
                    return
                used = summed(used, reader.usage)
                opened, reader = found
        finally:
            relay.stop()
            account.first_byte = relay.first_byte
            _take_usage(account, reader, relay, used)
            self._first = first.usage if self._rounds else account.usage
            account.streamed = intercepted.sent
            self._leave_rounds()

    async def _told(
        self, opened: Opened, again: Again, intercepted: Intercepted, relay: Relay
    ) -> tuple[Opened, StreamReader] | None:
        """The model, told of what was refused, goes on in the same stream; None when that cannot be."""
        exchange = opened.prepared.exchange
        forms = _forms(exchange)
        try:
            request = forms.continued(exchange.body, forms.folded(intercepted.answer), again.refusals)
            opened, answer, way = await relay.patiently(self._round(opened, request))
        except Fault as fault:
            _log.info("call.not_told", call=opened.prepared.admitted.raw.id, code=fault.code)
            return None
        if answer.status != 200 or not is_event_stream(answer, way):
            return None
        reader = self._reader(opened, answer, way)
        self._rounds[-1] = answer, reader
        relay.go_on(opened, reader, answer, answer.secret)
        answer.hand_to(relay)
        return opened, reader

    async def _round(self, opened: Opened, request: bytes) -> tuple[Opened, Answer, Passage]:
        """As `_again`. Whoever waits may be cancelled when the answer is there already; then it is left all the same."""
        found = await self._again(opened, request)
        self._rounds.append((found[1], None))
        return found

    def _leave_rounds(self) -> None:
        for answer, reader in self._rounds:
            answer.leave()
            self._works.upstream.settle(answer, reader.usage if reader is not None else None)

    async def _again(self, opened: Opened, request: bytes) -> tuple[Opened, Answer, Passage]:
        """The provider's answer to a request that was continued here."""
        prepared = self._works.pipeline.again(opened.prepared, request)
        way = self._works.upstream.passage(prepared)
        again = await open_record(prepared, self._recorder, (("told", "of a refused call"), *way.detail))
        return again, await self._works.upstream.send(again, way), way

    # what is kept at the provider

    async def _claim(self, opened: Opened, made: str) -> None:
        """What the provider keeps of an answer, because it was asked to, belongs to the container. What goes on in the
        background is paid for when its end is read."""
        if not made:
            return
        account = self._account
        hosted = [tool.type for tool in opened.prepared.exchange.hosted_tools]
        if any(kind in KEEPING for kind in hosted):
            owed = account.usage is None and "background" in hosted
            kind = "response" + OWED if owed else "response"
            await claim(opened, self._works.permissions, self._recorder, made, kind, self._clock.now())
            if owed:
                account.usage, account.free = Usage(), True

    async def _claim_read(self, opened: Opened, reader: StreamReader) -> None:
        self._account.usage = reader.usage
        await self._claim(opened, reader.made)


class _There:
    """A streamed answer that is there already."""

    def __init__(self, data: bytes) -> None:
        self.status = 200
        self.headers: list[tuple[bytes, bytes]] = []
        self._data = data

    async def body(self, limit: int) -> bytes:
        return self._data

    def hand_to(self, sink: Sink) -> None:
        sink.on_data(self._data)
        sink.on_end()

    def pause(self) -> None:
        """It is there already."""

    def resume(self) -> None:
        """It is there already."""

    def leave(self) -> None:
        """It is there already."""


def summed(first: Usage | None, second: Usage | None) -> Usage | None:
    """What two answers used together."""
    if first is None or second is None:
        return first or second
    return Usage(
        first.input_tokens + second.input_tokens,
        first.output_tokens + second.output_tokens,
        first.cached_tokens + second.cached_tokens,
        first.cache_write_tokens + second.cache_write_tokens,
        first.reasoning_tokens + second.reasoning_tokens,
    )


def _forms(exchange: Exchange) -> Answers:
    return answers(exchange.wire)


def _answered(exchange: Exchange, kind: bytes, body: bytes) -> WholeAnswer:
    return wire(exchange.wire).read_answer(exchange.endpoint, body) if kind == JSON else read_sound(kind, body)


def _content_type(answer: Source) -> bytes:
    return next((value for name, value in answer.headers if name == b"content-type"), b"")


def _take_usage(account: Account, reader: StreamReader, relay: Relay, before: Usage | None) -> None:
    """What the stream used; when it was cut before the provider told, what went out, estimated."""
    account.usage, account.answered_model = summed(before, reader.usage), reader.model
    if reader.usage is None and relay.frames:
        body = account.exchange.body if account.exchange is not None else b""
        estimated = Usage(input_tokens=len(body) // _BYTES_PER_TOKEN, output_tokens=relay.frames)
        account.usage = summed(before, estimated)
        account.usage_estimated = True
