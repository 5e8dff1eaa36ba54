"""Tool calls by rule: what passes, what does not, in which form, and that no spelling leads around it."""

from __future__ import annotations

import json
import posixpath
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.transforms.calls import TEST, proposed

from bawn.config.load import load
from bawn.config.patterns import Pattern
from bawn.config.section import Section
from bawn.errors import Fault
from bawn.stages.judging import Judgement
from bawn.terms.decision import Effect
from bawn.transforms.argument_paths import argument_path, texts
from bawn.transforms.counts import Counts
from bawn.transforms.folders import Leaves, within
from bawn.transforms.tool_settings import Tools
from bawn.transforms.tools import ToolRules

DENY, ASK, ALLOW = Effect.DENY, Effect.ASK_PERSON, Effect.ALLOW


def rules(*each: dict[str, Any], default: str = "allow") -> ToolRules:
    return ToolRules(Tools.model_validate({"default": default, "rules": each}), Counts())


def judge(made: ToolRules, name: str, arguments: dict[str, Any] | str, **more: Any) -> Judgement:
    return made.judged(proposed(name, arguments, **more))


def test_a_call_that_no_rule_is_about_is_released_as_it_is() -> None:
    said = judge(rules({"tools": ["x"], "action": "deny"}), "read_file", {"path": "/a"})
    assert (said.decision.effect, said.name, said.arguments) == (ALLOW, "", None)


@pytest.mark.parametrize(("default", "effect"), [("allow", ALLOW), ("deny", DENY), ("confirm", ASK)])
def test_the_default_decides_where_no_rule_does(default: str, effect: Effect) -> None:
    made = rules({"tools": ["git"], "action": "allow"}, default=default)
    assert judge(made, "git", {}).decision.effect is ALLOW
    assert judge(made, "sh", {}).decision.effect is effect


def test_a_change_alone_does_not_let_a_call_through_a_default_that_denies() -> None:
    made = rules({"tools": ["write"], "action": "prefix", "argument": "path", "value": "/sandbox"}, default="deny")
    assert judge(made, "write", {"path": "/a"}).decision.effect is DENY


def test_a_denied_call_tells_the_rule_and_its_reason() -> None:
    said = judge(rules({"name": "no-rm", "tools": ["sh"], "action": "deny", "reason": "Not here."}), "sh", {})
    assert said.decision.because == "Not here."
    assert said.decision.facts == (("rule", "no-rm"),)
    assert said.decision.code == "tool.rule_deny"


@pytest.mark.parametrize("pattern", ["delete_file", "delete_*", "delete_fil?", "re:^delete_"])
def test_names_are_exact_or_globs_or_expressions(pattern: str) -> None:
    made = rules({"tools": [pattern], "action": "deny"})
    assert judge(made, "delete_file", {}).decision.effect is DENY
    assert judge(made, "undelete", {}).decision.effect is ALLOW


def test_a_rule_is_about_its_containers_only() -> None:
    made = rules({"tools": ["*"], "containers": ["te*"], "action": "deny"})
    assert judge(made, "sh", {}).decision.effect is ALLOW
    assert judge(made, "sh", {}, container=TEST).decision.effect is DENY


def test_a_rule_about_a_container_is_about_those_that_do_its_tasks() -> None:
    settings = Tools.model_validate({"rules": [{"tools": ["sh"], "action": "deny", "containers": ["dev"]}]})
    for_dev = ToolRules(settings, Counts(), lambda _: "dev")
    assert judge(for_dev, "sh", {}, container=TEST).decision.effect is DENY
    assert judge(ToolRules(settings, Counts()), "sh", {}, container=TEST).decision.effect is ALLOW


@pytest.mark.parametrize(
    "arguments",
    [
        {"command": "rm -rf /"},
        {"command": "echo\nrm -rf /"},
        {"command": ["rm", "-rf", "/"]},
        {"command": "r\u200bm -rf /"},
        {"command": "\uff52\uff4d -rf /"},
        {"command": "rm\U000e0020 -rf /"},
        {"command": "rm\u2060 -r\ufe0ff /"},
    ],
)
def test_a_command_is_denied_in_every_spelling(arguments: dict[str, Any]) -> None:
    made = rules({"tools": ["sh"], "when": {"command": "re:rm -rf|sudo|chmod 777"}, "action": "deny"})
    assert judge(made, "sh", arguments).decision.effect is DENY


def test_a_tool_is_known_by_how_its_name_reads() -> None:
    made = rules({"tools": ["delete_file"], "action": "deny"})
    assert judge(made, "delete\u200b_file", {}).decision.effect is DENY


