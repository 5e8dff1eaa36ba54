"""Messages of AWS's event stream are read alike however they are cut, and not at all when a bit is wrong."""

from __future__ import annotations

import struct
from contextlib import suppress
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bawn.errors import Fault
from bawn.wire.event_stream import LONGEST, EventStreamReader, Message

NAMES = st.text(min_size=1, max_size=30)
VALUES = st.text(max_size=60)
HEADERS = st.dictionaries(NAMES, VALUES, max_size=5)
MESSAGES = st.lists(st.tuples(HEADERS, st.binary(max_size=200)), max_size=6)


def framed(block: bytes, payload: bytes) -> bytes:
    prelude = struct.pack(">II", 16 + len(block) + len(payload), len(block))
    whole = prelude + struct.pack(">I", crc32(prelude)) + block + payload
    return whole + struct.pack(">I", crc32(whole))


def header(name: str, kind: int, value: bytes) -> bytes:
    raw = name.encode()
    return bytes((len(raw),)) + raw + bytes((kind,)) + value


def text(name: str, value: str) -> bytes:
    raw = value.encode()
    return header(name, 7, struct.pack(">H", len(raw)) + raw)


def message(headers: dict[str, str], payload: bytes) -> bytes:
    return framed(b"".join(text(name, value) for name, value in headers.items()), payload)


def broken(data: bytes) -> str:
    reader = EventStreamReader()
    with pytest.raises(Fault) as refused:
        reader.feed(data)
    assert refused.value.code == "upstream.broken"
    with pytest.raises(Fault):
        reader.feed(b"")
    return refused.value.cause


# The published examples of the format (the event stream tests of AWS's own SDKs): no headers, and one of each kind.
EMPTY = bytes.fromhex("000000100000000005c248eb7d98c8ff")
JSON = bytes.fromhex(
    "0000003d0000002007fd83960c636f6e74656e742d747970650700106170706c69636174696f6e2f6a736f6e7b27666f6f273a27626172277d8d9c08b1"
)


def test_the_published_examples_are_read() -> None:
    assert EventStreamReader().feed(EMPTY) == [Message({}, b"")]
    assert EventStreamReader().feed(JSON) == [Message({"content-type": "application/json"}, b"{'foo':'bar'}")]


@given(MESSAGES, st.lists(st.integers(1, 40), max_size=60))
def test_messages_come_out_whole_however_they_are_cut(
    said: list[tuple[dict[str, str], bytes]], cuts: list[int]
) -> None:
    said = [(headers, payload) for headers, payload in said if all(len(name.encode()) < 256 for name in headers)]
    data = b"".join(message(headers, payload) for headers, payload in said)
    reader, found, at = EventStreamReader(), [], 0
    for cut in cuts:
        found += reader.feed(data[at : at + cut])
        at += cut
    found += reader.feed(data[at:])
    reader.close()
    assert [(each.headers, each.payload) for each in found] == said


@given(HEADERS, st.binary(min_size=1, max_size=60), st.data())
def test_no_flipped_bit_is_ever_read(headers: dict[str, str], payload: bytes, data: st.DataObject) -> None:
    headers = {name: value for name, value in headers.items() if len(name.encode()) < 256}
    whole = bytearray(message(headers, payload))
    bit = data.draw(st.integers(0, len(whole) * 8 - 1))
    whole[bit // 8] ^= 1 << bit % 8
    broken(bytes(whole))


@given(st.binary(max_size=300))
def test_anything_else_is_refused_or_waited_for(data: bytes) -> None:
    reader = EventStreamReader()
    with suppress(Fault):
        assert reader.feed(data) in ([], [Message({}, b"")])


def test_an_end_within_a_message_is_broken() -> None:
    reader = EventStreamReader()
    assert reader.feed(JSON[:-1]) == []
    with pytest.raises(Fault, match="cannot be read"):
        reader.close()


def test_headers_of_other_types_are_passed_over() -> None:
    block = (
        header("yes", 0, b"")
        + header("no", 1, b"")
        + header("byte", 2, b"\1")
        + header("short", 3, b"\1\2")
        + header("int", 4, bytes(4))
        + header("long", 5, bytes(8))
        + header("bytes", 6, b"\0\3abc")
        + header("moment", 8, bytes(8))
        + header("uuid", 9, bytes(16))
        + text(":event-type", "messageStop")
        + text(":message-type", "event")
    )
    (found,) = EventStreamReader().feed(framed(block, b"{}"))
    assert (found.kind, found.event) == ("event", "messageStop")


@pytest.mark.parametrize(
    ("block", "why"),
    [
        (text("a", "1") + text("a", "2"), "twice"),
        (header("a", 10, b""), "unknown type"),
        (header("", 0, b""), "without a name"),
        (header("a", 7, b"\0\5abc"), "cut"),
        (b"\5a", "cut"),
        (header("a", 7, b"\0\2\xff\xfe"), "UTF-8"),
    ],
)
def test_headers_that_do_not_add_up_are_refused(block: bytes, why: str) -> None:
    assert why in broken(framed(block, b""))


@pytest.mark.parametrize(("total", "headers"), [(LONGEST + 1, 0), (15, 0), (0, 0), (20, 5), (2**32 - 1, 2**32 - 1)])
def test_lengths_that_cannot_be_are_refused_before_anything_is_kept(total: int, headers: int) -> None:
    prelude = struct.pack(">II", total, headers)
    assert "cannot be" in broken(prelude + struct.pack(">I", crc32(prelude)))
