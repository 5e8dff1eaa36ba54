"""Conditions, roles and tags as agents meet them, through a real door."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from tests.gateway.conftest import UUID, Start
from tests.gateway.rules_house import House
from tests.gateway.test_interception import WIRES

from bawn.adapters.report import Effect, Report, Verdict
from bawn.identity.registry import Standing
from bawn.rules.model import EventName
from bawn.store import Store, open_store
from bawn.store.upgrade import upgrade
from bawn.terms.principal import Container

Begin = Callable[..., Awaitable[House]]
CHAT = WIRES[0]
BLOCK = {"type": "block", "reason": "not with us"}


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = open_store(tmp_path / "bawn.db")
    upgrade(opened)
    yield opened
    opened.close()


@pytest.fixture
async def begin(start: Start, store: Store, scripted: Path) -> AsyncIterator[Begin]:
    houses: list[House] = []

    async def begun(*rules: dict[str, Any], **said: Any) -> House:
        house = House(store, scripted, list(rules), **said)
        houses.append(house)
        return await house.start(start)

    yield begun
    for house in houses:
        await house.close()


def rule(id_: str, event: str, action: dict[str, Any] | None = None, **trigger: Any) -> dict[str, Any]:
    said = action or {"type": "notification", "title": id_}
    return {"id": id_, "trigger": {"event": event, **trigger}, "action": said}


def failures(house: House) -> list[tuple[str, str]]:
    return [(dict(event.detail)["rule"], event.cause) for event in house.events if event.code == "rule.failed"]


async def test_a_message_is_refused_where_the_condition_holds_and_passes_where_it_does_not(begin: Begin) -> None:
    when = 'event.messageContent.contains("deploy") && !("release" in event.tags) && event.container == "dev"'
    house = await begin(rule("no", "chat.message", BLOCK, role="user", when=when))
    answer = await house.ask(CHAT.asking("deploy it", False))
    assert answer.status_code == 403
    assert "not with us" in answer.text
    await house.say(CHAT, False, CHAT.asking("look at it", False))
    await house.say(CHAT, False, CHAT.asking("deploy it", False), **{"x-bawn-tags": "release"})
    assert house.fired() == ["no"]


@pytest.mark.parametrize("action", [BLOCK, {"type": "message", "content": "careful"}])
async def test_a_condition_that_cannot_be_told_refuses_the_call_of_a_rule_that_must_hold(
    begin: Begin, action: dict[str, Any]
) -> None:
    when = "int(event.messageContent) > 3"
    house = await begin(rule("no", "chat.message", action, role="user", when=when))
    answer = await house.ask(CHAT.asking("many", False))
    assert answer.status_code >= 400
    assert answer.json()["error"]["code"] == "rule.failed"
    assert failures(house) == [("no", "rule no: it cannot be computed")]
    assert "many" not in str(house.events)


@pytest.mark.parametrize("action", [None, {"type": "message", "content": "careful", "onFailure": "open"}])
async def test_beside_the_conversation_or_open_it_is_on_record_and_disturbs_nobody(
    begin: Begin, action: dict[str, Any] | None
) -> None:
    house = await begin(
        rule("unsure", "chat.message", action, role="user", when="int(event.messageContent) > 3"),
        rule("sure", "chat.message", role="user", when="size(event.messageContent) > 3"),
    )
    await house.say(CHAT, False, CHAT.asking("many", False))
    assert failures(house) == [("unsure", "rule unsure: it cannot be computed")]
    assert [doing.rule.id for doing in house.done] == ["sure"]


async def test_a_tool_call_is_withheld_by_its_arguments_and_where_they_cannot_be_told(begin: Begin) -> None:
    house = await begin(rule("no", "tool.execute.before", BLOCK, when='event.args.command.contains("rm ")'))
    asked = {
        "bad": '{"command": "rm -r x"}',
        "good": '{"command": "ls"}',
        "other": '{"cmd": "rm -r x"}',
        "twice": '{"command": "ls", "command": "rm -r x"}',
        "text": "rm -r x",
    }
    allowed: set[str] = set()
    for call, arguments in asked.items():
        report = Report(EventName.TOOL_BEFORE, "ses", tool="bash", call=call, tool_input=arguments)
        async with house.yard.client() as client:
            answer = await client.post("/hooks/test", content=msgspec.json.encode(report))
        if answer.status_code == 200 and msgspec.json.decode(answer.content, type=Verdict).effect is Effect.ALLOW:
            allowed.add(call)
    assert allowed == {"good"}
    # Arguments that can be read in two ways are refused before any rule sees them.
    assert failures(house) == [("no", "rule no: something that it asks for is not there")]


async def test_a_dry_run_is_on_record_and_refuses_nothing(begin: Begin) -> None:
    house = await begin(
        rule("no", "chat.message", BLOCK, role="user", when="int(event.messageContent) > 3") | {"dryRun": True}
    )
    await house.say(CHAT, False, CHAT.asking("many", False))
    assert failures(house) == [("no", "rule no: it cannot be computed")]


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_is_not_let_through_where_its_condition_cannot_be_told(begin: Begin, stream: bool) -> None:
    house = await begin(rule("no", "chat.message", BLOCK, role="assistant", when="int(event.messageContent) > 3"))
    try:
        answer = (await house.ask(CHAT.asking("hello there", stream))).text
    except httpx.HTTPError:
        answer = ""
    assert "hello there" not in answer
    assert failures(house) == [("no", "rule no: it cannot be computed")]


async def test_history_is_asked_about_as_well(begin: Begin) -> None:
    house = await begin()
    answer = await house.say(CHAT, False, CHAT.asking("deploy it", False))
    house.hold([rule("no", "chat.message", BLOCK, when='event.messageContent.contains("deploy")')])
    asking = json.loads(json.dumps(CHAT.asking("deploy it", False)))
    asking["json"]["messages"] += [
        {"role": "assistant", "content": answer.decode()[:9]},
        {"role": "user", "content": "go on"},
    ]
    assert (await house.ask(asking)).status_code == 403


async def test_a_message_of_five_megabytes_is_asked_about_while_others_go_on(begin: Begin) -> None:
    house = await begin(
        rule("no", "chat.message", BLOCK, role="user", when='event.messageContent.matches("(?i)quick.*foxy[0-9]")')
    )
    began = time.perf_counter()
    await house.say(CHAT, False, CHAT.asking("the quick brown fox jumps " * 200_000, False))
    assert time.perf_counter() - began < 10
    assert house.fired() == []


async def test_a_rule_asks_for_the_role_of_the_container(begin: Begin) -> None:
    house = await begin(
        rule("planners", "chat.message", role="user", roles=["plan*"]),
        rule("asked", "chat.message", role="user", when='event.containerRole == "planner"'),
        rule("others", "chat.message", role="user", roles=["executor"]),
    )
    await house.say(CHAT, False, CHAT.asking("one", False), **{"x-bawn-role": "executor"})
    assert house.fired() == []
    planner = Container(UUID, 7, "dev", "default", "planner", ("made",))
    house.yard.registry.now = Standing(planner, ai=True, state="running", expires=None, generation=2)
    await house.say(CHAT, False, CHAT.asking("two", False))
    assert house.fired() == ["planners", "asked"]


async def test_tags_of_a_container_and_of_a_parent_session_are_met(begin: Begin) -> None:
    house = await begin(
        rule("made", "chat.message", role="user", tags=["made"]),
        rule("night", "chat.message", role="user", tags=["night"]),
        rule("sure", "chat.message", role="user", when='"made" in event.operatorTags'),
        rule("unsure", "chat.message", role="user", when='"night" in event.operatorTags'),
    )
    planner = Container(UUID, 7, "dev", "default", "planner", ("made",))
    house.yard.registry.now = Standing(planner, ai=True, state="running", expires=None, generation=2)
    await house.labels.tag(UUID, "parent", frozenset(["night"]))
    child = {"x-session-id": "child", "x-parent-session-id": "parent"}
    await house.say(CHAT, False, CHAT.asking("one", False), **child)
    assert house.fired() == ["made", "night", "sure"]
    house.events.clear()
    await house.say(CHAT, False, CHAT.asking("two", False), **{"x-session-id": "parent"})
    assert house.fired() == ["made", "night", "sure"]


async def test_nobody_inside_gains_an_operators_tag_by_the_name_of_a_session(begin: Begin) -> None:
    no = {"type": "block", "reason": "not yet"}
    gate = {"event": "chat.message", "role": "user", "when": '!("trusted" in event.operatorTags)'}
    house = await begin({"id": "gate", "trigger": gate, "action": no})
    await house.labels.tag(UUID, "theirs", frozenset(["trusted"]))
    for session in ("mine", "theirs"):
        asked = await house.ask(CHAT.asking("go on", False), **{"x-bawn-session": session})
        assert asked.status_code == 403
    trusted = Container(UUID, 7, "dev", "default", "", ("trusted",))
    house.yard.registry.now = Standing(trusted, ai=True, state="running", expires=None, generation=2)
    assert (await house.ask(CHAT.asking("go on", False))).status_code == 200


async def test_a_child_that_was_only_reported_has_the_tags_of_its_parent(begin: Begin) -> None:
    house = await begin(rule("night", "chat.message", role="user", tags=["night"]))
    await house.labels.tag(UUID, "parent", frozenset(["night"]))
    await house.report(EventName.SESSION_CREATED, "child", parent="parent")
    await house.say(CHAT, False, CHAT.asking("one", False), **{"x-bawn-session": "child"})
    assert house.fired() == ["night"]
