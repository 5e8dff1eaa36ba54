"""One call between two wires: its request over, its answer back."""

from __future__ import annotations

from typing import Any, Protocol

from bawn.errors import Fault
from bawn.terms.exchange import Exchange, Usage, WireName
from bawn.terms.frames import Broken, End, Frame
from bawn.translation import (
    chat_answer,
    chat_request,
    converse_answer,
    converse_request,
    gemini_answer,
    gemini_request,
    messages_answer,
    messages_request,
    responses_answer,
    responses_request,
)  # fmt: skip
from bawn.translation.features import judged
from bawn.translation.neutral import (
    Called,
    Conversation,
    NotTranslatable,
    Opened,
    Over,
    Reply,
    StreamEvent,
    Thinking,
    Thought,
    ToolUse,
)  # fmt: skip
from bawn.translation.thoughts import KeptThoughts
from bawn.wire.holding import Unsound
from bawn.wire.interface import StreamReader
from bawn.wire.json_text import NotPlain, read_object, read_plain
from bawn.wire.sse import TooLong


class Events(Protocol):
    """A provider's stream as events; raises Unsound, NotPlain, TooLong and NotTranslatable."""

    def feed(self, data: bytes) -> list[StreamEvent]: ...

    def close(self) -> list[StreamEvent]: ...


class Writer(Protocol):
    """Events as the stream of a client's wire."""

    def write(self, event: StreamEvent) -> bytes: ...


class Carriage:
    """A call that goes from the client's wire to the provider's, and its answer the other way."""

    __slots__ = ("_container", "_model", "_older", "_thoughts", "client", "conversation", "dropped", "target")

    def __init__(
        self, exchange: Exchange, target: WireName, model: str, container: str, thoughts: KeptThoughts, *, older: bool
    ) -> None:
        """Faults `request.not_translatable` and `request.invalid`, before anything is sent."""
        self.client, self.target = exchange.wire, target
        self._model, self._older = model, older
        self._container, self._thoughts = container, thoughts
        conversation = _read_request(exchange)
        self.dropped = tuple(feature.value for feature in judged(conversation.says, target))
        """What of the request does not come through, by name."""
        self.conversation = thoughts.attached(container, conversation, target)

    def request(self) -> bytes:
        """The body for the provider."""
        conversation, model = self.conversation, self._model
        match self.target:
            case WireName.OPENAI:
                return chat_request.write_request(conversation, model, older=self._older)
            case WireName.RESPONSES:
                return responses_request.write_request(conversation, model)
            case WireName.ANTHROPIC:
                return messages_request.write_request(conversation, model)
            case WireName.GEMINI:
                return gemini_request.write_request(conversation)
            case WireName.CONVERSE:
                return converse_request.write_request(conversation)

    def answer(self, body: bytes, call_id: str, now: int) -> bytes:
        """A whole answer, as the client's wire has it. Faults `upstream.broken` and `upstream.not_translatable`."""
        try:
            read = read_plain(body)
            if not isinstance(read, dict):
                raise Unsound("it is not an object")
            reply = self._read_answer(read, call_id)
        except NotPlain as error:
            raise Fault("upstream.broken", "The provider's answer is not plain JSON.", cause=str(error)) from None
        except Unsound as error:
            raise Fault("upstream.broken", f"The provider's answer is unsound: {error}.") from None
        except NotTranslatable as error:
            raise _inexpressible(error) from None
        thoughts = [part for part in reply.parts if isinstance(part, Thinking)]
        self.keep(thoughts, [part for part in reply.parts if isinstance(part, ToolUse)])
        return self._write_answer(reply, call_id, now)

    def _read_answer(self, read: dict[str, Any], call_id: str) -> Reply:
        match self.target:
            case WireName.OPENAI:
                return chat_answer.read_answer(read)
            case WireName.RESPONSES:
                return responses_answer.read_answer(read)
            case WireName.ANTHROPIC:
                return messages_answer.read_answer(read)
            case WireName.GEMINI:
                return gemini_answer.read_answer(read, call_id)
            case WireName.CONVERSE:
                reply = converse_answer.read_answer(read)
                return Reply(self._model, reply.parts, reply.stop, reply.usage)

    def _write_answer(self, reply: Reply, call_id: str, now: int) -> bytes:
        tools = self.conversation.tools
        match self.client:
            case WireName.RESPONSES:
                return responses_answer.write_answer(reply, call_id, now, tools)
            case WireName.ANTHROPIC:
                return messages_answer.write_answer(reply, call_id)
            case WireName.GEMINI:
                return gemini_answer.write_answer(reply, call_id)
            case _:
                return chat_answer.write_answer(reply, call_id, now, tools)

    def stream(self, reader: StreamReader, call_id: str, now: int) -> CarriedStream:
        """The provider's stream as the client's, read once more by `reader`, which is of the client's wire."""
        return CarriedStream(self, self._events(call_id), self._writer(call_id, now), reader, self._model)

    def _events(self, call_id: str) -> Events:
        match self.target:
            case WireName.OPENAI:
                return chat_answer.ChatEvents()
            case WireName.RESPONSES:
                return responses_answer.ResponsesEvents()
            case WireName.ANTHROPIC:
                return messages_answer.MessagesEvents()
            case WireName.GEMINI:
                return gemini_answer.GeminiEvents(call_id)
            case WireName.CONVERSE:
                return converse_answer.ConverseEvents()

    def _writer(self, call_id: str, now: int) -> Writer:
        tools = self.conversation.tools
        match self.client:
            case WireName.RESPONSES:
                return responses_answer.ResponsesWriter(call_id, now, tools, self.target)
            case WireName.ANTHROPIC:
                return messages_answer.MessagesWriter(call_id, self.target)
            case WireName.GEMINI:
                return gemini_answer.GeminiWriter(call_id)
            case _:
                return chat_answer.ChatWriter(call_id, now, tools, include_usage=self.conversation.include_usage)

    def keep(self, thoughts: list[Thinking], calls: list[ToolUse]) -> None:
        """Keep what the client may not be able to carry."""
        if calls:
            self._thoughts.keep(self._container, self.target, thoughts, calls)


