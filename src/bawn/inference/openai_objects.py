"""What OpenAI keeps: files, responses, conversations, batches and vector stores, as its reference documents them.

Work in the background is done when somebody looks for it: a batch or a response is at work in the answer that makes
it, and whole in the next.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from bawn.inference.kept import Refused, Thing
from bawn.inference.object_calls import ObjectCall, as_json, shown

FAMILIES = ("files", "responses", "conversations", "batches", "vector_stores")


def answered(call: ObjectCall) -> bytes:
    """The body of the answer; raises `Refused`, or what a malformed body raises."""
    match call.method, *call.steps:
        case _, "files", *_:
            return _files(call)
        case _, "responses", *_:
            return _responses(call)
        case _, "conversations", *_:
            return _conversations(call)
        case _, "batches", *_:
            return _batches(call)
        case _:
            return _vector_stores(call)


def nothing(call: ObjectCall) -> Refused:
    return Refused(404, f"There is nothing at {call.method} /{'/'.join(call.steps)}.")


def _files(call: ObjectCall) -> bytes:
    kept = call.kept
    match call.method, *call.steps[1:]:
        case ["POST"]:
            parts = {part.name: part for part in call.parts()}
            return call.made(
                _file(call, parts["file"].filename or "file", parts["purpose"].text, parts["file"].content)
            )
        case ["GET"]:
            return as_json(call.listed([thing.value for thing in kept.all("file")]))
        case ["GET", name]:
            return shown(kept.found("file", name))
        case ["GET", name, "content"]:
            return kept.found("file", name).content
        case ["DELETE", name]:
            return _dropped(call, "file", name, "file")
    raise nothing(call)


def _file(call: ObjectCall, filename: str, purpose: str, content: bytes) -> Thing:
    name = call.kept.new_id("file-", call.seed)
    value = {
        "id": name,
        "object": "file",
        "bytes": len(content),
        "created_at": call.now,
        "expires_at": None,
        "filename": filename,
        "purpose": purpose,
        "status": "processed",
        "status_details": None,
    }
    return Thing("file", name, value, content)


def _dropped(call: ObjectCall, kind: str, name: str, word: str) -> bytes:
    call.kept.found(kind, name)
    call.kept.drop(kind, name)
    return as_json({"id": name, "object": word, "deleted": True})


def _responses(call: ObjectCall) -> bytes:
    match call.method, *call.steps[1:]:
        case ["GET", name]:
            return shown(call.kept.found("response", name))
        case ["DELETE", name]:
            return _dropped(call, "response", name, "response")
        case ["POST", name, "cancel"]:
            thing = call.kept.found("response", name)
            if not thing.value.get("background"):
                raise Refused(400, "Only responses made in the background can be cancelled.")
            thing.value = thing.value | {"status": "cancelled", "output": []}
            return shown(thing)
        case ["GET", name, "input_items"]:
            return as_json(call.listed(call.kept.found("response", name).inner[::-1]))
    raise nothing(call)


def _conversations(call: ObjectCall) -> bytes:
    match call.method, *call.steps[1:]:
        case ["POST"]:
            asked = call.asked()
            name = call.kept.new_id("conv_", call.seed)
            value = {"id": name, "object": "conversation", "created_at": call.now}
            items = list(_numbered(call, asked.get("items") or ()))
            return call.made(
                Thing("conversation", name, {**value, "metadata": asked.get("metadata") or {}}, inner=items)
            )
        case ["DELETE", name]:
            return _dropped(call, "conversation", name, "conversation.deleted")
        case [_, name, *_]:
            return _conversation(call, call.kept.found("conversation", name))
    raise nothing(call)


def _conversation(call: ObjectCall, thing: Thing) -> bytes:
    match call.method, *call.steps[2:]:
        case ["GET"]:
            return shown(thing)
        case ["POST"]:
            thing.value = thing.value | {"metadata": call.asked()["metadata"]}
            return shown(thing)
        case ["GET", "items"]:
            return as_json(call.listed(thing.inner[::-1]))
        case ["POST", "items"]:
            added = list(_numbered(call, call.asked()["items"]))
            thing.inner = thing.inner + added
            return as_json(call.listed(added))
        case ["GET" | "DELETE" as method, "items", item]:
            found = next((entry for entry in thing.inner if entry["id"] == item), None)
            if found is None:
                raise Refused(404, f"Item with id '{item}' not found.", "not_found")
            if method == "GET":
                return as_json(found)
            thing.inner = [entry for entry in thing.inner if entry["id"] != item]
            return shown(thing)
    raise nothing(call)


def _numbered(call: ObjectCall, items: Any) -> Iterator[dict[str, Any]]:
    for item in items:
        yield as_item(item, call.kept.new_id("msg_", call.seed))


def as_item(item: dict[str, Any], name: str) -> dict[str, Any]:
    """An item as it is listed: with an id, and its text as parts."""
    content = item.get("content")
    if isinstance(content, str):
        kind = "output_text" if item.get("role") == "assistant" else "input_text"
        item = {**item, "content": [{"type": kind, "text": content}]}
    return {"type": "message", "status": "completed", "id": name, **item}


def _batches(call: ObjectCall) -> bytes:
    kept = call.kept
    match call.method, *call.steps[1:]:
        case ["POST"]:
            return _batch_made(call)
        case ["GET"]:
            return as_json(call.listed([_settled(call, thing).value for thing in kept.all("batch")]))
        case ["GET", name]:
            return shown(_settled(call, kept.found("batch", name)))
        case ["POST", name, "cancel"]:
            thing = kept.found("batch", name)
            if thing.value["status"] == "validating":
                thing.value = thing.value | {"status": "cancelled", "cancelled_at": call.now}
            return shown(thing)
    raise nothing(call)


def _batch_made(call: ObjectCall) -> bytes:
    asked = call.asked()
    call.kept.found("file", asked["input_file_id"])
    name = call.kept.new_id("batch_", call.seed)
    value = {
        "id": name,
        "object": "batch",
        "endpoint": asked["endpoint"],
        "errors": None,
        "input_file_id": asked["input_file_id"],
        "completion_window": asked["completion_window"],
        "status": "validating",
        "output_file_id": None,
        "error_file_id": None,
        "created_at": call.now,
        "request_counts": {"total": 0, "completed": 0, "failed": 0},
        "metadata": asked.get("metadata"),
    }
    return call.made(Thing("batch", name, value))


def _settled(call: ObjectCall, thing: Thing) -> Thing:
    """The batch with its lines answered, if that was not done before."""
    if thing.value["status"] != "validating":
        return thing
    source = call.kept.found("file", thing.value["input_file_id"])
    good: list[bytes] = []
    bad: list[bytes] = []
    for number, line in enumerate(filter(None, source.content.split(b"\n"))):
        asked = json.loads(line)
        status, body = call.ask(asked["url"], asked["body"])
        response = {"status_code": status, "request_id": f"req_{number}", "body": json.loads(body)}
        row = {"id": f"batch_req_{number}", "custom_id": asked["custom_id"], "response": response, "error": None}
        (good if status == 200 else bad).append(as_json(row))
    found = {}
    for field, lines in (("output_file_id", good), ("error_file_id", bad)):
        if lines:
            file = _file(call, f"{field[:-8]}.jsonl", "batch_output", b"\n".join(lines) + b"\n")
            call.made(file)
            found[field] = file.id
    counts = {"total": len(good) + len(bad), "completed": len(good), "failed": len(bad)}
    thing.value = thing.value | found | {"status": "completed", "completed_at": call.now, "request_counts": counts}
    return thing


def _vector_stores(call: ObjectCall) -> bytes:
    kept = call.kept
    match call.method, *call.steps[1:]:
        case ["POST"]:
            asked = call.asked()
            name = kept.new_id("vs_", call.seed)
            thing = Thing("vector_store", name, {"id": name, "object": "vector_store", "created_at": call.now})
            thing.inner = [_in_store(call, name, file) for file in asked.get("file_ids") or ()]
            thing.value = {**thing.value, "name": asked.get("name") or "", "metadata": asked.get("metadata") or {}}
            return call.made(_counted(call, thing))
        case ["GET"]:
            return as_json(call.listed([thing.value for thing in kept.all("vector_store")]))
        case ["DELETE", name]:
            return _dropped(call, "vector_store", name, "vector_store.deleted")
        case [_, name, *_]:
            return _vector_store(call, kept.found("vector_store", name))
    raise nothing(call)


def _vector_store(call: ObjectCall, thing: Thing) -> bytes:
    match call.method, *call.steps[2:]:
        case ["GET"]:
            return shown(thing)
        case ["POST"]:
            thing.value = thing.value | {key: call.asked()[key] for key in ("name", "metadata") if key in call.asked()}
            return shown(thing)
        case ["POST", "search"]:
            return as_json(_search(call, thing))
        case ["POST", "files"]:
            added = _in_store(call, thing.id, call.asked()["file_id"])
            thing.inner = [*thing.inner, added]
            _counted(call, thing)
            return as_json(added)
        case ["GET", "files"]:
            return as_json(call.listed(thing.inner[::-1]))
        case ["GET" | "DELETE" as method, "files", file]:
            found = next((entry for entry in thing.inner if entry["id"] == file), None)
            if found is None:
                raise Refused(404, f"No file found with id '{file}' in vector store '{thing.id}'.", "not_found")
            if method == "GET":
                return as_json(found)
            thing.inner = [entry for entry in thing.inner if entry["id"] != file]
            _counted(call, thing)
            return as_json({"id": file, "object": "vector_store.file.deleted", "deleted": True})
    raise nothing(call)


def _in_store(call: ObjectCall, store: str, file: str) -> dict[str, Any]:
    size = len(call.kept.found("file", file).content)
    value = {"id": file, "object": "vector_store.file", "usage_bytes": size, "created_at": call.now}
    return {**value, "vector_store_id": store, "status": "completed", "last_error": None}


def _counted(call: ObjectCall, thing: Thing) -> Thing:
    whole = len(thing.inner)
    counts = {"in_progress": 0, "completed": whole, "failed": 0, "cancelled": 0, "total": whole}
    used = sum(entry["usage_bytes"] for entry in thing.inner)
    now = {"status": "completed", "usage_bytes": used, "last_active_at": call.now, "file_counts": counts}
    thing.value = thing.value | now
    return thing


def _search(call: ObjectCall, thing: Thing) -> dict[str, Any]:
    """Files by how many words of the query they hold."""
    query = call.asked()["query"]
    wanted = set((query if isinstance(query, str) else " ".join(query)).split())
    found = []
    for entry in thing.inner:
        file = call.kept.get("file", entry["id"])
        text = file.content.decode("utf-8", "replace") if file else ""
        if file and (score := len(wanted & set(text.split())) / max(1, len(wanted))):
            content = [{"type": "text", "text": text}]
            name = file.value["filename"]
            found.append({"file_id": file.id, "filename": name, "score": score, "attributes": {}, "content": content})
    found.sort(key=lambda row: -row["score"])
    page = {"object": "vector_store.search_results.page", "search_query": sorted(wanted)}
    return {**page, "data": found, "has_more": False, "next_page": None}
