"""Content blocks of a message: what becomes of one that is a call, and how a whole one is told in events."""

from __future__ import annotations

from typing import Any

from bawn.wire.anthropic_calls import is_tool_call
from bawn.wire.editing import Changed, Dropped, Kept, Outcome, Spoken
from bawn.wire.holding import Unsound
from bawn.wire.json_text import NotPlain, read_plain, written
from bawn.wire.tool_sets import renamed

_RAN = ("server_tool_use", "mcp_tool_use")
"""Types of calls that the provider has run by the time they are told."""
UNREADABLE = "INVALID_JSON"
"""The key under which an input that is not JSON is told to the model again, as the documentation of this wire has it
(docs.anthropic.com, "Fine-grained tool streaming")."""
_GROWING = {
    "text": {"text": "text_delta"},
    "thinking": {"thinking": "thinking_delta", "signature": "signature_delta"},
}
"""By the type of a block, its fields that come in pieces, and the type of such a piece."""


def runs_here(block: dict[str, Any]) -> bool:
    """Whether it is a call, and one that the client is to run."""
    return is_tool_call(block) and block.get("type") not in _RAN


def became(block: dict[str, Any], outcome: Outcome) -> dict[str, Any] | None:
    """The block that a call goes out as; the very same where it is kept, None where it does not go out.

    Raises Unsound when it is to be changed though it ran, or for arguments that are no JSON object.
    """
    if isinstance(outcome, Kept):
        return block
    if block.get("type") in _RAN:
        raise Unsound("a call that the provider has run already cannot be changed")
    match outcome:
        case Changed(name=name, arguments=arguments):
            return {**renamed(block, name, ("toolset_name", "server_name")), "input": _object(arguments)}
        case Spoken(text=text):
            return {"type": "text", "text": text}
        case Dropped():
            return None


def input_of(text: str) -> Any:
    """The input that a call was streamed with; one that is not JSON stands in an object under a name that says so."""
    if not text:
        return {}
    try:
        return read_plain(text.encode())
    except (NotPlain, UnicodeEncodeError):
        return {UNREADABLE: text}


def events_of(block: dict[str, Any], index: int, arguments: str | None = None) -> list[dict[str, Any]]:
    """A whole block as it is streamed; `arguments` is its input as text, where it is to go out letter by letter."""
    opened, deltas = dict(block), []
    if is_tool_call(block) and "input" in block:
        opened["input"] = {}
        try:
            said = written(block["input"]) if arguments is None else arguments
        except NotPlain as error:
            raise Unsound(str(error)) from None
        deltas.append({"type": "input_json_delta", "partial_json": said})
    for field, kind in _GROWING.get(str(block.get("type")), {}).items():
        if block.get(field):
            deltas.append({"type": kind, field: block[field]})
            opened[field] = ""
    if block.get("type") == "text" and block.get("citations"):
        deltas += [{"type": "citations_delta", "citation": each} for each in block["citations"]]
        opened["citations"] = []
    return [
        {"type": "content_block_start", "index": index, "content_block": opened},
        *({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": index},
    ]


def _object(arguments: str) -> dict[str, Any]:
    try:
        read = read_plain(arguments.encode())
    except (NotPlain, UnicodeEncodeError) as error:
        raise Unsound(f"the changed arguments of a tool call are not JSON: {error}") from None
    if not isinstance(read, dict):
        raise Unsound("the changed arguments of a tool call are not an object")
    return read
