"""What each wire says when something is wrong: its errors, its error in mid-stream, and frames to spoil a stream with."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from bawn.inference import anthropic_shape, converse_shape, gemini_shape, openai_shape, responses_shape
from bawn.inference.conversation import Wire
from bawn.inference.event_stream import payload_of


def _of_event(frame: bytes) -> bytes:
    return frame.partition(b"data: ")[2].strip() or frame


class Form(Struct, frozen=True):
    error: Callable[[int, str, str], bytes]
    """The body of an error, from its status, its sentence and the seed."""
    error_frame: Callable[[str], bytes]
    piece: Callable[[bytes, bytes], bytes]
    """A frame with one piece of text, and a second piece under the same key, if one is given."""
    garbage: bytes = b"data: {this is } no JSON \xff\xfe\n\n"
    """A frame that nobody can read."""
    body_of: Callable[[bytes], bytes] = _of_event
    """What a frame would be as a body."""


def error_body(wire: Wire, status: int, message: str, seed: str) -> bytes:
    return FORMS[wire].error(status, message, seed)


def heads(wire: Wire, seed: str) -> tuple[tuple[str, str], ...]:
    """The headers that stand in every answer of a wire."""
    name = {Wire.ANTHROPIC: "request-id", Wire.CONVERSE: "x-amzn-requestid"}.get(wire, "x-request-id")
    return ((name, f"req_{seed[:24]}"),)


def error_heads(wire: Wire, status: int) -> tuple[tuple[str, str], ...]:
    """Those of an error beside them."""
    return (("x-amzn-errortype", converse_shape.error_type(status)),) if wire is Wire.CONVERSE else ()


def _openai_error(status: int, message: str, seed: str) -> bytes:
    return openai_shape.error(status, message)


def _gemini_error(status: int, message: str, seed: str) -> bytes:
    return gemini_shape.error(status, message)


def _converse_error(status: int, message: str, seed: str) -> bytes:
    return converse_shape.error(status, message)


FORMS = {
    Wire.OPENAI: Form(_openai_error, openai_shape.error_frame, openai_shape.piece),
    Wire.RESPONSES: Form(_openai_error, responses_shape.error_frame, responses_shape.piece),
    Wire.ANTHROPIC: Form(anthropic_shape.error, anthropic_shape.error_frame, anthropic_shape.piece),
    Wire.GEMINI: Form(_gemini_error, gemini_shape.error_frame, gemini_shape.piece),
    Wire.CONVERSE: Form(
        _converse_error,
        converse_shape.error_frame,
        converse_shape.piece,
        # Its checksum is wrong.
        garbage=converse_shape.piece(b"seen", b"")[:-4] + b"\0\0\0\0",
        body_of=payload_of,
    ),
}
