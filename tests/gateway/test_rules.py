"""Rules as a client of each wire and the model behind it meet them, through a real door."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.gateway.conftest import UUID, Start
from tests.gateway.judges import People
from tests.gateway.rules_house import Hands, House, next_turn, read_request, two_calls, with_results, words
from tests.gateway.test_interception import CALLED, EACH_WIRE, STREAMED, WIRES, Speaks
from tests.rules.examples import example

from bawn.enforcement import conversations
from bawn.enforcement.conversations import Conversations
from bawn.errors import Fault
from bawn.rules.model import EventName
from bawn.stages.asked import Asked
from bawn.stages.judging import Denied, Granted
from bawn.store import Store
from bawn.terms.exchange import Exchange, WireName
from bawn.terms.principal import Container
from bawn.wire.answers import answers
from bawn.wire.document import Said
from bawn.wire.documents import document

Begin = Callable[..., Awaitable[House]]
REMINDER = example("dev-context-inject")["action"]["content"]
GUARD = example("safety-guardrail")["action"]["content"]
CHAT = WIRES[0]


@pytest.fixture
async def begin(start: Start, store: Store, scripted: Path) -> AsyncIterator[Begin]:
    houses: list[House] = []

    async def begun(*rules: dict[str, Any], **said: Any) -> House:
        approvers = said.pop("approvers", None)
        house = House(store, scripted, list(rules), **said)
        houses.append(house)
        return await house.start(start, approvers=approvers)

    yield begun
    for house in houses:
        await house.close()


def rule(id_: str, event: str, action: dict[str, Any], **said: Any) -> dict[str, Any]:
    trigger = {name: said.pop(name) for name in ("tags", "toolName", "role", "contentMatch") if name in said}
    return {"id": id_, "trigger": {"event": event, **trigger}, "action": action, **said}


def notifies(id_: str, event: str, **said: Any) -> dict[str, Any]:
    return rule(id_, event, {"type": "notification", "title": id_}, **said)


def blocks(event: str, **said: Any) -> dict[str, Any]:
    return rule("no", event, {"type": "block", "reason": "not with us"}, **said)


def says(content: str, **said: Any) -> dict[str, Any]:
    return {"type": "message", "content": content, **said}


# what is put in


@EACH_WIRE
@STREAMED
async def test_system_text_is_put_in_and_stands_at_the_same_place_in_every_later_request(
    begin: Begin, speaks: Speaks, stream: bool
) -> None:
    house = await begin(example("safety-guardrail"), example("json-enforcer"), tags={"dev": ["prod", "api-mode"]})
    asking = speaks.asking("hello", stream)
    seen = []
    for text in ("and now?", "and then?", ""):
        answer = await house.say(speaks, stream, asking)
        system = house.got(speaks).system
        assert system.count(GUARD) == 1
        assert system.index("You MUST respond") < system.index(GUARD)
        seen.append(system)
        asking = next_turn(speaks, asking, answer, text)
    assert len(set(seen)) == 1
    assert house.fired() == ["safety-guardrail", "json-enforcer"], "once for the session"


@EACH_WIRE
async def test_system_text_goes_with_its_rule_and_follows_its_words(begin: Begin, speaks: Speaks) -> None:
    house = await begin(example("safety-guardrail", trigger={"event": "chat.system.transform"}))
    asking = speaks.asking("hello", False)
    asking = next_turn(speaks, asking, await house.say(speaks, False, asking), "more")
    other = {"type": "prompt-inject", "content": "Be kind.", "position": "prepend"}
    house.hold([rule("safety-guardrail", "chat.system.transform", other)])
    answer = await house.say(speaks, False, asking)
    assert "Be kind." in house.got(speaks).system
    assert GUARD not in house.got(speaks).system
    house.hold([notifies("x", "session.idle")])
    await house.say(speaks, False, next_turn(speaks, asking, answer, "more"))
    assert "Be kind." not in house.got(speaks).system


@EACH_WIRE
@STREAMED
async def test_a_message_before_a_call_is_seen_behind_its_result_from_then_on(
    begin: Begin, speaks: Speaks, stream: bool
) -> None:
    house = await begin(example("dev-context-inject"), tags={"dev": ["dev"]})
    asking = speaks.asking(CALLED, stream)
    answer = await house.say(speaks, stream, asking)
    assert house.fired() == ["dev-context-inject"]
    asking = with_results(speaks, asking, answer, "no such file")
    for _ in range(2):  # a client that tries again
        answer = await house.say(speaks, stream, asking)
        assert house.told(speaks)[0] == ("user", CALLED)
        rest = "\n".join(text for _, text in house.told(speaks)[2:])
        assert rest.count(REMINDER) == 1
        assert rest.index("no such file") < rest.index(REMINDER)
    await house.say(speaks, stream, next_turn(speaks, asking, answer, "and now?"))
    told = house.told(speaks)
    at = next(at for at, (_, text) in enumerate(told) if REMINDER in text)
    assert "no such file" in told[at][1] or "no such file" in told[at - 1][1]
    assert any(text == "and now?" for _, text in told[at + 1 :])
    assert "\n".join(text for who, text in told if who != "assistant").count(REMINDER) == 1
    assert house.fired() == ["dev-context-inject"]


@EACH_WIRE
async def test_results_stay_with_their_calls_when_something_is_put_behind_one_of_them(
    begin: Begin, speaks: Speaks
) -> None:
    house = await begin(rule("tell", "tool.execute.after", says("look at that"), toolName="bash"))
    asking = speaks.asking("call two", False)
    answer = two_calls(speaks, await house.say(speaks, False, speaks.asking(CALLED, False)))
    calls = words(speaks, answer).calls
    assert len(calls) == 2
    asking = with_results(speaks, asking, answer, *(f"result {at}" for at in range(len(calls))))
    await house.say(speaks, False, asking)
    said = [kind for kind, _ in house.told(speaks)]
    assert "look at that" in house.told(speaks)[-1][1]
    assert said[:2] == ["user", "assistant"]


@EACH_WIRE
@pytest.mark.parametrize(("position", "whole"), [("prepend", "Mind!\n\nhello"), ("append", "hello\n\nMind!")])
async def test_words_are_put_to_what_the_user_said_and_stay_there(
    begin: Begin, speaks: Speaks, position: str, whole: str
) -> None:
    inject = {"type": "prompt-inject", "content": "Mind!", "position": position, "target": "user"}
    house = await begin(rule("mind", "chat.message", inject, role="user", contentMatch="hello"))
    asking = speaks.asking("hello", False)
    answer = await house.say(speaks, False, asking)
    assert house.told(speaks) == [("user", whole)]
    await house.say(speaks, False, next_turn(speaks, asking, answer, "bye"))
    told = house.told(speaks)
    assert told[0] == ("user", whole)
    assert told[-1] == ("user", "bye")


async def test_a_message_of_the_assistant_can_be_followed_by_words(begin: Begin) -> None:
    house = await begin(rule("m", "chat.message", says("Well?"), role="assistant"))
    asking = CHAT.asking("hello", False)
    answer = await house.say(CHAT, False, asking)
    await house.say(CHAT, False, next_turn(CHAT, asking, answer, "bye"))
    assert [kind for kind, _ in house.told(CHAT)] == ["user", "assistant", "user", "user"]
    assert house.told(CHAT)[2] == ("user", "Well?")


async def test_higher_priority_rewrites_first(begin: Begin) -> None:
    def put(name: str, priority: int) -> dict[str, Any]:
        inject = {"type": "prompt-inject", "content": name, "target": "user"}
        return rule(name, "chat.message", inject, role="user", priority=priority)

    house = await begin(put("low", 1), put("high", 2))
    await house.say(CHAT, False, CHAT.asking("hello", False))
    assert house.told(CHAT) == [("user", "hello\n\nhigh\n\nlow")]


# how often


@EACH_WIRE
async def test_what_the_assistant_is_made_to_begin_with_hides_nothing(begin: Begin, speaks: Speaks) -> None:
    house = await begin(
        rule("mind", "chat.message", {"type": "prompt-inject", "content": "Mind!", "target": "user"}, role="user"),
        notifies("created", "session.created"),
        notifies("after", "tool.execute.after"),
    )
    asking = speaks.asking("hello", False)
    asked = read_request(speaks, json.dumps(asking["json"]).encode())
    asked.add_message(Said.ASSISTANT, "Well,")
    for _ in range(2):
        await house.say(speaks, False, {**asking, "json": json.loads(asked.body())}, **{"x-bawn-session": "mine"})
        assert house.told(speaks)[0] == ("user", "hello\n\nMind!")
    assert sorted(house.fired()) == ["created", "mind"]
    house.events.clear()
    asking = speaks.asking(CALLED, False)
    answer = await house.say(speaks, False, asking, **{"x-bawn-session": "other"})
    given = with_results(speaks, asking, answer, "done")
    asked = read_request(speaks, json.dumps(given["json"]).encode())
    asked.add_message(Said.ASSISTANT, "Well,")
    await house.say(speaks, False, {**asking, "json": json.loads(asked.body())}, **{"x-bawn-session": "other"})
    assert house.fired().count("after") == 1
    assert house.fired().count("mind") == 1


@pytest.mark.parametrize("item", [{"type": "item_reference", "id": "msg_1"}, {"type": "of_tomorrow"}])
async def test_nor_does_an_item_of_which_nobody_knows_who_said_it(begin: Begin, item: dict[str, str]) -> None:
    house = await begin(notifies("told", "chat.message", role="user"))
    speaks = next(each for each in WIRES if each.wire is WireName.RESPONSES)
    asking = speaks.asking("hello", False)
    asking["json"]["input"] = [{"role": "user", "content": "hello"}, item]
    await house.ask(asking)
    await house.rest()
    assert house.fired() == ["told"]


async def test_a_client_that_tries_again_makes_nothing_fire_twice(begin: Begin) -> None:
    house = await begin(notifies("n", "chat.message", role="user"), notifies("c", "session.created"))
    asking = CHAT.asking("hello", False)
    for _ in range(3):
        await house.say(CHAT, False, asking, **{"x-bawn-session": "mine"})
    assert sorted(doing.rule.id for doing in house.done) == ["c", "n"]


async def test_equal_requests_at_the_same_time_fire_once(begin: Begin) -> None:
    house = await begin(notifies("n", "chat.message", role="user"), rule("m", "chat.message", says("hm"), role="user"))
    asking = CHAT.asking("hello", False)
    await asyncio.gather(*(house.ask(asking, **{"x-bawn-session": "mine"}) for _ in range(8)))
    await house.rest()
    assert sorted(house.fired()) == ["m", "n"]
    assert [text for _, text in house.told(CHAT)] == ["hello", "hm"]


async def test_a_rule_rests_for_its_cooldown_in_each_session_and_over_a_restart(begin: Begin, store: Store) -> None:
    clock = Hands()
    house = await begin(notifies("n", "chat.message", role="user", cooldownMs=30_000), clock=clock)

    async def say(text: str, session: str = "mine") -> int:
        before = len(house.done)
        await house.say(CHAT, False, CHAT.asking(text, False), **{"x-bawn-session": session})
        return len(house.done) - before

    assert await say("one") == 1
    clock.forward(29)
    assert await say("two") == 0
    assert await say("two", "another") == 1
    clock.forward(2)
    assert await say("three") == 1
    house.enforcer.conversations = house.conversations = Conversations(store, clock)
    await house.conversations.load()
    clock.forward(20)
    assert await say("four") == 0
    clock.forward(11)
    assert await say("five") == 1


async def test_a_restart_neither_forgets_nor_repeats_what_was_put_in(begin: Begin, store: Store) -> None:
    house = await begin(rule("m", "chat.message", says("Mind!"), role="user", contentMatch="hello"))
    mine = {"x-bawn-session": "mine"}
    asking = CHAT.asking("hello", False)
    answer = await house.say(CHAT, False, asking, **mine)
    house.enforcer.conversations = house.conversations = Conversations(store, house.clock)
    await house.conversations.load()
    await house.say(CHAT, False, asking, **mine)
    assert house.told(CHAT) == [("user", "hello"), ("user", "Mind!")]
    await house.say(CHAT, False, next_turn(CHAT, asking, answer, "bye"), **mine)
    assert house.told(CHAT)[1] == ("user", "Mind!")
    assert house.fired() == ["m"]


async def test_nothing_that_fires_later_drives_system_text_out(
    begin: Begin, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversations, "MOST_FIRINGS", 5)
    guard = {"type": "prompt-inject", "content": "Ask first.", "target": "system"}
    house = await begin(
        rule("guard", "chat.message", guard, role="user", contentMatch="deploy"),
        rule("other", "chat.message", says("Mind!"), role="user", contentMatch="redis"),
    )
    mine = {"x-bawn-session": "mine"}
    await house.say(CHAT, False, CHAT.asking("please deploy", False), **mine)
    assert "Ask first." in house.got(CHAT).system
    many = CHAT.asking("", False)
    many["json"]["messages"] = [{"role": "user", "content": f"redis {at}"} for at in range(10)]
    await house.say(CHAT, False, many, **mine)
    for _ in range(2):
        answer = await house.say(CHAT, False, CHAT.asking("please deploy", False), **mine)
        await house.say(CHAT, False, next_turn(CHAT, CHAT.asking("please deploy", False), answer, "go on"), **mine)
        assert "Ask first." in house.got(CHAT).system
        assert house.fired().count("guard") == 1
        # Nor does a restart.
        house.enforcer.conversations = house.conversations = Conversations(store, house.clock)
        await house.conversations.load()


async def test_what_cannot_be_written_down_is_not_sent_unless_the_rule_says_so(
    begin: Begin, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = rule("m", "chat.message", says("Mind!"), role="user")
    opened = rule("m", "chat.message", says("Mind!", onFailure="open"), role="user")
    house = await begin(closed)

    async def broken(act: object) -> None:
        raise Fault("store.unavailable", "The disk is full.")

    with monkeypatch.context() as patch:
        patch.setattr(store, "run", broken)
        asking = CHAT.asking("hello", False)
        answer = await house.ask(asking, **{"x-bawn-session": "mine"})
        assert answer.status_code == 503
        assert answer.json()["error"]["code"] == "rule.failed"
        house.hold([opened])
        await house.say(CHAT, False, asking, **{"x-bawn-session": "mine"})
        assert house.told(CHAT) == [("user", "hello")]
    await house.say(CHAT, False, asking, **{"x-bawn-session": "mine"})
    assert house.told(CHAT) == [("user", "hello"), ("user", "Mind!")], "it has not fired before"


# when


@EACH_WIRE
@STREAMED
async def test_every_event_is_told_once_with_what_it_is_about(begin: Begin, speaks: Speaks, stream: bool) -> None:
    events = [event.value for event in EventName]
    house = await begin(*(notifies(f"r{at}", event) for at, event in enumerate(events)))

    def told() -> list[tuple[str, str, str]]:
        seen = [(doing.happened.event.value, doing.happened.role, doing.happened.tool) for doing in house.done]
        house.done.clear()
        return sorted(seen)

    asking = speaks.asking(CALLED, stream)
    answer = await house.say(speaks, stream, asking)
    first = told()
    assert ("session.created", "", "") in first
    assert ("chat.message", "user", "") in first
    assert ("tool.execute.before", "", "bash") in first
    assert ("chat.system.transform", "", "") in first
    assert not [event for event in first if event[0] in ("session.idle", "session.error", "tool.execute.after")]
    asking = with_results(speaks, asking, answer, "done")
    answer = await house.say(speaks, stream, asking)
    after = next(doing.happened for doing in house.done if doing.happened.event.value == "tool.execute.after")
    assert (after.tool_input, after.tool_output) == ('{"command":"rm -rf /srv"}', "done") or after.tool_output == "done"
    second = told()
    assert ("session.idle", "", "") in second
    assert ("chat.message", "assistant", "") in second
    assert ("chat.message", "user", "") not in second
    assert ("session.created", "", "") not in second


async def test_a_session_that_fails_is_told_with_the_reason(begin: Begin) -> None:
    house = await begin(example("error-alert"))
    asking = CHAT.asking("hello", False)
    asking["json"]["model"] = "scripted/fault-status"
    assert (await house.ask(asking)).status_code >= 400
    await house.yard.settled()
    await house.rest()
    [doing] = house.done
    assert doing.happened.error == "upstream_error (500)" or "error" in doing.happened.error


@EACH_WIRE
async def test_a_pattern_is_found_though_the_stream_tears_it_apart(begin: Begin, speaks: Speaks) -> None:
    house = await begin(notifies("n", "chat.message", role="assistant", contentMatch="told: the whole long sentence"))
    await house.say(speaks, True, speaks.asking("the whole long sentence", True))
    assert house.fired() == ["n"]


async def test_a_message_of_five_megabytes_is_looked_through(begin: Begin) -> None:
    house = await begin(notifies("n", "chat.message", role="user", contentMatch="needle$"))
    await house.say(CHAT, False, CHAT.asking("hay " * 1_250_000 + "needle", False))
    assert house.fired() == ["n"]


async def test_a_thousand_rules_hold(begin: Begin) -> None:
    house = await begin(*(notifies(f"r{at}", "chat.message", contentMatch=f"word{at}\\b") for at in range(1000)))
    await house.say(CHAT, False, CHAT.asking("only word77 here", False))
    assert house.fired() == ["r77", "r77"], "what the user said, and the model repeats it"


async def test_calls_that_bawn_makes_itself_are_no_part_of_the_conversation(begin: Begin) -> None:
    house = await begin(blocks("chat.message"))
    body = json.dumps(CHAT.asking("hello", False)["json"]).encode()
    exchange = Exchange(CHAT.wire, CHAT.endpoint, "scripted/agent", False, body)
    inner = Asked("call_1", Container(UUID, 7, "dev", "default"), exchange, (), lambda _: "s", document, depth=1)
    await house.yard.gateway.works.pipeline._stages[0].request(inner)
    assert house.fired() == []


# refusing and asking


@EACH_WIRE
@STREAMED
async def test_a_message_of_the_user_is_refused_and_never_sent(begin: Begin, speaks: Speaks, stream: bool) -> None:
    house = await begin(blocks("chat.message", role="user", contentMatch="secret"))
    asking = speaks.asking("a secret", stream)
    for _ in range(2):
        answer = await house.ask(asking)
        assert answer.status_code == 403, "each time"
        assert "not with us" in answer.text
    assert house.yard.record.of("call.opened") == []


@pytest.mark.parametrize("name", ["bash", "ba*"])
async def test_a_result_without_its_call_is_refused_as_that_of_a_tool_which_a_rule_names(
    begin: Begin, name: str
) -> None:
    house = await begin(
        blocks("tool.execute.after", toolName=name, contentMatch="secret"),
        notifies("told", "tool.execute.after", toolName=name),
    )
    speaks = next(each for each in WIRES if each.wire is WireName.RESPONSES)
    asking = speaks.asking("hello", False)
    asking["json"]["input"] = [{"type": "function_call_output", "call_id": "bash", "output": "our secret"}]
    assert (await house.ask(asking)).status_code == 403
    asking["json"]["input"][0]["output"] = "a file"
    assert (await house.ask(asking)).status_code == 200
    await house.rest()
    assert house.fired() == ["no"]


async def test_what_is_refused_is_refused_as_history_as_well(begin: Begin) -> None:
    house = await begin(blocks("chat.message", role="user", contentMatch="secret"))
    forged = next_turn(CHAT, CHAT.asking("a secret", False), await _answer_of(house), "go on")
    answer = await house.ask(forged)
    assert answer.status_code == 403
    fine = next_turn(CHAT, CHAT.asking("no harm", False), await _answer_of(house), "go on")
    assert (await house.ask(fine)).status_code == 200


async def _answer_of(house: House) -> bytes:
    return await house.say(CHAT, False, CHAT.asking("hello", False))


@EACH_WIRE
@STREAMED
async def test_a_tool_call_is_withheld_and_the_model_told(begin: Begin, speaks: Speaks, stream: bool) -> None:
    house = await begin(blocks("tool.execute.before", toolName="bash", contentMatch="rm -rf"))
    said = words(speaks, await house.say(speaks, stream, speaks.asking(CALLED, stream)))
    assert not said.calls
    assert "not with us" in said.text
    assert house.yard.record.of("tool.withheld")


@EACH_WIRE
@STREAMED
async def test_a_message_of_the_assistant_is_refused_before_anything_of_it_is_seen(
    begin: Begin, speaks: Speaks, stream: bool
) -> None:
    house = await begin(blocks("chat.message", role="assistant", contentMatch="told: a secret"))
    answer = await house.ask(speaks.asking("a secret", stream))
    assert answer.status_code == 200
    assert "told" not in answer.text
    plain = answers(speaks.wire).folded(answer.content) if stream else answer.content
    assert words(speaks, plain).text == "A rule refuses this: not with us"
    fine = words(speaks, await house.say(speaks, stream, speaks.asking("hello", stream)))
    assert "hello" in fine.text


@pytest.mark.parametrize("granted", [True, False])
async def test_a_person_is_asked(begin: Begin, granted: bool) -> None:
    people = People(Granted("ada") if granted else Denied("approval.rejected", "no"))
    asks = rule("ask", "tool.execute.before", {"type": "approve", "reason": "is it meant?"}, toolName="bash")
    house = await begin(asks, approvers=people)
    said = words(CHAT, await house.say(CHAT, False, CHAT.asking(CALLED, False)))
    assert [call.name for call in people.asked] == ["bash"]
    assert bool(said.calls) is granted


async def test_a_dry_run_changes_nothing_and_is_on_record(begin: Begin) -> None:
    put = {"type": "prompt-inject", "content": GUARD}
    rules = [
        blocks("chat.message", dryRun=True),
        blocks("tool.execute.before", dryRun=True) | {"id": "no2"},
        rule("guard", "chat.system.transform", put, dryRun=True),
        notifies("n", "chat.message", dryRun=True),
    ]
    house = await begin(*rules)
    said = words(CHAT, await house.say(CHAT, False, CHAT.asking(CALLED, False)))
    assert said.calls
    assert GUARD not in house.got(CHAT).system
    assert not house.done
    assert {dict(event.detail)["effect"] for event in house.events} == {
        "block (dry run)",
        "prompt-inject (dry run)",
        "notification (dry run)",
    }
    house.hold([{**each, "dryRun": False} for each in rules[2:3]])
    await house.say(CHAT, False, CHAT.asking("hello", False))
    assert GUARD in house.got(CHAT).system


# tags


async def test_tags_come_from_the_container_the_operator_and_the_agent_which_only_adds(begin: Begin) -> None:
    house = await begin(
        *(notifies(tag, "chat.message", role="user", tags=[tag]) for tag in ("prod", "night", "own")),
        tags={"d*": ["prod"], "other": ["night"]},
    )
    named = {"x-bawn-session": "mine", "x-bawn-tags": "own, bad tag!,"}
    await house.say(CHAT, False, CHAT.asking("one", False), **named)
    assert house.fired() == ["prod", "own"]
    await house.labels.tag(UUID, "mine", frozenset(["night"]))
    house.events.clear()
    await house.say(CHAT, False, CHAT.asking("two", False), **{"x-bawn-session": "mine"})
    # What a session has named stays with it.
    assert house.fired() == ["prod", "night", "own"]


async def test_tags_of_sessions_outlive_a_restart(begin: Begin) -> None:
    house = await begin()
    await house.labels.tag(UUID, "mine", frozenset(["a"]))
    await house.labels.tag(UUID, "mine", frozenset(["b", "c"]))
    fresh = House(house.labels._store, Path(), [])
    await fresh.labels.load()
    assert fresh.labels._sessions[UUID, "mine"] == {"b", "c"}


# effects


async def test_an_effect_that_fails_is_on_record_and_disturbs_nobody(begin: Begin) -> None:
    house = await begin(notifies("n", "chat.message", role="user"))
    house.fails = Fault("rule.failed", "no")
    await house.say(CHAT, False, CHAT.asking("hello", False))
    assert house.ended == [("n", "rule.failed")]


async def test_words_without_a_place_are_a_failure_of_the_rule(begin: Begin) -> None:
    inject = {"type": "prompt-inject", "content": "Mind!", "target": "user"}
    house = await begin(rule("m", "chat.system.transform", inject))
    asking = CHAT.asking("", False)
    asking["json"]["messages"] = [{"role": "system", "content": "Be kind."}]
    answer = await house.ask(asking)
    assert answer.status_code == 503
    [event] = house.events
    assert event.code == "rule.failed"
    house.hold([rule("m", "chat.system.transform", {**inject, "onFailure": "open"})])
    await house.ask(asking)
    assert [message.said for message in house.got(CHAT).messages] == [Said.SYSTEM]


@EACH_WIRE
@pytest.mark.parametrize("messages", [None, [], 7])
@pytest.mark.parametrize("target", ["system", "user"])
async def test_a_request_without_messages_is_refused_in_words_or_sent_on_once(
    begin: Begin, speaks: Speaks, messages: Any, target: str
) -> None:
    inject = {"type": "prompt-inject", "content": "Mind!", "target": target}
    house = await begin(rule("m", "chat.system.transform", inject), rule("n", "chat.message", says("x")))
    asking = speaks.asking("hello", False)
    key = next(name for name in ("messages", "input", "contents") if name in asking["json"])
    del asking["json"][key]
    if messages is not None:
        asking["json"][key] = messages
    answer = await house.ask(asking)
    await house.rest()
    opened = len(house.yard.record.of("call.opened"))
    if answer.status_code < 400:
        assert opened == 1
    else:
        assert opened <= 1
        assert json.dumps(answer.json()["error"]).strip('"')
    assert (await house.ask(speaks.asking("hello", False))).status_code == 200, "the next one is none the worse"
