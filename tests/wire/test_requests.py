"""What is found in a request: tools, ways out, and what of it stays exactly as it came."""

from __future__ import annotations

import json
from typing import Any

import pytest
from anthropic.types import message_count_tokens_params, message_create_params
from hypothesis import given
from hypothesis import strategies as st
from openai.types import (
    completion_create_params as completion_params,
)
from openai.types import (
    embedding_create_params,
    image_generate_params,
    moderation_create_params,
)
from openai.types.chat import completion_create_params
from openai.types.responses import response_create_params

from bawn.errors import Fault
from bawn.terms.exchange import Endpoint, Exchange, HostedTool, WireName
from bawn.wire import Route, anthropic, openai, responses, wire
from bawn.wire.openai_other import FORMS

URL = "https://elsewhere.example/a"
OPENAI, ANTHROPIC = wire(WireName.OPENAI), wire(WireName.ANTHROPIC)


def body(**fields: Any) -> bytes:
    return json.dumps({"model": "m", "messages": [{"role": "user", "content": "hi"}], **fields}).encode()


def chat(**fields: Any) -> Exchange:
    return OPENAI.read_request(Route(Endpoint.CHAT_COMPLETIONS, None), body(**fields))


def message(**fields: Any) -> Exchange:
    return ANTHROPIC.read_request(Route(Endpoint.MESSAGES, None), body(**{"max_tokens": 9, **fields}))


def saying(*content: dict[str, Any], role: str = "user") -> list[dict[str, Any]]:
    return [{"role": role, "content": list(content)}]


def asked(exchange: Exchange) -> tuple[Any, ...]:
    """Every way out that was found."""
    return (exchange.hosted_tools, exchange.unknown_tools, exchange.fetches, exchange.resources)


NOTHING: tuple[Any, ...] = ((), (), (), ())


@pytest.mark.parametrize(
    ("user", "session"),
    [
        ('{"device_id":"d","account_uuid":"","session_id":"s-1"}', "s-1"), ("someone", "someone"), ("{not JSON", "{not JSON"),
        ('{"session_id":""}', '{"session_id":""}'), ('{"session_id":7}', '{"session_id":7}'), ("", ""),
        ('{"session_id":"a","session_id":"b"}', '{"session_id":"a","session_id":"b"}'),
    ],
)  # fmt: skip
def test_claude_code_names_its_session_within_the_user(user: str, session: str) -> None:
    assert message(metadata={"user_id": user}).session == session


def test_a_plain_call_asks_for_no_way_out() -> None:
    tools = [{"type": "function", "function": {"name": "read", "parameters": {"url": URL}}}]
    read = chat(stream=True, max_completion_tokens=7, tools=tools, temperature=1, top_k=4, min_p_new=0.5)
    assert (read.model, read.stream, read.tools, read.max_output_tokens) == ("m", True, ("read",), 7)
    assert asked(read) == NOTHING
    read = message(system=[{"type": "text", "text": URL}], tools=[{"name": "read", "input_schema": {"url": URL}}])
    assert (read.tools, read.max_output_tokens) == (("read",), 9)
    assert asked(read) == NOTHING


def test_an_address_in_text_arguments_or_sources_is_not_fetched() -> None:
    called = {"id": "c", "type": "function", "function": {"name": "f", "arguments": URL}}
    assert asked(chat(messages=[
        {"role": "user", "content": URL},
        {"role": "assistant", "content": None, "tool_calls": [called], "annotations": [
            {"type": "url_citation", "url_citation": {"url": URL, "title": URL, "start_index": 0, "end_index": 1}}]},
        {"role": "tool", "tool_call_id": "c", "content": [{"type": "text", "text": URL}]},
    ])) == NOTHING  # fmt: skip
    assert asked(message(messages=saying(
        {"type": "tool_use", "id": "t", "name": "f", "input": {"url": URL, "file_id": "x"}},
        {"type": "text", "text": URL, "citations": [{"type": "web_search_result_location", "url": URL}]},
        {"type": "search_result", "source": URL, "title": URL, "content": [{"type": "text", "text": URL}]},
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": URL}},
        {"type": "web_search_tool_result", "content": [{"type": "web_search_result", "url": URL, "title": "x"}]},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}},
    ))) == NOTHING  # fmt: skip