def test_what_is_released_is_what_was_written_not_how_it_reads() -> None:
    made = rules({"tools": ["say"], "action": "set", "argument": "quiet", "value": True})
    said = judge(made, "say", {"text": "\uff52\u200bm"})
    assert json.loads(said.arguments or "") == {"text": "\uff52\u200bm", "quiet": True}


def test_a_call_is_let_through_only_by_all_of_its_readings_and_as_a_whole() -> None:
    made = rules({"tools": ["sh"], "when": {"command": "re:git [a-z]+"}, "action": "allow"}, default="deny")
    assert judge(made, "sh", {"command": "git status"}).decision.effect is ALLOW
    assert judge(made, "sh", {"command": "git status; rm -rf /"}).decision.effect is DENY
    assert judge(made, "sh", {"command": "git status\nrm"}).decision.effect is DENY
    assert judge(made, "sh", {"command": "git stat\u200bus"}).decision.effect is DENY
    assert judge(made, "sh", {}).decision.effect is DENY


def test_the_strictest_rule_decides() -> None:
    made = rules(
        {"tools": ["*"], "action": "allow"},
        {"tools": ["delete_*"], "action": "confirm", "reason": "It cannot be undone."},
        {"tools": ["delete_*"], "when": {"path": "re:\\.env$"}, "action": "deny"},
    )
    assert judge(made, "read", {}).decision.effect is ALLOW
    assert judge(made, "delete_file", {"path": "a"}).decision.effect is ASK
    assert judge(made, "delete_file", {"path": "a"}).decision.because == "It cannot be undone."
    assert judge(made, "delete_file", {"path": "a/.env"}).decision.effect is DENY


_DECIDING = st.lists(
    st.fixed_dictionaries(
        {
            "tools": st.lists(st.sampled_from(["a", "b", "*", "re:^a"]), min_size=1, max_size=2),
            "action": st.sampled_from(["allow", "deny", "confirm"]),
        },
        optional={"when": st.fixed_dictionaries({"x": st.sampled_from(["1", "2", "re:[12]"])})},
    ),
    min_size=1,
    max_size=6,
)


@given(_DECIDING, st.sampled_from(["a", "b", "c"]), st.sampled_from(["1", "2", "3"]), st.randoms())
def test_the_order_of_rules_never_matters_for_decisions(
    each: list[dict[str, Any]], name: str, x: str, chance: random.Random
) -> None:
    mixed = list(each)
    chance.shuffle(mixed)
    effects = {judge(rules(*order), name, {"x": x}).decision.effect for order in (each, mixed)}
    assert len(effects) == 1
    # What one rule says alone is never weakened by another.
    assert min(judge(rules(rule), name, {"x": x}).decision.effect for rule in each) >= effects.pop()


def test_a_renamed_call_carries_its_arguments_and_those_of_the_rule() -> None:
    made = rules(
        {
            "tools": ["delete_file"],
            "when": {"path": "re:config|production|\\.env|package\\.json"},
            "action": "rename",
            "to": "confirm_delete",
            "arguments": {"warning": "Deleting {path} needs a confirmation."},
        }
    )
    said = judge(made, "delete_file", {"path": "/app/.env"})
    assert said.name == "confirm_delete"
    assert json.loads(said.arguments or "") == {
        "path": "/app/.env",
        "warning": "Deleting /app/.env needs a confirmation.",
    }
    assert judge(made, "delete_file", {"path": "/app/x"}).name == ""


def test_a_blocked_command_can_become_a_tool_that_tells_the_original_and_the_reason() -> None:
    made = rules(
        {
            "tools": ["execute_command"],
            "when": {"command": "re:rm -rf"},
            "action": "rename",
            "to": "blocked_command",
            "keep": False,
            "reason": "Dangerous.",
            "arguments": {"original": "{command}", "reason": "{$reason}", "all": "{$arguments}", "was": "{$tool}"},
        }
    )
    said = judge(made, "execute_command", {"command": "rm -rf /", "n": 3})
    assert json.loads(said.arguments or "") == {
        "original": "rm -rf /",
        "reason": "Dangerous.",
        "all": {"command": "rm -rf /", "n": 3},
        "was": "execute_command",
    }


def test_changes_are_made_in_their_order() -> None:
    made = rules(
        {"tools": ["w"], "action": "set", "argument": "options.mode", "value": "safe"},
        {"tools": ["w"], "action": "prefix", "argument": "path", "value": "/sandbox"},
        {"tools": ["w"], "action": "replace", "argument": "path", "pattern": "re:^/sandbox/tmp", "value": "/sandbox/t"},
        {"tools": ["w"], "action": "rename", "to": "v"},
        {"tools": ["w"], "action": "set", "argument": "late", "value": 1},
    )
    said = judge(made, "w", {"path": "/tmp/x"})
    assert said.name == "v"
    assert json.loads(said.arguments or "") == {"path": "/sandbox/t/x", "options": {"mode": "safe"}}
    assert said.decision.code == "tool.rule_changed"


