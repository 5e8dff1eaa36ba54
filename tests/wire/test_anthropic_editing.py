"""Messages whose calls are changed, said or dropped on their way: one valid message comes out, and all of it agrees."""

from __future__ import annotations

import json
from collections.abc import Sequence
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.wire import official
from tests.wire.edits import NAMES, OBJECTS, OUTCOMES, STEADY, TEXTS, by_order, faulting, mixed, released, sent
from tests.wire.streams import LINE_ENDS, delta, event, read, start, stop

from bawn.terms.exchange import Endpoint
from bawn.terms.frames import End, Frame, HeldCall, TextFrame
from bawn.terms.toolcall import ToolCall
from bawn.wire.anthropic_answers import AnthropicAnswers
from bawn.wire.anthropic_stream import MessageStreamReader
from bawn.wire.editing import Changed, Dropped, Kept, Outcome, Refused, Spoken

ANSWERS = AnthropicAnswers()
MESSAGES = Endpoint.MESSAGES
Block = dict[str, Any]


def opening(message_id: str = "msg_1", **usage: Any) -> bytes:
    message: dict[str, Any] = {
        "id": message_id, "type": "message", "role": "assistant", "model": "c-1", "content": [], "stop_reason": None,
        "stop_sequence": None, "usage": {"input_tokens": 3, "cache_read_input_tokens": 10, "output_tokens": 1, **usage},
    }  # fmt: skip
    return event("message_start", message=message)


def ending(reason: str, output: int = 7) -> list[bytes]:
    told = {"stop_reason": reason, "stop_sequence": None}
    return [event("message_delta", delta=told, usage={"output_tokens": output}), event("message_stop")]


@st.composite
def blocks(draw: st.DrawFn, least: int = 0) -> list[Block]:
    """The content of an answer."""
    kinds = draw(
        st.lists(st.sampled_from(("text", "thinking", "sealed", "call", "call", "hosted")), min_size=least, max_size=5)
    )
    content: list[Block] = []
    for number, kind in enumerate(kinds):
        match kind:
            case "text":
                content.append({"type": "text", "text": draw(TEXTS)})
            case "thinking":
                content.append({"type": "thinking", "thinking": draw(TEXTS), "signature": f"signed{number}"})
            case "sealed":
                content.append({"type": "redacted_thinking", "data": f"sealed{number}"})
            case "call":
                called = {"id": f"toolu_{number}", "name": draw(NAMES), "input": draw(OBJECTS)}
                content.append({"type": "tool_use", **called})
            case "hosted":
                called = {"id": f"srv_{number}", "name": "web_search", "input": draw(OBJECTS)}
                content.append({"type": "server_tool_use", **called})
                content.append({"type": "web_search_tool_result", "tool_use_id": f"srv_{number}", "content": []})
    return content


def told(block: Block, index: int, size: int) -> list[bytes]:
    """The frames of a block, in pieces of `size` letters."""

    def cut(text: str) -> list[str]:
        return [text[at : at + size] for at in range(0, len(text), size)]

    match block["type"]:
        case "text":
            pieces = [delta(index, "text_delta", text=piece) for piece in cut(block["text"])]
            return [start(index, type="text", text=""), *pieces, stop(index)]
        case "thinking":
            pieces = [delta(index, "thinking_delta", thinking=piece) for piece in cut(block["thinking"])]
            pieces.append(delta(index, "signature_delta", signature=block["signature"]))
            return [start(index, type="thinking", thinking="", signature=""), *pieces, stop(index)]
        case "tool_use" | "server_tool_use":
            pieces = [delta(index, "input_json_delta", partial_json=piece) for piece in cut(json.dumps(block["input"]))]
            return [start(index, **{**block, "input": {}}), *pieces, stop(index)]
        case _:
            return [start(index, **block), stop(index)]


