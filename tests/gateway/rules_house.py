"""A gateway with rules, and what a client of any wire says to it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec
from tests.gateway.conftest import Start, Yard
from tests.gateway.test_interception import Speaks

from bawn.adapters.report import Report, Verdict
from bawn.enforcement.conversations import Conversations
from bawn.enforcement.effects import Doing, Effects
from bawn.enforcement.enforcer import Enforcer
from bawn.enforcement.judge import RulesJudge
from bawn.enforcement.labels import Labels
from bawn.enforcement.reports import Reports
from bawn.enforcement.stage import RulesStage
from bawn.errors import Fault
from bawn.rules.matching import RuleSet
from bawn.rules.model import EventName, Mitm
from bawn.stages.judging import Approvers
from bawn.stages.stage import Stage
from bawn.store import Store
from bawn.terms.event import Event
from bawn.terms.exchange import Exchange, WireName
from bawn.wire.answers import answers
from bawn.wire.document import RequestDocument, Said
from bawn.wire.documents import document
from bawn.wire.editing import Refused
from bawn.wire.editing import Said as Words


class Hands:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.time = datetime(2030, 1, 1, 12, tzinfo=UTC)
        self.began = self.time

    def now(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        return (self.time - self.began).total_seconds() + 5

    def forward(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


class Plain:
    """A dialect that says everything as it is."""

    def read(self, body: bytes) -> Report | None:
        return msgspec.json.decode(body, type=Report) if body != b"{}" else None

    def answer(self, report: Report | None, verdict: Verdict) -> bytes:
        return msgspec.json.encode(verdict)


class House:
    """Rules as they are written, with everything that they do noted."""

    def __init__(
        self,
        store: Store,
        scripted: Path,
        rules: list[dict[str, Any]],
        *,
        clock: Hands | None = None,
        tags: dict[str, list[str]] | None = None,
    ) -> None:
        self.clock = clock or Hands()
        self.done: list[Doing] = []
        self.ended: list[tuple[str, str]] = []
        self.events: list[Event] = []
        self.effects = Effects(self._do, self._over, self.clock.monotonic)
        self.labels = Labels(store, self.clock, tags)
        self.conversations = Conversations(store, self.clock)
        self.enforcer = Enforcer(self.conversations, self.effects, self.labels, self.events.append, self.clock)
        self.hold(rules)
        self._scripted = scripted
        self.fails: Fault | None = None
        self.yard: Yard

    def hold(self, rules: list[dict[str, Any]]) -> None:
        self.enforcer.hold(RuleSet(Mitm.model_validate({"rules": rules}).rules))

    async def start(self, start: Start, *others: Stage, approvers: Approvers | None = None) -> House:
        self.yard = await start(
            stages=(RulesStage(self.enforcer), *others),
            judges=(RulesJudge(self.enforcer),),
            approvers=approvers,
            hooks=({"test": Plain()}, Reports(self.enforcer)),
        )
        return self

    async def _do(self, doing: Doing) -> None:
        self.done.append(doing)
        if self.fails is not None:
            raise self.fails

    def _over(self, doing: Doing, fault: Fault | None, seconds: float) -> None:
        self.ended.append((doing.rule.id, fault.code if fault is not None else ""))

    async def rest(self) -> None:
        """Until everything that rules began is done."""
        await self.enforcer.settled()
        await self.effects.settled()
        await self.conversations.written()
        await self.labels.kinship.written()

    async def close(self) -> None:
        await self.rest()
        await self.effects.stop()

    def fired(self) -> list[str]:
        """The rules of which a firing is on record, in their order."""
        return [dict(event.detail)["rule"] for event in self.events if event.event == "rule.fired"]

    async def ask(self, asking: dict[str, Any], token: str = "container-dev", **headers: str) -> httpx.Response:
        async with self.yard.client(token) as client:
            return await client.post(**asking, headers=headers)

    async def report(self, event: EventName, session: str = "ses", **said: Any) -> Verdict:
        """What an agent is told that reports something."""
        async with self.yard.client() as client:
            report = msgspec.json.encode(Report(event, session, **said))
            answer = await client.post("/hooks/test", content=report)
        assert answer.status_code == 200, answer.text
        await self.rest()
        return msgspec.json.decode(answer.content, type=Verdict)

    async def say(self, speaks: Speaks, stream: bool, asking: dict[str, Any], **headers: str) -> bytes:
        """The plain form of what is answered."""
        answer = await self.ask(asking, **headers)
        assert answer.status_code == 200, answer.text
        await self.rest()
        return answers(speaks.wire).folded(answer.content) if stream else answer.content

    def got(self, speaks: Speaks) -> RequestDocument:
        """What the model was sent last."""
        lines = (json.loads(line) for line in (self._scripted / "record.jsonl").read_text().splitlines())
        last = [entry for entry in lines if "request" in entry][-1]
        return read_request(speaks, last["body"].encode("utf-8", "surrogateescape"))

    def told(self, speaks: Speaks) -> list[tuple[str, str]]:
        """Who said what in it, without the system text."""
        return [
            (message.said.value, message.text)
            for message in self.got(speaks).messages
            if message.said is not Said.SYSTEM
        ]


def read_request(speaks: Speaks, body: bytes) -> RequestDocument:
    read = document(Exchange(speaks.wire, speaks.endpoint, "scripted/agent", stream=False, body=body))
    assert read is not None
    return read


def words(speaks: Speaks, answer: bytes) -> Words:
    return answers(speaks.wire).said(speaks.endpoint, answer)


def next_turn(speaks: Speaks, asking: dict[str, Any], answer: bytes, text: str) -> dict[str, Any]:
    read = read_request(speaks, json.dumps(asking["json"]).encode())
    read.add_message(Said.ASSISTANT, words(speaks, answer).text)
    read.add_message(Said.USER, text)
    return {**asking, "json": json.loads(read.body())}


def with_results(speaks: Speaks, asking: dict[str, Any], answer: bytes, *results: str) -> dict[str, Any]:
    """What a client sends next: the answer with its calls, and what its tools gave."""
    calls = words(speaks, answer).calls
    given = [Refused(call.id or call.name, text) for call, text in zip(calls, results, strict=True)]
    body = json.dumps(asking["json"]).encode()
    return {**asking, "json": json.loads(answers(speaks.wire).continued(body, answer, given))}


def two_calls(speaks: Speaks, answer: bytes) -> bytes:
    """The answer with its call a second time, under another id."""
    read = json.loads(answer)
    match speaks.wire:
        case WireName.OPENAI:
            calls = read["choices"][0]["message"]["tool_calls"]
        case WireName.RESPONSES:
            calls = read["output"]
        case WireName.ANTHROPIC:
            calls = read["content"]
        case _:
            calls = read["candidates"][0]["content"]["parts"]
    again = json.loads(json.dumps(calls[-1]))
    for name in ("id", "call_id"):
        if name in again:
            again[name] = str(again[name])[:-1] + "z"
    if "id" in again.get("functionCall", {}):
        again["functionCall"]["id"] += "z"
    calls.append(again)
    return json.dumps(read).encode()
