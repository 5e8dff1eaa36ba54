"""What the tests of this wire say to it."""

from __future__ import annotations

import json
from typing import Any

from tests.wire.streams import read

from bawn.inference.utterance import Called, Utterance
from bawn.inference.utterance import Usage as Said
from bawn.terms.exchange import Endpoint, WireName
from bawn.terms.frames import Frame
from bawn.wire import wire
from bawn.wire.interface import Answer

GEMINI = wire(WireName.GEMINI)


ASKED: dict[str, Any] = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}


CALLS = (Called("call_1", "bash", '{"command":"ls"}'), Called("call_2", "read", "{}"))


def part(**part: Any) -> dict[str, Any]:
    return {"contents": [{"role": "user", "parts": [part]}]}


def candidate(*parts: dict[str, Any], finish: str | None = "STOP", index: int = 0, **more: Any) -> dict[str, Any]:
    said: dict[str, Any] = {"content": {"role": "model", "parts": list(parts)}, "index": index, **more}
    return said | ({"finishReason": finish} if finish else {})


def answer(*candidates: dict[str, Any], **more: Any) -> bytes:
    return json.dumps({"candidates": candidates, "modelVersion": "m-1", **more}).encode()


def whole(data: bytes, asked: Endpoint = Endpoint.GENERATE) -> Answer:
    return GEMINI.read_answer(asked, data)


CALL = {"functionCall": {"name": "rm", "args": {}}}


def said(text: str = "one two three", calls: tuple[Called, ...] = CALLS, thinking: str = "hm") -> Utterance:
    return Utterance("m", text, thinking, 0, calls, Said(5, 7, 2, 0, 1), 0, None, 0, 0, 0, None, "ab" * 20)


def stream(parts: list[bytes]) -> list[Frame]:
    return read(GEMINI.stream_reader(hide_usage=False), parts)
