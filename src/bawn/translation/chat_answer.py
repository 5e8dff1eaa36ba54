"""Answers of chat completions, whole and streamed, to and from a reply."""

from __future__ import annotations

from typing import Any

import msgspec

from bawn.terms.exchange import Usage
from bawn.translation.chat_request import call_written
from bawn.translation.neutral import (
    Called,
    NotTranslatable,
    Opened,
    Over,
    Reply,
    Said,
    Stop,
    StreamEvent,
    Text,
    Thinking,
    Thought,
    Tool,
    ToolUse,
    fitting_id,
    free_text,
    named,
)  # fmt: skip
from bawn.translation.sse_events import SseEvents
from bawn.wire.holding import Unsound
from bawn.wire.openai_calls import Piece, pieces
from bawn.wire.usage import openai_usage

_STOPS = {
    # The last of each line are words of servers that speak this wire.
    "stop": Stop.END,
    "eos": Stop.END,
    "eos_token": Stop.END,
    "end_turn": Stop.END,
    "stop_sequence": Stop.SEQUENCE,
    "max_tokens": Stop.LENGTH,
    "tool_use": Stop.CALLS, "length": Stop.LENGTH, "tool_calls": Stop.CALLS, "function_call": Stop.CALLS,
    "content_filter": Stop.FILTERED,
}  # fmt: skip
_REASONS = {
    Stop.END: "stop", Stop.LENGTH: "length", Stop.CALLS: "tool_calls", Stop.SEQUENCE: "stop",
    Stop.FILTERED: "content_filter",
}  # fmt: skip


def read_answer(read: dict[str, Any]) -> Reply:
    """Raises Unsound, and NotTranslatable when there is more in it than one text and calls."""
    choices = read.get("choices")
    if not isinstance(choices, list) or len(choices) != 1 or not isinstance(choices[0], dict):
        raise Unsound("an answer has not one choice")
    message = choices[0].get("message")
    if not isinstance(message, dict):
        raise Unsound("a choice has no message")
    parts: list[Text | Thinking | ToolUse] = []
    if thought := _thought(message):
        parts.append(Thinking(thought))
    for name in ("content", "refusal"):
        text = message.get(name)
        if text is not None and not isinstance(text, str):
            raise NotTranslatable("a content that is not a text")
        if text:
            parts.append(Text(text))
    _only_text(message)
    parts += [_use(piece, str(number)) for number, piece in enumerate(pieces(message))]
    return Reply(str(read.get("model", "")), tuple(parts), _stop(choices[0], parts), openai_usage(read.get("usage")))


def _only_text(message: dict[str, Any]) -> None:
    for name in ("audio", "images"):
        if message.get(name):
            raise NotTranslatable(name)


def _thought(message: dict[str, Any]) -> str:
    thought = message.get("reasoning_content") or message.get("reasoning")
    return thought if isinstance(thought, str) else ""


def _use(piece: Piece, number: str) -> ToolUse:
    return ToolUse(fitting_id(piece.id or f"call_{number}_{piece.name}"), piece.name, piece.arguments or "{}")


def _stop(choice: dict[str, Any], parts: list[Text | Thinking | ToolUse]) -> Stop:
    # Some servers say `stop` although they call.
    called = any(isinstance(part, ToolUse) for part in parts)
    stop = _reason(choice)
    return Stop.CALLS if called and stop is Stop.END else stop


def _reason(choice: dict[str, Any]) -> Stop:
    reason = choice.get("finish_reason")
    if not isinstance(reason, str) or reason not in _STOPS:
        raise Unsound(f"it ended by {named(reason) if reason else 'no reason'}")
    return _STOPS[reason]


