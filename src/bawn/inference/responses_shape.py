"""OpenAI's responses: requests read, answers written, as the official packages and their documentation have them."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

from bawn.inference.conversation import Conversation, Turn, Wire
from bawn.inference.utterance import TOOL_PIECE, Called, Utterance, cut

_INCOMPLETE = ("max_output_tokens", "content_filter")
"""The stop reasons of this wire; any other way to end is to be complete."""
_SAID_AGAIN = (
    "background", "conversation", "instructions", "max_output_tokens", "max_tool_calls", "metadata",
    "parallel_tool_calls", "previous_response_id", "prompt_cache_key", "reasoning", "safety_identifier", "service_tier",
    "store", "temperature", "text", "tool_choice", "tools", "top_logprobs", "top_p", "truncation", "user",
)  # fmt: skip
"""Fields of a request that its answer says again."""


def heard(body: dict[str, Any], seed: str) -> Conversation:
    """The conversation in a request; a KeyError, TypeError or AttributeError when it is none."""
    system = [body["instructions"]] if body.get("instructions") else []
    turns: list[Turn] = []
    for turn in _turns(items_of(body)):
        if turn.role in {"system", "developer"}:
            system.append(turn.text)
        elif turns and turn.role == "assistant" == turns[-1].role:
            # What the model said in one answer are several items, and one turn.
            turns[-1] = Turn("assistant", "\n".join(filter(None, (turns[-1].text, turn.text))))
        else:
            turns.append(turn)
    return Conversation(
        wire=Wire.RESPONSES,
        model=str(body["model"]),
        stream=body.get("stream") is True,
        include_usage=True,
        system="\n".join(system),
        turns=tuple(turns),
        offered=tuple(_offered(body.get("tools") or ())),
        seed=seed,
        asked=body,
    )


def items_of(body: dict[str, Any]) -> list[dict[str, Any]]:
    """The input as a list of items, in whichever of its forms it came."""
    given = body["input"]
    if isinstance(given, str):
        return [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": given}]}]
    return list(given)


def _turns(items: list[dict[str, Any]]) -> Iterator[Turn]:
    names: dict[str, str] = {}
    for item in items:
        kind = item.get("type", "message")
        if kind in {"function_call", "custom_tool_call"}:
            names[item["call_id"]] = item["name"]
            yield Turn("assistant", "")
        elif kind in {"function_call_output", "custom_tool_call_output"}:
            yield Turn("user", "", ((names.get(item["call_id"], ""), _text(item["output"])),))
        elif kind == "reasoning":
            yield Turn("assistant", "")
        elif kind == "message":
            yield Turn(item["role"], _text(item["content"]))


def _offered(tools: Any) -> Iterator[str]:
    for tool in tools:
        if tool["type"] == "namespace":
            yield from _offered(tool["tools"])
        elif "name" in tool:
            yield tool["name"]


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(part["text"] for part in content if "text" in part)


def whole(utterance: Utterance, conversation: Conversation, now: int) -> dict[str, Any]:
    """The response as it is in the end, which is also what is kept of it."""
    stopped = utterance.stop if utterance.stop in _INCOMPLETE else None
    items = [item for item, _ in _items(utterance, conversation)]
    given = _response(utterance, conversation, now, "incomplete" if stopped else "completed", items)
    return given | {"usage": _usage(utterance), "incomplete_details": {"reason": stopped} if stopped else None}


def queued(response: dict[str, Any]) -> dict[str, Any]:
    """A response as it is while it is made in the background."""
    return response | {"status": "queued", "output": [], "usage": None, "incomplete_details": None}


def frames(utterance: Utterance, conversation: Conversation, now: int) -> Iterator[bytes]:
    """The stream as typed events, each with its number."""
    for number, event in enumerate(_events(utterance, conversation, now)):
        yield b"event: %b\ndata: %b\n\n" % (event["type"].encode(), as_json({**event, "sequence_number": number}))


def _events(utterance: Utterance, conversation: Conversation, now: int) -> Iterator[dict[str, Any]]:
    begun = _response(utterance, conversation, now, "in_progress", [])
    yield {"type": "response.created", "response": begun}
    yield {"type": "response.in_progress", "response": begun}
    for index, (item, started) in enumerate(_items(utterance, conversation)):
        yield {"type": "response.output_item.added", "output_index": index, "item": started}
        yield from _within(utterance, item, {"item_id": item.get("id", ""), "output_index": index})
        yield {"type": "response.output_item.done", "output_index": index, "item": item}
    ended = whole(utterance, conversation, now)
    yield {"type": f"response.{ended['status']}", "response": ended}


def _within(utterance: Utterance, item: dict[str, Any], where: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The events between the beginning of an item and its end."""
    match item["type"]:
        case "message":
            yield from _said(utterance, where, item["content"][0])
        case "reasoning":
            yield from _thought(utterance, where)
        case "function_call":
            for piece in cut(item["arguments"], utterance.chunk or TOOL_PIECE):
                yield {"type": "response.function_call_arguments.delta", **where, "delta": piece}
            done = {"name": item["name"], "arguments": item["arguments"]}
            yield {"type": "response.function_call_arguments.done", **where, **done}
        case "custom_tool_call":
            for piece in cut(item["input"], utterance.chunk or TOOL_PIECE):
                yield {"type": "response.custom_tool_call_input.delta", **where, "delta": piece}
            yield {"type": "response.custom_tool_call_input.done", **where, "input": item["input"]}


