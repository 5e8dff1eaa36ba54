"""Which scene is played, and what it makes of its templates."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bawn.errors import Fault
from bawn.inference import anthropic_shape, openai_shape
from bawn.inference.conversation import Conversation
from bawn.inference.matching import said
from bawn.inference.script import Script, built_in, parse
from bawn.inference.utterance import Utterance


def conversation(*messages: dict[str, Any], model: str = "m", tools: tuple[str, ...] = ()) -> Conversation:
    offered = [{"type": "function", "function": {"name": name}} for name in tools]
    return openai_shape.heard({"model": model, "messages": list(messages), "tools": offered}, "0" * 64)


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def called(name: str, result: str, call_id: str = "c1") -> tuple[dict[str, Any], dict[str, Any]]:
    call = {"id": call_id, "type": "function", "function": {"name": name, "arguments": "{}"}}
    return (
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": call_id, "content": result},
    )


def heard(script: str, spoken: Conversation) -> str:
    utterance = said(parse(script, "s"), spoken)
    return "" if utterance is None else utterance.text


def test_the_first_scene_that_fits_is_played() -> None:
    script = "scenes: [{when: {contains: b}, reply: {text: one}}, {reply: {text: two}}, {reply: {text: three}}]"
    assert heard(script, conversation(user("abc"))) == "one"
    assert heard(script, conversation(user("xyz"))) == "two"


def test_a_script_without_a_fitting_scene_has_no_such_model() -> None:
    assert said(parse("scenes: [{when: {model: x}, reply: {}}]", "s"), conversation(user("a"))) is None


@pytest.mark.parametrize("named", ["echo", "scripted/echo"])
def test_a_model_may_be_named_with_or_without_its_provider(named: str) -> None:
    utterance = said(built_in(), conversation(user("hi"), model=named))
    assert utterance is not None
    assert (utterance.text, utterance.model) == ("hi", named)


def test_steps_count_from_the_users_last_message_and_turns_from_the_first() -> None:
    spoken = conversation(user("a"), {"role": "assistant", "content": "b"}, user("c"), *called("f", "r"))
    assert (spoken.turn, spoken.step, spoken.user) == (3, 2, "c")
    assert spoken.results == (("f", "r"),)


def test_a_message_with_tool_results_is_not_the_users_word() -> None:
    body = {
        "model": "m",
        "messages": [
            {"role": "user", "content": "the task"},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "Read", "input": {}}]},
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "found"}]},
                    {"type": "text", "text": "a reminder of the program"},
                ],
            },
        ],
    }
    spoken = anthropic_shape.heard(body, "0" * 64)
    assert spoken.user == "the task"
    assert spoken.results == (("Read", "found"),)


def test_templates_take_the_result_the_groups_and_what_is_found() -> None:
    script = r"""
scenes:
  - when: {matches: "fix (?P<what>\\w+)"}
    reply:
      find: {cwd: 'dir: (\S+)'}
      text: "{{what}} {{tool_name}}={{tool_result}} in {{cwd}} {{unknown}}"
"""
    system = {"role": "system", "content": "dir: /a\ndir: /b"}
    spoken = conversation(system, user("fix it"), *called("f", "r"))
    assert heard(script.replace("\\\\", "\\\\"), spoken) == "it f=r in /b {{unknown}}"


def test_templates_are_filled_in_nested_arguments() -> None:
    script = "scenes: [{reply: {tools: [{name: f, arguments: {a: [{b: '{{user}}'}], n: 1}}]}}]"
    utterance = said(parse(script, "s"), conversation(user('quote " and \n')))
    assert utterance is not None
    assert json.loads(utterance.calls[0].arguments) == {"a": [{"b": 'quote " and \n'}], "n": 1}


@pytest.mark.parametrize(
    ("script", "place"),
    [
        ("scenes: [{when: {modle: x}, reply: {}}]", "scenes.0.when.modle"),
        ("scenes: [{reply: {fault: {kind: explode}}}]", "scenes.0.reply.fault.kind"),
        ("scenes: [{when: {matches: '('}, reply: {}}]", "scenes.0.when.matches"),
        ("scenes: [{reply: {per_token_s: -1}}]", "scenes.0.reply.per_token_s"),
        ("scenes: {", "is not YAML"),
    ],
)
def test_a_script_that_does_not_fit_is_refused_with_its_place(script: str, place: str) -> None:
    with pytest.raises(Fault, match="s") as raised:
        parse(script, "s")
    assert raised.value.code == "config.invalid"
    assert place in raised.value.sentence


OPENCODE = ("bash", "edit", "read", "write")
CLAUDE = ("Bash", "Edit", "Read", "Write")
TASK = {"role": "user", "content": "Find the failing test and mend the code."}
SYSTEM = {"role": "system", "content": "Working directory: /w"}


def steps(tools: tuple[str, ...], results: tuple[str, ...]) -> Utterance:
    """What `scripted/agent` says after so many results."""
    messages: list[dict[str, Any]] = [SYSTEM, TASK]
    for index, result in enumerate(results):
        utterance = said(built_in(), conversation(*messages, model="agent", tools=tools))
        assert utterance is not None
        messages += called(utterance.calls[0].name, result, f"c{index}")
    last = said(built_in(), conversation(*messages, model="agent", tools=tools))
    assert last is not None
    return last


@pytest.mark.parametrize("tools", [OPENCODE, CLAUDE])
def test_the_agent_mends_the_sample_with_the_tools_of_either_agent(tools: tuple[str, ...]) -> None:
    names = [steps(tools, ("x",) * count).calls[0].name for count in range(4)]
    assert [name.lower() for name in names] == ["bash", "read", "edit", "bash"]
    assert set(names) <= set(tools)
    assert "/w/tally/mean.py" in steps(tools, ("x",) * 2).calls[0].arguments


def test_the_agent_reports_success_only_when_the_tests_said_so() -> None:
    assert steps(OPENCODE, ("x", "x", "x", "Ran 2 tests\n\nOK\n")).text.startswith("Done.")
    assert "could not" in steps(OPENCODE, ("x", "x", "x", "FAILED (failures=2)")).text


@given(st.text(), st.integers(min_value=0, max_value=9))
def test_a_streamed_text_is_the_plain_text_however_it_is_cut(text: str, size: int) -> None:
    script = Script.model_validate({"scenes": [{"reply": {"text": "{{user}}", "chunk": size, "numbered": 2}}]})
    utterance = said(script, conversation(user(text)))
    assert utterance is not None
    plain = json.loads(openai_shape.plain(utterance, 0))["choices"][0]["message"]["content"]
    frames = [json.loads(frame[6:]) for frame in openai_shape.frames(utterance, 0, False) if b"[DONE]" not in frame]
    assert "".join(frame["choices"][0]["delta"].get("content", "") for frame in frames) == plain
