"""Transforms as a client of each wire meets them, through a real door."""

from __future__ import annotations

import statistics
import time
from collections.abc import AsyncIterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.gateway.conftest import RealClock, Start, Yard, until
from tests.gateway.test_interception import EACH_WIRE, STREAMED, WIRES, Speaks, only, read

from bawn.audit.redact import Redactor
from bawn.config.load import load
from bawn.store import Store, open_store
from bawn.terms.principal import Container
from bawn.transforms.building import Kept, Means, judges, ordered, stages
from bawn.transforms.settings import Transforms
from bawn.transforms.tables import quota_uses
from bawn.wire.answers import answers
from bawn.wire.documents import document


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = open_store(tmp_path / "bawn.db")
    opened.run_blocking(quota_uses.create)
    yield opened
    opened.close()


class House:
    """Transforms of a configuration, and what they did."""

    def __init__(self, folder: Path, store: Store, text: str) -> None:
        clock = RealClock()
        self.kept = Kept(folder, store, clock)
        self.explained = 0
        self.settings = load(text, "bawn.yaml", Transforms)
        means = Means(
            kept=self.kept,
            clock=clock,
            redactor=Redactor(),
            answers=answers,
            read=document,
            resolve=lambda name: {"house": "scripted/echo"}.get(name, name),
            cost=lambda model, usage: Decimal(usage.output_tokens) / 1000,
            ask=self._ask,
            embed=self._embed,
            notify=lambda notice, container: None,
        )
        self.stages = ordered(stages(self.settings, means), None)
        self.judges = judges(self.settings, self.kept)

    async def _ask(self, container: Container, model: str, text: str) -> str:
        self.explained += 1
        return "It prints."

    async def _embed(self, container: Container, model: str, texts: Sequence[str]) -> list[list[float]]:
        return [[float(len(text)), 1.0] for text in texts]

    async def start(self, start: Start) -> Yard:
        return await start(stages=self.stages, judges=self.judges)

    @property
    def counts(self) -> dict[str, dict[str, int]]:
        return self.kept.numbers()


def without_tools(speaks: Speaks, text: str, stream: bool) -> dict[str, Any]:
    asking = speaks.asking(text, stream)
    asking["json"] = {name: value for name, value in asking["json"].items() if name != "tools"}
    return asking


@EACH_WIRE
@STREAMED
async def test_an_equal_question_is_answered_from_memory_and_costs_nothing(
    start: Start, tmp_path: Path, store: Store, speaks: Speaks, stream: bool
) -> None:
    house = House(tmp_path, store, "cache: {}")
    yard = await house.start(start)
    async with yard.client() as client:
        first = await client.post(**without_tools(speaks, "hello", stream))
        await yard.settled(1)
        again = await client.post(**without_tools(speaks, "hello", stream))
    assert (first.status_code, again.status_code) == (200, 200), first.text
    assert "x-bawn-cache" not in first.headers
    assert again.headers["x-bawn-cache"] == "hit"
    assert read(speaks, stream, again) == read(speaks, stream, first)
    settled = await yard.settled(2)
    assert settled.cost_usd == Decimal(0)
    assert house.counts["cache"]["hits"] == 1
    notes = [dict(event.detail).get("cache") for event in yard.record.of("call.opened")]
    assert notes == [None, "hit"]


@EACH_WIRE
async def test_a_plain_answer_and_a_stream_are_kept_as_one(
    start: Start, tmp_path: Path, store: Store, speaks: Speaks
) -> None:
    house = House(tmp_path, store, "cache: {}")
    yard = await house.start(start)
    async with yard.client() as client:
        plain = await client.post(**without_tools(speaks, "hello", False))
        await yard.settled(1)
        streamed = await client.post(**without_tools(speaks, "hello", True))
    assert streamed.headers["x-bawn-cache"] == "hit"
    assert read(speaks, True, streamed).text == read(speaks, False, plain).text


