"""Errors of one wire, said in another: the provider's own sentence, in the form that the client reads."""

from __future__ import annotations

from typing import Any

import msgspec

from bawn.terms.exchange import WireName
from bawn.wire.json_text import NotPlain, read_plain

_LONGEST = 2000
_ANTHROPIC = {
    400: "invalid_request_error", 403: "permission_error", 404: "not_found_error", 413: "request_too_large",
    429: "rate_limit_error", 504: "timeout_error", 529: "overloaded_error",
}  # fmt: skip
_GEMINI = {
    400: "INVALID_ARGUMENT", 403: "PERMISSION_DENIED", 404: "NOT_FOUND", 429: "RESOURCE_EXHAUSTED", 503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}  # fmt: skip
_OPENAI = {404: "not_found_error", 429: "rate_limit_error"}


def read_error(body: bytes) -> str | None:
    """The sentence in a provider's error, of whichever wire; None when it is none."""
    try:
        read = read_plain(body)
    except NotPlain:
        return None
    if isinstance(read, list) and len(read) == 1:
        # Google wraps the error of a stream in a list.
        read = read[0]
    if not isinstance(read, dict):
        return None
    error = read.get("error", read)
    said = error.get("message", error.get("Message")) if isinstance(error, dict) else error
    return said[:_LONGEST] if isinstance(said, str) else None


def write_error(client: WireName, status: int, sentence: str) -> bytes:
    """An error body of the client's wire."""
    failed = status >= 500
    error: dict[str, Any]
    match client:
        case WireName.ANTHROPIC:
            kind = _ANTHROPIC.get(status, "api_error" if failed else "invalid_request_error")
            return msgspec.json.encode({"type": "error", "error": {"type": kind, "message": sentence}})
        case WireName.GEMINI:
            kind = _GEMINI.get(status, "INTERNAL" if failed else "INVALID_ARGUMENT")
            error = {"code": status, "message": sentence, "status": kind}
        case _:
            kind = _OPENAI.get(status, "server_error" if failed else "invalid_request_error")
            error = {"message": sentence, "type": kind, "param": None, "code": None}
    return msgspec.json.encode({"error": error})
