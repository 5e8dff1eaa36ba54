"""Conditions: what may be written, what they say of an event, and that neither hostile words nor long ones cost much."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bawn.config.load import load
from bawn.config.section import Section
from bawn.errors import Fault
from bawn.rules.condition import DEEPEST, LONGEST_ARGS, MOST_VALUES, Condition, arguments
from bawn.rules.expression import Undecided
from bawn.rules.happening import Happening
from bawn.rules.matching import RuleSet
from bawn.rules.model import EventName, Mitm, Rule, Trigger

BEFORE = "tool.execute.before"
SECONDS = 2.0
"""For anything that is meant to be quick; it takes a tenth of that."""


def happened(event: str = BEFORE, **said: Any) -> Happening:
    return Happening(EventName(event), "ses_1", said.pop("container", "dev"), said.pop("project", "shop"), **said)


def holds(when: str, event: str = BEFORE, **said: Any) -> bool:
    return Condition(when, event).holds(happened(event, **said))


def complaint(when: str, event: str = BEFORE) -> str:
    with pytest.raises(ValueError, match=r".") as found:
        Trigger.model_validate({"event": event, "when": when})
    return str(found.value)


def rule(id_: str, when: str | None, **action: Any) -> Rule:
    trigger = {"event": BEFORE, **({"when": when} if when is not None else {})}
    said = action or {"type": "notification", "title": "x"}
    return Rule.model_validate({"id": id_, "trigger": trigger, "action": said})


@pytest.mark.parametrize(
    ("when", "said", "answer"),
    [
        ('event.toolName == "bash"', {"tool": "bash"}, True),
        ('event.toolName == "bash"', {"tool": "read"}, False),
        ('event.args.command.matches(r"^rm\\b")', {"tool_input": '{"command": "rm -r x"}'}, True),
        ('event.args.command.matches("^rm\\\\b")', {"tool_input": '{"command": "format"}'}, False),
        ("event.args.count > 3 && event.args.count < 10", {"tool_input": '{"count": 4}'}, True),
        ("event.args.count > 3.5", {"tool_input": '{"count": 4}'}, True),
        ('event.args.paths.exists(p, p.startsWith("/etc"))', {"tool_input": '{"paths": ["/a", "/etc/x"]}'}, True),
        ('event.args.paths.all(p, p.startsWith("/a"))', {"tool_input": '{"paths": ["/a", "/etc/x"]}'}, False),
        ('event.args.paths.exists_one(p, p == "/a")', {"tool_input": '{"paths": ["/a", "/etc/x"]}'}, True),
        ('has(event.args.path) && event.args.path.contains("..")', {"tool_input": "{}"}, False),
        ("has(event.args)", {"tool_input": "*** Begin Patch"}, False),
        ('"prod" in event.tags', {"tags": frozenset(["prod"])}, True),
        ('"prod" in event.operatorTags', {"tags": frozenset(["prod"])}, False),
        ('"prod" in event.operatorTags', {"operator_tags": frozenset(["prod"])}, True),
        ('event.container == "dev" && event.projectID == "shop"', {}, True),
        ('event.containerRole == "planner"', {"container_role": "planner"}, True),
        (
            'event.directory == "/workspace" && event.sessionTitle == "t"',
            {"directory": "/workspace", "title": "t"},
            True,
        ),
        ('event.sessionID == "ses_1" && event.event == "tool.execute.before"', {}, True),
        ("event.args.a == 1 || true", {"tool_input": ""}, True),
        ('event.toolName == "a" ? true : event.toolName == "b"', {"tool": "b"}, True),
    ],
)
def test_a_condition_says_whether_an_event_meets_it(when: str, said: dict[str, Any], answer: bool) -> None:
    assert holds(when, **said) is answer


def test_each_event_has_what_it_tells_and_nothing_else() -> None:
    assert holds('event.messageContent == "x" && event.messageRole == "user"', "chat.message", text="x", role="user")
    assert holds('event.messageContent == "x"', "chat.system.transform", text="x")
    assert holds('event.error.contains("gone")', "session.error", text="gone", error="gone")
    assert holds('event.toolOutput == "x"', "tool.execute.after", tool_output="x")
    assert "has no 'toolOutput': args, container" in complaint('event.toolOutput == "x"')
    assert "has no 'toolName'" in complaint('event.toolName == "x"', "chat.message")


@pytest.mark.parametrize(
    ("when", "words"),
    [
        ("", "1 to 2000 characters"),
        ("x" * 2001, "at most 2000 characters"),
        ("event.toolName ==", "expected an expression of CEL: mismatched input"),
        ("(event.toolName == 'a'", "expected an expression of CEL"),
        ('event.toolName = "a"', "a condition has no '= '"),
        ('event.toolname == "a"', "has no 'toolname'"),
        ('event["toolName"] == "a"', "is named with a field"),
        ("event", "is named with a field"),
        ("tool == 'bash'", "there is no 'tool'; what happened is `event`"),
        ("event.args.xs.all(a, b)", "there is no 'b'"),
        ("lower(event.toolName) == 'a'", "there is no function 'lower'"),
        ("event.toolName.lower() == 'a'", "there is no function 'lower'"),
        ("event.args.xs.map(x, x) == []", "a condition has no `map`"),
        ("size(event.args.xs.filter(x, x)) > 2", "a condition has no `filter`"),
        ("event.args.xs.all(1, true)", "`all` is given a name for the element"),
        ("event.args.xs.all(event, event.toolName == '')", "`all` is given a name for the element"),
        ("event.args.xs.all(a, a.ys.all(b, a == b))", "stands within another one"),
        ("event.args.xs.exists(x, event.toolInput.contains(x))", "cannot be asked while a list is walked over"),
        ("event.args.xs.exists(x, x in event.args.xs)", "cannot be asked while a list is walked over"),
        (" || ".join(["event.args.xs.exists(x, x == 1)"] * 9), "at most 8 lists"),
        ("event.toolInput" + " + event.toolInput" * 9 + " == ''", "at most 8 `+`"),
        ("event.toolInput.matches('(a')", "expected an RE2 expression"),
        ("event.toolInput.matches('(?=a)')", "RE2 has no lookahead"),
        ("event.toolInput.matches('\\d')", "write an expression with"),
        ("event.toolInput.matches(event.toolName)", "is given an expression as it stands"),
        ("event.toolName", "'event . toolName' is neither true nor false"),
        ("size(event.tags)", "is neither true nor false"),
        ("event.toolName == 'a' && size(event.tags)", "is neither true nor false"),
        ("1 || event.toolName == 'b'", "'1' is neither true nor false"),
        ("!(event.toolName == 'a' || 1)", "'1' is neither true nor false"),
        ("!!(event.toolName == 'a')", "one `!` says it"),
        ("event.toolName == 'a' && ! ! true", "one `!` says it"),
        ("event.toolName > 1", "does not fit: types do not fit"),
        ("size(event.toolName).matches('a')", "does not fit: types do not fit"),
        ("event.toolName.contains(1)", "does not fit: types do not fit"),
        ("event.toolName.a == 1", "does not fit: types do not fit"),
        ("{'a': 1}.a == 1", "a condition has no '{"),
        ("true // always", "a condition has no '//'"),
        ('b"a" == b"a"', "a text is written as"),
        ('"""a""" == "a"', "a text is written as"),
        (".event.toolName == 'a'", "leave out the dot"),
        ("(" * 21 + "true" + ")" * 21, "at most 20 brackets deep"),
        ("timestamp('2020-01-01T00:00:00Z') > timestamp('x')", "there is no function 'timestamp'"),
    ],
)
def test_what_cannot_be_meant_is_refused_when_it_is_read(when: str, words: str) -> None:
    assert words in complaint(when)


class _File(Section):
    mitm: Mitm


def test_a_mistake_is_told_with_its_file_path_and_line() -> None:
    said = {"id": "a", "trigger": {"event": BEFORE, "when": "tool == 1"}, "action": {"type": "block", "reason": "no"}}
    with pytest.raises(Fault) as found:
        load(f'{{"mitm": {{\n"rules": [\n{json.dumps(said)}\n]}}}}', "hoody.json", _File)
    told = str(found.value)
    assert "hoody.json:3: mitm.rules[0].trigger.when: got 'tool == 1', there is no 'tool'" in told


@pytest.mark.parametrize(
    ("when", "said", "words"),
    [
        ("event.args.path == 'a'", {"tool_input": "{}"}, "is not there"),
        ("event.args.path == 'a'", {"tool_input": "no json"}, "is not there"),
        ("event.args.path == 'a'", {"tool_input": '["path"]'}, "is not there"),
        ("event.args.path == 'a'", {"tool_input": '{"path": "a", "path": "b"}'}, "in two ways"),
        ("event.args.path == 'a'", {"tool_input": '{"path": NaN}'}, "in two ways"),
        ("event.args.n > 1", {"tool_input": '{"n": "2"}'}, "types do not fit"),
        ("event.args.flag", {"tool_input": '{"flag": "yes"}'}, "neither true nor false"),
        ("event.args.n / 0 == 1", {"tool_input": '{"n": 2}'}, "cannot be computed"),
        ("event.args.n + 9223372036854775807 > 1", {"tool_input": '{"n": 2}'}, "cannot be computed"),
        ("event.args.n.matches('a')", {"tool_input": '{"n": 2}'}, "types do not fit"),
        ("event.args.n.matches('a') || event.args.n == 2", {"tool_input": '{"n": 2}'}, "types do not fit"),
        ("event.args.xs[3] == 1", {"tool_input": '{"xs": [1]}'}, "no such place"),
        ("event.args.xs.all(x, x == event.toolName)", {"tool_input": '{"xs": [1]}', "tool": "a" * 5000}, "too long"),
    ],
)
def test_what_cannot_be_told_is_undecided(when: str, said: dict[str, Any], words: str) -> None:
    with pytest.raises(Undecided, match=words):
        holds(when, **said)


@pytest.mark.parametrize(
    "when",
    [
        'has(event.args) && has(event.args.path) && event.args.path.startsWith("/etc")',
        '!has(event.args) || event.args.path.startsWith("/etc")',
        'has(event.args.path) && event.args.path.startsWith("/etc")',
        "has(event.args)",
    ],
)
@pytest.mark.parametrize(
    "beside",
    [
        '"x": ' + json.dumps([0] * MOST_VALUES),
        '"x": ' + json.dumps("a" * LONGEST_ARGS),
        '"x": ' + "[" * DEEPEST + "]" * DEEPEST,
        '"x": 1, "x": 2',
        '"x": ' + "9" * 5000,
    ],
    ids=["many", "long", "deep", "twice", "number"],
)
def test_arguments_that_are_too_much_get_past_no_condition(when: str, beside: str) -> None:
    with pytest.raises(Undecided):
        holds(when, tool_input=f' {{"path": "/etc/passwd", {beside}}}')


@pytest.mark.parametrize(
    "when", ['event.toolName == "bash"', "has(event.args)", 'event.toolInput.contains("x")', 'event.toolName != "bash"']
)
def test_of_a_call_that_nobody_knows_nothing_is_told(when: str) -> None:
    with pytest.raises(Undecided, match="not known"):
        holds(when, "tool.execute.after", tool_output="x")
    assert holds('event.toolOutput == "x"', "tool.execute.after", tool_output="x")
    holds(when, "tool.execute.after", tool="bash", tool_output="x")


def test_what_was_said_comes_into_no_reason_and_no_log(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level("DEBUG")
    with pytest.raises(Undecided) as found:
        holds("event.args[event.toolName] == int(event.toolInput)", tool="s3cret", tool_input='{"a": "hidden"}')
    with pytest.raises(Undecided):
        holds("event.args.a.matches('x')", tool_input='{"a": ["hidden"]}')
    with pytest.raises(Undecided):
        holds("int(event.args.a) > 1", tool_input='{"a": "hidden"}')
    logged = [each.getMessage() for each in caplog.records]
    assert "hidden" not in str(logged), logged
    assert capfd.readouterr() == ("", "")
    assert "s3cret" not in str(found.value)
    assert "hidden" not in str(found.value)


def test_a_text_is_asked_about_as_it_stands_and_as_it_reads() -> None:
    hidden = "s\u200becret \uff4bey"
    assert holds('event.messageContent.contains("secret key")', "chat.message", text=hidden)
    assert holds('event.messageContent.contains("\u200b")', "chat.message", text=hidden)
    assert holds('event.args.path.contains("etc")', tool_input=json.dumps({"path": "/e\u200btc"}))
    assert not holds('event.messageContent.contains("other")', "chat.message", text=hidden)


def test_half_a_character_disturbs_nothing() -> None:
    assert holds('event.messageContent.contains("ab")', "chat.message", text="\ud800ab")
    assert holds('event.args.a.contains("ab")', tool_input='{"a": "\\ud800ab"}')


def test_arguments_are_read_only_where_they_can_be_read_in_one_way() -> None:
    assert arguments('{"a": [1, {"b": "c"}]}') == {"a": [1, {"b": "c"}]}
    assert arguments('{"a": 1, "a": 1}') is None
    assert arguments('{"a": {"b": 1, "b": 2}}') is None
    assert arguments("[" * 100_000) is None
    assert arguments('{"a": ' + "[" * DEEPEST + "]" * DEEPEST + "}") is None
    assert arguments(json.dumps({"a": [0] * MOST_VALUES})) is None
    assert arguments(json.dumps({"a": [0] * (MOST_VALUES - 1)})) is not None
    assert arguments(json.dumps({"a": "x" * LONGEST_ARGS})) is None
    assert arguments('{"a": ' + "9" * 5000 + "}") is None


def test_a_condition_is_asked_of_what_passes_all_else() -> None:
    rules = RuleSet(
        [
            rule("plain", None),
            rule("met", 'event.toolName == "bash"'),
            rule("unmet", 'event.toolName == "read"'),
            Rule.model_validate(
                {
                    "id": "elsewhere",
                    "trigger": {"event": BEFORE, "containers": ["prod"], "when": "event.args.none == 1"},
                    "action": {"type": "block", "reason": "no"},
                }
            ),
        ]
    )
    fired, failed = rules.held(happened(tool="bash", tool_input="{}"))
    assert [each.id for each in fired] == ["plain", "met"]
    assert not failed


def test_a_condition_that_cannot_be_told_is_told_apart_from_one_that_is_not_met() -> None:
    rules = RuleSet([rule("a", "event.args.none == 1"), rule("b", 'event.toolName == "bash"')])
    fired, failed = rules.held(happened(tool="bash", tool_input="{}"))
    assert [each.id for each in fired] == ["b"]
    assert [(each.id, why) for each, why in failed] == [("a", "something that it asks for is not there")]
    with pytest.raises(Fault, match="cannot be told"):
        rules.fired(happened(tool="bash", tool_input="{}"))


@pytest.mark.parametrize(
    ("action", "holds_back"),
    [
        ({"type": "block", "reason": "no"}, True),
        ({"type": "approve", "reason": "no"}, True),
        ({"type": "message", "content": "x"}, True),
        ({"type": "message", "content": "x", "onFailure": "open"}, False),
        ({"type": "prompt-inject", "content": "x"}, True),
        ({"type": "prompt-inject", "content": "x", "onFailure": "open"}, False),
        ({"type": "webhook", "url": "https://example.org/"}, False),
        ({"type": "notification", "title": "x"}, False),
        ({"type": "shell", "command": "true"}, False),
    ],
)
def test_what_refuses_or_must_be_put_in_holds_the_call_back(action: dict[str, Any], holds_back: bool) -> None:
    made = rule("a", "event.args.none == 1", **action)
    assert made.holds_back is holds_back
    assert not made.model_copy(update={"dry_run": True}).holds_back


@pytest.mark.parametrize(
    "when",
    [
        'event.messageContent.contains("the quick brown foxy")',
        'event.messageContent.matches("(?i)(quick|slow) brown.*foxy[0-9]+")',
        'event.messageContent.matches("secret") || event.messageContent.matches("hidden")',
        "event.messageContent + event.messageContent + event.messageContent == 'a'",
    ],
)
def test_a_message_of_five_megabytes_is_asked_about_in_good_time(when: str) -> None:
    text = "the quick brown fox jumps " * 200_000
    began = time.perf_counter()
    assert not holds(when, "chat.message", text=text)
    assert time.perf_counter() - began < SECONDS


@pytest.mark.parametrize(
    "when",
    [
        " && ".join(["event.args.xs.all(x, x != event.toolName)"] * 8),
        'event.args.xs.all(x, !x.matches("(a{30}){30}b"))',
        "event.args.xs.all(x, !(x in event.tags))",
        "event.args.xs.all(x, x + x + x + x + x != 'a')",
        "event.args.xs.all(x, " + " && ".join(["x != 'a'"] * 100) + ")",
    ],
)
def test_the_longest_list_is_walked_over_in_good_time(when: str) -> None:
    long = json.dumps({"xs": [f"{at:090}" for at in range(MOST_VALUES - 1)]})
    assert len(long) < LONGEST_ARGS
    began = time.perf_counter()
    assert holds(when, tool="bash", tool_input=long, tags=frozenset(f"tag{at}" for at in range(30)))
    assert time.perf_counter() - began < SECONDS


def test_the_longest_conditions_are_read_without_harm() -> None:
    for made in ("!" * 1999 + "x", "-" * 1990 + "1", "true?" * 300 + "true" + ":true" * 300, "true&&" * 330 + "true"):
        began = time.perf_counter()
        with contextlib.suppress(ValueError):
            Trigger.model_validate({"event": BEFORE, "when": made})
        assert time.perf_counter() - began < SECONDS


_PIECES = st.sampled_from(
    ["event", ".", "args", "xs", "toolName", "tags", "(", ")", "[", "]", "&&", "||", "!", "==", "in", "'a'", '"', "\\", "1",
     "all", "exists", "matches", "size", "has", "x", ",", "?", ":", "+", "-", " ", "r", "{", "}", "//", "\n", "é", "\x00"]
)  # fmt: skip


@given(st.lists(_PIECES, max_size=30).map("".join) | st.text(max_size=60))
@settings(max_examples=400, deadline=None)
def test_whatever_is_written_is_either_refused_or_answers_yes_or_no_or_undecided(when: str) -> None:
    with contextlib.suppress(ValueError, Undecided):
        assert holds(when, tool="a", tool_input='{"xs": ["a", 1]}') in (True, False)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.sampled_from(["path", "xs", "n"]), _JSON), st.text())
@settings(max_examples=200, deadline=None)
def test_whatever_an_agent_says_a_condition_answers_or_is_undecided(said: dict[str, Any], tool: str) -> None:
    for when in (
        'has(event.args.path) && event.args.path.contains("etc")',
        'event.args.xs.exists(x, x == "a" || x > 1)',
        "event.args.n * 2 > size(event.toolName)",
        "event.args == event.args.n",
    ):
        with contextlib.suppress(Undecided):
            assert holds(when, tool=tool, tool_input=json.dumps(said)) in (True, False)


@given(st.text(max_size=40), st.text(min_size=1, max_size=4))
def test_contains_finds_what_stands_there(text: str, part: str) -> None:
    try:
        text.encode()
        part.encode()
    except UnicodeEncodeError:
        return
    quoted = "".join(f"\\U{ord(each):08x}" for each in part)
    if part in text:
        assert holds(f'event.messageContent.contains("{quoted}")', "chat.message", text=text)


def test_the_library_is_loaded_with_the_first_condition_and_without_its_command_line() -> None:
    program = """
import sys
from bawn.rules.model import Trigger
from bawn.rules import matching
loaded = lambda: "/cel." in open("/proc/self/maps").read()
before = set(sys.modules)
Trigger.model_validate({"event": "chat.message", "contentMatch": "a"})
print(loaded())
Trigger.model_validate({"event": "chat.message", "when": "event.messageContent == 'a'"})
new = {name.split(".")[0] for name in set(sys.modules) - before}
print(loaded(), "cel" in sys.modules, sorted(new & {"typer", "rich", "prompt_toolkit"}))
"""
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert told.splitlines() == ["False", "True False []"]


def test_the_library_is_loaded_once_however_many_ask_at_once_and_beside_its_own_import() -> None:
    program = """
import threading
from bawn.rules.condition import Condition
ready = threading.Barrier(8)
def ask():
    ready.wait()
    Condition("event.container == 'a'", "chat.message")
threads = [threading.Thread(target=ask) for _ in range(8)]
[each.start() for each in threads]
[each.join() for each in threads]
import cel
print(cel.evaluate("1 + 1"))
"""
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert (told.stdout, told.stderr) == ("2\n", "")
