"""JSON with one reading, against a second parser."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bawn.errors import Fault
from bawn.wire.json_text import NotPlain, read_carefully, read_object, read_plain, written

VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)

REFUSED = {
    "nothing": b"",
    "a list": b"[]",
    "a byte order mark": b"\xef\xbb\xbf{}",
    "UTF-16": "{}".encode("utf-16"),
    "no UTF-8": b'{"a":"\xff"}',
    "an overlong form": b'{"a":"\xc0\xaf"}',
    "a raw surrogate": b'{"a":"\xed\xa0\x80"}',
    "an escaped half": rb'{"a":"\ud800"}',
    "an escaped half in capitals": rb'{"a":"\uDC00"}',
    "an escaped half as key": rb'{"\ud800":1}',
    "halves in the wrong order": rb'{"a":"\udc00\ud800"}',
    "a repeated key": b'{"a":1,"a":2}',
    "a repeated key, escaped": rb'{"a":1,"\u0061":2}',
    "a repeated key within": b'{"x":[{"y":{"a":1,"a":1}}]}',
    "NaN": b'{"a":NaN}',
    "Infinity": b'{"a":-Infinity}',
    "a control byte": b'{"a":"\x01"}',
    "a raw NUL": b'{"a":"\x00"}',
    "two objects": b"{}{}",
    "a comment": b"{}//",
    "a trailing comma": b'{"a":1,}',
    "single quotes": b"{'a':1}",
    "a leading zero": b'{"a":01}',
    "a number of 5,000 digits": b'{"a":' + b"1" * 5000 + b"}",
    "ten thousand lists": b'{"a":' + b"[" * 10_000 + b"]" * 10_000 + b"}",
    "a million open lists": b'{"a":' + b"[" * 1_000_000,
    "a million open objects": b'{"a":' * 1_000_000,
}


@pytest.mark.parametrize("story", REFUSED)
def test_a_body_with_another_reading_is_refused_quickly(story: str) -> None:
    began = time.perf_counter()
    with pytest.raises(Fault) as refused:
        read_object(REFUSED[story])
    assert refused.value.code == "request.malformed_json"
    assert len(refused.value.sentence) < 300
    # Far more than it takes, and far less than a reader takes that looks at each byte again and again.
    assert time.perf_counter() - began < 10


def test_the_refusal_says_where() -> None:
    with pytest.raises(Fault, match="line 2 column 7"):
        read_object(b'{\n "a": x}')


@pytest.mark.parametrize("body", [rb'{"a":"\u0000"}', rb'{"a":"\ud83d\ude00"}', rb'{"a":"\\ud800"}', b' {"a":1e5}\n'])
def test_what_only_looks_odd_is_fine(body: bytes) -> None:
    assert read_object(body) == json.loads(body)


@given(VALUES, st.booleans())
def test_what_is_written_is_read_again(value: Any, ascii_only: bool) -> None:
    assert read_plain(json.dumps(value, ensure_ascii=ascii_only).encode()) == value
    assert json.loads(written(value)) == value


@given(st.binary(max_size=40) | st.text(alphabet='{}[]",:\\u0d8aet1-.+ \n', max_size=24).map(str.encode))
def test_nothing_passes_that_another_strict_parser_refuses(data: bytes) -> None:
    try:
        value = read_plain(data)
    except NotPlain:
        return
    assert msgspec.json.decode(data) == value


@given(st.lists(st.text(max_size=3), min_size=1, max_size=6))
def test_keys_may_stand_once(keys: list[str]) -> None:
    try:
        data = ("{" + ",".join(f"{json.dumps(key)}:1" for key in keys) + "}").encode()
        read_plain(data)
    except NotPlain:
        assert len(set(keys)) < len(keys) or any("\ud800" <= c <= "\udfff" for key in keys for c in key)
    else:
        assert len(set(keys)) == len(keys)


TOKENS = (
    *"{}[],: \n", '"a"', '"b"', '"\\u0061"', '"\\""', '"\\\\"', '"{:\\"' + ':"', '":"', '"\\ud83d\\ude00"', '"\\ud800"', '"ä"',
    "1", "-0", "1.5e-7", "1e400", "18446744073709551616", "123456789012345678901234567890", "true", "null", "NaN",
)  # fmt: skip


def reading(read: Callable[[bytes], Any], data: bytes) -> str:
    try:
        return repr(read(data))
    except NotPlain as error:
        return str(error)


@settings(max_examples=1000)
@given(
    st.lists(st.sampled_from(TOKENS), max_size=12).map(lambda tokens: "".join(tokens).encode())
    | st.lists(st.tuples(st.sampled_from(TOKENS), st.sampled_from(TOKENS)), max_size=3).map(
        lambda pairs: ("{" + ",".join(":".join(pair) for pair in pairs) + "}").encode()
    )
    | st.binary(max_size=20)
)
def test_the_quick_reader_and_the_careful_one_never_differ(data: bytes) -> None:
    assert reading(read_plain, data) == reading(read_carefully, data)
