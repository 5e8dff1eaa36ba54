"""What the official packages make of an answer, by their own readers of streams; nothing leaves the process."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import anthropic
import httpx2
import openai
from anthropic.types import Message, RawMessageStreamEvent
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

_said = {"answer": b""}
_MESSAGE_EVENT: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)
_RESPONSE_EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)


def events(stream: bytes) -> list[dict[str, Any]]:
    """The events of a stream, in whatever form its lines end."""
    frames = stream.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n\n")
    told = [frame.partition(b"data: ")[2] for frame in frames]
    return [json.loads(each) for each in told if each and each.strip() != b"[DONE]"]


def message(stream: bytes) -> dict[str, Any]:
    """A streamed message as `anthropic` puts it together; each event has to be of its type."""
    for event in events(stream):
        if event["type"] != "ping":  # which that package passes over before it looks
            _MESSAGE_EVENT.validate_python(event)
    _said["answer"] = stream
    asked: Any = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
    with _anthropic().messages.stream(**asked) as read:
        put_together = read.get_final_message()
    whole = Message.model_validate(put_together.to_dict(), strict=True)
    return told(whole)


def plain_message(body: bytes) -> dict[str, Any]:
    return told(Message.model_validate_json(body, strict=True))


def response(stream: bytes) -> dict[str, Any]:
    """A streamed response as `openai` puts it together; each event has to be of its type."""
    for event in events(stream):
        _RESPONSE_EVENT.validate_python(event)
    _said["answer"] = stream
    with _openai().responses.stream(model="m", input="hi") as read:
        for each in read:
            if each.type == "response.completed" or each.type == "response.incomplete":
                return plain_response(json.dumps(each.response.to_dict()).encode())
    raise AssertionError("the stream has no end")


def plain_response(body: bytes) -> dict[str, Any]:
    return told(Response.model_validate_json(body, strict=True))


def told(read: Any) -> dict[str, Any]:
    """What a model of theirs holds, without what is not told."""
    found: dict[str, Any] = read.model_dump(mode="json", exclude_none=True, by_alias=True)
    return found


def _answer(request: httpx2.Request) -> httpx2.Response:
    return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=_said["answer"])


@cache
def _anthropic() -> anthropic.Anthropic:
    http = httpx2.Client(transport=httpx2.MockTransport(_answer))
    return anthropic.Anthropic(api_key="k", base_url="http://a.invalid", max_retries=0, http_client=http)


@cache
def _openai() -> openai.OpenAI:
    http = httpx2.Client(transport=httpx2.MockTransport(_answer))
    return openai.OpenAI(api_key="k", base_url="http://a.invalid", max_retries=0, http_client=http)
