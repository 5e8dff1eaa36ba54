"""Typed reading of the fields that are decided on, with the field named when it does not fit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from bawn.errors import Fault
from bawn.wire.json_text import written

_ROOT = dict[str, msgspec.Raw]
_decode_root = msgspec.json.Decoder(_ROOT)
_decode_list = msgspec.json.Decoder(list[msgspec.Raw])


def text(body: dict[str, Any], name: str, default: str = "") -> str:
    value = body.get(name)
    if value is None:
        return default
    if not isinstance(value, str):
        raise invalid(name, "a text")
    return value


def switch(body: dict[str, Any], name: str) -> bool:
    value = body.get(name)
    if value is None:
        return False
    if not isinstance(value, bool):
        raise invalid(name, "true or false")
    return value


def count(body: dict[str, Any], name: str) -> int | None:
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise invalid(name, "a whole number")
    return value


def number(body: dict[str, Any], name: str) -> float | None:
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise invalid(name, "a number")
    return value


def texts(body: dict[str, Any], name: str) -> tuple[str, ...]:
    """A text, or a list of texts; absent and null are none."""
    value = body.get(name)
    if value is None:
        return ()
    given = [value] if isinstance(value, str) else value
    if not isinstance(given, list) or not all(isinstance(each, str) for each in given):
        raise invalid(name, "a text or a list of texts")
    return tuple(given)


def part(body: dict[str, Any], name: str) -> dict[str, Any]:
    """An object within; absent and null are an empty one."""
    value = body.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise invalid(name, "an object")
    return value


def objects(body: dict[str, Any], name: str, *, needed: bool = False) -> list[dict[str, Any]]:
    """A list of objects; absent and null are an empty one unless it is needed."""
    value = body.get(name)
    if value is None and not needed:
        return []
    if isinstance(value, list) and (value or not needed):
        for each in value:
            if not isinstance(each, dict):
                break
        else:
            return value
    raise invalid(name, "a list of objects" + (" that is not empty" if needed else ""))


def invalid(name: str, expected: str) -> Fault:
    return Fault("request.invalid", f"The field {name!r} has to be {expected}.")


def with_field(body: bytes, name: str, value: object) -> bytes:
    """The object with one top-level field set; all other values byte for byte, in their order."""
    fields = _decode_root.decode(body)
    fields[name] = msgspec.Raw(msgspec.json.encode(value))
    return msgspec.json.encode(fields)


def with_more(body: bytes, name: str, values: Sequence[object]) -> bytes:
    """The object with values added to a top-level list; everything else byte for byte."""
    fields = _decode_root.decode(body)
    added = [msgspec.Raw(written(value).encode()) for value in values]
    fields[name] = msgspec.Raw(msgspec.json.encode([*_decode_list.decode(fields[name]), *added]))
    return msgspec.json.encode(fields)


def with_fields(body: bytes, changes: tuple[tuple[str, str], ...]) -> bytes:
    """The object with some top-level fields set to texts, or taken out where the text is empty."""
    fields = _decode_root.decode(body)
    for name, value in changes:
        if value:
            fields[name] = msgspec.Raw(msgspec.json.encode(value))
        else:
            fields.pop(name, None)
    return msgspec.json.encode(fields)