def test_what_a_change_made_is_held_against_the_rules_that_stop() -> None:
    made = rules(
        {"tools": ["a"], "action": "rename", "to": "b"},
        {"tools": ["b"], "action": "deny"},
    )
    assert judge(made, "a", {}).decision.effect is DENY


@pytest.mark.parametrize(
    ("path", "kept"),
    [
        ("/etc/passwd", "/sandbox/etc/passwd"),
        ("notes.txt", "/sandbox/notes.txt"),
        ("/sandbox/a", "/sandbox/a"),
        ("/sandbox/../etc/passwd", "/sandbox/etc/passwd"),
        ("/sandbox/a/../../../etc/passwd", "/sandbox/etc/passwd"),
        ("../../etc/passwd", "/sandbox/etc/passwd"),
        ("/sandboxes/a", "/sandbox/sandboxes/a"),
        ("//etc//passwd", "/sandbox/etc/passwd"),
        ("/sandbox", "/sandbox"),
        ("", "/sandbox"),
        ("/", "/sandbox"),
    ],
)
def test_a_path_is_kept_in_its_folder(path: str, kept: str) -> None:
    made = rules({"tools": ["write_file"], "action": "prefix", "argument": "path", "value": "/sandbox"})
    said = judge(made, "write_file", {"path": path})
    assert said.decision.effect is ALLOW
    assert (json.loads(said.arguments)["path"] if said.arguments is not None else path) == kept


@pytest.mark.parametrize(
    "path",
    ["/sandbox/\u2025/etc", "/sandbox/%2e%2e/etc", "/sandbox/%252e%252e/etc", "/sandbox/..\\..\\etc", "/sandbox/.\u200b./etc",
     "/sandbox/\uff0e\uff0e/etc", "/a\0b"],
)  # fmt: skip
def test_a_path_that_leaves_its_folder_in_another_spelling_denies_the_call(path: str) -> None:
    made = rules({"tools": ["write_file"], "action": "prefix", "argument": "path", "value": "/sandbox"})
    said = judge(made, "write_file", {"path": path})
    assert said.decision.effect is DENY
    assert said.decision.code == "tool.rule_unfit"


@given(st.text(alphabet=st.sampled_from("./\\%2e\u200b\uff0eab\0~"), max_size=20) | st.text(max_size=20))
def test_no_path_whatever_leaves_the_folder(path: str) -> None:
    try:
        kept = within("/sandbox", path)
    except Leaves:
        return
    end = posixpath.normpath(kept)
    assert end == "/sandbox" or end.startswith("/sandbox/")
    assert ".." not in kept.split("/") or kept == path
    assert posixpath.normpath(within("/sandbox", kept)) == end


def test_a_path_that_is_no_text_denies_the_call() -> None:
    made = rules({"tools": ["write_file"], "action": "prefix", "argument": "paths[*]", "value": "/sandbox"})
    assert judge(made, "write_file", {"paths": ["/a", 7]}).decision.effect is DENY
    said = judge(made, "write_file", {"paths": ["/a", "b"]})
    assert json.loads(said.arguments or "")["paths"] == ["/sandbox/a", "/sandbox/b"]


def test_what_would_be_replaced_and_is_hidden_denies_the_call() -> None:
    made = rules({"tools": ["sh"], "action": "replace", "argument": "c", "pattern": "re:sudo ", "value": ""})
    assert json.loads(judge(made, "sh", {"c": "sudo ls"}).arguments or "") == {"c": "ls"}
    assert judge(made, "sh", {"c": "su\u200bdo ls"}).decision.effect is DENY


def test_a_tool_that_takes_a_text_is_held_against_all_of_it() -> None:
    made = rules(
        {"tools": ["apply_patch"], "text": "re:/etc/", "action": "deny"},
        {"tools": ["*"], "when": {"command": "re:rm -rf"}, "action": "deny"},
        {"tools": ["sh"], "when": {"command": "ls"}, "action": "allow"},
        default="confirm",
    )
    assert judge(made, "apply_patch", "*** /etc/passwd", text=True).decision.effect is DENY
    assert judge(made, "shell", "rm -rf /", text=True).decision.effect is DENY
    assert judge(made, "sh", "ls", text=True).decision.effect is ASK
    assert judge(made, "sh", {"command": "ls"}).decision.effect is ALLOW


