"""A streamed response as a plain one, and a plain one as a stream."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bawn.wire.holding import Unsound
from bawn.wire.responses_calls import is_call
from bawn.wire.responses_items import Events, events_of, identity, with_output
from bawn.wire.responses_stream import items_of
from bawn.wire.typed_frames import typed_frame, typed_frames

OPENING = ("response.created", "response.in_progress", "response.queued")
CLOSING = ("response.completed", "response.incomplete")
_STATUSES = ("completed", "incomplete", "failed")


def told_beside(added: Sequence[tuple[str, str]], told: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Items that a response tells at its end and its stream did not tell.

    By their ids alone nobody could say, since there are servers that give the same item another id at the end; so more
    has to be told than was streamed. Raises Unsound when a call is among them.
    """
    if len(told) <= len(added):
        return []
    more = [item for item in told if identity(item) not in added]
    if any(is_call(item) for item in more):
        raise Unsound("the response tells a call that its stream did not")
    return more


def folded_response(stream: bytes) -> dict[str, Any]:
    """The response that closes the stream, with all that was streamed. Raises Unsound."""
    added: list[tuple[str, str]] = []
    items: dict[int, dict[str, Any]] = {}
    for frame in typed_frames(stream):
        event = frame.event or {}
        if frame.kind == "response.output_item.added":
            added.append(identity(event["item"]))
        elif frame.kind == "response.output_item.done":
            items[int(event["output_index"])] = event["item"]
        elif frame.kind in CLOSING:
            response: dict[str, Any] = event["response"]
            told = items_of(response)
            if len(told) >= len(added):
                return response
            # Some servers tell nothing at the end of what they have streamed.
            return with_output(response, [items[index] for index in sorted(items)])
    raise Unsound("a response has no end")


def streamed_response(response: dict[str, Any]) -> bytes:
    """Raises Unsound for a response that is not over."""
    status = response.get("status")
    if status not in _STATUSES:
        raise Unsound("a response that is not over cannot be streamed")
    started = with_output({**response, "status": "in_progress", "incomplete_details": None, "usage": None}, [])
    events: Events = [{"type": kind, "response": started} for kind in OPENING[:2]]
    for index, item in enumerate(items_of(response)):
        events += events_of(item, index)
    events.append({"type": f"response.{status}", "response": response})
    return b"".join(typed_frame({**event, "sequence_number": number}) for number, event in enumerate(events))
