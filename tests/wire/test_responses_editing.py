"""Responses whose calls are changed, said or dropped on their way: one valid response comes out, and all copies agree."""

from __future__ import annotations

import json
from collections.abc import Sequence
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.wire import official
from tests.wire.edits import NAMES, OBJECTS, STEADY, TEXTS, by_order, faulting, mixed, released, sent
from tests.wire.streams import LINE_ENDS, read

from bawn.terms.exchange import Endpoint
from bawn.terms.frames import End, Frame, HeldCall, TextFrame
from bawn.terms.toolcall import ToolCall
from bawn.wire.editing import Changed, Dropped, Kept, Outcome, Refused, Spoken, StreamEditor
from bawn.wire.responses_answers import ResponsesAnswers
from bawn.wire.responses_calls import call_of, is_call, tool_call
from bawn.wire.responses_stream import ResponseStreamReader

ANSWERS = ResponsesAnswers()
RESPONSES = Endpoint.RESPONSES
Item = dict[str, Any]
USAGE = {
    "input_tokens": 30, "input_tokens_details": {"cached_tokens": 10, "cache_write_tokens": 1}, "output_tokens": 7,
    "output_tokens_details": {"reasoning_tokens": 2}, "total_tokens": 37,
}  # fmt: skip
HIDDEN = ("message", "reasoning", "function_call", "custom_tool_call")
"""Types of items that are not told whole when they are added."""


def response(output: Sequence[Item], response_id: str = "resp_1", status: str = "completed") -> dict[str, Any]:
    reason = {"reason": "max_output_tokens"} if status == "incomplete" else None
    return {
        "id": response_id, "object": "response", "created_at": 1 if response_id == "resp_1" else 2, "status": status,
        "error": None, "incomplete_details": reason, "instructions": None, "metadata": {}, "model": "m",
        "output": list(output), "parallel_tool_calls": True, "temperature": 1.0, "tool_choice": "auto", "tools": [],
        "top_p": 1.0, "usage": USAGE if status != "in_progress" else None,
    }  # fmt: skip


def text(item_id: str, said: str) -> Item:
    part = {"type": "output_text", "text": said, "annotations": [], "logprobs": []}
    return {"id": item_id, "type": "message", "role": "assistant", "status": "completed", "content": [part]}


def function(number: int, name: str = "read", arguments: str = "{}", **more: Any) -> Item:
    said = {"call_id": f"call_{number}", "name": name, "arguments": arguments, **more}
    return {"id": f"fc_{number}", "type": "function_call", "status": "completed", **said}


def others(number: int) -> list[Item]:
    """Calls that are no functions."""
    own = {"call_id": f"call_{number}", "status": "completed"}
    shell = {"commands": ["ls"], "max_output_length": 100, "timeout_ms": 5}
    patch = {"type": "update_file", "path": "a", "diff": "-x"}
    exact = {"type": "exec", "command": ["ls"], "env": {}}
    return [
        {
            "id": f"ctc_{number}",
            "type": "custom_tool_call",
            "call_id": f"call_{number}",
            "name": "sql",
            "input": "SELECT",
        },
        {"id": f"sh_{number}", "type": "shell_call", **own, "action": shell, "environment": {"type": "local"}},
        {"id": f"lsh_{number}", "type": "local_shell_call", **own, "action": exact},
        {"id": f"apc_{number}", "type": "apply_patch_call", **own, "operation": patch},
        {"id": f"mcpr_{number}", "type": "mcp_approval_request", "name": "f", "server_label": "s", "arguments": "{}"},
    ]


