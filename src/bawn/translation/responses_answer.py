"""Answers of OpenAI's responses, whole and streamed, to and from a reply."""

from __future__ import annotations

from typing import Any

import msgspec

from bawn.terms.exchange import Usage, WireName
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
    proof_written,
)  # fmt: skip
from bawn.translation.responses_request import summary_of
from bawn.translation.sse_events import SseEvents
from bawn.wire.holding import Unsound
from bawn.wire.responses_stream import items_of
from bawn.wire.usage import responses_usage

_INCOMPLETE = {"max_output_tokens": Stop.LENGTH, "content_filter": Stop.FILTERED}
_REASONS = {Stop.LENGTH: "max_output_tokens", Stop.FILTERED: "content_filter"}
_TEXTS = ("response.output_text.delta", "response.refusal.delta")
_THOUGHTS = ("response.reasoning_summary_text.delta", "response.reasoning_text.delta")


def read_answer(read: dict[str, Any]) -> Reply:
    """Raises Unsound, and NotTranslatable when there is an item that others have no word for."""
    parts: list[Text | Thinking | ToolUse] = []
    for item in items_of(read):
        parts += _parts(item)
    return Reply(str(read.get("model", "")), tuple(parts), _stop(read, parts), responses_usage(read.get("usage")))


def _parts(item: dict[str, Any]) -> list[Text | Thinking | ToolUse]:
    match item.get("type"):
        case "message":
            content = item.get("content")
            if not isinstance(content, list):
                raise Unsound("a message has no content")
            return [Text(text) for part in content if (text := _said(part))]
        case "reasoning":
            proof = item.get("encrypted_content")
            return [Thinking(summary_of(item), proof if isinstance(proof, str) else "", WireName.RESPONSES)]
        case "function_call":
            return [_use(item)]
        case kind:
            raise NotTranslatable(f"an item of the type {named(kind)}")


def _said(part: Any) -> str:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind not in ("output_text", "refusal"):
        raise NotTranslatable(f"a content of the type {named(kind)}")
    text = part.get("text" if kind == "output_text" else "refusal")
    if not isinstance(text, str):
        raise Unsound("a text is none")
    return text


def _use(item: dict[str, Any]) -> ToolUse:
    said = item.get("call_id"), item.get("name"), item.get("arguments")
    if not all(isinstance(each, str) for each in said):
        raise Unsound("a tool call has no id, name or arguments")
    return ToolUse(fitting_id(str(said[0])), str(said[1]), str(said[2]) or "{}")


def _stop(response: dict[str, Any], parts: list[Text | Thinking | ToolUse]) -> Stop:
    status, details = response.get("status"), response.get("incomplete_details")
    if status == "incomplete":
        return _INCOMPLETE.get(str(details.get("reason") if isinstance(details, dict) else ""), Stop.LENGTH)
    if status != "completed":
        raise Unsound("the response is not completed")
    return Stop.CALLS if any(isinstance(part, ToolUse) for part in parts) else Stop.END


class ResponsesEvents(SseEvents):
    """A streamed response as events."""

    def __init__(self) -> None:
        super().__init__()
        self._texts: dict[int, int] = {}
        """By the number of an item, how much of it was said in pieces."""
        self._calls: set[str] = set()

    def _data(self, data: bytes) -> list[StreamEvent]:
        return [] if data.strip() == b"[DONE]" else super()._data(data)

    def _event(self, event: dict[str, Any]) -> list[StreamEvent]:
        kind = str(event.get("type"))
        if kind in _TEXTS:
            text, index = _delta(event), _number(event)
            self._texts[index] = self._texts.get(index, 0) + len(text)
            return [Said(text)]
        if kind in _THOUGHTS:
            return [Thought(_delta(event))]
        match kind:
            case "response.created":
                response = event.get("response")
                return [Opened(str(response.get("model", "")) if isinstance(response, dict) else "")]
            case "response.reasoning_summary_part.added" if event.get("summary_index"):
                return [Thought("\n\n")]
            case "response.output_item.done":
                return self._item(event.get("item"), _number(event))
            case "response.completed" | "response.incomplete":
                return self._end(event.get("response"))
            case "response.failed" | "error":
                raise Unsound("it ended with an error")
            case _:
                return []

    def _item(self, item: Any, index: int) -> list[StreamEvent]:
        if not isinstance(item, dict):
            raise Unsound("an event has no item")
        out: list[StreamEvent] = []
        said = index in self._texts
        for part in _parts(item):
            if isinstance(part, ToolUse):
                self._calls.add(part.id)
                out.append(Called(part))
            elif isinstance(part, Text):
                # Told whole at its end only, by some servers.
                self._texts[index] = self._texts.get(index, 0) + (0 if said else len(part.text))
                out += [] if said else [Said(part.text)]
            elif part.proof:
                out.append(Thought("", part.proof))
        return out

    def _end(self, response: Any) -> list[StreamEvent]:
        if not isinstance(response, dict):
            raise Unsound("an event has no response")
        reply = read_answer(response)
        told = sum(len(part.text) for part in reply.parts if isinstance(part, Text))
        calls = {part.id for part in reply.parts if isinstance(part, ToolUse)}
        if len(reply.parts) and (calls != self._calls or told != sum(self._texts.values())):
            raise Unsound("the response tells another answer than its stream did")
        self._over = True
        return [Over(reply.stop, reply.usage)]


