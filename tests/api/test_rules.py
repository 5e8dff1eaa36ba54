"""Rules over the API: added beside those of the files, changed, tried, logged; tags of conversations."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.api.yard import Settings as SettingsOfTheYard
from tests.api.yard import Yard

from bawn import sdk
from bawn.api.roles import ROOT
from bawn.api.rules import without_secrets
from bawn.app.rule_files import Part
from bawn.app.rule_firings import CommandFailed
from bawn.app.rules import RuleDesk
from bawn.app.services import ConfigurationFile
from bawn.app.settings import Configuration
from bawn.enforcement.effects import Doing
from bawn.enforcement.settings import Rules as Settings
from bawn.errors import Fault
from bawn.identity.record import NewContainer
from bawn.rules.happening import Happening
from bawn.rules.model import EventName, Mitm, Rule, Shell
from bawn.terms.principal import Role

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


async def test_others_do_not_wait_while_rules_are_looked_at(yard: Yard) -> None:
    """A viewer may ask for as much as a file can hold."""
    long = "1" + "*2" * 900
    when = [f"event.args.n == {number} + {long}" for number in range(30)]
    action = {"type": "block", "reason": "no"}
    rules = [
        {"id": f"r{number}", "trigger": {"event": "tool.execute.before", "when": each}, "action": action}
        for number, each in enumerate(when)
    ]
    text = json.dumps({"mitm": {"rules": rules}})
    event = {"event": "tool.execute.before", "toolInput": '{"n": 1}'}
    file = ConfigurationFile(Path("bawn.yaml"), Configuration, lambda made: None, yard.log)
    async with sdk.AsyncClient(socket=str(yard.path)) as client:
        for looked in (
            client.rules.check(text),
            client.rules.test(event, text=text.replace(" + 1*", " + 3*")),
            file.check(text.replace(" + 1*", " + 4*")),
        ):
            pauses: list[float] = []
            ticking = asyncio.create_task(ticks(pauses))
            began = time.monotonic()
            await looked
            took = time.monotonic() - began
            ticking.cancel()
            print(f"{took:.2f} s, longest pause {max(pauses) * 1000:.0f} ms")
            assert took > 0.2
            assert max(pauses) < took / 2


async def ticks(pauses: list[float]) -> None:
    while True:
        began = time.monotonic()
        await asyncio.sleep(0.001)
        pauses.append(time.monotonic() - began)


async def test_a_viewer_tries_no_rules(yard: Yard) -> None:
    headers = {"authorization": f"Bearer {await yard.person('ada', Role.VIEWER)}"}
    async with httpx.AsyncClient(base_url=yard.url + ROOT, headers=headers, trust_env=False) as page:
        answer = await page.post("/rules/test", json={"event": {"event": "session.idle"}})
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "api.forbidden")


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


async def test_a_pack_is_added_again_for_its_words_and_removed_as_a_whole(yard: Yard, client: sdk.AsyncClient) -> None:
    names = [pack.name for pack in await client.rules.packs()]
    assert "security-directives" in names
    added = await client.rules.add_pack("security-directives")
    assert (added.added, added.current) == (True, True)
    listed = [rule.id for rule in await client.rules.list()]
    assert listed == ["kept", *added.rules]
    assert set(added.rules) <= set(yard.rules.enforcer.rules.by_id)
    first, second, *_ = added.rules
    await client.rules.disable(first)
    await client.rules.edit(second, {**(await client.rules.get(second)).written, "name": "Mine"})
    assert not next(pack for pack in await client.rules.packs() if pack.name == "security-directives").current
    assert (await client.rules.add_pack("security-directives")).current
    assert not (await client.rules.get(first)).enabled, "who switched it off meant it"
    assert (await client.rules.get(second)).name != "Mine"
    assert (await client.rules.add_pack("security-directives")).current, "nothing changes, and that is not on record"
    await client.rules.remove_pack("security-directives")
    assert [rule.id for rule in await client.rules.list()] == ["kept"]
    told = [event for event in yard.log.events if event.event.startswith("rule.pack_")]
    assert [event.event for event in told] == ["rule.pack_added", "rule.pack_added", "rule.pack_removed"]
    assert all(dict(event.detail) == {"pack": "security-directives"} for event in told)
    await refused("rule.unknown", client.rules.remove_pack("security-directives"))
    await refused("rule.unknown", client.rules.add_pack("none"))


async def test_ids_of_packs_are_nobody_else_s(yard: Yard, client: sdk.AsyncClient) -> None:
    told = await refused("api.conflict", client.rules.add({**GUARD, "id": "security-directives:mine"}))
    assert "of a pack" in told.sentence
    taken = Mitm.model_validate({"rules": [{**GUARD, "id": "security-directives:credentials"}]})
    yard.rules.apply([Part("bawn.yaml", taken)], Settings())
    told = await refused("config.invalid", client.rules.add_pack("security-directives"))
    assert "is a rule of bawn.yaml already" in told.sentence
    assert [rule.id for rule in await client.rules.list()] == ["security-directives:credentials"]


HOSTED = {"id": "h", "trigger": {"event": "session.idle"}, "action": {"type": "shell", "command": "true", "host": True}}


async def test_a_command_on_the_host_needs_the_operator_s_own_word(yard: Yard, client: sdk.AsyncClient) -> None:
    told = await refused("config.invalid", client.rules.add(HOSTED))
    assert "rule.json:" in told.sentence
    assert "mitm.rules[0].action.host: got true, commands run on the host only as the user" in told.sentence
    await client.rules.add({**HOSTED, "action": {**HOSTED["action"], "host": False}})  # type: ignore[dict-item]
    await refused("config.invalid", client.rules.edit("h", HOSTED))
    verdict = await client.rules.check(json.dumps({"mitm": {"rules": [HOSTED]}}), "hoody.json")
    assert not verdict.fits
    yard.rules.apply((), Settings(host_user="runner"))
    assert (await client.rules.check(json.dumps({"mitm": {"rules": [HOSTED]}}), "hoody.json")).fits
    await client.rules.edit("h", HOSTED)


async def test_the_word_cannot_be_taken_back_while_a_rule_needs_it(yard: Yard, client: sdk.AsyncClient) -> None:
    yard.rules.apply((), Settings(host_user="runner"))
    await client.rules.add(HOSTED)
    with pytest.raises(Fault, match=r"state/rules\.json:\d+: mitm\.rules\[0\]\.action\.host"):
        yard.rules.check((), Settings())
    with pytest.raises(Fault, match="state/rules"):
        yard.rules.apply((), Settings())
    assert (await client.rules.get("h")).enabled
    again = RuleDesk(yard.path.parent, yard.store, yard.registry, yard.log, yard.rules.effects._do, yard.clock)
    with pytest.raises(Fault, match=r"state/rules\.json:\d+: mitm\.rules\[0\]\.action\.host"):
        again.begin((), Settings())


async def test_tokens_of_webhooks_are_shown_to_who_may_change_them_alone(
    yard: Yard, client: sdk.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    action = {"type": "webhook", "url": "https://hooks.example.org/T0/s3cret?k=s3cret", "headers": {"X-Key": "s3cret"}}
    hook = {"id": "w", "trigger": {"event": "session.idle"}, "action": action}
    await client.rules.add(hook)
    monkeypatch.setattr(SettingsOfTheYard, "effective", lambda _: {"mitm": {"tags": [], "rules": [hook]}})
    assert (await client.rules.get("w")).written == hook
    assert "s3cret" in json.dumps(await client.config.effective())
    for role in (Role.VIEWER, Role.APPROVER):
        headers = {"authorization": f"Bearer {await yard.person(role.value, role)}"}
        async with httpx.AsyncClient(base_url=yard.url + ROOT, headers=headers, trust_env=False) as page:
            for path in ("/rules", "/rules/w", "/config"):
                told = (await page.get(path)).text
                assert "s3cret" not in told
                assert "hooks.example.org" in told
            shown = (await page.get("/rules/w")).json()["data"]["rule"]["written"]["action"]
            assert shown == {**action, "url": "https://hooks.example.org/•••", "headers": {"X-Key": "•••"}}


async def test_what_a_command_printed_is_for_who_may_see_what_agents_said(yard: Yard, client: sdk.AsyncClient) -> None:
    action = {"type": "shell", "command": "cat; false"}
    rule = Rule.model_validate({"id": "s", "trigger": {"event": "tool.execute.before"}, "action": action})
    assert isinstance(rule.action, Shell)
    await client.rules.add({"id": "s", "trigger": {"event": "tool.execute.before"}, "action": action})
    happened = Happening(EventName.TOOL_BEFORE, "ses_1", "dev", "shop", frozenset())
    failed = CommandFailed("it ended with status 1", "a s3cret prompt")
    yard.rules._firings.ended(Doing(rule, rule.action, happened, "uuid"), failed, 0.1)
    shown = {}
    for role in Role:
        headers = {"authorization": f"Bearer {await yard.person(role.value, role)}"}
        async with httpx.AsyncClient(base_url=yard.url + ROOT, headers=headers, trust_env=False) as page:
            [firing] = (await page.get("/rules/log")).json()["data"]["firings"]
            assert firing["error"] == "it ended with status 1"
            shown[role] = firing["printed"]
            assert "s3cret" not in (await page.get("/rules")).text
    assert shown == {Role.VIEWER: "", Role.APPROVER: "a s3cret prompt", Role.ADMIN: "a s3cret prompt"}
    assert "s3cret" not in repr(yard.log.events)
    assert "s3cret" not in repr(yard.rules.troubles())


def test_what_is_shown_of_other_rules_is_the_rule() -> None:
    assert without_secrets(GUARD) == GUARD
    assert without_secrets({"action": {"type": "webhook"}})["action"]["url"].endswith("•••")


async def test_more_than_a_file_may_hold_is_refused_when_it_is_added_not_at_the_next_start(
    yard: Yard, client: sdk.AsyncClient
) -> None:
    words = {"type": "prompt-inject", "content": "x" * 100_000}
    for at in range(10):
        await client.rules.add({**GUARD, "id": f"r{at}", "action": words})
    told = await refused("config.invalid", client.rules.add({**GUARD, "id": "last", "action": words}))
    assert "expected at most 1048576 characters" in told.sentence
    again = RuleDesk(yard.path.parent, yard.store, yard.registry, yard.log, yard.rules.effects._do, yard.clock)
    again.begin((), Settings())
    assert len(again.list()) == 10
