"""Requests as documents: every text is found, only what is changed changes, and what is written is a request still."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bawn.errors import Fault
from bawn.terms.exchange import Endpoint, Exchange, WireName
from bawn.terms.toolcall import ToolCall
from bawn.wire import Route, wire
from bawn.wire.document import Message, RequestDocument, Said, Spot
from bawn.wire.documents import document

CHAT = Route(Endpoint.CHAT_COMPLETIONS, WireName.OPENAI)
RESPONSES = Route(Endpoint.RESPONSES, WireName.RESPONSES)
MESSAGES = Route(Endpoint.MESSAGES, WireName.ANTHROPIC)
GEMINI = Route(Endpoint.GENERATE, WireName.GEMINI, "gemini-3")
S, U, A, T = Said.SYSTEM, Said.USER, Said.ASSISTANT, Said.TOOL


def exchanged(route: Route, body: bytes) -> Exchange:
    assert route.wire is not None
    return wire(route.wire).read_request(route, body)


def opened(route: Route, fields: dict[str, Any]) -> RequestDocument:
    if route.wire is not WireName.GEMINI:
        fields = {"model": "m", **fields}
    if route.wire is WireName.ANTHROPIC:
        fields = {"max_tokens": 9, **fields}
    found = document(exchanged(route, json.dumps(fields).encode()))
    assert found is not None
    return found


def after(route: Route, changed: RequestDocument) -> dict[str, Any]:
    """The body of a changed document, which its wire reads."""
    assert changed.changed
    body = changed.body()
    again = exchanged(
        Route(route.endpoint, route.wire, changed.model) if route.wire is WireName.GEMINI else route, body
    )
    assert again.model == changed.model
    read: dict[str, Any] = json.loads(body)
    return read


def told(spots: Any) -> list[tuple[Said, str]]:
    return [(spot.said, spot.text) for spot in spots]


CHAT_REQUEST: dict[str, Any] = {
    "messages": [
        {"role": "system", "content": "be kind"},
        {"role": "developer", "content": [{"type": "text", "text": "be brief"}]},
        {"role": "user", "content": [
            {"type": "text", "text": "look"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}},
        ]},
        {"role": "assistant", "content": None, "reasoning_content": "hm", "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "read", "arguments": "{\"a\": 1}"}},
            {"id": "c2", "type": "custom", "custom": {"name": "patch", "input": "***"}},
        ]},
        {"role": "tool", "tool_call_id": "c1", "content": "one"},
        {"role": "tool", "tool_call_id": "c2", "content": [{"type": "text", "text": "two"}]},
        {"role": "assistant", "content": "done", "refusal": "no more"},
        {"role": "assistant", "content": None, "function_call": {"name": "old", "arguments": "{}"}},
        {"role": "function", "name": "old", "content": "three"},
        {"role": "user", "content": "more"},
    ],
    "prediction": {"type": "content", "content": "as before"},
    "tools": [
        {"type": "function", "function": {"name": "read", "description": "reads", "parameters": {"type": "object"}}},
        {"type": "custom", "custom": {"name": "patch"}},
    ],
    "functions": [{"name": "old"}],
    "tool_choice": {"type": "function", "function": {"name": "read"}},
}  # fmt: skip
RESPONSES_REQUEST: dict[str, Any] = {
    "instructions": "be kind",
    "input": [
        {"role": "developer", "content": "be brief"},
        {"type": "message", "role": "user", "content": [
            {"type": "input_text", "text": "look"}, {"type": "input_image", "image_url": "data:image/png;base64,AA=="},
        ]},
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}]},
        {"type": "function_call", "call_id": "c1", "name": "read", "arguments": "{}"},
        {"type": "custom_tool_call", "call_id": "c2", "name": "patch", "input": "***"},
        {"type": "function_call_output", "call_id": "c1", "output": "one"},
        {"type": "custom_tool_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "two"}]},
        {"type": "shell_call", "call_id": "c3", "action": {"commands": ["ls"]}},
        {"type": "shell_call_output", "call_id": "c3", "output": [{"stdout": "three", "stderr": "four"}]},
        {"type": "mcp_call", "id": "mc_1", "name": "ask", "server_label": "s", "arguments": "{}", "output": "five"},
        {"type": "message", "role": "assistant", "content": [
            {"type": "output_text", "text": "done", "annotations": []}, {"type": "refusal", "refusal": "no more"},
        ]},
        {"role": "user", "content": "more"},
    ],
    "tools": [
        {"type": "function", "name": "read", "description": "reads", "parameters": {"type": "object"}},
        {"type": "namespace", "name": "set", "tools": [{"type": "function", "name": "deep"}]},
        {"type": "custom", "name": "patch"},
    ],
}  # fmt: skip
MESSAGES_REQUEST: dict[str, Any] = {
    "system": [{"type": "text", "text": "be kind", "cache_control": {"type": "ephemeral"}}],
    "messages": [
        {"role": "user", "content": [
            {"type": "text", "text": "look"},
            {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "a paper"}, "title": "t"},
            {"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": "a page"}]}},
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}},
        ]},
        {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "hm", "signature": "s1g"},
            {"type": "text", "text": "well"},
            {"type": "tool_use", "id": "c1", "name": "read", "input": {"a": 1}},
            {"type": "tool_use", "id": "c2", "name": "list", "input": {}},
        ]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "c1", "content": "one", "cache_control": {"type": "ephemeral"}},
            {"type": "tool_result", "tool_use_id": "c2", "content": [
                {"type": "text", "text": "two"},
                {"type": "search_result", "source": "here", "title": "t", "content": [{"type": "text", "text": "found"}]},
            ]},
        ]},
        {"role": "assistant", "content": "done"},
        {"role": "user", "content": "more"},
    ],
    "tools": [
        {"name": "read", "description": "reads", "input_schema": {"type": "object"}},
        {"type": "custom", "name": "list", "input_schema": {"type": "object"}},
    ],
    "tool_choice": {"type": "tool", "name": "read"},
}  # fmt: skip
GEMINI_REQUEST: dict[str, Any] = {
    "system_instruction": {"parts": [{"text": "be kind"}]},
    "contents": [
        {"role": "user", "parts": [{"text": "look"}, {"inlineData": {"mimeType": "image/png", "data": "AA=="}}]},
        {"role": "model", "parts": [
            {"text": "hm", "thought": True},
            {"text": "well", "thoughtSignature": "c2ln"},
            {"functionCall": {"name": "read", "args": {"a": 1}}, "thoughtSignature": "c2ln"},
            {"functionCall": {"id": "c2", "name": "list"}},
        ]},
        {"role": "user", "parts": [
            {"functionResponse": {"name": "read", "response": {"output": "one"}}},
            {"function_response": {"id": "c2", "name": "list", "response": {"files": ["two"], "count": 1}}},
        ]},
        {"role": "model", "parts": {"text": "done"}},
        {"parts": [{"text": "more"}]},
    ],
    "tools": [
        {"functionDeclarations": [{"name": "read", "description": "reads", "parameters": {"type": "OBJECT"}}]},
        {"function_declarations": [{"name": "list"}]},
    ],
    "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["read", "list"]}},
}  # fmt: skip
REQUESTS = [
    pytest.param(route, request, id=route.endpoint.value)
    for route, request in (
        (CHAT, CHAT_REQUEST),
        (RESPONSES, RESPONSES_REQUEST),
        (MESSAGES, MESSAGES_REQUEST),
        (GEMINI, GEMINI_REQUEST),
    )
]
TEXTS = {
    Endpoint.CHAT_COMPLETIONS: [
        (U, "as before"), (S, "be kind"), (S, "be brief"), (U, "look"), (T, "one"), (T, "two"), (A, "done"), (A, "no more"),
        (T, "three"), (U, "more"),
    ],
    Endpoint.RESPONSES: [
        (S, "be kind"), (S, "be brief"), (U, "look"), (T, "one"), (T, "two"), (T, "three"), (T, "four"), (T, "five"),
        (A, "done"), (A, "no more"), (U, "more"),
    ],
    Endpoint.MESSAGES: [
        (S, "be kind"), (U, "look"), (U, "a paper"), (U, "a page"), (A, "well"), (T, "one"), (T, "two"), (T, "found"),
        (A, "done"), (U, "more"),
    ],
    Endpoint.GENERATE: [
        (S, "be kind"), (U, "look"), (A, "well"), (T, "one"), (T, '{"files":["two"],"count":1}'), (A, "done"), (U, "more"),
    ],
}  # fmt: skip


@pytest.mark.parametrize(("route", "fields"), REQUESTS)
def test_every_text_is_found_with_who_said_it_and_thinking_is_not(route: Route, fields: dict[str, Any]) -> None:
    assert told(opened(route, fields).spots) == TEXTS[route.endpoint]


@pytest.mark.parametrize(("route", "fields"), REQUESTS)
def test_a_request_that_is_only_looked_at_stays_as_the_client_wrote_it(route: Route, fields: dict[str, Any]) -> None:
    if route.wire is not WireName.GEMINI:
        fields = {"model": "m", "max_tokens": 3, **fields} if route is not RESPONSES else {"model": "m", **fields}
    body = json.dumps(fields, indent=3).encode()
    looked = document(exchanged(route, body))
    assert looked is not None
    assert (looked.system, looked.messages, looked.tools) != ("", (), ())
    for spot in looked.spots:
        looked.set_text(spot, spot.text)
    looked.set_model(looked.model)
    looked.without_tool("no such tool")
    assert not looked.changed
    assert looked.body() is body


@pytest.mark.parametrize(("route", "fields"), REQUESTS)
def test_another_text_changes_that_text_and_nothing_else(route: Route, fields: dict[str, Any]) -> None:
    count = len(opened(route, fields).spots)
    for number in range(count):
        changed = opened(route, fields)
        before = json.loads(changed.body())
        spot = changed.spots[number]
        changed.set_text(spot, "something else")
        differing = [*differences(before, after(route, changed))]
        if spot.text == "well" and route is GEMINI:
            # The signature beside it was that of the text that is gone.
            assert sorted(differing) == [
                ("contents", 1, "parts", 1, "text"),
                ("contents", 1, "parts", 1, "thoughtSignature"),
            ]
        elif spot.text.startswith("{"):
            assert {path[:-1] for path in differing} == {("contents", 2, "parts", 1, "function_response", "response")}
        else:
            assert len(differing) == 1
        assert told(changed.spots) == [
            (each.said, "something else") if at == number else (each.said, each.text)
            for at, each in enumerate(opened(route, fields).spots)
        ]


def differences(one: Any, two: Any, path: tuple[str | int, ...] = ()) -> Any:
    """The paths at which two values differ; the order of keys counts."""
    if isinstance(one, dict) and isinstance(two, dict):
        shared = [name for name in one if name in two]
        assert shared == [name for name in two if name in one]
        for name in [*shared, *(one.keys() ^ two.keys())]:
            if name in one and name in two:
                yield from differences(one[name], two[name], (*path, name))
            else:
                yield (*path, name)
    elif isinstance(one, list) and isinstance(two, list) and len(one) == len(two):
        for index, (left, right) in enumerate(zip(one, two, strict=True)):
            yield from differences(left, right, (*path, index))
    elif one != two:
        yield path


def test_what_was_not_changed_is_written_byte_for_byte() -> None:
    body = (
        b'{ "model" : "m","temperature":1.50, "big":  123456789012345678901234567890,'
        b' "messages":[ {"role":"user",  "content":"\\u0061"}, {"role":"user","content":"b"}], "seed": 1E2 }'
    )
    changed = document(exchanged(CHAT, body))
    assert changed is not None
    changed.set_text(changed.spots[1], "ü")
    assert (
        changed.body()
        == (
            '{"model":"m","temperature":1.50,"big":123456789012345678901234567890,'
            '"messages":[{"role":"user",  "content":"\\u0061"},{"role":"user","content":"ü"}],"seed":1E2}'
        ).encode()
    )


def test_a_text_that_no_json_can_hold_is_refused() -> None:
    changed = opened(CHAT, {"messages": [{"role": "user", "content": "a"}]})
    changed.set_text(changed.spots[0], "\ud800")
    with pytest.raises(Fault) as refused:
        changed.body()
    assert refused.value.code == "request.malformed_json"


@pytest.mark.parametrize(("route", "fields"), REQUESTS)
def test_calls_and_results_are_told_with_their_ids(route: Route, fields: dict[str, Any]) -> None:
    read = opened(route, fields)
    calls = [call for message in read.messages for call in message.calls]
    first = ToolCall("" if route is GEMINI else "c1", "read", calls[0].arguments_raw)
    assert calls[0] == first
    assert json.loads(first.arguments_raw) in ({"a": 1}, {})
    by_call = {spot.text: spot.call for spot in read.spots if spot.said is Said.TOOL}
    assert by_call["one"] == ("read" if route is GEMINI else "c1")
    assert all(message.said is Said.ASSISTANT for message in read.messages if message.calls)


def test_a_message_that_holds_only_results_is_of_the_tool() -> None:
    assert [message.said for message in opened(MESSAGES, MESSAGES_REQUEST).messages] == [U, A, T, A, U]
    assert [message.said for message in opened(GEMINI, GEMINI_REQUEST).messages] == [U, A, T, A, U]
    mixed = [{"role": "user", "content": [
        {"type": "tool_result", "tool_use_id": "x", "content": "r"}, {"type": "text", "text": "and"},
    ]}]  # fmt: skip
    (message,) = opened(MESSAGES, {"messages": mixed}).messages
    assert (message.said, told(message.spots)) == (U, [(T, "r"), (U, "and")])


@pytest.mark.parametrize(("route", "fields"), REQUESTS)
def test_tools_are_told_and_one_can_be_taken_away(route: Route, fields: dict[str, Any]) -> None:
    changed = opened(route, fields)
    (first, *_), names = changed.tools, [tool.name for tool in changed.tools]
    assert (first.name, first.description) == ("read", "reads")
    assert str((first.schema or {})["type"]).lower() == "object"
    changed.without_tool("read")
    read = after(route, changed)
    names.remove("read")
    assert [tool.name for tool in changed.tools] == names
    assert exchanged(route, changed.body()).tools
    assert '"read"' not in json.dumps({name: value for name, value in read.items() if name.startswith("tool")})
    for name in names:
        changed.without_tool(name)
    last = after(route, changed)
    assert not {name for name in last if name.startswith(("tool", "func"))}
    assert exchanged(route, changed.body()).tools == ()


@pytest.mark.parametrize(("route", "fields"), REQUESTS)
@pytest.mark.parametrize("first", [True, False])
def test_system_text_is_added_before_or_behind_what_is_there(route: Route, fields: dict[str, Any], first: bool) -> None:
    changed = opened(route, fields)
    before = changed.system
    changed.add_system("NEW", first=first)
    after(route, changed)
    assert changed.system.startswith("NEW") if first else changed.system.index("NEW") > changed.system.index("kind")
    assert changed.system.replace("NEW", "").split() == before.split()


@pytest.mark.parametrize(
    ("route", "fields", "where"),
    [
        (CHAT, {"messages": [{"role": "user", "content": "a"}]}, "messages"),
        (RESPONSES, {"input": "a"}, "instructions"),
        (MESSAGES, {"messages": [{"role": "user", "content": "a"}]}, "system"),
        (GEMINI, {"contents": [{"parts": [{"text": "a"}]}]}, "systemInstruction"),
    ],
)
def test_system_text_is_added_where_there_was_none(route: Route, fields: dict[str, Any], where: str) -> None:
    changed = opened(route, fields)
    changed.add_system("NEW")
    assert "NEW" in json.dumps(after(route, changed)[where])
    assert changed.system == "NEW"
    assert told(changed.spots) == [(S, "NEW"), (U, "a")]


@pytest.mark.parametrize(("route", "fields"), REQUESTS)
@pytest.mark.parametrize("said", [U, A])
def test_a_message_is_never_put_between_a_call_and_its_result(route: Route, fields: dict[str, Any], said: Said) -> None:
    for at in (*range(len(opened(route, fields).messages) + 2), None):
        changed = opened(route, fields)
        older = told(changed.spots)
        changed.add_message(said, "NEW", at)
        read = after(route, changed)
        assert sorted(told(changed.spots)) == sorted([*older, (said, "NEW")])
        assert pairs_are_whole(route, read), at
        if at is None:
            assert changed.messages[-1].spots[-1].text == "NEW"


def pairs_are_whole(route: Route, read: dict[str, Any]) -> bool:
    if route is MESSAGES or route is GEMINI:
        listed = read["messages" if route is MESSAGES else "contents"]
        roles = [item.get("role", "user") for item in listed]
        assert all(one != two for one, two in zip(roles, roles[1:], strict=False))
        key = "content" if route is MESSAGES else "parts"
        index = next(at for at, item in enumerate(listed) if "read" in json.dumps(item) and item["role"] != "user")
        first = listed[index + 1][key][0]
        return bool(first.get("tool_use_id") == "c1" or "functionResponse" in first)
    listed = read["messages" if route is CHAT else "input"]
    flat = [json.dumps(item) for item in listed]
    if route is CHAT:
        at = next(index for index, text in enumerate(flat) if '"c1"' in text)
        old = next(index for index, text in enumerate(flat) if '"function_call"' in text)
        return bool(
            listed[at + 1]["role"] == listed[at + 2]["role"] == "tool" and listed[old + 1]["role"] == "function"
        )
    at = next(index for index, text in enumerate(flat) if '"reasoning"' in text)
    kinds = [item.get("type") for item in listed[at : at + 5]]
    assert kinds == [
        "reasoning", "function_call", "custom_tool_call", "function_call_output", "custom_tool_call_output",
    ]  # fmt: skip
    shell = next(index for index, item in enumerate(listed) if item.get("type") == "shell_call")
    return bool(listed[shell + 1]["type"] == "shell_call_output")


def test_calls_without_ids_are_matched_by_their_order() -> None:
    turns: list[dict[str, Any]] = [
        {"role": "user", "parts": [{"text": "go"}]},
        {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {}}}, {"functionCall": {"name": "f"}}]},
        {
            "role": "user",
            "parts": [{"functionResponse": {"name": "f", "response": {"output": str(n)}}} for n in (1, 2)],
        },
        {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {}}}]},
        {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {"output": "3"}}}]},
    ]
    changed = opened(GEMINI, {"contents": turns})
    changed.add_message(Said.USER, "NEW", 4)
    assert after(GEMINI, changed)["contents"][4]["parts"] == [*turns[4]["parts"], {"text": "NEW"}]
    changed = opened(GEMINI, {"contents": turns})
    changed.add_message(Said.USER, "NEW", 2)
    assert after(GEMINI, changed)["contents"][2]["parts"] == [*turns[2]["parts"], {"text": "NEW"}]


def test_a_turn_that_joins_another_stands_behind_results_and_thinking() -> None:
    changed = opened(MESSAGES, MESSAGES_REQUEST)
    changed.add_message(Said.ASSISTANT, "NEW", 1)
    blocks = after(MESSAGES, changed)["messages"][1]["content"]
    assert [block["type"] for block in blocks] == ["thinking", "text", "text", "tool_use", "tool_use"]
    changed = opened(MESSAGES, MESSAGES_REQUEST)
    changed.add_message(Said.USER, "NEW", 4)
    assert after(MESSAGES, changed)["messages"][4]["content"] == [
        {"type": "text", "text": "NEW"},
        {"type": "text", "text": "more"},
    ]


def test_a_spot_is_found_again_after_something_was_put_before_it() -> None:
    for route, fields in ((CHAT, CHAT_REQUEST), (RESPONSES, {"input": "more"}), (MESSAGES, MESSAGES_REQUEST),
                          (GEMINI, GEMINI_REQUEST)):  # fmt: skip
        changed = opened(route, fields)
        last = changed.spots[-1]
        changed.add_message(Said.USER, "NEW", last.message)
        changed.set_text(last, "less")
        after(route, changed)
        assert [text for _, text in told(changed.spots)][-2:] == ["NEW", "less"]
        assert changed.spots[-1].number == last.number
    bare = opened(MESSAGES, {"messages": [{"role": "user", "content": ["a", "b"]}], "system": "s"})
    system, one, two = bare.spots
    bare.add_message(Said.USER, "NEW", 0)
    bare.add_system("first", first=True)
    for spot in (two, one, system):
        bare.set_text(spot, spot.text * 2)
    assert told(bare.spots) == [(S, "first"), (S, "ss"), (U, "NEW"), (U, "aa"), (U, "bb")]


def test_an_input_that_is_a_text_stays_one_until_a_message_is_added() -> None:
    changed = opened(RESPONSES, {"input": "hello"})
    assert changed.messages == (Message(U, (Spot(0, 0, U, "hello"),)),)
    changed.set_text(changed.spots[0], "bye")
    assert after(RESPONSES, changed)["input"] == "bye"
    changed.add_message(Said.ASSISTANT, "ok")
    assert after(RESPONSES, changed)["input"] == [
        {"role": "user", "content": "bye"},
        {"role": "assistant", "content": "ok"},
    ]
    goes_on = opened(RESPONSES, {"previous_response_id": "resp_1"})
    assert goes_on.messages == ()
    goes_on.add_message(Said.USER, "hi")
    assert after(RESPONSES, goes_on)["input"] == [{"role": "user", "content": "hi"}]


def test_the_model_is_changed_in_the_body_or_where_the_path_names_it_told_only() -> None:
    for route, fields in ((CHAT, CHAT_REQUEST), (RESPONSES, RESPONSES_REQUEST), (MESSAGES, MESSAGES_REQUEST)):
        changed = opened(route, fields)
        changed.set_model("other/model")
        assert after(route, changed)["model"] == "other/model"
        assert [*differences(json.loads(opened(route, fields).body()), json.loads(changed.body()))] == [("model",)]
    changed = opened(GEMINI, GEMINI_REQUEST)
    body = changed.body()
    changed.set_model("gemini-4")
    assert (changed.changed, changed.model) == (True, "gemini-4")
    assert changed.body() is body
    changed = opened(GEMINI, {**GEMINI_REQUEST, "model": "models/gemini-3"})
    changed.set_model("gemini-4")
    assert after(GEMINI, changed)["model"] == "models/gemini-4"


def test_what_a_function_answered_stays_an_object() -> None:
    changed = opened(GEMINI, GEMINI_REQUEST)
    spots = {spot.text: spot for spot in changed.spots}
    changed.set_text(spots["one"], '{"a": 1}')
    changed.set_text(spots['{"files":["two"],"count":1}'], '{"files": []}')
    parts = after(GEMINI, changed)["contents"][2]["parts"]
    assert parts[0]["functionResponse"]["response"] == {"output": '{"a": 1}'}
    assert parts[1]["function_response"]["response"] == {"files": []}


@pytest.mark.parametrize(
    "endpoint", [Endpoint.EMBEDDINGS, Endpoint.COUNT_TOKENS, Endpoint.GEMINI_COUNT, Endpoint.FILES]
)
def test_what_is_no_conversation_is_no_document(endpoint: Endpoint) -> None:
    for name in (WireName.OPENAI, WireName.ANTHROPIC, WireName.GEMINI):
        assert document(Exchange(name, endpoint, "m", stream=False, body=b"{}")) is None


def test_documents_beside_what_was_said_are_marked() -> None:
    attached = [spot.text for spot in opened(MESSAGES, MESSAGES_REQUEST).spots if spot.attached]
    assert attached == ["a paper", "a page", "found"]


WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
CHAT_MESSAGES = st.lists(
    st.one_of(
        st.fixed_dictionaries({
            "role": st.sampled_from(["system", "user", "assistant", "tool", "odd"]),
            "content": st.one_of(
                WORDS, st.none(), st.lists(st.one_of(WORDS, st.fixed_dictionaries({"type": st.just("text"), "text": WORDS})))
            ),
        }),
        st.fixed_dictionaries({
            "role": st.just("assistant"),
            "tool_calls": st.lists(st.fixed_dictionaries(
                {"id": st.sampled_from("abc"), "function": st.fixed_dictionaries({"name": WORDS, "arguments": WORDS})}
            ), max_size=3),
        }),
        st.fixed_dictionaries({"role": st.just("tool"), "tool_call_id": st.sampled_from("abc"), "content": WORDS}),
    ),
    min_size=1, max_size=8,
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(messages=CHAT_MESSAGES, data=st.data())
def test_whatever_a_conversation_holds_a_change_is_that_change(messages: list[Any], data: st.DataObject) -> None:
    changed = opened(CHAT, {"messages": messages})
    before = json.loads(changed.body())
    spots = changed.spots
    assert changed.body() is changed.body()
    if spots:
        spot = data.draw(st.sampled_from(spots))
        changed.set_text(spot, spot.text + "!")
        (path,) = differences(before, after(CHAT, changed))
        assert path[:2] == ("messages", spot.message)
    at = data.draw(st.integers(0, len(messages)))
    changed.add_message(Said.USER, "NEW", at)
    listed = after(CHAT, changed)["messages"]
    place = listed.index({"role": "user", "content": "NEW"})
    assert len(listed) == len(messages) + 1
    assert place >= at
    behind: list[str] = []
    for item in listed[:place]:
        behind += [call["id"] for call in item.get("tool_calls") or ()]
        if item.get("tool_call_id") in behind:
            behind.remove(item["tool_call_id"])
    if behind:
        # Calls that nobody answers, or whose id is used again further on, hold nothing up.
        assert not [item for item in listed[place:] if item.get("tool_call_id") in behind]


@settings(max_examples=80, deadline=None)
@given(
    texts=st.lists(WORDS, min_size=1, max_size=6),
    adds=st.lists(st.tuples(st.sampled_from([U, A, S]), st.integers(0, 6), WORDS), max_size=5),
    route=st.sampled_from([CHAT, RESPONSES, MESSAGES, GEMINI]),
)
def test_texts_added_anywhere_are_all_there_and_the_older_ones_keep_their_numbers(
    texts: list[str], adds: list[tuple[Said, int, str]], route: Route
) -> None:
    fields: dict[str, Any]
    if route is GEMINI:
        fields = {"contents": [{"role": "user", "parts": [{"text": text}]} for text in texts]}
    else:
        fields = {"input" if route is RESPONSES else "messages": [{"role": "user", "content": text} for text in texts]}
    changed = opened(route, fields)
    numbers = {spot.number: spot.text for spot in changed.spots}
    for said, at, text in adds:
        if said is S:
            changed.add_system(text or "s")
        else:
            changed.add_message(said, text, at)
    if adds:
        after(route, changed)
    found = {spot.number: spot.text for spot in changed.spots if spot.said is not S}
    assert {number: text for number, text in found.items() if number in numbers} == {
        number: text for number, text in numbers.items() if number in found
    }
    kept = sorted(found.values())
    assert [text for text in kept if text] == sorted(
        text for text in (*texts, *(text for said, _, text in adds if said is not S)) if text
    )


@pytest.mark.parametrize("kind", [{}, [], 1, None, "surprise"])
def test_an_item_of_no_known_type_is_no_reason_to_fail(kind: object) -> None:
    read = opened(RESPONSES, {"input": [{"type": kind, "content": "x"}, {"role": "user", "content": "hello"}]})
    assert [message.text for message in read.messages] == ["", "hello"]
