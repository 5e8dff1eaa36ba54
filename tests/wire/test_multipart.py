"""Multipart bodies: one reading, whatever the pieces they come in."""

from __future__ import annotations

import httpx
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bawn.errors import Fault
from bawn.wire.multipart import (
    MultipartReader,
    PartData,
    PartEnd,
    PartHead,
    boundary_of,
    content_type_of,
    with_value,
)

B = b"xyz"


def read(parts: list[bytes], boundary: bytes = B) -> list[tuple[str, str | None, bytes]]:
    reader = MultipartReader(boundary)
    found: list[tuple[str, str | None, bytes]] = []
    for part in parts:
        for event in reader.feed(part):
            match event:
                case PartHead(name=name, filename=filename):
                    found.append((name, filename, b""))
                case PartData(data=data):
                    name, filename, before = found[-1]
                    found[-1] = (name, filename, before + data)
                case PartEnd():
                    pass
    reader.close()
    return found


def form(*parts: bytes) -> bytes:
    return b"".join(b"--xyz\r\n" + part + b"\r\n" for part in parts) + b"--xyz--\r\n"


def field(name: str, data: bytes, more: str = "") -> bytes:
    return f'Content-Disposition: form-data; name="{name}"{more}\r\n\r\n'.encode() + data


@given(
    file=st.binary(max_size=300), purpose=st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1),
    cuts=st.lists(st.integers(0, 700), max_size=8),
)  # fmt: skip
def test_what_a_client_writes_is_read_the_same_in_any_pieces(file: bytes, purpose: str, cuts: list[int]) -> None:
    request = httpx.Request("POST", "http://x/", data={"purpose": purpose}, files={"file": ("a.jsonl", file)})
    body = request.read()
    places = sorted({min(cut, len(body)) for cut in cuts} | {0, len(body)})
    pieces = [body[a:b] for a, b in zip(places, places[1:], strict=False)]
    boundary = boundary_of(request.headers["content-type"].encode())
    assert read(pieces, boundary) == [("purpose", None, purpose.encode()), ("file", "a.jsonl", file)]


def test_the_beginning_of_a_boundary_within_a_file_is_data() -> None:
    data = b"\r\n--xy\r\n-- xyz\r\n\r\n--"
    assert read([form(field("file", data, '; filename="f"'))]) == [("file", "f", data)]


@pytest.mark.parametrize(
    "body",
    [
        b"", b"--xyz--\r\n", b"preamble\r\n" + form(field("a", b"1")), b"\r\n" + form(field("a", b"1")),
        form(field("a", b"1"))[:-6], form(field("a", b"1")) + b"--xyz\r\n", form(field("a", b"1")).replace(b"\r\n", b"\n"),
        form(field("a", b"1"), field("a", b"2")), form(b"Content-Type: text/plain\r\n\r\n1"),
        form(b'Content-Disposition: form-data; name="a"; name="b"\r\n\r\n1'),
        form(b'Content-Disposition: form-data; name="a"\r\nContent-Disposition: form-data; name="b"\r\n\r\n1'),
        form(b'Content-Disposition: form-data; name="a"\r\n Content-Type: x\r\n\r\n1'),
        form(b'Content-Disposition: attachment; name="a"\r\n\r\n1'),
        form(b'Content-Disposition: form-data; name="a"\r\nContent-Transfer-Encoding: base64\r\n\r\n1'),
        form(b'Content-Disposition: form-data; name="a"\r\nContent-Type: multipart/mixed\r\n\r\n1'),
        form(field("f", b"1", '; filename="a"; filename*=utf-8\'\'b')),
        b'--xyz\r\nContent-Disposition: form-data; name="a"\r\n\r\n--xyz--\r\n',
        b"--xyzz\r\n" + field("a", b"1") + b"\r\n--xyzz--\r\n", form(field("a", b"1\r\n--xyz-")),
        form(*[field(f"f{number}", b"") for number in range(65)]), form(b"x" * 5000),
        form(b'Content-Disposition: form-data; name="a\x00"\r\n\r\n1'),
    ],
)  # fmt: skip
def test_what_two_readers_could_see_differently_is_refused(body: bytes) -> None:
    for pieces in ([body], [body[at : at + 1] for at in range(len(body))]):
        with pytest.raises(Fault) as refusal:
            read(pieces)
        assert refusal.value.code == "request.invalid"


@pytest.mark.parametrize(
    "value",
    [b"", b"multipart/form-data", b"multipart/mixed; boundary=x", b'multipart/form-data; boundary="a b"',
     b"multipart/form-data; boundary=a; boundary=b", b"multipart/form-data; boundary=" + b"a" * 71],
)  # fmt: skip
def test_a_content_type_without_one_plain_boundary_is_refused(value: bytes) -> None:
    with pytest.raises(Fault):
        boundary_of(value)


def body_of(boundary: str, *parts: tuple[str, str, bytes]) -> bytes:
    """A body of such parts: the name, what else stands in the head, the content."""
    written = b"".join(
        f'--{boundary}\r\ncontent-disposition: form-data; name="{name}"{more}\r\n\r\n'.encode() + content + b"\r\n"
        for name, more, content in parts
    )
    return written + f"--{boundary}--\r\n".encode()


@given(before=st.binary(max_size=20), data=st.binary(max_size=60), value=st.text("abcXYZ/-.", max_size=20))
def test_one_value_is_changed_and_every_other_byte_stays(before: bytes, data: bytes, value: str) -> None:
    boundary = "bb+b"
    assume(boundary.encode() not in before + data)
    parts = [("language", "", before), ("model", "", b"old"), ("file", '; filename="a"\r\nx-model: old', data)]
    changed = [("language", "", before), ("model", "", value.encode()), parts[2]]
    body = body_of(boundary, *parts)
    assert with_value(body, "model", value.encode()) == body_of(boundary, *changed)
    without = with_value(body_of(boundary, parts[2]), "model", value.encode())
    reader = MultipartReader(boundary.encode())
    heads = [event.name for event in reader.feed(without) if isinstance(event, PartHead)]
    reader.close()
    assert heads == ["model", "file"]


def test_a_value_that_would_be_more_than_one_is_refused() -> None:
    body = body_of("b", ("model", "", b"old"))
    for value in (b"x\r\n--b\r\n", b"x\x00"):
        with pytest.raises(Fault):
            with_value(body, "model", value)


@pytest.mark.parametrize("boundary", ["b", "a-b_c.d'e+f", "a:b/c=d?e(f),g"])
def test_the_type_of_a_body_names_its_boundary(boundary: str) -> None:
    assert boundary_of(content_type_of(body_of(boundary, ("a", "", b"x")))) == boundary.encode()
