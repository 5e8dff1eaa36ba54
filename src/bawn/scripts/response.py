"""The answer of a script, given at once, event by event, or as a model gives it."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec

from bawn.errors import Fault
from bawn.scripts.answer import Answer, Answered, Event, streamed
from bawn.scripts.refusals import AnsweredTwice, StreamBroken
from bawn.scripts.request import Request
from bawn.scripts.said import Call, Ending, OnCall, Said
from bawn.scripts.talk import Passage, Talk, Words
from bawn.terms.frames import End, Frame, HeldCall, TextFrame
from bawn.terms.toolcall import ToolCall
from bawn.wire.editing import Kept, Outcome
from bawn.wire.holding import Unsound


class Outlet(Protocol):
    """Where an answer goes; the worker's side of a Response."""

    def whole(self, status: int, headers: dict[str, str], body: bytes) -> None: ...

    def begin(self, status: int, headers: dict[str, str]) -> None: ...

    async def piece(self, data: bytes) -> None: ...


class Response:
    """The answer to the agent."""

    def __init__(self, outlet: Outlet, request: Request | None = None) -> None:
        self._outlet = outlet
        # As the agent sent it, whatever the script makes of it.
        self._asked = request.copy() if request is not None else None
        self._status = 200
        self._headers: dict[str, str] = {}
        self._streaming = False
        self._end: bytes | None = None
        """The end of a stream that was relayed: it goes out when the script is done."""

    def status(self, code: int) -> Response:
        """`return res.status(403).json({...})`"""
        if not 200 <= code <= 599:
            raise ValueError("a status is a number from 200 to 599")
        self._status = code
        return self

    def header(self, name: str, value: str) -> Response:
        if not name or any(c in ":\r\n\0 " for c in name) or any(c in "\r\n\0" for c in value):
            raise ValueError("a header is one line")
        self._headers[name.lower()] = value
        return self

    def like(self, answer: Answer) -> Response:
        """Takes over the status and the headers of an answer whose events are written one by one."""
        self._status = answer.status
        self._headers |= answer.headers
        return self

    def json(self, data: Any) -> Answered:
        return self.body(msgspec.json.encode(data), "application/json")

    def text(self, text: str) -> Answered:
        return self.body(text.encode(), "text/plain; charset=utf-8")

    def body(self, data: bytes, content_type: str) -> Answered:
        """An answer of any kind."""
        self._outlet.whole(self._status, self._headers | {"content-type": content_type}, data)
        return Answered()

    async def send(self, answer: Answer) -> Answered:
        """Passes an answer on as it is: status, headers, and the body as it comes."""
        self._outlet.begin(answer.status, self._headers | answer.headers)
        self._streaming = True
        async for data in answer.chunks():
            await self._outlet.piece(data)
        return Answered()

    async def relay(self, answer: Answer, *, call: OnCall | None = None, ending: Ending | None = None) -> Said:
        """Passes an answer of the model on, plain or streamed, and says afterwards what it said. Text flows on meanwhile; the
        end goes out when `handle` is done, so what a script does with what was said is done before the agent goes on.

        `call` is shown each tool call, whole, before the agent gets it, and may change, replace or drop it. `ending` is shown
        what was said, and what it returns is said behind it, in a paragraph of its own. An answer of failure, and one that is
        no conversation, is passed on as it is. Raises StreamBroken when a stream does not come to its end.
        """
        talk = self._asked.talk if self._asked is not None else None
        if talk is None or not answer.ok:
            if streamed(answer):
                await self.send(answer)
                return Said(answer.status, Words())
            body = await answer.body()
            self._pass(answer)
            self.body(body, answer.headers.get("content-type", "application/json"))
            return Said(answer.status, Words(body=body))
        if streamed(answer):
            return await self._relay_stream(answer, talk.passage(), call, ending)
        return await self._relay_plain(answer, talk, call, ending)

    def _pass(self, answer: Answer) -> None:
        """Status and headers; the length may be another."""
        self.like(answer)
        self._headers.pop("content-length", None)

    async def _relay_plain(self, answer: Answer, talk: Talk, call: OnCall | None, ending: Ending | None) -> Said:
        body = await answer.body()
        try:
            words = talk.words(body)
            if call is not None and words.calls:
                outcomes = await _outcomes(words.calls, call)
                if any(not isinstance(each, Kept) for each in outcomes):
                    body = talk.edited(body, outcomes)
                    words = talk.words(body)
            if ending is not None and (more := await _now(ending(Said(answer.status, words)))):
                passage, said = talk.passage(), bytearray()
                passage.edit()
                for frame in [*passage.feed(talk.streamed(body)), *passage.close()]:
                    if isinstance(frame, End):
                        said += passage.say(more) + passage.end(frame.data)
                    elif isinstance(frame, HeldCall):
                        said += passage.calls(frame.data, [Kept() for _ in frame.calls])
                    else:
                        said += passage.passing(frame.data)
                body = talk.folded(bytes(said))
                words = talk.words(body)
        except (Fault, Unsound) as error:
            raise StreamBroken(str(error)) from None
        self._pass(answer)
        self.body(body, "application/json")
        return Said(answer.status, words)

    async def _relay_stream(self, answer: Answer, passage: Passage, call: OnCall | None, ending: Ending | None) -> Said:
        self._pass(answer)
        self._outlet.begin(self._status, self._headers)
        self._streaming = True
        if ending is not None:
            passage.edit()  # from the start: the frame that tells why it ended must not be gone already
        async for data in answer.chunks():
            for frame in passage.feed(data):
                await self._relay_frame(answer.status, passage, frame, call, ending)
        for frame in passage.close():
            await self._relay_frame(answer.status, passage, frame, call, ending)
        return Said(answer.status, passage.words())

    async def _relay_frame(
        self, status: int, passage: Passage, frame: Frame, call: OnCall | None, ending: Ending | None
    ) -> None:
        match frame:
            case TextFrame():
                out = passage.passing(frame.data)
            case HeldCall():
                outcomes: Sequence[Outcome] = [Kept() for _ in frame.calls]
                out = passage.calls(frame.data, outcomes if call is None else await _outcomes(frame.calls, call))
            case End():
                out = b""
                if ending is not None and (more := await _now(ending(Said(status, passage.words(frame.data))))):
                    out = passage.say(more)
                self._end = passage.end(frame.data)
            case _:
                await self._outlet.piece(frame.data)
                raise StreamBroken(frame.sentence)
        await self._outlet.piece(out)

    async def write(self, event: Event | Mapping[str, Any] | str | bytes) -> None:
        """One event of a streamed answer; a dict is the data of one, bytes and texts are written as they are. Waits while
        the agent does not read. The stream ends when `handle` does."""
        if self._end is not None:
            raise AnsweredTwice("the answer was relayed, and has its end already")
        if not self._streaming:
            self._outlet.begin(self._status, {"content-type": "text/event-stream"} | self._headers)
            self._streaming = True
        if isinstance(event, Event):
            data = event.encoded()
        elif isinstance(event, Mapping):
            data = Event(json=event).encoded()
        else:
            data = event.encode() if isinstance(event, str) else event
        await self._outlet.piece(data)

    async def finish(self) -> None:
        """The script is done; of the worker."""
        if self._end:
            await self._outlet.piece(self._end)


async def _outcomes(calls: Sequence[ToolCall], on_call: OnCall) -> list[Outcome]:
    found: list[Outcome] = []
    for each in calls:
        shown = Call(each)
        if not each.hosted:  # a tool of the provider has run already
            await _now(on_call(shown))
        found.append(Kept() if each.hosted else shown.outcome)
    return found


async def _now(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value
