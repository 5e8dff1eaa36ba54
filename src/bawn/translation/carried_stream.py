"""A stream of the provider's wire, as one of the client's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from bawn.errors import Fault
from bawn.terms.exchange import Usage, WireName
from bawn.terms.frames import Broken, End, Frame
from bawn.translation.neutral import (
    Called,
    NotTranslatable,
    Opened,
    Over,
    Said,
    StreamEvent,
    Thinking,
    Thought,
    ToolUse,
    whole,
)
from bawn.wire.holding import Unsound
from bawn.wire.interface import StreamReader
from bawn.wire.json_text import NotPlain
from bawn.wire.sse import TooLong

MOST_SAID = 16 * 2**20
"""Letters of one streamed answer; far more than any model says, and some wires tell it all again at its end."""

Keep = Callable[[list[Thinking], list[ToolUse]], None]
"""Keeps what the client may not be able to carry."""


class Events(Protocol):
    """A provider's stream as events; raises Unsound, NotPlain, TooLong and NotTranslatable."""

    def feed(self, data: bytes) -> list[StreamEvent]: ...

    def close(self) -> list[StreamEvent]: ...


class Writer(Protocol):
    """Events as the stream of a client's wire."""

    def write(self, event: StreamEvent) -> bytes: ...


class CarriedStream:
    """A `StreamReader` of the client's wire that is fed with the provider's bytes.

    What the client gets is read by the reader of its own wire, so what is judged is what it gets.
    """

    __slots__ = (
        "_calls",
        "_ended",
        "_events",
        "_keep",
        "_name",
        "_origin",
        "_reader",
        "_said",
        "_thoughts",
        "_writer",
        "model",
        "usage",
    )

    def __init__(
        self, events: Events, writer: Writer, reader: StreamReader, model: str, origin: WireName, keep: Keep
    ) -> None:
        self._origin, self._keep = origin, keep
        self._events, self._writer, self._reader = events, writer, reader
        self._name = model
        self._thoughts: list[Thinking] = []
        self._calls: list[ToolUse] = []
        self._ended = False
        self._said = 0
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
            for event in events:
                if isinstance(event, Called):
                    whole(event.call)
        except TooLong:
            return self._broken("A frame of the provider's stream is too long.")
        except NotPlain as error:
            return self._broken(f"A frame of the provider's stream is not plain JSON: {error}.")
        except Unsound as error:
            return self._broken(f"The provider's stream is unsound: {error}.")
        except NotTranslatable as error:
            return self._broken(inexpressible(error).sentence)
        self._said += sum(_letters(event) for event in events)
        if self._said > MOST_SAID:
            return self._broken("The provider's answer is too long.")
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
                self._keep(self._thoughts, self._calls)
        return self._writer.write(event)

    def _think(self, text: str, proof: str, *, sealed: bool) -> None:
        last = self._thoughts[-1] if self._thoughts else None
        if last is None or last.proof or sealed:
            self._thoughts.append(Thinking(text, proof, self._origin, sealed))
        else:
            self._thoughts[-1] = Thinking(last.text + text, proof, self._origin)

    def _broken(self, sentence: str) -> list[Frame]:
        self._ended = True
        return [Broken(sentence)]


def _letters(event: StreamEvent) -> int:
    match event:
        case Said(text=text):
            return len(text)
        case Thought(text=text, proof=proof):
            return len(text) + len(proof)
        case Called(call=call):
            return len(call.arguments)
        case _:
            return 0


def inexpressible(error: NotTranslatable) -> Fault:
    return Fault("upstream.not_translatable", f"The provider's answer has {error}, which this wire cannot say.")
