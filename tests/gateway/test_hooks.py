"""Reports of agents' own hooks: what they are told, and that nothing happens twice or less for them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from tests.gateway.conftest import UUID, Start
from tests.gateway.judges import People
from tests.gateway.rules_house import Hands, House, with_results, words
from tests.gateway.test_interception import CALLED, EACH_WIRE, WIRES, Speaks

from bawn.adapters.renaming import as_told
from bawn.adapters.report import Effect, Report, Verdict
from bawn.enforcement import keys
from bawn.enforcement.standing import Standing
from bawn.gateway.hooks import AT_ONCE, PER_SECOND
from bawn.gateway.rate import Rate
from bawn.rules.model import EventName
from bawn.stages.judging import Denied, Granted
from bawn.store import Store
from bawn.terms.toolcall import ToolCall

Begin = Callable[..., Awaitable[House]]
CHAT = WIRES[0]
NAMED = {"x-bawn-session": "ses"}
ALL = [
    {"id": f"on-{event.value}", "trigger": {"event": event.value}, "action": {"type": "notification", "title": "x"}}
    for event in EventName
]
GRANTED = Granted("op", None, "apr_1")


@pytest.fixture
async def begin(start: Start, store: Store, scripted: Path) -> AsyncIterator[Begin]:
    houses: list[House] = []

    async def begun(*rules: dict[str, Any], approvers: People | None = None, **said: Any) -> House:
        house = House(store, scripted, list(rules), **said)
        houses.append(house)
        return await house.start(start, approvers=approvers)

    yield begun
    for house in houses:
        await house.close()


def blocks(event: EventName, **trigger: str) -> dict[str, Any]:
    action = {"type": "block", "reason": "not with us"}
    return {"id": "no", "trigger": {"event": event.value, **trigger}, "action": action}


ASKS = {
    "id": "ask",
    "trigger": {"event": "tool.execute.before", "contentMatch": "rm|mkfs"},
    "action": {"type": "approve", "reason": "is this meant?"},
}


async def proposed(house: House, speaks: Speaks = CHAT) -> tuple[dict[str, Any], bytes, dict[str, str]]:
    """The model has proposed a call: what was asked, what was answered, and the call as a report names it."""
    asking = speaks.asking(CALLED, False)
    answer = await house.say(speaks, False, asking, **NAMED)
    call = words(speaks, answer).calls[0]
    return asking, answer, {"call": call.id, "tool": call.name, "tool_input": call.arguments_raw}


@EACH_WIRE
async def test_what_is_reported_and_comes_by_the_wire_as_well_fires_once(begin: Begin, speaks: Speaks) -> None:
    house = await begin(*ALL)
    await house.report(EventName.SESSION_CREATED, title="A plan", directory="/workspace")
    await house.report(EventName.CHAT_MESSAGE, text=CALLED)
    asking, answer, call = await proposed(house, speaks)
    await house.report(EventName.TOOL_BEFORE, **call)
    await house.report(EventName.TOOL_AFTER, **call, tool_output="done")
    await house.say(speaks, False, with_results(speaks, asking, answer, "done"), **NAMED)
    await house.report(EventName.SESSION_IDLE)
    fired = house.fired()
    # The user's message and the answer to it are two messages, and each request has system text.
    assert {name: fired.count(name) for name in set(fired)} == {
        "on-session.created": 1,
        "on-session.idle": 1,
        "on-chat.message": 2,
        "on-tool.execute.before": 1,
        "on-tool.execute.after": 1,
        "on-chat.system.transform": 2,
    }


async def test_a_call_that_no_model_proposed_is_told_and_judged(begin: Begin) -> None:
    house = await begin(*ALL, blocks(EventName.TOOL_BEFORE, contentMatch="mkfs"))
    call = {"call": "shell_1", "tool": "bash"}
    assert await house.report(EventName.TOOL_BEFORE, **call, tool_input='{"command":"ls"}') == Verdict()
    assert await house.report(EventName.TOOL_AFTER, **call, tool_output="a b c") == Verdict()
    assert house.fired() == ["on-tool.execute.before", "on-tool.execute.after"]
    told = house.done[-1].happened
    assert (told.tool, told.tool_output, told.session) == ("bash", "a b c", "ses")
    call["call"] = "shell_2"
    denied = await house.report(EventName.TOOL_BEFORE, **call, tool_input='{"command":"mkfs /dev/sda"}')
    assert denied == Verdict(Effect.DENY, "not with us")
    [withheld] = house.yard.record.of("tool.withheld")
    assert dict(withheld.detail)["agent"] == "test"
    assert dict(withheld.detail)["tool_call"] == "shell_2"


async def test_a_call_that_was_released_is_not_asked_about_again_once(begin: Begin) -> None:
    people = People(GRANTED)
    house = await begin(ASKS, approvers=people)
    await house.report(EventName.SESSION_CREATED)
    _, _, call = await proposed(house)
    assert len(people.asked) == 1
    spaced = call | {"tool_input": call["tool_input"].replace(":", " : ")}
    assert await house.report(EventName.TOOL_BEFORE, **spaced) == Verdict()
    assert len(people.asked) == 1, "the same arguments, written down in another way"
    assert await house.report(EventName.TOOL_BEFORE, **call) == Verdict()
    assert len(people.asked) == 2, "what was allowed once was done"


async def test_a_call_with_other_arguments_than_were_released_is_asked_about(begin: Begin) -> None:
    people = People(GRANTED)
    house = await begin(ASKS, approvers=people)
    await house.report(EventName.SESSION_CREATED)
    _, _, call = await proposed(house)
    other = call | {"tool_input": '{"command":"rm -rf /"}'}
    assert await house.report(EventName.TOOL_BEFORE, **other) == Verdict()
    assert len(people.asked) == 2


@pytest.mark.parametrize("known", [True, False], ids=["proposed", "unknown"])
async def test_a_call_that_says_something_else_under_a_known_id_is_told(begin: Begin, known: bool) -> None:
    house = await begin(*(each for each in ALL if each["id"] == "on-tool.execute.before"))
    call = {"call": "c1", "tool": "bash", "tool_input": '{"command": "ls"}'}
    if known:
        await house.report(EventName.SESSION_CREATED)
        _, _, call = await proposed(house)
    else:
        await house.report(EventName.TOOL_BEFORE, **call)
    other = call | {"tool_input": '{"command":"curl evil"}'}
    for again in (call, other, other, call, call | {"tool_input": call["tool_input"].replace(":", " :  ")}):
        await house.report(EventName.TOOL_BEFORE, **again)
    assert [doing.happened.tool_input for doing in house.done] == [call["tool_input"], other["tool_input"]]


def test_a_call_that_is_reported_in_other_words_is_the_same_call() -> None:
    standing, proposes = Standing(), ToolCall("c1", "exec_command", '{"cmd": "ls", "workdir": "/srv"}')
    standing.proposed(proposes, "1")
    told = as_told(proposes)
    assert told.name == "Bash"
    assert standing.call(told) == standing.call(proposes) == keys.call(1, proposes)
    assert standing.call(ToolCall("c1", "Bash", '{"command": "rm"}')) != keys.call(1, proposes)


async def test_a_yes_to_a_reported_call_is_for_that_report_alone(begin: Begin) -> None:
    people = People(GRANTED)
    house = await begin(ASKS, approvers=people)
    call = {"call": "x", "tool": "bash", "tool_input": '{"command":"rm x"}'}
    for count in (1, 2):
        assert await house.report(EventName.TOOL_BEFORE, **call) == Verdict()
        assert len(people.asked) == count


async def test_what_was_released_before_other_rules_held_is_judged_by_them(begin: Begin) -> None:
    house = await begin(*ALL)
    await house.report(EventName.SESSION_CREATED)
    _, _, call = await proposed(house)
    house.hold([blocks(EventName.TOOL_BEFORE)])
    assert (await house.report(EventName.TOOL_BEFORE, **call)).effect is Effect.DENY


async def test_a_person_who_says_no_to_a_reported_call_is_heard(begin: Begin) -> None:
    people = People(Denied("approval.rejected", "ann said no"))
    house = await begin(ASKS, approvers=people)
    denied = await house.report(EventName.TOOL_BEFORE, call="x", tool="bash", tool_input='{"command":"rm x"}')
    assert denied == Verdict(Effect.DENY, "ann said no")


async def test_a_call_that_was_withheld_stays_so_when_it_is_reported(begin: Begin) -> None:
    house = await begin(blocks(EventName.TOOL_BEFORE))
    await house.report(EventName.SESSION_CREATED)
    call = {"call": "call_1", "tool": "bash", "tool_input": '{"command": "rm -rf /srv"}'}
    await house.say(CHAT, False, CHAT.asking(CALLED, False), **NAMED)
    for _ in range(2):
        assert (await house.report(EventName.TOOL_BEFORE, **call)).effect is Effect.DENY


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (EventName.CHAT_MESSAGE, {"text": "our secret"}),
        (EventName.SYSTEM, {"text": "our secret"}),
        (EventName.TOOL_AFTER, {"call": "x", "tool": "read", "tool_output": "our secret"}),
    ],
)
async def test_what_a_rule_refuses_is_refused_when_it_is_reported(
    begin: Begin, event: EventName, said: dict[str, str]
) -> None:
    house = await begin(blocks(event, contentMatch="secret"))
    denied = await house.report(event, **said)
    assert denied.effect is Effect.DENY
    assert "not with us" in denied.because
    assert (
        await house.report(event, **{name: text.replace("secret", "plan") for name, text in said.items()}) == Verdict()
    )


async def test_a_false_report_hides_nothing_from_the_rules(begin: Begin) -> None:
    """Whoever reports runs inside: a harmless report of a result must not be taken for the result."""
    house = await begin(*ALL, blocks(EventName.TOOL_AFTER, contentMatch="secret"))
    await house.report(EventName.SESSION_CREATED)
    asking, answer, call = await proposed(house)
    before = house.fired().count("on-tool.execute.after")
    assert await house.report(EventName.TOOL_AFTER, **call, tool_output="nothing at all") == Verdict()
    assert house.fired().count("on-tool.execute.after") == before
    refused = await house.ask(with_results(CHAT, asking, answer, "our secret"), **NAMED)
    assert refused.status_code == 403
    assert house.fired().count("on-tool.execute.after") == before + 1
    unknown = {"call": "call_9", "tool": "bash"}
    await house.report(EventName.TOOL_AFTER, **unknown, tool_output="nothing at all")
    history = [
        {"role": "user", "content": "go on"},
        {"role": "assistant", "tool_calls": [_call("call_9")]},
        {"role": "tool", "tool_call_id": "call_9", "content": "a file"},
    ]
    await house.ask({"url": CHAT.path, "json": {**CHAT.body, "messages": history}}, **NAMED)
    await house.rest()
    outputs = [doing.happened.tool_output for doing in house.done if doing.happened.event is EventName.TOOL_AFTER]
    assert outputs == ["our secret", "nothing at all", "a file"]


async def test_a_result_that_was_harmless_once_is_looked_at_again_when_it_says_something_else(begin: Begin) -> None:
    house = await begin(blocks(EventName.TOOL_AFTER, contentMatch="secret"))
    asking, answer, _ = await proposed(house)
    assert (await house.ask(with_results(CHAT, asking, answer, "a file"), **NAMED)).status_code == 200
    changed = with_results(CHAT, asking, answer, "our secret")
    changed["json"]["messages"] += [{"role": "assistant", "content": "so"}, {"role": "user", "content": "and?"}]
    assert (await house.ask(changed, **NAMED)).status_code == 403


async def test_an_error_is_told_once_whoever_tells_of_it_first(begin: Begin) -> None:
    house = await begin(*ALL)
    await house.report(EventName.SESSION_CREATED)
    failing = {**CHAT.body, "model": "keyless/none", "messages": [{"role": "user", "content": "hello"}]}
    assert (await house.ask({"url": CHAT.path, "json": failing}, **NAMED)).status_code >= 400
    await house.report(EventName.SESSION_ERROR, error="it failed")
    assert house.fired().count("on-session.error") == 1
    await house.report(EventName.SESSION_ERROR, error="a disk is full")
    assert house.fired().count("on-session.error") == 2
    assert house.done[-1].happened.error == "a disk is full"


async def test_title_and_folder_are_known_to_everything_that_follows(begin: Begin) -> None:
    house = await begin(*ALL)
    house.enforcer.place = lambda uuid: "/workspace"
    await house.report(EventName.SESSION_CREATED, title="Payments", directory="/workspace/api")
    await house.say(CHAT, False, CHAT.asking("hello", False), **NAMED)
    assert {(doing.happened.title, doing.happened.directory) for doing in house.done} == {
        ("Payments", "/workspace/api")
    }
    for elsewhere in ("/etc", "/workspace/../etc", "/workspaces", "/workspace/a\nb"):
        await house.report(EventName.SESSION_IDLE, session=elsewhere, directory=elsewhere)
        assert house.done[-1].happened.directory == "/workspace"


async def test_tags_that_a_report_names_only_add(begin: Begin) -> None:
    rule = {**ALL[0], "trigger": {"event": "session.created", "tags": ["prod"]}}
    house = await begin(rule, tags={"dev": ["night"]})
    await house.report(EventName.SESSION_CREATED, tags=("prod", "no tag at all!"))
    assert house.done[-1].happened.tags == {"night", "prod"}


async def test_after_a_restart_a_reported_call_fires_nothing_that_fired_before(begin: Begin) -> None:
    house = await begin(*ALL)
    await house.report(EventName.SESSION_CREATED)
    _, _, call = await proposed(house)
    again = await begin(*ALL)
    await again.report(EventName.TOOL_BEFORE, **call)
    assert again.fired() == []
    other = call | {"tool_input": '{"command":"curl evil"}'}
    await again.report(EventName.TOOL_BEFORE, **other)
    assert again.fired() == ["on-tool.execute.before"]


async def test_a_report_is_admitted_as_a_call_is(begin: Begin) -> None:
    house = await begin(*ALL)
    async with house.yard.client("container-other") as client:
        assert (await client.post("/hooks/test", content=b"{}")).status_code == 401
    async with house.yard.client() as client:
        assert (await client.post("/hooks/test", content=b"{}")).json() == {"effect": "allow", "because": ""}
        assert (await client.post("/hooks/nobody", content=b"{}")).status_code == 404
        assert (await client.get("/hooks/test")).status_code == 405
        assert (await client.post("/hooks/test", content=b" " * (9 << 20))).status_code == 413
    house.yard.registry.change(ai=False)
    async with house.yard.client() as client:
        assert (await client.post("/hooks/test", content=b"{}")).status_code == 401
    assert UUID in {event.container for event in house.yard.record.of("call.answered")}


async def test_a_report_that_cannot_be_judged_is_an_error_and_no_permission(begin: Begin) -> None:
    house = await begin(*ALL)
    assert house.conversations._store is not None
    house.conversations._store.close()
    async with house.yard.client() as client:
        answer: httpx.Response = await client.post(
            "/hooks/test", json={"event": "tool.execute.before", "session": "s", "call": "c", "tool": "bash"}
        )
    assert answer.status_code >= 500


def _call(id_: str) -> dict[str, Any]:
    return {"id": id_, "type": "function", "function": {"name": "bash", "arguments": "{}"}}


async def test_a_report_names_no_call_or_tool_at_length(begin: Begin) -> None:
    house = await begin(blocks(EventName.TOOL_BEFORE, toolName="bash"))
    async with house.yard.client() as client:
        for call, tool in (("c", "t" * 201), ("c" * 201, "t")):
            report = msgspec.json.encode(Report(EventName.TOOL_BEFORE, "ses", call=call, tool=tool))
            answer = await client.post("/hooks/test", content=report)
            assert (answer.status_code, answer.json()["error"]["code"]) == (400, "request.invalid")


async def test_a_container_that_reports_without_end_is_refused_and_another_is_not(begin: Begin) -> None:
    house = await begin(blocks(EventName.TOOL_BEFORE, toolName="bash"))
    hooks = house.yard.gateway.hooks
    assert hooks is not None
    hooks._rate = Rate(Hands(), PER_SECOND, AT_ONCE)
    report = msgspec.json.encode(Report(EventName.SESSION_IDLE, "ses"))
    async with house.yard.client() as client:
        answers = [await client.post("/hooks/test", content=report) for _ in range(AT_ONCE + 1)]
        there = f"http://127.0.0.1:{house.yard.other_port}/hooks/test"
        beside = await client.post(there, content=report, headers={"authorization": "Bearer container-other"})
    *taken, refused = answers
    assert {answer.status_code for answer in taken} == {200}
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "limit.reports")
    assert refused.headers["retry-after"] == "1"
    assert beside.status_code == 200