@st.composite
def streams(draw: st.DrawFn, least: int = 0, message_id: str = "msg_1") -> tuple[list[Block], bytes]:
    content = draw(blocks(least))
    size = draw(st.integers(1, 9))
    frames = [frame for index, block in enumerate(content) for frame in told(block, index, size)]
    reason = "tool_use" if any(block["type"] == "tool_use" for block in content) else "end_turn"
    frames = [opening(message_id), event("ping"), *frames, b": still there\n\n", *ending(reason)]
    end = LINE_ENDS[draw(st.sampled_from(sorted(LINE_ENDS)))]
    return content, end(b"".join(frames))


def calls_of(content: Sequence[Block]) -> list[ToolCall]:
    return [ToolCall(each["id"], each["name"], json.dumps(each["input"])) for each in content if "input" in each]


@st.composite
def decided(draw: st.DrawFn, content: Sequence[Block]) -> list[Outcome]:
    """An outcome for each call; what the provider has run is kept."""
    here = [block["type"] == "tool_use" for block in content if "input" in block]
    return [draw(OUTCOMES) if each else Kept() for each in here]


def frames_of(stream: bytes) -> list[Frame]:
    return read(MessageStreamReader(), [stream])


def heard(stream: bytes) -> list[tuple[str, str, Any]]:
    """The calls that a reader of this wire finds, their inputs as values."""
    held = [frame for frame in frames_of(stream) if isinstance(frame, HeldCall)]
    assert isinstance(frames_of(stream)[-1], End)
    return values([call for frame in held for call in frame.calls])


def values(calls: Sequence[ToolCall]) -> list[tuple[str, str, Any]]:
    return [(call.id, call.name, json.loads(call.arguments_raw or "{}")) for call in calls]


def assert_in_order(stream: bytes) -> None:
    """One message: it begins and ends once, its blocks are numbered without holes, each begins and stops once."""
    events = official.events(stream)
    kinds = [each["type"] for each in events]
    assert [kinds.count(kind) for kind in ("message_start", "message_delta", "message_stop")] == [1, 1, 1]
    assert kinds[0] == "message_start"
    assert kinds[-2:] == ["message_delta", "message_stop"]
    begun = [each["index"] for each in events if each["type"] == "content_block_start"]
    stopped = [each["index"] for each in events if each["type"] == "content_block_stop"]
    assert begun == list(range(len(begun)))
    assert sorted(stopped) == begun


@STEADY
@given(data=st.data())
def test_what_goes_out_is_one_message_that_says_what_was_decided(data: st.DataObject) -> None:
    content, stream = data.draw(streams())
    outcomes = data.draw(decided(content))
    out = sent(frames_of(stream), ANSWERS, by_order(outcomes))
    assert heard(out) == values(released(calls_of(content), outcomes))
    assert_in_order(out)
    plain = ANSWERS.edited(MESSAGES, ANSWERS.folded(stream), outcomes)
    assert official.message(out) == official.plain_message(plain)
    assert ANSWERS.said(MESSAGES, ANSWERS.folded(out)) == ANSWERS.said(MESSAGES, plain)


@STEADY
@given(data=st.data())
def test_a_message_that_nobody_changes_goes_through_an_editor_byte_for_byte(data: st.DataObject) -> None:
    _, stream = data.draw(streams())
    frames = frames_of(stream)
    out = sent(frames, ANSWERS, lambda call: Kept(), ANSWERS.editor(b""))
    ends = out.rfind(b"event: message_delta")
    assert out[:ends] == stream[:ends]
    assert official.events(out) == official.events(stream)


@STEADY
@given(stream=streams())
def test_a_message_that_is_folded_and_streamed_again_says_the_same(stream: tuple[list[Block], bytes]) -> None:
    content, came = stream
    whole = ANSWERS.folded(came)
    assert json.loads(whole)["content"] == content
    assert official.message(came) == official.plain_message(whole)
    again = ANSWERS.streamed(whole)
    assert official.message(again) == official.plain_message(whole)
    assert ANSWERS.said(MESSAGES, ANSWERS.folded(again)) == ANSWERS.said(MESSAGES, whole)
    assert_in_order(again)


