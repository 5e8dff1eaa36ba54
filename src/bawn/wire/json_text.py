"""JSON that has one reading only.

Two parsers that read one body differently are a way through: we would decide on one reading and the
provider act on the other. So a body must be one object in strict UTF-8, without repeated keys at any depth,
without NaN and Infinity, without half surrogate pairs, and not nested deeper than any real request. The
same reader takes the provider's frames, where a repeated key could hide a tool call from us.

It is read twice over at most. The quick reader is msgspec's, which keeps the last of repeated keys without a
word; so the colons between the texts are counted, one for each key that was written, and compared with the
keys that were kept. Whatever it refuses, and whatever does not add up, goes to the careful reader, which
decides and says why: so the quick one can only ever agree.
"""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

import msgspec

from bawn.errors import Fault, quoted

MAX_DEPTH = 64

_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")


class NotPlain(ValueError):
    """The text is not JSON with one reading; the message says why."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise NotPlain(f"the key {quoted(key)} stands twice in one object")
            seen.add(key)
    return found


def _no_constant(name: str) -> NoReturn:
    raise NotPlain(f"{name} is not JSON")


_decoder = json.JSONDecoder(object_pairs_hook=_once, parse_constant=_no_constant)


_read_quickly = msgspec.json.Decoder().decode


def read_plain(data: bytes) -> Any:
    """The value of a JSON text, or NotPlain."""
    try:
        value = _read_quickly(data)
    except (ValueError, RecursionError):
        return read_carefully(data)
    outside = _outside_texts(data)
    keys = outside.count(b":")
    if not keys:
        return value
    # With one object there is nothing to look for within it.
    kept = len(value) if outside.count(b"{") == 1 and type(value) is dict else _keys(value)
    return value if kept == keys else read_carefully(data)


def _outside_texts(data: bytes) -> bytes:
    """What stands between the texts of valid JSON: a backslash is in texts only, and each run of them is read in
    pairs from its left, so that what is left of it after the pairs escapes the byte behind it."""
    if b"\\" in data:
        data = data.replace(b"\\\\", b"").replace(b'\\"', b"")
    return b"".join(data.split(b'"')[::2])


def _keys(value: Any) -> int:
    """How many keys there are at all depths."""
    count = 0
    pending = [value]
    while pending:
        each = pending.pop()
        if type(each) is dict:
            count += len(each)
            each = each.values()
        pending += [item for item in each if type(item) is dict or type(item) is list]
    return count


def read_carefully(data: bytes) -> Any:
    """As `read_plain`, by the reader that sees each key and says what is wrong."""
    try:
        text = data.decode("utf-8")
        value = _decoder.decode(text)
    except NotPlain:
        raise
    except UnicodeDecodeError as error:
        raise NotPlain(f"byte {error.start} is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise NotPlain(f"{error.msg} at line {error.lineno} column {error.colno}") from None
    except RecursionError:
        raise NotPlain(f"it is nested deeper than {MAX_DEPTH} levels") from None
    except ValueError:
        raise NotPlain("a number in it is too long") from None
    if "\\u" in text and _SURROGATE_ESCAPE.search(text):
        try:
            json.dumps(value, ensure_ascii=False).encode("utf-8")
        except UnicodeEncodeError:
            raise NotPlain("a surrogate stands alone in a text") from None
        except RecursionError:
            raise NotPlain(f"it is nested deeper than {MAX_DEPTH} levels") from None
    return value


def written(value: Any) -> str:
    """A value that was read, as JSON text again; NotPlain when no JSON text says it."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (ValueError, RecursionError):
        raise NotPlain("a value in it cannot be written") from None


def read_object(body: bytes) -> dict[str, Any]:
    """The object that a request's body is. Fault `request.malformed_json`."""
    try:
        value = read_plain(body)
    except NotPlain as error:
        raise Fault("request.malformed_json", f"The body is not plain JSON: {error}.") from None
    if not isinstance(value, dict):
        raise Fault("request.malformed_json", "The body is not a JSON object.")
    return value
