"""Events with a type, as messages and responses stream them: frames as they came, and frames that are written anew.

What is given here was read by the wire's own reader before; so whatever does not add up is a fault of ours, and ends
the answer instead of being passed on.
"""

from __future__ import annotations

from typing import Any

from bawn.terms.value import Value
from bawn.wire.holding import Unsound
from bawn.wire.json_text import NotPlain, read_plain, written
from bawn.wire.sse import SseSplitter, TooLong


class TypedFrame(Value, frozen=True):
    raw: bytes
    event: dict[str, Any] | None
    """None for what says nothing: comments, and the mark by which some servers end a stream."""

    @property
    def kind(self) -> str:
        return str(self.event["type"]) if self.event is not None else ""


def typed_frames(data: bytes) -> list[TypedFrame]:
    """The frames in it, which have to be whole. Raises Unsound."""
    splitter = SseSplitter()
    try:
        found = [*splitter.feed(data), *splitter.last()]
        frames = [TypedFrame(frame.raw, _event(frame.data)) for frame in found]
    except (NotPlain, TooLong) as error:
        raise Unsound(f"a frame cannot be read: {error}") from None
    if splitter.rest:
        raise Unsound("a frame is not whole")
    return frames


def typed_frame(event: dict[str, Any]) -> bytes:
    """An event as a frame. Raises Unsound when a value in it cannot be written."""
    try:
        return b"event: %b\ndata: %b\n\n" % (str(event["type"]).encode(), written(event).encode())
    except (NotPlain, UnicodeEncodeError) as error:
        raise Unsound(f"it cannot be written: {error}") from None


def _event(data: bytes | None) -> dict[str, Any] | None:
    if data is None or data.strip() == b"[DONE]":
        return None
    event = read_plain(data)
    if not isinstance(event, dict) or not isinstance(event.get("type"), str):
        raise NotPlain("an event has no type")
    return event