def withheld(frames: Sequence[Frame]) -> tuple[bytes, Any]:
    """An answer of whose calls none goes out, up to where another one is to go on: what went out, and the editor."""
    editor, out = ANSWERS.editor(b""), b""
    for frame in frames:
        if isinstance(frame, HeldCall):
            out += editor.calls(frame.data, [Dropped() if b'"tool_use"' in frame.data else Kept()] * len(frame.calls))
        elif isinstance(frame, TextFrame):
            out += editor.passing(frame.data)
        elif isinstance(frame, End):
            editor.swallow(frame.data)
    editor.begin_again()
    return out, editor


@STEADY
@given(data=st.data())
def test_two_answers_are_read_as_one_message(data: st.DataObject) -> None:
    first, before = data.draw(streams())
    second, after = data.draw(streams(message_id="msg_2"))
    for block in second:
        block["id"] = f"again_{block['id']}" if "id" in block else block.get("id")
    outcomes = data.draw(decided(second))
    out, editor = withheld(frames_of(before))
    out += sent(frames_of(after), ANSWERS, by_order(outcomes), editor)
    assert_in_order(out)
    dropped = [Dropped() if block["type"] == "tool_use" else Kept() for block in first if "input" in block]
    plain = ANSWERS.joined(
        ANSWERS.edited(MESSAGES, ANSWERS.folded(before), dropped),
        ANSWERS.edited(MESSAGES, ANSWERS.folded(after), outcomes),
    )
    assert official.message(out) == official.plain_message(plain)
    whole = official.message(out)
    assert (whole["id"], whole["usage"]["output_tokens"], whole["usage"]["input_tokens"]) == ("msg_1", 14, 6)
    assert whole["usage"]["cache_read_input_tokens"] == 20
    assert b"msg_2" not in out


def interleaved() -> list[bytes]:
    """A text and two calls whose pieces are mixed, as they stand in one held group."""
    return [
        start(1, type="tool_use", id="a", name="read", input={}), start(2, type="text", text=""),
        delta(1, "input_json_delta", partial_json='{"x":'), start(3, type="tool_use", id="b", name="list", input={}),
        delta(2, "text_delta", text="by the way"), delta(3, "input_json_delta", partial_json="{}"), b": still there\n\n",
        delta(1, "input_json_delta", partial_json="1}"), stop(3), stop(2), stop(1),
    ]  # fmt: skip


@pytest.mark.parametrize("one", [Kept(), Changed("look", '{"y":2}'), Spoken("No."), Dropped()])
@pytest.mark.parametrize("two", [Kept(), Changed("look", '{"y":2}'), Spoken("No."), Dropped()])
def test_text_among_the_frames_of_calls_keeps_its_place(one: Outcome, two: Outcome) -> None:
    before = opening() + start(0, type="text", text="") + delta(0, "text_delta", text="so") + stop(0)
    editor = ANSWERS.editor(before)
    out = before + editor.calls(b"".join(interleaved()), [one, two]) + editor.end(b"".join(ending("tool_use")))
    assert_in_order(out)
    calls = [ToolCall("a", "read", '{"x":1}'), ToolCall("b", "list", "{}")]
    assert heard(out) == values(released(calls, [one, two]))
    said: dict[type[Outcome], list[str]] = {Spoken: ["No."]}
    expected = ["so", *said.get(type(one), []), "by the way", *said.get(type(two), [])]
    content = official.message(out)["content"]
    assert [block["text"] for block in content if block["type"] == "text"] == expected
    assert b": still there\n\n" in out


@STEADY
@given(data=st.data(), chance=st.randoms(use_true_random=False))
def test_however_the_pieces_of_blocks_are_mixed_each_goes_to_its_own(data: st.DataObject, chance: Random) -> None:
    content = data.draw(blocks(least=1))
    outcomes = data.draw(decided(content))
    frames = mixed([told(block, index, 3) for index, block in enumerate(content)], chance)
    ends = b"".join(ending("tool_use"))
    editor = ANSWERS.editor(opening())
    out = opening() + editor.calls(b"".join(frames), outcomes) + editor.end(ends)
    assert_in_order(out)
    plain = ANSWERS.edited(MESSAGES, ANSWERS.folded(b"".join([opening(), *frames, ends])), outcomes)
    assert official.message(out) == official.plain_message(plain)