def _said(utterance: Utterance, where: dict[str, Any], part: dict[str, Any]) -> Iterator[dict[str, Any]]:
    where = {**where, "content_index": 0}
    yield {"type": "response.content_part.added", **where, "part": {**part, "text": ""}}
    for piece in utterance.pieces():
        yield {"type": "response.output_text.delta", **where, "delta": piece, "logprobs": []}
    yield {"type": "response.output_text.done", **where, "text": part["text"], "logprobs": []}
    yield {"type": "response.content_part.done", **where, "part": part}


def _thought(utterance: Utterance, where: dict[str, Any]) -> Iterator[dict[str, Any]]:
    where = {**where, "summary_index": 0}
    part = {"type": "summary_text", "text": utterance.thinking}
    yield {"type": "response.reasoning_summary_part.added", **where, "part": {**part, "text": ""}}
    for piece in cut(utterance.thinking, utterance.chunk):
        yield {"type": "response.reasoning_summary_text.delta", **where, "delta": piece}
    yield {"type": "response.reasoning_summary_text.done", **where, "text": utterance.thinking}
    yield {"type": "response.reasoning_summary_part.done", **where, "part": part}


def _items(utterance: Utterance, conversation: Conversation) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Each item whole, and as it is when it starts."""
    seed = utterance.seed[:24]
    if utterance.thinking:
        summary = [{"type": "summary_text", "text": utterance.thinking}]
        item: dict[str, Any] = {"id": f"rs_{seed}", "type": "reasoning", "summary": summary}
        if "reasoning.encrypted_content" in (conversation.asked.get("include") or ()):
            item["encrypted_content"] = base64.b64encode(f"scripted{seed}".encode()).decode()
        yield item, {**item, "summary": []}
    for given in utterance.items:
        yield given, given
    if utterance.whole_text or not (utterance.calls or utterance.items):
        text = {"type": "output_text", "text": utterance.whole_text, "annotations": [], "logprobs": []}
        item = {"id": f"msg_{seed}", "type": "message", "role": "assistant", "status": "completed", "content": [text]}
        yield item, {**item, "status": "in_progress", "content": []}
    free = {tool["name"] for tool in conversation.asked.get("tools") or () if tool.get("type") == "custom"}
    for number, call in enumerate(utterance.calls):
        common = {"call_id": call.id, "name": call.name}
        if call.name in free:
            item = {"id": f"ctc_{seed}{number}", "type": "custom_tool_call", "status": "completed", **common}
            yield {**item, "input": _free_text(call)}, {**item, "status": "in_progress", "input": ""}
        else:
            item = {"id": f"fc_{seed}{number}", "type": "function_call", "status": "completed", **common}
            yield {**item, "arguments": call.arguments}, {**item, "status": "in_progress", "arguments": ""}


def _free_text(call: Called) -> str:
    """What a tool that takes any text is called with: the `input` of the scripted arguments, or all of them."""
    try:
        return str(json.loads(call.arguments)["input"])
    except (ValueError, KeyError, TypeError):
        return call.arguments


def _response(
    utterance: Utterance, conversation: Conversation, now: int, status: str, output: list[dict[str, Any]]
) -> dict[str, Any]:
    usual: dict[str, Any] = {
        "instructions": None, "metadata": {}, "parallel_tool_calls": True, "temperature": 1.0, "tool_choice": "auto",
        "tools": [], "top_p": 1.0,
    }  # fmt: skip
    asked = {key: value for key in _SAID_AGAIN if (value := conversation.asked.get(key)) is not None}
    if isinstance(asked.get("conversation"), str):
        asked["conversation"] = {"id": asked["conversation"]}
    return {
        **usual,
        **asked,
        "id": f"resp_{utterance.seed[:24]}",
        "object": "response",
        "created_at": now,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "model": utterance.model,
        "output": output,
        "usage": None,
    }


def _usage(utterance: Utterance) -> dict[str, Any]:
    usage = utterance.usage
    return {
        "input_tokens": usage.input,
        "input_tokens_details": {"cached_tokens": usage.cached, "cache_write_tokens": usage.cache_write},
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.input + usage.output,
    }


def error_frame(message: str) -> bytes:
    said = {"type": "error", "code": "server_error", "message": message, "param": None, "sequence_number": 0}
    return b"event: error\ndata: " + as_json(said) + b"\n\n"


def piece(text: bytes, more: bytes) -> bytes:
    """A frame with a piece of text, and what else stands in its JSON beside it; for answers gone wrong."""
    return (
        b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","item_id":"msg_1",'
        b'"output_index":0,"content_index":0,"delta":"%b"%b,"logprobs":[],"sequence_number":3}\n\n'
    ) % (text, more and b',"delta":"%b"' % more)


def as_json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