@st.composite
def outputs(draw: st.DrawFn) -> list[Item]:
    kinds = draw(st.lists(st.sampled_from(("text", "no", "thought", "call", "call", "other", "web")), max_size=5))
    output: list[Item] = []
    for number, kind in enumerate(kinds):
        match kind:
            case "text":
                output.append(text(f"msg_{number}", draw(TEXTS)))
            case "no":
                said = {"type": "refusal", "refusal": draw(TEXTS)}
                output.append({**text(f"msg_{number}", ""), "content": [said]})
            case "thought":
                summary = [{"type": "summary_text", "text": each} for each in draw(st.lists(TEXTS, max_size=2))]
                thought = {"id": f"rs_{number}", "type": "reasoning", "summary": summary, "encrypted_content": "sealed"}
                output.append(thought)
            case "call":
                output.append(function(number, draw(NAMES), json.dumps(draw(OBJECTS))))
            case "other":
                output.append(draw(st.sampled_from(others(number))))
            case "web":
                action = {"type": "search", "query": draw(TEXTS), "queries": []}
                searched = {"id": f"ws_{number}", "type": "web_search_call", "status": "completed", "action": action}
                output.append(searched)
    return output


def cut(said: str, size: int) -> list[str]:
    return [said[at : at + size] for at in range(0, len(said), size)]


def events_of(item: Item, index: int, size: int) -> list[dict[str, Any]]:
    """The events of an item, in pieces of `size` letters."""
    where = {"item_id": item["id"], "output_index": index}
    begun, middle = item, []
    match item["type"]:
        case "message":
            begun, part = {**item, "status": "in_progress", "content": []}, item["content"][0]
            field, name = ("text", "output_text") if part["type"] == "output_text" else ("refusal", "refusal")
            at, more = {**where, "content_index": 0}, dict[str, Any](logprobs=[]) if field == "text" else {}
            middle = [{"type": "response.content_part.added", **at, "part": {**part, field: ""}}]
            middle += [
                {"type": f"response.{name}.delta", **at, "delta": each, **more} for each in cut(part[field], size)
            ]
            middle.append({"type": f"response.{name}.done", **at, field: part[field], **more})
            middle.append({"type": "response.content_part.done", **at, "part": part})
        case "reasoning":
            begun = {**item, "summary": []}
            for number, part in enumerate(item["summary"]):
                at = {**where, "summary_index": number}
                middle.append({"type": "response.reasoning_summary_part.added", **at, "part": {**part, "text": ""}})
                for each in cut(part["text"], size):
                    middle.append({"type": "response.reasoning_summary_text.delta", **at, "delta": each})
                middle.append({"type": "response.reasoning_summary_text.done", **at, "text": part["text"]})
                middle.append({"type": "response.reasoning_summary_part.done", **at, "part": part})
        case "function_call":
            begun = {**item, "arguments": "", "status": "in_progress"}
            name = "response.function_call_arguments"
            middle = [{"type": f"{name}.delta", **where, "delta": each} for each in cut(item["arguments"], size)]
            middle.append({"type": f"{name}.done", **where, "arguments": item["arguments"], "name": item["name"]})
        case "custom_tool_call":
            begun, name = {**item, "input": ""}, "response.custom_tool_call_input"
            middle = [{"type": f"{name}.delta", **where, "delta": each} for each in cut(item["input"], size)]
            middle.append({"type": f"{name}.done", **where, "input": item["input"]})
    added = {"type": "response.output_item.added", "output_index": index, "item": begun}
    return [added, *middle, {"type": "response.output_item.done", "output_index": index, "item": item}]


def frame(event: dict[str, Any]) -> bytes:
    return f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()


def framed(events: Sequence[dict[str, Any]], *, numbered: bool = True) -> bytes:
    return b"".join(
        frame({**event, "sequence_number": number} if numbered else event) for number, event in enumerate(events)
    )


def told(whole: dict[str, Any], size: int = 4) -> list[dict[str, Any]]:
    begun = response([], whole["id"], "in_progress")
    events = [{"type": f"response.{kind}", "response": begun} for kind in ("created", "in_progress")]
    for index, item in enumerate(whole["output"]):
        events += events_of(item, index, size)
    return [*events, {"type": f"response.{whole['status']}", "response": whole}]


@st.composite
def streams(draw: st.DrawFn, response_id: str = "resp_1") -> tuple[list[Item], bytes]:
    whole = response(draw(outputs()), response_id, draw(st.sampled_from(("completed", "completed", "incomplete"))))
    data = framed(told(whole, draw(st.integers(1, 9)))) + b": still there\n\n"
    return whole["output"], LINE_ENDS[draw(st.sampled_from(sorted(LINE_ENDS)))](data)