@pytest.mark.parametrize(
    ("outcomes", "reason"),
    [
        ([Kept(), Dropped()], "tool_use"),
        ([Spoken("No."), Changed("look", "{}")], "tool_use"),
        ([Spoken("No."), Dropped()], "end_turn"),
        ([Dropped(), Dropped()], "end_turn"),
    ],
)
def test_a_message_ends_as_a_finished_turn_where_no_call_goes_out(outcomes: list[Outcome], reason: str) -> None:
    calls = [{"type": "tool_use", "id": f"t{number}", "name": "read", "input": {"a": number}} for number in range(2)]
    frames = [frame for index, block in enumerate(calls) for frame in told(block, index, 4)]
    stream = b"".join([opening(), *frames, *ending("tool_use")])
    out = sent(frames_of(stream), ANSWERS, by_order(outcomes))
    assert official.message(out)["stop_reason"] == reason
    assert json.loads(ANSWERS.edited(MESSAGES, ANSWERS.folded(stream), outcomes))["stop_reason"] == reason


def test_a_message_that_was_cut_by_its_length_says_so_without_its_calls() -> None:
    stream = b"".join([opening(), *told({"type": "tool_use", "id": "t", "name": "f", "input": {}}, 0, 9)])
    stream += b"".join(ending("max_tokens"))
    assert official.message(sent(frames_of(stream), ANSWERS, lambda call: Dropped()))["stop_reason"] == "max_tokens"


def test_what_is_said_comes_behind_what_has_gone_out_even_within_a_block() -> None:
    before = opening() + start(0, type="text", text="") + delta(0, "text_delta", text="on")
    editor = ANSWERS.editor(before)
    out = before + editor.say("Mind this.") + editor.passing(delta(0, "text_delta", text="e") + stop(0))
    out += editor.end(b"".join(ending("end_turn")))
    assert_in_order(out)
    assert [block["text"] for block in official.message(out)["content"]] == ["one", "Mind this."]


def test_a_block_that_is_open_when_another_answer_goes_on_is_closed() -> None:
    before = opening() + start(0, type="text", text="") + delta(0, "text_delta", text="hm")
    editor = ANSWERS.editor(before)
    editor.begin_again()
    out = before + editor.passing(opening("msg_2") + b"".join(told({"type": "text", "text": "Done."}, 0, 9)))
    out += editor.end(b"".join(ending("end_turn")))
    assert_in_order(out)
    assert [block["text"] for block in official.message(out)["content"]] == ["hm", "Done."]


def test_what_has_begun_to_go_out_is_ended_with_what_is_swallowed() -> None:
    before = opening() + start(0, type="text", text="") + delta(0, "text_delta", text="one")
    call = b"".join(told({"type": "tool_use", "id": "t", "name": "f", "input": {}}, 1, 9))
    later = b"".join(told({"type": "text", "text": "never said"}, 2, 9))
    editor = ANSWERS.editor(before)
    editor.swallow(call + delta(0, "text_delta", text=" and two") + stop(0) + later + b"".join(ending("tool_use")))
    editor.begin_again()
    out = before + editor.passing(opening("msg_2")) + editor.end(b"".join(ending("end_turn")))
    assert_in_order(out)
    assert [block["text"] for block in official.message(out)["content"]] == ["one and two"]


def test_an_answer_of_which_nothing_went_out_leaves_its_usage_alone() -> None:
    editor = ANSWERS.editor(b"")
    editor.swallow(opening() + b"".join(ending("tool_use")))
    editor.begin_again()
    out = editor.passing(opening("msg_2")) + editor.passing(b"".join(told({"type": "text", "text": "Hi."}, 0, 9)))
    out += editor.end(b"".join(ending("end_turn")))
    whole = official.message(out)
    assert (whole["id"], whole["usage"]["output_tokens"], whole["usage"]["input_tokens"]) == ("msg_2", 14, 6)