def test_data_urls_stay_at_home() -> None:
    assert asked(chat(messages=saying({"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}))) \
        == NOTHING  # fmt: skip


FETCHED_BY_CHAT: dict[str, tuple[dict[str, Any], str]] = {
    "an image": ({"type": "image_url", "image_url": {"url": URL}}, "messages[0].content[0].image_url.url"),
    "an image, short": ({"type": "image_url", "image_url": URL}, "messages[0].content[0].image_url"),
    "another scheme": ({"type": "image_url", "image_url": {"url": "gs://b/x"}}, "messages[0].content[0].image_url.url"),
    "no scheme": ({"type": "image_url", "image_url": {"url": "//h/x"}}, "messages[0].content[0].image_url.url"),
    "a file": ({"type": "file", "file": {"file_data": URL}}, "messages[0].content[0].file.file_data"),
    "a sound": ({"type": "input_audio", "input_audio": {"data": URL}}, "messages[0].content[0].input_audio.data"),
    "a new block": ({"type": "hologram", "hologram": {"src": URL}}, "messages[0].content[0].hologram.src"),
    "another case": ({"type": "image_url", "IMAGE_URL": {"URL": URL}}, "messages[0].content[0].IMAGE_URL.URL"),
    "camel case": ({"type": "x", "fileUri": "s3:x"}, "messages[0].content[0].fileUri"),
    "a list": ({"type": "x", "video_urls": [URL]}, "messages[0].content[0].video_urls[0]"),
}


@pytest.mark.parametrize("story", FETCHED_BY_CHAT)
def test_what_a_chat_provider_would_fetch_is_found(story: str) -> None:
    block, field = FETCHED_BY_CHAT[story]
    assert [fetch.field for fetch in chat(messages=saying(block)).fetches] == [field]


IMAGE: dict[str, Any] = {"type": "image", "source": {"type": "url", "url": URL}}
FETCHED_BY_MESSAGES: dict[str, tuple[dict[str, Any], str]] = {
    "an image": ({"messages": saying(IMAGE)}, "messages[0].content[0].source.url"),
    "in a tool result": (
        {"messages": saying({"type": "tool_result", "tool_use_id": "t", "content": [IMAGE]})},
        "messages[0].content[0].content[0].source.url",
    ),
    "in a document": (
        {"messages": saying({"type": "document", "source": {"type": "content", "content": [IMAGE]}})},
        "messages[0].content[0].source.content[0].source.url",
    ),
    "in what a search brought": (
        {"messages": saying({"type": "web_fetch_tool_result", "content": {"type": "web_fetch_result", "url": "x",
            "content": {"type": "document", "source": {"type": "url", "url": URL}}}})},
        "messages[0].content[0].content.content.source.url",
    ),
    "in the system prompt": ({"system": [{"type": "document", "source": IMAGE["source"]}]}, "system[0].source.url"),
    "a server of tools": ({"mcp_servers": [{"type": "url", "url": URL, "name": "x"}]}, "mcp_servers[0].url"),
}  # fmt: skip


@pytest.mark.parametrize("story", FETCHED_BY_MESSAGES)
def test_what_a_messages_provider_would_fetch_is_found(story: str) -> None:
    fields, field = FETCHED_BY_MESSAGES[story]
    assert [fetch.field for fetch in message(**fields).fetches] == [field]


@pytest.mark.parametrize(
    ("read", "resources"),
    [
        (lambda: chat(messages=saying({"type": "file", "file": {"file_id": "file-1"}})), ("file-1",)),
        (lambda: chat(messages=[{"role": "assistant", "audio": {"id": "audio_1"}}]), ("audio_1",)),
        (lambda: chat(tools=[{"type": "file_search", "vector_store_ids": ["vs_1"]}]), ("vs_1",)),
        (lambda: message(messages=saying({"type": "image", "source": {"type": "file", "file_id": "f"}})), ("f",)),
        (lambda: message(messages=saying({"type": "container_upload", "file_id": "f"})), ("f",)),
        (lambda: message(container="c_1"), ("c_1",)),
        (lambda: message(container={"id": "c_1"}), ("c_1",)),
        (lambda: message(thread={"type": "continue", "previous_message_id": "msg_1"}), ("msg_1",)),
    ],
)
def test_objects_kept_at_the_provider_are_found(read: Any, resources: tuple[str, ...]) -> None:
    assert read().resources == resources


@pytest.mark.parametrize("field", openai.HOSTED_FIELDS)
def test_fields_of_chat_that_switch_something_of_the_provider_on_are_found(field: str) -> None:
    value = True if field in ("store", "background", "enable_search") else {"x": 1}
    assert chat(**{field: value}).hosted_tools == (HostedTool(field),)
    assert chat(**{field: None}).hosted_tools == ()


@pytest.mark.parametrize("field", anthropic.HOSTED_FIELDS)
def test_fields_of_messages_that_switch_something_of_the_provider_on_are_found(field: str) -> None:
    assert message(**{field: [{"x": 1}]}).hosted_tools == (HostedTool(field),)


def test_skills_of_a_container_are_a_tool_of_the_provider() -> None:
    assert message(container={"skills": [{"skill_id": "x"}]}).hosted_tools == (HostedTool("container.skills"),)


@pytest.mark.parametrize("kind", ["web_search_20260318", "web_fetch_20250910", "code_execution_20260521",
                                  "mcp_toolset", "tool_search_tool_regex_20251119", "advisor_20260301"])  # fmt: skip
def test_tools_that_anthropic_runs_are_hosted(kind: str) -> None:
    assert message(tools=[{"type": kind, "name": "x"}]).hosted_tools == (HostedTool(kind),)


@pytest.mark.parametrize("kind", ["custom", "bash_20250124", "text_editor_20250728", "computer_20251124",
                                  "memory_20250818"])  # fmt: skip
def test_tools_that_a_client_runs_are_tools_of_the_container(kind: str) -> None:
    assert message(tools=[{"type": kind, "name": "x"}]).tools == ("x",)


@pytest.mark.parametrize("kind", ["browser_toolset_20260801", "computer_toolset_20260801"])
def test_sets_of_tools_that_a_client_runs_need_no_name(kind: str) -> None:
    assert message(tools=[{"type": kind}]).tools == (kind,)


def test_tools_that_nobody_knows_are_told_apart() -> None:
    assert message(tools=[{"type": "teleport_2030"}]).unknown_tools == ("teleport_2030",)
    assert chat(tools=[{"type": "teleport"}]).unknown_tools == ("teleport",)


def test_tools_that_come_within_a_message_are_judged_too() -> None:
    definition = {"type": "tool_definition", "definition": {"type": "web_fetch_20260318", "name": "web_fetch"}}
    read = message(messages=saying({"type": "tool_addition", "tool": definition}, role="system"))
    assert read.hosted_tools == (HostedTool("web_fetch_20260318"),)
    read = chat(messages=[{"role": "developer", "content": "x", "tools": [{"type": "mcp", "server_url": URL}]}])
    assert read.hosted_tools == (HostedTool("mcp"),)
    assert [fetch.url for fetch in read.fetches] == [URL]


@pytest.mark.parametrize(
    ("field", "value"),
    [("new", "text"), ("new", {"a": 1}), ("new", []), ("new", True), ("Model", "other"), ("Max_Tokens", 9)],
)
def test_unknown_fields_that_could_be_a_way_out_are_found(field: str, value: Any) -> None:
    assert chat(**{field: value}).unknown_tools == (f"field:{field}",)
    assert message(**{field: value}).unknown_tools == (f"field:{field}",)


@pytest.mark.parametrize("value", [1, 0.5, None, False])
def test_unknown_fields_that_only_tune_pass(value: Any) -> None:
    assert chat(new=value).unknown_tools == ()


def test_a_tool_with_a_field_in_two_spellings_is_refused() -> None:
    with pytest.raises(Fault, match="two spellings"):
        chat(tools=[{"type": "function", "Type": "mcp", "function": {"name": "x"}}])


def test_the_larger_limit_counts_when_both_are_given() -> None:
    assert chat(max_tokens=5, max_completion_tokens=90).max_output_tokens == 90
    assert chat(max_tokens=500, max_completion_tokens=90).max_output_tokens == 500
    assert chat().max_output_tokens is None


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"model": 4}, "model"), ({"stream": 1}, "stream"), ({"messages": []}, "messages"),
        ({"messages": "hi"}, "messages"), ({"messages": ["hi"]}, "messages"), ({"tools": {}}, "tools"),
        ({"tools": [{"type": 1}]}, "tools[0].type"), ({"max_tokens": -1}, "max_tokens"),
        ({"max_tokens": "9"}, "max_tokens"), ({"max_tokens": True}, "max_tokens"), ({"max_tokens": 1.5}, "max_tokens"),
    ],
)  # fmt: skip
def test_a_field_that_does_not_fit_is_named(fields: dict[str, Any], named: str) -> None:
    for read in (chat, message):
        with pytest.raises(Fault) as refused:
            read(**fields)
        assert refused.value.code == "request.invalid"
        assert f"'{named}'" in refused.value.sentence


