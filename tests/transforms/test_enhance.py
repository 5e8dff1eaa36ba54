"""Code in an answer is explained by a second model; whatever goes wrong with that, the answer stays what it was."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from tests.transforms.calls import DEV, TEST, Clock, asked, chat
from tests.transforms.chat_answers import chat_answers, chunk, plain, stream, text_of
from tests.transforms.driving import OK, drive, frames_of, texts

from bawn.errors import Fault
from bawn.terms.exchange import WireName
from bawn.terms.frames import End
from bawn.terms.principal import Container
from bawn.transforms.counts import Counts
from bawn.transforms.enhance import Enhance, EnhanceStage, code_length
from bawn.transforms.finishing import Finish, finish_of
from bawn.wire import wire

CODE = "Here:\n```python\nprint('hello, world, this is long enough to be explained to whoever reads it')\n```\n"
HEADING = "\n\n**How this works:**\n"
CALL = {"index": 0, "id": "t1", "type": "function", "function": {"name": "ls", "arguments": "{}"}}


class Yard:
    def __init__(self, says: str | BaseException = "It prints.", delay: float = 0.0, **settings: Any) -> None:
        self.asked: list[tuple[Container, str, str]] = []
        self.counts = Counts()
        self._says, self._delay = says, delay
        made = Enhance.model_validate({"model": "own/small", **settings})
        self.stage = EnhanceStage(made, chat_answers, self._ask, Clock(), self.counts)

    async def _ask(self, container: Container, model: str, text: str) -> str:
        self.asked.append((container, model, text))
        await asyncio.sleep(self._delay)
        if isinstance(self._says, BaseException):
            raise self._says
        return self._says


def said(body: bytes) -> str:
    return str(json.loads(body)["choices"][0]["message"]["content"])


async def test_an_answer_with_code_gets_an_explanation_behind_it() -> None:
    yard = Yard()
    one = asked(chat())
    _, body = await drive(yard.stage, one, plain(CODE))
    assert said(body) == CODE + HEADING + "It prints."
    assert one.notes == [("enhance", "explained")]
    assert yard.counts.all() == {"explained": 1}
    (container, model, text) = yard.asked[0]
    assert (container, model) == (DEV, "own/small")
    assert text.endswith(CODE)


@pytest.mark.parametrize("usage", [False, True])
async def test_in_a_stream_the_explanation_stands_before_the_end(usage: bool) -> None:
    yard = Yard()
    answer = stream(*(CODE[at : at + 9] for at in range(0, len(CODE), 9)), usage=usage)
    _, out = await drive(yard.stage, asked(chat(stream=True)), answer)
    assert text_of(out) == CODE + HEADING + "It prints."
    assert out.index(b"How this works") < out.index(b'"finish_reason": "stop"')
    reader = wire(WireName.OPENAI).stream_reader(hide_usage=False)
    assert isinstance([*reader.feed(out), *reader.close()][-1], End)
    assert (reader.usage is not None) is usage


async def test_text_of_a_stream_is_never_held() -> None:
    yard = Yard()
    one = asked(chat(stream=True))
    await yard.stage.request(one)
    view = yard.stage.view(one)
    assert view is not None
    frames = frames_of(stream("a", "b", CODE))
    for frame in frames[:3]:
        assert texts(await view.frame(frame)) == texts([frame])


@pytest.mark.parametrize(
    "answer",
    [
        plain("No code here."),
        plain("Short: ```a```"),
        plain(CODE, finish="length"),
        plain(CODE, calls=[CALL], finish="tool_calls"),
        b"not an answer",
    ],
)
async def test_other_answers_stay_as_they_are(answer: bytes) -> None:
    yard = Yard()
    _, body = await drive(yard.stage, asked(chat()), answer)
    assert body == answer
    assert yard.asked == []


@pytest.mark.parametrize(
    "answer",
    [
        stream("No code here."),
        stream(CODE, finish="length"),
        stream(CODE)[:-60],
        b"".join(
            [chunk({"content": CODE}), chunk({"tool_calls": [CALL]}), chunk({}, "tool_calls"), b"data: [DONE]\n\n"]
        ),
        b"".join([chunk({"role": "assistant"}), chunk({"content": CODE}, "stop"), b"data: [DONE]\n\n"]),
    ],
)
async def test_other_streams_come_out_byte_for_byte(answer: bytes) -> None:
    yard = Yard()
    _, out = await drive(yard.stage, asked(chat(stream=True)), answer)
    assert answer.startswith(out) or out == answer
    assert out == texts(frames_of(answer))
    assert yard.asked == []


@pytest.mark.parametrize(
    ("says", "delay", "note"),
    [
        (Fault("upstream.unreachable", "No."), 0.0, ("enhance", "upstream.unreachable")),
        ("late", 5.0, ("enhance", "timeout")),
    ],
)
async def test_when_the_second_model_fails_the_answer_stays_and_the_record_says_so(
    says: str | BaseException, delay: float, note: tuple[str, str]
) -> None:
    for body, answer in ((chat(), plain(CODE)), (chat(stream=True), stream(CODE))):
        yard = Yard(says, delay, seconds=0.05)
        one = asked(body)
        _, out = await drive(yard.stage, one, answer)
        assert out == answer
        assert one.notes == [note]
        assert yard.counts["failed"] == 1


async def test_a_second_model_that_says_nothing_adds_nothing() -> None:
    _, out = await drive(Yard("  \n").stage, asked(chat()), plain(CODE))
    assert out == plain(CODE)


async def test_what_bawn_itself_asks_and_what_others_ask_is_not_explained() -> None:
    yard = Yard(containers=["dev"])
    for one in (asked(chat(), depth=1), asked(chat(), container=TEST)):
        _, out = await drive(yard.stage, one, plain(CODE), OK)
        assert out == plain(CODE)
    assert yard.asked == []


async def test_a_large_answer_is_not_gathered() -> None:
    yard = Yard(answer_bytes=1024)
    for body, answer in ((chat(), plain(CODE * 30)), (chat(stream=True), stream(*[CODE] * 30))):
        _, out = await drive(yard.stage, asked(body), answer)
        assert out == answer
    assert yard.asked == []


@pytest.mark.parametrize(
    ("name", "data", "finish"),
    [
        (WireName.OPENAI, b'{"choices":[{"delta":{"content":"a"}}]}', Finish.NOT_YET),
        (WireName.OPENAI, b'{"choices":[{"delta":{},"finish_reason":"stop"}]}', Finish.ENDING),
        (WireName.OPENAI, b"[DONE] finish", Finish.NOT_YET),
        (WireName.ANTHROPIC, b'{"type":"message_start"}', Finish.NOT_YET),
        (WireName.ANTHROPIC, b'{"type":"message_delta"}', Finish.ENDING),
        (WireName.RESPONSES, b'{"type":"response.created"}', Finish.NOT_YET),
        (WireName.RESPONSES, b'{"type":"response.completed"}', Finish.ENDING),
        (WireName.GEMINI, b'{"candidates":[{"finishReason":"STOP"}]}', Finish.ENDING),
        (
            WireName.GEMINI,
            b'{"candidates":[{"finishReason":"STOP","content":{"parts":[{"text":"a"}]}}]}',
            Finish.WITH_TEXT,
        ),
        (WireName.GEMINI, b'{"candidates":[{"content":{}}], "finish": 1}', Finish.NOT_YET),
    ],
)
def test_the_frame_that_ends_an_answer_is_known_in_every_wire(name: WireName, data: bytes, finish: Finish) -> None:
    assert finish_of(name, data) is finish


def test_code_is_what_stands_between_fences() -> None:
    assert code_length("a ```bb``` c ```ddd") == 5