def test_an_argument_of_a_tool_that_takes_a_text_cannot_be_changed_so_the_call_is_denied() -> None:
    made = rules({"tools": ["apply_patch"], "action": "prefix", "argument": "path", "value": "/sandbox"})
    assert judge(made, "apply_patch", "*** a", text=True).decision.effect is DENY
    made = rules({"tools": ["apply_patch"], "action": "replace", "argument": "**", "pattern": "re:/etc", "value": "/e"})
    assert judge(made, "apply_patch", "*** /etc/a", text=True).arguments == "*** /e/a"


@pytest.mark.parametrize("raw", ['{"a":1,"a":2}', "[1]", "{", '{"a":"\\ud800"}'])
def test_arguments_that_have_no_one_reading_are_denied(raw: str) -> None:
    assert judge(rules({"tools": ["x"], "action": "deny"}), "y", raw).decision.effect is DENY


def test_half_a_surrogate_pair_in_a_text_is_denied() -> None:
    assert judge(rules({"tools": ["x"], "action": "deny"}), "y", "\ud800", text=True).decision.effect is DENY


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ("tools: ['re:(?=a)'], action: deny", "RE2 has no lookahead"),
        ("tools: ['re:(?<!a)b'], action: deny", "RE2 has no negative lookbehind"),
        ("tools: ['re:(a)\\1'], action: deny", "RE2 has no backreferences"),
        ("tools: [x], when: {command: 're:a('}, action: deny", "missing )"),
        ("tools: [x], when: {'a..b': x}, action: deny", "expected a path in the arguments"),
        ("tools: [x], action: rename", "needs `to`"),
        ("tools: [x], action: deny, to: y", "has no `to`"),
        ("tools: [x], action: prefix, argument: path, value: ../x", "expected a folder from the root on"),
        ("tools: [], action: deny", "1 or more"),
    ],
)
def test_a_rule_that_cannot_be_is_refused_with_its_place_and_the_reason(rule: str, told: str) -> None:
    class File(Section):
        tools: Tools

    with pytest.raises(Fault) as caught:
        load(f"tools:\n  rules:\n  - {{{rule}}}\n", "bawn.yaml", File)
    assert told in caught.value.sentence
    assert "bawn.yaml:3: tools.rules[0]" in caught.value.sentence


@given(st.text(max_size=30))
def test_a_pattern_without_signs_is_meant_letter_for_letter(text: str) -> None:
    if not text or text.startswith("re:") or "*" in text or "?" in text:
        return
    assert Pattern(text).found(text)
    assert not Pattern(text).found(text + "x")
    assert not Pattern(text).fits("x" + text)


def test_an_evil_expression_needs_no_more_than_linear_time() -> None:
    assert not Pattern("re:^(a+)+$").found("a" * 200_000 + "b")


def test_paths_find_what_stands_there() -> None:
    arguments = {"edits": [{"path": "a"}, {"path": "b"}], "n": 3, "deep": {"er": {"est": "c"}}, "flag": True}
    assert texts(argument_path("edits[*].path"), arguments) == ["a", "b"]
    assert texts(argument_path("edits[1].path"), arguments) == ["b"]
    assert texts(argument_path("deep.er.est"), arguments) == ["c"]
    assert texts(argument_path("n"), arguments) == ["3"]
    assert texts(argument_path("flag"), arguments) == ["true"]
    assert texts(argument_path("no.where"), arguments) == []
    assert {"a", "b", "c", "edits", "path", "est"} <= set(texts(argument_path("**"), arguments))


async def test_what_fired_is_counted() -> None:
    made = rules({"name": "r", "tools": ["a"], "action": "deny"}, {"tools": ["b"], "action": "rename", "to": "c"})
    for name in ("a", "a", "b", "z"):
        await made.judge(proposed(name, {}))
    assert made.counts.all() == {"allow": 2, "changed": 1, "deny": 2, "rule.r": 2, "rule.rules[1]": 1}


def test_one_wrong_pattern_is_told_once() -> None:
    with pytest.raises(Fault) as caught:
        load("rules: [{tools: ['re:(?=x)'], action: deny}]\n", "bawn.yaml", Tools)
    assert len(caught.value.sentence.splitlines()) == 1


@pytest.mark.parametrize(("value", "given"), [(True, 1), (True, 1.0), (False, 0), (1, True), ([True], [1])])
def test_a_value_that_is_set_is_that_very_value(value: Any, given: Any) -> None:
    made = rules({"tools": ["run"], "action": "set", "argument": "dry", "value": value})
    said = judge(made, "run", {"dry": given})
    assert said.arguments == json.dumps({"dry": value}, separators=(",", ":"))