def _number(event: dict[str, Any]) -> int:
    index = event.get("output_index", 0)
    if not isinstance(index, int):
        raise Unsound("an item has no number")
    return index


def _delta(event: dict[str, Any]) -> str:
    delta = event.get("delta")
    if not isinstance(delta, str):
        raise Unsound("a piece of text is none")
    return delta


# out


def write_answer(reply: Reply, call_id: str, now: int, tools: tuple[Tool, ...]) -> bytes:
    said = _Items(call_id, tools)
    items = [said.item(part) for part in reply.parts]
    return msgspec.json.encode(_response(reply.model, call_id, now, items, reply.stop, reply.usage))


def _response(
    model: str, call_id: str, now: int, items: list[dict[str, Any]], stop: Stop | None, usage: Usage | None
) -> dict[str, Any]:
    reason = _REASONS.get(stop) if stop is not None else None
    return {
        "id": f"resp_{call_id}",
        "object": "response",
        "created_at": now,
        "status": "in_progress" if stop is None else "incomplete" if reason else "completed",
        "background": False,
        "error": None,
        "incomplete_details": {"reason": reason} if reason else None,
        "instructions": None,
        "metadata": {},
        "model": model,
        "output": items,
        "parallel_tool_calls": True,
        "temperature": None,
        "tool_choice": "auto",
        "tools": [],
        "top_p": None,
        "store": False,
        "usage": _usage(usage or Usage()) if stop is not None else None,
    }


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_tokens, "cache_write_tokens": usage.cache_write_tokens},
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }


class _Items:
    """Parts of an answer as numbered items."""

    def __init__(self, call_id: str, tools: tuple[Tool, ...], origin: WireName | None = None) -> None:
        self._call_id = call_id
        self._tools = {tool.name: tool for tool in tools}
        self._origin = origin
        self.count = 0

    def item(self, part: Text | Thinking | ToolUse) -> dict[str, Any]:
        number, self.count = self.count, self.count + 1
        match part:
            case Text(text=text):
                said = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
                return {**self._named("msg", number, "message"), "role": "assistant", "content": [said]}
            case Thinking(text=text, proof=proof, origin=origin):
                summary = [{"type": "summary_text", "text": text}] if text else []
                item = {"id": f"rs_{self._call_id}_{number}", "type": "reasoning", "summary": summary}
                sealed = proof_written(origin or self._origin, proof, WireName.RESPONSES)
                return {**item, "encrypted_content": sealed} if sealed else item
            case ToolUse(id=call_id, name=name, arguments=arguments):
                tool = self._tools.get(name)
                called: dict[str, Any] = {"call_id": call_id, "name": name}
                if tool is not None and tool.spaced is not None:
                    called = {"call_id": call_id, "namespace": tool.spaced[0], "name": tool.spaced[1]}
                if tool is not None and tool.free:
                    return {**self._named("ctc", number, "custom_tool_call"), **called, "input": free_text(arguments)}
                return {**self._named("fc", number, "function_call"), **called, "arguments": arguments}

    def _named(self, start: str, number: int, kind: str) -> dict[str, Any]:
        return {"id": f"{start}_{self._call_id}_{number}", "type": kind, "status": "completed"}