def calls_of(output: Sequence[Item]) -> list[ToolCall]:
    return [tool_call(item) for item in output if is_call(item)]


@st.composite
def decided(draw: st.DrawFn, output: Sequence[Item]) -> list[Outcome]:
    """An outcome for each call, such as a gate may decide on a call of its kind."""
    out: list[Outcome] = []
    for item in output:
        if not is_call(item):
            continue
        _, name, arguments = call_of(item)
        changes: list[Outcome] = [Kept(), Dropped(), Spoken(draw(TEXTS))]
        match item["type"]:
            case "function_call":
                changes.append(Changed(draw(NAMES), json.dumps(draw(OBJECTS))))
            case "custom_tool_call":
                changes.append(Changed(draw(NAMES), draw(TEXTS)))
            case "mcp_approval_request":
                pass
            case _:
                changes.append(Changed(draw(NAMES), arguments))
                changes.append(Changed(name, arguments.replace("ls", "cat").replace('"a"', '"b"')))
        out.append(draw(st.sampled_from(changes)))
    return out


def frames_of(stream: bytes) -> list[Frame]:
    return read(ResponseStreamReader(), [stream])


def heard(stream: bytes) -> list[ToolCall]:
    """The calls that a reader of this wire finds."""
    frames = frames_of(stream)
    assert isinstance(frames[-1], End), frames[-1]
    return [call for frame in frames if isinstance(frame, HeldCall) for call in frame.calls]


def assert_in_order(stream: bytes) -> None:
    """One response: its events and its items are numbered without holes, and its end tells what its stream told."""
    events = official.events(stream)
    kinds = [each["type"] for each in events]
    assert kinds[:2] == ["response.created", "response.in_progress"]
    assert [kinds.count(kind) for kind in kinds[:2]] == [1, 1]
    assert [each["sequence_number"] for each in events] == list(range(len(events)))
    added = [each["output_index"] for each in events if each["type"] == "response.output_item.added"]
    assert added == list(range(len(added)))
    done = {each["output_index"]: each["item"] for each in events if each["type"] == "response.output_item.done"}
    whole = events[-1]["response"]
    assert whole["output"] == [done[index] for index in range(len(added))]
    ids = [item["id"] for item in whole["output"]]
    assert len(set(ids)) == len(ids)
    assert {each["response"]["id"] for each in events if "response" in each} == {whole["id"]}
    for each in events:
        if "item_id" in each:
            assert each["item_id"] == ids[each["output_index"]]


@STEADY
@given(data=st.data())
def test_what_goes_out_is_one_response_that_says_what_was_decided(data: st.DataObject) -> None:
    output, stream = data.draw(streams())
    outcomes = data.draw(decided(output))
    out = sent(frames_of(stream), ANSWERS, by_order(outcomes))
    assert heard(out) == released(calls_of(output), outcomes)
    assert_in_order(out)
    plain = ANSWERS.edited(RESPONSES, ANSWERS.folded(stream), outcomes)
    assert official.response(out) == official.plain_response(plain)
    assert ANSWERS.said(RESPONSES, ANSWERS.folded(out)) == ANSWERS.said(RESPONSES, plain)


@STEADY
@given(data=st.data())
def test_a_response_that_nobody_changes_goes_through_an_editor_byte_for_byte(data: st.DataObject) -> None:
    _, stream = data.draw(streams())
    assert b"".join(frame.data for frame in frames_of(stream)) == sent(
        frames_of(stream), ANSWERS, lambda call: Kept(), ANSWERS.editor(b"")
    )


@STEADY
@given(came=streams())
def test_a_response_that_is_folded_and_streamed_again_says_the_same(came: tuple[list[Item], bytes]) -> None:
    output, stream = came
    whole = ANSWERS.folded(stream)
    assert json.loads(whole)["output"] == output
    again = ANSWERS.streamed(whole)
    assert official.response(again) == official.plain_response(whole) == official.response(stream)
    assert ANSWERS.folded(again) == whole
    assert heard(again) == calls_of(output)
    assert_in_order(again)