class ChatEvents(SseEvents):
    """A streamed chat completion as events; a call is told when everything of it is there."""

    def __init__(self) -> None:
        super().__init__()
        self._calls: dict[int, tuple[list[str], list[str], list[str]]] = {}
        """Pieces of id, name and arguments, by the number of the call."""
        self._stop: Stop | None = None
        self._usage: Usage | None = None
        self._opened = False

    def _left(self) -> list[StreamEvent]:
        # `[DONE]` is left out by some servers, when the choice has said that it is finished.
        return self._end() if self._stop is not None else super()._left()

    def _data(self, data: bytes) -> list[StreamEvent]:
        return self._end() if data.strip() == b"[DONE]" else super()._data(data)

    def _event(self, chunk: dict[str, Any]) -> list[StreamEvent]:
        if chunk.get("error") is not None or not isinstance(chunk.get("choices"), list):
            raise Unsound("it ended with an error")
        out: list[StreamEvent] = []
        self._usage = openai_usage(chunk.get("usage")) or self._usage
        if not self._opened:
            self._opened = True
            out.append(Opened(str(chunk.get("model", ""))))
        for choice in chunk["choices"]:
            if not isinstance(choice, dict) or choice.get("index", 0) != 0:
                raise Unsound("there is more than one choice")
            delta = choice.get("delta")
            if isinstance(delta, dict):
                out += self._delta(delta)
            if choice.get("finish_reason") is not None:
                self._stop = _reason(choice)
        return out

    def _delta(self, delta: dict[str, Any]) -> list[StreamEvent]:
        out: list[StreamEvent] = []
        _only_text(delta)
        if thought := _thought(delta):
            out.append(Thought(thought))
        for name in ("content", "refusal"):
            text = delta.get(name)
            if text is not None and not isinstance(text, str):
                raise NotTranslatable("a content that is not a text")
            if text:
                out.append(Said(text))
        for piece in pieces(delta, streamed=True):
            ids, names, arguments = self._calls.setdefault(piece.index, ([], [], []))
            ids.append(piece.id)
            names.append(piece.name)
            arguments.append(piece.arguments)
            self._hold(len(piece.id) + len(piece.name) + len(piece.arguments))
        return out

    def _end(self) -> list[StreamEvent]:
        self._over = True
        out: list[StreamEvent] = []
        for index, (ids, names, arguments) in sorted(self._calls.items()):
            call_id, name = next(filter(None, ids), ""), "".join(names)
            if not name:
                raise Unsound("a tool call has no name")
            out.append(Called(_use(Piece(index, call_id, name, "".join(arguments)), str(index))))
        if self._stop is None:
            raise Unsound("it ended by no reason")
        return [*out, Over(Stop.CALLS if out and self._stop is Stop.END else self._stop, self._usage)]


# out


def write_answer(reply: Reply, call_id: str, now: int, tools: tuple[Tool, ...]) -> bytes:
    text = "".join(part.text for part in reply.parts if isinstance(part, Text))
    thought = "".join(part.text for part in reply.parts if isinstance(part, Thinking))
    calls = [client_call(part, tools) for part in reply.parts if isinstance(part, ToolUse)]
    message: dict[str, Any] = {"role": "assistant", "content": text or None, "refusal": None}
    if not text and not calls:
        message["content"] = ""
    if thought:
        message["reasoning_content"] = thought
    if calls:
        message["tool_calls"] = calls
    body = {
        "id": f"chatcmpl-{call_id}",
        "object": "chat.completion",
        "created": now,
        "model": reply.model,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": _REASONS[reply.stop]}],
    }
    if reply.usage is not None:
        body["usage"] = _usage(reply.usage)
    return msgspec.json.encode(body)


def client_call(use: ToolUse, tools: tuple[Tool, ...]) -> dict[str, Any]:
    """A call as the client offered the tool: one that takes a text gets its text."""
    if any(tool.free and tool.name == use.name for tool in tools):
        return {"id": use.id, "type": "custom", "custom": {"name": use.name, "input": free_text(use.arguments)}}
    return call_written(use)


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning_tokens,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


class ChatWriter:
    """Events as a streamed chat completion."""

    def __init__(self, call_id: str, now: int, tools: tuple[Tool, ...], *, include_usage: bool) -> None:
        self._frame: dict[str, Any] = {
            "id": f"chatcmpl-{call_id}",
            "object": "chat.completion.chunk",
            "created": now,
            "model": "",
        }
        self._tools = tools
        self._include_usage = include_usage
        self._calls = 0

    def write(self, event: StreamEvent) -> bytes:
        match event:
            case Opened(model=model):
                self._frame["model"] = model
                return self._delta({"role": "assistant", "content": "", "refusal": None})
            case Said(text=text):
                return self._delta({"content": text})
            case Thought(text=text):
                return self._delta({"reasoning_content": text}) if text else b""
            case Called(call=call):
                number, self._calls = self._calls, self._calls + 1
                return self._delta({"tool_calls": [{"index": number, **client_call(call, self._tools)}]})
            case Over(stop=stop, usage=usage):
                out = self._delta({}, _REASONS[stop])
                if self._include_usage:
                    out += self._event({**self._frame, "choices": [], "usage": _usage(usage or Usage())})
                return out + b"data: [DONE]\n\n"

    def _delta(self, delta: dict[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        frame: dict[str, Any] = {**self._frame, "choices": [choice]}
        if self._include_usage:
            frame["usage"] = None
        return self._event(frame)

    @staticmethod
    def _event(frame: dict[str, Any]) -> bytes:
        return b"data: " + msgspec.json.encode(frame) + b"\n\n"
