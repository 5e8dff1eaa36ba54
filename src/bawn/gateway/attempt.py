"""One try at one target, as far as it can still be left: until a whole answer is there, or a stream shows something.

What comes out is either begun, and goes to the client, or missed, and the client never saw a byte of it. A missed try has
left its provider and given back its reservation before anybody hears of it; so has one that is cancelled.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from bawn.errors import Fault
from bawn.gateway.answer import Answer
from bawn.gateway.opening import Opened
from bawn.gateway.passage import Passage, accepted
from bawn.gateway.settings import Limits
from bawn.gateway.trouble import Trouble, of_error, of_fault, of_status
from bawn.gateway.upstream import Upstream
from bawn.terms.clock import Clock
from bawn.terms.exchange import Exchange, Usage
from bawn.terms.frames import Broken, End, Frame, TextFrame
from bawn.terms.value import Value
from bawn.wire import wire
from bawn.wire.interface import StreamReader
from bawn.wire.json_text import NotPlain, read_plain
from bawn.wire.openai_sound import JSON, SOUND, kind_of_answer, read_sound
from bawn.wire.visible import error_in, filtered, filtered_stream, shows

_BYTES_PER_TOKEN = 4
_ERROR_BYTES = 2**20


class Begun(Value, frozen=True):
    """A try whose answer goes to the client, whatever becomes of it. Who takes it leaves `answer` and settles it."""

    opened: Opened
    way: Passage
    answer: Answer
    body: bytes | None = None
    """A whole answer, in the client's wire and read once; None for a stream, and for an error that is passed on."""
    kind: bytes = JSON
    """The type of a whole answer."""
    reader: StreamReader | None = None
    """Of a stream: it has read `frames` already."""
    frames: tuple[Frame, ...] = ()
    number: int = 0
    """Of the tries of its call, from 1."""
    usage: Usage | None = None
    """What it has used until now, as far as it is known or guessed."""


class Missed(Value, frozen=True):
    """A try that the client does not see."""

    opened: Opened
    way: Passage
    trouble: Trouble
    fault: Fault
    answer: Answer | None = None
    """The provider's own error, whole and left."""
    usage: Usage | None = None
    """What may have been billed; None: nothing."""
    estimated: bool = False
    model: str = ""


class Patience(Value, frozen=True):
    """How long a try may take, in seconds."""

    soft: float
    """After this, only when the call cannot go on anywhere else."""
    hard: float
    may_go_on: Callable[[], bool]


