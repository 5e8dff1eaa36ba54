"""Rules in conversations that the provider keeps: a request says what is new and names what it goes on with."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.gateway.conftest import Start, Yard
from tests.gateway.rules_house import House
from tests.gateway.test_interception import CALLED, STREAMED, WIRES

from bawn.enforcement.kept import KeptCalls
from bawn.gateway.settings import Allow
from bawn.rules.model import EventName
from bawn.store import Store
from bawn.terms.exchange import WireName
from bawn.terms.toolcall import ToolCall
from bawn.wire.answers import answers

Begin = Callable[..., Awaitable[House]]
SPEAKS = next(each for each in WIRES if each.wire is WireName.RESPONSES)
NAMED = [pytest.param({}, id="unnamed"), pytest.param({"x-bawn-session": "ses"}, id="named")]
GUARD = {
    "id": "guard",
    "trigger": {"event": "chat.message", "role": "user", "contentMatch": "deploy"},
    "action": {"type": "prompt-inject", "content": "Ask first.", "target": "system"},
}


def notifies(event: str, **trigger: str) -> dict[str, Any]:
    return {"id": event, "trigger": {"event": event, **trigger}, "action": {"type": "notification", "title": "x"}}


@pytest.fixture
async def begin(start: Start, store: Store, scripted: Path) -> AsyncIterator[Begin]:
    houses: list[House] = []

    async def keeping(**said: Any) -> Yard:
        allow = Allow(models=("*",), hosted_tools=("store",), objects=("conversations",))
        return await start(allow=allow, **said)

    async def begun(*rules: dict[str, Any]) -> House:
        house = House(store, scripted, list(rules))
        houses.append(house)
        return await house.start(keeping)

    yield begun
    for house in houses:
        await house.close()


async def asked(
    house: House, said: Any, after: str = "", *, stream: bool = False, headers: Mapping[str, str] | None = None
) -> httpx.Response:
    """What is new alone, said behind a response that the provider keeps."""
    asking = SPEAKS.asking("", stream)
    asking["json"] |= {"input": said, "store": True} | ({"previous_response_id": after} if after else {})
    answer = await house.ask(asking, **(headers or {}))
    await house.rest()
    return answer


def made(answer: httpx.Response, *, stream: bool = False) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    read: dict[str, Any] = json.loads(answers(SPEAKS.wire).folded(answer.content) if stream else answer.content)
    return read


def sessions(house: House) -> set[str]:
    return {doing.happened.session for doing in house.done}


@STREAMED
@pytest.mark.parametrize("headers", NAMED)
async def test_what_goes_on_with_a_kept_response_is_the_same_conversation(
    begin: Begin, headers: dict[str, str], stream: bool
) -> None:
    told = ("session.created", "session.idle", "chat.system.transform")
    house = await begin(*map(notifies, told), notifies("chat.message", role="user"), GUARD)
    last = made(await asked(house, "please deploy", stream=stream, headers=headers), stream=stream)["id"]
    assert "Ask first." in house.got(SPEAKS).system
    for _ in range(2):
        last = made(await asked(house, "continue", last, stream=stream, headers=headers), stream=stream)["id"]
        assert "Ask first." in house.got(SPEAKS).system, "system text is not kept with a response"
    assert len(sessions(house)) == 1
    fired = house.fired()
    assert {name: fired.count(name) for name in set(fired)} == {
        "guard": 1,
        "session.created": 1,
        "session.idle": 3,
        "chat.message": 3,
        "chat.system.transform": 3,
    }


@pytest.mark.parametrize("headers", NAMED)
async def test_a_client_that_tries_again_makes_nothing_fire_twice(begin: Begin, headers: dict[str, str]) -> None:
    house = await begin(notifies("chat.message", role="user"))
    first = made(await asked(house, "hello", headers=headers))["id"]
    for _ in range(3):
        await asked(house, "continue", first, headers=headers)
    assert house.fired() == ["chat.message"] * 2


async def test_an_agent_that_stops_naming_its_conversation_stays_in_it(begin: Begin) -> None:
    house = await begin(notifies("chat.message", role="user"))
    first = made(await asked(house, "hello", headers={"x-bawn-session": "ses"}))["id"]
    await asked(house, "continue", first)
    assert sessions(house) == {"ses"}


async def test_a_response_that_nobody_knows_begins_a_conversation(begin: Begin) -> None:
    house = await begin(notifies("chat.message", role="user"))
    first = made(await asked(house, "hello"))["id"]
    await asked(house, "hello")
    house.yard.makers.made["scripted", "resp_other"] = house.yard.makers.made["scripted", first]
    await asked(house, "hello", "resp_other")
    assert len(sessions(house)) == 3


@STREAMED
async def test_a_result_is_known_by_the_call_that_was_proposed(begin: Begin, stream: bool) -> None:
    reminds = {"id": "reminds", "trigger": {"event": "tool.execute.before"}}
    reminds |= {"action": {"type": "message", "content": "Mind the budget."}}
    secret = {"event": "tool.execute.after", "toolName": "bash", "contentMatch": "secret"}
    house = await begin(
        notifies("tool.execute.after", toolName="bash", when='has(event.args) && event.args.command.contains("rm")'),
        {"id": "no", "trigger": secret, "action": {"type": "block", "reason": "not with us"}},
        {"id": "other", "trigger": secret | {"toolName": "read"}, "action": {"type": "block", "reason": "neither"}},
        reminds,
    )
    first = made(await asked(house, CALLED, stream=stream), stream=stream)
    [call] = [item for item in first["output"] if item["type"] == "function_call"]
    given = {"type": "function_call_output", "call_id": call["call_id"], "output": "our secret"}
    refused = await asked(house, [given], first["id"], stream=stream)
    assert refused.status_code == 403
    assert "not with us" in refused.text
    assert "neither" not in refused.text
    again = made(await asked(house, [given | {"output": "done"}], first["id"], stream=stream), stream=stream)
    told = [doing.happened for doing in house.done if doing.happened.event is EventName.TOOL_AFTER]
    assert {(each.tool, each.tool_input) for each in told} == {("bash", call["arguments"])}
    assert ("user", "Mind the budget.") in house.told(SPEAKS), "behind the result of the call"
    await asked(house, "and now?", again["id"], stream=stream)
    assert ("user", "Mind the budget.") not in house.told(SPEAKS), "the provider keeps it from then on"
    assert "other" not in house.fired()


async def test_requests_within_a_kept_conversation_are_the_same_conversation(begin: Begin) -> None:
    house = await begin(notifies("chat.message", role="user"), notifies("session.created"), GUARD)
    async with house.yard.client() as client:
        answer = await client.post("/v1/conversations", json={})
    assert answer.status_code == 200, answer.text
    within = answer.json()["id"]
    for said in ("please deploy", "continue", "continue"):
        asking = SPEAKS.asking("", False)
        asking["json"] |= {"input": said, "conversation": within}
        made(await house.ask(asking))
        await house.rest()
        assert "Ask first." in house.got(SPEAKS).system
    assert len(sessions(house)) == 1
    assert sorted(house.fired()) == ["chat.message"] * 3 + ["guard", "session.created"]


def test_calls_are_kept_up_to_a_bound_of_each_container_alone() -> None:
    kept = KeptCalls()
    kept.add("b", "s", ToolCall("c", "bash", "{}"))
    for at in range(30):
        kept.add("a", "s", ToolCall(f"c{at}", "bash", "x" * 2**16))
    assert kept.get("a", "s", "c29") is not None
    assert kept.get("a", "s", "c0") is None
    assert kept.get("a", "other", "c29") is None
    kept.add("a", "s", ToolCall("c29", "bash", "x" * 2**20))
    assert kept.get("a", "s", "c29") is None, "too long to be kept"
    assert kept.get("b", "s", "c") is not None
    kept.forget("b")
    assert kept.get("b", "s", "c") is None