def test_messages_need_a_limit_and_their_count_does_not() -> None:
    with pytest.raises(Fault, match="max_tokens"):
        message(max_tokens=None)
    assert ANTHROPIC.read_request(Route(Endpoint.COUNT_TOKENS, None), body()).endpoint is Endpoint.COUNT_TOKENS


def test_deep_nesting_is_refused_wherever_it_stands() -> None:
    deep: Any = "x"
    for _ in range(70):
        deep = [deep]
    for fields in ({"metadata": deep}, {"tools": [{"name": "x", "type": "custom", "input_schema": deep}]}):
        for read in (chat, message):
            with pytest.raises(Fault) as refused:
                read(**fields)
            assert refused.value.code in ("request.malformed_json", "request.invalid")


def test_embeddings_are_read() -> None:
    read = OPENAI.read_request(Route(Endpoint.EMBEDDINGS, None), b'{"model":"e","input":["a","b"],"base_url":"x"}')
    assert (read.model, read.stream, read.unknown_tools) == ("e", False, ("field:base_url",))
    with pytest.raises(Fault, match="input"):
        OPENAI.read_request(Route(Endpoint.EMBEDDINGS, None), b'{"model":"e"}')


@pytest.mark.parametrize(
    ("documented", "known"),
    [
        (completion_create_params.CompletionCreateParamsBase, openai.CHAT_FIELDS | set(openai.HOSTED_FIELDS)),
        (embedding_create_params.EmbeddingCreateParams, FORMS[Endpoint.EMBEDDINGS].known),
        (completion_params.CompletionCreateParamsBase, FORMS[Endpoint.COMPLETIONS].known),
        (image_generate_params.ImageGenerateParamsBase, FORMS[Endpoint.IMAGES].known | {"svg"}),
        (moderation_create_params.ModerationCreateParams, FORMS[Endpoint.MODERATIONS].known),
        (response_create_params.ResponseCreateParamsBase, responses.FIELDS | set(responses.HOSTED_FIELDS)),
        (message_create_params.MessageCreateParamsBase, anthropic.FIELDS),
        (message_count_tokens_params.MessageCountTokensParams, anthropic.FIELDS),
    ],
)
def test_the_fields_of_the_official_packages_are_known(documented: Any, known: set[str]) -> None:
    headers = {"workspace_id", "user_profile_id"}
    refused_on_purpose = {"moderation"}
    assert set(documented.__annotations__) - known - headers - refused_on_purpose == set()


