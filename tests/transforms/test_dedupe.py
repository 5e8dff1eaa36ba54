"""Files read again and again: the latest copy stays, earlier ones become a line, and nothing else changes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.transforms.calls import asked

from bawn.terms.exchange import Endpoint, WireName
from bawn.transforms.dedupe import Dedupe, Deduplication, deduplicate
from bawn.wire.documents import document

ON = Dedupe()
PARSER = "".join(
    f"def rule_{n}(tokens: list[Token]) -> Node:\n    return Node({n}, [*map(rule_{n + 1}, tokens)])\n\n"
    for n in range(40)
)
TESTS = "".join(f"def test_rule_{n}() -> None:\n    assert rule_{n}([]).number == {n}\n\n" for n in range(30))
CONFIG = json.dumps({"rules": [{"name": f"rule_{n}", "deep": n % 3, "on": True} for n in range(30)]}, indent=2)


def history(reads: list[tuple[str, str]]) -> list[dict[str, Any]]:
    """An agent that reads files, as chat completions tell it."""
    told: list[dict[str, Any]] = [{"role": "system", "content": "You are a coding agent."}]
    told.append({"role": "user", "content": f"The tests fail. This is what I have:\n```python\n{TESTS}```\nMend it."})
    for number, (path, content) in enumerate(reads):
        function = {"name": "read_file", "arguments": json.dumps({"path": path})}
        told.append(
            {"role": "assistant", "tool_calls": [{"id": f"c{number}", "type": "function", "function": function}]}
        )
        told.append({"role": "tool", "tool_call_id": f"c{number}", "content": content})
    return told


READS = [
    ("parser.py", PARSER), ("rules.json", CONFIG), ("parser.py", PARSER), ("run", "2 failed"), ("parser.py", PARSER),
    ("rules.json", CONFIG), ("run", "1 failed"), ("parser.py", PARSER + "\n# mended\n"), ("run", "2 failed"),
    ("parser.py", PARSER),
]  # fmt: skip


async def sent(messages: list[dict[str, Any]], stage: Deduplication) -> tuple[bytes, bytes, dict[str, str]]:
    ask = asked({"model": "m", "messages": messages}, read=document)
    assert await stage.request(ask) is None
    assert ask.document is not None
    return ask.exchange.body, ask.document.body(), dict(ask.notes)


async def test_over_two_fifths_of_the_history_of_a_working_agent_are_saved_and_told() -> None:
    stage = Deduplication(ON)
    before, after, notes = await sent(history(READS), stage)
    saving = 1 - len(after) / len(before)
    print(f"{len(before)} bytes became {len(after)}: {saving:.0%} saved")
    assert saving > 0.4
    told = int(notes["dedupe.tokens_saved"])
    # In JSON a line's end takes two bytes; what is told is counted without that.
    assert 0.9 * (len(before) - len(after)) / 4 < told <= (len(before) - len(after)) / 4
    assert stage.counts.all() == {"bytes_saved": told * 4 + stage.counts["bytes_saved"] % 4, "copies": 4, "requests": 1,
                                  "tokens_saved": told}  # fmt: skip


async def test_what_stays_is_byte_for_byte_as_it_was_sent() -> None:
    _, after, _ = await sent(history(READS), Deduplication(ON))
    told, came = json.loads(after)["messages"], history(READS)
    same = [index for index, message in enumerate(told) if message == came[index]]
    replaced = [index for index in range(len(came)) if index not in same]
    assert [came[index]["content"] for index in replaced] == [PARSER, CONFIG, PARSER, PARSER]
    assert [message["content"] for message in told if message["role"] == "tool"][-1] == PARSER
    assert sum(message.get("content") == CONFIG for message in told) == 1
    for message in map(json.dumps, (came[index] for index in same)):
        assert message.encode() in after
    assert "further down" in told[replaced[0]]["content"]
    assert 'begins with "def rule_0' in told[replaced[0]]["content"]


async def test_a_history_that_grows_changes_only_what_a_new_copy_repeats() -> None:
    """A cache of a provider holds for everything before the first difference."""
    stage = Deduplication(ON)
    steps = [json.loads((await sent(history(READS[:count]), stage))[1])["messages"] for count in range(len(READS) + 1)]
    for earlier, later in zip(steps, steps[1:], strict=False):
        differing = [index for index, (one, two) in enumerate(zip(earlier, later, strict=False)) if one != two]
        assert len(differing) <= 1
    assert (await sent(history(READS), stage))[1] == (await sent(history(READS), stage))[1]


async def test_fenced_blocks_of_the_user_count_and_their_fences_stay() -> None:
    first = {"role": "user", "content": f"Look:\n```python\n{TESTS}```\nand\n~~~\nshort\n~~~\n"}
    _, after, _ = await sent([first, *history([])], Deduplication(ON))
    content = json.loads(after)["messages"][0]["content"]
    assert content.startswith("Look:\n```python\n[")
    assert content.endswith("conversation.]\n```\nand\n~~~\nshort\n~~~\n")


async def test_what_was_read_stands_for_what_the_user_pasted() -> None:
    _, after, _ = await sent(history([("tests.py", TESTS)]), Deduplication(ON))
    told = json.loads(after)["messages"]
    assert TESTS not in told[1]["content"]
    assert told[-1]["content"] == TESTS


@pytest.mark.parametrize(
    "second",
    [PARSER + " ", PARSER.rstrip(), PARSER.replace("\n", "\r\n"), PARSER.upper(), PARSER[1:], "\ufeff" + PARSER],
)
async def test_what_differs_in_one_letter_is_no_copy(second: str) -> None:
    before, after, notes = await sent(history([("a", PARSER), ("a", second)]), Deduplication(ON))
    assert (after, notes) == (before, {})


@pytest.mark.parametrize(
    "messages",
    [
        [{"role": "user", "content": PARSER}, {"role": "user", "content": PARSER}],
        [{"role": "assistant", "content": PARSER}, {"role": "assistant", "content": PARSER}],
        [
            {"role": "system", "content": PARSER},
            {"role": "system", "content": PARSER},
            {"role": "user", "content": "x"},
        ],
        [{"role": "user", "content": f"```\n{PARSER}"}, {"role": "user", "content": f"```\n{PARSER}"}],
        history([("a", "x" * 500), ("a", "x" * 500)]),
    ],
    ids=["prose", "assistant", "system", "a fence that is not closed", "short"],
)
async def test_other_texts_are_left_alone(messages: list[dict[str, Any]]) -> None:
    before, after, notes = await sent(messages, Deduplication(ON))
    assert (after, notes) == (before, {})


async def test_either_kind_can_be_left_out() -> None:
    twice = [*history([("a", PARSER), ("a", PARSER)]), {"role": "user", "content": f"```\n{TESTS}```"}]
    no_tools = json.loads((await sent(twice, Deduplication(Dedupe(tools=False))))[1])
    assert sum(message.get("content") == PARSER for message in no_tools["messages"]) == 2
    assert TESTS not in no_tools["messages"][1]["content"]
    no_fences = json.loads((await sent(twice, Deduplication(Dedupe(fenced=False))))[1])
    assert sum(message.get("content") == PARSER for message in no_fences["messages"]) == 1
    assert TESTS in no_fences["messages"][1]["content"]


async def test_results_are_found_in_every_wire() -> None:
    result = {"type": "tool_result", "content": [{"type": "text", "text": PARSER}]}
    anthropic = {"model": "m", "max_tokens": 1, "messages": [
        {"role": "user", "content": "go"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": i, "name": "r", "input": {}} for i in "ab"]},
        {"role": "user", "content": [{**result, "tool_use_id": "a"}, {**result, "tool_use_id": "b", "is_error": False}]},
    ]}  # fmt: skip
    ask = asked(anthropic, name=WireName.ANTHROPIC, endpoint=Endpoint.MESSAGES, read=document)
    await Deduplication(ON).request(ask)
    assert ask.document is not None
    first, second = json.loads(ask.document.body())["messages"][2]["content"]
    assert "left out here" in first["content"][0]["text"]
    assert second == {**result, "tool_use_id": "b", "is_error": False}
    responses = {"model": "m", "input": [
        *({"type": "function_call", "call_id": i, "name": "r", "arguments": "{}"} for i in "ab"),
        *({"type": "function_call_output", "call_id": i, "output": PARSER} for i in "ab"),
    ]}  # fmt: skip
    ask = asked(responses, name=WireName.RESPONSES, endpoint=Endpoint.RESPONSES, read=document)
    await Deduplication(ON).request(ask)
    assert ask.document is not None
    assert [len(item["output"]) < 400 for item in json.loads(ask.document.body())["input"][2:]] == [True, False]


async def test_a_call_that_is_no_conversation_passes() -> None:
    ask = asked({"model": "m", "input": "x"}, endpoint=Endpoint.EMBEDDINGS, read=document)
    assert await Deduplication(ON).request(ask) is None
    assert ask.notes == []


CONTENTS = st.sampled_from([PARSER, TESTS, CONFIG, "short", PARSER[:600], "ä" * 300, "   \n" * 200])


@settings(max_examples=60, deadline=None)
@given(reads=st.lists(st.tuples(st.just("f"), CONTENTS), max_size=8))
def test_every_content_is_whole_somewhere_and_the_text_never_grows(reads: list[tuple[str, str]]) -> None:
    changed = asked({"model": "m", "messages": history(reads)}, read=document).document
    assert changed is not None
    before = [spot.text for spot in changed.spots]
    saved = deduplicate(changed, ON)
    after = [spot.text for spot in changed.spots]
    assert {content for _, content in reads} <= set(after)
    assert len(before) == len(after)
    assert sum(len(text.encode()) for text in before) - sum(len(text.encode()) for text in after) == saved.bytes
    assert saved.bytes >= 0
    assert deduplicate(changed, ON).copies == 0
