"""What an answer about kept objects says, as far as it is decided on: whose object it is, and which calls are in it.

A provider that tells another id than the one that was asked for would show one container the object of another, so
such an answer is no answer.
"""

from __future__ import annotations

from typing import Any

from bawn.errors import Fault
from bawn.terms.exchange import Usage
from bawn.terms.toolcall import ToolCall
from bawn.wire.holding import Unsound
from bawn.wire.json_text import NotPlain, read_plain
from bawn.wire.objects import ID, ObjectCall
from bawn.wire.responses_calls import is_call, tool_call
from bawn.wire.responses_stream import items_of
from bawn.wire.usage import responses_usage

OVER = frozenset(("completed", "failed", "incomplete", "cancelled"))
"""States in which a response is not worked at any more."""


def read_object_answer(call: ObjectCall, body: bytes) -> dict[str, Any]:
    """The object that an answer is, and that it is about what was asked for. Fault `upstream.broken`."""
    try:
        read = read_plain(body)
    except NotPlain as error:
        raise Fault("upstream.broken", "The provider's answer is not plain JSON.", cause=str(error)) from None
    if not isinstance(read, dict):
        raise Fault("upstream.broken", "The provider's answer is not a JSON object.")
    if call.told and read.get("id") != call.told:
        raise Fault("upstream.broken", "The provider answered with another object than was asked for.")
    return read


def made(read: dict[str, Any]) -> str:
    """The id of a new object. Fault `upstream.broken` when there is none that can be written down."""
    found = read.get("id")
    if not isinstance(found, str) or not ID.fullmatch(found):
        raise Fault("upstream.broken", "The provider did not say which object it made.")
    return found


def is_ended(read: dict[str, Any]) -> bool:
    """Whether the provider says that the object is no more."""
    return read.get("deleted") is True or str(read.get("type")).endswith("_deleted")


def listed(read: dict[str, Any]) -> list[dict[str, Any]]:
    """The objects of a list, each with its id. Fault `upstream.broken`."""
    data = read.get("data")
    if not isinstance(data, list) or not all(
        isinstance(item, dict) and isinstance(item.get("id"), str) for item in data
    ):
        raise Fault("upstream.broken", "The provider's answer is not a list of objects.")
    return data


def calls_within(call: ObjectCall, read: dict[str, Any]) -> tuple[ToolCall, ...]:
    """What the answer would have the client do. Fault `upstream.broken` where nobody knows."""
    if call.row.family not in ("responses", "conversations"):
        return ()
    if "output" in read:
        items = _items(read)
    elif "data" in read or read.get("object") == "list":
        items = listed(read)
    else:
        return ()
    try:
        return tuple(tool_call(item) for item in items if is_call(item))
    except (Unsound, NotPlain) as error:
        raise Fault("upstream.broken", f"The provider's answer is unsound: {error}.") from None


def response_over(read: dict[str, Any]) -> tuple[bool, Usage | None, str]:
    """Whether a response is not worked at any more, what it used, and the model that answered."""
    model = read.get("model")
    over = read.get("status") in OVER
    return over, responses_usage(read.get("usage")) if over else None, model if isinstance(model, str) else ""


def _items(read: dict[str, Any]) -> list[dict[str, Any]]:
    try:
        return items_of(read)
    except Unsound as error:
        raise Fault("upstream.broken", f"The provider's answer is unsound: {error}.") from None
