"""Whatever object comes, it is a request or a fault, and no spelling changes what is decided on."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.wire.gemini.said import ASKED, GEMINI, stream, whole

from bawn.errors import Fault
from bawn.terms.exchange import Endpoint, HostedTool, WireName
from bawn.terms.frames import Broken, HeldCall
from bawn.wire import Route

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
