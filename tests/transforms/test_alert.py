"""People are told when a call passes a threshold, once in a while, and of errors too."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs
from tests.transforms.calls import DEV, TEST, Clock, asked, chat
from tests.transforms.chat_answers import chat_answers, plain, stream
from tests.transforms.driving import OK, drive

from bawn.config.load import load
from bawn.errors import Fault
from bawn.notify.notice import Notice
from bawn.terms.exchange import Usage
from bawn.terms.principal import Container
from bawn.transforms.alert import Alert, AlertStage
from bawn.transforms.counts import Counts

CODE = f"```\n{'x' * 600}\n```"


class Yard:
    def __init__(self, *rules: dict[str, Any]) -> None:
        self.told: list[Notice] = []
        self.clock = Clock()
        self.counts = Counts()
        made = Alert.model_validate({"rules": rules})
        self.about: list[Container] = []
        self.stage = AlertStage(made, self._notify, chat_answers, self.clock, self.counts)

    def _notify(self, notice: Notice, container: Container) -> None:
        self.told.append(notice)
        self.about.append(container)

    async def call(self, answer: bytes = plain("hi"), body: dict[str, Any] | None = None, **change: Any) -> None:
        container = change.pop("container", DEV)
        one = asked(body or chat(), container=container)
        await drive(self.stage, one, answer, structs.replace(OK, **change))


@pytest.mark.parametrize(
    ("rule", "change", "title", "sentence"),
    [
        ({"tokens": 50_000}, {"usage": Usage(50_000, 1)}, "High token usage", "used 50001 tokens"),
        ({"usd": 0.5}, {"cost_usd": 0.75}, "High cost", "cost 0.7500 US dollars"),
        ({"seconds": 2}, {"total_ms": 2500}, "Slow answer", "took 2.5 seconds"),
        ({"errors": True}, {"status": 502, "outcome": "upstream_error"}, "AI request failed", "status 502"),
        ({"errors": True}, {"status": 200, "outcome": "cut"}, "AI request failed", "ended with cut"),
        ({"refusals": True}, {"status": 403, "outcome": "refused"}, "AI request refused", "status 403"),
        ({"tokens": 1, "name": "Mine"}, {}, "Mine", "used 15 tokens"),
    ],
)
async def test_what_passes_a_threshold_is_told(
    rule: dict[str, Any], change: dict[str, Any], title: str, sentence: str
) -> None:
    yard = Yard(rule)
    await yard.call(**change)
    assert len(yard.told) == 1
    assert yard.told[0].title == title
    assert sentence in yard.told[0].message
    assert "dev:" in yard.told[0].message


async def test_a_call_within_everything_is_not_told() -> None:
    yard = Yard({"tokens": 15, "usd": 0.01, "seconds": 1, "errors": True, "refusals": True, "code_characters": 500})
    await yard.call()
    await yard.call(outcome="client_left", status=0, usage=None, cost_usd=None)
    assert yard.told == []


async def test_code_is_measured_in_plain_answers_and_in_streams() -> None:
    yard = Yard({"code_characters": 500, "rest_seconds": 0})
    await yard.call(plain(CODE))
    await yard.call(stream(CODE[:300], CODE[300:]), chat(stream=True))
    await yard.call(plain("```short```"))
    assert [notice.title for notice in yard.told] == ["AI generated code"] * 2
    assert all("602 characters" in notice.message for notice in yard.told)


async def test_a_loop_is_one_notice_and_its_number_is_told_with_the_next() -> None:
    yard = Yard({"tokens": 1, "rest_seconds": 60})
    for _ in range(100):
        await yard.call()
    await yard.call(container=TEST)
    assert yard.about == [DEV, TEST]
    yard.clock.forward(seconds=61)
    await yard.call()
    assert "99 more since the last notice" in yard.told[-1].message
    assert yard.counts.all() == {"kept_back": 99, "told": 3}


async def test_a_rule_is_about_its_containers_only_and_rests_by_itself() -> None:
    yard = Yard({"tokens": 1, "containers": ["te*"]}, {"usd": 0.001})
    await yard.call()
    await yard.call(container=TEST)
    assert [notice.title for notice in yard.told] == ["High cost", "High token usage", "High cost"]


async def test_a_notice_holds_no_prompt_and_no_answer() -> None:
    yard = Yard({"tokens": 1, "code_characters": 1})
    await yard.call(plain(f"SECRETWORD {CODE}"), chat("SECRETWORD"))
    assert "SECRETWORD" not in repr(yard.told)


def test_a_rule_about_nothing_is_refused() -> None:
    with pytest.raises(Fault) as caught:
        load("rules:\n- containers: ['*']\n", "bawn.yaml", Alert)
    assert "needs one of" in caught.value.sentence
