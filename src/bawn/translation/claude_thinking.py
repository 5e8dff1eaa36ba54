"""How Claudes are asked to think, which is another for each of their generations.

Sources: platform.claude.com/docs/en/build-with-claude/adaptive-thinking, …/extended-thinking.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Any

from bawn.terms.exchange import WireName
from bawn.translation.features import Feature
from bawn.translation.neutral import Conversation, Part, Role, Thinking, ToolResult

BUDGETS = {"minimal": 1024, "low": 2048, "medium": 8192, "high": 16384, "xhigh": 32768, "max": 32768}
"""Tokens of thinking for an effort, on wires that count it."""
_LEAST_BUDGET = 1024
_CLAUDE = re.compile(r"claude-(?:[a-z]+-)?([0-9]{1,2})(?:[.-]([0-9]{1,2}))?(?![0-9])")
_FIRST_TO_THINK, _FIRST_ADAPTIVE, _FIRST_WITHOUT_SAMPLING = (3, 7), (4, 6), (4, 7)


class _Thinks(StrEnum):
    """How a model is asked to think."""

    NOT = "not"
    BUDGET = "budget"
    ADAPTIVE = "adaptive"


def _generation(model: str) -> tuple[int, int] | None:
    """The generation that a Claude's name tells; None when it is none, or has no number."""
    found = _CLAUDE.search(model)
    return (int(found[1]), int(found[2] or 0)) if found else None


def _thinks(model: str) -> _Thinks:
    generation = _generation(model)
    if generation is None:
        # Names without a number are of new models; what is no Claude speaks this wire as it was.
        return _Thinks.ADAPTIVE if "claude" in model else _Thinks.BUDGET
    if generation < _FIRST_TO_THINK:
        return _Thinks.NOT
    return _Thinks.BUDGET if generation < _FIRST_ADAPTIVE else _Thinks.ADAPTIVE


def lacking(model: str) -> frozenset[Feature]:
    """What a model does not take although the wire has a word for it
    (platform.claude.com/docs/en/build-with-claude/adaptive-thinking)."""
    lacks = {Feature.EFFORT} if _thinks(model) is _Thinks.NOT else set()
    generation = _generation(model)
    if "claude" in model and (generation is None or generation >= _FIRST_WITHOUT_SAMPLING):
        lacks |= {Feature.TEMPERATURE, Feature.TOP_P, Feature.TOP_K}
    return frozenset(lacks)


def asked_to_think(conversation: Conversation, model: str, most: int, body: dict[str, Any]) -> dict[str, Any]:
    """Ask for thoughts in `body`, as the model knows it; what of it stands in `output_config`."""
    if _thinks(model) is _Thinks.ADAPTIVE:
        body["thinking"] = {"type": "adaptive", "display": "summarized"}
        return {"effort": "low" if conversation.effort == "minimal" else conversation.effort}
    budget = BUDGETS.get(conversation.effort, 0)
    if conversation.most is None:
        # Thoughts count as output there: without a limit of the client there shall be as much to say as without them.
        body["max_tokens"] = most + budget
    else:
        budget = min(budget, most // 2)
    if budget >= _LEAST_BUDGET:
        body["thinking"] = {"type": "enabled", "budget_tokens": budget}
    return {}


def may_think(conversation: Conversation) -> bool:
    """Not where a tool is chosen for the model, and not where a call of the running turn has lost the thought before it,
    without which the provider would not go on."""
    if conversation.choice in ("required", "one"):
        return False
    last = next((turn for turn in reversed(conversation.turns) if turn.role is Role.ASSISTANT), None)
    goes_on = bool(conversation.turns) and any(isinstance(part, ToolResult) for part in conversation.turns[-1].parts)
    return not goes_on or last is None or any(is_own(part) for part in last.parts)


def is_own(part: Part) -> bool:
    return isinstance(part, Thinking) and part.origin is WireName.ANTHROPIC and bool(part.proof)
