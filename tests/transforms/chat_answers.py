"""Chat completions as far as the tests of the transforms need them: one choice, text and calls, official shapes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from bawn.terms.exchange import Endpoint, WireName
from bawn.terms.toolcall import ToolCall
from bawn.wire import wire
from bawn.wire.document import Message, OfferedTool, RequestDocument, Spot
from bawn.wire.document import Said as Who
from bawn.wire.editing import Answers, Outcome, Refused, Said, StreamEditor
from bawn.wire.sse import SseSplitter

USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
_FINISHED = {"stop": "stop", "length": "length", "tool_calls": "calls", "content_filter": "filter"}


def plain(text: str, *, calls: Sequence[dict[str, Any]] = (), finish: str = "stop") -> bytes:
    message: dict[str, Any] = {"role": "assistant", "content": text}
    if calls:
        message["tool_calls"] = list(calls)
    choice = {"index": 0, "message": message, "finish_reason": finish}
    return json.dumps(
        {"id": "c1", "object": "chat.completion", "created": 1, "model": "demo", "choices": [choice], "usage": USAGE}
    ).encode()


def chunk(delta: dict[str, Any] | None, finish: str | None = None, usage: object = None) -> bytes:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    said = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "demo", "choices": choices}
    if usage is not None:
        said["usage"] = usage
    return b"data: " + json.dumps(said).encode() + b"\n\n"


def stream(*texts: str, finish: str = "stop", usage: bool = False) -> bytes:
    parts = [chunk({"role": "assistant", "content": ""})]
    parts += [chunk({"content": text}) for text in texts]
    parts.append(chunk({}, finish))
    if usage:
        parts.append(chunk(None, usage=USAGE))
    return b"".join([*parts, b"data: [DONE]\n\n"])


def text_of(data: bytes) -> str:
    return "".join(
        choice["delta"].get("content") or "" for event in _events(data) for choice in event.get("choices", [])
    )


def _events(data: bytes) -> list[dict[str, Any]]:
    return [
        json.loads(frame.data)
        for frame in SseSplitter().feed(data)
        if frame.data is not None and frame.data.strip() != b"[DONE]"
    ]


class _Editor:
    def __init__(self, before: bytes) -> None:
        assert before.endswith(b"\n\n") or not before

    def passing(self, data: bytes) -> bytes:
        return data

    def calls(self, data: bytes, outcomes: Sequence[Outcome]) -> bytes:
        raise NotImplementedError

    def say(self, text: str) -> bytes:
        return chunk({"content": text})

    def end(self, data: bytes) -> bytes:
        return data

    def swallow(self, data: bytes) -> None:
        raise NotImplementedError

    def begin_again(self) -> None:
        raise NotImplementedError


class ChatAnswers:
    def editor(self, before: bytes) -> StreamEditor:
        return _Editor(before)

    def edited(self, endpoint: Endpoint, body: bytes, outcomes: Sequence[Outcome]) -> bytes:
        raise NotImplementedError

    def joined(self, first: bytes, second: bytes) -> bytes:
        one, two = json.loads(first), json.loads(second)
        one["choices"][0]["message"]["content"] += two["choices"][0]["message"]["content"]
        return json.dumps(one).encode()

    def folded(self, stream: bytes) -> bytes:
        events = _events(stream)
        finish = next(c["finish_reason"] for e in events for c in e["choices"] if c["finish_reason"])
        calls = [call for e in events for c in e["choices"] for call in c["delta"].get("tool_calls", ())]
        body = json.loads(plain(text_of(stream), calls=calls, finish=finish))
        if not any(event.get("usage") for event in events):
            del body["usage"]
        return json.dumps(body).encode()

    def streamed(self, body: bytes) -> bytes:
        choice = json.loads(body)["choices"][0]
        return stream(choice["message"]["content"], finish=choice["finish_reason"], usage=True)

    def continued(self, request: bytes, answer: bytes, refusals: Sequence[Refused]) -> bytes:
        raise NotImplementedError

    def answer_of(self, text: str, model: str, call: str, created: int) -> bytes:
        return plain(text)

    def said(self, endpoint: Endpoint, body: bytes) -> Said:
        choice = json.loads(body)["choices"][0]
        calls = wire(WireName.OPENAI).read_answer(endpoint, body).calls
        finished = _FINISHED.get(choice["finish_reason"], "other")
        return Said(choice["message"]["content"] or "", calls, finished)


def chat_answers(name: WireName) -> Answers:
    return ChatAnswers()


class ChatDocument:
    """A chat request, for tests."""

    def __init__(self, body: bytes) -> None:
        self._body = json.loads(body)
        self._given = body
        self.changed = False

    @property
    def model(self) -> str:
        return str(self._body.get("model", ""))

    @property
    def system(self) -> str:
        return "\n".join(m["content"] for m in self._body["messages"] if m["role"] == "system")

    @property
    def messages(self) -> list[Message]:
        return [
            Message(Who(message["role"]), (self._spot(at, message),), self._calls(message))
            for at, message in enumerate(self._body["messages"])
        ]

    @property
    def spots(self) -> list[Spot]:
        return [spot for message in self.messages for spot in message.spots]

    @property
    def tools(self) -> list[OfferedTool]:
        return []

    def _spot(self, at: int, message: dict[str, Any]) -> Spot:
        return Spot(at, at, Who(message["role"]), message.get("content") or "", message.get("tool_call_id", ""))

    def _calls(self, message: dict[str, Any]) -> tuple[ToolCall, ...]:
        return tuple(
            ToolCall(call["id"], call["function"]["name"], call["function"]["arguments"])
            for call in message.get("tool_calls", ())
        )

    def set_model(self, model: str) -> None:
        self._body["model"], self.changed = model, True

    def set_text(self, spot: Spot, text: str) -> None:
        self._body["messages"][spot.message]["content"], self.changed = text, True

    def add_system(self, text: str, *, first: bool = False) -> None:
        raise NotImplementedError

    def add_message(self, said: Who, text: str, at: int | None = None) -> None:
        raise NotImplementedError

    def without_tool(self, name: str) -> None:
        raise NotImplementedError

    def body(self) -> bytes:
        return json.dumps(self._body).encode() if self.changed else self._given


def chat_document(exchange: Any) -> RequestDocument | None:
    return ChatDocument(exchange.body) if exchange.endpoint is Endpoint.CHAT_COMPLETIONS else None
