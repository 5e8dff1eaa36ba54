"""The official package speaks and listens through a door as it does without one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import openai
import pytest
from tests.gateway.conftest import UUID, Start, Yard

from bawn.gateway.settings import Limits
from bawn.inference.sound import _wav

SPOKEN = _wav(b"a wall with one door")


@pytest.fixture
async def through(yard: Yard) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{yard.url}/v1", api_key="container-dev", max_retries=0) as client:
        yield client


@pytest.fixture
async def directly(scripted: Path) -> AsyncIterator[openai.AsyncOpenAI]:
    address = (scripted / "address").read_text()
    async with openai.AsyncOpenAI(base_url=f"http://{address}/v1", api_key="none", max_retries=0) as client:
        yield client


@pytest.mark.parametrize("form", ["mp3", "wav", "pcm"])
async def test_speech_is_the_same_through_a_door(
    yard: Yard, through: openai.AsyncOpenAI, directly: openai.AsyncOpenAI, form: Any
) -> None:
    said: dict[str, Any] = {"voice": "alloy", "input": "a wall " * 2000, "response_format": form, "speed": 1.5}
    here = await through.audio.speech.create(model="scripted/echo", **said)
    there = await directly.audio.speech.create(model="echo", **said)
    assert here.content == there.content
    assert here.response.headers["content-type"] == there.response.headers["content-type"]
    settled = await yard.settled()
    assert (settled.endpoint, settled.outcome, settled.model) == ("audio/speech", "ok", "echo")


@pytest.mark.parametrize("form", ["json", "verbose_json", "text", "srt", "vtt"])
async def test_a_transcription_is_the_same_through_a_door(
    yard: Yard, through: openai.AsyncOpenAI, directly: openai.AsyncOpenAI, form: Any
) -> None:
    asked: dict[str, Any] = {
        "response_format": form, "prompt": "https://x.example is only read", "language": "en", "temperature": 0.5,
        "timestamp_granularities": ["word", "segment"], "chunking_strategy": {"type": "server_vad"},
    }  # fmt: skip
    here = await through.audio.transcriptions.create(model="scripted/echo", file=("a.wav", SPOKEN), **asked)
    there = await directly.audio.transcriptions.create(model="echo", file=("a.wav", SPOKEN), **asked)
    assert here == there
    assert "a wall with one door" in (here if isinstance(here, str) else here.text)
    settled = await yard.settled()
    assert (settled.endpoint, settled.outcome, settled.model) == ("audio/transcriptions", "ok", "echo")


async def test_a_large_file_goes_through_and_one_over_the_limit_does_not(start: Start) -> None:
    yard = await start(limits=Limits(body_bytes=3 * 2**20))
    async with openai.AsyncOpenAI(base_url=f"{yard.url}/v1", api_key="container-dev", max_retries=0) as client:
        heard = await client.audio.transcriptions.create(model="scripted/echo", file=("a.wav", b"\xff\r\n--" * 400_000))
        assert heard.text == "2000000 bytes of sound"
        with pytest.raises(openai.APIError):
            await client.audio.transcriptions.create(model="scripted/echo", file=("a.wav", b"\xff" * 4 * 2**20))
    assert yard.books.refusals[-1].code == "http.body_too_large"


async def test_no_model_means_the_default_one(yard: Yard) -> None:
    async with yard.client() as client:
        answer = await client.post(
            "/v1/audio/transcriptions", files={"file": ("a.wav", SPOKEN)}, data={"language": "en"}
        )
    assert answer.json()["text"] == "a wall with one door"


@pytest.mark.parametrize(
    ("data", "status", "code"),
    [
        ({"stream": "true"}, 400, "request.invalid"),
        ({"url": "https://x.example/a.wav"}, 403, "request.unknown_tool_refused"),
        ({"Model": "scripted/other"}, 403, "request.unknown_tool_refused"),
        ({"webhook": "x"}, 403, "request.unknown_tool_refused"),
        ({"known_speaker_references[]": "https://x.example/a.wav"}, 403, "request.fetch_refused"),
        ({"model": "scripted/\r\n"}, 400, "request.invalid"),
        ({"model": "elsewhere/whisper"}, 404, "request.unknown_model"),
        ({"language": "\udcff"}, 400, "request.invalid"),
    ],
)
async def test_a_form_is_read_as_strictly_as_any_body(yard: Yard, data: dict[str, str], status: int, code: str) -> None:
    whole = {"model": "scripted/echo", **data}
    lines = [
        f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode("utf-8", "surrogateescape")
        for name, value in whole.items()
    ]
    body = b"".join(lines) + b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nx\r\n--b--\r\n'
    async with yard.client() as client:
        answer = await client.post(
            "/v1/audio/transcriptions", content=body, headers={"content-type": "multipart/form-data; boundary=b"}
        )
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert yard.books.settlements == []


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"input": 5}, "request.invalid"),
        ({"stream_format": "sse"}, "request.invalid"),
        ({"voice": "https://x.example/voice.wav"}, "request.fetch_refused"),
        ({"voice": {"id": "voice_of_somebody"}}, "resource.not_found"),
        ({"reference": "x"}, "request.unknown_tool_refused"),
    ],
)
async def test_speech_is_asked_for_in_what_is_known(yard: Yard, more: dict[str, Any], code: str) -> None:
    async with yard.client() as client:
        answer = await client.post(
            "/v1/audio/speech", json={"model": "scripted/echo", "input": "hello", "voice": "alloy", **more}
        )
    assert answer.json()["error"]["code"] == code
    assert yard.books.settlements == []


async def test_a_voice_that_a_container_made_is_its_own(yard: Yard, through: openai.AsyncOpenAI) -> None:
    yard.makers.made["scripted", "voice_1"] = UUID
    spoken = await through.audio.speech.create(model="scripted/echo", input="hello", voice={"id": "voice_1"})
    assert b"hello" in spoken.content


@asynccontextmanager
async def answering(kind: bytes, body: bytes) -> AsyncIterator[str]:
    """The address of a provider that answers every request with the same bytes."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\ncontent-length: %d\r\n\r\n%b" % (kind, len(body), body))
        await reader.read()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"


