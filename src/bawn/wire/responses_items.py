"""Items of a response: what becomes of one that is a call, and how a whole one is told in events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bawn.wire.editing import Changed, Dropped, Kept, Outcome, Spoken
from bawn.wire.holding import Unsound
from bawn.wire.json_text import NotPlain, read_plain
from bawn.wire.responses_calls import CALLS, SEVERAL, call_of, is_call
from bawn.wire.tool_sets import renamed

PIECES = {
    "function_call": ("arguments", "response.function_call_arguments"),
    "custom_tool_call": ("input", "response.custom_tool_call_input"),
}
"""Types of calls that are told in pieces: the field, and what the events of it are named after."""
LONGEST_ID = 64
"""Of an item, as the provider takes it back."""

Events = list[dict[str, Any]]


def runs_here(item: dict[str, Any]) -> bool:
    """Whether it is a call, and one that the client is to run or to approve. Raises Unsound when nobody knows."""
    return is_call(item) and not _has_run(item)


def identity(item: dict[str, Any]) -> tuple[str, str]:
    """By which an item is known again in its response."""
    return str(item.get("type")), str(item.get("id") or item.get("call_id") or "")


def message_item(item_id: str, text: str) -> dict[str, Any]:
    said = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    return {"id": item_id, "type": "message", "role": "assistant", "status": "completed", "content": [said]}


def message_id(other: object, more: str = "") -> str:
    """The id of a message that stands for something else, made of that one's id."""
    text = str(other)
    return f"msg_{text.partition('_')[2] or text}"[: LONGEST_ID - len(more)] + more


def fresh_item(item: dict[str, Any], taken: set[str]) -> dict[str, Any]:
    """The item with an id that is not among `taken`, and is from now on: clients know items by their ids, and two answers
    may have given the same one."""
    said = item.get("id")
    if not isinstance(said, str):
        return item
    fresh, count = said, 1
    while fresh in taken:
        count += 1
        fresh = f"{said[: LONGEST_ID - 1 - len(str(count))]}_{count}"
    taken.add(fresh)
    return item if fresh == said else {**item, "id": fresh}


def became(item: dict[str, Any], outcome: Outcome) -> dict[str, Any] | None:
    """The item that a call goes out as; the very same where it is kept, None where it does not go out.

    Raises Unsound for a change that would not hold, because the provider runs what it has written itself.
    """
    if isinstance(outcome, Kept):
        return item
    if _has_run(item):
        raise Unsound("a call that the provider has run already cannot be changed")
    match outcome:
        case Changed():
            return _changed(item, outcome)
        case Spoken(text=text):
            return message_item(message_id(item.get("id") or item.get("call_id")), text)
        case Dropped():
            return None


def events_of(item: dict[str, Any], index: int) -> Events:
    """A whole item as it is streamed, without the numbers of the events."""
    where = {"item_id": item.get("id", ""), "output_index": index}
    opened, told = dict(item), Events()
    kind = str(item.get("type"))
    if kind == "message":
        opened |= {"content": [], "status": "in_progress"}
        told = _contents(item.get("content"), where)
    elif kind == "reasoning":
        opened |= {field: [] for field in ("summary", "content") if item.get(field)}
        told = [*_summaries(item.get("summary"), where), *_contents(item.get("content"), where)]
    elif kind in PIECES:
        field, name = PIECES[kind]
        opened[field] = ""
        named = {"name": item.get("name")} if kind == "function_call" else {}
        told = [
            {"type": f"{name}.delta", **where, "delta": item.get(field, "")},
            {"type": f"{name}.done", **where, field: item.get(field, ""), **named},
        ]
    if kind.endswith("_call") and "status" in item:
        opened["status"] = "in_progress"
    return [
        {"type": "response.output_item.added", "output_index": index, "item": opened},
        *told,
        {"type": "response.output_item.done", "output_index": index, "item": item},
    ]


