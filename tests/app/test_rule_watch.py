"""Files of rules that change while Bawn runs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from bawn.app.rule_files import Part, beside, merged
from bawn.app.rule_watch import RuleWatch
from bawn.errors import Fault
from bawn.terms.event import Event


class Held:
    """What holds, as the composition root would let it."""

    def __init__(self, folder: Path) -> None:
        self.parts: Sequence[Part] = beside(folder)
        self.events: list[str] = []
        self.full = False
        self.watch = RuleWatch(folder, lambda: beside(folder), self._check, self._apply, self)

    @property
    def ids(self) -> list[str]:
        return [rule.id for rule in merged(self.parts).rules]

    def _check(self, parts: Sequence[Part]) -> None:
        merged(parts)

    def _apply(self, parts: Sequence[Part]) -> None:
        self.parts = parts

    async def record(self, event: Event) -> str:
        if self.full:
            raise Fault("audit.unavailable", "Nothing can be recorded.")
        self.events.append(event.event)
        return "1"


@pytest.fixture
def held(tmp_path: Path) -> Held:
    return Held(tmp_path)


def write(path: Path, *ids: str) -> None:
    rules = [
        {"id": id_, "trigger": {"event": "session.idle"}, "action": {"type": "notification", "title": "x"}}
        for id_ in ids
    ]
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"mitm": {"rules": rules}}))


async def test_a_file_holds_when_it_has_stayed_the_same_for_two_looks(held: Held, tmp_path: Path) -> None:
    write(tmp_path / "hoody.json", "a")
    await held.watch.look()
    assert held.ids == []
    write(tmp_path / "hoody.json", "a", "b")
    await held.watch.look()
    assert held.ids == []
    await held.watch.look()
    assert held.ids == ["a", "b"]
    assert held.events == ["rules.reloaded"]
    await held.watch.look()
    assert held.events == ["rules.reloaded"], "what has not changed is not read again"


async def test_a_file_of_a_project_and_one_that_goes_are_seen(held: Held, tmp_path: Path) -> None:
    write(tmp_path / "rules" / "shop.json", "a")
    for _ in range(2):
        await held.watch.look()
    assert held.ids == ["a"]
    (tmp_path / "rules" / "shop.json").unlink()
    for _ in range(2):
        await held.watch.look()
    assert held.ids == []


async def test_a_mistake_changes_nothing_and_is_told_until_it_is_mended(held: Held, tmp_path: Path) -> None:
    write(tmp_path / "hoody.json", "a")
    for _ in range(2):
        await held.watch.look()
    (tmp_path / "hoody.json").write_text('{"mitm": {"rules": [{"id": "a"}]}}')
    for _ in range(2):
        await held.watch.look()
    assert held.ids == ["a"]
    assert "hoody.json:1: mitm.rules[0].trigger: is missing" in held.watch.wrong
    assert held.events[-1] == "rules.refused"
    write(tmp_path / "hoody.json", "b")
    for _ in range(2):
        await held.watch.look()
    assert (held.ids, held.watch.wrong) == (["b"], "")


async def test_what_cannot_be_recorded_does_not_hold(held: Held, tmp_path: Path) -> None:
    held.full = True
    write(tmp_path / "hoody.json", "a")
    for _ in range(2):
        await held.watch.look()
    assert held.ids == []
    assert held.watch.wrong
