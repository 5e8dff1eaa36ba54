"""Whole answers, refusals and lists of models, in the official shapes."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from anthropic.types import ErrorResponse, Message, ModelInfo
from openai.types import Model
from openai.types.chat import ChatCompletion

from bawn.errors import KINDS, Fault
from bawn.terms.exchange import Endpoint, Usage, WireName
from bawn.terms.frames import Broken
from bawn.terms.toolcall import ToolCall
from bawn.wire import wire
from bawn.wire.interface import Answer, ModelEntry

OPENAI, ANTHROPIC = wire(WireName.OPENAI), wire(WireName.ANTHROPIC)
NOW = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)


def chat(message: dict[str, Any], **more: Any) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": None, **message}, "finish_reason": "stop"}
    whole = {"id": "c", "object": "chat.completion", "created": 1, "model": "m-1", "choices": [choice], **more}
    return json.dumps(whole).encode()


def message(*content: dict[str, Any]) -> bytes:
    return json.dumps({
        "id": "msg", "type": "message", "role": "assistant", "model": "c-1", "content": content,
        "stop_reason": "end_turn", "stop_sequence": None, "usage": {"input_tokens": 3, "output_tokens": 4},
    }).encode()  # fmt: skip


def read(data: bytes, name: WireName = WireName.OPENAI) -> Answer:
    endpoint = Endpoint.CHAT_COMPLETIONS if name is WireName.OPENAI else Endpoint.MESSAGES
    return wire(name).read_answer(endpoint, data)


def test_a_chat_answer_tells_its_calls_usage_and_model() -> None:
    calls = [
        {"id": "1", "type": "function", "function": {"name": "read", "arguments": "{}"}},
        {"id": "2", "type": "custom", "custom": {"name": "sh", "input": "ls"}},
    ]
    data = chat({"tool_calls": calls}, usage={"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7})
    ChatCompletion.model_validate_json(data)
    assert read(data) == Answer(Usage(3, 4), (ToolCall("1", "read", "{}"), ToolCall("2", "sh", "ls", free=True)), "m-1")
    assert read(chat({"function_call": {"name": "f", "arguments": "x"}})).calls == (ToolCall("", "f", "x"),)


def test_a_message_tells_its_calls_usage_and_model() -> None:
    data = message(
        {"type": "text", "text": "hi", "citations": None},
        {"type": "tool_use", "id": "t", "name": "f", "input": {"n": 10**30, "x": 1.0}},
        {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}},
    )
    Message.model_validate_json(data)
    called = (ToolCall("t", "f", f'{{"n":{10**30},"x":1.0}}'), ToolCall("s", "web_search", "{}"))
    assert read(data, WireName.ANTHROPIC) == Answer(Usage(3, 4), called, "c-1")


def test_counts_and_embeddings_are_answers_without_calls() -> None:
    assert ANTHROPIC.read_answer(Endpoint.COUNT_TOKENS, b'{"input_tokens":4}') == Answer(None, (), "")
    data = b'{"object":"list","model":"e","data":[],"usage":{"prompt_tokens":5,"total_tokens":5}}'
    assert OPENAI.read_answer(Endpoint.EMBEDDINGS, data) == Answer(Usage(5, 0), (), "e")


@pytest.mark.parametrize("name", [WireName.OPENAI, WireName.ANTHROPIC])
@pytest.mark.parametrize(
    "data", [b"", b"<html>", b"[]", b"{}", b'{"a":1,"a":2}', b'{"choices":{}}', b'{"choices":[1]}', b'{"content":[1]}',
             b'{"content":[{"type":"tool_use","id":"x"}]}', b'{"choices":[{"message":{"tool_calls":[{}]}}]}',
             b'{"choices":[{"message":{"tool_calls":{}}}]}', b'{"choices":[{"message":{"function_call":1}}]}'],
)  # fmt: skip
def test_an_answer_that_is_none_of_the_wire_is_broken(name: WireName, data: bytes) -> None:
    with pytest.raises(Fault) as broken:
        read(data, name)
    assert broken.value.code == "upstream.broken"


def test_a_call_of_two_kinds_in_an_answer_is_broken() -> None:
    two = {"id": "1", "type": "custom", "custom": {"name": "a", "input": ""}, "function": {"name": "b"}}
    with pytest.raises(Fault, match="two kinds"):
        read(chat({"tool_calls": [two]}))


@pytest.mark.parametrize("usage", [None, 3, {}, {"prompt_tokens": -1}, {"prompt_tokens": True}, {"prompt_tokens": "3"}])
def test_counts_that_are_no_counts_are_not_believed(usage: Any) -> None:
    assert read(chat({}, usage=usage)).usage is None


@pytest.mark.parametrize("code", KINDS)
def test_every_fault_has_its_form_in_both_wires(code: str) -> None:
    fault = Fault(code, "What happened.", cause="for the operator")
    told = json.loads(OPENAI.refusal(fault, "call-1"))["error"]
    assert set(told) == {"message", "type", "param", "code"}
    assert told["code"] == code
    assert told["message"] == f"What happened. {fault.remedy}"
    body = ANTHROPIC.refusal(fault, "call-1")
    shown = json.loads(body)
    assert (shown["type"], shown["request_id"], shown["error"]["message"]) == ("error", "call-1", told["message"])
    if fault.status == 413:
        # Documented by the API, and missing from the types of its package.
        assert shown["error"]["type"] == "request_too_large"
    else:
        ErrorResponse.model_validate_json(body)
    for speaks in (OPENAI, ANTHROPIC):
        assert speaks.is_error(speaks.refusal(fault, "call-1"))
        assert b"for the operator" not in speaks.refusal(fault, "call-1")
        frames = speaks.stream_reader(hide_usage=False).feed(speaks.stream_error(fault, "call-1"))
        assert frames == [Broken("The provider ended its stream with an error.", speaks.stream_error(fault, "call-1"))]


@pytest.mark.parametrize("data", [b"", b"<html>", b"[]", b'{"error":"x"}', b'{"type":"error"}'])
def test_what_is_no_error_of_the_wire_is_told_apart(data: bytes) -> None:
    assert not OPENAI.is_error(data)
    assert not ANTHROPIC.is_error(data)


def test_lists_of_models_are_in_the_official_shapes() -> None:
    entries = [ModelEntry("p/a", "p"), ModelEntry("q/b", "q")]
    listed = json.loads(OPENAI.models_list(entries, NOW))
    assert listed["object"] == "list"
    assert [Model.model_validate(each).id for each in listed["data"]] == ["p/a", "q/b"]
    paged = json.loads(ANTHROPIC.models_list(entries, NOW))
    assert (paged["has_more"], paged["first_id"], paged["last_id"]) == (False, "p/a", "q/b")
    assert [ModelInfo.model_validate(each).created_at for each in paged["data"]] == [NOW, NOW]
    empty = json.loads(ANTHROPIC.models_list([], NOW))
    assert (empty["data"], empty["first_id"], empty["last_id"]) == ([], None, None)


def test_one_model_is_in_the_official_shape() -> None:
    entry = ModelEntry("p/a", "p")
    assert Model.model_validate_json(OPENAI.model(entry, NOW)).owned_by == "p"
    assert ModelInfo.model_validate_json(ANTHROPIC.model(entry, NOW)).display_name == "p/a"
