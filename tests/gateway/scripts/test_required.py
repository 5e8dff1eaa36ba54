"""No way leads round a required script, and scripts are passed in their order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.gateway.conftest import Start
from tests.gateway.script_house import (
    PLAIN,
    REQUIRED,
    Scripted,
    local,
    scripted,
    text,
    through,
)
from tests.gateway.test_calls import CHAT
from tests.scripts.worker import Said, Told, said

from bawn.gateway.settings import Allow


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v1/chat/completions", CHAT),
        ("POST", "/api/v1/chat/completions", CHAT),
        ("POST", "/v1/chat/completions", CHAT | {"stream": True}),
        ("POST", "/v1/completions", {"model": "house", "prompt": "x"}),
        ("POST", "/v1/embeddings", {"model": "house", "input": "x"}),
        ("POST", "/v1/moderations", {"model": "house", "input": "x"}),
        ("POST", "/v1/responses", {"model": "house", "input": "x"}),
        ("POST", "/v1/messages", {"model": "house", "max_tokens": 9, "messages": [{"role": "user", "content": "x"}]}),
        (
            "POST",
            "/v1/messages?beta=true",
            {"model": "house", "max_tokens": 9, "messages": [{"role": "user", "content": "x"}]},
        ),
        ("POST", "/v1/messages/count_tokens", {"model": "house", "messages": [{"role": "user", "content": "x"}]}),
        ("POST", "/v1beta/models/house:generateContent", {"contents": [{"parts": [{"text": "x"}]}]}),
        ("POST", "/v1beta/models/house:streamGenerateContent?alt=sse", {"contents": [{"parts": [{"text": "x"}]}]}),
        ("GET", "/v1/models", None),
        ("GET", "/v1beta/models", None),
        ("GET", "/v1/files", None),
        ("GET", "/v1/responses/resp_1", None),
        ("POST", "/v1/responses/input_tokens", {"model": "house"}),
    ],
)
async def test_no_path_leads_round_a_required_script(
    start: Start, tmp_path: Path, method: str, path: str, body: dict[str, Any] | None
) -> None:
    def no(held: Scripted, told: Told) -> Said:
        return said({"error": {"message": "guarded"}}, 403)

    allow = Allow(models=("*",), objects=("files", "responses"), paths=("POST responses/input_tokens",))
    async with scripted(start, tmp_path, no, REQUIRED, allow=allow) as held:
        held.put("guard")
        held.put("1", "api/v1/only/here.py")
        for client in (held.yard.client(), held.client("1"), held.client("guard")):
            async with client:
                answer = await client.request(method, path, json=body)
                assert answer.status_code == 403, answer.text
                assert "guarded" in answer.text
        assert len(held.worker.told) == 3
        assert {told.headers["x-bawn-exec"] for told in held.worker.told} == {"guard"}


async def test_a_required_script_that_has_no_file_for_the_path_refuses(start: Start, tmp_path: Path) -> None:
    async with scripted(start, tmp_path, local, REQUIRED) as held:
        held.put("guard", "api/v1/messages.py")
        for client in (held.yard.client(), held.client("guard")):
            async with client:
                for method, path in (("POST", "/v1/chat/completions"), ("GET", "/v1/models")):
                    answer = await client.request(method, path, json=CHAT)
                    assert answer.status_code == 403
                    assert answer.headers["x-bawn-code"] == "script.no_route"
        async with held.yard.client() as client:
            assert (await client.post("/v1/chat%2Fcompletions", json=CHAT)).status_code == 404


async def test_a_required_exec_that_is_gone_refuses_everything(start: Start, tmp_path: Path) -> None:
    async with scripted(start, tmp_path, local, REQUIRED) as held, held.yard.client() as client:
        answer = await client.post("/v1/chat/completions", json=CHAT)
        assert answer.headers["x-bawn-code"] == "script.no_route"


async def test_required_scripts_are_passed_in_order_before_that_of_the_url(start: Start, tmp_path: Path) -> None:
    async with scripted(start, tmp_path, through, {"required": {"dev": ["guard"], "*": ["log"]}}) as held:
        for name in ("1", "guard", "log"):
            held.put(name)
        async with held.client("1") as client:
            assert text(await client.post("/v1/chat/completions", json=CHAT))
            assert [told.headers["x-bawn-exec"] for told in held.worker.told] == ["guard", "log", "1"]
            held.worker.told.clear()
            assert (await client.get("/v1/models")).status_code == 200
            assert [told.headers["x-bawn-exec"] for told in held.worker.told] == ["guard", "log", "1"]


async def test_layers_are_named_by_the_header_of_a_file_or_by_the_script_itself(start: Start, tmp_path: Path) -> None:
    async def next_one(held: Scripted, told: Told) -> Said:
        if told.headers["x-bawn-exec"] == "2":
            answer = await held.ask(told, x_bawn_next="3")
            return Said(answer.content, answer.status_code)
        return await through(held, told)

    async with scripted(start, tmp_path, next_one) as held:
        held.put("3")
        held.put("2")
        held.put("1", text="# @next 2\n" + PLAIN)
        async with held.client("1") as client:
            assert text(await client.post("/v1/chat/completions", json=CHAT))
        assert [told.headers["x-bawn-exec"] for told in held.worker.told] == ["1", "2", "3"]
