"""Rules that ship with Bawn: they load like everybody's, and can do nothing but put words into system texts."""

from __future__ import annotations

import pytest

from bawn.app.rule_files import Part, merged
from bawn.app.rule_packs import _pack, pack, pack_of, packs, renewed
from bawn.errors import Fault
from bawn.rules.happening import Happening
from bawn.rules.matching import RuleSet
from bawn.rules.model import EventName, Mitm, PromptInject, Rule

RULE = """{{"about": "x", "mitm": {{"rules": [{{"id": "{id}", "trigger": {{"event": "{event}"{more}}},
"action": {{"type": "prompt-inject", "content": "x"{action}}}}}]}}}}"""


def test_all_packs_load_together_and_hold_for_every_session() -> None:
    assert [each.name for each in packs()] == ["coding-directives", "security-directives", "session-questions"]
    together = merged([Part(each.name, Mitm(rules=each.rules)) for each in packs()])
    happened = Happening(EventName.SYSTEM, "s", "dev", "default", frozenset(), "", "You are an agent.")
    assert len(RuleSet(together.rules).fired(happened)) == len(together.rules) == 13


def test_a_pack_only_adds_words_to_system_texts() -> None:
    for each in packs():
        assert each.about
        for rule in each.rules:
            assert isinstance(rule.action, PromptInject)
            assert (rule.action.target, rule.action.on_failure, rule.cooldown_ms) == ("system", "closed", 0)
            assert rule.trigger.event is EventName.SYSTEM
            assert rule.id.partition(":")[0] == each.name
            assert pack_of(rule.id) is each


@pytest.mark.parametrize(
    ("id_", "event", "action"),
    [
        ("other:x", "chat.system.transform", ""),
        ("p", "chat.system.transform", ""),
        ("p:x", "chat.message", ""),
        ("p:x", "chat.system.transform", ', "target": "user"'),
        ("p:x", "chat.system.transform", ', "onFailure": "open"'),
    ],
)
def test_a_pack_that_does_more_is_none(id_: str, event: str, action: str) -> None:
    with pytest.raises(Fault, match="does more than a pack may"):
        _pack("p", RULE.format(id=id_, event=event, more="", action=action))
    _pack("p", RULE.format(id="p:x", event="chat.system.transform", more="", action=""))


def test_one_that_does_not_exist_is_told_with_those_that_do() -> None:
    with pytest.raises(Fault, match=r"@coding-directives, @security-directives, @session-questions"):
        pack("@none")
    assert pack("@session-questions") is pack("session-questions")


def test_a_newer_version_takes_the_place_of_the_older_one() -> None:
    found = pack("session-questions")
    [rule] = found.rules
    own = Rule.model_validate(
        {"id": "mine", "trigger": {"event": "session.idle"}, "action": {"type": "notification", "title": "x"}}
    )
    old = rule.model_copy(update={"enabled": False, "name": "before"})
    gone = rule.model_copy(update={"id": "session-questions:of-before"})
    assert renewed(found, (gone, own, old)) == (own, rule.model_copy(update={"enabled": False}))
