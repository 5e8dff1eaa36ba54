"""A streamed response that is changed on its way.

Items are numbered anew as they start, events as they go out. What closes the response tells the items once more; it is
put together from what has gone out here, so that it cannot tell anything else. An item that is written here is told
whole where its call began.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from bawn.wire.editing import Kept, Outcome
from bawn.wire.editing_faults import editing
from bawn.wire.holding import Unsound
from bawn.wire.responses_calls import is_call
from bawn.wire.responses_folding import CLOSING, OPENING, told_beside
from bawn.wire.responses_items import (
    Events,
    became,
    events_of,
    fresh_item,
    identity,
    message_id,
    message_item,
    with_output,
)
from bawn.wire.responses_stream import items_of
from bawn.wire.typed_frames import TypedFrame, typed_frame, typed_frames
from bawn.wire.usage_sum import summed

OWN = ("id", "object", "created_at", "model")
"""What a response is told by, whichever answers went into it."""
_NUMBER = "sequence_number"


class _Told:
    """What one answer has told of its items."""

    __slots__ = ("added", "open", "out", "renamed", "skipped", "usage")

    def __init__(self) -> None:
        self.open: dict[int, int] = {}
        """Items that are open, by their number in the answer: their number as they went out."""
        self.skipped: set[int] = set()
        """Open items that do not go out as they come."""
        self.added: list[tuple[str, str]] = []
        self.out: dict[tuple[str, str], int] = {}
        """Items that went out as they came, and their number."""
        self.renamed: dict[str, str] = {}
        """Ids that an answer before it has used."""
        self.usage: Any = None


class ResponseEditor:
    __slots__ = (
        "_again",
        "_answer",
        "_first",
        "_ids",
        "_items",
        "_next",
        "_number",
        "_numbered",
        "_owed",
        "_shown",
        "_used",
    )

    @editing
    def __init__(self, before: bytes) -> None:
        self._answer = _Told()
        self._first: dict[str, Any] | None = None
        """The response as it was when it started to go out."""
        self._again = False
        """Whether this is not the first answer."""
        self._shown = True
        """Whether the opening of this answer goes out."""
        self._next = 0
        """The number of the next item that goes out."""
        self._items: dict[int, dict[str, Any]] = {}
        """Items that have gone out whole."""
        self._ids: set[str] = set()
        """Ids of items that have gone out."""
        self._number: int | None = None
        """The number of the next event; None before the first."""
        self._numbered = True
        """Whether this server numbers its events."""
        self._used: Any = None
        """What the answers before this one have used."""
        self._owed = b""
        """Frames that go out before the next ones."""
        for frame in typed_frames(before):
            if frame.event is not None:
                self._learn(frame.kind, frame.event)

    @editing
    def passing(self, data: bytes) -> bytes:
        return self._paid() + b"".join([self._frame(frame) for frame in typed_frames(data)])

    @editing
    def calls(self, data: bytes, outcomes: Sequence[Outcome]) -> bytes:
        frames, left = typed_frames(data), iter(outcomes)
        whole = _whole_calls(frames)
        out = self._paid() + b"".join([self._frame(frame, whole, left) for frame in frames])
        if next(left, None) is not None:
            raise Unsound("there are more outcomes than calls")
        return out

    @editing
    def say(self, text: str) -> bytes:
        if self._first is None:
            raise Unsound("nothing can be said before the response has started")
        return self._paid() + self._whole(message_item(message_id(self._first.get("id"), f"_{self._next}"), text))

    @editing
    def end(self, data: bytes) -> bytes:
        return self.passing(data)

    @editing
    def swallow(self, data: bytes) -> None:
        for frame in typed_frames(data):
            event = frame.event or {}
            if frame.kind in CLOSING:
                self._answer.usage = event["response"].get("usage")
            elif event.get("output_index") in self._answer.open and frame.kind != "response.output_item.added":
                # What has begun to go out is ended.
                self._owed += self._piece(frame, event)

    @editing
    def begin_again(self) -> None:
        if self._answer.open:
            raise Unsound("an item is open, and nobody ends it")
        self._used = summed(self._used, self._answer.usage)
        self._answer, self._again, self._shown = _Told(), True, self._first is None

    def _learn(self, kind: str, event: dict[str, Any]) -> None:
        """An event that has gone out as it came."""
        if isinstance(event.get(_NUMBER), int):
            # What keeps a connection alive may have run ahead.
            self._number = max(self._number or 0, event[_NUMBER] + 1)
        else:
            self._numbered = False
        index = event.get("output_index")
        if kind in OPENING:
            self._first = event["response"] if self._first is None else self._first
        elif kind == "response.output_item.added" and isinstance(index, int):
            item, self._next = event["item"], max(self._next, index + 1)
            self._at(item, index, index)
            self._ids.add(str(item.get("id")))
        elif kind == "response.output_item.done" and isinstance(index, int):
            self._items[index] = event["item"]
            self._answer.open.pop(index, None)

    def _frame(
        self,
        frame: TypedFrame,
        whole: dict[int, dict[str, Any]] | None = None,
        outcomes: Iterator[Outcome] | None = None,
    ) -> bytes:
        kind, event = frame.kind, frame.event
        if event is None:
            return frame.raw
        if kind in OPENING:
            if not self._shown:
                return b""
            self._first = event["response"] if self._first is None else self._first
            return self._sent(frame, {})
        if kind in CLOSING:
            return self._close(frame, event)
        if kind == "response.output_item.added":
            return self._added(frame, event, whole, outcomes)
        index = event.get("output_index")
        if index is None:
            return self._sent(frame, {})
        if index in self._answer.skipped:
            if kind == "response.output_item.done":
                self._answer.skipped.remove(index)
            return b""
        return self._piece(frame, event)

    def _added(
        self,
        frame: TypedFrame,
        event: dict[str, Any],
        whole: dict[int, dict[str, Any]] | None,
        outcomes: Iterator[Outcome] | None,
    ) -> bytes:
        index, item = int(event["output_index"]), event["item"]
        if is_call(item):
            outcome = next(outcomes, None) if outcomes is not None else None
            if outcome is None or whole is None or index not in whole:
                raise Unsound("a call comes that nobody has decided on")
            if not isinstance(outcome, Kept):
                self._answer.skipped.add(index)
                self._answer.added.append(identity(item))
                written = became(whole[index], outcome)
                return self._whole(written) if written is not None else b""
        item = self._goes_out(item, index, self._next)
        self._next += 1
        return self._sent(frame, {"output_index": self._answer.open[index], "item": item})

    def _goes_out(self, item: dict[str, Any], index: int, out: int) -> dict[str, Any]:
        """The item that goes out under the number `out`, with an id that no other one has."""
        self._at(item, index, out)
        named = fresh_item(item, self._ids)
        if "id" in item and named["id"] != item["id"]:
            self._answer.renamed[item["id"]] = named["id"]
        return named

    def _at(self, item: dict[str, Any], index: int, out: int) -> None:
        self._answer.open[index] = self._answer.out[identity(item)] = out
        self._answer.added.append(identity(item))

    def _piece(self, frame: TypedFrame, event: dict[str, Any]) -> bytes:
        """An event of an item that goes out, its end among them."""
        index, done = int(event["output_index"]), frame.kind == "response.output_item.done"
        if index not in self._answer.open:
            raise Unsound("a piece belongs to no item that has gone out")
        out = self._answer.open.pop(index) if done else self._answer.open[index]
        changes: dict[str, Any] = {"output_index": out}
        renamed = self._answer.renamed.get(str(event.get("item_id")))
        if renamed is not None:
            changes["item_id"] = renamed
        if done:
            changes["item"] = self._items[out] = self._as_named(event["item"])
        return self._sent(frame, changes)

    def _as_named(self, item: dict[str, Any]) -> dict[str, Any]:
        renamed = self._answer.renamed.get(str(item.get("id")))
        return item if renamed is None else {**item, "id": renamed}

    def _whole(self, item: dict[str, Any]) -> bytes:
        index, self._next = self._next, self._next + 1
        item = self._items[index] = fresh_item(item, self._ids)
        return self._new(events_of(item, index))

    def _close(self, frame: TypedFrame, event: dict[str, Any]) -> bytes:
        response = event["response"]
        self._answer.usage = response.get("usage")
        told = items_of(response)
        for item in told:
            out = self._answer.out.get(identity(item))
            if out is not None and out not in self._items:
                # It was cut, and never ended by itself.
                self._items[out] = self._as_named(item)
        for item in told_beside(self._answer.added, told):
            self._items[self._next], self._next = fresh_item(item, self._ids), self._next + 1
        whole = with_output(response, [self._items[index] for index in sorted(self._items)])
        first = self._first or {}
        whole |= {name: first[name] for name in OWN if name in first}
        if self._again:
            whole["usage"] = summed(self._used, response.get("usage"))
        return self._sent(frame, {"response": whole})

    def _sent(self, frame: TypedFrame, changes: dict[str, Any]) -> bytes:
        """A frame that goes out, byte for byte where nothing in it has changed."""
        assert frame.event is not None
        if _NUMBER in frame.event:
            self._number = frame.event[_NUMBER] if self._number is None else self._number
            changes, self._number = {**changes, _NUMBER: self._number}, self._number + 1
        else:
            self._numbered = False
        if all(frame.event.get(name) == value for name, value in changes.items()):
            return frame.raw
        return typed_frame({**frame.event, **changes})

    def _paid(self) -> bytes:
        owed, self._owed = self._owed, b""
        return owed

    def _new(self, events: Events) -> bytes:
        out = b""
        for event in events:
            if self._numbered:
                number = self._number or 0
                event, self._number = {**event, _NUMBER: number}, number + 1
            out += typed_frame(event)
        return out


def _whole_calls(frames: Sequence[TypedFrame]) -> dict[int, dict[str, Any]]:
    """The calls of a group as they are when they are done, by their number. Raises Unsound."""
    found: dict[int, dict[str, Any]] = {}
    for frame in frames:
        if frame.kind == "response.output_item.done" and frame.event is not None and is_call(frame.event["item"]):
            index = int(frame.event["output_index"])
            if index in found:
                raise Unsound("two calls have one number")
            found[index] = frame.event["item"]
    return found