class ResponsesWriter:
    """Events as a streamed response."""

    def __init__(self, call_id: str, now: int, tools: tuple[Tool, ...], origin: WireName) -> None:
        self._call_id, self._now = call_id, now
        self._origin = origin
        self._items = _Items(call_id, tools, origin)
        self._model = ""
        self._number = 0
        self._done: list[dict[str, Any]] = []
        self._open: dict[str, Any] | None = None
        """The message or the reasoning that is being said."""
        self._said: list[str] = []

    def write(self, event: StreamEvent) -> bytes:
        match event:
            case Opened(model=model):
                self._model = model
                begun = {"response": _response(model, self._call_id, self._now, [], None, None)}
                return self._event("response.created", begun) + self._event("response.in_progress", begun)
            case Said(text=text):
                return self._within("message") + self._piece("response.output_text.delta", text)
            case Thought(text=text, proof=proof):
                return self._thought(text, proof)
            case Called(call=call):
                return self._close() + self._call(self._items.item(call))
            case Over(stop=stop, usage=usage):
                closed = self._close()
                whole = _response(self._model, self._call_id, self._now, self._done, stop, usage)
                return closed + self._event(f"response.{whole['status']}", {"response": whole})

    def _thought(self, text: str, proof: str) -> bytes:
        out = self._within("reasoning")
        if text:
            out += self._piece("response.reasoning_summary_text.delta", text)
        if proof and self._open is not None:
            self._open["encrypted_content"] = proof_written(self._origin, proof, WireName.RESPONSES)
            out += self._close()
        return out

    def _call(self, item: dict[str, Any]) -> bytes:
        name = "arguments" if item["type"] == "function_call" else "input"
        kind = "function_call_arguments" if name == "arguments" else "custom_tool_call_input"
        index = len(self._done)
        where = {"item_id": item["id"], "output_index": index}
        started = {**item, name: "", "status": "in_progress"}
        out = self._event("response.output_item.added", {"output_index": index, "item": started})
        out += self._event(f"response.{kind}.delta", {**where, "delta": item[name]})
        out += self._event(f"response.{kind}.done", {**where, name: item[name], "name": item["name"]})
        self._done.append(item)
        return out + self._event("response.output_item.done", {"output_index": index, "item": item})

    def _within(self, kind: str) -> bytes:
        """An item of this type is open after it."""
        if self._open is not None and self._open["type"] == kind:
            return b""
        out = self._close()
        part: Text | Thinking = Text("") if kind == "message" else Thinking("", origin=self._origin)
        self._open = self._items.item(part)
        started = {**self._open, "content": [], "status": "in_progress"} if kind == "message" else self._open
        out += self._event("response.output_item.added", {"output_index": len(self._done), "item": started})
        return out + self._event(*self._part("added", ""))

    def _part(self, what: str, text: str) -> tuple[str, dict[str, Any]]:
        where = self._where()
        if "content_index" in where:
            said = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
            return f"response.content_part.{what}", {**where, "part": said}
        return f"response.reasoning_summary_part.{what}", {**where, "part": {"type": "summary_text", "text": text}}

    def _where(self) -> dict[str, Any]:
        item = self._open or {}
        at = "content_index" if item.get("type") == "message" else "summary_index"
        return {"item_id": item.get("id", ""), "output_index": len(self._done), at: 0}

    def _piece(self, kind: str, text: str) -> bytes:
        self._said.append(text)
        piece = {**self._where(), "delta": text}
        return self._event(kind, {**piece, "logprobs": []} if "content_index" in piece else piece)

    def _close(self) -> bytes:
        """No item is open after it."""
        item = self._open
        if item is None:
            return b""
        text = "".join(self._said)
        if item["type"] == "message":
            item["content"][0]["text"] = text
            out = self._event("response.output_text.done", {**self._where(), "text": text, "logprobs": []})
        else:
            item["summary"] = [{"type": "summary_text", "text": text}] if text else []
            out = self._event("response.reasoning_summary_text.done", {**self._where(), "text": text})
        out += self._event(*self._part("done", text))
        out += self._event("response.output_item.done", {"output_index": len(self._done), "item": item})
        self._done.append(item)
        self._open, self._said = None, []
        return out

    def _event(self, kind: str, told: dict[str, Any]) -> bytes:
        event = {"type": kind, **told, "sequence_number": self._number}
        self._number += 1
        return b"event: " + kind.encode() + b"\ndata: " + msgspec.json.encode(event) + b"\n\n"
