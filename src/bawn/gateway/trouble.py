"""What went wrong with one try, in one of few kinds, and what follows from each.

Pure: a status with its body, or a fault, comes in; out comes a kind. What a kind leads to is one table, which the
operator's two choices (what a filter refused, what is too long) change in their own rows and nowhere else.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Any

from bawn.errors import Fault
from bawn.gateway.failover_settings import Failover
from bawn.wire.json_text import NotPlain, read_plain


class Trouble(StrEnum):
    BUSY = "busy"
    """Too many calls with this key: 429."""
    FAILING = "failing"
    """The provider says that it cannot now: 408, 409, 5xx, 529."""
    UNREACHABLE = "unreachable"
    SILENT = "silent"
    BROKEN = "broken"
    """It answered something that is not whole or not of its wire."""
    KEY = "key"
    """The key is not accepted, or there is none."""
    MISSING = "missing"
    """It has no such model or path."""
    INEXPRESSIBLE = "inexpressible"
    """Its answer cannot be said in the client's wire."""
    TOO_LONG = "too_long"
    FILTERED = "filtered"
    REFUSED = "refused"
    """It does not take this request, and would not on another day."""


class Step(StrEnum):
    AGAIN = "again"
    """The same target after a wait, then the next one."""
    NEXT = "next"
    STOP = "stop"


_STEPS = {
    Trouble.BUSY: Step.AGAIN,
    Trouble.FAILING: Step.AGAIN,
    Trouble.UNREACHABLE: Step.AGAIN,
    # Whoever was silent once takes as long to be silent again.
    Trouble.SILENT: Step.NEXT,
    Trouble.BROKEN: Step.AGAIN,
    Trouble.KEY: Step.NEXT,
    Trouble.MISSING: Step.NEXT,
    Trouble.INEXPRESSIBLE: Step.NEXT,
    Trouble.REFUSED: Step.STOP,
}

ABOUT_PROVIDER = frozenset((Trouble.FAILING, Trouble.UNREACHABLE, Trouble.SILENT, Trouble.BROKEN))
"""What counts against a provider as a whole; nothing that a caller can bring about by what it asks for alone."""

_FAULTS = {
    "upstream.unreachable": Trouble.UNREACHABLE,
    "upstream.timeout": Trouble.SILENT,
    "upstream.broken": Trouble.BROKEN,
    "upstream.not_translatable": Trouble.INEXPRESSIBLE,
    "upstream.key_refused": Trouble.KEY,
    "upstream.no_key": Trouble.KEY,
    "vault.unreadable": Trouble.KEY,
}
_TOO_LONG_CODES = frozenset(
    ("context_length_exceeded", "exceed_context_size_error", "request_too_large", "string_above_max_length")
)
_TOO_LONG = re.compile(
    r"prompt is too long|maximum context length|context length exceeded|exceeds? (the )?(available |maximum )?context"
    r"|exceeds the maximum number of tokens|input is too long|too many (input )?tokens|context window",
    re.IGNORECASE,
)
_FILTERED_CODES = frozenset(
    ("content_filter", "content_policy_violation", "invalid_prompt", "ResponsibleAIPolicyViolation")
)
_FILTERED = re.compile(
    r"content (management|filtering|safety) (policy|system)|blocked by .{0,40}(filter|guardrail)", re.IGNORECASE
)


def of_status(status: int, body: bytes) -> Trouble:
    """Of an answer whose status is not 200."""
    if status == 429:
        return Trouble.BUSY
    if status in (408, 409) or status >= 500:
        return Trouble.FAILING
    if status in (401, 403):
        return Trouble.FILTERED if of_error(body) is Trouble.FILTERED else Trouble.KEY
    if status == 404:
        return Trouble.MISSING
    if status == 413:
        return Trouble.TOO_LONG
    if 400 <= status < 500:
        return of_error(body) or Trouble.REFUSED
    return Trouble.BROKEN


def of_error(body: bytes) -> Trouble | None:
    """What an error says of the request, by the words of the wires: too long, or filtered; else None."""
    try:
        read = read_plain(body)
    except NotPlain:
        return None
    error = _error(read)
    if error is None:
        return None
    inner = error.get("innererror")
    told = [each.get(name) for each in (error, inner) if isinstance(each, dict) for name in ("code", "type")]
    codes = {code for code in told if isinstance(code, str)}
    message = error.get("message", error.get("Message"))
    said = message[:2000] if isinstance(message, str) else ""
    if codes & _FILTERED_CODES or _FILTERED.search(said):
        return Trouble.FILTERED
    if codes & _TOO_LONG_CODES or _TOO_LONG.search(said):
        return Trouble.TOO_LONG
    return None


def of_fault(fault: Fault) -> Trouble | None:
    """None: it is not about the provider, and ends the call."""
    return _FAULTS.get(fault.code)


def step(trouble: Trouble, settings: Failover) -> Step:
    if trouble is Trouble.FILTERED:
        return Step(settings.on_content_filter)
    if trouble is Trouble.TOO_LONG:
        return Step(settings.on_context_length)
    return _STEPS[trouble]


def _error(read: Any) -> dict[str, Any] | None:
    """The error in a body or in an event, of whichever wire."""
    if isinstance(read, list) and len(read) == 1:
        read = read[0]
    if not isinstance(read, dict):
        return None
    if isinstance(response := read.get("response"), dict):
        # `response.failed` of the wire of responses.
        read = response
    error = read.get("error", read)
    return error if isinstance(error, dict) else None