def test_calls_that_have_gone_out_are_still_to_be_run_when_another_answer_finishes() -> None:
    call = b"".join(told({"type": "tool_use", "id": "t", "name": "f", "input": {}}, 0, 9))
    editor = ANSWERS.editor(opening(iterations=[{"input_tokens": 3}]))
    out = opening() + editor.calls(call, [Kept()])
    editor.swallow(b"".join(ending("tool_use")))
    editor.begin_again()
    out += editor.passing(opening("msg_2", iterations=[{"input_tokens": 4}]))
    last = event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 1, "iterations": None})
    out += editor.end(last + event("message_stop"))
    assert official.message(out)["stop_reason"] == "tool_use"
    assert official.events(out)[-2]["usage"]["iterations"] == [{"input_tokens": 3}, {"input_tokens": 4}]


def test_a_call_of_a_set_keeps_its_set_where_its_name_says_so() -> None:
    call = {"type": "tool_use", "id": "t", "name": "open", "toolset_name": "browser", "input": {}}
    answer = json.dumps({"id": "m", "content": [call], "stop_reason": "tool_use"}).encode()
    for name, expected in (("browser.look", ("look", "browser")), ("look", ("look", None))):
        changed = json.loads(ANSWERS.edited(MESSAGES, answer, [Changed(name, "{}")]))["content"][0]
        assert (changed["name"], changed.get("toolset_name")) == expected
        assert ANSWERS.said(MESSAGES, json.dumps({"content": [changed]}).encode()).calls[0].name == name


@pytest.mark.parametrize("kind", ["server_tool_use", "mcp_tool_use"])
@pytest.mark.parametrize("outcome", [Changed("f", "{}"), Spoken("No."), Dropped()])
def test_what_the_provider_has_run_is_never_changed(kind: str, outcome: Outcome) -> None:
    call = {"type": kind, "id": "s", "name": "f", "input": {}}
    with faulting("run already"):
        ANSWERS.edited(MESSAGES, json.dumps({"content": [call], "stop_reason": "end_turn"}).encode(), [outcome])
    with faulting("run already"):
        ANSWERS.editor(opening()).calls(b"".join([start(0, **call), stop(0)]), [outcome])


@pytest.mark.parametrize("outcomes", [[], [Kept()], [Kept(), Kept(), Kept()]])
def test_each_call_needs_its_decision(outcomes: list[Outcome]) -> None:
    with faulting():
        ANSWERS.editor(opening()).calls(b"".join(interleaved()), outcomes)


def test_no_call_passes_as_text() -> None:
    editor = ANSWERS.editor(opening())
    with faulting("nobody has decided"):
        editor.passing(start(0, type="tool_use", id="t", name="f", input={}))


@pytest.mark.parametrize("arguments", ["", "[1]", "{", '{"a":1,"a":2}', '{"a":"\\ud800"}'])
def test_changed_arguments_are_one_object(arguments: str) -> None:
    call = {"type": "tool_use", "id": "t", "name": "f", "input": {}}
    with faulting():
        ANSWERS.edited(MESSAGES, json.dumps({"content": [call]}).encode(), [Changed("f", arguments)])


def test_the_model_is_told_of_each_refusal_after_its_own_turn_as_it_came() -> None:
    said: list[Block] = [
        {"type": "thinking", "thinking": "Hm.", "signature": "xyz"}, {"type": "redacted_thinking", "data": "abc"},
        {"type": "text", "text": "So."}, {"type": "text", "text": ""},
        {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"q": 1}},
        {"type": "web_search_tool_result", "tool_use_id": "s", "content": []},
        {"type": "tool_use", "id": "a", "name": "rm", "input": {"path": "/"}},
        {"type": "tool_use", "id": "b", "name": "ls", "input": {}},
    ]  # fmt: skip
    request = {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "go"}], "stream": True}
    refusals = [Refused("b", "Not now."), Refused("a", "Never.")]
    body = ANSWERS.continued(json.dumps(request).encode(), json.dumps({"content": said}).encode(), refusals)
    *asked, turn, results = json.loads(body)["messages"]
    assert asked == request["messages"]
    assert turn == {"role": "assistant", "content": [block for block in said if block.get("text") != ""]}
    assert results["role"] == "user"
    assert [(each["tool_use_id"], each["is_error"], each["content"][0]["text"]) for each in results["content"]] == [
        ("a", True, "Never."), ("b", True, "Not now."),
    ]  # fmt: skip
    assert {name: value for name, value in json.loads(body).items() if name != "messages"} == {
        name: value for name, value in request.items() if name != "messages"
    }


