"""An answer as acts: the bytes, pauses and gestures that a connection performs one after another.

This is the seam between what is said and how it is sent. The server performs acts without understanding
them, so a fault is just another list of acts and can be exact to the byte.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum, auto
from http import HTTPStatus


class Gesture(Enum):
    STALL = auto()
    """Say nothing more and keep the connection open."""
    CLOSE = auto()
    RESET = auto()
    """End the connection with a TCP reset (on a unix socket: without flushing)."""


Act = bytes | float | Gesture
"""Send these bytes, wait so many seconds, or make this gesture."""

JSON = (("content-type", "application/json"),)
EVENTS = (("content-type", "text/event-stream; charset=utf-8"), ("cache-control", "no-cache"))


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes = b""
    frames: Iterable[bytes] | None = None
    """The frames of a stream; None for an answer in one piece, which is `body`."""
    first_byte_s: float = 0
    first_token_s: float = 0
    per_token_s: float = 0
    extra: tuple[tuple[str, str], ...] = field(default=())


def performed(answer: Answer, *, head_only: bool = False) -> Iterator[Act]:
    """The acts of an answer that nothing is wrong with."""
    if answer.first_byte_s:
        yield answer.first_byte_s
    if answer.frames is None:
        yield head(answer.status, (*answer.headers, *answer.extra, ("content-length", str(len(answer.body))))) + (
            b"" if head_only else answer.body
        )
        return
    yield stream_head(answer)
    yield from chunks(answer)
    yield LAST_CHUNK


def chunks(answer: Answer) -> Iterator[Act]:
    """The frames in HTTP chunks, at their pace."""
    if answer.first_token_s:
        yield answer.first_token_s
    first = True
    for frame in answer.frames or ():
        if not first and answer.per_token_s:
            yield answer.per_token_s
        first = False
        yield chunk(frame)


def stream_head(answer: Answer) -> bytes:
    return head(answer.status, (*answer.headers, *answer.extra, ("transfer-encoding", "chunked")))


def head(status: int, headers: Iterable[tuple[str, str]]) -> bytes:
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = "Overloaded" if status == 529 else "Unknown"
    lines = [f"HTTP/1.1 {status} {phrase}", *(f"{name}: {value}" for name, value in headers)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


LAST_CHUNK = b"0\r\n\r\n"
