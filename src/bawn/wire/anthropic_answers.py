"""What can be done with the answers of Anthropic's messages beside reading them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bawn.terms.exchange import Endpoint
from bawn.wire.anthropic import AnthropicMessages
from bawn.wire.anthropic_blocks import became, runs_here
from bawn.wire.anthropic_calls import is_tool_call
from bawn.wire.anthropic_continuing import continued_request
from bawn.wire.anthropic_editing import MessageEditor, stopped
from bawn.wire.anthropic_folding import folded_message, streamed_message
from bawn.wire.editing import Outcome, Refused, Said, StreamEditor
from bawn.wire.editing_faults import editing, reforming
from bawn.wire.holding import Unsound
from bawn.wire.plain_object import dicts, read_body, written_body
from bawn.wire.usage_sum import summed

_FINISHED = {
    "end_turn": "stop", "stop_sequence": "stop", "tool_use": "calls", "max_tokens": "length",
    "model_context_window_exceeded": "length", "refusal": "filter",
}  # fmt: skip
_OWN = ("id", "type", "role", "model")
"""What a message is told by, whichever answers went into it."""


class AnthropicAnswers:
    """Faults `tool.refused` and `upstream.broken`, for what cannot be done soundly."""

    def editor(self, before: bytes) -> StreamEditor:
        return MessageEditor(before)

    @editing
    def edited(self, endpoint: Endpoint, body: bytes, outcomes: Sequence[Outcome]) -> bytes:
        read, left = read_body(body), iter(outcomes)
        content: list[dict[str, Any]] = []
        for block in dicts(read.get("content"), "a content"):
            if not is_tool_call(block):
                content.append(block)
                continue
            outcome = next(left, None)
            if outcome is None:
                raise Unsound("a call comes that nobody has decided on")
            became_block = became(block, outcome)
            content += [became_block] if became_block is not None else []
        if next(left, None) is not None:
            raise Unsound("there are more outcomes than calls")
        return _message(read, content)

    @reforming
    def joined(self, first: bytes, second: bytes) -> bytes:
        before, after = read_body(first), read_body(second)
        said = [block for block in dicts(before.get("content"), "a content") if not runs_here(block)]
        whole = {**after, **{name: before[name] for name in _OWN if name in before}}
        whole["usage"] = summed(before.get("usage"), after.get("usage"))
        return _message(whole, [*said, *dicts(after.get("content"), "a content")])

    @reforming
    def folded(self, stream: bytes) -> bytes:
        return written_body(folded_message(stream))

    @reforming
    def streamed(self, body: bytes) -> bytes:
        return streamed_message(read_body(body))

    @editing
    def continued(self, request: bytes, answer: bytes, refusals: Sequence[Refused]) -> bytes:
        return written_body(continued_request(read_body(request), read_body(answer), refusals))

    def answer_of(self, text: str, model: str, call: str, created: int) -> bytes:
        counts = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens")
        return written_body(
            {
                "id": f"msg_{call}",
                "type": "message",
                "role": "assistant",
                "model": model,
                "content": [{"type": "text", "text": text}] if text else [],
                "stop_reason": "end_turn",
                "stop_sequence": None,
                "usage": dict.fromkeys(counts, 0),
            }
        )

    @reforming
    def said(self, endpoint: Endpoint, body: bytes) -> Said:
        calls = AnthropicMessages().read_answer(endpoint, body).calls
        read = read_body(body)
        content = dicts(read["content"], "a content") if "content" in read else []
        text = "".join(str(block.get("text", "")) for block in content if block.get("type") == "text")
        return Said(text, calls, _FINISHED.get(str(read.get("stop_reason")), "other"))


def _message(read: dict[str, Any], content: list[dict[str, Any]]) -> bytes:
    """A message with another content, and the reason to stop that belongs to it."""
    reason = stopped(read.get("stop_reason"), any(map(runs_here, content)), again=False)
    return written_body({**read, "content": content, "stop_reason": reason})
