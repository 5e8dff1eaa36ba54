"""What agents' hooks say, as they say it, and what they are answered."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bawn.adapters.dialects import DIALECTS
from bawn.adapters.report import Effect, Report, Verdict
from bawn.errors import Fault
from bawn.rules.model import EventName

NO = Verdict(Effect.DENY, "Not on a Friday.")
AGENTS = st.sampled_from(sorted(DIALECTS))
HOOKED = ("claude-code", "codex")

TOOL = {
    "session_id": "s1",
    "cwd": "/workspace",
    "hook_event_name": "PreToolUse",
    "tool_name": "Bash",
    "tool_input": {"command": "ls", "n": 1},
    "tool_use_id": "call_1",
    "some_later_key": [1],
}
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
_KEYS = st.sampled_from([
    "event", "session", "parent", "call", "tool", "input", "output", "text", "title", "directory", "error", "tags",
    "hook_event_name", "session_id", "cwd", "tool_name", "tool_input", "tool_use_id", "tool_response", "prompt",
    "error_details", "session_title", "agent_id",
])  # fmt: skip
_NAMES = st.sampled_from(
    [*map(str, EventName), "PreToolUse", "PostToolUse", "Stop", "StopFailure", "SessionStart", "s"]
)


def read(agent: str, said: dict[str, Any]) -> Report:
    report = DIALECTS[agent].read(json.dumps(said).encode())
    assert report is not None
    return report


def told(agent: str, body: bytes) -> Report | None:
    """None as well when it is refused, as it may be: for being no such payload, and for nothing else."""
    with suppress(Fault):
        return DIALECTS[agent].read(body)
    with pytest.raises(Fault) as caught:
        DIALECTS[agent].read(body)
    assert caught.value.code in ("request.malformed_json", "request.invalid")
    return None


@pytest.mark.parametrize("agent", HOOKED)
def test_a_tool_call_is_told_with_its_id_and_its_arguments(agent: str) -> None:
    report = read(agent, TOOL)
    assert report == Report(
        EventName.TOOL_BEFORE,
        "s1",
        call="call_1",
        tool="Bash",
        tool_input='{"command":"ls","n":1}',
        directory="/workspace",
    )


@pytest.mark.parametrize("agent", HOOKED)
@pytest.mark.parametrize(("response", "text"), [("done", "done"), ({"stdout": "é"}, '{"stdout":"é"}'), (None, "")])
def test_a_result_is_a_text_or_told_as_json(agent: str, response: object, text: str) -> None:
    report = read(agent, TOOL | {"hook_event_name": "PostToolUse", "tool_response": response})
    assert (report.event, report.tool_output) == (EventName.TOOL_AFTER, text)


def test_claude_codes_other_events() -> None:
    failed = read("claude-code", TOOL | {"hook_event_name": "PostToolUseFailure", "error": "no such file"})
    assert (failed.event, failed.tool_output) == (EventName.TOOL_AFTER, "no such file")
    stopped = read("claude-code", TOOL | {"hook_event_name": "StopFailure", "error": "api", "error_details": "529"})
    assert (stopped.event, stopped.error) == (EventName.SESSION_ERROR, "api: 529")
    begun = read("claude-code", TOOL | {"hook_event_name": "SessionStart", "session_title": "Mending"})
    assert (begun.event, begun.title) == (EventName.SESSION_CREATED, "Mending")


@pytest.mark.parametrize("agent", HOOKED)
def test_a_sub_agent_is_in_the_session_of_the_one_that_began_it(agent: str) -> None:
    report = read(agent, TOOL | {"agent_id": "a7", "agent_type": "Explore"})
    assert (report.session, report.parent) == ("s1", "")


@pytest.mark.parametrize("agent", HOOKED)
def test_prompts_and_ends_are_told(agent: str) -> None:
    asked = read(agent, TOOL | {"hook_event_name": "UserPromptSubmit", "prompt": "mend it"})
    assert (asked.event, asked.text) == (EventName.CHAT_MESSAGE, "mend it")
    assert read(agent, TOOL | {"hook_event_name": "Stop"}).event is EventName.SESSION_IDLE


def test_opencode_tells_a_childs_parent_and_the_tags_of_its_environment() -> None:
    said = {"event": "session.created", "session": "ses_2", "parent": "ses_1", "title": "Sub", "tags": ["ci", "night"]}
    report = read("opencode", said)
    assert report == Report(EventName.SESSION_CREATED, "ses_2", parent="ses_1", title="Sub", tags=("ci", "night"))


@pytest.mark.parametrize("agent", HOOKED)
def test_what_means_nothing_here_is_allowed(agent: str) -> None:
    body = json.dumps(TOOL | {"hook_event_name": "PreCompact", "session_id": 7}).encode()
    assert DIALECTS[agent].read(body) is None
    assert DIALECTS[agent].answer(None, NO) == b"{}"


@pytest.mark.parametrize(
    "wrong",
    [
        {"session_id": 7}, {"session_id": ""}, {"session_id": "a\nb"}, {"session_id": "x" * 201}, {"tool_name": None},
        {"tool_name": ["Bash"]}, {"tool_use_id": 1}, {"cwd": {}}, {"hook_event_name": 3}, {"hook_event_name": ""},
    ],
)  # fmt: skip
@pytest.mark.parametrize("agent", HOOKED)
def test_what_is_of_another_type_is_refused(agent: str, wrong: dict[str, Any]) -> None:
    with pytest.raises(Fault) as caught:
        DIALECTS[agent].read(json.dumps(TOOL | wrong).encode())
    assert caught.value.code == "request.invalid"
    assert next(iter(wrong)) in caught.value.sentence


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"null", b'{"a":1,"a":1}', b'{"a":NaN}', b"\xff", b"{" * 9000, b'{"event":"\\ud800"}']
)
@pytest.mark.parametrize("agent", sorted(DIALECTS))
def test_what_is_not_json_with_one_reading_is_refused(agent: str, body: bytes) -> None:
    with pytest.raises(Fault) as caught:
        DIALECTS[agent].read(body)
    assert caught.value.code == "request.malformed_json"


def test_opencode_is_answered_in_its_own_small_form() -> None:
    dialect = DIALECTS["opencode"]
    report = Report(EventName.TOOL_BEFORE, "s")
    assert json.loads(dialect.answer(report, NO)) == {"effect": "deny", "because": "Not on a Friday."}
    assert json.loads(dialect.answer(report, Verdict())) == {"effect": "allow"}


@pytest.mark.parametrize("agent", HOOKED)
def test_a_denial_has_the_form_of_its_event(agent: str) -> None:
    def denied(event: EventName) -> Any:
        return json.loads(DIALECTS[agent].answer(Report(event, "s"), NO))

    assert denied(EventName.TOOL_BEFORE) == {
        "hookSpecificOutput": {
            "hookEventName": "PreToolUse",
            "permissionDecision": "deny",
            "permissionDecisionReason": "Not on a Friday.",
        }
    }
    blocked = {"decision": "block", "reason": "Not on a Friday."}
    assert denied(EventName.CHAT_MESSAGE) == denied(EventName.TOOL_AFTER) == blocked
    # A blocked Stop would make the agent go on.
    assert denied(EventName.SESSION_IDLE) == denied(EventName.SESSION_CREATED) == {}


@given(AGENTS, st.sampled_from(EventName))
def test_what_is_allowed_is_not_granted(agent: str, event: EventName) -> None:
    said = DIALECTS[agent].answer(Report(event, "s"), Verdict())
    assert b"permission" not in said
    assert b"approve" not in said
    assert json.loads(said) in ({}, {"effect": "allow"})


@given(AGENTS, st.binary(max_size=200))
def test_no_bytes_do_more_than_be_refused(agent: str, body: bytes) -> None:
    told(agent, body)


@given(AGENTS, st.dictionaries(_KEYS, _VALUES | _NAMES, max_size=14), _NAMES, st.text())
def test_no_payload_does_more_than_be_refused(agent: str, said: dict[str, Any], name: str, because: str) -> None:
    body = json.dumps({"event": name, "hook_event_name": name, "session": "s", "session_id": "s"} | said)
    report = told(agent, body.encode())
    answer = DIALECTS[agent].answer(report, Verdict(Effect.DENY, because.encode(errors="replace").decode()))
    assert isinstance(json.loads(answer), dict)
