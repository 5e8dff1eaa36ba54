"""Rules tried on recorded sessions over the API and the command line: who may, on record, and what is said where nothing is."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.api.test_rules import BLOCK, GUARD, client, refused
from tests.api.yard import Yard

from bawn import sdk
from bawn.api.roles import ROOT
from bawn.errors import Fault
from bawn.terms.principal import Role

__all__ = ["client"]

SAID = {"role": "system", "content": "You are an agent."}


def line(call: str, *said: dict[str, str], **other: Any) -> str:
    """As the request log has it; the answer says hi."""
    answer = {
        "id": "1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "hi"}}],
    }
    told = {
        "time": f"2030-01-01T12:00:0{call}Z",
        "call": f"call_{call}",
        "session": "ses_1",
        "container": "dev",
        "number": 1,
        "uuid": "uuid-dev",
        "project": "shop",
        "wire": "openai",
        "endpoint": "chat/completions",
        "model": "scripted/agent",
        "stream": False,
        "depth": 0,
        "status": 200,
        "outcome": "ok",
        "total_ms": 10,
        "tags": ["prod"],
        "request": {"model": "scripted/agent", "messages": [SAID, *said]},
        "answer": answer,
    }
    return json.dumps(told | other, separators=(",", ":")) + "\n"


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


@pytest.fixture
def log(yard: Yard) -> Path:
    folder = yard.path.parent / "state" / "requests"
    folder.mkdir(parents=True)
    answered = {"role": "assistant", "content": "hi"}
    lines = (line("1", user("hello")), "torn\n", line("2", user("hello"), answered, user("a secret")))
    (folder / "container-1.jsonl").write_text("".join(lines))
    return folder


RULES = json.dumps({"mitm": {"rules": [GUARD, {**BLOCK, "enabled": False}]}})


@pytest.mark.usefixtures("log")
async def test_a_session_is_tried_with_the_rules_of_a_file_on_record(yard: Yard, client: sdk.AsyncClient) -> None:
    found = await client.rules.replay("ses_1", text=RULES)
    assert (found.container, found.rules, found.broken, found.more) == ("dev", 1, 1, False)
    first, second = found.calls
    assert [(each.rule, each.event, each.effect) for each in first.fired] == [
        ("guard", "chat.system.transform", "prompt-inject")
    ]
    assert "+Be careful." in first.change.splitlines()
    assert (second.fired, second.change, second.standing) == ((), "", ("guard",))
    assert yard.effects == []
    assert not yard.rules.enforcer.counts
    told = yard.log.events[-1]
    assert (told.event, told.container, dict(told.detail)["session"]) == ("rule.replayed", "uuid-dev", "ses_1")
    assert told.principal.startswith("operator:")


@pytest.mark.usefixtures("log")
async def test_one_rule_is_tried_alone_also_where_it_is_not_enabled(client: sdk.AsyncClient) -> None:
    found = await client.rules.replay("ses_1", text=RULES, rule="no")
    assert [call.refused for call in found.calls] == ["", "A rule refuses this: no"]
    await refused("rule.unknown", client.rules.replay("ses_1", text=RULES, rule="nothing"))


@pytest.mark.usefixtures("log")
async def test_without_a_file_the_rules_that_hold_are_tried(client: sdk.AsyncClient) -> None:
    found = await client.rules.replay("ses_1", limit=1)
    assert [[each.rule for each in call.fired] for call in found.calls] == [["kept"]]
    assert found.more


@pytest.mark.usefixtures("log")
async def test_the_last_calls_of_a_long_session_are_tried_by_their_time(client: sdk.AsyncClient) -> None:
    at = datetime(2030, 1, 1, 12, 0, 1, tzinfo=UTC)
    found = await client.rules.replay("ses_1", text=RULES, since=at, limit=1)
    assert ([call.call for call in found.calls], found.more) == (["call_2"], False)
    for container in (None, "dev"):
        late = client.rules.replay("ses_1", since=at + timedelta(hours=1), container=container)
        told = await refused("rule.not_recorded", late)
        assert told.sentence == "The request log has no call of the session 'ses_1' from 2030-01-01T13:00:01Z on."
    told = await refused("rule.not_recorded", client.rules.replay("ses_1", since=at, container="other"))
    assert "of 'other'" in told.sentence


async def test_without_a_log_it_is_said_how_to_switch_it_on(yard: Yard, client: sdk.AsyncClient) -> None:
    told = await refused("rule.not_recorded", client.rules.replay("ses_1"))
    assert "no session 'ses_1'" in told.sentence
    yard.logs = False
    told = await refused("rule.not_recorded", client.rules.replay("ses_1"))
    assert "switched off" in told.sentence
    assert "`log: {}` under `transforms`" in told.remedy


async def test_sessions_of_equal_names_are_asked_about(log: Path, client: sdk.AsyncClient) -> None:
    other = line("3", user("hello"), container="other", number=2, uuid="uuid-other")
    (log / "container-2.jsonl").write_text(other)
    told = await refused("api.conflict", client.rules.replay("ses_1"))
    assert told.remedy == "Name one of them: dev, other."
    assert len((await client.rules.replay("ses_1", container="other")).calls) == 1
    told = await refused("rule.not_recorded", client.rules.replay("ses_1", container="third"))
    assert told.remedy == "It has one of dev, other."


@pytest.mark.usefixtures("log")
async def test_nobody_sees_what_was_said_unless_that_is_on_record(yard: Yard, client: sdk.AsyncClient) -> None:
    async def fails(event: Any) -> str:
        raise Fault("audit.unavailable", "The record is full.")

    yard.log.record = fails  # type: ignore[method-assign]
    await refused("audit.unavailable", client.rules.replay("ses_1"))


@pytest.mark.usefixtures("log")
@pytest.mark.parametrize(("role", "status"), [(Role.VIEWER, 403), (Role.APPROVER, 200)])
async def test_viewers_do_not_see_what_agents_said(yard: Yard, role: Role, status: int) -> None:
    token = await yard.person("ada", role)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{yard.port}{ROOT}", trust_env=False) as caller:
        answer = await caller.post(
            "/rules/replay", json={"session": "ses_1"}, headers={"authorization": f"Bearer {token}"}
        )
    assert answer.status_code == status, answer.text


async def test_bodies_that_cannot_be_read_any_more_are_told(log: Path, client: sdk.AsyncClient) -> None:
    calls = (
        line("1", request={"bytes": 900_000, "begin": "{"}),
        line("2", request={"messages": "[deeper than is written]"}),
        line("3", user("hello"), answer={"choices": "[redacted]"}),
        line("4", user("hello"), wire="unknown"),
    )
    (log / "container-1.jsonl").write_text("".join(calls))
    found = await client.rules.replay("ses_1", text=json.dumps({"mitm": {"rules": [GUARD, BLOCK]}}))
    assert found.broken == 1
    assert ["; ".join(call.untold).partition(":")[0] for call in found.calls] == [
        "its request is not in the log, or not whole",
        "its request cannot be read any more",
        "its answer cannot be read any more",
    ]


async def test_others_do_not_wait_for_a_long_replay(log: Path, client: sdk.AsyncClient) -> None:
    talk = [user(f"{number}: " + "word " * 200) for number in range(100)]
    lines = [line("1", *talk).replace("call_1", f"call_{number}") for number in range(100)]
    (log / "container-1.jsonl").write_text("".join(lines))
    replay = asyncio.create_task(client.rules.replay("ses_1", text=RULES))
    answered = 0
    while not replay.done():
        await client.rules.list()
        answered += 1
    assert len((await replay).calls) == 100
    assert answered >= 3, "others were answered only when it was over"
