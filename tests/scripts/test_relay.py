"""What a script sees of a conversation is the same on every wire, and what it changes is an answer of that wire."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from bawn.scripts.answer import Answer, Event
from bawn.scripts.api import AnsweredTwice, Call, Refused, Request, Response, Said, StreamBroken
from bawn.scripts.talk import MAX_KEPT_BYTES, Talk
from bawn.terms.exchange import WireName
from bawn.wire.answers import answers
from bawn.wire.document import Said as By
from bawn.wire.editing import Kept

TOOL = {"name": "write", "description": "x", "parameters": {"type": "object", "properties": {}}}
ARGUMENTS = {"path": "/etc/x", "content": "y"}


@dataclass(frozen=True)
class Spoken:
    """One wire: a request of it, and an answer with a text and a call."""

    wire: WireName
    path: str
    request: dict[str, Any]
    answer: dict[str, Any]

    def asks(self, stream: bool = False) -> Request:
        path, body = self.path, dict(self.request)
        if self.wire is WireName.GEMINI:
            path += ":streamGenerateContent?alt=sse" if stream else ":generateContent"
        elif stream:
            body["stream"] = True
        return Request(path=path, body=json.dumps(body).encode())

    def answers(self, stream: bool) -> Come:
        plain = json.dumps(self.answer).encode()
        return Come(answers(self.wire).streamed(plain), stream=True) if stream else Come(plain)

    def said(self, out: Out, stream: bool) -> tuple[str, list[tuple[str, Any]], str]:
        """What the agent reads."""
        talk = self.asks(stream).talk
        assert talk is not None
        words = talk.words(talk.folded(out.data) if stream else out.data)
        return words.text, [(call.name, json.loads(call.arguments_raw)) for call in words.calls], words.finished


@dataclass
class Come:
    """An answer that comes in pieces."""

    data: bytes
    status: int = 200
    stream: bool = False
    piece: int = 7
    headers: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self.headers = {"content-type": "text/event-stream" if self.stream else "application/json", "x-request-id": "r"}

    @property
    def ok(self) -> bool:
        return self.status < 400

    async def json(self) -> Any:
        return json.loads(self.data)

    async def text(self) -> str:
        return self.data.decode()

    async def body(self) -> bytes:
        return self.data

    async def chunks(self) -> AsyncIterator[bytes]:
        for at in range(0, len(self.data), self.piece):
            yield self.data[at : at + self.piece]

    async def events(self) -> AsyncIterator[Event]:
        if self.stream:
            raise NotImplementedError
        yield Event()

    async def close(self) -> None:
        pass


@dataclass
class Out:
    data: bytes = b""
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)

    def whole(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.begin(status, headers)
        self.data = body

    def begin(self, status: int, headers: dict[str, str]) -> None:
        assert not self.status
        self.status, self.headers = status, headers

    async def piece(self, data: bytes) -> None:
        self.data += data


SPOKEN = [
    Spoken(
        WireName.OPENAI,
        "/api/v1/chat/completions",
        {"model": "m", "messages": [{"role": "user", "content": "hello"}], "tools": [{"type": "function", "function": TOOL}]},
        {
            "id": "c-1", "object": "chat.completion", "created": 1, "model": "m",
            "choices": [{"index": 0, "finish_reason": "tool_calls", "logprobs": None, "message": {
                "role": "assistant", "content": "I write.", "refusal": None, "tool_calls": [
                    {"id": "t1", "type": "function", "function": {"name": "write", "arguments": json.dumps(ARGUMENTS)}}]}}],
            "usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7},
        },
    ),
    Spoken(
        WireName.RESPONSES,
        "/v1/responses",
        {"model": "m", "input": "hello", "tools": [{"type": "function", **TOOL}]},
        {
            "id": "resp_1", "object": "response", "created_at": 1, "model": "m", "status": "completed",
            "output": [
                {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
                 "content": [{"type": "output_text", "text": "I write.", "annotations": []}]},
                {"type": "function_call", "id": "fc_1", "call_id": "t1", "name": "write", "status": "completed",
                 "arguments": json.dumps(ARGUMENTS)},
            ],
            "usage": {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7},
        },
    ),
    Spoken(
        WireName.ANTHROPIC,
        "/v1/messages",
        {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hello"}],
         "tools": [{"name": "write", "input_schema": {"type": "object"}}]},
        {
            "id": "msg_1", "type": "message", "role": "assistant", "model": "m", "stop_reason": "tool_use", "stop_sequence": None,
            "content": [{"type": "text", "text": "I write."},
                        {"type": "tool_use", "id": "toolu_1", "name": "write", "input": ARGUMENTS}],
            "usage": {"input_tokens": 3, "output_tokens": 4},
        },
    ),
    Spoken(
        WireName.GEMINI,
        "/v1beta/models/m",
        {"contents": [{"role": "user", "parts": [{"text": "hello"}]}], "tools": [{"functionDeclarations": [TOOL]}]},
        {
            "candidates": [{"index": 0, "finishReason": "STOP", "content": {"role": "model", "parts": [
                {"text": "I write."}, {"functionCall": {"name": "write", "args": ARGUMENTS}}]}}],
            "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 4, "totalTokenCount": 7}, "modelVersion": "m",
        },
    ),
]  # fmt: skip
EACH = pytest.mark.parametrize("wire", SPOKEN, ids=[each.wire.value for each in SPOKEN])
STREAMED = pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])


async def relayed(wire: Spoken, stream: bool, **how: Any) -> tuple[Said, Out]:
    out = Out()
    res = Response(out, wire.asks(stream))
    said = await res.relay(wire.answers(stream), **how)
    await res.finish()
    return said, out


@EACH
@STREAMED
async def test_what_is_not_changed_goes_out_byte_for_byte_and_is_told(wire: Spoken, stream: bool) -> None:
    def look(call: Call) -> None:
        assert (call.name, call.arguments) == ("write", ARGUMENTS)

    said, out = await relayed(wire, stream, call=look)
    if not stream or wire.wire is not WireName.OPENAI:  # there the usage is taken out that nobody asked for
        assert out.data == wire.answers(stream).data
    assert (said.text, said.tokens, said.model, said.ok) == ("I write.", 7, "m", True)
    [call] = said.calls
    assert (call.name, call.arguments) == ("write", ARGUMENTS)
    assert json.loads(said.body) == said.json
    assert (out.status, "content-length" in out.headers) == (200, False)


@EACH
@STREAMED
async def test_a_call_is_changed_in_place(wire: Spoken, stream: bool) -> None:
    async def change(call: Call) -> None:
        call.name = "keep"
        call.arguments["path"] = "/sandbox/x"

    said, out = await relayed(wire, stream, call=change)
    text, calls, _ = wire.said(out, stream)
    assert (text, calls) == ("I write.", [("keep", {"path": "/sandbox/x", "content": "y"})])
    assert b"/etc/x" not in out.data
    assert [call.name for call in said.calls] == ["keep"]


@EACH
@STREAMED
@pytest.mark.parametrize(
    ("act", "text"), [(lambda call: call.say("Not that."), "Not that."), (Call.drop, "")], ids=["said", "dropped"]
)
async def test_a_call_that_does_not_go_out_ends_the_turn(
    wire: Spoken, stream: bool, act: Callable[[Call], None], text: str
) -> None:
    _, out = await relayed(wire, stream, call=act)
    said, calls, finished = wire.said(out, stream)
    assert (calls, finished) == ([], "stop")
    assert said.startswith("I write.")
    assert text in said


@EACH
@STREAMED
async def test_what_is_said_behind_an_answer_is_part_of_it(wire: Spoken, stream: bool) -> None:
    def ending(said: Said) -> str:
        assert said.text == "I write."
        return "It is written."

    said, out = await relayed(wire, stream, call=Call.drop, ending=ending)
    text, _, finished = wire.said(out, stream)
    # A paragraph of its own; some wires have blocks for that.
    assert "".join(text.split()) == "Iwrite.Itiswritten."
    assert finished == "stop"
    assert said.text == text


@EACH
@STREAMED
async def test_an_ending_with_nothing_to_say_changes_nothing_that_is_said(wire: Spoken, stream: bool) -> None:
    _, out = await relayed(wire, stream, ending=lambda said: "")
    assert wire.said(out, stream)[:2] == ("I write.", [("write", ARGUMENTS)])


@EACH
@STREAMED
async def test_what_a_function_of_the_script_raises_is_the_script_s(wire: Spoken, stream: bool) -> None:
    def raises(call: Call) -> None:
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        await relayed(wire, stream, call=raises)


@EACH
async def test_the_end_of_a_stream_waits_until_the_script_is_done(wire: Spoken) -> None:
    out = Out()
    res = Response(out, wire.asks(stream=True))
    said = await res.relay(wire.answers(stream=True))
    assert said.text == "I write."
    before = out.data
    with pytest.raises(AnsweredTwice):
        await res.write(b"more")
    await res.finish()
    assert out.data.startswith(before)
    if wire.wire is not WireName.GEMINI:  # whose end is no frame of its own
        assert len(out.data) > len(before)


@EACH
async def test_a_stream_that_breaks_off_is_no_answer(wire: Spoken) -> None:
    whole = wire.answers(stream=True).data
    out = Out()
    res = Response(out, wire.asks(stream=True))
    with pytest.raises(StreamBroken):
        await res.relay(Come(whole[: len(whole) // 2], stream=True))
    await res.finish()
    assert whole.startswith(out.data)
    with pytest.raises(StreamBroken):
        await wire.asks(stream=True).read(Come(whole[: len(whole) // 2], stream=True))


@EACH
@STREAMED
async def test_an_answer_is_read_without_being_passed_on(wire: Spoken, stream: bool) -> None:
    said = await wire.asks(stream).read(wire.answers(stream))
    assert (said.text, said.tokens, len(said.calls)) == ("I write.", 7, 1)
    with pytest.raises(Refused, match="no such model"):
        await wire.asks(stream).read(Come(b'{"error": {"message": "no such model"}}', 404))


@EACH
async def test_failures_and_other_calls_are_passed_on_as_they_are(wire: Spoken) -> None:
    out = Out()
    said = await Response(out, wire.asks()).relay(Come(b'{"error": {"message": "no"}}', 503))
    assert (out.status, out.data, said.ok, said.text) == (503, b'{"error": {"message": "no"}}', False, "")
    out = Out()
    other = Request(path="/v1/embeddings", body=b'{"model": "m", "input": "x"}')
    assert other.talk is None
    said = await Response(out, other).relay(Come(b'{"data": []}'))
    assert (out.data, said.json) == (b'{"data": []}', {"data": []})


@EACH
@STREAMED
async def test_an_answer_that_a_script_makes_is_one_of_the_wire(wire: Spoken, stream: bool) -> None:
    talk = wire.asks(stream).talk
    assert talk is not None
    words = talk.words(json.dumps(wire.asks(stream).answer("so it is")).encode())
    assert (words.text, words.finished) == ("so it is", "stop")


@EACH
def test_texts_are_read_and_changed(wire: Spoken) -> None:
    req = wire.asks()
    assert [(spot.said, spot.text) for spot in req.texts] == [(By.USER, "hello")]
    assert req.last_text == "hello"
    req.set_text(req.texts[0], "good morning")
    req.add_system("Be brief.")
    assert {(spot.said, spot.text) for spot in req.texts} == {(By.USER, "good morning"), (By.SYSTEM, "Be brief.")}
    again = Request(path=req.path, body=req.body)
    assert again.last_text == "good morning"
    assert {spot.text for spot in again.texts} == {"good morning", "Be brief."}


@EACH
def test_a_change_of_the_json_and_a_change_of_a_text_both_hold(wire: Spoken) -> None:
    req = wire.asks()
    req.set_text(req.texts[0], "one")
    req.json["seed"] = 7
    req.add_system("two")
    assert req.json["seed"] == 7
    assert {spot.text for spot in req.texts} == {"one", "two"}


@EACH
@STREAMED
def test_the_model_is_named_where_the_wire_has_it(wire: Spoken, stream: bool) -> None:
    req = wire.asks(stream)
    assert (req.model, req.stream) == ("m", stream)
    req.model = "provider/another"
    assert req.model == "provider/another"
    assert req.talk is not None
    assert (req.talk.model, req.talk.stream) == ("provider/another", stream)


def test_what_is_no_conversation_has_no_texts() -> None:
    for req in (
        Request("GET", "/v1/models"),
        Request(path="/nothing"),
        Request(body=b"{"),
        Request(path="/v1/embeddings"),
    ):
        assert req.talk is None
        assert not req.texts
        assert not req.results
        with pytest.raises(ValueError):
            req.add_system("x")
        with pytest.raises(ValueError):
            req.answer("x")


def test_the_usage_of_a_stream_is_asked_for_once() -> None:
    req = SPOKEN[0].asks(stream=True)
    assert req.counted().json["stream_options"] == {"include_usage": True}
    assert "stream_options" not in req.json
    assert SPOKEN[0].asks().counted().body == SPOKEN[0].asks().body


async def test_an_agent_gets_the_usage_only_if_it_asked() -> None:
    wire = SPOKEN[0]
    assert b'"usage"' in wire.answers(stream=True).data
    said, out = await relayed(wire, stream=True)
    assert b'"total_tokens"' not in out.data
    assert said.usage is not None
    asked, out = wire.asks(stream=True), Out()
    asked.json["stream_options"] = {"include_usage": True}
    await Response(out, asked).relay(wire.answers(stream=True))
    assert b'"total_tokens":7' in out.data.replace(b" ", b"")


def test_of_a_stream_that_is_too_long_nothing_is_told_and_nothing_changed() -> None:
    talk = SPOKEN[0].asks(stream=True).talk
    assert isinstance(talk, Talk)
    passage = talk.passage()
    frame = b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"'
    frame += b"x" * 60_000 + b'"},"finish_reason":null}]}\n\n'
    for _ in range(MAX_KEPT_BYTES // len(frame) + 1):
        for each in passage.feed(frame):
            assert passage.passing(each.data)
    assert passage.words().text == ""
    assert passage.words().model == "m"
    assert passage.calls(b"as it came", [Kept()]) == b"as it came"
    with pytest.raises(ValueError, match="too long"):
        passage.say("more")


def test_arguments_that_cannot_be_read_are_none() -> None:
    from bawn.terms.toolcall import ToolCall

    call = Call(ToolCall("t", "write", '{"path": '))
    assert call.arguments is None
    assert call.outcome == Kept()
    assert Call(ToolCall("t", "patch", "*** text", free=True)).arguments == "*** text"


def _is_an_answer(come: Come) -> Answer:
    return come
