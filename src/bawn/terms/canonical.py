"""Canonical JSON (RFC 8785): the one home of bytes that are hashed or signed.

Two homes would be two digests, and a digest that two rooms compute differently is a hole. Supported are
the values that our records hold: None, bool, int within ±2**53, str, list/tuple and dict with str keys.
Floats are refused rather than formatted: nothing we sign has one, and their form is where
implementations differ.
"""

from __future__ import annotations

import hashlib
import json

Value = None | bool | int | str | list["Value"] | tuple["Value", ...] | dict[str, "Value"]

_SAFE_INTEGER = 2**53 - 1


def canonical(value: Value) -> bytes:
    """The RFC 8785 form of `value`. Raises ValueError for floats, large integers and lone surrogates."""
    return _written(value).encode("utf-8")


def digest(value: Value) -> str:
    """SHA-256 of the canonical form, in hexadecimal."""
    return hashlib.sha256(canonical(value)).hexdigest()


def _written(value: Value) -> str:
    match value:
        case None | bool() | str():
            return json.dumps(value, ensure_ascii=False)
        case int():
            if abs(value) > _SAFE_INTEGER:
                raise ValueError(f"integer outside ±2^53: {value}")
            return str(value)
        case list() | tuple():
            return "[" + ",".join(map(_written, value)) + "]"
        case dict():
            # RFC 8785 §3.2.3 sorts by UTF-16 code units, which differs from code points above U+FFFF.
            keys = sorted(value, key=lambda key: key.encode("utf-16-be"))
            return "{" + ",".join(f"{json.dumps(key, ensure_ascii=False)}:{_written(value[key])}" for key in keys) + "}"
        case _:
            raise ValueError(f"no canonical form for {type(value).__name__}")
