"""The request that goes on after calls were withheld: the model's own items, and what became of its calls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bawn.wire.editing import Refused
from bawn.wire.holding import Unsound
from bawn.wire.plain_object import dicts
from bawn.wire.responses_calls import call_of
from bawn.wire.responses_items import runs_here
from bawn.wire.responses_stream import items_of


def continued_request(request: dict[str, Any], answer: dict[str, Any], refusals: Sequence[Refused]) -> dict[str, Any]:
    """Raises Unsound when there is a call that nobody refused, or one whose result cannot be a text."""
    output = items_of(answer)
    answered = {item.get("call_id") for item in output if str(item.get("type")).endswith("_output")}
    texts = {refused.id: refused.text for refused in refusals}
    left = [item for item in output if runs_here(item) and call_of(item)[0] not in answered]
    results = [_result(item, texts) for item in left]
    if not results:
        raise Unsound("there is no call to answer")
    if request.get("conversation") is not None:
        # The provider has put down there what was asked and what was said.
        return {**request, "input": results}
    stored = request.get("store") is True
    said = [item for item in output if stored or not _is_lost(item)]
    return {**request, "input": [*_items(request.get("input")), *said, *results]}


def _result(item: dict[str, Any], texts: dict[str, str]) -> dict[str, Any]:
    call = call_of(item)[0]
    if call not in texts:
        raise Unsound("a call has no refusal")
    text, kind = texts[call], str(item["type"])
    match kind:
        case "function_call" | "custom_tool_call":
            told: dict[str, Any] = {"output": text}
        case "local_shell_call":
            # Named by one field in the reference, and by the other in the guide.
            told = {"id": call, "output": text}
        case "shell_call":
            told = {"output": [{"stdout": "", "stderr": text, "outcome": {"type": "exit", "exit_code": 1}}]}
            action = item.get("action")
            if isinstance(action, dict) and action.get("max_output_length") is not None:
                told["max_output_length"] = action["max_output_length"]
        case "apply_patch_call":
            told = {"status": "failed", "output": text}
        case "mcp_approval_request":
            answer = {"approval_request_id": item.get("id"), "approve": False, "reason": text}
            return {"type": "mcp_approval_response", **answer}
        case _:
            raise Unsound("the result of such a call cannot be a text")
    if "caller" in item and kind != "local_shell_call":
        # Calls that a program of the model has made are answered to that program.
        told["caller"] = item["caller"]
    return {"type": f"{kind}_output", "call_id": call, **told}


def _is_lost(item: dict[str, Any]) -> bool:
    """Reasoning that is neither sent along nor kept: the provider would look for it by its id, and refuse."""
    return item.get("type") == "reasoning" and not item.get("encrypted_content")


def _items(given: Any) -> list[dict[str, Any]]:
    if given is None:
        return []
    if isinstance(given, str):
        return [{"role": "user", "content": given}]
    return dicts(given, "an input")
