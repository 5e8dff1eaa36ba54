"""What can be done with the answers of OpenAI's responses beside reading them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bawn.terms.exchange import Endpoint
from bawn.wire.editing import Outcome, Refused, Said, StreamEditor
from bawn.wire.editing_faults import editing, reforming
from bawn.wire.holding import Unsound
from bawn.wire.plain_object import read_body, written_body
from bawn.wire.responses import OpenAIResponses
from bawn.wire.responses_calls import is_call
from bawn.wire.responses_continuing import continued_request
from bawn.wire.responses_editing import OWN, ResponseEditor
from bawn.wire.responses_folding import folded_response, streamed_response
from bawn.wire.responses_items import became, fresh_item, message_item, runs_here, text_of, with_output
from bawn.wire.responses_stream import items_of
from bawn.wire.usage_sum import summed

_INCOMPLETE = {"max_output_tokens": "length", "content_filter": "filter"}


class ResponsesAnswers:
    """Faults `tool.refused` and `upstream.broken`, for what cannot be done soundly."""

    def editor(self, before: bytes) -> StreamEditor:
        return ResponseEditor(before)

    @editing
    def edited(self, endpoint: Endpoint, body: bytes, outcomes: Sequence[Outcome]) -> bytes:
        read, left = read_body(body), iter(outcomes)
        output: list[dict[str, Any]] = []
        for item in items_of(read):
            if not is_call(item):
                output.append(item)
                continue
            outcome = next(left, None)
            if outcome is None:
                raise Unsound("a call comes that nobody has decided on")
            written = became(item, outcome)
            output += [written] if written is not None else []
        if next(left, None) is not None:
            raise Unsound("there are more outcomes than calls")
        return written_body(with_output(read, _renamed((), output)))

    @reforming
    def joined(self, first: bytes, second: bytes) -> bytes:
        before, after = read_body(first), read_body(second)
        said = [item for item in items_of(before) if not runs_here(item)]
        whole = with_output(after, [*said, *_renamed(said, items_of(after))])
        whole |= {name: before[name] for name in OWN if name in before}
        return written_body({**whole, "usage": summed(before.get("usage"), after.get("usage"))})

    @reforming
    def folded(self, stream: bytes) -> bytes:
        return written_body(folded_response(stream))

    @reforming
    def streamed(self, body: bytes) -> bytes:
        return streamed_response(read_body(body))

    @editing
    def continued(self, request: bytes, answer: bytes, refusals: Sequence[Refused]) -> bytes:
        return written_body(continued_request(read_body(request), read_body(answer), refusals))

    def answer_of(self, text: str, model: str, call: str, created: int) -> bytes:
        return written_body(
            {
                "id": f"resp_{call}",
                "object": "response",
                "created_at": created,
                "status": "completed",
                "background": False,
                "error": None,
                "incomplete_details": None,
                "instructions": None,
                "metadata": {},
                "model": model,
                "output": [message_item(f"msg_{call}", text)],
                "parallel_tool_calls": True,
                "temperature": None,
                "tool_choice": "auto",
                "tools": [],
                "top_p": None,
                "store": False,
                "usage": {
                    "input_tokens": 0,
                    "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
                    "output_tokens": 0,
                    "output_tokens_details": {"reasoning_tokens": 0},
                    "total_tokens": 0,
                },
            }
        )

    @reforming
    def said(self, endpoint: Endpoint, body: bytes) -> Said:
        calls = OpenAIResponses().read_answer(endpoint, body).calls
        read = read_body(body)
        return Said(text_of(items_of(read)), calls, _finished(read))


def _renamed(before: Sequence[dict[str, Any]], items: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Items with ids that none of those before them has."""
    ids = {item["id"] for item in before if isinstance(item.get("id"), str)}
    return [fresh_item(item, ids) for item in items]


def _finished(read: dict[str, Any]) -> str:
    if read.get("status") == "incomplete":
        details = read.get("incomplete_details")
        return _INCOMPLETE.get(str(details.get("reason") if isinstance(details, dict) else ""), "other")
    if read.get("status") != "completed":
        return "other"
    return "calls" if any(map(runs_here, items_of(read))) else "stop"
