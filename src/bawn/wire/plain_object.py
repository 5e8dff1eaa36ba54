"""A body that was read before, as an object to change, and written out again."""

from __future__ import annotations

from typing import Any

from bawn.wire.holding import Unsound
from bawn.wire.json_text import NotPlain, read_plain, written


def read_body(body: bytes) -> dict[str, Any]:
    """Raises Unsound when it is no plain JSON object."""
    try:
        read = read_plain(body)
    except NotPlain as error:
        raise Unsound(f"a body is not plain JSON: {error}") from None
    if not isinstance(read, dict):
        raise Unsound("a body is not an object")
    return read


def written_body(value: dict[str, Any]) -> bytes:
    """Raises Unsound when a value in it cannot be written."""
    try:
        return written(value).encode()
    except (NotPlain, UnicodeEncodeError) as error:
        raise Unsound(f"it cannot be written: {error}") from None


def dicts(value: Any, what: str) -> list[dict[str, Any]]:
    """A list of objects. Raises Unsound, in which `what` names it."""
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise Unsound(f"{what} is not a list of objects")
    return value
