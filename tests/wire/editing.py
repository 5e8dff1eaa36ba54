"""Streamed answers as the gate edits them: read by the wire's reader, as they came until the first change."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from bawn.terms.exchange import WireName
from bawn.terms.frames import Broken, End, HeldCall
from bawn.terms.toolcall import ToolCall
from bawn.wire import wire
from bawn.wire.answers import answers
from bawn.wire.editing import Kept, Outcome, StreamEditor

Decide = Callable[[ToolCall], Outcome]


def by_bytes(data: bytes) -> list[bytes]:
    return [bytes((byte,)) for byte in data]


def edited(name: WireName, parts: Iterable[bytes], decide: Decide, *, ids: bool = True) -> bytes:
    """The stream as a client gets it."""
    return Edited(name).answer(parts, decide)


class Edited:
    """One stream to a client, which may be made of several answers."""

    def __init__(self, name: WireName) -> None:
        self._name = name
        self._editor: StreamEditor | None = None
        self.out = b""

    def editor(self) -> StreamEditor:
        if self._editor is None:
            self._editor = answers(self._name).editor(self.out)
        return self._editor

    def answer(self, parts: Iterable[bytes], decide: Decide) -> bytes:
        reader = wire(self._name).stream_reader(hide_usage=False)
        for part in parts:
            for frame in reader.feed(part):
                self._frame(frame, decide)
        for frame in reader.close():
            self._frame(frame, decide)
        return self.out

    def refused(self, data: bytes) -> None:
        """An answer of which all calls are withheld: what comes before them goes out, and the model is told."""
        reader = wire(self._name).stream_reader(hide_usage=False)
        waiting = False
        for frame in [*reader.feed(data), *reader.close()]:
            assert not isinstance(frame, Broken)
            waiting = waiting or isinstance(frame, HeldCall)
            if waiting:
                self.editor().swallow(frame.data)
            else:
                self.out += frame.data if self._editor is None else self._editor.passing(frame.data)
        self.editor().begin_again()

    def _frame(self, frame: object, decide: Decide) -> None:
        match frame:
            case HeldCall(calls=calls, data=data):
                outcomes = [decide(call) for call in calls]
                if self._editor is None and all(isinstance(each, Kept) for each in outcomes):
                    self.out += data
                else:
                    self.out += self.editor().calls(data, outcomes)
            case End(data=data):
                self.out += data if self._editor is None else self._editor.end(data)
            case Broken(sentence=sentence):
                raise AssertionError(sentence)
            case _:
                data = getattr(frame, "data")  # noqa: B009
                self.out += data if self._editor is None else self._editor.passing(data)


def calls_of(name: WireName, stream: bytes) -> list[ToolCall]:
    """The calls in a stream, which has to be whole."""
    reader = wire(name).stream_reader(hide_usage=False)
    frames = [*reader.feed(stream), *reader.close()]
    assert isinstance(frames[-1], End), frames[-1]
    return [call for frame in frames if isinstance(frame, HeldCall) for call in frame.calls]
