"""What authors hold in their hands: requests and events that stay as they were until they are changed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bawn.scripts.api import Event, Request
from bawn.wire.sse import SseSplitter

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def test_looking_at_a_body_does_not_change_a_byte_of_it() -> None:
    body = b'{ "model": "m", "n": 1.0, "messages": [ {"role":"user","content":"hi"} ] }'
    req = Request(body=body)
    assert (req.model, req.stream, req.last_text, req.messages[0]["role"]) == ("m", False, "hi", "user")
    assert req.body == body


def test_what_is_changed_in_place_goes_on_changed() -> None:
    req = Request(body=b'{"model": "m", "messages": []}')
    req.messages.append({"role": "user", "content": "x"})
    assert req.body == b'{"model":"m","messages":[{"role":"user","content":"x"}]}'
    other = req.copy(json={"model": "n"})
    assert (other.body, req.model, other.path) == (b'{"model":"n"}', "m", req.path)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (
            b'{"messages": [{"content": [{"type": "text", "text": "a"}, {"type": "image"}, {"type": "text", "text": "b"}]}]}',
            "a\nb",
        ),
        (b'{"input": "c"}', "c"),
        (b'{"input": [{"content": "d"}]}', "d"),
        (b"{}", ""),
        (b"", ""),
        (b"[]", ""),
    ],
)
def test_the_last_text_is_found_in_every_wire(body: bytes, text: str) -> None:
    assert Request(body=body).last_text == text


def test_an_event_that_is_looked_at_is_written_as_it_came() -> None:
    event = Event('{ "a": 1 }', name="x", raw=b'event: x\r\ndata: { "a": 1 }\r\n\r\n')
    assert event.json == {"a": 1}
    assert event.encoded() == b'event: x\r\ndata: { "a": 1 }\r\n\r\n'
    event.json["a"] = 2
    assert event.encoded() == b'event: x\ndata: {"a":2}\n\n'
    assert Event("[DONE]").json is None


@given(VALUES, st.text(alphabet=st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=10))
def test_what_an_event_says_is_what_a_reader_of_the_stream_gets(value: object, name: str) -> None:
    frames = SseSplitter().feed(Event(json=value, name=name.strip()).encoded())
    assert [Event((frame.data or b"").decode()).json for frame in frames] == [value]
    assert frames[0].event.decode() == name.strip()


@given(st.text())
def test_no_text_of_an_event_becomes_two_events(text: str) -> None:
    frames = SseSplitter().feed(Event(text).encoded())
    assert len(frames) == 1
    assert (frames[0].data or b"").decode() == text.replace("\r\n", "\n").replace("\r", "\n")
