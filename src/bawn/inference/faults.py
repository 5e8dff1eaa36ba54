"""Answers gone wrong, exact to the byte: one function a kind of trouble, in one table.

Each takes the answer that would have been right and gives the acts that are performed instead. A kind
that is about frames does the nearest thing to an answer in one piece, so that every kind can be tried
on plain and on streamed calls.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from itertools import count, islice

from msgspec import Struct

from bawn.inference.answer import JSON, LAST_CHUNK, Act, Answer, Gesture, chunk, head, stream_head
from bawn.inference.conversation import Wire
from bawn.inference.forms import FORMS, error_body, error_heads
from bawn.inference.script import Trouble, TroubleKind

HTML = b"<!DOCTYPE html><html><head><title>502 Bad Gateway</title></head><body><h1>Bad Gateway</h1></body></html>"


class Spoiled(Struct, frozen=True):
    """An answer, what shall go wrong with it, and what the request said that matters for it."""

    answer: Answer
    trouble: Trouble
    wire: Wire
    credential: str
    """The credential that came with the request, for the provider that echoes it."""
    seed: str

    def error_body(self) -> bytes:
        return error_body(self.wire, self.trouble.status, self.trouble.message, self.seed)

    def error_frame(self) -> bytes:
        return FORMS[self.wire].error_frame(self.trouble.message)

    def begun(self) -> Iterator[Act]:
        """The head and the first frames of a stream, or the head and the first half of a body."""
        answer = self.answer
        if answer.frames is None:
            yield _sized(answer, len(answer.body)) + answer.body[: len(answer.body) // 2]
            return
        yield stream_head(answer)
        for frame in islice(answer.frames, self.trouble.after_frames):
            if answer.per_token_s:
                yield answer.per_token_s
            yield chunk(frame)

    def with_frame(self, frame: bytes) -> Iterator[Act]:
        """The whole answer with one more frame in the middle; in a plain answer the frame is the body."""
        answer = self.answer
        if answer.frames is None:
            body = FORMS[self.wire].body_of(frame)
            yield _sized(answer, len(body)) + body
            return
        rest = iter(answer.frames)
        yield stream_head(answer)
        for good in islice(rest, self.trouble.after_frames):
            yield chunk(good)
        yield chunk(frame)
        for good in rest:
            yield chunk(good)
        yield LAST_CHUNK


def spoiled(case: Spoiled) -> Iterator[Act]:
    """The acts of the trouble in `case`."""
    if case.answer.first_byte_s:
        yield case.answer.first_byte_s
    yield from PERFORMANCES[case.trouble.kind](case)


def _sized(answer: Answer, size: int) -> bytes:
    return head(answer.status, (*answer.headers, *answer.extra, ("content-length", str(size))))


def _whole(case: Spoiled) -> bytes:
    """The right answer in one piece, whether it was to be streamed or not."""
    return case.answer.body if case.answer.frames is None else b"".join(case.answer.frames)


def _status(case: Spoiled) -> Iterator[Act]:
    body = case.error_body()
    extra = (("retry-after", str(case.trouble.retry_after_s)),) if case.trouble.retry_after_s is not None else ()
    heads = (*JSON, *case.answer.extra, *error_heads(case.wire, case.trouble.status), *extra)
    yield head(case.trouble.status, (*heads, ("content-length", str(len(body))))) + body


def _redirect(case: Spoiled) -> Iterator[Act]:
    yield head(307, (("location", "http://203.0.113.1/v1/elsewhere"), ("content-length", "0")))


def _close_before_headers(case: Spoiled) -> Iterator[Act]:
    yield Gesture.CLOSE


def _close_after_headers(case: Spoiled) -> Iterator[Act]:
    yield _head_of(case)
    yield Gesture.CLOSE


def _head_of(case: Spoiled) -> bytes:
    return stream_head(case.answer) if case.answer.frames is not None else _sized(case.answer, len(case.answer.body))


def _close_mid_stream(case: Spoiled) -> Iterator[Act]:
    yield from case.begun()
    yield Gesture.CLOSE


def _reset_mid_stream(case: Spoiled) -> Iterator[Act]:
    yield from case.begun()
    yield 0.05  # a reset overtakes bytes that the peer has not read yet; the beginning must be seen
    yield Gesture.RESET


def _truncated(case: Spoiled) -> Iterator[Act]:
    if case.answer.frames is None:
        yield from _truncated_json(case)
        return
    yield from case.begun()
    yield LAST_CHUNK


def _truncated_json(case: Spoiled) -> Iterator[Act]:
    body = _whole(case)
    yield _sized(case.answer, len(body) // 2) + body[: len(body) // 2]


def _stall_before_headers(case: Spoiled) -> Iterator[Act]:
    yield Gesture.STALL


def _stall_after_headers(case: Spoiled) -> Iterator[Act]:
    yield _head_of(case)
    yield Gesture.STALL


def _stall_mid_stream(case: Spoiled) -> Iterator[Act]:
    yield from case.begun()
    yield Gesture.STALL


def _html(case: Spoiled) -> Iterator[Act]:
    yield head(200, (("content-type", "text/html; charset=utf-8"), ("content-length", str(len(HTML))))) + HTML


def _wrong_content_type(case: Spoiled) -> Iterator[Act]:
    body = _whole(case)
    yield head(200, (("content-type", "text/plain"), ("content-length", str(len(body))))) + body


def _empty_body(case: Spoiled) -> Iterator[Act]:
    yield _sized(case.answer, 0)


def _content_length_too_long(case: Spoiled) -> Iterator[Act]:
    body = _whole(case)
    yield _sized(case.answer, len(body) + 100) + body
    yield Gesture.CLOSE


def _content_length_too_short(case: Spoiled) -> Iterator[Act]:
    body = _whole(case)
    yield _sized(case.answer, len(body) - 10) + body


def _two_documents(case: Spoiled) -> Iterator[Act]:
    body = _whole(case) * 2
    yield _sized(case.answer, len(body)) + body


def _bad_chunking(case: Spoiled) -> Iterator[Act]:
    headers = (*case.answer.headers, ("transfer-encoding", "chunked"))
    yield head(case.answer.status, headers) + chunk(_whole(case)[:40]) + b"not-a-size\r\n" + _whole(case)[40:80]
    yield Gesture.CLOSE


def _bad_status_line(case: Spoiled) -> Iterator[Act]:
    yield b"HTTP/1.1 two-hundred OK\r\ncontent-length: 0\r\n\r\n"


def _huge_headers(case: Spoiled) -> Iterator[Act]:
    body = _whole(case)
    filler = ("x-filler", "f" * case.trouble.size_bytes)
    yield head(200, (*case.answer.headers, filler, ("content-length", str(len(body))))) + body


def _garbage_frame(case: Spoiled) -> Iterator[Act]:
    yield from case.with_frame(FORMS[case.wire].garbage)


def _duplicate_keys(case: Spoiled) -> Iterator[Act]:
    yield from case.with_frame(FORMS[case.wire].piece(b"seen", b"hidden"))


def _error_event(case: Spoiled) -> Iterator[Act]:
    if case.answer.frames is None:
        body = case.error_body()
        yield _sized(case.answer, len(body)) + body
        return
    yield from case.begun()
    yield chunk(case.error_frame())
    yield LAST_CHUNK


def _echo_authorization(case: Spoiled) -> Iterator[Act]:
    shown = f"Incorrect API key provided: {case.credential}."
    body = error_body(case.wire, 401, shown, case.seed)
    heads = (*JSON, *error_heads(case.wire, 401), ("x-echo", case.credential), ("content-length", str(len(body))))
    yield head(401, heads) + body


def _gzip(case: Spoiled) -> Iterator[Act]:
    body = gzip.compress(_whole(case))
    headers = (*case.answer.headers, ("content-encoding", "gzip"), ("content-length", str(len(body))))
    yield head(case.answer.status, headers) + body


def _endless(case: Spoiled) -> Iterator[Act]:
    if case.answer.frames is None:
        yield head(case.answer.status, (*case.answer.headers, ("transfer-encoding", "chunked")))
        frame = b" " * 4096
    else:
        good = list(islice(case.answer.frames, case.trouble.after_frames + 1))
        yield stream_head(case.answer)
        for opening in good[:-1]:
            yield chunk(opening)
        frame = good[-1]
    for _ in count():
        yield chunk(frame)


def _tool_cut(case: Spoiled) -> Iterator[Act]:
    """The stream ends properly for HTTP, in the middle of the arguments of a tool call."""
    if case.answer.frames is None:
        yield from _truncated_json(case)
        return
    good = list(case.answer.frames)
    within = [index for index, frame in enumerate(good) if any(mark in frame for mark in _ARGUMENTS)]
    last = within[len(within) // 2] if within else len(good) // 2
    yield stream_head(case.answer)
    for frame in good[:last]:
        yield chunk(frame)
    if within and case.wire is Wire.GEMINI:
        # Calls come whole on this wire: only a frame that breaks off cuts one.
        yield chunk(good[last][: len(good[last]) // 2])
    yield LAST_CHUNK


_ARGUMENTS = (b"arguments", b"input_json_delta", b'"functionCall"', b'"toolUse":{"input"', b"tool_call_input.delta")
"""What stands in the frames that bring arguments of calls, on one wire or another."""


def _huge_frame(case: Spoiled) -> Iterator[Act]:
    yield from case.with_frame(FORMS[case.wire].piece(b"x" * case.trouble.size_bytes, b""))


PERFORMANCES: dict[TroubleKind, Callable[[Spoiled], Iterator[Act]]] = {
    TroubleKind.STATUS: _status,
    TroubleKind.CLOSE_BEFORE_HEADERS: _close_before_headers,
    TroubleKind.CLOSE_AFTER_HEADERS: _close_after_headers,
    TroubleKind.CLOSE_MID_STREAM: _close_mid_stream,
    TroubleKind.RESET_MID_STREAM: _reset_mid_stream,
    TroubleKind.TRUNCATED: _truncated,
    TroubleKind.STALL_BEFORE_HEADERS: _stall_before_headers,
    TroubleKind.STALL_AFTER_HEADERS: _stall_after_headers,
    TroubleKind.STALL_MID_STREAM: _stall_mid_stream,
    TroubleKind.HTML: _html,
    TroubleKind.WRONG_CONTENT_TYPE: _wrong_content_type,
    TroubleKind.EMPTY_BODY: _empty_body,
    TroubleKind.CONTENT_LENGTH_TOO_LONG: _content_length_too_long,
    TroubleKind.CONTENT_LENGTH_TOO_SHORT: _content_length_too_short,
    TroubleKind.TWO_DOCUMENTS: _two_documents,
    TroubleKind.TRUNCATED_JSON: _truncated_json,
    TroubleKind.BAD_CHUNKING: _bad_chunking,
    TroubleKind.BAD_STATUS_LINE: _bad_status_line,
    TroubleKind.HUGE_HEADERS: _huge_headers,
    TroubleKind.GARBAGE_FRAME: _garbage_frame,
    TroubleKind.DUPLICATE_KEYS: _duplicate_keys,
    TroubleKind.ERROR_EVENT: _error_event,
    TroubleKind.ECHO_AUTHORIZATION: _echo_authorization,
    TroubleKind.GZIP: _gzip,
    TroubleKind.ENDLESS: _endless,
    TroubleKind.TOOL_CUT: _tool_cut,
    TroubleKind.HUGE_FRAME: _huge_frame,
    TroubleKind.REDIRECT: _redirect,
}
