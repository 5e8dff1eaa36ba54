"""What Anthropic keeps: files, and batches of messages, as its reference documents them.

A batch is at work in the answer that makes it, and ended when somebody looks for it.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from bawn.inference.kept import Refused, Thing
from bawn.inference.object_calls import ObjectCall, as_json, shown

_COUNTS = ("processing", "succeeded", "errored", "canceled", "expired")


def is_about_objects(steps: tuple[str, ...]) -> bool:
    return steps[:1] == ("files",) or steps[:2] == ("messages", "batches")


def answered(call: ObjectCall) -> bytes:
    """The body of the answer; raises `Refused`, or what a malformed body raises."""
    return _files(call) if call.steps[0] == "files" else _batches(call)


def _nothing(call: ObjectCall) -> Refused:
    return Refused(404, f"There is nothing at {call.method} /{'/'.join(call.steps)}.")


def _files(call: ObjectCall) -> bytes:
    kept = call.kept
    match call.method, *call.steps[1:]:
        case ["POST"]:
            [part] = [part for part in call.parts() if part.name == "file"]
            name = kept.new_id("file_", call.seed)
            value = {
                "id": name,
                "type": "file",
                "filename": part.filename or "file",
                "mime_type": part.kind,
                "size_bytes": len(part.content),
                "created_at": _at(call.now),
                "downloadable": False,
            }
            return call.made(Thing("anthropic file", name, value, part.content))
        case ["GET"]:
            return as_json(_listed(call, "anthropic file"))
        case ["GET", name]:
            return shown(kept.found("anthropic file", name))
        case ["GET", name, "content"]:
            return kept.found("anthropic file", name).content
        case ["DELETE", name]:
            return _dropped(call, "anthropic file", name, "file_deleted")
    raise _nothing(call)


def _batches(call: ObjectCall) -> bytes:
    kept = call.kept
    match call.method, *call.steps[2:]:
        case ["POST"]:
            return _batch_made(call)
        case ["GET"]:
            return as_json(_listed(call, "message batch"))
        case ["GET", name]:
            return shown(_settled(call, kept.found("message batch", name)))
        case ["DELETE", name]:
            return _dropped(call, "message batch", name, "message_batch_deleted")
        case ["POST", name, "cancel"]:
            thing = kept.found("message batch", name)
            if thing.value["processing_status"] == "in_progress":
                now = {"processing_status": "canceling", "cancel_initiated_at": _at(call.now)}
                thing.value, thing.inner = thing.value | now, [{**row, "canceled": True} for row in thing.inner]
            return shown(thing)
        case ["GET", name, "results"]:
            return _settled(call, kept.found("message batch", name)).content
    raise _nothing(call)


def _batch_made(call: ObjectCall) -> bytes:
    requests = call.asked()["requests"]
    name = call.kept.new_id("msgbatch_", call.seed)
    value = {
        "id": name,
        "type": "message_batch",
        "processing_status": "in_progress",
        "request_counts": dict.fromkeys(_COUNTS, 0) | {"processing": len(requests)},
        "created_at": _at(call.now),
        "expires_at": _at(call.now + 86_400),
        "ended_at": None,
        "cancel_initiated_at": None,
        "archived_at": None,
        "results_url": None,
    }
    inner = [{"custom_id": request["custom_id"], "params": request["params"]} for request in requests]
    return call.made(Thing("message batch", name, value, inner=inner))


def _settled(call: ObjectCall, thing: Thing) -> Thing:
    """The batch with its requests answered, if that was not done before."""
    if thing.value["processing_status"] == "ended":
        return thing
    counts, lines = dict.fromkeys(_COUNTS, 0), []
    for row in thing.inner:
        result: dict[str, Any] = {"type": "canceled"}
        if not row.get("canceled"):
            status, body = call.ask("/messages", row["params"])
            answer = json.loads(body)
            result = {"type": "succeeded", "message": answer} if status == 200 else {"type": "errored", "error": answer}
        counts[result["type"]] += 1
        lines.append(as_json({"custom_id": row["custom_id"], "result": result}) + b"\n")
    where = {
        "results_url": f"http://{call.host}/v1/messages/batches/{thing.id}/results",
        "ended_at": _at(call.now),
    }
    thing.value = thing.value | where | {"processing_status": "ended", "request_counts": counts}
    thing.content = b"".join(lines)
    return thing


def _listed(call: ObjectCall, kind: str) -> dict[str, Any]:
    page = call.listed([thing.value for thing in call.kept.all(kind)])
    return {key: value for key, value in page.items() if key != "object"}


def _dropped(call: ObjectCall, kind: str, name: str, word: str) -> bytes:
    call.kept.found(kind, name)
    call.kept.drop(kind, name)
    return as_json({"id": name, "type": word})


def _at(now: int) -> str:
    return datetime.fromtimestamp(now, UTC).isoformat().replace("+00:00", "Z")
