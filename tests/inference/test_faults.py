"""Every kind of trouble, byte for byte, as a bare socket sees it."""

from __future__ import annotations

import asyncio
import gzip
import json
from typing import Any

import httptools
import pytest

from bawn.inference.faults import PERFORMANCES
from bawn.inference.script import TroubleKind, built_in


async def asked(address: str, model: str, *, stream: bool = True, path: str = "/v1/chat/completions") -> bytes:
    """All that comes until the peer closes, or until nothing came for half a second."""
    host, _, port = address.partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    body = json.dumps(
        {"model": model, "stream": stream, "input": "hi", "messages": [{"role": "user", "content": "hi"}]}
    ).encode()
    head = f"POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer sk-planted\r\ncontent-length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    got = b""
    try:
        while data := await asyncio.wait_for(reader.read(1 << 20), 0.5):
            got += data
            if len(got) > 4 << 20:
                break
    except TimeoutError:
        got += b"<silence>"
    except ConnectionResetError:
        got += b"<reset>"
    writer.transport.abort()
    return got


def body_of(answer: bytes) -> bytes:
    return answer.partition(b"\r\n\r\n")[2].removesuffix(b"<silence>")


def test_every_kind_has_its_performance_and_its_model() -> None:
    assert set(PERFORMANCES) == set(TroubleKind)
    models = {scene.when.model for scene in built_in().scenes}
    assert {f"fault-{kind}" for kind in TroubleKind if kind is not TroubleKind.STATUS} <= models


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/v1/responses"])
async def test_every_kind_can_be_tried_on_every_sort_of_call(provider: Any, path: str, stream: bool) -> None:
    kinds = [kind for kind in TroubleKind if kind is not TroubleKind.STATUS]
    answers = await asyncio.gather(
        *(asked(provider.address, f"fault-{kind}", stream=stream, path=path) for kind in kinds)
    )
    for kind, answer in zip(kinds, answers, strict=True):
        silent = kind in {TroubleKind.STALL_BEFORE_HEADERS, TroubleKind.CLOSE_BEFORE_HEADERS}
        assert silent or answer.startswith(b"HTTP/1.1 "), kind


@pytest.mark.parametrize(
    ("model", "starts", "ends"),
    [
        ("fault-close-before-headers", b"", b""),
        ("fault-stall-before-headers", b"", b"<silence>"),
        ("fault-close-after-headers", b"HTTP/1.1 200 OK", b"\r\n\r\n"),
        ("fault-stall-after-headers", b"HTTP/1.1 200 OK", b"\r\n\r\n<silence>"),
        ("fault-close-mid-stream", b"HTTP/1.1 200 OK", b"}\n\n\r\n"),
        ("fault-stall-mid-stream", b"HTTP/1.1 200 OK", b"}\n\n\r\n<silence>"),
        ("fault-reset-mid-stream", b"HTTP/1.1 200 OK", b"<reset>"),
        ("fault-truncated", b"HTTP/1.1 200 OK", b"}\n\n\r\n0\r\n\r\n<silence>"),
        ("fault-bad-status-line", b"HTTP/1.1 two-hundred", b"<silence>"),
        ("fault-bad-chunking", b"HTTP/1.1 200 OK", b""),
        ("fault-redirect", b"HTTP/1.1 307 ", b"<silence>"),
        ("fault-529", b"HTTP/1.1 529 Overloaded", b"<silence>"),
    ],
)
async def test_the_connection_ends_as_the_trouble_says(provider: Any, model: str, starts: bytes, ends: bytes) -> None:
    answer = await asked(provider.address, model)
    assert answer.startswith(starts)
    assert answer.endswith(ends)


async def test_a_truncated_stream_never_says_done(provider: Any) -> None:
    for model in ("fault-truncated", "fault-tool-cut", "fault-close-mid-stream"):
        answer = await asked(provider.address, model)
        assert b"data:" in answer
        assert b"[DONE]" not in answer
        assert b'"finish_reason":"' not in answer


async def test_a_cut_tool_call_has_begun_and_is_not_whole(provider: Any) -> None:
    answer = await asked(provider.address, "fault-tool-cut")
    assert b'"name":"bash"' in answer
    frames = [json.loads(line[6:]) for line in answer.split(b"\n") if line.startswith(b"data: ")]
    calls = [call for frame in frames for call in frame["choices"][0]["delta"].get("tool_calls", ())]
    arguments = "".join(call["function"]["arguments"] for call in calls)
    assert arguments.startswith("{")
    assert not arguments.endswith("}")


async def test_bad_chunking_is_refused_by_a_real_parser(provider: Any) -> None:
    answer = await asked(provider.address, "fault-bad-chunking")
    with pytest.raises(httptools.HttpParserError):
        httptools.HttpResponseParser(object()).feed_data(answer)


@pytest.mark.parametrize(("model", "difference"), [("too-long", 100), ("too-short", -10)])
async def test_a_wrong_content_length_is_wrong_by_the_known_number(provider: Any, model: str, difference: int) -> None:
    answer = await asked(provider.address, f"fault-content-length-{model}", stream=False)
    said = int(answer.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    assert said - len(body_of(answer)) == difference


async def test_a_gzip_answer_unpacks_to_the_right_one(provider: Any) -> None:
    answer = await asked(provider.address, "fault-gzip", stream=False)
    assert b"content-encoding: gzip" in answer
    assert json.loads(gzip.decompress(body_of(answer)))["object"] == "chat.completion"


async def test_the_echo_holds_the_key_that_came(provider: Any) -> None:
    answer = await asked(provider.address, "fault-echo-authorization")
    assert b"Incorrect API key provided: sk-planted." in answer
    assert b"x-echo: sk-planted" in answer


async def test_an_endless_stream_waits_for_a_slow_reader(provider: Any) -> None:
    host, _, port = provider.address.partition(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=4096)
    body = b'{"model":"fault-endless","stream":true,"messages":[{"role":"user","content":"hi"}]}'
    writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
    await reader.read(1000)
    # While nobody reads, the provider still answers others at once.
    answer = await asyncio.wait_for(asked(provider.address, "fault-429"), 2)
    assert b"retry-after: 7" in answer
    writer.transport.abort()


async def test_two_documents_and_duplicate_keys_are_really_there(provider: Any) -> None:
    two = body_of(await asked(provider.address, "fault-two-documents", stream=False))
    first, end = json.JSONDecoder().raw_decode(two.decode())
    assert json.loads(two.decode()[end:]) == first
    assert b'"delta":{"content":"seen"},"delta":{"content":"hidden"}' in await asked(
        provider.address, "fault-duplicate-keys"
    )


async def test_a_huge_frame_is_as_huge_as_said(provider: Any) -> None:
    assert b"x" * 1_000_000 in await asked(provider.address, "fault-huge-frame")