def _read_request(exchange: Exchange) -> Conversation:
    read = read_object(exchange.body)
    match exchange.wire:
        case WireName.RESPONSES:
            return responses_request.read_request(read)
        case WireName.ANTHROPIC:
            return messages_request.read_request(read)
        case WireName.GEMINI:
            return gemini_request.read_request(read, stream=exchange.stream)
        case _:
            return chat_request.read_request(read)


def _inexpressible(error: NotTranslatable) -> Fault:
    return Fault("upstream.not_translatable", f"The provider's answer has {error}, which this wire cannot say.")


class CarriedStream:
    """A `StreamReader` of the client's wire that is fed with the provider's bytes.

    What the client gets is read by the reader of its own wire, so what is judged is what it gets.
    """

    __slots__ = (
        "_calls",
        "_carriage",
        "_ended",
        "_events",
        "_name",
        "_reader",
        "_thoughts",
        "_writer",
        "model",
        "usage",
    )

    def __init__(self, carriage: Carriage, events: Events, writer: Writer, reader: StreamReader, model: str) -> None:
        self._carriage = carriage
        self._events, self._writer, self._reader = events, writer, reader
        self._name = model
        self._thoughts: list[Thinking] = []
        self._calls: list[ToolUse] = []
        self._ended = False
        self.usage: Usage | None = None
        self.model = ""

    @property
    def made(self) -> str:
        """Nothing is kept of what was translated."""
        return ""

    def feed(self, data: bytes) -> list[Frame]:
        return self._take(data)

    def close(self) -> list[Frame]:
        out = self._take(None)
        if not self._ended:
            out += self._reader.close()
            self._ended = True
        return out

    def _take(self, data: bytes | None) -> list[Frame]:
        if self._ended:
            return []
        try:
            events = self._events.close() if data is None else self._events.feed(data)
        except TooLong:
            return self._broken("A frame of the provider's stream is too long.")
        except NotPlain as error:
            return self._broken(f"A frame of the provider's stream is not plain JSON: {error}.")
        except Unsound as error:
            return self._broken(f"The provider's stream is unsound: {error}.")
        except NotTranslatable as error:
            return self._broken(_inexpressible(error).sentence)
        written = b"".join([self._written(event) for event in events])
        frames = self._reader.feed(written) if written else []
        if any(isinstance(frame, End | Broken) for frame in frames):
            self._ended = True
        return frames

    def _written(self, event: StreamEvent) -> bytes:
        match event:
            case Opened(model=model, usage=usage):
                self.model, self.usage = model or self._name, usage
                event = Opened(self.model, usage)
            case Thought(text=text, proof=proof, sealed=sealed):
                self._think(text, proof, sealed=sealed)
            case Called(call=call):
                self._calls.append(call)
            case Over(usage=usage):
                self.usage = usage or self.usage
                self._carriage.keep(self._thoughts, self._calls)
        return self._writer.write(event)

    def _think(self, text: str, proof: str, *, sealed: bool) -> None:
        last = self._thoughts[-1] if self._thoughts else None
        if last is None or last.proof or sealed:
            self._thoughts.append(Thinking(text, proof, self._carriage.target, sealed))
        else:
            self._thoughts[-1] = Thinking(last.text + text, proof, self._carriage.target)

    def _broken(self, sentence: str) -> list[Frame]:
        self._ended = True
        return [Broken(sentence)]
