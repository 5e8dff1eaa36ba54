"""Transforms are made from the configuration, in its order, and nothing configured is left out in silence."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.transforms.calls import DEV, FOREIGN, Clock, asked, chat, proposed
from tests.transforms.driving import OK, drive

from bawn.audit.redact import Redactor
from bawn.config.load import load
from bawn.errors import Fault
from bawn.stages.asked import Asked
from bawn.store import Store, open_store
from bawn.terms.exchange import Endpoint, Usage, WireName
from bawn.terms.principal import Container
from bawn.transforms.building import ORDER, Kept, Means, judges, ordered, stages
from bawn.transforms.settings import Transforms
from bawn.transforms.tables import quota_uses
from bawn.wire import wire
from bawn.wire.answers import answers
from bawn.wire.documents import document

ALL = """
quota: {customers: {acme: {containers: ["*"], tokens_per_day: 100000}}}
log: {}
alert: {rules: [{errors: true}]}
route: {default: scripted/demo}
context: {bases: {handbook: {containers: ["*"]}}}
dedupe: {}
compress: {}
cache: {}
semantic: {model: own/embed}
enhance: {model: own/small}
tools: {rules: [{tools: [rm], action: deny}]}
"""


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = open_store(tmp_path / "bawn.db")
    opened.run_blocking(quota_uses.create)
    yield opened
    opened.close()


def settings(text: str) -> Transforms:
    return load(text, "bawn.yaml", Transforms)


class Yard:
    def __init__(self, folder: Path, store: Store) -> None:
        self.clock = Clock()
        self.kept = Kept(folder, store, self.clock)
        self.explained: list[str] = []
        self.means = Means(
            kept=self.kept,
            clock=self.clock,
            redactor=Redactor(),
            answers=answers,
            read=document,
            resolve=str,
            cost=self._cost,
            ask=self._ask,
            embed=self._embed,
            notify=lambda notice, container: None,
        )

    def _cost(self, model: str, usage: Usage) -> Decimal | None:
        return Decimal(0)

    async def _ask(self, container: Container, model: str, text: str) -> str:
        self.explained.append(model)
        return "It prints."

    async def _embed(self, container: Container, model: str, texts: Sequence[str]) -> list[list[float]]:
        return [[float(ord(letter)) for letter in text[:32].ljust(32)] for text in texts]


async def test_every_section_makes_its_stage_and_they_come_in_the_documented_order(
    tmp_path: Path, store: Store
) -> None:
    yard = Yard(tmp_path, store)
    made = stages(settings(ALL), yard.means)
    assert list(made) == list(ORDER)
    assert all(stage.name == name for name, stage in made.items())
    assert len(judges(settings(ALL), yard.kept)) == 1
    assert stages(settings("{}"), yard.means) == {}
    assert judges(settings("{}"), yard.kept) == ()


async def test_the_order_is_that_of_the_configuration(tmp_path: Path, store: Store) -> None:
    yard = Yard(tmp_path, store)
    made = stages(settings("cache: {}\nlog: {}\ndedupe: {}"), yard.means)
    assert [stage.name for stage in ordered(made, None)] == ["log", "dedupe", "cache"]
    assert [stage.name for stage in ordered(made, ["cache", "log", "dedupe"])] == ["cache", "log", "dedupe"]


@pytest.mark.parametrize(
    ("order", "told"),
    [
        (["cache", "cash"], "there is no stage 'cash'; there are alert, cache, compress"),
        (["cache", "quota"], "the stage 'quota' is not configured"),
        (["cache", "cache"], "stands there twice"),
        ([], "'cache' is configured and is not named here, so it would not run"),
    ],
)
async def test_an_order_that_cannot_be_is_refused(tmp_path: Path, store: Store, order: list[str], told: str) -> None:
    made = stages(settings("cache: {}"), Yard(tmp_path, store).means)
    with pytest.raises(Fault) as caught:
        ordered(made, order)
    assert told in caught.value.sentence


async def test_what_is_kept_and_counted_outlives_a_reload(tmp_path: Path, store: Store) -> None:
    yard = Yard(tmp_path, store)
    body = b'{"id":"1","object":"chat.completion","created":1,"model":"demo","choices":[{"index":0,"message":'
    body += b'{"role":"assistant","content":"hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":10,"completion_tokens":5}}'
    for _ in range(2):
        made = stages(settings("cache: {}"), yard.means)
        await drive(made["cache"], asked(chat(), read=document), body)
    assert yard.kept.numbers()["cache"]["hits"] == 1
    assert yard.kept.numbers()["cache"]["entries"] == 1
    assert yard.kept.forget(container_uuid=FOREIGN.uuid) == 0
    assert yard.kept.forget(container_uuid=DEV.uuid) == 1


async def test_what_is_kept_on_disk_is_there_after_a_restart(tmp_path: Path, store: Store) -> None:
    made = settings("cache: {persistent: true}\nquota: {customers: {a: {containers: ['*'], tokens_per_day: 1000}}}")
    yard = Yard(tmp_path, store)
    for hit in (False, True):
        yard = Yard(tmp_path, store)
        await yard.kept.load(made)
        both = stages(made, yard.means)
        given, _ = await drive(both["cache"], asked({"model": "m", "input": "a"}, endpoint=Endpoint.EMBEDDINGS), b"{}")
        await drive(both["quota"], asked(chat(max_tokens=10)), b"{}")
        assert (given is not None) is hit
        await yard.kept.close()
    assert yard.kept.quotas.used("a", yard.clock.now()).tokens == 30


_CODE = f"```python\n{'print(1) # long enough to be explained to whoever reads this' * 2}\n```"
_SAID: dict[WireName, tuple[Endpoint, dict[str, Any], dict[str, Any]]] = {
    WireName.OPENAI: (
        Endpoint.CHAT_COMPLETIONS,
        chat(),
        {
            "id": "1",
            "object": "chat.completion",
            "created": 1,
            "model": "demo",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": _CODE}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
        },
    ),
    WireName.ANTHROPIC: (
        Endpoint.MESSAGES,
        {"model": "scripted/demo", "max_tokens": 100, "messages": [{"role": "user", "content": "hello"}]},
        {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": "demo",
            "content": [{"type": "text", "text": _CODE}],
            "stop_reason": "end_turn",
            "stop_sequence": None,
            "usage": {"input_tokens": 10, "output_tokens": 5},
        },
    ),
}
"""What each wire says for a text with code, plain; streams are made of it by the wire's own `streamed`."""


