"""Paths that only a script knows are no way round the gate."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.gateway.conftest import Start
from tests.gateway.script_house import (
    Scripted,
    scripted,
)
from tests.scripts.worker import Said, Told, said, stream

from bawn.gateway.settings import Allow


async def test_a_path_that_only_a_script_knows_is_passed_on_whole(start: Start, tmp_path: Path) -> None:
    def custom(held: Scripted, told: Told) -> Said:
        return said({"method": told.headers["x-bawn-method"], "got": told.header("params")}, 201)

    async with scripted(start, tmp_path, custom) as held:
        held.put("1", "api/v1/tasks/[id].py")
        async with held.client() as client:
            for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
                answer = await client.request(method, "/v1/tasks/a%2Fb?x=1")
                assert answer.status_code == 201
                assert answer.json() == {"method": method, "got": {"id": "a/b"}}
            assert (await client.request("TRACE", "/v1/tasks/a")).status_code in (404, 405)
            assert (await client.get("/v1/tasks")).status_code == 404
        async with held.yard.client() as beside:
            assert (await beside.get("/v1/tasks/a")).status_code == 404
        assert ("script", "1/api/v1/tasks/[id].py") in held.yard.record.of("script.called")[0].detail


_CALLS_STREAMED = 'data: {"choices": []}\n\ndata: {"choices": [{"delta": {"tool_calls": [{"id": "1"}]}}]}\n\n'


@pytest.mark.parametrize(
    "answer",
    [
        said({"choices": [{"message": {"tool_calls": [{"id": "1"}]}}]}),
        said({"content": [{"type": "tool_use", "name": "bash"}]}),
        Said(b'data: {"choices":[{"delta":{"tool_calls":[{"index":0}]}}]}\n\n', kind="text/event-stream"),
        Said(b'data: {"choices":[{"delta":\ndata: {"tool_calls":[{"index":0}]}}]}\n\n', kind="text/plain"),
        Said(b'data: {"choices":[{"delta":{"tool_calls":1}}],"choices":[]}', kind="text/event-stream"),
        Said(b'hello\n{"type":"tool_use"}\n', kind="application/x-ndjson"),
        Said(b'{"type":\n"tool_use"}\n', kind="text/plain"),
        Said(b"<script>", kind="text/html"),
        Said(b"x", kind="application/octet-stream"),
        said({}, 301),
        Said(b"{", kind="application/json"),
        stream(_CALLS_STREAMED),
        stream(_CALLS_STREAMED.replace("\n", "\r\n")),
        stream('event: x\ndata: {"content_block":\ndata: {"type": "tool_use", "name": "bash"}}'),
        stream('data: {"a": {"type": "text", "type": "tool_use"}}\n\n'),
        Said(b'{"content":\n [{"type": "tool_use", "name": "bash"}]}', kind="text/plain"),
        Said(b'{"a": 1}\n{"type": "function_call", "name": "bash"}\n', kind="application/x-ndjson"),
        Said(b"[" * 100_000 + b"{", kind="text/plain"),
    ],
)
async def test_a_path_that_only_a_script_knows_is_no_way_round_the_gate(
    start: Start, tmp_path: Path, answer: Said
) -> None:
    async with scripted(start, tmp_path, lambda held, told: answer) as held:
        held.put("1", "api/v1/mine.py")
        async with held.client() as client:
            got = await client.post("/v1/mine", json={})
            assert got.status_code == 502
            assert got.headers["x-bawn-code"] == "script.bad_answer"


@pytest.mark.parametrize(
    "answer",
    [
        stream('data: {"choices": [{"delta": {"content": "it says tool_calls"}}]}\n\ndata: [DONE]\n\n'),
        Said(b"# Tools\n\nUse {braces} and [brackets].\n", kind="text/markdown"),
        Said(b'{"a": 1}\n{"b": [2]}\n', kind="application/x-ndjson"),
    ],
)
async def test_texts_and_streams_without_calls_come_from_a_path_that_only_a_script_knows(
    start: Start, tmp_path: Path, answer: Said
) -> None:
    async with scripted(start, tmp_path, lambda held, told: answer) as held:
        held.put("1", "api/v1/mine.py")
        async with held.client() as client:
            got = await client.post("/v1/mine", json={})
            assert got.status_code == 200, got.text
            assert got.content == (answer.body if isinstance(answer.body, bytes) else b"".join(answer.body))


async def test_results_of_a_batch_do_not_pass_the_gate_as_the_content_of_a_file(start: Start, tmp_path: Path) -> None:
    results = b'{"custom_id": "1", "response": {"body": {"choices": [{"message": {"tool_calls": [{"id": "1"}]}}]}}}\n'
    contents = [results * 2, b"PK\x03\x04\xff{\x00", b'{"role": "user"}\n{"role": "user"}\n']

    def content(held: Scripted, told: Told) -> Said:
        return Said(contents[len(held.worker.told) - 1], kind="application/octet-stream")

    async with scripted(start, tmp_path, content, allow=Allow(models=("*",), objects=("files",))) as held:
        held.put("1")
        async with held.client() as client:
            refused = await client.get("/v1/files/file-1/content")
            assert (refused.status_code, refused.headers["x-bawn-code"]) == (502, "script.bad_answer")
            for each in contents[1:]:
                assert (await client.get("/v1/files/file-1/content")).content == each