def withheld(stream: bytes) -> tuple[bytes, StreamEditor]:
    """An answer of whose calls none goes out, up to where another one is to go on: what went out, and the editor."""
    editor, out = ANSWERS.editor(b""), b""
    for each in frames_of(stream):
        match each:
            case TextFrame(data=data):
                out += editor.passing(data)
            case HeldCall(calls=calls, data=data):
                out += editor.calls(data, [Dropped()] * len(calls))
            case End(data=data):
                editor.swallow(data)
    editor.begin_again()
    return out, editor


@STEADY
@given(data=st.data())
def test_two_answers_are_read_as_one_response(data: st.DataObject) -> None:
    first, before = data.draw(streams())
    second, after = data.draw(streams("resp_2"))
    outcomes = data.draw(decided(second))
    out, editor = withheld(before)
    out += sent(frames_of(after), ANSWERS, by_order(outcomes), editor)
    assert_in_order(out)
    dropped = [Dropped() for item in first if is_call(item)]
    plain = ANSWERS.joined(
        ANSWERS.edited(RESPONSES, ANSWERS.folded(before), dropped),
        ANSWERS.edited(RESPONSES, ANSWERS.folded(after), outcomes),
    )
    whole = official.response(out)
    assert whole == official.plain_response(plain)
    assert (whole["id"], whole["created_at"], whole["usage"]["total_tokens"]) == ("resp_1", 1, 74)
    assert whole["usage"]["input_tokens_details"] == {"cached_tokens": 20, "cache_write_tokens": 2}
    assert whole["status"] == ("incomplete" if b"response.incomplete" in after else "completed")
    assert b"resp_2" not in out


CALLS = [function(1, arguments='{"path": "a"}'), function(2)]


def interleaved() -> list[dict[str, Any]]:
    """Two calls and a message whose events are mixed, as they stand in one held group."""
    one, two, said = (
        events_of(item, index, 4) for index, item in ((1, CALLS[0]), (2, CALLS[1]), (3, text("msg_3", "by the way")))
    )
    return [one[0], two[0], one[1], said[0], *said[1:4], *two[1:], *one[2:-1], *said[4:], one[-1]]


@pytest.mark.parametrize("one", [Kept(), Changed("look", '{"y":2}'), Spoken("No."), Dropped()])
@pytest.mark.parametrize("two", [Kept(), Changed("look", '{"y":2}'), Spoken("No."), Dropped()])
def test_text_among_the_frames_of_calls_keeps_its_place(one: Outcome, two: Outcome) -> None:
    whole = response([text("msg_0", "so"), *CALLS, text("msg_3", "by the way")])
    events = told({**whole, "output": whole["output"][:1]})[:-1]
    before = framed(events)
    rest = [*interleaved(), {"type": "response.completed", "response": whole}]
    numbered = [frame({**event, "sequence_number": len(events) + at}) for at, event in enumerate(rest)]
    editor = ANSWERS.editor(before)
    out = before + editor.calls(b"".join(numbered[:-1]), [one, two]) + editor.end(numbered[-1])
    assert_in_order(out)
    assert heard(out) == released(calls_of(CALLS), [one, two])
    plain = ANSWERS.edited(RESPONSES, json.dumps(whole).encode(), [one, two])
    assert official.response(out) == official.plain_response(plain)


@STEADY
@given(data=st.data(), chance=st.randoms(use_true_random=False))
def test_however_the_events_of_items_are_mixed_each_goes_to_its_own(data: st.DataObject, chance: Random) -> None:
    whole = response(data.draw(outputs()))
    outcomes = data.draw(decided(whole["output"]))
    parts = [events_of(item, index, 3) for index, item in enumerate(whole["output"])]
    begun, last = told(response([]))[:2], {"type": "response.completed", "response": whole}
    stream = framed([*begun, *mixed(parts, chance), last])
    cut_at = len(framed(begun))
    ends = stream.rindex(b"event: response.completed")
    editor = ANSWERS.editor(stream[:cut_at])
    out = stream[:cut_at] + editor.calls(stream[cut_at:ends], outcomes) + editor.end(stream[ends:])
    assert_in_order(out)
    assert heard(out) == released(calls_of(whole["output"]), outcomes)
    plain = ANSWERS.edited(RESPONSES, ANSWERS.folded(stream), outcomes)
    assert official.response(out) == official.plain_response(plain)