@EACH_WIRE
@STREAMED
async def test_calls_of_tools_are_asked_anew_and_judged_by_rule(
    start: Start, tmp_path: Path, store: Store, speaks: Speaks, stream: bool
) -> None:
    house = House(
        tmp_path,
        store,
        """
cache: {}
tools:
  rules:
  - tools: [bash]
    when: {command: "re:rm -rf"}
    action: rename
    to: blocked
    keep: false
    reason: Not here.
    arguments: {original: "{command}", reason: "{$reason}"}
""",
    )
    yard = await house.start(start)
    async with yard.client() as client:
        for count in (1, 2):
            answer = await client.post(**speaks.asking('call bash with {"command": "rm -rf /srv"}', stream))
            await yard.settled(count)
            assert "x-bawn-cache" not in answer.headers
            blocked = ("blocked", {"original": "rm -rf /srv", "reason": "Not here."})
            assert only(read(speaks, stream, answer)) == blocked
    assert house.counts["tools"]["changed"] == 2


@EACH_WIRE
@STREAMED
async def test_code_is_explained_and_the_explanation_kept_with_the_answer(
    start: Start, tmp_path: Path, store: Store, speaks: Speaks, stream: bool
) -> None:
    house = House(tmp_path, store, "cache: {}\nenhance: {model: scripted/echo, code_characters: 5}")
    yard = await house.start(start)
    text = "```python print(1) ```"
    said = []
    async with yard.client() as client:
        for count in (1, 2):
            answer = await client.post(**without_tools(speaks, text, stream))
            await yard.settled(count)
            said.append(read(speaks, stream, answer).text)
    assert said[0] == said[1]
    assert said[0].endswith("**How this works:**\nIt prints.")
    assert house.explained == 1


async def test_a_quota_holds_at_the_door(start: Start, tmp_path: Path, store: Store) -> None:
    house = House(
        tmp_path, store, "quota: {output_tokens: 10, customers: {a: {containers: [dev], tokens_per_day: 200}}}"
    )
    yard = await house.start(start)
    async with yard.client() as client:
        calls = [await client.post(**without_tools(WIRES[0], "hello there, say it again", False)) for _ in range(40)]
    statuses, answer = [call.status_code for call in calls], calls[-1]
    assert statuses[0] == 200
    assert statuses[-1] == 429
    assert statuses == sorted(statuses)
    refused = answer.json()["error"]
    assert "It is full again at" in refused["message"]
    assert answer.headers["x-bawn-code"] == "quota.exceeded"
    used = house.kept.quotas.used("a", yard.gateway.clock.now())
    assert 0 < used.tokens <= 200


async def test_requests_are_written_down_when_they_have_ended(start: Start, tmp_path: Path, store: Store) -> None:
    house = House(tmp_path, store, "log: {}")
    yard = await house.start(start)
    async with yard.client() as client:
        await client.post(**without_tools(WIRES[2], "hello", True))
        await yard.settled(1)
    path = tmp_path / "requests" / "container-7.jsonl"
    await until(path.exists)
    house.kept.lines.close()
    assert "hello" in path.read_text()
    assert "container-dev" not in path.read_text(), "the token of the container is nobody's business"
    assert house.counts["log"]["written"] == 1


async def test_a_hit_at_the_door_takes_about_a_millisecond(start: Start, tmp_path: Path, store: Store) -> None:
    house = House(tmp_path, store, "cache: {}")
    yard = await house.start(start)
    took = []
    async with yard.client() as client:
        for _ in range(100):
            began = time.perf_counter()
            await client.post(**without_tools(WIRES[0], "hello", False))
            took.append(time.perf_counter() - began)
    middle = statistics.median(took[10:]) * 1000
    print(f"a hit, with the client's own time: {middle:.2f} ms")
    assert house.counts["cache"]["hits"] == 99
    assert middle < 20
