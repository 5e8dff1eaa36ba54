"""Documented paths beside the tables: closed until the operator opens one, and then a call like others."""

from __future__ import annotations

from typing import Any

import pytest
from tests.gateway.conftest import SECRET, Start
from tests.gateway.host import Heard, Said, host, refusal, said

from bawn.gateway.settings import Allow, Limits

PATHS = ("POST responses/input_tokens", "GET fine_tuning/jobs")
OPEN = Allow(models=("*",), paths=PATHS)
ASKED: dict[str, Any] = {"model": "keyed/m", "input": "hello"}


def answer(heard: Heard) -> Said:
    if heard.path.endswith("jobs"):
        return said({"object": "list", "data": []})
    return said(
        {"object": "response.input_tokens", "input_tokens": 3, "usage": {"input_tokens": 3, "output_tokens": 0}}
    )


async def test_a_path_is_nothing_until_it_is_opened_and_then_admitted_recorded_and_settled(start: Start) -> None:
    async with host(answer) as there:
        closed = await start(provider=there.url)
        async with closed.client() as client:
            refused = await client.post("/v1/responses/input_tokens", json=ASKED)
        assert refused.status_code == 404
        assert there.heard == []
        yard = await start(provider=there.url, allow=OPEN)
        yard.held.hold("keyed", SECRET)
        async with yard.client() as client:
            counted = await client.post("/api/v1/responses/input_tokens", json=ASKED)
            listed = await client.get("/v1/fine_tuning/jobs")
            other = await client.get("/v1/fine_tuning/jobs/ftjob-1")
            wrong = await client.post("/v1/fine_tuning/jobs", json=ASKED)
        async with yard.client("container-else") as client:
            stranger = await client.post("/v1/responses/input_tokens", json=ASKED)
    assert counted.json()["input_tokens"] == 3
    assert (listed.status_code, other.status_code, wrong.status_code, stranger.status_code) == (200, 404, 404, 401)
    first = there.heard[0]
    assert (first.method, first.path, first.json["model"]) == ("POST", "/responses/input_tokens", "m")
    assert first.headers["authorization"] == f"Bearer {SECRET}"
    await yard.settled(2)
    settled: Any = yard.books.settlements[0]
    assert (settled.endpoint, settled.provider, settled.usage.input_tokens) == ("other", "keyed", 3)
    opened = yard.record.of("call.opened")
    assert [dict(event.detail)["path"] for event in opened] == list(PATHS)


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"model": "nowhere/m"}, "request.unknown_model"),
        ({"model": "keyed/m:online"}, "request.hosted_tool_refused"),
        ({**ASKED, "tools": [{"type": "web_search"}]}, "request.hosted_tool_refused"),
        ({**ASKED, "deep": {"er": [{"tools": [{"type": "mcp", "server_url": "https://x.example"}]}]}}, None),
        ({**ASKED, "input": [{"content": [{"image_url": "https://x.example/a.png"}]}]}, "request.fetch_refused"),
        ({**ASKED, "file_id": "file-1"}, "resource.not_found"),
        ([], "request.malformed_json"),
    ],
)
async def test_what_would_be_refused_elsewhere_is_refused_here(start: Start, asked: Any, code: str | None) -> None:
    async with host(answer) as there:
        yard = await start(provider=there.url, allow=OPEN)
        async with yard.client() as client:
            refused = await client.post("/v1/responses/input_tokens", json=asked)
    assert refused.status_code in (400, 403, 404)
    assert code is None or refused.json()["error"]["code"] == code
    assert there.heard == []


@pytest.mark.parametrize(
    "told",
    [
        said({"output": [{"type": "function_call", "name": "rm", "call_id": "1", "arguments": "{}"}]}),
        said({"deep": [{"message": {"tool_calls": []}}]}),
        (200, {"content-type": "text/html"}, b"<html>"),
        (200, {"content-type": "application/json"}, b'{"a":1,"a":2}'),
        said({"text": "x" * 5000}),
    ],
)
async def test_an_answer_that_nobody_can_judge_does_not_pass(start: Start, told: Said) -> None:
    async with host(lambda heard: told) as there:
        yard = await start(provider=there.url, allow=OPEN, limits=Limits(answer_bytes=4096))
        yard.held.hold("keyed", SECRET)
        async with yard.client() as client:
            got = await client.post("/v1/responses/input_tokens", json=ASKED)
    assert (got.status_code, got.json()["error"]["code"]) == (502, "upstream.broken")
    assert (await yard.settled()).outcome == "upstream_error"


async def test_an_error_of_the_provider_passes_and_its_echo_of_the_key_does_not(start: Start) -> None:
    async with host(lambda heard: said({"error": {"message": f"no {SECRET}", "type": "x"}}, 400)) as there:
        yard = await start(provider=there.url, allow=OPEN)
        yard.held.hold("keyed", SECRET)
        async with yard.client() as client:
            got = await client.post("/v1/responses/input_tokens", json=ASKED)
    assert (got.status_code, SECRET in got.text) == (400, False)
    async with host(lambda heard: refusal(401)) as there:
        yard = await start(provider=there.url, allow=OPEN)
        yard.held.hold("keyed", SECRET)
        async with yard.client() as client:
            got = await client.post("/v1/responses/input_tokens", json=ASKED)
    assert got.json()["error"]["code"] == "upstream.key_refused"
