"""Which rules fire: by event, tags, tool, role, text, container and project; many patterns at once as one by one."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bawn.config.patterns import Pattern
from bawn.rules.happening import Happening
from bawn.rules.matching import RuleSet
from bawn.rules.model import EventName, Rule


def rule(id_: str = "r", event: str = "chat.message", **said: Any) -> Rule:
    priority = said.pop("priority", 0)
    enabled = said.pop("enabled", True)
    return Rule.model_validate(
        {
            "id": id_,
            "trigger": {"event": event, **said},
            "action": {"type": "notification", "title": "x"},
            "priority": priority,
            "enabled": enabled,
        }
    )


def happened(event: str = "chat.message", text: str = "", **said: Any) -> Happening:
    return Happening(
        EventName(event), "s", said.pop("container", "dev"), said.pop("project", "default"), text=text, **said
    )


def fired(rules: list[Rule], what: Happening) -> list[str]:
    return [each.id for each in RuleSet(rules).fired(what)]


def test_a_rule_fires_on_its_event_only() -> None:
    assert fired([rule()], happened()) == ["r"]
    assert fired([rule()], happened("session.idle")) == []
    assert fired([rule(enabled=False)], happened()) == []


@pytest.mark.parametrize("name", ["bash", "ba*"])
@pytest.mark.parametrize("content", [{}, {"contentMatch": "secret"}])
def test_a_result_of_a_call_that_nobody_knows_gets_past_no_rule_that_refuses(
    name: str, content: dict[str, str]
) -> None:
    asks = rule(event="tool.execute.after", toolName=name, **content)
    no = {"type": "block", "reason": "no"}
    refuses = Rule.model_validate(asks.model_dump(by_alias=True) | {"id": "no", "action": no})
    tries = Rule.model_validate(asks.model_dump(by_alias=True) | {"id": "dry", "action": no, "dryRun": True})
    rules = [asks, refuses, tries]
    assert fired(rules, happened("tool.execute.after", "a secret")) == ["no"]
    assert fired(rules, happened("tool.execute.after", "a secret", tool="bash")) == ["r", "no", "dry"]
    assert fired(rules, happened("tool.execute.after", "a secret", tool="read")) == []


def test_one_of_the_tags_is_enough_and_none_means_all() -> None:
    asks = rule(tags=["prod", "dev"])
    assert fired([asks], happened(tags=frozenset(["prod", "x"]))) == ["r"]
    assert fired([asks], happened(tags=frozenset(["x"]))) == []
    assert fired([rule(tags=[])], happened()) == ["r"]


@pytest.mark.parametrize(
    ("name", "tool", "fits"),
    [
        ("bash", "bash", True),
        ("bash", "Bash", True),
        ("bash", "bashful", False),
        ("mcp_*_read*", "mcp_files_read_all", True),
        ("mcp_*_read*", "mcp_files_write", False),
        ("rea?", "read", True),
        ("rea?", "reads", False),
        ("a[b]", "a[b]", True),
        ("a[b]", "ab", False),
    ],
)
def test_a_tool_is_named_exactly_or_by_a_glob_letter_case_aside(name: str, tool: str, fits: bool) -> None:
    assert fired([rule(event="tool.execute.after", toolName=name)], happened("tool.execute.after", tool=tool)) == (
        ["r"] if fits else []
    )


def test_roles_containers_and_projects() -> None:
    assert fired([rule(role="user")], happened(role="assistant")) == []
    assert fired([rule(containers=["ci-*"])], happened(container="ci-7")) == ["r"]
    assert fired([rule(containers=["ci-*"])], happened(container="dev")) == []
    assert fired([rule(projects=["shop"])], happened(project="default")) == []


def test_text_is_read_as_a_person_reads_it() -> None:
    asks = rule(contentMatch="deploy.*prod")
    assert fired([asks], happened(text="please dep\u200bloy it\nto prod")) == ["r"]
    assert fired([asks], happened(text="\uff44\uff45\uff50\uff4c\uff4f\uff59 to prod")) == ["r"]
    assert fired([asks], happened(text="dep\U000e0041loy to \ud800 prod")) == ["r"], "half a character hides nothing"
    assert fired([asks], happened(text="nothing of it")) == []


def test_a_pattern_that_fits_the_empty_text_fires_on_it() -> None:
    assert fired([rule(contentMatch="^$")], happened(text="")) == ["r"]


def test_higher_priority_first_then_as_they_are_written() -> None:
    rules = [rule("a"), rule("b", contentMatch="x", priority=5), rule("c"), rule("d", contentMatch="x")]
    assert fired(rules, happened(text="x")) == ["b", "a", "c", "d"]


_EXPRESSIONS = st.sampled_from(
    ["deploy.*prod", "^a", "b$", "a|b", "[0-9]{3}", r"\bprod\b", "x*", "(?i)PROD", "é+", r"\s$", "^$", "a.b", "prod"]
)
_TEXTS = st.text(alphabet="abprodley 0123\n\u00e9\u200b\uff41P", max_size=30)


@given(st.lists(_EXPRESSIONS, max_size=8), _TEXTS)
def test_many_patterns_at_once_find_what_each_finds_alone(expressions: list[str], text: str) -> None:
    rules = [rule(f"r{at}", contentMatch=each) for at, each in enumerate(expressions)]
    alone = [f"r{at}" for at, each in enumerate(expressions) if Pattern(f"re:{each}").found(text)]
    assert fired(rules, happened(text=text)) == alone


def test_patterns_too_large_for_one_set_are_asked_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bawn.rules.matching._SET_BYTES", 1 << 12)
    rules = [rule("a", contentMatch="[a-z]{50}x"), rule("b", contentMatch="needle"), rule("c", contentMatch="none")]
    assert fired(rules, happened(text="a needle in the hay")) == ["b"]


def test_a_thousand_rules_and_a_long_message_are_decided_at_once() -> None:
    rules = [rule(f"r{at}", contentMatch=f"word{at} .*end") for at in range(1000)]
    text = "nothing here " * 400_000 + "word7 and the end"
    assert fired(rules, happened(text=text)) == ["r7"]
