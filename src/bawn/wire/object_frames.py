"""Frames that hold one JSON object each, as chat completions and Gemini stream them: as they came, and written anew.

What is given here was read by the wire's own reader before; so whatever does not add up is a fault of ours, and ends
the answer instead of being passed on.
"""

from __future__ import annotations

from typing import Any

from bawn.terms.value import Value
from bawn.wire.holding import Unsound
from bawn.wire.json_text import NotPlain, read_plain, written
from bawn.wire.sse import SseSplitter, TooLong

_DONE = (b"data: [DONE]", b"data:[DONE]", b"")


class ObjectFrame(Value, frozen=True):
    raw: bytes
    value: dict[str, Any] | None
    """None for what says nothing: comments, and `[DONE]`."""


def object_frames(data: bytes) -> list[ObjectFrame]:
    """The frames in it, which have to be whole; only the last `[DONE]` may lack its blank line. Raises Unsound."""
    splitter = SseSplitter()
    try:
        frames = [*splitter.feed(data), *splitter.last()]
        found = [ObjectFrame(frame.raw, _object(frame.data)) for frame in frames]
    except (NotPlain, TooLong) as error:
        raise Unsound(f"a frame cannot be read: {error}") from None
    rest = splitter.rest
    if rest.strip() not in _DONE:
        raise Unsound("a frame is not whole")
    return [*found, ObjectFrame(rest, None)] if rest else found


def object_frame(value: dict[str, Any], line_end: bytes = b"\n") -> bytes:
    """An object as a frame. Raises Unsound when a value in it cannot be written."""
    try:
        return b"data: " + written(value).encode() + line_end * 2
    except NotPlain as error:
        raise Unsound(str(error)) from None


def _object(data: bytes | None) -> dict[str, Any] | None:
    if data is None or data.strip() == b"[DONE]":
        return None
    value = read_plain(data)
    if not isinstance(value, dict):
        raise NotPlain("a frame is not an object")
    return value