def test_what_is_said_comes_behind_what_has_gone_out() -> None:
    *events, last = told(response([text("msg_0", "one")]))
    editor = ANSWERS.editor(framed(events))
    out = framed(events) + editor.say("Mind this.") + editor.say("And that.")
    out += editor.end(frame({**last, "sequence_number": len(events)}))
    assert_in_order(out)
    assert [item["content"][0]["text"] for item in official.response(out)["output"]] == [
        "one",
        "Mind this.",
        "And that.",
    ]


def test_events_that_are_not_numbered_stay_so_and_no_id_is_given_twice() -> None:
    stream = framed(told(response([function(1), text("msg_1", "on")])), numbered=False)
    out = sent(frames_of(stream), ANSWERS, lambda call: Spoken("No."))
    assert b"sequence_number" not in out
    items = official.events(out)[-1]["response"]["output"]
    assert [item["id"] for item in items] == ["msg_1", "msg_1_2"]
    assert json.loads(ANSWERS.edited(RESPONSES, ANSWERS.folded(stream), [Spoken("No.")]))["output"] == items


@pytest.mark.parametrize("output", [[], [text("msg_x", "other")]])
def test_an_end_that_tells_less_or_other_ids_is_told_as_it_was_streamed(output: list[Item]) -> None:
    *events, last = told(response([text("msg_0", "one"), function(1)]))
    last = {**last, "response": {**last["response"], "output": output}}
    out = sent(frames_of(framed([*events, last])), ANSWERS, lambda call: Changed("look", "{}"))
    assert_in_order(out)
    assert [item["id"] for item in official.response(out)["output"]] == ["msg_0", "fc_1"]
    assert len(json.loads(ANSWERS.folded(framed([*events, last])))["output"]) == 2


def test_a_message_that_was_cut_is_told_as_the_end_tells_it() -> None:
    kept, cut_off = function(1), {**text("msg_1", "on and"), "status": "incomplete"}
    *events, last = told(response([kept, cut_off], status="incomplete"))
    out = sent(frames_of(framed([*events[:-3], last])), ANSWERS, lambda call: Dropped())
    whole = official.response(out)
    assert (whole["status"], [item["content"][0]["text"] for item in whole["output"]]) == ("incomplete", ["on and"])


def test_what_has_begun_to_go_out_is_ended_before_another_answer_goes_on() -> None:
    events = told(response([text("msg_0", "one and two")]))
    editor = ANSWERS.editor(framed(events[:5]))
    rest = [frame({**event, "sequence_number": 5 + at}) for at, event in enumerate(events[5:])]
    editor.swallow(b"".join(rest))
    editor.begin_again()
    out = framed(events[:5]) + editor.passing(framed(told(response([text("msg_9", "Done.")], "resp_2"))))
    assert_in_order(out)
    assert [item["content"][0]["text"] for item in official.response(out)["output"]] == ["one and two", "Done."]


def test_what_keeps_a_connection_alive_may_have_run_ahead() -> None:
    *events, last = told(response([function(1)]))
    before = framed(events[:2]) + frame({"type": "keepalive", "sequence_number": 9})
    held = b"".join(frame({**event, "sequence_number": 2 + at}) for at, event in enumerate(events[2:]))
    editor = ANSWERS.editor(before)
    out = editor.calls(held, [Spoken("No.")]) + editor.end(frame({**last, "sequence_number": 10}))
    assert [each["sequence_number"] for each in official.events(out)] == [*range(10, 17)]


def test_an_item_that_is_open_cannot_be_gone_on_from() -> None:
    editor = ANSWERS.editor(framed(told(response([text("msg_0", "one")]))[:4]))
    with faulting("open"):
        editor.begin_again()


