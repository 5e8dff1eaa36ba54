"""What becomes of a script's answer to a model call. Pure but for asking the wire.

| the script answers | the agent gets |
|---|---|
| 2xx, an answer of its wire | that answer |
| 2xx, JSON though a stream was asked for | the stream that says the same |
| `{"status": "pending_approval", …}` | an error of its wire `script.pending`, or assistant text |
| 4xx or 5xx with `{"error": …}` | an error of its wire with that status and message, `script.refused` |
| anything else | 502 `script.bad_answer` |

So an agent never sees a completion that is none, whatever a script returns.
"""

from __future__ import annotations

import importlib
import re
from dataclasses import replace
from typing import Any, cast

from bawn.errors import KINDS, Fault
from bawn.scripts.settings import Pending
from bawn.terms.exchange import Endpoint, Exchange, WireName
from bawn.wire import wire
from bawn.wire.editing import Answers
from bawn.wire.json_text import NotPlain, read_plain

JSON = b"application/json"
EVENTS = b"text/event-stream"
_PENDING = b"pending_approval"
_LONGEST = 2000
_TALKS = frozenset((Endpoint.CHAT_COMPLETIONS, Endpoint.RESPONSES, Endpoint.MESSAGES, Endpoint.GENERATE))


def content_type(headers: list[tuple[bytes, bytes]]) -> bytes:
    found = (value for name, value in headers if name == b"content-type")
    return next(found, b"").split(b";")[0].strip().lower()


def answered(exchange: Exchange, body: bytes, pending: Pending, call: str, created: int) -> bytes:
    """What goes to the agent for a whole JSON body of status 2xx. Faults `script.pending`, `script.bad_answer`."""
    if _PENDING in body and (waiting := _waiting(body)) is not None:
        body = _told(exchange, waiting, pending, call, created)
    else:
        try:
            wire(exchange.wire).read_answer(exchange.endpoint, body)
        except Fault as fault:
            raise _bad(f"it is not an answer of the wire {exchange.wire.value}: {fault.sentence}") from None
    if not exchange.stream:
        return body
    if exchange.endpoint not in _TALKS:
        raise _bad("a stream was asked for, and answered was JSON")
    return _streamed(exchange, body)


def _streamed(exchange: Exchange, body: bytes) -> bytes:
    stream, speaks = answers(exchange.wire).streamed(body), wire(exchange.wire)
    if speaks.with_usage(exchange.body) == exchange.body:
        return stream
    # An agent that did not ask for the usage is not ready for a frame that has no choices.
    reader = speaks.stream_reader(hide_usage=True)
    return b"".join(frame.data for frame in (*reader.feed(stream), *reader.close()))


def refusal(status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> Fault:
    """The Fault for a body of a status that is not 2xx."""
    code = next((value.decode("latin-1") for name, value in headers if name == b"x-bawn-script-fault"), "")
    read = _object(body)
    if code:
        told = read or {}
        known = code if code.startswith("script.") and code in KINDS else "script.crashed"
        sentence = _text(told.get("sentence")) or "The script for this call failed."
        return Fault(known, sentence, cause=_text(told.get("cause")))
    message = _message(read)
    if message is None or not 400 <= status < 600:
        return _bad(f"status {status}, {len(body)} bytes")
    fault = Fault("script.refused", message, retry_after=_seconds(headers))
    # The script says with which status; one that says "later" is taken at its word.
    fault.kind = replace(fault.kind, status=status, retry=status == 429 or status >= 500)
    return fault


def answers(name: WireName) -> Answers:
    """What can be done with answers of a wire."""
    return cast("Answers", importlib.import_module("bawn.wire.answers").answers(name))


def _seconds(headers: list[tuple[bytes, bytes]]) -> float:
    said = next((value for name, value in headers if name == b"retry-after"), b"")
    return float(said) if re.fullmatch(rb"[0-9]{1,6}", said) else 0


def _waiting(body: bytes) -> dict[str, Any] | None:
    read = _object(body)
    return read if read is not None and read.get("status") == "pending_approval" else None


def _told(exchange: Exchange, waiting: dict[str, Any], pending: Pending, call: str, created: int) -> bytes:
    message = _text(waiting.get("message")) or "This call waits for an approval."
    ticket = _text(waiting.get("requestId"))
    sentence = f"{message} (request {ticket})" if ticket else message
    if pending is Pending.TEXT and exchange.endpoint in _TALKS:
        return answers(exchange.wire).answer_of(sentence, exchange.model, call, created)
    raise Fault("script.pending", sentence)


def _message(read: dict[str, Any] | None) -> str | None:
    """The message of an error in whichever form, if it is one."""
    error = read.get("error") if read is not None else None
    if isinstance(error, dict):
        return _text(error.get("message")) or "A script refused this call."
    return _text(error) or None


def _text(value: object) -> str:
    """A text of the script's, which is the operator's: whole lines, of a bearable length."""
    if not isinstance(value, str):
        return ""
    return "".join(letter for letter in value[:_LONGEST] if letter.isprintable() or letter == "\n").strip()


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        read = read_plain(body)
    except NotPlain:
        return None
    return read if isinstance(read, dict) else None


def _bad(cause: str) -> Fault:
    return Fault(
        "script.bad_answer", "A script answered this call with something that is no answer to it.", cause=cause
    )
