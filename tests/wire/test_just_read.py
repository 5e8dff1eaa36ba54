"""What a body was read as is used once more, and never by two who could see each other's changes."""

from __future__ import annotations

import json

from bawn.terms.exchange import Endpoint, Exchange, WireName
from bawn.wire import Route, wire
from bawn.wire.answers import answers
from bawn.wire.documents import document
from bawn.wire.just_read import LONGEST, leave, taken

BODY = json.dumps({"model": "m", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 5}).encode()
ANSWER = json.dumps(
    {"choices": [{"message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}]}
).encode()


def read(body: bytes = BODY) -> Exchange:
    return wire(WireName.OPENAI).read_request(Route(Endpoint.CHAT_COMPLETIONS, WireName.OPENAI), body)


def test_it_is_handed_out_once() -> None:
    leave(BODY, {"a": 1})
    assert taken(BODY) == {"a": 1}
    assert taken(BODY) is None


def test_it_is_of_these_very_bytes_alone() -> None:
    leave(BODY, {"a": 1})
    assert taken(bytes(bytearray(BODY))) is None, "equal bytes that were not read"
    assert taken(BODY) is None


def test_the_last_one_counts() -> None:
    other = BODY + b" "
    leave(BODY, {"a": 1})
    leave(other, {"b": 2})
    assert taken(other) == {"b": 2}
    leave(BODY, {"a": 1})
    leave(other, {"b": 2})
    assert taken(BODY) is None


def test_long_bodies_are_not_kept() -> None:
    long = b"x" * (LONGEST + 1)
    leave(BODY, {"a": 1})
    leave(long, {"b": 2})
    assert taken(long) is None
    assert taken(BODY) is None


def test_a_document_that_is_changed_changes_no_other() -> None:
    exchange = read()
    first, second = document(exchange), document(exchange)
    assert first is not None
    assert second is not None
    first.set_text(first.spots[0], "changed")
    assert [each.text for each in second.messages] == ["hello"]
    assert b"changed" in first.body()
    assert second.body() == BODY
    assert read().body == BODY


def test_an_answer_that_was_just_read_says_the_same_as_one_that_was_not() -> None:
    forms = answers(WireName.OPENAI)
    alone = forms.said(Endpoint.CHAT_COMPLETIONS, ANSWER)
    wire(WireName.OPENAI).read_answer(Endpoint.CHAT_COMPLETIONS, ANSWER)
    assert forms.said(Endpoint.CHAT_COMPLETIONS, ANSWER) == alone
    assert (alone.text, alone.finished) == ("hi", "stop")
