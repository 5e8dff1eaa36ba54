"""Whatever a client or a provider says, it is carried, refused with its field, or broken; nothing else comes of it."""

from __future__ import annotations

import copy
import json
from contextlib import suppress
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.translation.examples import EXAMPLES
from tests.translation.test_streams import read, stream
from tests.translation.wires import CLIENTS, READ, TARGETS, answered, events_of, read_answer, written

from bawn.errors import Fault
from bawn.terms.exchange import Usage, WireName
from bawn.translation.features import judged
from bawn.translation.neutral import Conversation, NotTranslatable, Reply, Stop, Text, Thinking, ToolUse
from bawn.wire.holding import Unsound
from bawn.wire.json_text import NotPlain

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=4,
)
REQUESTS = [(client, feature) for client in CLIENTS for feature in EXAMPLES[client]]
REPLY = Reply(
    "m", (Thinking("hm"), Text("hi"), ToolUse("call_1", "look", '{"a":1}')), Stop.CALLS, Usage(30, 12, 10, 0, 0)
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where something stands in a JSON value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, each in inner for place in places(each, (*path, key)))]


def changed(value: Any, path: tuple[Any, ...], other: Any) -> Any:
    value = copy.deepcopy(value)
    holder = value
    for step in path[:-1]:
        holder = holder[step]
    holder[path[-1]] = other
    return value


@settings(max_examples=600)
@given(data=st.data())
def test_a_request_with_anything_in_any_place_is_carried_or_refused(data: st.DataObject) -> None:
    client, feature = data.draw(st.sampled_from(REQUESTS))
    example = EXAMPLES[client][feature]
    place = data.draw(st.sampled_from([each for each in places(example) if each]))
    strange = changed(example, place, data.draw(VALUES))
    with suppress(Fault, NotPlain):
        said = READ[client](strange)
        for target in TARGETS:
            with suppress(Fault, NotPlain):
                judged(said.says, target)
                written(target, said)


@settings(max_examples=400)
@given(data=st.data())
def test_an_answer_with_anything_in_any_place_is_carried_or_broken(data: st.DataObject) -> None:
    wire = data.draw(st.sampled_from(CLIENTS))
    answer = answered(wire, REPLY, Conversation(says=frozenset()))
    place = data.draw(st.sampled_from([each for each in places(answer) if each]))
    with suppress(Unsound, NotPlain, NotTranslatable):
        reply = read_answer(wire, changed(answer, place, data.draw(VALUES)))
        for client in CLIENTS:
            answered(client, reply, Conversation(says=frozenset()))


@settings(max_examples=400)
@given(data=st.data())
def test_a_stream_with_anything_in_any_place_is_carried_or_broken(data: st.DataObject) -> None:
    wire = data.draw(st.sampled_from(CLIENTS))
    frames = [frame for frame in stream(wire, REPLY).replace(b"\r\n", b"\n").split(b"\n\n") if b"{" in frame]
    number = data.draw(st.integers(0, len(frames) - 1))
    before, _, said = frames[number].partition(b"data: ")
    event = json.loads(said)
    place = data.draw(st.sampled_from([each for each in places(event) if each]))
    frames[number] = before + b"data: " + json.dumps(changed(event, place, data.draw(VALUES))).encode()
    ended = b"data: [DONE]\n\n" if wire is WireName.OPENAI else b""
    with suppress(Unsound, NotPlain, NotTranslatable):
        read(events_of(wire), [b"\n\n".join(frames) + b"\n\n" + ended])