@pytest.mark.parametrize(
    ("path", "kind", "body", "passes"),
    [
        ("speech", b"audio/mpeg", b"sound", True),
        ("speech", b"audio/x-wav; rate=8000", b"sound", True),
        ("speech", b"audio/mpeg", b"", False),
        ("speech", b"text/html", b"<html>", False),
        ("speech", b"application/json", b"{}", False),
        ("speech", b"video/mp4", b"x", False),
        ("transcriptions", b"text/plain", b"heard", True),
        ("transcriptions", b"text/vtt", b"WEBVTT", True),
        ("transcriptions", b"application/json", b'{"text":"heard"}', True),
        ("transcriptions", b"application/json", b'{"error":"x"}', False),
        ("transcriptions", b"text/plain", b"\xff", False),
        ("transcriptions", b"text/html", b"<html>", False),
        ("transcriptions", b"audio/mpeg", b"x", False),
    ],
)
async def test_only_what_was_asked_for_is_an_answer(
    start: Start, path: str, kind: bytes, body: bytes, passes: bool
) -> None:
    async with answering(kind, body) as address:
        yard = await start(provider=address)
        async with yard.client() as client:
            answer = await client.post(f"/v1/audio/{path}", **ASKED[path])
    assert (answer.status_code == 200) is passes
    if passes:
        assert answer.content == body
    else:
        assert answer.json()["error"]["code"] == "upstream.broken"


ASKED: dict[str, Any] = {
    "speech": {"json": {"model": "scripted/echo", "input": "hello", "voice": "alloy"}},
    "transcriptions": {"files": {"file": ("a.wav", SPOKEN)}, "data": {"model": "scripted/echo"}},
}