def test_another_model_leaves_every_other_byte() -> None:
    before = rb'{"a" : 1e2, "m\u006fdel":"x","big":123456789012345678901234567890,"messages":[ {"content":"\u00e9"} ]}'
    after = OPENAI.with_model(before, 'p/"q"')
    assert json.loads(after) == {**json.loads(before), "model": 'p/"q"'}
    assert rb'[ {"content":"\u00e9"} ]' in after
    assert b"1e2" in after
    assert b"123456789012345678901234567890" in after
    assert list(json.loads(after)) == ["a", "model", "big", "messages"]


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=5), st.integers() | st.text(
    st.characters(exclude_categories=["Cs"])), max_size=5))  # fmt: skip
def test_another_model_changes_nothing_else(fields: dict[str, Any]) -> None:
    before = json.dumps({**fields, "model": "x"}).encode()
    assert json.loads(ANTHROPIC.with_model(before, "y")) == {**fields, "model": "y"}


def test_usage_is_asked_for_once_and_other_options_stay() -> None:
    added = OPENAI.with_usage(body(stream=True))
    assert json.loads(added)["stream_options"] == {"include_usage": True}
    assert OPENAI.with_usage(added) == added
    kept = OPENAI.with_usage(body(stream_options={"include_obfuscation": False, "include_usage": False}))
    assert json.loads(kept)["stream_options"] == {"include_obfuscation": False, "include_usage": True}
    assert ANTHROPIC.with_usage(body()) == body()
    with pytest.raises(Fault, match="stream_options"):
        OPENAI.with_usage(body(stream_options=3))