def with_output(response: dict[str, Any], output: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The response with other items, and with the text that some servers tell beside them."""
    whole = {**response, "output": list(output)}
    return {**whole, "output_text": text_of(output)} if isinstance(response.get("output_text"), str) else whole


def text_of(output: Sequence[dict[str, Any]]) -> str:
    """What the messages among the items say, refusals of the model as well."""
    parts = [part for item in output if item.get("type") == "message" for part in item.get("content") or ()]
    told = [part.get("text", part.get("refusal")) for part in parts if isinstance(part, dict)]
    return "".join(text for text in told if isinstance(text, str))


def _has_run(item: dict[str, Any]) -> bool:
    if item.get("type") == "tool_search_call":
        return item.get("execution") == "server"
    environment = item.get("environment")
    return isinstance(environment, dict) and environment.get("type") != "local"


def _changed(item: dict[str, Any], outcome: Changed) -> dict[str, Any]:
    kind = str(item["type"])
    if kind == "mcp_approval_request":
        raise Unsound("what the provider runs once it is approved cannot be changed")
    if kind in PIECES:
        return {**renamed(item, outcome.name, ("namespace",)), PIECES[kind][0]: outcome.arguments}
    call_id, name, _ = call_of(item)
    if outcome.name != name:
        # What has no name of its own cannot have another one; a function can.
        called = {"type": "function_call", "call_id": call_id, "name": outcome.name, "arguments": outcome.arguments}
        return {name: value for name, value in item.items() if name in ("id", "status")} | called
    field = CALLS[kind]
    if kind in SEVERAL and item.get("actions") is not None:
        if item.get(field) is not None:
            raise Unsound("a call that tells what to do in two ways cannot be changed")
        field = "actions"
    return {**item, field: outcome.arguments if isinstance(item.get(field), str) else _value(outcome.arguments)}


def _value(arguments: str) -> Any:
    try:
        read = read_plain(arguments.encode())
    except (NotPlain, UnicodeEncodeError) as error:
        raise Unsound(f"the changed arguments of a tool call are not JSON: {error}") from None
    if not isinstance(read, dict | list):
        raise Unsound("the changed arguments of a tool call are not an object")
    return read


def _contents(content: Any, where: dict[str, Any]) -> Events:
    told = Events()
    for number, part in enumerate(content or ()):
        at = {**where, "content_index": number}
        match part.get("type"):
            case "output_text":
                opened, middle = {**part, "text": "", "annotations": []}, _text(part, at)
            case "refusal":
                said = {**at, "refusal": part["refusal"]}
                delta = {"type": "response.refusal.delta", **at, "delta": part["refusal"]}
                opened, middle = {**part, "refusal": ""}, [delta, {"type": "response.refusal.done", **said}]
            case "reasoning_text":
                delta = {"type": "response.reasoning_text.delta", **at, "delta": part["text"]}
                done = {"type": "response.reasoning_text.done", **at, "text": part["text"]}
                opened, middle = {**part, "text": ""}, [delta, done]
            case _:
                opened, middle = part, []
        told.append({"type": "response.content_part.added", **at, "part": opened})
        told += [*middle, {"type": "response.content_part.done", **at, "part": part}]
    return told


def _text(part: dict[str, Any], at: dict[str, Any]) -> Events:
    text, notes = part["text"], enumerate(part.get("annotations") or ())
    return [
        {"type": "response.output_text.delta", **at, "delta": text, "logprobs": []},
        *(
            {"type": "response.output_text.annotation.added", **at, "annotation_index": number, "annotation": note}
            for number, note in notes
        ),
        {"type": "response.output_text.done", **at, "text": text, "logprobs": part.get("logprobs") or []},
    ]


def _summaries(summary: Any, where: dict[str, Any]) -> Events:
    told = Events()
    for number, part in enumerate(summary or ()):
        at = {**where, "summary_index": number}
        told += [
            {"type": "response.reasoning_summary_part.added", **at, "part": {**part, "text": ""}},
            {"type": "response.reasoning_summary_text.delta", **at, "delta": part["text"]},
            {"type": "response.reasoning_summary_text.done", **at, "text": part["text"]},
            {"type": "response.reasoning_summary_part.done", **at, "part": part},
        ]
    return told
