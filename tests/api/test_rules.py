"""Rules over the API: added beside those of the files, changed, tried, logged; tags of conversations."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.api.yard import Yard

from bawn import sdk
from bawn.app.rules import RuleDesk
from bawn.enforcement.settings import Rules as Settings
from bawn.errors import Fault
from bawn.identity.record import NewContainer

GUARD: dict[str, Any] = {
    "id": "guard",
    "name": "Guard",
    "trigger": {"event": "chat.system.transform", "tags": ["prod"]},
    "action": {"type": "prompt-inject", "content": "Be careful."},
}
BLOCK = {
    "id": "no",
    "trigger": {"event": "chat.message", "contentMatch": "secret"},
    "action": {"type": "block", "reason": "no"},
}


@pytest.fixture
async def client(yard: Yard) -> AsyncIterator[sdk.AsyncClient]:
    async with sdk.AsyncClient(socket=str(yard.path)) as client:
        yield client


async def refused(code: str, call: Any) -> Fault:
    with pytest.raises(Fault) as caught:
        await call
    assert caught.value.code == code
    return caught.value


async def test_rules_are_added_changed_and_taken_away_on_record(yard: Yard, client: sdk.AsyncClient) -> None:
    added = await client.rules.add(GUARD)
    assert (added.source, added.enabled, added.written) == ("state/rules.json", True, GUARD)
    assert yard.rules.enforcer.rules.by_id["guard"].name == "Guard"
    assert [rule.id for rule in await client.rules.list()] == ["kept", "guard"]
    assert (await client.rules.edit("guard", {**GUARD, "name": "Other"})).name == "Other"
    assert not (await client.rules.disable("guard")).enabled
    assert "guard" not in yard.rules.enforcer.rules.by_id
    assert (await client.rules.enable("guard")).name == "Other"
    await client.rules.delete("guard")
    assert [rule.id for rule in await client.rules.list()] == ["kept"]
    told = [event for event in yard.log.events if event.event.startswith("rule.")]
    assert [event.event for event in told] == [
        f"rule.{verb}" for verb in ("added", "edited", "disabled", "enabled", "deleted")
    ]
    assert all(event.principal.startswith("operator:") for event in told)


async def test_what_was_added_is_there_after_a_restart(yard: Yard, client: sdk.AsyncClient) -> None:
    await client.rules.add(GUARD)
    again = RuleDesk(yard.path.parent, yard.store, yard.registry, yard.log, yard.rules.effects._do, yard.clock)
    again.begin((), Settings())
    assert [rule.id for rule in again.list()] == ["guard"]
    assert json.loads((yard.path.parent / "state/rules.json").read_text()) == {"mitm": {"rules": [GUARD]}}


async def test_a_rule_that_does_not_fit_is_refused_with_the_reason(yard: Yard, client: sdk.AsyncClient) -> None:
    wrong = {**GUARD, "trigger": {"event": "chat.massage"}}
    told = await refused("config.invalid", client.rules.add(wrong))
    assert "trigger.event: got 'chat.massage'" in told.sentence
    await refused("api.conflict", client.rules.add({**GUARD, "id": "kept"}))
    assert not (yard.path.parent / "state/rules.json").exists()


async def test_rules_of_files_are_changed_there(client: sdk.AsyncClient) -> None:
    told = await refused("api.conflict", client.rules.disable("kept"))
    assert "bawn.yaml" in told.sentence
    await refused("api.conflict", client.rules.delete("kept"))
    await refused("rule.unknown", client.rules.get("nothing"))
    await refused("rule.unknown", client.rules.enable("nothing"))


async def test_a_file_is_checked_with_its_lines(client: sdk.AsyncClient) -> None:
    assert (await client.rules.check(json.dumps({"mitm": {"rules": [GUARD]}, "theme": "dark"}))).fits
    verdict = await client.rules.check('{"mitm": {"rules": [\n{"id": "a"}]}}', "hoody.json")
    assert not verdict.fits
    assert verdict.problems[0].line == 2
    assert verdict.problems[0].sentence.startswith("hoody.json:2: mitm.rules[0]")


async def test_a_trial_says_what_would_fire_and_what_it_would_change(yard: Yard, client: sdk.AsyncClient) -> None:
    text = json.dumps({"mitm": {"rules": [GUARD, BLOCK]}})
    event = {"event": "chat.system.transform", "tags": ["prod"], "system": "You are an agent."}
    [trial] = await client.rules.test(event, text=text)
    assert trial.rule == "guard"
    assert "+Be careful." in trial.change
    assert "-You are" not in trial.change
    [trial] = await client.rules.test({"event": "chat.message", "messageContent": "a secret"}, text=text)
    assert trial.blocks
    assert await client.rules.test({"event": "chat.message", "messageContent": "fine"}, text=text) == []
    [trial] = await client.rules.test({"event": "session.idle"})
    assert trial.rule == "kept", "without a file, those that hold"
    assert yard.effects == []
    await refused("api.invalid", client.rules.test({"event": "x"}))
    await refused("api.invalid", client.rules.test({"event": "session.idle", "operatorTags": "prod"}))
    await refused("api.invalid", client.rules.test({"event": "session.idle", "colour": "red"}))


async def test_a_conversation_is_tagged_on_record(yard: Yard, client: sdk.AsyncClient) -> None:
    record = await yard.registry.create(NewContainer(name="dev", image="x", runtime="bubblewrap"))
    await client.sessions.tag("dev", "ses_1", ["prod", "night"])
    assert yard.rules.labels._sessions[record.uuid, "ses_1"] == {"prod", "night"}
    assert yard.log.events[-1].event == "session.tagged"
    await refused("api.not_found", client.sessions.tag("nobody", "ses_1", []))
    await refused("api.invalid", client.sessions.tag("dev", "ses_1", ["bad tag!"]))


async def test_a_trial_says_what_conditions_and_roles_make_of_it(client: sdk.AsyncClient) -> None:
    rules = [
        {
            "id": "when",
            "trigger": {"event": "chat.message", "when": '"prod" in event.operatorTags'},
            "action": BLOCK["action"],
        },
        {"id": "role", "trigger": {"event": "chat.message", "roles": ["plan*"]}, "action": BLOCK["action"]},
        {
            "id": "odd",
            "trigger": {"event": "chat.message", "when": "int(event.messageContent) > 1"},
            "action": BLOCK["action"],
        },
    ]
    text = json.dumps({"mitm": {"rules": rules}})
    event = {"event": "chat.message", "messageContent": "7", "operatorTags": ["prod"], "containerRole": "planner"}
    assert [trial.rule for trial in await client.rules.test(event, text=text)] == ["when", "role", "odd"]
    [trial] = await client.rules.test({"event": "chat.message", "messageContent": "x", "tags": ["prod"]}, text=text)
    assert (trial.rule, trial.failed) == ("odd", "it cannot be computed")
