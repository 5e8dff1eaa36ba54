"""What waits to be done beside the conversation: in its order, within bounds, and no container at the cost of another."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs

from bawn.enforcement.effects import Doing
from bawn.rules.happening import Happening
from bawn.rules.model import EventName, Mitm, Rule

MIB = 2**20
HAPPENED = Happening(EventName.SESSION_ERROR, "ses", "dev", "default")
LONG: dict[str, Any] = {
    "session": "x" * MIB,
    "key": "x" * MIB,
    "text": "x" * MIB,
    "tool": "x" * MIB,
    "title": "x" * MIB,
    "directory": "x" * MIB,
    "tool_input": "x" * MIB,
    "tool_output": "x" * MIB,
    "error": "x" * MIB,
    "tags": frozenset(["x" * MIB]),
}


def rule(id_: str, action: dict[str, Any] | None = None) -> Rule:
    action = action or {"type": "notification", "title": "x"}
    return Mitm.model_validate({"rules": [{"id": id_, "trigger": {"event": "session.error"}, "action": action}]}).rules[
        0
    ]


def doing(id_: str = "r", container: str = "dev", **said: Any) -> Doing:
    one = rule(id_)
    assert one.action.type == "notification"
    return Doing(one, one.action, structs.replace(HAPPENED, **said), container)


@pytest.mark.parametrize("field", LONG)
def test_whatever_is_long_counts(field: str) -> None:
    assert MIB <= doing(**{field: LONG[field]}).size < MIB + 2000
