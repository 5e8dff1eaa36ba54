"""The gate judges what a script answers, on every wire, plain and streamed."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from tests.gateway.conftest import Start
from tests.gateway.script_house import (
    Scripted,
    scripted,
    through,
)
from tests.gateway.test_calls import CHAT
from tests.gateway.test_interception import CALLED, EACH_WIRE, STREAMED, Speaks
from tests.scripts.worker import Said, Told, said


@EACH_WIRE
@STREAMED
async def test_every_wire_passes_a_script_that_changes_nothing(
    start: Start, tmp_path: Path, speaks: Speaks, stream: bool
) -> None:
    async with scripted(start, tmp_path, through) as held:
        held.put("1")
        async with held.client() as client:
            answer = await client.post(**speaks.asking(CALLED, stream))
        assert answer.status_code == 200, answer.text
        assert "rm -rf" in answer.text
        assert len(held.worker.told) == 1


@EACH_WIRE
@STREAMED
async def test_every_wire_has_its_form_for_what_a_script_says(
    start: Start, tmp_path: Path, speaks: Speaks, stream: bool
) -> None:
    answers_of = [said({"status": "pending_approval", "message": "Ada was asked.", "requestId": "r1"})]
    async with scripted(start, tmp_path, lambda held, told: answers_of[0], {"pending": "text"}) as held:
        held.put("1")
        async with held.client() as client:
            waiting = await client.post(**speaks.asking(CALLED, stream))
            assert waiting.status_code == 200, waiting.text
            assert "Ada was asked. (request r1)" in waiting.text
            answers_of[0] = said({"error": {"message": "no more today"}}, 429, retry_after="7")
            refused = await client.post(**speaks.asking(CALLED, stream))
            assert refused.status_code == 429
            assert refused.headers["x-bawn-code"] == "script.refused"
            assert refused.headers["retry-after"] == "7"
            assert "no more today" in refused.json()["error"]["message"]
            answers_of[0] = said(
                {"sentence": "It failed.", "cause": "x.py:3"}, 502, x_bawn_script_fault="script.crashed"
            )
            failed = await client.post(**speaks.asking(CALLED, stream))
            assert failed.status_code == 502
            assert failed.headers["x-bawn-code"] == "script.crashed"
            assert "x.py" not in failed.text
        assert held.yard.cause() == "x.py:3"


async def test_a_stream_of_a_script_that_breaks_off_ends_in_an_error(start: Start, tmp_path: Path) -> None:
    async def half(held: Scripted, told: Told) -> Said:
        answer = await through(held, told)
        assert isinstance(answer.body, list)
        return Said([answer.body[0][:400]], kind="text/event-stream", broken=True)

    async with scripted(start, tmp_path, half) as held:
        held.put("1")
        async with held.client() as client:
            text_so_far = ""
            with pytest.raises(httpx.RemoteProtocolError):
                async with client.stream("POST", "/v1/chat/completions", json=CHAT | {"stream": True}) as answer:
                    async for part in answer.aiter_text():
                        text_so_far += part
        assert "error" in text_so_far, text_so_far
        assert "did not come to the end" in text_so_far, text_so_far
        settlement = await held.yard.settled(2)
        assert settlement is not None
