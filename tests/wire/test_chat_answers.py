"""Chat completions that are changed on their way, plain and streamed: what a client reads is what was decided."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types import Completion
from openai.types.chat import ChatCompletion, ChatCompletionChunk, ChatCompletionMessageParam
from pydantic import TypeAdapter
from tests.wire.editing import Decide, Edited, by_bytes, calls_of, edited
from tests.wire.streams import CHAT, DONE, LINE_ENDS, USAGE, call, chunk

from bawn.errors import Fault
from bawn.terms.exchange import Endpoint, WireName
from bawn.terms.toolcall import ToolCall
from bawn.wire import Route, wire
from bawn.wire.answers import answers
from bawn.wire.editing import Changed, Dropped, Kept, Outcome, Refused, Said, Spoken

OPENAI = WireName.OPENAI
FORMS = answers(OPENAI)
TALK = Endpoint.CHAT_COMPLETIONS
NO = "No, not that."
OUTCOMES: list[Outcome] = [Kept(), Changed("other", '{"b": 2}'), Spoken(NO), Dropped()]
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


def all_are(outcome: Outcome) -> Decide:
    return lambda call: outcome


def custom(index: int, said: str, **more: Any) -> dict[str, Any]:
    name = {"name": more.pop("name")} if "name" in more else {}
    return {"tool_calls": [{"index": index, **more, "custom": {**name, "input": said}}]}


@st.composite
def choices(draw: st.DrawFn, number: int, tools: tuple[str, ...]) -> list[bytes]:
    """The frames of one choice: what it thinks, says and calls."""
    frames = [chunk({"role": "assistant", "content": ""}, choice=number)] if draw(st.booleans()) else []
    said = [{"reasoning_content": draw(TEXTS)}, *({"content": text} for text in draw(st.lists(TEXTS, max_size=3)))]
    frames += [chunk(delta, choice=number) for delta in said if draw(st.booleans())]
    reason = "stop"
    for index in range(draw(st.integers(0, 3))):
        reason, call_id, name = "tool_calls", f"c{number}{index}", draw(st.sampled_from(tools))
        pieces = draw(st.lists(TEXTS, max_size=3)) if name == "sh" else ['{"a', '":1}'][: draw(st.integers(0, 2))]
        if name == "sh":
            deltas = [custom(index, "", name=name, id=call_id, type="custom"), *(custom(index, p) for p in pieces)]
        else:
            deltas = [call(index, "", name=name, call_id=call_id), *(call(index, piece) for piece in pieces)]
        frames += [chunk(delta, choice=number) for delta in deltas]
    return [*frames, chunk({}, choice=number, finish=draw(st.sampled_from([reason, "length"])))]


@st.composite
def streams(draw: st.DrawFn, most: int = 2, tools: tuple[str, ...] = ("read", "write", "sh")) -> bytes:
    """Choices in any mixture that keeps the order of each."""
    waiting = [draw(choices(number, tools)) for number in range(draw(st.integers(1, most)))]
    mixed: list[bytes] = []
    while waiting:
        chosen = draw(st.sampled_from(waiting))
        mixed.append(chosen.pop(0))
        waiting = [each for each in waiting if each]
    usage = [chunk(usage=USAGE)] if draw(st.booleans()) else []
    return b"".join([*mixed, *usage, DONE])


OFFICIAL = ("read", "write")
"""The official package knows no stream in which a tool takes a text."""
DECISIONS = st.dictionaries(
    st.sampled_from([f"c{n}{i}" for n in range(2) for i in range(3)]), st.sampled_from(OUTCOMES)
)


def decide_by(decisions: dict[str, Outcome]) -> Decide:
    return lambda call: decisions.get(call.id, Kept())


def read_officially(stream: bytes) -> ChatCompletion:
    """What the official package makes of a stream."""
    state: Any = ChatCompletionStreamState()
    told = payloads(stream)
    numbers = {choice["index"] for each in told for choice in each["choices"]}
    # It wants all choices in order when it begins, which no provider promises.
    opening = [{"index": number, "delta": {}, "finish_reason": None} for number in sorted(numbers)]
    for each in ({**told[0], "choices": opening}, *told):
        state.handle_chunk(ChatCompletionChunk.model_validate(each))
    completion: ChatCompletion = state.current_completion_snapshot
    return completion


def payloads(stream: bytes) -> list[dict[str, Any]]:
    return [json.loads(frame[6:]) for frame in stream.split(b"\n\n") if frame.startswith(b"data: {")]


def after(call: ToolCall, outcome: Outcome) -> list[ToolCall]:
    match outcome:
        case Kept():
            return [call]
        case Changed(name=name, arguments=arguments):
            return [ToolCall(call.id, name, arguments, free=call.free)]
        case _:
            return []


@given(stream=streams(), decisions=DECISIONS)
def test_a_client_gets_the_calls_as_they_were_decided(stream: bytes, decisions: dict[str, Outcome]) -> None:
    decide = decide_by(decisions)
    out = edited(OPENAI, [stream], decide)
    expected = [each for call in calls_of(OPENAI, stream) for each in after(call, decide(call))]
    assert sorted(calls_of(OPENAI, out), key=lambda call: call.id) == sorted(expected, key=lambda call: call.id)
    assert out.count(DONE) == 1
    assert out.endswith(DONE)


@settings(max_examples=20)
@given(stream=streams(), decisions=DECISIONS)
def test_what_goes_out_does_not_hang_on_how_the_bytes_come(stream: bytes, decisions: dict[str, Outcome]) -> None:
    decide = decide_by(decisions)
    assert edited(OPENAI, by_bytes(stream), decide) == edited(OPENAI, [stream], decide)


@given(stream=streams(), decisions=DECISIONS)
def test_plain_and_streamed_answers_are_edited_alike(stream: bytes, decisions: dict[str, Outcome]) -> None:
    decide, body = decide_by(decisions), FORMS.folded(stream)
    calls = wire(OPENAI).read_answer(TALK, body).calls
    whole = FORMS.edited(TALK, body, [decide(call) for call in calls])
    ChatCompletion.model_validate_json(whole)
    assert FORMS.said(TALK, FORMS.folded(edited(OPENAI, [stream], decide))) == FORMS.said(TALK, whole)


@given(stream=streams(tools=OFFICIAL), decisions=DECISIONS)
def test_the_official_package_reads_an_edited_stream_as_we_do(stream: bytes, decisions: dict[str, Outcome]) -> None:
    out = edited(OPENAI, [stream], decide_by(decisions))
    ours = json.loads(FORMS.folded(out))
    theirs = json.loads(read_officially(out).model_dump_json())
    assert [choice["index"] for choice in theirs["choices"]] == [choice["index"] for choice in ours["choices"]]
    for mine, other in zip(ours["choices"], theirs["choices"], strict=True):
        assert other["finish_reason"] == mine["finish_reason"]
        assert (other["message"]["content"] or "") == (mine["message"]["content"] or "")
        theirs_calls = [call.get("function") or call.get("custom") for call in other["message"]["tool_calls"] or ()]
        mine_calls = [call.get("function") or call.get("custom") for call in mine["message"].get("tool_calls") or ()]
        names = ("name", "arguments", "input")
        assert [{name: each.get(name) or "" for name in names} for each in theirs_calls] == [
            {name: each.get(name) or "" for name in names} for each in mine_calls
        ]


@given(stream=streams())
def test_calls_behind_a_change_keep_their_frames_byte_for_byte_when_nothing_has_to_be_renumbered(stream: bytes) -> None:
    first: list[str] = []

    def decide(call: ToolCall) -> Outcome:
        first.append(call.id)
        return Changed(call.name, call.arguments_raw) if len(first) == 1 else Kept()

    out = edited(OPENAI, [stream], decide)
    assert calls_of(OPENAI, out) == calls_of(OPENAI, stream)
    left = iter(out.split(b"\n\n"))
    assert all(frame in left for frame in stream.split(b"\n\n") if not first or not _tells(frame, first[0]))


def _tells(frame: bytes, call_id: str) -> bool:
    """Whether a frame brings a piece of that call."""
    told = [choice for chunk_ in payloads(frame + b"\n\n") for choice in chunk_["choices"]]
    return any(
        call_id == f"c{choice['index']}{piece['index']}"
        for choice in told
        for piece in choice["delta"].get("tool_calls", ())
    )


@pytest.mark.parametrize("line_end", LINE_ENDS)
@pytest.mark.parametrize("story", CHAT)
def test_every_recorded_shape_is_read_as_it_was_when_nothing_of_it_was_changed_in_truth(
    story: str, line_end: str
) -> None:
    stream = LINE_ENDS[line_end](b"".join(CHAT[story]))
    out = edited(OPENAI, [stream], lambda call: Changed(call.name, call.arguments_raw))
    assert calls_of(OPENAI, out) == calls_of(OPENAI, stream)
    assert FORMS.said(TALK, FORMS.folded(out)) == FORMS.said(TALK, FORMS.folded(stream))
    assert edited(OPENAI, [stream], all_are(Kept())) == stream


@given(stream=streams())
def test_what_is_folded_and_streamed_again_says_the_same(stream: bytes) -> None:
    body = FORMS.folded(stream)
    ChatCompletion.model_validate_json(body)
    again = FORMS.folded(FORMS.streamed(body))
    assert FORMS.said(TALK, again) == FORMS.said(TALK, body)
    before, after_it = json.loads(body), json.loads(again)
    for name in ("id", "model", "created", "usage"):
        assert after_it.get(name) == before.get(name)
    for choice, other in zip(before["choices"], after_it["choices"], strict=True):
        assert {key: value or None for key, value in other["message"].items()} == {
            key: value or None for key, value in choice["message"].items()
        }


@given(stream=streams(tools=OFFICIAL))
def test_the_official_package_reads_what_was_made_a_stream(stream: bytes) -> None:
    body = FORMS.folded(stream)
    ours = json.loads(body)["choices"]
    for choice, theirs in zip(ours, read_officially(FORMS.streamed(body)).choices, strict=True):
        assert (theirs.message.content or "") == (choice["message"]["content"] or "")
        assert len(theirs.message.tool_calls or ()) == len(choice["message"].get("tool_calls", ()))
        assert (theirs.finish_reason, theirs.message.role) == (choice["finish_reason"], "assistant")


@given(first=streams(most=1, tools=OFFICIAL), second=streams(most=1, tools=OFFICIAL))
def test_an_answer_goes_on_behind_one_whose_calls_were_withheld(first: bytes, second: bytes) -> None:
    assume(calls_of(OPENAI, first))
    second = second.replace(b"chatcmpl-1", b"chatcmpl-2").replace(b'"m-1"', b'"m-2"').replace(b'"c0', b'"d0')
    stream = Edited(OPENAI)
    stream.refused(first)
    out = stream.answer([second], all_are(Kept()))
    assert {(each["id"], each["model"]) for each in payloads(out)} == {("chatcmpl-1", "m-1")}
    assert out.count(DONE) == 1
    used = [each["usage"]["total_tokens"] for each in payloads(out) if each.get("usage")]
    assert used[-1:] == ([14 * ((b"total" in first) + (b"total" in second))] if b"total" in first + second else [])
    assert len(used) <= 1
    theirs = read_officially(out).choices[0]
    assert theirs.message.role in (("assistant",) if b'"role"' in second else ("assistant", None))
    assert theirs.finish_reason == json.loads(FORMS.folded(second))["choices"][0]["finish_reason"]
    joined = FORMS.joined(FORMS.folded(first), FORMS.folded(second))
    ChatCompletion.model_validate_json(joined)
    assert FORMS.said(TALK, joined) == FORMS.said(TALK, FORMS.folded(out))
    assert json.loads(joined).get("usage") == json.loads(FORMS.folded(out)).get("usage")


def test_words_stand_where_the_call_was_and_later_calls_are_numbered_without_holes() -> None:
    parts = [
        chunk({"role": "assistant", "content": "Let me see."}),
        chunk(call(0, "{}", name="rm", call_id="a")),
        chunk(call(1, '{"x"', name="read", call_id="b")),
        chunk(call(1, ":1}")),
        chunk({"content": "Done."}),
        chunk({}, finish="tool_calls"),
        DONE,
    ]
    out = edited(OPENAI, parts, lambda call: Spoken(NO) if call.name == "rm" else Kept())
    told = read_officially(out).choices[0]
    assert told.message.content == f"Let me see.\n\n{NO}\n\nDone."
    [left] = list(told.message.tool_calls or ())
    assert (left.id, left.type) == ("b", "function")
    assert [
        each["index"] for chunk_ in payloads(out) for each in chunk_["choices"][0]["delta"].get("tool_calls", [])
    ] == [
        0,
        0,
    ]
    assert told.finish_reason == "tool_calls"


@pytest.mark.parametrize(
    ("reason", "becomes"), [("tool_calls", "stop"), ("function_call", "stop"), ("length", "length")]
)
@pytest.mark.parametrize("outcome", [Spoken(NO), Dropped()])
def test_a_message_without_calls_has_stopped(reason: str, becomes: str, outcome: Outcome) -> None:
    delta = {"function_call": {"name": "rm", "arguments": "{}"}} if reason == "function_call" else call(
        0, "{}", name="rm", call_id="a"
    )  # fmt: skip
    stream = b"".join([chunk({"role": "assistant", **delta}), chunk({}, finish=reason), DONE])
    out = edited(OPENAI, [stream], all_are(outcome))
    told = read_officially(out).choices[0]
    assert (told.finish_reason, told.message.role) == (becomes, "assistant")
    assert (told.message.content or "") == (NO if isinstance(outcome, Spoken) else "")
    whole = ChatCompletion.model_validate_json(FORMS.edited(TALK, FORMS.folded(stream), [outcome])).choices[0]
    assert (whole.finish_reason, whole.message.tool_calls, whole.message.function_call) == (becomes, None, None)


def test_the_call_of_an_older_client_is_changed_as_one_frame() -> None:
    out = edited(OPENAI, CHAT["a function call"], all_are(Changed("write", '{"b":2}')))
    assert calls_of(OPENAI, out) == [ToolCall("", "write", '{"b":2}')]
    legacy = [each for each in payloads(out) if "function_call" in each["choices"][0]["delta"]]
    assert len(legacy) == 1


def test_a_frame_with_several_calls_is_taken_apart() -> None:
    both = {"tool_calls": [*call(0, "{}", name="a", call_id="1")["tool_calls"], *call(1, "{}", name="b", call_id="2")["tool_calls"]]}  # fmt: skip  # noqa: E501
    stream = [chunk(both), chunk({}, finish="tool_calls"), DONE]
    out = edited(OPENAI, stream, lambda call: Dropped() if call.name == "a" else Kept())
    assert calls_of(OPENAI, out) == [ToolCall("2", "b", "{}")]
    assert payloads(out)[0]["choices"][0]["delta"]["tool_calls"][0]["index"] == 0


def test_what_stands_beside_a_changed_call_stays() -> None:
    piece = call(0, "{}", name="a", call_id="1")
    piece["tool_calls"][0]["extra_content"] = {"google": {"thought_signature": "abc"}}
    out = edited(OPENAI, [chunk(piece), chunk({}, finish="tool_calls"), DONE], all_are(Changed("b", "{}")))
    [told] = payloads(out)[0]["choices"][0]["delta"]["tool_calls"]
    assert told["extra_content"] == {"google": {"thought_signature": "abc"}}
    assert told["function"] == {"name": "b", "arguments": "{}"}


def test_counts_in_every_frame_are_those_of_all_answers_so_far() -> None:
    def used(count: int) -> dict[str, Any]:
        return {"prompt_tokens": count, "completion_tokens": 1, "total_tokens": count + 1}

    stream = Edited(OPENAI)
    stream.refused(chunk(call(0, "{}", name="rm", call_id="a"), finish="tool_calls", usage=used(5)) + DONE)
    out = stream.answer(
        [chunk({"content": "a"}, usage=used(7)), chunk({}, finish="stop", usage=used(8)), DONE], all_are(Kept())
    )
    assert [each["usage"] for each in payloads(out)] == [summed(used(7), used(5)), summed(used(8), used(5))]


def summed(first: dict[str, int], second: dict[str, int]) -> dict[str, int]:
    return {name: first[name] + second[name] for name in first}


def test_pieces_of_reasoning_are_numbered_behind_those_of_the_answer_before() -> None:
    def thought(text: str) -> bytes:
        return chunk({"reasoning_details": [{"type": "reasoning.text", "index": 0, "text": text, "signature": "s"}]})

    stream = Edited(OPENAI)
    stream.refused(thought("one") + chunk(call(0, "{}", name="rm", call_id="a"), finish="tool_calls") + DONE)
    out = stream.answer([thought("two"), thought("three"), chunk({}, finish="stop"), DONE], all_are(Kept()))
    details = json.loads(FORMS.folded(out))["choices"][0]["message"]["reasoning_details"]
    assert [(each["index"], each["text"]) for each in details] == [(0, "one"), (1, "twothree")]


def test_words_can_be_said_before_anything_else_and_behind_it() -> None:
    editor = FORMS.editor(b"")
    out = editor.say("Wait.") + editor.passing(chunk({"role": "assistant", "content": ""}) + chunk({"content": "Hi"}))
    out += editor.say("More.") + editor.end(chunk({}, finish="stop") + DONE)
    assert FORMS.said(TALK, FORMS.folded(out)) == Said("Wait.\n\nHi\n\nMore.", (), "stop")


def test_whatever_is_no_call_is_left_alone() -> None:
    audio = {"id": "au", "data": "QUJD", "expires_at": 1, "transcript": "hi"}
    stream = b"".join([chunk({"refusal": "I"}), chunk({"audio": audio}), *CHAT["parallel tools"]])
    body = json.loads(FORMS.folded(stream))
    whole = json.loads(FORMS.edited(TALK, json.dumps(body).encode(), [Dropped(), Kept()]))
    for name in ("refusal", "audio"):
        assert whole["choices"][0]["message"][name] == body["choices"][0]["message"][name]
    assert whole["choices"][0]["message"]["audio"] == audio


def test_an_answer_of_which_all_is_kept_goes_out_byte_for_byte() -> None:
    body = b'{ "choices": [ {"index":0, "message": {"tool_calls": [{"id":"1","function":{"name":"f","arguments":"{}"}}]}}]}'
    assert FORMS.edited(TALK, body, [Kept()]) is body
    with pytest.raises(Fault):
        FORMS.edited(TALK, body, [Dropped(), Kept()])
    for outcomes in ([], [Kept(), Kept()]):
        with pytest.raises(Fault):
            FORMS.editor(b"").calls(chunk(call(0, "{}", name="rm", call_id="a"), finish="tool_calls"), outcomes)


def test_completions_of_the_older_kind_pass_fold_and_are_said() -> None:
    piece = {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "m", "choices": [
        {"index": 0, "text": "Hi", "logprobs": None, "finish_reason": None}
    ]}  # fmt: skip
    last = {**piece, "choices": [{"index": 0, "text": " you", "logprobs": None, "finish_reason": "stop"}]}
    stream = b"".join(b"data: " + json.dumps(each).encode() + b"\n\n" for each in (piece, last)) + DONE
    editor = FORMS.editor(b"")
    assert editor.passing(stream[: -len(DONE)]) + editor.end(DONE) == stream
    body = FORMS.folded(stream)
    assert Completion.model_validate_json(body).choices[0].text == "Hi you"
    assert FORMS.said(Endpoint.COMPLETIONS, body) == Said("Hi you", (), "stop")
    assert FORMS.edited(Endpoint.COMPLETIONS, body, []) is body
    assert json.loads(FORMS.folded(FORMS.streamed(body))) == json.loads(body)
    assert json.loads(FORMS.joined(body, body))["choices"][0]["text"] == "Hi you\n\nHi you"


REQUEST = b'{"model":"m","n":1, "seed":12345678901234567890, "messages":[ {"role":"user","content":"hi", "x":1.0} ]}'


def answered(message: dict[str, Any]) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": "tool_calls"}
    return json.dumps(
        {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
    ).encode()


def test_a_request_goes_on_with_the_models_turn_and_a_result_for_each_call() -> None:
    calls = [
        {"id": "1", "type": "function", "function": {"name": "rm", "arguments": "{}"}},
        {"id": "2", "type": "custom", "custom": {"name": "sh", "input": "ls"}},
    ]
    details = [{"type": "reasoning.encrypted", "data": "xyz", "index": 0}]
    answer = answered({
        "content": "So.", "refusal": None, "tool_calls": calls, "reasoning_content": "hm", "reasoning_details": details,
        "annotations": [], "audio": None,
    })  # fmt: skip
    body = FORMS.continued(REQUEST, answer, [Refused("1", "no"), Refused("2", "never")])
    assert body.startswith(REQUEST.replace(b", ", b",")[: REQUEST.index(b'"messages"') - 2])
    assert b'{"role":"user","content":"hi", "x":1.0}' in body
    *_, turn, first, second = json.loads(body)["messages"]
    assert turn == {
        "role": "assistant", "content": "So.", "tool_calls": calls, "reasoning_content": "hm", "reasoning_details": details,
    }  # fmt: skip
    assert first == {"role": "tool", "tool_call_id": "1", "content": "no"}
    assert second == {"role": "tool", "tool_call_id": "2", "content": "never"}
    adapter: TypeAdapter[Any] = TypeAdapter(ChatCompletionMessageParam)
    for said in (turn, first, second):
        adapter.validate_python(said)
    wire(OPENAI).read_request(Route(TALK, OPENAI), body)


def test_a_request_goes_on_for_an_older_client() -> None:
    answer = answered({"content": None, "function_call": {"name": "rm", "arguments": "{}"}})
    *_, turn, result = json.loads(FORMS.continued(REQUEST, answer, [Refused("", "no")]))["messages"]
    assert turn == {"role": "assistant", "content": None, "function_call": {"name": "rm", "arguments": "{}"}}
    assert result == {"role": "function", "name": "rm", "content": "no"}


@pytest.mark.parametrize(
    ("message", "refusals"),
    [
        ({"content": "hi"}, []),
        ({"tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": ""}}]}, []),
        (
            {"tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": ""}}]},
            [Refused("2", "no")],
        ),
    ],
)
def test_a_request_goes_on_only_when_every_call_has_its_refusal(
    message: dict[str, Any], refusals: list[Refused]
) -> None:
    with pytest.raises(Fault):
        FORMS.continued(REQUEST, answered(message), refusals)


def test_an_answer_of_words_is_of_the_official_type() -> None:
    body = FORMS.answer_of("hi", "p/m", "call-1", 7)
    read = ChatCompletion.model_validate_json(body)
    assert (read.id, read.model, read.created, read.choices[0].message.content) == ("chatcmpl-call-1", "p/m", 7, "hi")
    assert FORMS.said(TALK, body) == Said("hi", (), "stop")
    assert read_officially(FORMS.streamed(body)).choices[0].message.content == "hi"


@pytest.mark.parametrize("reason", ["stop", "length", "content_filter", "tool_calls", "odd"])
def test_how_an_answer_ended_is_told_in_no_wires_words(reason: str) -> None:
    body = FORMS.folded(chunk({"content": "a"}) + chunk({}, finish=reason) + DONE)
    expected = {"stop": "stop", "length": "length", "content_filter": "filter", "tool_calls": "calls"}
    assert FORMS.said(TALK, body).finished == expected.get(reason, "other")
    assert FORMS.said(Endpoint.EMBEDDINGS, b"{}") == Said("", (), "other")


def test_a_long_answer_is_edited_and_folded_in_a_time_that_grows_with_its_bytes() -> None:
    pieces = [chunk(call(0, "x" * 256)) for _ in range(10_000)]
    stream = b"".join([chunk(call(0, "", name="f", call_id="1")), *pieces, chunk({}, finish="tool_calls"), DONE])
    out = edited(OPENAI, [stream], all_are(Changed("g", "y" * 5_000_000)))
    assert len(calls_of(OPENAI, out)[0].arguments_raw) == 5_000_000
    assert len(FORMS.said(TALK, FORMS.folded(stream)).calls[0].arguments_raw) == 256 * 10_000
