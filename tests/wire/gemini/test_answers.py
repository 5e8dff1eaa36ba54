"""Gemini's whole answers: calls, usage, and what is no answer."""

from __future__ import annotations

import pytest
from google.genai import types
from tests.wire.gemini.said import CALL, answer, candidate, stream, whole

from bawn.errors import Fault
from bawn.terms.exchange import Endpoint, Usage
from bawn.terms.frames import Broken, HeldCall, TextFrame
from bawn.terms.toolcall import ToolCall
from bawn.wire.interface import Answer


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
