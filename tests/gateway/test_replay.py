"""Traffic through a real door, recorded and replayed: what fired then fires again, and other rules show what they would do."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest
from tests.gateway.conftest import Start
from tests.gateway.rules_house import House, next_turn, with_results, words
from tests.gateway.test_interception import CALLED, EACH_WIRE, STREAMED, WIRES, Speaks
from tests.gateway.test_rules import blocks, notifies, rule, says

from bawn.app.rule_replay import recorded
from bawn.audit.redact import Redactor
from bawn.enforcement.replay import Recorded, Replay, Replayed
from bawn.rules.matching import RuleSet
from bawn.rules.model import Mitm
from bawn.store import Store
from bawn.transforms.counts import Counts
from bawn.transforms.log import Log, LogStage
from bawn.transforms.log_files import LogFiles
from bawn.transforms.log_reading import read
from bawn.wire.answers import answers

CHAT = WIRES[0]
MINE = "mine"


class Recording:
    """A house whose calls are logged, and what was logged."""

    def __init__(self, house: House, folder: Path, **settings: Any) -> None:
        self.house = house
        self.folder = folder
        self.files = LogFiles(folder, house.clock.now)
        self.log = LogStage(Log(**settings), self.files, Redactor(), answers, house.clock, Counts())

    async def ask(self, asking: dict[str, Any], **headers: str) -> Any:
        """A minute passes between two calls: by their times the log puts them in order, however long each took."""
        answer = await self.house.ask(asking, **{"x-bawn-session": MINE, **headers})
        await self.house.rest()
        self.house.clock.forward(60)
        return answer

    async def say(self, speaks: Speaks, stream: bool, asking: dict[str, Any], **headers: str) -> bytes:
        answer = await self.ask(asking, **headers)
        assert answer.status_code == 200, answer.text
        return answers(speaks.wire).folded(answer.content) if stream else answer.content

    def calls(self, session: str = MINE) -> list[Recorded]:
        assert self.files.written(5)
        found = read(self.folder, session, None, 1000, 2**26)
        assert not found.broken
        made = [recorded(each) for each in found.calls]
        return [each for each in made if each is not None]

    async def replayed(self, rules: Sequence[dict[str, Any]] | None = None, session: str = MINE) -> list[Replayed]:
        """By other rules, or by those that hold."""
        tried = self.house.enforcer.rules
        if rules is not None:
            tried = RuleSet(Mitm.model_validate({"rules": rules}).rules)
        return await Replay(tried, self.house.labels, lambda uuid: "").walk(self.calls(session))

    def fired(self) -> list[tuple[str, str, str]]:
        """Which rules fired on what with which effect, as the record has it."""
        told = [dict(event.detail) for event in self.house.events if event.event == "rule.fired"]
        return sorted((each["rule"], each["on"], each["effect"]) for each in told)


Begin = Callable[..., Awaitable[Recording]]


@pytest.fixture
async def begin(start: Start, store: Store, scripted: Path, tmp_path: Path) -> AsyncIterator[Begin]:
    made: list[Recording] = []

    async def begun(*rules: dict[str, Any], tags: dict[str, list[str]] | None = None, **settings: Any) -> Recording:
        house = House(store, scripted, list(rules), tags=tags)
        recording = Recording(house, tmp_path / f"log{len(made)}", **settings)
        made.append(recording)
        await house.start(start, recording.log)
        return recording

    yield begun
    for each in made:
        await each.house.close()
        each.files.close()


def fired(told: Sequence[Replayed]) -> list[tuple[str, str, str]]:
    return sorted((each.rule, each.event, each.effect) for call in told for each in call.fired)


def put(id_: str, event: str, content: str, target: str = "system", **said: Any) -> dict[str, Any]:
    return rule(id_, event, {"type": "prompt-inject", "content": content, "target": target}, **said)


EVERYTHING = (
    put("system", "chat.system.transform", "Be careful."),
    put("user", "chat.message", "Mind the gap.", "user", role="user", contentMatch="hello"),
    rule("call", "tool.execute.before", says("It was looked at."), toolName="bash"),
    rule("result", "tool.execute.after", says("That was a result."), toolName="ba*"),
    notifies("begun", "session.created"),
    notifies("idle", "session.idle"),
    notifies("answer", "chat.message", role="assistant"),
    notifies("often", "chat.message", role="user", cooldownMs=90_000),
    notifies("dry", "chat.message", role="user", dryRun=True),
    notifies("error", "session.error"),
)


# the same rules


@EACH_WIRE
@STREAMED
async def test_what_fired_fires_again_and_nothing_else_does(begin: Begin, speaks: Speaks, stream: bool) -> None:
    recording = await begin(*EVERYTHING)
    asking = speaks.asking("hello", stream)
    asking = next_turn(speaks, asking, await recording.say(speaks, stream, asking), CALLED)
    answer = await recording.say(speaks, stream, asking)
    asking = with_results(speaks, asking, answer, "no such file")
    for _ in range(2):  # a client that tries again
        answer = await recording.say(speaks, stream, asking)
    await recording.say(speaks, stream, next_turn(speaks, asking, answer, "hello again"))
    told = await recording.replayed()
    assert fired(told) == recording.fired()
    assert {each for each, _, _ in fired(told)} == {each["id"] for each in EVERYTHING} - {"error"}
    assert not any(call.untold or call.refused for call in told)
    assert told[0].change.splitlines()[1:] == ["+[system]", "+Be careful.", " [user]", " hello", "+", "+Mind the gap."]
    said = {"system", "user", "call", "result"}
    assert [set(call.standing) for call in told] == [
        set(),
        {"system", "user"},
        said - {"result"} - seen(told[2]),
        said,
        said,
    ]


def seen(call: Replayed) -> set[str]:
    return {each.rule for each in call.fired}


@pytest.mark.parametrize("seed", range(8))
async def test_any_conversation_replayed_by_its_rules_is_what_it_was(begin: Begin, seed: int) -> None:
    chance = random.Random(seed)
    rules = [
        *chance.sample(EVERYTHING, chance.randint(2, len(EVERYTHING))),
        *chance.sample(
            (
                blocks("chat.message", contentMatch="forbidden", role="user"),
                rule("not", "tool.execute.before", {"type": "block", "reason": "no"}, contentMatch="srv"),
                rule("nor", "tool.execute.after", {"type": "block", "reason": "no"}, contentMatch="secret"),
                rule("never", "chat.message", {"type": "block", "reason": "no"}, role="assistant", contentMatch="bye"),
            ),
            chance.randint(0, 4),
        ),
    ]
    recording = await begin(*rules)
    speaks, stream = chance.choice(WIRES), chance.random() < 0.5
    asking = speaks.asking("hello", stream)
    for _ in range(6):
        recording.house.clock.forward(chance.choice((0, 0, 60)))
        answer = await recording.ask(asking)
        text = chance.choice(("hello", "bye", CALLED, "forbidden"))
        if answer.status_code != 200:
            asking = speaks.asking(text, stream)
            continue
        said = answers(speaks.wire).folded(answer.content) if stream else answer.content
        if words(speaks, said).calls:
            asking = with_results(speaks, asking, said, chance.choice(("a secret", "nothing")))
        else:
            asking = next_turn(speaks, asking, said, text)
    told = await recording.replayed()
    assert fired(told) == recording.fired()
    assert all(bool(call.refused) == (call.recorded.outcome == "refused") for call in told if not call.recorded.answers)


async def test_what_agents_say_by_official_packages_is_replayed(begin: Begin) -> None:
    recording = await begin(*EVERYTHING, tags={"dev": ["night"]})
    url = recording.house.yard.url
    headers = {"x-bawn-session": MINE}
    tools: Any = CHAT.body["tools"]
    async with openai.AsyncOpenAI(base_url=f"{url}/api/v1", api_key="container-dev", default_headers=headers) as client:
        asked: list[Any] = [{"role": "user", "content": CALLED}]
        answer = await client.chat.completions.create(model="scripted/agent", messages=asked, tools=tools)
        recording.house.clock.forward(60)
        said = answer.choices[0].message
        assert said.tool_calls
        result = {"role": "tool", "tool_call_id": said.tool_calls[0].id, "content": "no such file"}
        asked += [said.model_dump(exclude_none=True), result]
        async with client.chat.completions.stream(model="scripted/agent", messages=asked, tools=tools) as stream:
            await stream.get_final_completion()
    recording.house.clock.forward(60)
    async with anthropic.AsyncAnthropic(base_url=url, api_key="container-dev", default_headers=headers) as client:
        await client.messages.create(
            model="scripted/agent", max_tokens=99, messages=[{"role": "user", "content": "hello"}]
        )
    await recording.house.rest()
    told = await recording.replayed()
    assert [call.recorded.wire.value for call in told] == ["openai", "openai", "anthropic"]
    assert fired(told) == recording.fired()
    assert {"call", "result", "user"} <= {each for each, _, _ in fired(told)}


async def test_calls_side_by_side_are_replayed_side_by_side(begin: Begin) -> None:
    recording = await begin(notifies("n", "chat.message", role="user"), notifies("a", "chat.message", role="assistant"))
    ask = [recording.house.ask(CHAT.asking(f"hello {at % 3}", False), **{"x-bawn-session": MINE}) for at in range(9)]
    await asyncio.gather(*ask)
    await recording.house.rest()
    assert fired(await recording.replayed()) == recording.fired()


# other rules


async def test_other_rules_show_what_they_would_have_changed_and_change_nothing(begin: Begin) -> None:
    recording = await begin()
    asking = CHAT.asking(CALLED, False)
    answer = await recording.say(CHAT, False, asking)
    asking = with_results(CHAT, asking, answer, "no such file")
    await recording.say(CHAT, False, next_turn(CHAT, asking, await recording.say(CHAT, False, asking), "thanks"))
    sent = recording.house.got(CHAT)
    told = await recording.replayed([rule("tell", "tool.execute.before", says("Use the other one."), toolName="bash")])
    assert [[each.rule for each in call.fired] for call in told] == [["tell"], [], []]
    assert told[0].change == "", "it stands behind the result of the call"
    assert [call.standing for call in told] == [(), ("tell",), ("tell",)]
    assert "Use the other one." not in "\n".join(spot.text for spot in sent.spots)
    assert not recording.house.done
    assert not recording.fired()


async def test_other_rules_show_what_they_would_have_refused(begin: Begin) -> None:
    recording = await begin()
    await recording.say(CHAT, False, CHAT.asking("hello", False))
    await recording.say(CHAT, False, CHAT.asking(CALLED, False))
    no = {"type": "block", "reason": "not with us"}
    told = await recording.replayed(
        [
            rule("words", "chat.message", no, role="user", contentMatch="^hello"),
            rule("tool", "tool.execute.before", no, toolName="bash"),
            notifies("error", "session.error"),
        ]
    )
    assert [call.refused for call in told] == ["A rule refuses this: not with us", ""]
    assert [(each.tool, each.rule, each.asks) for each in told[1].withheld] == [("bash", "tool", False)]
    assert fired(told) == [
        ("error", "session.error", "notification"),
        ("tool", "tool.execute.before", "block"),
        ("words", "chat.message", "block"),
    ]
    asked = await recording.replayed([rule("ask", "tool.execute.before", {"type": "approve", "reason": "sure?"})])
    assert [each.asks for each in asked[1].withheld] == [True]


@STREAMED
async def test_an_answer_that_would_be_refused_is_told_with_the_reason(begin: Begin, stream: bool) -> None:
    recording = await begin()
    await recording.say(CHAT, stream, CHAT.asking("hello", stream))
    no = rule("answer", "chat.message", {"type": "block", "reason": "not so"}, role="assistant")
    (told,) = await recording.replayed([no])
    assert told.refused == "A rule refuses this: not so"


async def test_a_call_that_was_refused_at_the_time_is_replayed_by_others(begin: Begin) -> None:
    recording = await begin(blocks("chat.message", contentMatch="hello"))
    assert (await recording.ask(CHAT.asking("hello", False))).status_code == 403
    (told,) = await recording.replayed([notifies("n", "chat.message", role="user")])
    assert fired([told]) == [("n", "chat.message", "notification")]
    assert (told.recorded.outcome, told.recorded.answers) == ("refused", None)
    assert not told.refused


async def test_a_cooldown_goes_by_the_times_of_the_log(begin: Begin) -> None:
    recording = await begin()
    for text in ("one", "two", "three"):
        await recording.say(CHAT, False, CHAT.asking(text, False))
        recording.house.clock.forward(29)
    told = await recording.replayed([notifies("n", "chat.message", role="user", cooldownMs=120_000)])
    assert [len(call.fired) for call in told] == [1, 0, 1]


async def test_tags_that_a_session_names_are_in_the_log(begin: Begin) -> None:
    recording = await begin(tags={"dev": ["house"]})
    await recording.say(CHAT, False, CHAT.asking("one", False), **{"x-bawn-tags": "night, not a tag"})
    await recording.say(CHAT, False, CHAT.asking("two", False))
    rules = [notifies(tag, "chat.message", role="user", tags=[tag]) for tag in ("night", "house", "tag")]
    told = await recording.replayed(rules)
    assert [[each.rule for each in call.fired] for call in told] == [["night", "house"], ["night", "house"]], (
        "what a session names stays with it"
    )


# what cannot be replayed


async def test_a_body_of_which_only_the_beginning_is_kept_is_told_and_not_guessed(begin: Begin) -> None:
    recording = await begin(body_bytes=1000)
    await recording.say(CHAT, False, CHAT.asking("hello " + "x" * 2000, False))
    await recording.say(CHAT, False, CHAT.asking("hello", False))
    told = await recording.replayed([notifies("n", "chat.message", contentMatch="hello", role="user")])
    assert [len(call.fired) for call in told] == [0, 1]
    assert told[0].untold == ["its request is not in the log, or not whole"]


async def test_without_answers_in_the_log_that_is_told(begin: Begin) -> None:
    recording = await begin(answers=False)
    await recording.say(CHAT, False, CHAT.asking("hello", False))
    (told,) = await recording.replayed(list(EVERYTHING))
    assert told.untold == ["its answer is not in the log, or not whole"]
    assert ("user", "chat.message", "prompt-inject") in fired([told])


async def test_a_call_that_takes_too_long_is_broken_off_and_not_told(begin: Begin) -> None:
    recording = await begin(notifies("n", "chat.message", role="user"))
    asking = CHAT.asking("hello", False)
    said = [{"role": "user", "content": str(number)} for number in range(50)]
    await recording.say(CHAT, False, {**asking, "json": {**asking["json"], "messages": said}})
    asked = 0

    def enough() -> bool:
        nonlocal asked
        asked += 1
        return asked > 10

    replay = Replay(recording.house.enforcer.rules, recording.house.labels, lambda uuid: "")
    assert await replay.walk(recording.calls(), enough) == []
    assert asked == 11


async def test_a_long_replay_ends_when_it_is_enough(begin: Begin) -> None:
    recording = await begin()
    for text in ("one", "two", "three"):
        await recording.say(CHAT, False, CHAT.asking(text, False))
    left = iter((False, False, False, True))
    replay = Replay(recording.house.enforcer.rules, recording.house.labels, lambda uuid: "")
    assert len(await replay.walk(recording.calls(), lambda: next(left))) == 1


@EACH_WIRE
@STREAMED
async def test_what_a_model_says_once_it_was_told_of_a_refusal_is_looked_at_and_replayed(
    begin: Begin, speaks: Speaks, stream: bool
) -> None:
    no = rule("tool", "tool.execute.before", {"type": "block", "reason": "not with us"})
    reason = {"type": "block", "reason": "not so"}
    never = rule("words", "chat.message", reason, role="assistant", contentMatch="The tool bash said")
    recording = await begin(no, never)
    said = await recording.say(speaks, stream, speaks.asking(CALLED, stream))
    assert "The tool bash said" not in words(speaks, said).text
    assert "not so" in words(speaks, said).text
    (told,) = await recording.replayed()
    assert (
        fired([told])
        == recording.fired()
        == [("tool", no["trigger"]["event"], "block"), ("words", "chat.message", "block")]
    )
    assert told.refused.endswith("not so")
    assert [each.tool for each in told.withheld] == ["bash"]
