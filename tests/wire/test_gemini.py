"""Gemini: what is found in a request, that calls are judged wherever they are told, and that only a whole stream ends."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from google.genai import types
from hypothesis import given
from hypothesis import strategies as st
from tests.wire.streams import LINE_ENDS, read

from bawn.errors import KINDS, Fault
from bawn.inference import gemini_shape
from bawn.inference.utterance import Called, Utterance
from bawn.inference.utterance import Usage as Said
from bawn.terms.exchange import Endpoint, Exchange, HostedTool, Usage, WireName
from bawn.terms.frames import Broken, End, Frame, HeldCall, TextFrame
from bawn.terms.toolcall import ToolCall
from bawn.wire import Route, endpoint, wire
from bawn.wire.interface import Answer

GEMINI = wire(WireName.GEMINI)
ASKED: dict[str, Any] = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}
CALLS = (Called("call_1", "bash", '{"command":"ls"}'), Called("call_2", "read", "{}"))
CALLED = tuple(ToolCall(call.id, call.name, call.arguments) for call in CALLS)


def request(asked: Endpoint = Endpoint.GENERATE, /, **fields: Any) -> Exchange:
    body = {**ASKED, **fields} if asked is Endpoint.GENERATE else fields
    return GEMINI.read_request(Route(asked, WireName.GEMINI, "p/m"), json.dumps(body).encode())


def ways_out(found: Exchange) -> tuple[Any, ...]:
    return (*found.hosted_tools, *found.unknown_tools, *found.fetches, *found.resources)


def part(**part: Any) -> dict[str, Any]:
    return {"contents": [{"role": "user", "parts": [part]}]}


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


# answers


def candidate(*parts: dict[str, Any], finish: str | None = "STOP", index: int = 0, **more: Any) -> dict[str, Any]:
    said: dict[str, Any] = {"content": {"role": "model", "parts": list(parts)}, "index": index, **more}
    return said | ({"finishReason": finish} if finish else {})


def answer(*candidates: dict[str, Any], **more: Any) -> bytes:
    return json.dumps({"candidates": candidates, "modelVersion": "m-1", **more}).encode()


def whole(data: bytes, asked: Endpoint = Endpoint.GENERATE) -> Answer:
    return GEMINI.read_answer(asked, data)


def test_an_answer_tells_its_calls_usage_and_model() -> None:
    usage = {
        "promptTokenCount": 9, "candidatesTokenCount": 3, "thoughtsTokenCount": 2, "cachedContentTokenCount": 4,
        "toolUsePromptTokenCount": 1, "totalTokenCount": 15,
    }  # fmt: skip
    data = answer(
        candidate({"text": "hm", "thought": True}, {"functionCall": {"id": "1", "name": "f", "args": {"n": 10**30}}}),
        candidate({"functionCall": {"name": "g"}, "thoughtSignature": "eA=="}, index=1),
        usageMetadata=usage,
    )
    types.GenerateContentResponse.model_validate_json(data)
    calls = (ToolCall("1", "f", f'{{"n":{10**30}}}'), ToolCall("", "g", "{}"))
    assert whole(data) == Answer(Usage(10, 5, 4, 0, 2), calls, "m-1")


def test_an_answer_may_be_a_reason_for_there_being_none() -> None:
    assert whole(b'{"promptFeedback":{"blockReason":"SAFETY"}}') == Answer(None, (), "")
    assert whole(answer({"finishReason": "SAFETY", "index": 0})).calls == ()


def test_counts_and_embeddings_are_answers_without_calls() -> None:
    assert whole(b'{"totalTokens":4}', Endpoint.GEMINI_COUNT) == Answer(None, (), "")
    assert whole(b'{"embedding":{"values":[1]}}', Endpoint.GEMINI_EMBED) == Answer(None, (), "")
    assert whole(b'{"embeddings":[{"values":[1]}]}', Endpoint.GEMINI_EMBED_ALL) == Answer(None, (), "")
    for asked in (Endpoint.GEMINI_COUNT, Endpoint.GEMINI_EMBED, Endpoint.GEMINI_EMBED_ALL):
        with pytest.raises(Fault):
            whole(b"{}", asked)


def test_code_that_the_provider_ran_is_a_call_of_the_tool_by_which_it_is_asked_for() -> None:
    code, result = (
        {"executableCode": {"language": "PYTHON", "code": "1"}},
        {"codeExecutionResult": {"outcome": "OUTCOME_OK"}},
    )
    (call,) = whole(answer(candidate(code, result))).calls
    assert (call.name, call.hosted) == ("codeExecution", "codeExecution")
    with pytest.raises(Fault, match="not told"):
        whole(answer(candidate(result)))


def test_code_that_the_provider_ran_is_held_in_a_stream_and_its_result_follows() -> None:
    code, result = (
        {"executableCode": {"language": "PYTHON", "code": "1"}},
        {"codeExecutionResult": {"outcome": "OUTCOME_OK"}},
    )
    sent = [b"data: " + answer(candidate(part, finish=None)) + b"\n\n" for part in (code, result)]
    held, after, _ = stream([*sent, b"data: " + answer(candidate({"text": "1"})) + b"\n\n"])
    assert isinstance(held, HeldCall)
    assert [call.hosted for call in held.calls] == ["codeExecution"]
    assert after == TextFrame(sent[1])
    assert isinstance(stream(sent[1:])[-1], Broken)


CALL = {"functionCall": {"name": "rm", "args": {}}}
HIDDEN: dict[str, bytes] = {
    "another name": answer(candidate({"function_call": CALL["functionCall"]})),
    "another name beside": answer(candidate({"text": "x", "function_call": CALL["functionCall"]})),
    "two kinds": answer(candidate({"text": "x", **CALL})),
    "a kind that is new": answer(candidate({"robotCall": CALL["functionCall"]})),
    "a tool of the provider": answer(candidate({"toolCall": {"id": "1", "toolType": "GOOGLE_SEARCH_WEB", "args": {}}})),
    "in pieces": answer(candidate({"functionCall": {"name": "rm", "partialArgs": []}})),
    "to be continued": answer(candidate({"functionCall": {"name": "rm", "willContinue": True}})),
    "arguments under two names": answer(candidate({"functionCall": {"name": "rm", "args": {}, "Args": {}}})),
    "no name": answer(candidate({"functionCall": {"args": {}}})),
    "a name that is none": answer(candidate({"functionCall": {"name": ["rm"]}})),
    "an id that is none": answer(candidate({"functionCall": {"name": "rm", "id": 5}})),
    "arguments that are a text": answer(candidate({"functionCall": {"name": "rm", "args": "{}"}})),
    "other candidates": answer(candidate({"text": "x"}), Candidates=[candidate(CALL)]),
    "another content": answer({**candidate({"text": "x"}), "Content": {"parts": [CALL]}}),
    "deep in something new": answer(candidate({"text": "x"}), news={"list": [{"parts": [CALL]}]}),
    "in a new field of a candidate": answer(candidate({"text": "x"}, plan=CALL)),
    "a repeated key": answer(candidate({"text": "x"}, CALL)).replace(b'{"text": "x"}, ', b'], "parts": ['),
    "parts that are an object": answer({"content": {"parts": CALL}}),
    "a content that is a list": answer({"content": [CALL]}),
    "a number that is none": answer({"content": {"parts": [CALL]}, "index": "0"}),
    "candidates that are an object": b'{"candidates":{"0":{}}}',
}  # fmt: skip


@pytest.mark.parametrize("data", HIDDEN.values(), ids=HIDDEN.keys())
def test_a_call_that_could_be_overlooked_is_refused_whole_and_streamed(data: bytes) -> None:
    with pytest.raises(Fault) as fault:
        whole(data)
    assert fault.value.code == "upstream.broken"
    frames = stream([b"data: " + data + b"\r\n\r\n"])
    assert [type(frame) for frame in frames] == [Broken]
    assert b"rm" not in frames[0].data


@pytest.mark.parametrize(
    "data", [b"", b"<html>", b"[]", b"{}", b'{"candidates":null}', b'{"error":{"code":5}}', b'{"a":1,"a":2}']
)
def test_an_answer_that_is_none_of_the_wire_is_broken(data: bytes) -> None:
    with pytest.raises(Fault) as fault:
        whole(data)
    assert fault.value.code == "upstream.broken"


# streams


def said(text: str = "one two three", calls: tuple[Called, ...] = CALLS, thinking: str = "hm") -> Utterance:
    return Utterance("m", text, thinking, 0, calls, Said(5, 7, 2, 0, 1), 0, None, 0, 0, 0, None, "ab" * 20)


SAMPLE = list(gemini_shape.frames(said()))


def stream(parts: list[bytes]) -> list[Frame]:
    return read(GEMINI.stream_reader(hide_usage=False), parts)


@pytest.mark.parametrize("ends", LINE_ENDS.values(), ids=LINE_ENDS.keys())
def test_a_stream_passes_byte_for_byte_and_its_calls_are_held(ends: Any) -> None:
    data = ends(b"".join(SAMPLE).replace(b"\r\n", b"\n"))
    reader = GEMINI.stream_reader(hide_usage=False)
    frames = read(reader, [data])
    assert b"".join(frame.data for frame in frames) == data
    assert isinstance(frames[-1], End)
    assert frames[-1].data, "the frame that says why it ended waits for the end"
    assert [call for frame in frames if isinstance(frame, HeldCall) for call in frame.calls] == list(CALLED)
    assert not any(b"functionCall" in frame.data for frame in frames if not isinstance(frame, HeldCall))
    assert (reader.model, reader.usage) == ("m", Usage(5, 7, 2, 0, 1))


@given(cuts=st.lists(st.integers(0, 4000), max_size=12))
def test_any_pieces_say_the_same(cuts: list[int]) -> None:
    data = b"".join(SAMPLE)
    places = sorted({min(cut, len(data)) for cut in cuts} | {0, len(data)})
    assert stream([data[a:b] for a, b in zip(places, places[1:], strict=False)]) == stream([data])


@given(end=st.integers(0, 4000))
def test_a_stream_that_is_cut_anywhere_is_never_whole(end: int) -> None:
    data = b"".join(SAMPLE)
    frames = stream([data[: min(end, len(data) - 3)]])
    assert isinstance(frames[-1], Broken)
    assert not any(b"finishReason" in frame.data for frame in frames)


@given(
    frames=st.lists(
        st.one_of(
            st.lists(st.sampled_from(["bash", "read", ""]), max_size=3).map(
                lambda names: candidate(
                    *({"functionCall": {"name": n}} if n else {"text": "t"} for n in names), finish=None
                )
            ),
            st.sampled_from([candidate({"text": "t"}), candidate(CALL), candidate({"text": "t"}, index=1)]),
        ),
        max_size=6,
    )
)
def test_every_call_of_any_stream_is_held_in_its_place(frames: list[dict[str, Any]]) -> None:
    sent = [b"data: " + answer(each) + b"\n\n" for each in frames]
    got = stream(sent)
    names = [
        part["functionCall"]["name"] for each in frames for part in each["content"]["parts"] if "functionCall" in part
    ]
    assert [call.name for frame in got if isinstance(frame, HeldCall) for call in frame.calls] == names
    assert all(b"functionCall" not in frame.data for frame in got if not isinstance(frame, HeldCall))
    if isinstance(got[-1], End):
        assert b"".join(frame.data for frame in got) == b"".join(sent)


def test_a_call_in_the_last_frame_is_judged_and_the_stream_still_ends() -> None:
    frames = stream([b"data: " + answer(candidate({"text": "so"}, CALL)) + b"\r\n\r\n"])
    assert [type(frame) for frame in frames] == [HeldCall, End]


def test_a_stream_of_two_candidates_ends_with_both() -> None:
    first, second = (b"data: " + answer(candidate({"text": "x"}, index=index)) + b"\n\n" for index in (0, 1))
    begun = b"data: " + answer(candidate({"text": "x"}, index=1, finish=None)) + b"\n\n"
    assert isinstance(stream([begun, first])[-1], Broken)
    assert isinstance(stream([begun, first, second])[-1], End)


def test_a_reason_for_there_being_no_answer_is_a_whole_stream() -> None:
    assert stream([b'data: {"promptFeedback":{"blockReason":"SAFETY"}}\r\n\r\n'])[-1].data


def test_what_follows_the_end_is_told_before_it() -> None:
    usage = b'data: {"usageMetadata":{"promptTokenCount":5}}\n\n'
    frames = stream([*SAMPLE, usage])
    assert b"".join(frame.data for frame in frames) == b"".join(SAMPLE) + usage
    assert frames[-1] == End(usage)


def test_comments_are_left_out() -> None:
    assert stream([SAMPLE[0], b': {"candidates":[]}\n\n', *SAMPLE[1:]]) == stream(SAMPLE)


@pytest.mark.parametrize(
    "frame",
    [
        b'{"candidates":[]}\ndata: {"usageMetadata":{}}\n\n', b'data: {"usageMetadata":\ndata: {}}\n\n', b"data: {}\n\n",
        b'event: x\ndata: {"usageMetadata":{"a":1}}\n\n', b'data: {"usageMetadata":{}}\r: x\n\n', b"data: [DONE]\n\n",
        b'\xef\xbb\xbfdata: {"usageMetadata":{"a":1}}\n\n', b"data: {this is } no JSON\n\n", b"data: []\n\n",
        b'data: {"candidates":[{"index":0,"index":1}]}\n\n',
    ],
)  # fmt: skip
def test_what_packages_read_in_another_way_breaks_the_stream(frame: bytes) -> None:
    frames = stream([SAMPLE[0], frame, *SAMPLE[1:]])
    assert isinstance(frames[-1], Broken)
    assert frame not in b"".join(each.data for each in frames)
    assert isinstance(frames[0], TextFrame)


def test_an_error_of_the_provider_passes_alone() -> None:
    error = gemini_shape.error_frame("no")
    assert stream([SAMPLE[0], error])[-1] == Broken("The provider ended its stream with an error.", error)
    smuggled = b'data: {"error":{},"candidates":[' + json.dumps(candidate(CALL)).encode() + b"]}\n\n"
    assert stream([smuggled]) == [Broken("The provider ended its stream with an error.")]


@pytest.mark.parametrize("code", KINDS)
def test_every_fault_has_its_form(code: str) -> None:
    fault = Fault(code, "What happened.", cause="for the operator")
    body = GEMINI.refusal(fault, "call-1")
    told = json.loads(body)["error"]
    assert told["code"] == fault.status
    assert told["message"] == f"What happened. {fault.remedy}"
    assert told["details"][0]["reason"] == code
    assert GEMINI.is_error(body)
    assert b"for the operator" not in body
    frame = GEMINI.stream_error(fault, "call-1")
    assert stream([frame]) == [Broken("The provider ended its stream with an error.", frame)]


def test_what_is_no_error_of_the_wire_is_told_apart() -> None:
    for data in (b"", b"<html>", b"[]", b'{"error":"x"}', b'{"type":"error"}', b'[{"error":{}},1]'):
        assert not GEMINI.is_error(data)
    assert GEMINI.is_error(b'[{"error":{"code":429}}]')


# anything


_WORDS = st.sampled_from([
    "contents", "parts", "text", "functionCall", "function_call", "name", "args", "tools", "functionDeclarations", "fileData",
    "fileUri", "generationConfig", "maxOutputTokens", "systemInstruction", "cachedContent", "candidates", "content", "index",
    "finishReason", "promptFeedback", "usageMetadata", "generateContentRequest", "requests", "model", "toolConfig", "fileSearch",
    "fileSearchStoreNames", "executableCode", "codeExecutionResult", "functionCallingConfig", "error", "new",
])  # fmt: skip
_ANY = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 2) | st.sampled_from(["", "files/a", "https://x.example/", "m"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_WORDS, inner, max_size=5),
    max_leaves=25,
)
_OBJECT = st.dictionaries(_WORDS, _ANY, max_size=5)


@given(
    body=_OBJECT, given_contents=st.booleans(),
    asked=st.sampled_from([Endpoint.GENERATE, Endpoint.GEMINI_COUNT, Endpoint.GEMINI_EMBED, Endpoint.GEMINI_EMBED_ALL]),
)  # fmt: skip
def test_any_object_is_a_request_or_a_fault(body: dict[str, Any], given_contents: bool, asked: Endpoint) -> None:
    whole_body = json.dumps({**body, **ASKED} if given_contents else body).encode()
    with suppress(Fault):
        GEMINI.read_request(Route(asked, WireName.GEMINI, "m"), whole_body)
        assert isinstance(GEMINI.with_model(whole_body, "n"), bytes)


@given(body=_OBJECT)
def test_any_object_is_an_answer_or_broken_and_whole_and_streamed_agree(body: dict[str, Any]) -> None:
    data = json.dumps(body).encode()
    frames = stream([b"data: " + data + b"\n\n"])
    with suppress(Fault):
        calls = whole(data).calls
        if not isinstance(frames[-1], Broken):
            assert tuple(call for frame in frames if isinstance(frame, HeldCall) for call in frame.calls) == calls


FULL: dict[str, Any] = {
    "contents": [
        {"role": "user", "parts": [{"fileData": {"fileUri": "https://x.example/", "mimeType": "image/png"}}]},
        {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {"fileUri": "https://y.example/"}}}]},
        {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {"a_b": 1, "aB": 2}}}]},
        {"role": "user", "parts": [{"fileData": {"fileUri": "files/a"}, "mediaResolution": {"numTokens": 1}}]},
    ],
    "systemInstruction": {"parts": [{"inlineData": {"mimeType": "image/png", "data": "aGk="}}]},
    "tools": [
        {"functionDeclarations": [{"name": "f", "parametersJsonSchema": {}}], "googleSearch": {"timeRangeFilter": {}}},
        {"fileSearch": {"fileSearchStoreNames": ["fileSearchStores/a"]}},
        {"mcpServers": [{"streamableHttpTransport": {"url": "https://z.example/"}}], "urlContext": {}},
    ],
    "toolConfig": {"functionCallingConfig": {"allowedFunctionNames": ["f"]}},
    "generationConfig": {"maxOutputTokens": 9, "candidateCount": 2},
    "cachedContent": "cachedContents/a",
    "safetySettings": [],
}  # fmt: skip


def respelt(value: Any, choose: Any, *, free: bool = False) -> Any:
    """The same with some names written in Google's other way."""
    if isinstance(value, list):
        return [respelt(each, choose) for each in value]
    if not isinstance(value, dict) or free:
        return value
    return {
        ("".join(f"_{c.lower()}" if c.isupper() else c for c in name) if choose() else name): respelt(
            item, choose, free=name in ("args", "response")
        )
        for name, item in value.items()
    }