@pytest.mark.parametrize("begun", ["The answer is", [{"type": "text", "text": "The answer is"}]])
def test_a_turn_that_the_request_began_is_gone_on_with(begun: Any) -> None:
    request = {"messages": [{"role": "user", "content": "go"}, {"role": "assistant", "content": begun}]}
    call = {"type": "tool_use", "id": "a", "name": "rm", "input": {}}
    body = ANSWERS.continued(
        json.dumps(request).encode(), json.dumps({"content": [call]}).encode(), [Refused("a", "No.")]
    )
    roles = [(message["role"], len(message["content"])) for message in json.loads(body)["messages"]]
    assert roles == [("user", 2), ("assistant", 2), ("user", 1)]


def test_a_call_that_nobody_refused_is_not_gone_on_from() -> None:
    request, call = b'{"messages":[]}', {"type": "tool_use", "id": "a", "name": "rm", "input": {}}
    with faulting("no refusal"):
        ANSWERS.continued(request, json.dumps({"content": [call]}).encode(), [Refused("b", "No.")])


def test_arguments_that_are_not_json_reach_the_model_as_what_they_are() -> None:
    call = [
        start(0, type="tool_use", id="a", name="rm", input={}),
        delta(0, "input_json_delta", partial_json='{"a":'),
        stop(0),
    ]
    whole = json.loads(ANSWERS.folded(b"".join([opening(), *call, *ending("tool_use")])))
    assert whole["content"][0]["input"] == {"INVALID_JSON": '{"a":'}


def test_citations_and_other_words_of_the_end_come_through_both_ways() -> None:
    cited = {
        "type": "char_location", "cited_text": "x", "document_index": 0, "document_title": None, "file_id": None,
        "start_char_index": 0, "end_char_index": 1,
    }  # fmt: skip
    frames = [start(0, type="text", text="", citations=[]), delta(0, "text_delta", text="x")]
    frames += [delta(0, "citations_delta", citation=cited), stop(0)]
    reason = {"stop_reason": "refusal", "stop_sequence": None, "stop_details": None}
    stream = b"".join(
        [opening(), *frames, event("message_delta", delta=reason, usage={"output_tokens": 2}), event("message_stop")]
    )
    whole = ANSWERS.folded(stream)
    assert json.loads(whole)["content"][0] == {"type": "text", "text": "x", "citations": [cited]}
    assert official.message(ANSWERS.streamed(whole)) == official.plain_message(whole) == official.message(stream)
    assert ANSWERS.said(MESSAGES, whole).finished == "filter"


def test_a_piece_of_an_unknown_kind_is_not_folded_away() -> None:
    with faulting("not known", "upstream.broken"):
        ANSWERS.folded(b"".join([opening(), start(0, type="text", text=""), delta(0, "robot_delta", x=1), stop(0)]))


def test_an_answer_of_our_own_is_a_message() -> None:
    body = ANSWERS.answer_of("Not here.", "claude", "0123", 1)
    whole = official.plain_message(body)
    assert (whole["id"], whole["model"], whole["content"]) == (
        "msg_0123", "claude", [{"type": "text", "text": "Not here."}],
    )  # fmt: skip
    said = ANSWERS.said(MESSAGES, body)
    assert (said.text, said.calls, said.finished) == ("Not here.", (), "stop")
    assert official.message(ANSWERS.streamed(body)) == whole
