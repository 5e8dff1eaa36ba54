"""The URL chooses the script; the door asks for the token as every other."""

from __future__ import annotations

from pathlib import Path

from tests.gateway.conftest import OTHER, Start
from tests.gateway.script_house import (
    local,
    scripted,
    text,
    through,
)
from tests.gateway.test_calls import CHAT


async def test_the_url_chooses_the_script_and_the_ai_door_has_none(start: Start, tmp_path: Path) -> None:
    async with scripted(start, tmp_path, local) as held:
        held.put("1")
        async with held.client() as client, held.yard.client() as beside:
            for root in ("/api/v1", "/v1"):
                assert text(await client.post(f"{root}/chat/completions", json=CHAT)) == "from the script"
            assert text(await beside.post("/v1/chat/completions", json=CHAT)) != "from the script"
        settlement = await held.yard.settled(3)
        assert settlement.provider == "scripted"
        assert held.yard.books.settlements[0].provider == "scripts"
        assert held.yard.books.settlements[0].cost_usd == 0


async def test_a_script_that_passes_everything_on_changes_nothing(start: Start, tmp_path: Path) -> None:
    async with scripted(start, tmp_path, through) as held:
        held.put("1")
        async with held.client() as client, held.yard.client() as beside:
            scripts = await client.post("/v1/chat/completions", json=CHAT)
            plain = await beside.post("/v1/chat/completions", json=CHAT)
            assert text(scripts) == text(plain)
            streamed = CHAT | {"stream": True}
            scripts = await client.post("/v1/chat/completions", json=streamed)
            plain = await beside.post("/v1/chat/completions", json=streamed)
            assert scripts.headers["content-type"] == "text/event-stream"
            assert [line[:5] for line in scripts.text.splitlines()] == [line[:5] for line in plain.text.splitlines()]
            assert (await client.get("/v1/models")).json()["data"] == (await beside.get("/v1/models")).json()["data"]
            broken = await client.post("/v1/chat/completions", json=CHAT | {"model": "nobody/nothing"})
            assert broken.status_code == 404
            assert "nobody/nothing" in broken.json()["error"]["message"]
        outer = held.worker.told[0].headers["x-bawn-call"]
        inner = [event for event in held.yard.record.of("call.opened") if ("for", outer) in event.detail]
        assert len(inner) == 1


async def test_a_host_that_names_no_exec_of_the_project_is_refused(start: Start, tmp_path: Path) -> None:
    async with scripted(start, tmp_path, local) as held:
        held.put("1", project="other")
        for name in ("1", "2", "guard"):
            async with held.client(name) as client:
                answer = await client.post("/v1/chat/completions", json=CHAT)
                assert answer.status_code == 404
                assert answer.headers["x-bawn-code"] == "script.unknown_exec"
        assert not held.worker.told


async def test_a_path_without_a_file_goes_on_as_by_the_ai_door(start: Start, tmp_path: Path) -> None:
    async with scripted(start, tmp_path, local) as held:
        held.put("1", "api/v1/messages.py")
        async with held.client() as client:
            assert text(await client.post("/v1/chat/completions", json=CHAT)) != "from the script"
            assert (await client.get("/v1/models")).status_code == 200
            assert (await client.get("/v1/nothing")).status_code == 404
        assert not held.worker.told


async def test_the_exec_door_asks_for_the_token_as_the_ai_door_does(start: Start, tmp_path: Path) -> None:
    async with scripted(start, tmp_path, local) as held:
        held.put("1", "api/v1/anything.py")
        for token in ("container-other", "sk-x", f"container-{OTHER}"):
            async with held.client(token=token) as client:
                for path in ("/v1/anything", "/v1/chat/completions"):
                    assert (await client.post(path, json={})).status_code == 401
        assert not held.worker.told
