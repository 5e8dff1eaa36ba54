"""The model by rules: the first that fits decides, and what cannot be a rule is refused when it is read."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError
from tests.transforms.calls import DEV, FOREIGN, TEST, asked

from bawn.stages.asked import Asked
from bawn.terms.exchange import Endpoint, WireName
from bawn.terms.principal import Container
from bawn.transforms.route import Route, Routing, has_code, has_steps
from bawn.wire.documents import document

CHEAP, MIDDLE, BEST = "scripted/cheap", "scripted/middle", "scripted/best"


def routed(section: dict[str, Any], text: str = "hello", *, container: Container = DEV, **more: Any) -> Asked:
    body = {"model": "scripted/asked", "messages": [{"role": "user", "content": text}], **more}
    return through(section, asked(body, container=container, read=document))


def through(section: dict[str, Any], ask: Asked) -> Asked:
    coroutine = Routing(Route.model_validate(section)).request(ask)
    with pytest.raises(StopIteration) as ended:
        coroutine.send(None)
    assert ended.value.value is None
    return ask


def model(ask: Asked) -> str:
    assert ask.document is not None
    return str(json.loads(ask.document.body())["model"])


COSTS: dict[str, Any] = {
    "rules": [
        {"model": BEST, "keywords": ["deploy", "production", "release"], "name": "critical"},
        {"model": CHEAP, "words_under": 50, "code": False, "steps": False},
        {"model": MIDDLE, "code": True},
        {"model": MIDDLE, "steps": True},
    ],
    "default": "scripted/fast",
}
LONG = "Tell me what you think of the history of the place in which we live, and of its people. " * 4


@pytest.mark.parametrize(
    ("text", "answers", "rule"),
    [
        ("What is the capital of Peru?", CHEAP, "2"),
        ("Deploy it to the cluster", BEST, "critical"),
        ("What does `x += 1` do?", MIDDLE, "3"),
        ("Read the report and then write a summary", MIDDLE, "4"),
        (LONG, "scripted/fast", "default"),
    ],
)
def test_models_by_what_is_asked(text: str, answers: str, rule: str) -> None:
    ask = routed(COSTS, text)
    assert model(ask) == answers
    assert ask.notes == [("route.rule", rule), ("route.asked_for", "scripted/asked"), ("route.model", answers)]


def test_most_of_what_a_mixed_day_costs_is_saved() -> None:
    """Prices per million input tokens as of a cheap, a middle and the best model; the same questions without routing go to
    the best."""
    prices = {CHEAP: 0.8, MIDDLE: 3.0, BEST: 15.0, "scripted/fast": 2.5}
    day = ["What is the capital of Peru?"] * 6 + ["Why does `f(x)` fail?"] * 3 + [LONG] * 2 + ["Deploy the release"]
    sizes = [len(text) / 4 for text in day]
    routed_cost = sum(prices[model(routed(COSTS, text))] * size for text, size in zip(day, sizes, strict=True))
    saving = 1 - routed_cost / (prices[BEST] * sum(sizes))
    print(f"{saving:.0%} saved")
    assert saving > 0.4


def test_the_first_rule_that_fits_decides_and_without_one_the_model_stays() -> None:
    rules = [{"model": CHEAP, "words_under": 10}, {"model": BEST, "words_under": 20}]
    assert model(routed({"rules": rules})) == CHEAP
    assert model(routed({"rules": rules[::-1]})) == BEST
    ask = routed({"rules": rules}, LONG)
    assert ask.document is not None
    assert ask.document.body() is ask.exchange.body
    assert ask.notes == []


@pytest.mark.parametrize(
    ("rule", "fitting", "other"),
    [
        ({"words_over": 3}, {"text": "one two three four"}, {"text": "one two three"}),
        ({"words_under": 3}, {"text": "one two"}, {"text": "one two three"}),
        ({"tokens_over": 100}, {"text": "x" * 500}, {"text": "x"}),
        ({"tokens_under": 100}, {"text": "x"}, {"text": "x" * 500}),
        ({"code": True}, {"text": "```\nx\n```"}, {"text": "no"}),
        ({"code": False}, {"text": "no"}, {"text": "def f():\n  pass"}),
        ({"steps": True}, {"text": "1. this\n2. that"}, {"text": "this"}),
        ({"keywords": ["re:(?i)bug-[0-9]+"]}, {"text": "see BUG-12"}, {"text": "see bug-x"}),
        ({"keywords": ["c++"]}, {"text": "in C++."}, {"text": "in cc"}),
        ({"keywords": ["größe"]}, {"text": "die Größe!"}, {"text": "Übergrößen"}),
        ({"tools": True}, {"tools": [{"type": "function", "function": {"name": "f"}}]}, {}),
        ({"models": ["scripted/*"]}, {}, {"model": "other/m"}),
        ({"containers": ["d?v"]}, {}, {"container": TEST}),
        ({"projects": ["shop"]}, {}, {"container": FOREIGN}),
        ({"environments": ["live"]}, {"container": TEST}, {"container": DEV}),
        ({"endpoints": ["chat/completions"], "stream": True}, {"stream": True}, {"stream": False}),
        ({"endpoints": ["messages"]}, None, {}),
        ({"environments": ["empty"]}, None, {}),
    ],
)
def test_each_condition(rule: dict[str, Any], fitting: dict[str, Any] | None, other: dict[str, Any]) -> None:
    section = {"rules": [{"model": BEST, **rule}], "environments": {"live": ["test", "prod-*"], "empty": []}}
    if fitting is not None:
        assert model(routed(section, **fitting)) == BEST
    assert model(routed(section, **other)) != BEST


def test_all_conditions_of_a_rule_have_to_fit() -> None:
    section = {"rules": [{"model": BEST, "words_under": 5, "containers": ["dev"]}]}
    assert model(routed(section, "hi")) == BEST
    assert model(routed(section, "hi", container=TEST)) != BEST
    assert model(routed(section, LONG)) != BEST


def test_a_turn_stays_with_its_model_over_all_rounds_of_tools() -> None:
    section = {"rules": [{"model": BEST, "keywords": ["deploy"]}], "default": CHEAP}
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    rounds = [
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": "nothing of it " * 50},
        {"role": "user", "content": "<system-reminder>do not forget the list</system-reminder>"},
    ]
    for count in range(4):
        messages = [{"role": "user", "content": "deploy it"}, *(rounds * count)]
        assert model(routed(section, messages=messages)) == BEST
    messages = [{"role": "user", "content": "deploy it"}, *rounds, {"role": "user", "content": "thanks"}]
    assert model(routed(section, messages=messages)) == CHEAP


def test_other_wires_and_calls_that_are_no_conversation() -> None:
    section = {"default": BEST}
    body: dict[str, Any] = {"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": "hi"}]}
    assert (
        model(through(section, asked(body, name=WireName.ANTHROPIC, endpoint=Endpoint.MESSAGES, read=document))) == BEST
    )
    ask = through(section, asked({"model": "m", "input": "x"}, endpoint=Endpoint.EMBEDDINGS, read=document))
    assert (ask.document, ask.notes) == (None, [])
    gemini = asked(
        {"contents": [{"parts": [{"text": "hi"}]}]}, name=WireName.GEMINI, endpoint=Endpoint.GENERATE, read=document
    )
    changed = through(section, gemini).document
    assert changed is not None
    assert (changed.model, changed.changed) == (BEST, True)


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"rules": [{"model": BEST, "keywords": ["re:(?=x)y"]}]}, "lookahead"),
        ({"rules": [{"model": BEST, "keywords": [r"re:(a)\1"]}]}, "backreference"),
        ({"rules": [{"model": BEST, "keywords": ["re:("]}]}, "RE2"),
        ({"rules": [{"model": BEST, "keywords": [" "]}]}, "characters"),
        ({"rules": [{"model": BEST, "containers": ["re:(?<!x)y"]}]}, "lookbehind"),
        ({"rules": [{"model": BEST}]}, "names nothing"),
        ({"rules": [{"model": BEST, "environments": ["nowhere"]}]}, "nowhere"),
        ({"rules": [{"model": "", "code": True}]}, "at least 1"),
        ({"rules": [{"model": BEST, "colour": "red"}]}, "colour"),
    ],
)
def test_a_rule_that_cannot_be_is_refused_with_the_reason(section: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Route.model_validate(section)
    assert said in str(refused.value)


def test_all_targets_are_told_for_the_check_of_the_configuration() -> None:
    section = Route.model_validate({"rules": [{"model": BEST, "code": True}], "default": CHEAP})
    assert section.targets() == {"rules[0].model": BEST, "default": CHEAP}


@pytest.mark.parametrize(
    "text",
    [
        "a\n```\nb\n```",
        "see `x`",
        "import os\n",
        "x = f(y)",
        "for (;;) {",
        "std::move",
        "a => b",
        "Traceback (most recent call last)",
    ],
)
def test_code_is_seen(text: str) -> None:
    assert has_code(text)


@pytest.mark.parametrize(
    "text", ["We import wine from France.", "The class (of 1990) was good; so was I", "Is 3 < 4?", ""]
)
def test_prose_is_no_code(text: str) -> None:
    assert not has_code(text)


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("- a\n- b", True),
        ("First read it, then write it.", True),
        ("then what?", False),
        ("- a", False),
        ("1. a\n2) b", True),
    ],
)
def test_steps_are_seen(text: str, steps: bool) -> None:
    assert has_steps(text) is steps
