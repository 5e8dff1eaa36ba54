"""OpenAI's responses: what is found in a request, and that a call is judged in every form in which it is told."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from bawn.errors import Fault
from bawn.inference import responses_shape
from bawn.inference.conversation import Conversation, Wire
from bawn.inference.utterance import Called, Usage, Utterance
from bawn.terms.exchange import Endpoint, Exchange, HostedTool, WireName
from bawn.terms.frames import Broken, End, Frame, HeldCall, TextFrame
from bawn.terms.toolcall import ToolCall
from bawn.wire import Route, wire

RESPONSES = wire(WireName.RESPONSES)
ROUTE = Route(Endpoint.RESPONSES, WireName.RESPONSES)
HEARD = Conversation(Wire.RESPONSES, "m", stream=True, include_usage=True, system="", turns=(), offered=(), seed="ab")
CALLS = (Called("call_1", "bash", '{"command": "ls"}'), Called("call_2", "read", "{}"))


def request(**fields: Any) -> Exchange:
    return RESPONSES.read_request(ROUTE, json.dumps({"model": "m", "input": "hi", **fields}).encode())


def said(text: str = "one two three", calls: tuple[Called, ...] = CALLS, thinking: str = "hm") -> Utterance:
    return Utterance("m", text, thinking, 0, calls, Usage(5, 7, 2, 0, 1), 0, None, 0, 0, 0, None, "ab" * 20)


def events(utterance: Utterance) -> list[dict[str, Any]]:
    return [json.loads(frame.partition(b"data: ")[2]) for frame in responses_shape.frames(utterance, HEARD, 1)]


def stream(told: list[dict[str, Any]]) -> bytes:
    return b"".join(b"event: %b\ndata: %b\n\n" % (each["type"].encode(), json.dumps(each).encode()) for each in told)


def read(parts: list[bytes]) -> list[Frame]:
    reader = RESPONSES.stream_reader(hide_usage=False)
    frames = [frame for part in parts for frame in reader.feed(part)]
    return [*frames, *reader.close()]


def joined(frames: list[Frame]) -> list[Frame]:
    """Neighbouring texts as one."""
    out: list[Frame] = []
    for frame in frames:
        if isinstance(frame, TextFrame) and out and isinstance(out[-1], TextFrame):
            out[-1] = TextFrame(out[-1].data + frame.data)
        else:
            out.append(frame)
    return out


def test_the_sample_is_what_the_official_package_reads() -> None:
    adapter: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
    for event in events(said()):
        adapter.validate_python(event, strict=False)
    Response.model_validate(responses_shape.whole(said(), HEARD, 1))


def test_a_stream_passes_byte_for_byte_and_its_calls_are_held() -> None:
    data = stream(events(said()))
    frames = read([data])
    assert b"".join(frame.data for frame in frames) == data
    assert isinstance(frames[-1], End)
    held = [frame for frame in frames if isinstance(frame, HeldCall)]
    assert [frame.calls for frame in held] == [(ToolCall(call.id, call.name, call.arguments),) for call in CALLS]
    assert not any(b"call_1" in frame.data for frame in frames if isinstance(frame, TextFrame))


def test_what_comes_behind_the_first_event_of_a_call_waits_with_it_and_keep_alives_do_not() -> None:
    told = events(said())
    first, done = (
        next(place for place, event in enumerate(told) if event["type"] == kind and event["output_index"] == 2)
        for kind in ("response.output_item.added", "response.output_item.done")
    )
    message = {"id": "m", "type": "message", "role": "assistant", "status": "in_progress", "content": []}
    behind = [
        {"type": f"response.output_item.{what}", "output_index": 9, "item": message} for what in ("added", "done")
    ]
    alive = {"type": "keepalive", "sequence_number": 7}
    reader = RESPONSES.stream_reader(hide_usage=False)
    reader.feed(stream(told[:first]))
    assert reader.feed(stream([told[first], *behind, alive])) == [TextFrame(stream([alive]))]
    (held,) = reader.feed(stream(told[first + 1 : done + 1]))
    assert held.data == stream([told[first], *behind, *told[first + 1 : done + 1]])
    carrying = {**alive, "output": [{"type": "function_call"}]}
    assert isinstance(read([stream([*told[:first], carrying])])[-1], Broken)


@given(cuts=st.lists(st.integers(0, 6000), max_size=12))
def test_any_pieces_say_the_same(cuts: list[int]) -> None:
    data = stream(events(said()))
    places = sorted({min(cut, len(data)) for cut in cuts} | {0, len(data)})
    assert joined(read([data[a:b] for a, b in zip(places, places[1:], strict=False)])) == joined(read([data]))


@given(end=st.integers(0, 5000))
def test_a_stream_that_is_cut_anywhere_is_never_whole(end: int) -> None:
    data = stream(events(said()))
    last = data.rfind(b"event: response.completed")
    frames = read([data[: min(end, last)]])
    assert isinstance(frames[-1], Broken)


def changed(kind: str, place: int = 0, **fields: Any) -> list[dict[str, Any]]:
    told = events(said())
    found = [event for event in told if event["type"] == kind][place]
    for path, value in fields.items():
        at: Any = found
        *above, last = path.split("__")
        for step in above:
            at = at[int(step) if step.isdecimal() else step]
        at[last] = value
    return told


@pytest.mark.parametrize(
    "told",
    [
        changed("response.function_call_arguments.done", arguments='{"command": "rm"}'),
        changed("response.output_item.done", 2, item__arguments='{"command": "rm"}'),
        changed("response.output_item.done", 2, item__name="other"),
        changed("response.output_item.done", 2, item__call_id="call_9"),
        changed("response.output_item.done", 2, item__type="message"),
        changed("response.completed", response__output__2__arguments='{"command": "rm"}'),
        changed("response.completed", response__output__0__type="function_call"),
        changed("response.completed", response__output="none"),
        changed("response.output_item.added", 0, item__type="robot_call"),
        changed("response.output_item.added", 0, item__arguments="{}"),
        changed("response.created", response__output=[{"type": "function_call", "name": "x", "call_id": "y"}]),
        changed("response.in_progress", type="response.surprise"),
        changed("response.output_text.delta", output_index=7),
        changed("response.function_call_arguments.delta", output_index=1),
        [event for event in events(said()) if event["type"] != "response.output_item.done"],
        [event for event in events(said()) if event["type"] != "response.output_item.added"],
    ],
)
def test_a_call_that_is_told_in_two_ways_breaks_the_stream(told: list[dict[str, Any]]) -> None:
    frames = read([stream(told)])
    assert isinstance(frames[-1], Broken)
    released = [call for frame in frames if isinstance(frame, HeldCall) for call in frame.calls]
    assert all(call in [ToolCall(each.id, each.name, each.arguments) for each in CALLS] for call in released)
    assert not any(b'"rm"' in frame.data for frame in frames)


@pytest.mark.parametrize("kind", ["response.failed", "error"])
def test_an_error_of_the_provider_ends_the_stream_as_broken(kind: str) -> None:
    frames = read([stream([*events(said())[:5], {"type": kind, "message": "no"}])])
    assert isinstance(frames[-1], Broken)
    assert kind.encode() in frames[-1].data


@pytest.mark.parametrize(
    ("item", "call"),
    [
        ({"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}, ToolCall("c", "f", "{}")),
        ({"type": "custom_tool_call", "call_id": "c", "name": "f", "input": "x"}, ToolCall("c", "f", "x", free=True)),
        (
            {"type": "local_shell_call", "call_id": "c", "action": {"type": "exec", "command": ["ls"]}},
            ToolCall("c", "local_shell_call", '{"type":"exec","command":["ls"]}'),
        ),
        (
            {"type": "apply_patch_call", "call_id": "c", "operation": {"type": "delete_file", "path": "a"}},
            ToolCall("c", "apply_patch_call", '{"type":"delete_file","path":"a"}'),
        ),
        (
            {"type": "mcp_approval_request", "id": "c", "name": "f", "server_label": "s", "arguments": "{}"},
            ToolCall("c", "s.f", "{}"),
        ),
    ],
)
def test_whatever_a_client_acts_on_is_a_call(item: dict[str, Any], call: ToolCall) -> None:
    answer = RESPONSES.read_answer(Endpoint.RESPONSES, json.dumps({"id": "resp_1", "output": [item]}).encode())
    assert answer.calls == (call,)
    assert answer.made == "resp_1"


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{}", b'{"output":{}}', b'{"output":[1]}', b'{"output":[{"type":"robot_call"}]}', b'{"output":[{}]}',
     b'{"output":[{"type":"function_call","name":"f"}]}', b'{"output":[],"output":[{"type":"x"}]}'],
)  # fmt: skip
def test_an_answer_that_is_none_of_the_wire_is_broken(body: bytes) -> None:
    with pytest.raises(Fault) as fault:
        RESPONSES.read_answer(Endpoint.RESPONSES, body)
    assert fault.value.code == "upstream.broken"


def test_tools_are_those_that_run_inside_those_of_the_provider_and_unknown_ones() -> None:
    tools = [
        {"type": "function", "name": "f"}, {"type": "custom", "name": "c"}, {"type": "local_shell"},
        {"type": "shell", "environment": {"type": "local"}}, {"type": "shell"}, {"type": "web_search"},
        {"type": "mcp", "server_url": "https://tools.example/mcp"}, {"type": "levitate"},
        {"type": "namespace", "name": "n", "tools": [{"type": "function", "name": "g"}, {"type": "file_search"}]},
    ]  # fmt: skip
    found = request(tools=tools)
    assert found.tools == ("f", "c", "local_shell", "shell", "g")
    assert found.hosted_tools == tuple(map(HostedTool, ("shell", "web_search", "mcp", "file_search")))
    assert found.unknown_tools == ("levitate",)
    assert [fetch.url for fetch in found.fetches] == ["https://tools.example/mcp"]


@pytest.mark.parametrize(
    ("fields", "resources"),
    [
        ({"previous_response_id": "resp_1"}, ("resp_1",)),
        ({"conversation": "conv_1"}, ("conv_1",)),
        ({"conversation": {"id": "conv_1"}}, ("conv_1",)),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, ("msg_1",)),
        ({"input": [{"id": "msg_1"}]}, ("msg_1",)),
        ({"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "file_1"}]}]}, ("file_1",)),
    ],
)
def test_what_a_request_goes_on_with_has_an_owner(fields: dict[str, Any], resources: tuple[str, ...]) -> None:
    assert request(**fields).resources == resources


@pytest.mark.parametrize("part", [{"image_url": "https://x.example/a"}, {"file_url": "https://x.example/b"}])
def test_addresses_in_the_input_are_fetches(part: dict[str, Any]) -> None:
    assert len(request(input=[{"role": "user", "content": [{"type": "input_image", **part}]}]).fetches) == 1


@pytest.mark.parametrize("name", ["store", "background", "prompt"])
def test_fields_that_switch_something_of_the_provider_on_are_named(name: str) -> None:
    assert request(**{name: True}).hosted_tools == (HostedTool(name),)


def test_nothing_is_kept_unless_it_is_asked_for() -> None:
    assert json.loads(RESPONSES.unkept(b'{"model":"m","input":"x"}'))["store"] is False
    assert json.loads(RESPONSES.unkept(b'{"store":null,"input":"x"}'))["store"] is False
    body = b'{ "store" : true, "input":"x"}'
    assert RESPONSES.unkept(body) is body


@pytest.mark.parametrize(
    "fields",
    [{"input": 5}, {"input": None}, {"input": [5]}, {"tools": [{}]}, {"tools": "x"}, {"stream": "yes"}, {"conversation": 5},
     {"tools": [{"type": "function"}]}, {"tools": [{"type": "namespace"}]}, {"tools": [{"type": "function", "Type": "x"}]}],
)  # fmt: skip
def test_what_does_not_fit_is_refused_with_its_name(fields: dict[str, Any]) -> None:
    with pytest.raises(Fault) as fault:
        request(**fields)
    assert fault.value.code == "request.invalid"


def test_a_fault_is_told_as_the_official_package_reads_it() -> None:
    fault = Fault("upstream.broken", "It broke.")
    event = json.loads(RESPONSES.stream_error(fault, "call_1").partition(b"data: ")[2])
    TypeAdapter(ResponseStreamEvent).validate_python(event)
    assert json.loads(RESPONSES.refusal(fault, "call_1"))["error"]["code"] == "upstream.broken"
