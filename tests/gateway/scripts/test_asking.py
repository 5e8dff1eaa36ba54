"""What a script asks for is permitted as every call, for the time of its own call, and nests only so deep."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import httpx
import pytest
from tests.gateway.conftest import Start, until
from tests.gateway.script_house import (
    PLAIN,
    Scripted,
    local,
    scripted,
    text,
    through,
)
from tests.gateway.test_calls import CHAT
from tests.scripts.worker import Said, Told

from bawn.gateway.settings import Allow


async def test_a_script_cannot_send_a_call_in_a_circle(start: Start, tmp_path: Path) -> None:
    async def round_and_round(held: Scripted, told: Told) -> Said:
        answer = await held.ask(told, x_bawn_next="1")
        return Said(answer.content, answer.status_code)

    async with scripted(start, tmp_path, round_and_round) as held:
        held.put("1")
        async with held.client("1") as client:
            answer = await client.post("/v1/chat/completions", json=CHAT)
        assert answer.status_code == 502
        assert "twice" in answer.text
        assert len(held.worker.told) == 1


async def test_a_script_may_ask_for_another_model_and_permissions_judge_that_one(start: Start, tmp_path: Path) -> None:
    async def reroute(held: Scripted, told: Told) -> Said:
        answer = await held.ask(told, body=json.dumps(told.json | {"model": wanted[0]}).encode())
        return Said(answer.content, answer.status_code)

    wanted = ["scripted/echo"]
    async with scripted(start, tmp_path, reroute, allow=Allow(models=("scripted/echo",))) as held:
        held.put("1")
        async with held.client() as client:
            asked = CHAT | {"model": "whatever-i-like"}
            assert text(await client.post("/v1/chat/completions", json=asked))
            wanted[0] = "scripted/agent"
            answer = await client.post("/v1/chat/completions", json=asked)
            assert answer.status_code == 404
            assert "scripted/agent" in answer.text


async def test_a_script_may_name_another_provider_for_the_same_model(start: Start, tmp_path: Path) -> None:
    async def elsewhere(held: Scripted, told: Told) -> Said:
        answer = await held.ask(told, x_bawn_provider="keyed")
        return Said(answer.content, answer.status_code)

    async with scripted(start, tmp_path, elsewhere) as held:
        held.put("1")
        async with held.client() as client:
            assert text(await client.post("/v1/chat/completions", json=CHAT | {"model": "scripted/echo"}))
        await until(lambda: len(held.yard.books.settlements) == 2)
        assert {each.provider for each in held.yard.books.settlements} == {"keyed", "scripts"}


async def test_the_header_of_an_agent_chooses_no_provider_and_no_script(start: Start, tmp_path: Path) -> None:
    async with scripted(start, tmp_path, local) as held:
        held.put("1")
        async with held.yard.client() as client:
            headers = {"x-bawn-provider": "keyed", "x-bawn-next": "1", "host": "exec-1.bawn.internal"}
            assert text(await client.post("/v1/chat/completions", json=CHAT, headers=headers)) != "from the script"
        assert (await held.yard.settled()).provider == "scripted"


@pytest.mark.parametrize(
    "token", ["", "Bearer container-dev", "Bearer bawn_reentry_", "Bearer bawn_reentry_AAAA", "Basic x"]
)
async def test_without_a_ticket_of_ours_the_script_door_answers_nobody(
    start: Start, tmp_path: Path, token: str
) -> None:
    async with scripted(start, tmp_path, local) as held:
        async with httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(uds=str(held.door)), base_url="http://door"
        ) as client:
            for path in ("/v1/chat/completions", "/_bawn/notify", "/v1/models"):
                answer = await client.post(path, json={}, headers={"authorization": token} if token else {})
                assert answer.status_code == 401, answer.text
        assert not held.services.asked


async def test_a_ticket_is_worth_nothing_at_the_doors_of_containers(start: Start, tmp_path: Path) -> None:
    async with scripted(start, tmp_path, local) as held:
        held.put("1")
        ticket = held.reentry.mint(held.yard.registry.now.container, 1)
        for client in (held.client(token=""), held.yard.client(token="")):
            async with client:
                answer = await client.get("/v1/models", headers={"authorization": f"Bearer {ticket}"})
                assert answer.status_code == 401


async def test_a_ticket_ends_with_its_call(start: Start, tmp_path: Path) -> None:
    async with scripted(start, tmp_path, local) as held:
        held.put("1")
        async with held.client() as client:
            assert text(await client.post("/v1/chat/completions", json=CHAT))
        for path in ("/v1/chat/completions", "/_bawn/notify"):
            assert (await held.ask(held.worker.told[0], path, method="POST")).status_code == 401
        assert not held.services.asked


async def test_a_withdrawn_right_ends_what_a_script_does(start: Start, tmp_path: Path) -> None:
    waiting = asyncio.Event()

    async def slow(held: Scripted, told: Told) -> Said:
        if not waiting.is_set():
            waiting.set()
            await asyncio.Event().wait()
        return await through(held, told)

    async with scripted(start, tmp_path, slow) as held:
        held.put("1")
        async with held.client() as client:
            call = asyncio.ensure_future(client.post("/v1/chat/completions", json=CHAT))
            await waiting.wait()
            held.yard.registry.change(ai=False)
            assert (await call).status_code == 401
            assert (await call).headers["x-bawn-code"] == "call.revoked"
            await until(lambda: held.worker.left == 1)
            late = await held.ask(held.worker.told[0])
            assert late.status_code == 401


async def test_calls_of_scripts_nest_only_so_deep(start: Start, tmp_path: Path) -> None:
    async with scripted(start, tmp_path, through) as held:
        for number in range(6, 0, -1):
            held.put(str(number), text=(f"# @next {number + 1}\n" if number < 6 else "") + PLAIN)
        async with held.client("1") as client:
            answer = await client.post("/v1/chat/completions", json=CHAT)
        assert answer.status_code == 403
        assert "deep" in answer.text