def test_an_answer_of_which_nothing_went_out_leaves_its_usage_alone() -> None:
    editor = ANSWERS.editor(b"")
    editor.swallow(framed(told(response([text("msg_0", "one")]))))
    editor.begin_again()
    out = editor.passing(framed(told(response([text("msg_0", "two")], "resp_2"))))
    assert_in_order(out)
    whole = official.response(out)
    assert (whole["id"], whole["output"][0]["id"], whole["usage"]["total_tokens"]) == ("resp_2", "msg_0", 74)


def test_a_call_of_a_namespace_keeps_it_where_its_name_says_so() -> None:
    answer = json.dumps(response([function(1, "open", namespace="browser")])).encode()
    for name, expected in (("browser.look", ("look", "browser")), ("look", ("look", None))):
        out = ANSWERS.edited(RESPONSES, answer, [Changed(name, "{}")])
        item = json.loads(out)["output"][0]
        assert (item["name"], item.get("namespace")) == expected
        assert ANSWERS.said(RESPONSES, out).calls[0].name == name


RUN: list[Item] = [
    {"id": "sh", "type": "shell_call", "call_id": "c", "status": "completed", "action": {"commands": ["ls"]},
     "environment": {"type": "container_reference", "container_id": "cntr_1"}},
    {"id": "ts", "type": "tool_search_call", "call_id": "c", "status": "completed", "execution": "server", "arguments": {}},
]  # fmt: skip


@pytest.mark.parametrize("item", RUN, ids=lambda item: str(item["type"]))
@pytest.mark.parametrize("outcome", [Changed("shell_call", "{}"), Spoken("No."), Dropped()])
def test_what_the_provider_has_run_is_never_changed(item: Item, outcome: Outcome) -> None:
    whole = response([item])
    with faulting("run already"):
        ANSWERS.edited(RESPONSES, json.dumps(whole).encode(), [outcome])
    with faulting("run already"):
        sent(frames_of(framed(told(whole))), ANSWERS, lambda call: outcome)
    assert ANSWERS.said(RESPONSES, json.dumps(whole).encode()).finished == "stop"


def test_what_the_provider_runs_once_it_is_approved_can_be_withheld_and_not_changed() -> None:
    whole = json.dumps(response([others(1)[-1]])).encode()
    with faulting("approved"):
        ANSWERS.edited(RESPONSES, whole, [Changed("s.f", '{"a":1}')])
    assert ANSWERS.said(RESPONSES, ANSWERS.edited(RESPONSES, whole, [Spoken("No.")])).text == "No."


@pytest.mark.parametrize("outcomes", [[], [Kept()], [Kept(), Kept(), Kept()]])
def test_each_call_needs_its_decision(outcomes: list[Outcome]) -> None:
    *events, _ = told(response(CALLS))
    with faulting():
        ANSWERS.editor(framed(events[:2])).calls(framed(events[2:]), outcomes)
    with faulting():
        ANSWERS.edited(RESPONSES, json.dumps(response(CALLS)).encode(), outcomes)


def test_no_call_passes_as_text() -> None:
    with faulting("nobody has decided"):
        ANSWERS.editor(b"").passing(framed(told(response(CALLS))))


