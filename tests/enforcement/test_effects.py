"""What waits to be done beside the conversation: in its order, within bounds, and no container at the cost of another."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from msgspec import structs

from bawn.enforcement.effects import QUEUED, Doing, Effects
from bawn.errors import Fault
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


class Desk:
    """Does nothing until it is let; notes what was done and what found no room."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.done: list[str] = []
        self.refused: list[str] = []
        self.effects = Effects(self._do, self._ended, lambda: 0.0)

    async def _do(self, doing: Doing) -> None:
        await self.go.wait()
        self.done.append(f"{doing.rule.id} {doing.container} {doing.happened.key}")

    def _ended(self, doing: Doing, fault: Fault | None, seconds: float) -> None:
        if fault is not None:
            self.refused.append(f"{doing.rule.id} {doing.container} {doing.happened.key}")

    async def add(self, *doings: Doing) -> None:
        for each in doings:
            self.effects.add(each)
        await asyncio.sleep(0)

    async def rest(self) -> None:
        self.go.set()
        await self.effects.settled()


@pytest.fixture
def desk() -> Desk:
    return Desk()


async def test_a_container_that_fills_the_queues_takes_no_place_from_another(desk: Desk) -> None:
    await desk.add(*(doing(container="flood", key=str(at)) for at in range(QUEUED + 100)))
    await desk.add(*(doing(container="dev", key=str(at)) for at in range(9)))
    assert desk.refused
    await desk.rest()
    assert {each.split()[1] for each in desk.refused} == {"flood"}
    assert [each for each in desk.done if "dev" in each] == [f"r dev {at}" for at in range(9)]


async def test_a_container_that_fills_its_room_takes_none_from_another_and_no_rule_takes_all(desk: Desk) -> None:
    for id_ in ("a", "b", "c"):
        for size in (4 * MIB, MIB, 2**16, 2**10, 1):
            await desk.add(*(doing(id_, "flood", key=f"{size}-{at}", error="x" * size) for at in range(20)))
    flooded = len(desk.refused)
    assert flooded
    await desk.add(doing("a", "dev", key="long", error="x" * 8 * MIB), doing("real", "flood", error="x" * 8 * 2**10))
    assert len(desk.refused) == flooded, "there is room for another container, and for another rule of this one"
    await desk.rest()
    assert {"a dev long", "real flood "} <= set(desk.done)


async def test_room_is_free_again_when_what_waited_is_done(desk: Desk) -> None:
    for _ in range(3):
        await desk.add(*(doing(key=str(at), error="x" * 8 * MIB) for at in range(3)))
        await desk.rest()
    assert not desk.refused
    assert len(desk.done) == 9


async def test_containers_take_turns_and_each_keeps_its_order(desk: Desk) -> None:
    command = rule("r", {"type": "shell", "command": "x"})
    for container in ("flood", "dev"):
        for at in range(4):
            action = command.action
            assert action.type == "shell"
            desk.effects.add(Doing(command, action, structs.replace(HAPPENED, key=str(at)), container))
    await desk.rest()
    assert [each.split()[1] for each in desk.done] == ["flood", "dev"] * 4
    for container in ("flood", "dev"):
        assert [each[-1] for each in desk.done if container in each] == list("0123")
