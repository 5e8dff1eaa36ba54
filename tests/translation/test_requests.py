"""Requests between wires: what every wire carries survives there and back, and what is strange does no harm."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from tests.translation.examples import SCHEMA
from tests.translation.wires import CLIENTS, READ, written

from bawn.errors import Fault
from bawn.terms.exchange import Endpoint, Exchange, HostedTool, WireName
from bawn.translation.carriage import Carriage, Destination
from bawn.translation.chat_request import read_request
from bawn.translation.features import Feature
from bawn.translation.neutral import (
    Conversation,
    Image,
    Role,
    Text,
    Thinking,
    Tool,
    ToolResult,
    ToolUse,
    Turn,
    fitting_id,
)
from bawn.translation.thoughts import KeptThoughts

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
ARGUMENTS = st.dictionaries(TEXTS, TEXTS | st.integers(-(2**53), 2**53), max_size=2)


@st.composite
def conversations(draw: st.DrawFn) -> Conversation:
    turns = [Turn(Role.USER, (Text(draw(TEXTS)),))]
    for number in range(draw(st.integers(0, 2))):
        uses = [
            ToolUse(f"call_{number}_{index}", "look", json.dumps(draw(ARGUMENTS), separators=(",", ":")))
            for index in range(draw(st.integers(1, 3)))
        ]
        turns.append(Turn(Role.ASSISTANT, (Text(draw(TEXTS)), *uses)))
        results = tuple(ToolResult(use.id, "look", (Text(draw(TEXTS)),)) for use in uses)
        extra = (Image("image/png", "aGk="),) if draw(st.booleans()) else ()
        turns.append(Turn(Role.USER, (*results, Text(draw(TEXTS)), *extra)))
    return Conversation(
        says=frozenset(),
        system=tuple(Text(each) for each in draw(st.lists(TEXTS, max_size=1))),
        turns=tuple(turns),
        tools=(Tool("look", "Looks.", SCHEMA),),
        most=draw(st.integers(16, 9000)),
        temperature=draw(st.none() | st.just(0.5)),
    )


def essence(said: Conversation) -> Any:
    """A conversation without how its JSON was spaced."""
    turns = [
        [(part.id, part.name, json.loads(part.arguments)) if isinstance(part, ToolUse) else part for part in turn.parts]
        for turn in said.turns
    ]
    tools = [(tool.name, tool.description, tool.schema) for tool in said.tools]
    return said.system, turns, tools, said.most, said.temperature


@given(said=conversations(), wire=st.sampled_from(CLIENTS))
def test_what_every_wire_carries_survives_there_and_back(said: Conversation, wire: WireName) -> None:
    assert essence(READ[wire](written(wire, said))) == essence(said)


@given(st.text(max_size=100))
def test_an_id_of_a_call_fits_everywhere_and_stays_the_same(call_id: str) -> None:
    fitted = fitting_id(call_id)
    assert fitting_id(fitted) == fitted
    assert fitted.isascii()
    assert 1 <= len(fitted) <= 64


def test_a_schema_of_a_megabyte_that_names_itself_is_carried_as_it_is() -> None:
    schema = {"type": "object", "properties": {"next": {"$ref": "#"}, "note": {"const": "x" * 2**20}}}
    request = {
        "messages": [{"role": "user", "content": "hi"}],
        "tools": [{"type": "function", "function": {"name": "look", "parameters": schema}}],
    }
    for target in (WireName.ANTHROPIC, WireName.GEMINI, WireName.CONVERSE, WireName.RESPONSES):
        assert json.dumps(schema["properties"]) in json.dumps(written(target, read_request(request)))


def test_an_id_that_is_used_twice_stays_with_its_calls() -> None:
    call = {"id": "same", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    given = {"role": "tool", "tool_call_id": "same", "content": "a"}
    request = {
        "messages": [
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            given,
            {"role": "assistant", "content": None, "tool_calls": [call]},
            given,
        ]
    }
    body = written(WireName.ANTHROPIC, read_request(request))
    assert [message["content"][0]["type"] for message in body["messages"][1:]] == ["tool_use", "tool_result"] * 2


@pytest.mark.parametrize(
    "message",
    [
        {"role": "oracle", "content": "hi"},
        {"role": "user", "content": [{"type": "hologram"}]},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png,not-base64"}}]},
        {"role": "user", "content": 7},
    ],
)
def test_what_does_not_fit_is_refused_with_its_field(message: dict[str, Any]) -> None:
    with pytest.raises(Fault) as refused:
        read_request({"messages": [message]})
    assert refused.value.code == "request.invalid"
    assert "messages[0]" in refused.value.sentence


def test_sealed_thoughts_are_kept_for_who_cannot_carry_them_and_bounded() -> None:
    kept = KeptThoughts(most_calls=2)
    for number in range(3):
        thought = Thinking("hm", f"proof {number}", WireName.ANTHROPIC)
        kept.keep("a", WireName.ANTHROPIC, [thought], [ToolUse(f"call_{number}", "look", "{}")])

    def asked(number: int, container: str = "a", target: WireName = WireName.ANTHROPIC) -> tuple[Any, ...]:
        turn = Turn(Role.ASSISTANT, (ToolUse(f"call_{number}", "look", "{}"),))
        said = kept.attached(container, Conversation(says=frozenset(), turns=(turn,)), target)
        return said.turns[0].parts

    assert asked(2)[0] == Thinking("hm", "proof 2", WireName.ANTHROPIC)
    assert len(asked(0)) == 1  # the oldest has gone
    assert len(asked(2, container="b")) == 1  # another container's
    assert len(asked(2, target=WireName.GEMINI)) == 1  # another provider's


@pytest.mark.parametrize(
    ("model", "thinking", "sampled"),
    [
        ("claude-3-5-haiku-20241022", None, True),
        ("claude-3-7-sonnet-20250219", "enabled", False),
        ("claude-sonnet-4-20250514", "enabled", False),
        ("claude-haiku-4-5", "enabled", False),
        ("claude-opus-4-6", "adaptive", False),
        ("claude-opus-4-7", "adaptive", False),
        ("claude-sonnet-5", "adaptive", False),
        ("claude-mythos-preview", "adaptive", False),
        ("another-model", "enabled", False),
    ],
)
def test_a_model_is_asked_to_think_as_its_generation_knows_it(model: str, thinking: str | None, sampled: bool) -> None:
    asked = {"messages": [{"role": "user", "content": "hi"}], "reasoning_effort": "medium", "temperature": 0.5}
    exchange = Exchange(WireName.OPENAI, Endpoint.CHAT_COMPLETIONS, "m", stream=False, body=json.dumps(asked).encode())
    carriage = Carriage(exchange, Destination(WireName.ANTHROPIC, model), "a", KeptThoughts())
    body = json.loads(carriage.request())
    assert body.get("thinking", {}).get("type") == thinking
    assert ("temperature" in body) is sampled
    assert ("effort" in carriage.dropped) is (thinking is None)
    assert body.get("output_config", {}).get("effort") == ("medium" if thinking == "adaptive" else None)


def test_what_a_provider_lacks_is_dropped_where_it_tunes_and_refused_where_it_matters() -> None:
    asked = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 9000, "thinking": {"type": "adaptive"}}
    exchange = Exchange(WireName.ANTHROPIC, Endpoint.MESSAGES, "m", stream=False, body=json.dumps(asked).encode())
    plain = Destination(WireName.OPENAI, "m", lacks=frozenset((Feature.EFFORT, Feature.TOOLS)))
    carriage = Carriage(exchange, plain, "a", KeptThoughts())
    assert carriage.dropped == ("effort",)
    assert "reasoning_effort" not in json.loads(carriage.request())
    tool = json.dumps({**asked, "tools": [{"name": "look", "input_schema": SCHEMA}]}).encode()
    with pytest.raises(Fault, match="tools"):
        Carriage(structs.replace(exchange, body=tool), plain, "a", KeptThoughts())


def carried(target: WireName, model: str = "m", wire: WireName = WireName.OPENAI, **asked: Any) -> tuple[Any, Carriage]:
    body = {"messages": [{"role": "user", "content": "hi"}], **asked}
    exchange = Exchange(wire, Endpoint.CHAT_COMPLETIONS, "m", stream=False, body=json.dumps(body).encode())
    carriage = Carriage(exchange, Destination(target, model), "a", KeptThoughts())
    return json.loads(carriage.request()), carriage


def test_zero_is_something_that_is_asked_for() -> None:
    body, carriage = carried(WireName.ANTHROPIC, "claude-opus-4-7", temperature=0, seed=0)
    assert "temperature" not in body
    assert carriage.dropped == ("temperature", "seed")


def test_thinking_leaves_room_to_answer() -> None:
    free, _ = carried(WireName.ANTHROPIC, "claude-sonnet-4-5", reasoning_effort="high")
    assert free["max_tokens"] - free["thinking"]["budget_tokens"] == 8192
    bound, _ = carried(WireName.ANTHROPIC, "claude-sonnet-4-5", reasoning_effort="high", max_tokens=4000)
    assert (bound["max_tokens"], bound["thinking"]["budget_tokens"]) == (4000, 2000)
    gemini, _ = carried(WireName.GEMINI, reasoning_effort="high", max_tokens=4000)
    assert gemini["generationConfig"]["thinkingConfig"]["thinkingBudget"] == 2000


@pytest.mark.parametrize("target", [WireName.ANTHROPIC, WireName.GEMINI, WireName.CONVERSE, WireName.RESPONSES])
def test_a_plain_text_arrives_as_its_text(target: WireName) -> None:
    file = {"filename": "a.txt", "file_data": "data:text/plain;charset=utf-8;base64,aGVsbG8gZG9j"}
    body, _ = carried(target, messages=[{"role": "user", "content": [{"type": "file", "file": file}]}])
    assert "hello doc" in json.dumps(body)
    assert "aGVsbG8gZG9j" not in json.dumps(body)


def test_what_was_allowed_of_a_provider_is_refused_at_another_and_not_left_out() -> None:
    body = json.dumps({"messages": [{"role": "user", "content": "hi"}]}).encode()
    for more in ({"hosted_tools": (HostedTool("web_search_options"),)}, {"unknown_tools": ("field:x",)}):
        exchange = Exchange(WireName.OPENAI, Endpoint.CHAT_COMPLETIONS, "m", stream=False, body=body, **more)
        with pytest.raises(Fault, match="hosted_tools"):
            Carriage(exchange, Destination(WireName.ANTHROPIC, "m"), "a", KeptThoughts())


USED = [
    {"role": "user", "content": "hi"},
    {"role": "assistant", "content": None, "tool_calls": [
        {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": "{}"}}]},
    {"role": "tool", "tool_call_id": "call_1", "content": ""},
]  # fmt: skip


def test_gemini_is_told_of_a_call_whose_signature_is_lost_and_vertex_nothing_of_ids() -> None:
    body, _ = carried(WireName.GEMINI, messages=USED)
    call = body["contents"][1]["parts"][0]
    assert call["thoughtSignature"] == "skip_thought_signature_validator"
    assert call["functionCall"]["id"] == body["contents"][2]["parts"][0]["functionResponse"]["id"] == "call_1"
    exchange = Exchange(
        WireName.OPENAI, Endpoint.CHAT_COMPLETIONS, "m", stream=False, body=json.dumps({"messages": USED}).encode()
    )
    vertex = Carriage(exchange, Destination(WireName.GEMINI, "m", ids=False), "a", KeptThoughts())
    assert b'"id"' not in vertex.request()


def test_converse_has_the_tools_of_earlier_calls_and_nothing_empty() -> None:
    body, _ = carried(WireName.CONVERSE, messages=[*USED, {"role": "user", "content": "go on"}])
    assert [tool["toolSpec"]["name"] for tool in body["toolConfig"]["tools"]] == ["look"]
    results = body["messages"][2]["content"]
    assert results[0]["toolResult"]["content"] == [{"text": "(empty)"}]
    assert results[1] == {"text": "go on"}


@pytest.mark.parametrize("target", [WireName.ANTHROPIC, WireName.GEMINI, WireName.CONVERSE, WireName.RESPONSES])
def test_a_conversation_of_a_system_text_alone_begins_with_it(target: WireName) -> None:
    body, _ = carried(target, messages=[{"role": "system", "content": "begin"}])
    assert "begin" in json.dumps(body.get("messages", body.get("contents", body.get("input"))))


def test_a_number_that_no_json_holds_is_refused() -> None:
    use = b'{"type":"tool_use","id":"a","name":"b","input":{"x":1e400}}'
    body = b'{"max_tokens":9,"messages":[{"role":"assistant","content":[%b]}]}' % use
    exchange = Exchange(WireName.ANTHROPIC, Endpoint.MESSAGES, "m", stream=False, body=body)
    with pytest.raises(Fault) as refused:
        Carriage(exchange, Destination(WireName.OPENAI, "m"), "a", KeptThoughts())
    assert refused.value.code == "request.invalid"


def test_who_keeps_most_thoughts_gives_way_first() -> None:
    kept = KeptThoughts(most_bytes=10_000)
    thought = Thinking("hm", "p" * 500, WireName.ANTHROPIC)
    kept.keep("quiet", WireName.ANTHROPIC, [thought], [ToolUse("call_1", "look", "{}")])
    for number in range(50):
        kept.keep("loud", WireName.ANTHROPIC, [thought], [ToolUse(f"call_{number}", "look", "{}")])
    turn = Turn(Role.ASSISTANT, (ToolUse("call_1", "look", "{}"),))
    said = kept.attached("quiet", Conversation(says=frozenset(), turns=(turn,)), WireName.ANTHROPIC)
    assert said.turns[0].parts[0] == thought
