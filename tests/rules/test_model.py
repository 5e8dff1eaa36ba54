"""Rules as they are written: the examples load, and each mistake is told with its path and line."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import Field
from tests.rules.examples import EXAMPLES

from bawn.config.load import load
from bawn.config.section import Section
from bawn.errors import Fault
from bawn.rules.model import MOST_RULES, Mitm, PromptInject, Shell


class File(Section):
    mitm: Mitm = Field(default_factory=Mitm)


def loaded(rules: str, tags: str = "[]") -> Mitm:
    return load(f'{{"mitm": {{"tags": {tags}, "rules": {rules}}}}}', "hoody.json", File).mitm


GOOD: dict[str, Any] = {"id": "a", "trigger": {"event": "chat.message"}, "action": {"type": "message", "content": "x"}}


def complaint(rule: str, tags: str = "[]") -> str:
    text = f'{{"mitm": {{\n"tags": {tags},\n"rules": [\n{json.dumps(GOOD)},\n{rule}]}}}}'
    with pytest.raises(Fault) as caught:
        load(text, "hoody.json", File)
    return caught.value.sentence


def test_the_examples_load_as_they_are_written() -> None:
    rules = loaded(EXAMPLES).rules
    assert [rule.id for rule in rules] == [each["id"] for each in json.loads(EXAMPLES)]
    assert isinstance(rules[0].action, PromptInject)
    assert isinstance(rules[6].action, Shell)
    tags = '[{"id": "prod"}, {"id": "dev"}, {"id": "api-mode", "label": "API Mode", "color": "purple"}]'
    assert loaded(EXAMPLES, tags) == Mitm(tags=loaded("[]", tags).tags, rules=rules)


def test_what_was_read_is_written_with_the_same_keys() -> None:
    told = loaded(EXAMPLES).model_dump(mode="json", exclude_unset=True)
    for ours, theirs in zip(told["rules"], json.loads(EXAMPLES), strict=True):
        assert ours == theirs


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"trigger": {"event": "chat.massage"}}, "rules[1].trigger.event: got 'chat.massage', expected"),
        ({"action": {"type": "mail"}}, "rules[1].action: got a mapping, expected 'type' as one of 'shell'"),
        ({"action": {"content": "x"}}, "rules[1].action: got a mapping, expected 'type' as a key"),
        ({"trigger": {"event": "chat.message", "tool": "x"}}, "rules[1].trigger.tool: there is no such key"),
        ({"triger": {}}, "did you mean `trigger`?"),
        ({"id": "a"}, "rules[1].id: got 'a', this rule is there twice"),
        ({"trigger": {"event": "chat.message", "tags": ["stage"]}}, "rules[1].trigger.tags[0]: got 'stage', this tag"),
        ({"trigger": {"event": "chat.message", "contentMatch": "(a"}}, "contentMatch: got '(a', expected an RE2"),
        ({"trigger": {"event": "chat.message", "contentMatch": "(?=a)"}}, "RE2 has no lookahead"),
        ({"trigger": {"event": "chat.message", "contentMatch": "(?<!a)b"}}, "RE2 has no negative lookbehind"),
        ({"trigger": {"event": "chat.message", "contentMatch": r"(a)\1"}}, "RE2 has no backreferences"),
        ({"cooldownMs": -1}, "rules[1].cooldownMs: got -1, expected 0 or more"),
        ({"trigger": {"event": "session.idle"}}, "'message' cannot change it"),
        ({"trigger": {"event": "chat.message", "toolName": "x"}}, "only events of tools have a toolName"),
        ({"trigger": {"event": "session.idle", "role": "user"}}, "only chat.message has a role"),
        ({"action": {"type": "approve", "reason": "x"}}, "a person can be asked on tool.execute.before"),
        ({"action": {"type": "shell", "command": "a\0b"}}, "a command cannot have a zero byte"),
        ({"action": {"type": "shell", "command": "a", "host": "yes please"}}, "expected true or false"),
        ({"action": {"type": "webhook", "url": "http://x/#part"}}, "expected an address such as"),
        (
            {"action": {"type": "webhook", "url": "http://x/", "headers": {"Authorization": "s3cret" * 1000}}},
            "got •••, expected 4000 characters or fewer",
        ),
        ({"action": {"type": "webhook", "url": "ftp://x"}}, "expected an address such as"),
        ({"action": {"type": "webhook", "url": "http://u:p@x/"}}, "expected an address such as"),
        ({"action": {"type": "webhook", "url": "http://x:99999/"}}, "expected an address such as"),
        ({"action": {"type": "webhook", "url": "http://x/", "method": "PUT"}}, "expected 'GET' or 'POST'"),
        ({"action": {"type": "webhook", "url": "http://x/", "headers": {"a": "b\r\nc: d"}}}, "characters that"),
        ({"action": {"type": "webhook", "url": "http://x/", "headers": {"Host": "b"}}}, "is ours to say"),
    ],
)
def test_a_mistake_is_told_with_its_place(changes: dict[str, Any], words: str) -> None:
    told = complaint(json.dumps({**GOOD, "id": "b", **changes}), '[{"id": "prod"}]')
    assert words in told
    assert "hoody.json:5: mitm.rules[1]" in told


def test_there_is_a_bound_on_how_many_rules_there_are() -> None:
    many = json.dumps([{**GOOD, "id": f"r{at}"} for at in range(1000)])
    assert len(loaded(many).rules) == 1000
    with pytest.raises(Fault, match=r"mitm\.rules: got a list, expected 2000 or fewer"):
        loaded(json.dumps([{**GOOD, "id": f"r{at}"} for at in range(MOST_RULES + 1)]))
