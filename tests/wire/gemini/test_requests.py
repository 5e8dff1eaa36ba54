"""Gemini's requests: what the path and the body tell, under either spelling of each name."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.wire.gemini.said import ASKED, GEMINI, part

from bawn.errors import Fault
from bawn.terms.exchange import Endpoint, Exchange, HostedTool, WireName
from bawn.wire import Route, endpoint


def request(asked: Endpoint = Endpoint.GENERATE, /, **fields: Any) -> Exchange:
    body = {**ASKED, **fields} if asked is Endpoint.GENERATE else fields
    return GEMINI.read_request(Route(asked, WireName.GEMINI, "p/m"), json.dumps(body).encode())


def ways_out(found: Exchange) -> tuple[Any, ...]:
    return (*found.hosted_tools, *found.unknown_tools, *found.fetches, *found.resources)


# paths


@pytest.mark.parametrize("root", ["/v1beta/", "/api/v1beta/", "/v1/", "/api/v1/"])
@pytest.mark.parametrize(
    ("verb", "asked", "stream"),
    [
        ("generateContent", Endpoint.GENERATE, False),
        ("streamGenerateContent?alt=sse", Endpoint.GENERATE, True),
        ("countTokens", Endpoint.GEMINI_COUNT, False),
        ("embedContent", Endpoint.GEMINI_EMBED, False),
        ("batchEmbedContents", Endpoint.GEMINI_EMBED_ALL, False),
    ],
)
def test_the_path_tells_model_and_stream(root: str, verb: str, asked: Endpoint, stream: bool) -> None:
    for model in ("p/m-1:free", "p%2Fm-1:free"):
        found = endpoint("POST", f"{root}models/{model}:{verb}".encode())
        assert found == Route(asked, WireName.GEMINI, "p/m-1:free", stream)
    with pytest.raises(Fault) as fault:
        endpoint("GET", f"{root}models/m:{verb}".encode())
    assert fault.value.code == "http.method_not_allowed"


def test_models_are_listed_under_the_root_of_this_wire() -> None:
    for path in (b"/v1beta/models", b"/api/v1beta/models?pageSize=50"):
        assert endpoint("GET", path) == Route(Endpoint.MODELS, WireName.GEMINI)
    assert endpoint("GET", b"/v1beta/models/p%2fm") == Route(Endpoint.MODELS, WireName.GEMINI, "p/m")


@pytest.mark.parametrize(
    ("path", "remedy"),
    [
        (b"/v1beta/models/m:streamGenerateContent", "alt=sse"),
        (b"/v1beta/models/m:streamGenerateContent?alt=json", "alt=sse"),
        (b"/v1beta/models/m:generateContent?key=container-dev", "x-goog-api-key"),
        (b"/v1/models/m:streamGenerateContent?alt=sse&key=container-dev", "x-goog-api-key"),
        (b"/v1beta/models/m:generateContent?access_token=x", "x-goog-api-key"),
        (b"/v1beta/models?key=container-dev", "x-goog-api-key"),
    ],
)
def test_a_key_in_the_path_and_a_stream_that_is_a_list_are_refused_with_a_remedy(path: bytes, remedy: str) -> None:
    with pytest.raises(Fault) as fault:
        endpoint("POST", path)
    assert fault.value.code == "request.invalid"
    assert remedy in fault.value.remedy
    assert "container-dev" not in str(fault.value)


@pytest.mark.parametrize(
    "path",
    [
        b"/v1beta/models/m:generateContent?alt=sse", b"/v1beta/models/m:generateContent/", b"/v1beta/chat/completions",
        b"/v1beta/models/m:predict", b"/v1beta/models/m:streamGenerateContent?alt=sse&alt=json", b"/v1beta/models/:countTokens",
        b"/v1beta/models/m:GenerateContent", b"/v1beta/models/m%2e:countTokens", b"/v1beta/models/m:generateContent\n",
        b"/v1beta/models/../m:countTokens", b"/v1beta/files", b"/v1beta//models", b"/v1alpha/models", b"/v1beta/models/m\n",
        b"/v1beta/models/m:streamGenerateContent?alt=sse\n", b"/v1beta/cachedContents", b"/v1beta/models?pageToken=x",
    ],
)  # fmt: skip
def test_other_paths_take_no_call(path: bytes) -> None:
    with pytest.raises(Fault) as fault:
        endpoint("POST", path)
    # What would be a model's name is one that nothing can be posted to.
    assert fault.value.code in ("http.unknown_path", "http.malformed", "http.method_not_allowed")


# requests


def test_a_request_tells_what_is_decided_on_under_either_name() -> None:
    for name, most, config in (
        ("function_declarations", "max_output_tokens", "generation_config"),
        ("functionDeclarations", "maxOutputTokens", "generationConfig"),
    ):
        found = request(tools=[{name: [{"name": "f"}, {"name": "g"}]}], **{config: {most: 7}})
        assert (found.model, found.tools, found.max_output_tokens) == ("p/m", ("f", "g"), 7)
        assert ways_out(found) == ()


def test_everything_that_the_official_package_can_say_is_known() -> None:
    schema = {"type": "object", "properties": {"image_url": {"type": "string"}, "imageUrl": {"type": "string"}}}
    found = request(
        systemInstruction={"role": "user", "parts": [{"text": "be kind"}]},
        generationConfig={
            "temperature": 0.5, "candidateCount": 2, "stopSequences": ["x"], "responseMimeType": "application/json",
            "responseJsonSchema": {"$schema": "https://json-schema.org/x", **schema}, "thinkingConfig": {"thinkingBudget": 5},
            "speechConfig": {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": "Kore"}}},
        },
        toolConfig={"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f"]}},
        tools=[{"functionDeclarations": [{"name": "f", "parameters": schema, "response": schema}]}],
        safetySettings=[{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}],
        labels={"a_b": "x", "aB": "y"},
        serviceTier="flex",
        contents=[
            {"role": "user", "parts": [{"text": "https://x.example/"}, {"inlineData": {"mimeType": "image/png", "data": "aGk="}}]},
            {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {"url": "https://x.example", "a_b": 1, "aB": 2}}}]},
            {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {"uri": "https://x.example"}}}]},
            {"role": "model", "parts": [{"executableCode": {"language": "PYTHON", "code": "http://x"}}]},
        ],
    )  # fmt: skip
    assert ways_out(found) == ()


@pytest.mark.parametrize(
    "tool",
    ["googleSearch", "googleSearchRetrieval", "urlContext", "codeExecution", "googleMaps", "fileSearch", "computerUse",
     "mcpServers", "enterpriseWebSearch", "retrieval"],
)  # fmt: skip
def test_tools_of_the_provider_are_named_alike_under_both_names(tool: str) -> None:
    snake = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in tool)
    for name in (tool, snake):
        found = request(tools=[{"functionDeclarations": [{"name": "f"}], name: {}}])
        assert (found.tools, found.hosted_tools, found.unknown_tools) == (("f",), (HostedTool(tool),), ())


def test_a_field_of_a_tool_that_nobody_knows_is_an_unknown_tool() -> None:
    assert request(tools=[{"levitate": {}}, {"GoogleSearch": {}}]).unknown_tools == ("levitate", "GoogleSearch")
    assert request(tools=[{"googleSearch": None, "functionDeclarations": []}]).hosted_tools == ()
    assert request(**part(tools=[{"googleSearch": {}}])).hosted_tools == (HostedTool("googleSearch"),)


@pytest.mark.parametrize("field", ["fileUri", "file_uri"])
def test_an_address_is_fetched_and_a_file_that_is_kept_has_an_owner(field: str) -> None:
    found = request(**part(fileData={field: "https://www.youtube.com/watch?v=x"}))
    assert [fetch.url for fetch in found.fetches] == ["https://www.youtube.com/watch?v=x"]
    for uri in ("files/abc-1", "https://generativelanguage.googleapis.com/v1beta/files/abc-1"):
        found = request(**part(fileData={field: uri}))
        assert (found.fetches, found.resources) == ((), ("files/abc-1",))
    for uri in ("gs://bucket/x", "files/../x", "https://generativelanguage.googleapis.com.x.example/v1beta/files/a"):
        assert request(**part(fileData={field: uri})).fetches


@pytest.mark.parametrize(
    ("fields", "resources"),
    [
        ({"cachedContent": "cachedContents/a"}, ("cachedContents/a",)),
        ({"cached_content": "cachedContents/a"}, ("cachedContents/a",)),
        ({"tools": [{"fileSearch": {"fileSearchStoreNames": ["fileSearchStores/a"]}}]}, ("fileSearchStores/a",)),
        ({"tools": [{"file_search": {"file_search_store_names": ["fileSearchStores/a"]}}]}, ("fileSearchStores/a",)),
        (part(functionResponse={"name": "f", "response": {}, "parts": [{"fileData": {"fileUri": "files/a"}}]}), ("files/a",)),
        ({"systemInstruction": {"parts": {"fileData": {"fileUri": "files/a"}}}}, ("files/a",)),
    ],
)  # fmt: skip
def test_what_a_request_goes_on_with_has_an_owner(fields: dict[str, Any], resources: tuple[str, ...]) -> None:
    assert request(**fields).resources == resources


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": [{"mcpServers": [{"streamableHttpTransport": {"url": "https://x.example/mcp"}}]}]},
        {"systemInstruction": {"parts": [{"fileData": {"fileUri": "https://x.example/"}}]}},
        part(functionResponse={"name": "f", "parts": [{"fileData": {"fileUri": "https://x.example/"}}]}),
        part(function_response={"name": "f", "parts": [{"file_data": {"file_uri": "https://x.example/"}}]}),
        part(inlineData={"mimeType": "image/png", "data": "https://x.example/"}),
        part(somethingNew={"imageUri": "x"}),
        {"generationConfig": {"speechConfig": {"voiceUri": "x"}}},
    ],
)
def test_addresses_are_fetches_wherever_they_stand(fields: dict[str, Any]) -> None:
    assert len(request(**fields).fetches) == 1


@pytest.mark.parametrize("name", ["mystery", "modelArmorConfig", "system_Instruction", "fallbackModel"])
def test_fields_that_nobody_knows_are_named(name: str) -> None:
    assert request(**{name: {}}).unknown_tools == (f"field:{name}",)
    assert request(store=True).hosted_tools == (HostedTool("store"),)


@pytest.mark.parametrize(
    "fields",
    [
        {"systemInstruction": None, "system_instruction": {"parts": [{"text": "x"}]}},
        {"generationConfig": {"maxOutputTokens": 1, "max_output_tokens": 10**6}},
        {"tools": [{"functionDeclarations": [], "function_declarations": [{"name": "f"}]}]},
        {"tools": [{"googleSearch": None, "google_search": {}}]},
        part(fileData={"fileUri": "files/mine", "file_uri": "files/theirs"}),
        part(fileData={"fileUri": "files/mine"}, file_data={"fileUri": "files/theirs"}),
        {"safetySettings": [], "SafetySettings": []},
        {"Contents": []},
        {"contents": None}, {"contents": []}, {"contents": "hi"}, {"contents": ["hi"]}, {"contents": [{"parts": "hi"}]},
        {"contents": [{"parts": ["hi"]}]}, {"tools": {}}, {"tools": [{"functionDeclarations": [{}]}]}, {"tools": ["x"]},
        {"generationConfig": []}, {"generationConfig": {"maxOutputTokens": "7"}}, {"cachedContent": 5}, {"model": 5},
        {"model": "other"}, {"model": "models/other"}, {"systemInstruction": "text"}, {"toolConfig": 5},
        {"toolConfig": {"functionCallingConfig": {"streamFunctionCallArguments": True}}},
        {"tool_config": {"include_server_side_tool_invocations": True}},
        {"tools": [{"fileSearch": {"fileSearchStoreNames": "x"}}]},
    ],
)  # fmt: skip
def test_what_does_not_fit_or_is_said_twice_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(Fault) as fault:
        request(**fields)
    assert fault.value.code == "request.invalid"


def test_tokens_are_counted_and_texts_embedded() -> None:
    tools: dict[str, Any] = {"tools": [{"googleSearch": {}}]}
    count, embed, embed_all = Endpoint.GEMINI_COUNT, Endpoint.GEMINI_EMBED, Endpoint.GEMINI_EMBED_ALL
    assert request(count, **ASKED).model == "p/m"
    nested = request(count, generateContentRequest={**ASKED, **tools, "model": "models/p/m"})
    assert nested.hosted_tools == (HostedTool("googleSearch"),)
    content = {"parts": [{"text": "hi"}]}
    assert request(embed, content=content, outputDimensionality=8, taskType="RETRIEVAL_QUERY").unknown_tools == ()
    kept = {"parts": [{"fileData": {"fileUri": "files/a"}}]}
    found = request(
        embed_all, requests=[{"model": "models/p/m", "content": content}, {"content": kept, "surprise": "x"}]
    )
    assert (found.resources, found.unknown_tools) == (("files/a",), ("field:surprise",))
    for asked, fields in (
        (count, {}), (count, {"generateContentRequest": 5}), (count, {"generateContentRequest": {**ASKED, "model": "other"}}),
        (embed, {}), (embed, {"content": "hi"}), (embed_all, {}), (embed_all, {"requests": [{"content": content, "model": "x"}]}),
    ):  # fmt: skip
        with pytest.raises(Fault):
            request(asked, **fields)


def test_the_body_is_left_alone_unless_it_repeats_the_model() -> None:
    body = b'{ "contents" : [ {"parts":[{"text":"x"}]} ] }'
    assert GEMINI.with_model(body, "n") == body
    repeated = b'{"model":"models/p/m","contents":[{"parts":[{"text":"m\\u00e9"}]}],"x":1.0}'
    assert GEMINI.with_model(repeated, "n") == repeated.replace(b"p/m", b"n")
    nested = b'{"generateContentRequest":{"model":"models/p/m","contents":[1e3]}}'
    assert GEMINI.with_model(nested, "n") == nested.replace(b"p/m", b"n")
    each = b'{"requests":[{"model":"models/p/m","content":{"parts":[]}},{"content":{}}]}'
    assert GEMINI.with_model(each, "n") == each.replace(b"p/m", b"n")