class Attempt:
    """Runs one try."""

    def __init__(
        self,
        upstream: Upstream,
        limits: Limits,
        clock: Clock,
        opened: Opened,
        way: Passage,
        number: int,
        *,
        final: frozenset[Trouble],
    ) -> None:
        self._upstream, self._limits, self._clock = upstream, limits, clock
        self._opened, self._way, self._number = opened, way, number
        self._final = final
        """What the provider says of the request that is to reach the client, though it comes in an answer."""
        self.answer: Answer | None = None
        self._first: _FirstPart | None = None
        self._usage: Usage | None = None
        self._told = False
        """Whether the provider has counted."""
        self._model = ""
        self._unsent = False

    @property
    def _exchange(self) -> Exchange:
        return self._opened.prepared.exchange

    async def run(self, patience: Patience, barred: frozenset[str]) -> Begun | Missed:
        """Faults that are not about the provider go through; cancelling leaves the provider."""
        begun: Begun | Missed | None = None
        try:
            begun = await self._timed(patience, barred)
        except Fault as fault:
            trouble = of_fault(fault)
            if trouble is None:
                raise
            begun = self._missed(trouble, fault)
        finally:
            if not isinstance(begun, Begun) and self.answer is not None:
                self.answer.leave()
                self._upstream.settle(self.answer, begun.usage if begun is not None else self.left().usage)
        return begun

    async def _timed(self, patience: Patience, barred: frozenset[str]) -> Begun | Missed:
        loop = asyncio.get_running_loop()
        end = loop.time() + patience.hard
        try:
            async with asyncio.timeout_at(end) as limit:

                def enough() -> None:
                    under_way = self._first is not None and self._first.under_way
                    if not under_way and patience.may_go_on():
                        limit.reschedule(loop.time())

                timer = loop.call_later(patience.soft, enough) if patience.soft < patience.hard else None
                try:
                    return await self._begun(barred)
                finally:
                    if timer is not None:
                        timer.cancel()
        except TimeoutError as error:
            raise Fault("upstream.timeout", "The provider took too long to begin its answer.") from error

    async def _begun(self, barred: frozenset[str]) -> Begun | Missed:
        try:
            answer = self.answer = await self._upstream.send(self._opened, self._way, barred)
        except Fault as late:
            # A time that ran out before there was a connection; the provider never had the request.
            self._unsent = late.code == "upstream.timeout" and late.__cause__ is not None
            raise
        if answer.status != 200:
            body = await answer.body(min(self._limits.answer_bytes, _ERROR_BYTES))
            fault = Fault("upstream.broken", f"The provider answered {answer.status}.")
            return Missed(self._opened, self._way, of_status(answer.status, body), fault, answer)
        # From here on the provider works, and may want to be paid for it.
        self._usage = self._guessed()
        if not self._exchange.stream:
            return await self._whole(answer)
        if not is_event_stream(answer, self._way):
            raise Fault("upstream.broken", "The provider was asked for a stream and answered something else.")
        return await self._stream(answer)

    async def _whole(self, answer: Answer) -> Begun | Missed:
        body = await answer.body(self._limits.answer_bytes)
        carriage, exchange = self._way.carriage, self._exchange
        if carriage is not None:
            try:
                raw = self._opened.prepared.admitted.raw
                body = carriage.answer(body, raw.id, int(self._clock.now().timestamp()))
            finally:
                self._count(carriage.usage)
        kind = kind_of_answer(exchange.endpoint, _content_type(answer)) if exchange.endpoint in SOUND else JSON
        read = wire(exchange.wire).read_answer(exchange.endpoint, body) if kind == JSON else read_sound(kind, body)
        self._count(read.usage)
        self._model = read.model
        if kind == JSON and Trouble.FILTERED not in self._final and filtered(exchange.wire, _plain(body)):
            return self._missed(Trouble.FILTERED, _filtered())
        return Begun(self._opened, self._way, answer, body, kind, number=self._number, usage=self._usage)

    async def _stream(self, answer: Answer) -> Begun | Missed:
        exchange = self._exchange
        reader = stream_reader(self._opened, answer, self._way, int(self._clock.now().timestamp()))
        first = self._first = _FirstPart(answer, reader, lambda data: shows(exchange.wire, data))
        answer.hand_to(first)
        await first.there
        answer.keep()
        if first.fault is not None:
            raise first.fault
        usage = reader.usage or self._usage
        begun = Begun(self._opened, self._way, answer, None, JSON, reader, tuple(first.frames), self._number, usage)
        if first.visible:
            return begun
        last = first.frames[-1]
        said = b"".join(frame.data for frame in first.frames if isinstance(frame, TextFrame | End))
        if isinstance(last, Broken):
            trouble = of_error(error_in(last.data)) if last.data else None
            if trouble in self._final:
                return begun
            return self._missed(trouble or Trouble.BROKEN, Fault("upstream.broken", last.sentence))
        if Trouble.FILTERED not in self._final and filtered_stream(exchange.wire, said):
            return self._missed(Trouble.FILTERED, _filtered())
        return begun

    def _count(self, usage: Usage | None) -> None:
        if usage is not None:
            self._usage, self._told = usage, True

    def _missed(self, trouble: Trouble, fault: Fault) -> Missed:
        if self._first is not None:
            self._count(self._first.reader.usage)
            self._model = self._first.reader.model
        if self._usage is None and trouble is Trouble.SILENT and not self._unsent:
            # It has the request, and may well have worked on it all the time.
            self._usage = self._guessed()
        estimated = self._usage is not None and not self._told
        return Missed(self._opened, self._way, trouble, fault, None, self._usage, estimated, self._model)

    def left(self) -> Missed:
        """What is to be settled of a try that was given up."""
        return self._missed(Trouble.SILENT, Fault("upstream.timeout", "Another try was quicker."))

    def _guessed(self) -> Usage:
        return Usage(input_tokens=len(self._exchange.body) // _BYTES_PER_TOKEN)


def _filtered() -> Fault:
    return Fault("upstream.broken", "The provider's filter ended the answer.")


class _FirstPart:
    """A `Sink` that reads a stream until something of it would be seen."""

    def __init__(self, answer: Answer, reader: StreamReader, shows: Callable[[bytes], bool]) -> None:
        self._answer, self.reader, self._shows = answer, reader, shows
        self.there: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.frames: list[Frame] = []
        self.fault: Fault | None = None
        self.visible = False
        self.under_way = False
        """Whether a tool call is being written, which is held until it is whole."""

    def on_head(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """The head was read before."""

    def on_data(self, data: bytes) -> None:
        frames = self.reader.feed(data)
        self.under_way = self.under_way or not frames
        self._take(frames)

    def on_end(self) -> None:
        self._take(self.reader.close())

    def on_broken(self, fault: Fault) -> None:
        if not self.there.done():
            self.fault = fault
            self._enough()
        else:
            self._take([Broken(fault.sentence)])

    def _take(self, frames: list[Frame]) -> None:
        self.frames += frames
        for frame in frames:
            match frame:
                case TextFrame(data=data):
                    self.visible = self.visible or self._shows(data)
                case End() | Broken():
                    self._enough()
                case _:
                    self.visible = True
        if self.visible:
            self._enough()

    def _enough(self) -> None:
        if not self.there.done():
            # What comes from now on waits for whoever takes the answer.
            self._answer.keep()
            self.there.set_result(None)


def stream_reader(opened: Opened, answer: Answer, way: Passage, now: int) -> StreamReader:
    """What reads the provider's stream as one of the client's wire; `now` is in Unix seconds."""
    reader: StreamReader = wire(opened.prepared.exchange.wire).stream_reader(hide_usage=answer.usage_added)
    if way.carriage is None:
        return reader
    return way.carriage.stream(reader, opened.prepared.admitted.raw.id, now)


def is_event_stream(answer: Answer, way: Passage) -> bool:
    wanted = accepted(way.serving.wire, stream=True)
    return _content_type(answer).split(b";")[0].strip().lower() == wanted


def _content_type(answer: Answer) -> bytes:
    return next((value for name, value in answer.headers if name == b"content-type"), b"")


def _plain(body: bytes) -> object:
    try:
        return read_plain(body)
    except NotPlain:
        return None
