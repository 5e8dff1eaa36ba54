"""Gemini's answers that are changed on their way, plain and streamed: what a client reads is what was decided."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.genai.types import Content, GenerateContentResponse
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.wire.editing import Decide, Edited, by_bytes, calls_of, edited

from bawn.errors import Fault
from bawn.terms.exchange import Endpoint, WireName
from bawn.terms.toolcall import ToolCall
from bawn.wire import Route, wire
from bawn.wire.answers import answers
from bawn.wire.editing import Changed, Dropped, Kept, Outcome, Refused, Said, Spoken

GEMINI = WireName.GEMINI
FORMS = answers(GEMINI)
TALK = Endpoint.GENERATE
NO = "No, not that."
OUTCOMES: list[Outcome] = [Kept(), Changed("other", '{"b":2}'), Spoken(NO), Dropped()]
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
SIGNED = {"thoughtSignature": "c2ln"}


def frame(*candidates: dict[str, Any], **more: Any) -> bytes:
    answer = {"candidates": list(candidates), "modelVersion": "g-1", "responseId": "r-1", **more}
    return b"data: " + json.dumps(answer).encode() + b"\r\n\r\n"


def candidate(*parts: dict[str, Any], index: int = 0, finish: str = "") -> dict[str, Any]:
    reason = {"finishReason": finish} if finish else {}
    return {"content": {"parts": list(parts), "role": "model"}, "index": index, **reason}


def called(name: str, call_id: str = "", **args: Any) -> dict[str, Any]:
    return {"functionCall": {**({"id": call_id} if call_id else {}), "name": name, "args": args}}


def used(asked: int, said: int) -> dict[str, Any]:
    rows = [{"modality": "TEXT", "tokenCount": asked}]
    return {
        "promptTokenCount": asked, "candidatesTokenCount": said, "totalTokenCount": asked + said, "promptTokensDetails": rows,
    }  # fmt: skip


@st.composite
def parts(draw: st.DrawFn, numbers: Any) -> dict[str, Any]:
    signed = SIGNED if draw(st.booleans()) else {}
    match draw(st.integers(0, 3)):
        case 0:
            return {"text": draw(TEXTS), "thought": True, **signed}
        case 1:
            return {"text": draw(TEXTS), **signed}
        case _:
            return {**called(draw(st.sampled_from(["read", "write"])), f"c{next(numbers)}", a=draw(TEXTS)), **signed}


@st.composite
def streams(draw: st.DrawFn, most: int = 2) -> bytes:
    numbers = iter(range(100))
    frames: list[bytes] = []
    candidates = range(draw(st.integers(1, most)))
    for _ in range(draw(st.integers(0, 4))):
        index = draw(st.sampled_from(candidates))
        said = [draw(parts(numbers)) for _ in range(draw(st.integers(1, 3)))]
        more = {"usageMetadata": used(9, 1)} if draw(st.booleans()) else {}
        frames.append(frame(candidate(*said, index=index), **more))
    last = [[draw(parts(numbers))] if draw(st.booleans()) else [] for _ in candidates]
    finish = draw(st.sampled_from(["STOP", "MAX_TOKENS"]))
    ends = [candidate(*said, index=index, finish=finish) for index, said in enumerate(last)]
    return b"".join([*frames, frame(*ends, usageMetadata=used(9, 5))])


DECISIONS = st.lists(st.sampled_from(OUTCOMES), min_size=20, max_size=20)


def decide_by(decisions: list[Outcome]) -> Decide:
    return lambda call: decisions[int(call.id[1:]) % len(decisions)]


def all_are(outcome: Outcome) -> Decide:
    return lambda call: outcome


def payloads(stream: bytes) -> list[dict[str, Any]]:
    return [json.loads(each[6:]) for each in stream.split(b"\r\n\r\n") if each]


def after(call: ToolCall, outcome: Outcome) -> list[ToolCall]:
    match outcome:
        case Kept():
            return [call]
        case Changed(name=name, arguments=arguments):
            return [ToolCall(call.id, name, arguments)]
        case _:
            return []


@given(stream=streams(), decisions=DECISIONS)
def test_a_client_gets_the_calls_as_they_were_decided(stream: bytes, decisions: list[Outcome]) -> None:
    decide = decide_by(decisions)
    out = edited(GEMINI, [stream], decide)
    assert calls_of(GEMINI, out) == [each for call in calls_of(GEMINI, stream) for each in after(call, decide(call))]
    for each in payloads(out):
        GenerateContentResponse.model_validate(each)
    assert payloads(out)[-1]["usageMetadata"] == used(9, 5)


@settings(max_examples=20)
@given(stream=streams(), decisions=DECISIONS)
def test_what_goes_out_does_not_hang_on_how_the_bytes_come(stream: bytes, decisions: list[Outcome]) -> None:
    decide = decide_by(decisions)
    assert edited(GEMINI, by_bytes(stream), decide) == edited(GEMINI, [stream], decide)


@given(stream=streams(), decisions=DECISIONS)
def test_plain_and_streamed_answers_are_edited_alike(stream: bytes, decisions: list[Outcome]) -> None:
    decide, body = decide_by(decisions), FORMS.folded(stream)
    calls = wire(GEMINI).read_answer(TALK, body).calls
    whole = FORMS.edited(TALK, body, [decide(call) for call in calls])
    GenerateContentResponse.model_validate_json(whole)
    assert FORMS.said(TALK, FORMS.folded(edited(GEMINI, [stream], decide))) == FORMS.said(TALK, whole)


@given(stream=streams(), change=st.booleans())
def test_calls_behind_a_change_keep_their_frames_byte_for_byte(stream: bytes, change: bool) -> None:
    first: list[str] = []

    def decide(call: ToolCall) -> Outcome:
        first.append(call.id)
        return Changed(call.name, call.arguments_raw) if change and len(first) == 1 else Kept()

    out = edited(GEMINI, [stream], decide)
    assert calls_of(GEMINI, out) == calls_of(GEMINI, stream)
    assert payloads(out) == payloads(stream)
    changed = sum(mine != theirs for mine, theirs in zip(out.split(b"\r\n"), stream.split(b"\r\n"), strict=True))
    assert changed <= (change and bool(first))


@given(stream=streams())
def test_what_is_folded_and_streamed_again_says_the_same(stream: bytes) -> None:
    body = FORMS.folded(stream)
    again = FORMS.streamed(body)
    assert calls_of(GEMINI, again) == list(wire(GEMINI).read_answer(TALK, body).calls)
    assert json.loads(FORMS.folded(again)) == json.loads(body)
    for each in payloads(again):
        GenerateContentResponse.model_validate(each)


@given(stream=streams())
def test_a_part_with_a_signature_is_folded_as_it_came(stream: bytes) -> None:
    def signed(answers_: list[dict[str, Any]]) -> list[Any]:
        every = [each for answer in answers_ for each in answer["candidates"]]
        ordered = sorted(every, key=lambda each: each["index"])
        return [part for each in ordered for part in each["content"]["parts"] if "thoughtSignature" in part]

    assert signed([json.loads(FORMS.folded(stream))]) == signed(payloads(stream))


@given(first=streams(most=1), second=streams(most=1))
def test_an_answer_goes_on_behind_one_whose_calls_were_withheld(first: bytes, second: bytes) -> None:
    first = frame(candidate({"text": "So."})) + frame(candidate(called("rm"))) + first
    second = second.replace(b"r-1", b"r-2").replace(b"g-1", b"g-2")
    stream = Edited(GEMINI)
    stream.refused(first)
    out = stream.answer([second], all_are(Kept()))
    assert {(each["responseId"], each["modelVersion"]) for each in payloads(out)} == {("r-1", "g-1")}
    told = payloads(out)[-1]["usageMetadata"]
    assert told == {
        "promptTokenCount": 18, "candidatesTokenCount": 10, "totalTokenCount": 28,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 18}],
    }  # fmt: skip
    assert calls_of(GEMINI, out) == calls_of(GEMINI, second)
    joined = FORMS.joined(FORMS.folded(first), FORMS.folded(second))
    GenerateContentResponse.model_validate_json(joined)
    whole, folded = json.loads(joined), json.loads(FORMS.folded(out))
    for name in ("usageMetadata", "responseId", "modelVersion"):
        assert whole[name] == folded[name]
    assert FORMS.said(TALK, joined).calls == FORMS.said(TALK, FORMS.folded(out)).calls


def test_words_stand_where_the_call_was() -> None:
    sent = [
        frame(candidate({"text": "Let me see."})),
        frame(candidate({**called("rm"), **SIGNED}, {**called("read", n=10**30, x=1.0), **SIGNED}, {"text": "Done."})),
        frame(candidate(finish="STOP")),
    ]
    out = edited(GEMINI, sent, lambda call: Spoken(NO) if call.name == "rm" else Kept())
    _, middle, _ = payloads(out)
    assert middle["candidates"][0]["content"]["parts"] == [
        {"text": f"\n\n{NO}"}, {**called("read", n=10**30, x=1.0), **SIGNED}, {"text": "\n\nDone."},
    ]  # fmt: skip
    assert FORMS.said(TALK, FORMS.folded(out)) == Said(
        f"Let me see.\n\n{NO}\n\nDone.",
        (ToolCall("", "read", json.dumps({"n": 10**30, "x": 1.0}).replace(" ", "")),),
        "calls",
    )


def test_a_changed_call_keeps_its_id_its_place_and_its_signature() -> None:
    sent = [frame(candidate({"text": "a"}, {**called("rm", "7"), **SIGNED}, finish="STOP"))]
    out = edited(GEMINI, sent, all_are(Changed("list", '{"deep":{"n":1.0}}')))
    assert payloads(out)[0]["candidates"][0]["content"]["parts"] == [
        {"text": "a"}, {"functionCall": {"id": "7", "name": "list", "args": {"deep": {"n": 1.0}}}, **SIGNED},
    ]  # fmt: skip


@pytest.mark.parametrize("outcome", [Spoken(NO), Dropped()])
def test_an_answer_without_calls_still_ends(outcome: Outcome) -> None:
    sent = frame(candidate({**called("rm"), **SIGNED}, finish="STOP"), usageMetadata=used(1, 2))
    out = edited(GEMINI, [sent], all_are(outcome))
    assert calls_of(GEMINI, out) == []
    said = FORMS.said(TALK, FORMS.folded(out))
    assert (said.text, said.finished) == (NO if isinstance(outcome, Spoken) else "", "stop")
    assert b"thoughtSignature" not in out
    assert b"thoughtSignature" not in FORMS.edited(TALK, FORMS.folded(sent), [outcome])


def test_code_that_does_not_go_out_takes_its_result_with_it() -> None:
    code = {"executableCode": {"language": "PYTHON", "code": "1"}}
    result = {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1"}}
    sent = [frame(candidate(code)), frame(candidate(result, {"text": "1"})), frame(candidate(finish="STOP"))]
    assert edited(GEMINI, sent, all_are(Kept())) == b"".join(sent)
    for out in (
        FORMS.folded(edited(GEMINI, sent, all_are(Dropped()))),
        FORMS.edited(TALK, FORMS.folded(b"".join(sent)), [Dropped()]),
    ):
        assert json.loads(out)["candidates"][0]["content"]["parts"] == [{"text": "1"}]


@pytest.mark.parametrize("arguments", ["[]", "x", '{"a":1,"a":2}'])
def test_arguments_that_are_no_object_are_not_written(arguments: str) -> None:
    with pytest.raises(Fault):
        FORMS.edited(TALK, FORMS.folded(frame(candidate(called("rm"), finish="STOP"))), [Changed("rm", arguments)])


def test_an_answer_of_which_all_is_kept_goes_out_byte_for_byte() -> None:
    body = json.dumps({"candidates": [candidate(called("rm"), finish="STOP")]}, indent=1).encode()
    assert FORMS.edited(TALK, body, [Kept()]) is body
    wrong: list[list[Outcome]] = [[], [Dropped(), Kept()]]
    for outcomes in wrong:
        with pytest.raises(Fault):
            FORMS.editor(b"").calls(frame(candidate(called("rm"), finish="STOP")), outcomes)
    with pytest.raises(Fault):
        FORMS.edited(TALK, body, [Dropped(), Dropped()])


def test_words_can_be_said_before_anything_else_and_behind_it() -> None:
    editor = FORMS.editor(b"")
    out = editor.say("Wait.") + editor.passing(frame(candidate({"text": "Hi"}))) + editor.say("More.")
    out += editor.end(frame(candidate(finish="STOP")))
    assert FORMS.said(TALK, FORMS.folded(out)) == Said("Wait.\n\nHi\n\nMore.", (), "stop")
    assert calls_of(GEMINI, out) == []


def test_a_refusal_to_answer_is_folded_streamed_and_said() -> None:
    blocked = b'data: {"promptFeedback":{"blockReason":"SAFETY"},"usageMetadata":{"promptTokenCount":3}}\r\n\r\n'
    body = FORMS.folded(blocked)
    assert FORMS.streamed(body) == blocked
    assert FORMS.said(TALK, body) == Said("", (), "filter")
    assert FORMS.edited(TALK, body, []) is body


def test_usage_that_only_the_withheld_answer_told_is_told_at_the_end() -> None:
    stream = Edited(GEMINI)
    stream.refused(
        frame(candidate({"text": "a"})) + frame(candidate(called("rm"), finish="STOP"), usageMetadata=used(1, 2))
    )
    out = stream.answer([frame(candidate({"text": "b"}, finish="STOP"))], all_are(Kept()))
    assert payloads(out)[-1]["usageMetadata"] == used(1, 2)
    assert FORMS.said(TALK, FORMS.folded(out)).text == "a\n\nb"


REQUEST = b'{"generationConfig":{"seed":1.50}, "contents":[ {"role":"user","parts":[{"text":"hi"}]} ]}'


def test_a_request_goes_on_with_the_models_turn_and_a_result_for_each_call() -> None:
    said: list[dict[str, Any]] = [
        {"text": "hm", "thought": True, **SIGNED}, {"text": "So."}, {**called("rm", "1", n=10**30), **SIGNED}, called("read"),
    ]  # fmt: skip
    answer = FORMS.folded(frame(candidate(*said, finish="STOP")))
    body = FORMS.continued(REQUEST, answer, [Refused("1", "no"), Refused("", "never")])
    assert b'{"generationConfig":{"seed":1.50},"contents":[{"role":"user","parts":[{"text":"hi"}]},' in body
    _, turn, results = json.loads(body)["contents"]
    assert turn == {"role": "model", "parts": said}
    assert results == {"role": "user", "parts": [
        {"functionResponse": {"id": "1", "name": "rm", "response": {"error": "no"}}},
        {"functionResponse": {"name": "read", "response": {"error": "never"}}},
    ]}  # fmt: skip
    for each in (turn, results):
        Content.model_validate(each)
    wire(GEMINI).read_request(Route(TALK, GEMINI, "m"), body)


@pytest.mark.parametrize(
    ("said", "refusals"), [({"text": "hi"}, []), (called("rm", "1"), []), (called("rm", "1"), [Refused("2", "no")])]
)
def test_a_request_goes_on_only_when_every_call_has_its_refusal(said: dict[str, Any], refusals: list[Refused]) -> None:
    with pytest.raises(Fault):
        FORMS.continued(REQUEST, FORMS.folded(frame(candidate(said, finish="STOP"))), refusals)


def test_an_answer_of_words_is_of_the_official_type() -> None:
    body = FORMS.answer_of("hi", "p/m", "call-1", 7)
    read = GenerateContentResponse.model_validate_json(body)
    assert (read.text, read.model_version, read.response_id) == ("hi", "p/m", "call-1")
    assert FORMS.said(TALK, body) == Said("hi", (), "stop")
    assert calls_of(GEMINI, FORMS.streamed(body)) == []


@pytest.mark.parametrize(
    ("reason", "finished"), [("STOP", "stop"), ("MAX_TOKENS", "length"), ("SAFETY", "filter"), ("LANGUAGE_X", "other")]
)
def test_how_an_answer_ended_is_told_in_no_wires_words(reason: str, finished: str) -> None:
    assert FORMS.said(TALK, FORMS.folded(frame(candidate({"text": "a"}, finish=reason)))).finished == finished
    assert FORMS.said(Endpoint.GEMINI_COUNT, b"{}") == Said("", (), "other")
