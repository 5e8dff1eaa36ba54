"""OpenAI's responses: requests read, answers written, as the official packages and their documentation have them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from bawn.inference.conversation import Conversation, Turn, Wire
from bawn.inference.utterance import TOOL_PIECE, Called, Utterance, cut


def heard(body: dict[str, Any], seed: str) -> Conversation:
    """The conversation in a request; a KeyError, TypeError or AttributeError when it is none."""
    names: dict[str, str] = {}
    turns: list[Turn] = []
    system = [body["instructions"]] if body.get("instructions") else []
    given = body["input"]
    for item in [{"role": "user", "content": given}] if isinstance(given, str) else given:
        kind = item.get("type", "message")
        if kind in {"function_call", "custom_tool_call"}:
            names[item["call_id"]] = item["name"]
            turns.append(Turn("assistant", ""))
        elif kind in {"function_call_output", "custom_tool_call_output"}:
            turns.append(Turn("user", "", ((names.get(item["call_id"], ""), _text(item["output"])),)))
        elif kind == "message" and item["role"] in {"system", "developer"}:
            system.append(_text(item["content"]))
        elif kind == "message":
            turns.append(Turn(item["role"], _text(item["content"])))
    return Conversation(
        wire=Wire.RESPONSES,
        model=str(body["model"]),
        stream=body.get("stream") is True,
        include_usage=True,
        system="\n".join(system),
        turns=tuple(turns),
        offered=tuple(tool["name"] for tool in body.get("tools") or () if "name" in tool),
        seed=seed,
    )


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(part["text"] for part in content if "text" in part)


def plain(utterance: Utterance, now: int) -> bytes:
    return _json(_response(utterance, now, "completed", [item for item, _ in _items(utterance)], _usage(utterance)))


def frames(utterance: Utterance, now: int) -> Iterator[bytes]:
    """The stream as typed events, each with its number."""
    for number, event in enumerate(_events(utterance, now)):
        yield b"event: %b\ndata: %b\n\n" % (event["type"].encode(), _json({**event, "sequence_number": number}))


def _events(utterance: Utterance, now: int) -> Iterator[dict[str, Any]]:
    begun = _response(utterance, now, "in_progress", [], None)
    yield {"type": "response.created", "response": begun}
    yield {"type": "response.in_progress", "response": begun}
    whole = []
    for index, (item, started) in enumerate(_items(utterance)):
        yield {"type": "response.output_item.added", "output_index": index, "item": started}
        where = {"item_id": item["id"], "output_index": index}
        match item["type"]:
            case "message":
                yield from _said(utterance, where, item["content"][0])
            case "reasoning":
                yield from _thought(utterance, where)
            case _:
                for piece in cut(item["arguments"], utterance.chunk or TOOL_PIECE):
                    yield {"type": "response.function_call_arguments.delta", **where, "delta": piece}
                done = {"name": item["name"], "arguments": item["arguments"]}
                yield {"type": "response.function_call_arguments.done", **where, **done}
        yield {"type": "response.output_item.done", "output_index": index, "item": item}
        whole.append(item)
    yield {
        "type": "response.completed",
        "response": _response(utterance, now, "completed", whole, _usage(utterance)),
    }


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


def _items(utterance: Utterance) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Each item whole, and as it is when it starts."""
    seed = utterance.seed[:24]
    if utterance.thinking:
        summary = [{"type": "summary_text", "text": utterance.thinking}]
        item: dict[str, Any] = {"id": f"rs_{seed}", "type": "reasoning", "summary": summary}
        yield item, {**item, "summary": []}
    if utterance.whole_text or not utterance.calls:
        text = {"type": "output_text", "text": utterance.whole_text, "annotations": [], "logprobs": []}
        item = {"id": f"msg_{seed}", "type": "message", "role": "assistant", "status": "completed", "content": [text]}
        yield item, {**item, "status": "in_progress", "content": []}
    for number, call in enumerate(utterance.calls):
        item = {"id": f"fc_{seed}{number}", "type": "function_call", "status": "completed", **_call(call)}
        yield item, {**item, "status": "in_progress", "arguments": ""}


def _call(call: Called) -> dict[str, Any]:
    return {"call_id": call.id, "name": call.name, "arguments": call.arguments}


def _response(
    utterance: Utterance, now: int, status: str, output: list[dict[str, Any]], usage: dict[str, Any] | None
) -> dict[str, Any]:
    return {
        "id": f"resp_{utterance.seed[:24]}",
        "object": "response",
        "created_at": now,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "model": utterance.model,
        "output": output,
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "usage": usage,
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
    return b"event: error\ndata: " + _json(said) + b"\n\n"


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
