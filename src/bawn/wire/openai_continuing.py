"""The request that goes on after calls were withheld: the model's own turn, and what became of its calls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bawn.wire.editing import Refused
from bawn.wire.fields import with_more
from bawn.wire.holding import Unsound
from bawn.wire.openai_calls import LEGACY, pieces
from bawn.wire.openai_choices import CALLING
from bawn.wire.plain_object import dicts

_TURN = ("role", "content", "refusal", "reasoning", "reasoning_content", "reasoning_details", *CALLING)
"""What a message that was answered may bring into a request; thinking goes back as it came."""


def continued_request(request: bytes, answer: dict[str, Any], refusals: Sequence[Refused]) -> bytes:
    """Raises Unsound when there is a call that nobody refused, or when more than one choice calls."""
    messages = [choice.get("message") or {} for choice in dicts(answer.get("choices"), "the choices")]
    calling = [message for message in messages if pieces(message)]
    if len(calling) != 1:
        raise Unsound("there is no one message to go on with")
    (message,) = calling
    turn = {name: message[name] for name in _TURN if message.get(name) is not None}
    turn = {"role": "assistant", "content": None, **turn}
    calls = pieces(message)
    if len(refusals) != len(calls):
        raise Unsound("there are not as many refusals as calls")
    results: list[dict[str, Any]] = []
    for number, (call, refused) in enumerate(zip(calls, refusals, strict=True)):
        if call.id != refused.id:
            raise Unsound("a call has no refusal")
        if call.index == LEGACY:
            results.append({"role": "function", "name": call.name, "content": refused.text})
            continue
        results.append({"role": "tool", "tool_call_id": call.id or f"call_{number}", "content": refused.text})
    if "tool_calls" in turn:
        first = len(calls) - len(turn["tool_calls"])
        turn["tool_calls"] = [_call(call, first + number) for number, call in enumerate(turn["tool_calls"])]
    return with_more(request, "messages", [turn, *results])


def _call(call: dict[str, Any], number: int) -> dict[str, Any]:
    """A call as requests have it: with an id and a kind, without a number."""
    kind = "custom" if call.get("custom") is not None else "function"
    described = {name: value for name, value in call.items() if name != "index"}
    return {**described, "id": call.get("id") or f"call_{number}", "type": call.get("type") or kind}
