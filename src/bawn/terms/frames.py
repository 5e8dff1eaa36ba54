"""What a provider's answer becomes on its way to the client.

A wire's reader turns bytes into these events. Text flows on at once; a frame that carries part of a
tool call is held until the call is whole, because only a whole call can be judged.
"""

from __future__ import annotations

from msgspec import Struct

from bawn.terms.toolcall import ToolCall


class TextFrame(Struct, frozen=True):
    """Bytes that carry no tool call and may go out as they came; several frames may stand in one value."""

    data: bytes


class HeldCall(Struct, frozen=True):
    """Tool calls that came in frames which cannot be told apart, with those frames byte for byte."""

    calls: tuple[ToolCall, ...]
    data: bytes


class End(Struct, frozen=True):
    """The stream closed as its wire says a whole answer closes."""

    data: bytes


class Broken(Struct, frozen=True):
    """The stream cannot be trusted any further: cut, unparsable, or an error event of the provider."""

    sentence: str
    data: bytes = b""
    """An error event of the provider itself, to be passed on as it came; empty when the bytes just ended."""


Frame = TextFrame | HeldCall | End | Broken