def decided(body: dict[str, Any]) -> tuple[Any, ...]:
    found = GEMINI.read_request(Route(Endpoint.GENERATE, WireName.GEMINI, "m"), json.dumps(body).encode())
    urls = sorted(fetch.url for fetch in found.fetches)
    return found.tools, found.hosted_tools, found.unknown_tools, urls, sorted(found.resources), found.max_output_tokens


@given(choices=st.lists(st.booleans(), min_size=60, max_size=60))
def test_what_is_decided_on_hangs_on_no_spelling(choices: list[bool]) -> None:
    picked = iter(choices)
    assert decided(respelt(FULL, lambda: next(picked))) == decided(FULL)
    assert decided(FULL) == (
        ("f",), tuple(map(HostedTool, ("googleSearch", "fileSearch", "mcpServers", "urlContext"))), (),
        ["https://x.example/", "https://z.example/"], ["cachedContents/a", "fileSearchStores/a", "files/a"], 9,
    )  # fmt: skip


def _objects_of(value: Any) -> list[dict[str, Any]]:
    """All objects whose names have two spellings."""
    if isinstance(value, list):
        return [found for each in value for found in _objects_of(each)]
    if not isinstance(value, dict):
        return []
    inner = [found for name, each in value.items() if name not in ("args", "response") for found in _objects_of(each)]
    return [value, *inner]


def test_no_field_anywhere_is_taken_in_two_spellings() -> None:
    tried = 0
    for place, each in enumerate(_objects_of(FULL)):
        for name in [name for name in each if name != name.lower()]:
            body = json.loads(json.dumps(FULL))
            _objects_of(body)[place][respelt({name: 0}, lambda: True).popitem()[0]] = None
            with pytest.raises(Fault, match="two spellings"):
                decided(body)
            tried += 1
    assert tried > 20