async def through(made: Any, one: Asked, data: bytes) -> bytes:
    """A call through all stages, requests forwards and answers backwards."""
    passed = []
    given = None
    for stage in made:
        passed.append(stage)
        given = await stage.request(one)
        if one.changed:
            assert one.document is not None
            one.settled(one.exchange)
        if given is not None:
            data = given.data
            break
    views = [view for stage in reversed(passed) if (view := stage.view(one)) is not None]
    if one.exchange.stream:
        reader = wire(one.exchange.wire).stream_reader(hide_usage=False)
        out = []
        for frame in [*reader.feed(data), *reader.close()]:
            frames = [frame]
            for view in views:
                frames = [each for before in frames for each in await view.frame(before)]
            out += frames
        data = b"".join(each.data for each in out)
    else:
        for view in views:
            data = await view.whole(data)
    for stage in passed:
        stage.over(one, OK)
    return data


@pytest.mark.parametrize("name", sorted(_SAID))
async def test_an_explained_answer_is_kept_and_given_again_plain_and_streamed(
    name: WireName, tmp_path: Path, store: Store
) -> None:
    yard = Yard(tmp_path, store)
    made = ordered(stages(settings("cache: {}\nenhance: {model: own/small}\nlog: {}"), yard.means), None)
    endpoint, body, spoken = _SAID[name]
    answer = json.dumps(spoken).encode()
    told = (
        {**body, "stream": True, "stream_options": {"include_usage": True}}
        if name is WireName.OPENAI
        else {**body, "stream": True}
    )
    form: dict[str, Any] = {"name": name, "endpoint": endpoint, "read": document}
    said = []
    for each in (told, told, body):
        data = answers(name).streamed(answer) if each is told else answer
        out = await through(made, asked(each, **form), data)
        plain = answers(name).folded(out) if each is told else out
        said.append(answers(name).said(endpoint, plain).text)
    assert "How this works:**\nIt prints." in said[0]
    assert said == [said[0]] * 3
    assert yard.explained == ["own/small"]
    assert yard.kept.numbers()["cache"]["hits"] == 2
    await asyncio.to_thread(yard.kept.lines.close)
    assert (tmp_path / "requests" / "container-1.jsonl").read_text().count("How this works") == 3


async def test_the_judge_of_a_configuration_counts_under_its_name(tmp_path: Path, store: Store) -> None:
    yard = Yard(tmp_path, store)
    (judge,) = judges(settings(ALL), yard.kept)
    await judge.judge(proposed("rm", {}))
    assert yard.kept.numbers()["tools"]["deny"] == 1