def test_the_model_is_told_of_each_refusal_after_its_own_items_as_they_came() -> None:
    thought = {"id": "rs_1", "type": "reasoning", "summary": [], "encrypted_content": "sealed"}
    lost = {"id": "rs_2", "type": "reasoning", "summary": []}
    output = [thought, lost, text("msg_1", "So."), function(1, caller={"type": "direct"}), *others(2)]
    refusals = [Refused(call.id, f"No {call.id}.") for call in calls_of(output)]
    request = {"model": "m", "input": "go", "stream": True, "previous_response_id": "resp_0"}
    body = json.loads(ANSWERS.continued(json.dumps(request).encode(), json.dumps(response(output)).encode(), refusals))
    assert body == {**request, "input": body["input"]}
    asked, *said = body["input"]
    assert asked == {"role": "user", "content": "go"}
    items = [item for item in output if item is not lost]
    assert said[: len(items)] == items
    results = said[len(items) :]
    assert [result["type"] for result in results] == [
        "function_call_output", "custom_tool_call_output", "shell_call_output", "local_shell_call_output",
        "apply_patch_call_output", "mcp_approval_response",
    ]  # fmt: skip
    function_, custom, shell, local, patch, approval = results
    assert function_ == {
        "type": "function_call_output", "call_id": "call_1", "output": "No call_1.", "caller": {"type": "direct"},
    }  # fmt: skip
    assert (custom["call_id"], custom["output"], local["id"], local["output"]) == ("call_2", "No call_2.") * 2
    outcome = {"stdout": "", "stderr": "No call_2.", "outcome": {"type": "exit", "exit_code": 1}}
    assert (shell["output"], shell["max_output_length"]) == ([outcome], 100)
    assert (patch["status"], patch["output"]) == ("failed", "No call_2.")
    assert approval == {
        "type": "mcp_approval_response", "approval_request_id": "mcpr_2", "approve": False, "reason": "No mcpr_2.",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "length"),
    [
        ({"input": [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]}, 5),
        ({"previous_response_id": "resp_0"}, 3),
        ({"input": "go", "store": True}, 4),
        ({"input": "go", "conversation": "conv_1"}, 1),
    ],
)
def test_a_request_goes_on_from_whatever_it_began_with(fields: dict[str, Any], length: int) -> None:
    output = [text("msg_1", "So."), function(1)]
    body = ANSWERS.continued(
        json.dumps({"model": "m", **fields}).encode(), json.dumps(response(output)).encode(), [Refused("call_1", "No.")]
    )
    assert len(json.loads(body)["input"]) == length
    assert json.loads(body)["input"][-1] == {"type": "function_call_output", "call_id": "call_1", "output": "No."}


def test_reasoning_that_is_kept_at_the_provider_goes_along() -> None:
    output = [{"id": "rs_2", "type": "reasoning", "summary": []}, function(1)]
    for store, count in ((True, 4), (False, 3)):
        body = ANSWERS.continued(
            json.dumps({"input": "go", "store": store}).encode(),
            json.dumps(response(output)).encode(),
            [Refused("call_1", "No.")],
        )
        assert len(json.loads(body)["input"]) == count


@pytest.mark.parametrize(
    ("item", "refused", "why"),
    [
        (function(1), "call_9", "no refusal"),
        ({"id": "cu", "type": "computer_call", "call_id": "c", "action": {"type": "wait"}}, "c", "cannot be a text"),
        (text("msg_1", "hi"), "c", "no call"),
        (RUN[0], "c", "has run already"),
    ],
)
def test_what_cannot_be_answered_is_not_gone_on_from(item: Item, refused: str, why: str) -> None:
    with faulting(why):
        ANSWERS.continued(b'{"input":"go"}', json.dumps(response([item])).encode(), [Refused(refused, "No.")])


@pytest.mark.parametrize("status", ["queued", "in_progress", "cancelled", None])
def test_a_response_that_is_not_over_is_not_streamed(status: str | None) -> None:
    with faulting("not over", "upstream.broken"):
        ANSWERS.streamed(json.dumps({**response([]), "status": status}).encode())


def test_an_answer_of_our_own_is_a_response() -> None:
    body = ANSWERS.answer_of("Not here.", "gpt", "0123", 5)
    whole = official.plain_response(body)
    assert (whole["id"], whole["model"], whole["created_at"]) == ("resp_0123", "gpt", 5)
    said = ANSWERS.said(RESPONSES, body)
    assert (said.text, said.calls, said.finished) == ("Not here.", (), "stop")
    assert official.response(ANSWERS.streamed(body)) == whole


def test_how_a_response_finished_is_told_in_no_wires_words() -> None:
    assert ANSWERS.said(RESPONSES, json.dumps(response(CALLS)).encode()).finished == "calls"
    assert ANSWERS.said(RESPONSES, json.dumps(response(CALLS, status="incomplete")).encode()).finished == "length"
    filtered = {**response([], status="incomplete"), "incomplete_details": {"reason": "content_filter"}}
    assert ANSWERS.said(RESPONSES, json.dumps(filtered).encode()).finished == "filter"
