"""The request that goes on after calls were withheld: the model's own turn, and what became of its calls.

The turn goes back block by block as it came: thinking is signed, and the provider refuses it when its place or its
words have changed (docs.anthropic.com, "Extended thinking", preserving thinking blocks).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bawn.wire.anthropic_blocks import runs_here
from bawn.wire.anthropic_calls import is_tool_call
from bawn.wire.editing import Refused
from bawn.wire.holding import Unsound
from bawn.wire.plain_object import dicts


def continued_request(request: dict[str, Any], answer: dict[str, Any], refusals: Sequence[Refused]) -> dict[str, Any]:
    """Raises Unsound when there is a call that nobody refused."""
    said = [block for block in dicts(answer.get("content"), "a content") if not _says_nothing(block)]
    texts = {refused.id: refused.text for refused in refusals}
    if any(is_tool_call(block) and not runs_here(block) and block.get("id") in texts for block in said):
        raise Unsound("a call was refused that the provider has run already")
    results = [_result(block, texts) for block in said if runs_here(block)]
    if not results:
        raise Unsound("there is no call to answer")
    messages = dicts(request.get("messages"), "what was said")
    turn: dict[str, Any] = {"role": "assistant", "content": said}
    if messages and messages[-1].get("role") == "assistant":
        # The request began the turn, and the answer went on with it.
        *messages, begun = messages
        turn = {**begun, "content": [*_blocks(begun.get("content")), *said]}
    return {**request, "messages": [*messages, turn, {"role": "user", "content": results}]}


def _result(block: dict[str, Any], texts: dict[str, str]) -> dict[str, Any]:
    call = block.get("id")
    if not isinstance(call, str) or call not in texts:
        raise Unsound("a call has no refusal")
    said = [{"type": "text", "text": texts[call]}]
    return {"type": "tool_result", "tool_use_id": call, "is_error": True, "content": said}


def _says_nothing(block: dict[str, Any]) -> bool:
    """A text that the provider sends and does not take back."""
    text = block.get("text")
    return block.get("type") == "text" and isinstance(text, str) and not text.strip()


def _blocks(content: Any) -> list[dict[str, Any]]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    return dicts(content, "a content")
