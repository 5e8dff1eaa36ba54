"""A streamed message that is changed on its way.

Blocks are numbered anew as they start, since clients put them into a list by order. The events that end the message
wait for its very end: only there is known whether a call has gone out, and what all answers together have used.
A block that is written here is told whole where its call began.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from bawn.wire.anthropic_blocks import became, events_of, runs_here
from bawn.wire.anthropic_calls import is_tool_call
from bawn.wire.editing import Changed, Kept, Outcome
from bawn.wire.editing_faults import editing
from bawn.wire.holding import Unsound
from bawn.wire.typed_frames import TypedFrame, typed_frame, typed_frames
from bawn.wire.usage_sum import summed

_COUNTED = (
    "input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens", "output_tokens_details",
    "server_tool_use",
)  # fmt: skip
"""What the usage of `message_delta` can tell."""


_WITHIN = ("content_block_delta", "content_block_stop")


class MessageEditor:
    __slots__ = ("_again", "_blocks", "_called", "_ending", "_next", "_owed", "_skipped", "_started", "_told", "_used")

    @editing
    def __init__(self, before: bytes) -> None:
        self._started = False
        self._called = False
        """Whether a call that the client is to run has gone out."""
        self._again = False
        """Whether this is not the first answer."""
        self._next = 0
        """The number of the next block that goes out."""
        self._blocks: dict[int, int] = {}
        """Blocks of the answer that are open, by their number in it: their number as they went out."""
        self._skipped: set[int] = set()
        """Open blocks of the answer that do not go out as they come."""
        self._ending: dict[str, Any] | None = None
        """`message_delta` so far."""
        self._told: dict[str, Any] = {}
        """What this answer has used."""
        self._used: dict[str, Any] = {}
        """What the answers before it have used."""
        self._owed = b""
        """Frames that go out before the next ones."""
        for frame in typed_frames(before):
            self._learn(frame)

    @editing
    def passing(self, data: bytes) -> bytes:
        return self._paid() + b"".join([self._frame(frame, None) for frame in typed_frames(data)])

    @editing
    def calls(self, data: bytes, outcomes: Sequence[Outcome]) -> bytes:
        left = iter(outcomes)
        out = b"".join([self._frame(frame, left) for frame in typed_frames(data)])
        if next(left, None) is not None:
            raise Unsound("there are more outcomes than calls")
        return self._paid() + out

    @editing
    def say(self, text: str) -> bytes:
        if not self._started:
            raise Unsound("nothing can be said before the message has started")
        return self._paid() + self._whole({"type": "text", "text": text})

    @editing
    def end(self, data: bytes) -> bytes:
        return self.passing(data)

    @editing
    def swallow(self, data: bytes) -> None:
        for frame in typed_frames(data):
            self._count(frame)
            if frame.kind in _WITHIN and frame.event is not None and frame.event["index"] in self._blocks:
                # What has begun to go out is ended.
                self._owed += self._frame(frame, None)

    @editing
    def begin_again(self) -> None:
        self._owed += self._closed()
        self._used, self._told = summed(self._used, self._told), {}
        self._skipped, self._ending, self._again = set(), None, True

    def _learn(self, frame: TypedFrame) -> None:
        """A frame that has gone out as it came."""
        self._count(frame)
        event = frame.event or {}
        match frame.kind:
            case "message_start":
                self._started = True
            case "content_block_start":
                index = int(event["index"])
                self._blocks[index] = index
                self._next = max(self._next, index + 1)
                self._called = self._called or runs_here(event["content_block"])
            case "content_block_stop":
                self._blocks.pop(int(event["index"]), None)

    def _count(self, frame: TypedFrame) -> None:
        """What a frame tells of usage and of the end."""
        event = frame.event or {}
        if frame.kind == "message_start":
            said = event.get("message")
            usage = said.get("usage") if isinstance(said, dict) else None
            self._told = dict(usage) if isinstance(usage, dict) else {}
        elif frame.kind == "message_delta":
            before, usage = self._ending or {}, event.get("usage")
            self._ending = {**before, **event, "delta": {**_part(before, "delta"), **_part(event, "delta")}}
            if isinstance(usage, dict):
                # These counts are of the whole answer so far.
                self._told |= {name: count for name, count in usage.items() if count is not None}
                self._ending["usage"] = {**_part(before, "usage"), **usage}

    def _frame(self, frame: TypedFrame, outcomes: Iterator[Outcome] | None) -> bytes:
        self._count(frame)
        event = frame.event or {}
        match frame.kind:
            case "message_start":
                if self._started:
                    return b""
                self._started = True
                return frame.raw
            case "content_block_start":
                return self._start(frame, event, outcomes)
            case "content_block_delta":
                index = int(event["index"])
                return b"" if index in self._skipped else self._numbered(frame, self._out(index))
            case "content_block_stop":
                index = int(event["index"])
                if index in self._skipped:
                    self._skipped.remove(index)
                    return b""
                out = self._numbered(frame, self._out(index))
                del self._blocks[index]
                return out
            case "message_delta":
                return b""
            case "message_stop":
                return self._closed() + self._delta() + frame.raw
            case _:
                return frame.raw

    def _start(self, frame: TypedFrame, event: dict[str, Any], outcomes: Iterator[Outcome] | None) -> bytes:
        index, block = int(event["index"]), event["content_block"]
        if is_tool_call(block):
            outcome = next(outcomes, None) if outcomes is not None else None
            if outcome is None:
                raise Unsound("a call comes that nobody has decided on")
            if not isinstance(outcome, Kept):
                self._skipped.add(index)
                return self._replaced(became(block, outcome), outcome)
            self._called = self._called or runs_here(block)
        self._blocks[index], self._next = self._next, self._next + 1
        return self._numbered(frame, self._blocks[index])

    def _replaced(self, block: dict[str, Any] | None, outcome: Outcome) -> bytes:
        if block is None:
            return b""
        self._called = self._called or runs_here(block)
        return self._whole(block, outcome.arguments if isinstance(outcome, Changed) else None)

    def _whole(self, block: dict[str, Any], arguments: str | None = None) -> bytes:
        index, self._next = self._next, self._next + 1
        return _joined(events_of(block, index, arguments))

    def _out(self, index: int) -> int:
        if index not in self._blocks:
            raise Unsound("a piece belongs to no block that has gone out")
        return self._blocks[index]

    def _numbered(self, frame: TypedFrame, index: int) -> bytes:
        assert frame.event is not None
        return frame.raw if frame.event["index"] == index else typed_frame({**frame.event, "index": index})

    def _closed(self) -> bytes:
        """What closes the blocks that are still open."""
        open_ones, self._blocks = sorted(self._blocks.values()), {}
        return _joined({"type": "content_block_stop", "index": index} for index in open_ones)

    def _delta(self) -> bytes:
        if self._ending is None:
            return b""
        delta = _part(self._ending, "delta")
        delta = {**delta, "stop_reason": stopped(delta.get("stop_reason"), self._called, self._again)}
        usage = _part(self._ending, "usage")
        if self._again:
            both = summed(self._used, self._told)
            usage = {name: count for name, count in both.items() if name in _COUNTED or name in usage}
        return typed_frame({**self._ending, "delta": delta, "usage": usage})

    def _paid(self) -> bytes:
        owed, self._owed = self._owed, b""
        return owed


def stopped(reason: object, called: bool, again: bool = True) -> object:
    """The reason by which a message ends, once it is known whether a call goes out that the client is to run."""
    if reason == "tool_use" and not called:
        return "end_turn"
    # The calls of the answer before are still to be run.
    return "tool_use" if reason == "end_turn" and called and again else reason


def _part(event: dict[str, Any], name: str) -> dict[str, Any]:
    value = event.get(name)
    return value if isinstance(value, dict) else {}


def _joined(events: Iterable[dict[str, Any]]) -> bytes:
    return b"".join(typed_frame(event) for event in events)
