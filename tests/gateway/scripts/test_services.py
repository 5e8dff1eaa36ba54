"""What scripts ask of Bawn is done for their container, on record."""

from __future__ import annotations

from pathlib import Path

import httpx
from tests.gateway.conftest import UUID, Start
from tests.gateway.judges import NEVER
from tests.gateway.script_house import (
    REQUIRED,
    Scripted,
    local,
    scripted,
    text,
    through,
)
from tests.gateway.test_calls import CHAT
from tests.gateway.test_interception import CALLED, EACH_WIRE, STREAMED, Speaks
from tests.scripts.worker import CHAT_ANSWER, Said, Told, said


async def test_services_are_asked_for_the_container_of_the_ticket(start: Start, tmp_path: Path) -> None:
    async def notifying(held: Scripted, told: Told) -> Said:
        answer = await held.ask(told, "/_bawn/notify", b'{"title": "hello"}', "POST")
        assert answer.json() == {"sent": True}
        for path, body, status in (
            ("/_bawn/nothing", b"{}", 404),
            ("/_bawn/notify", b"[", 400),
            ("/_bawn/broken", b"{}", 403),
        ):
            refused = await held.ask(told, path, body, "POST")
            assert refused.status_code == status
            assert set(refused.json()["error"]) == {"code", "message"}
        assert (await held.ask(told, "/_bawn/notify", b"", "GET")).status_code == 405
        return said(CHAT_ANSWER)

    async with scripted(start, tmp_path, notifying) as held:
        held.put("1")
        async with held.client() as client:
            assert text(await client.post("/v1/chat/completions", json=CHAT))
        service, asker, body = held.services.asked[0]
        assert (service, body) == ("notify", {"title": "hello"})
        assert (asker.container.uuid, asker.exec) == (UUID, "1")
        assert asker.call == held.worker.told[0].headers["x-bawn-call"]
        assert held.yard.record.of("script.asked")[0].endpoint == "notify"


async def test_what_cannot_be_recorded_is_not_done_for_a_script(start: Start, tmp_path: Path) -> None:
    async with scripted(start, tmp_path, local) as held:
        held.put("1", "api/v1/mine.py")
        held.yard.record.broken = True
        async with held.client() as client:
            assert (await client.post("/v1/mine", json={})).status_code == 503
        assert not held.worker.told


async def test_another_container_of_the_project_has_the_scripts_and_not_the_requirement(
    start: Start, tmp_path: Path
) -> None:
    async with scripted(start, tmp_path, local, REQUIRED) as held:
        held.put("guard")
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{held.yard.other_port}") as client:
            answer = await client.post(
                "/v1/chat/completions", json=CHAT, headers={"authorization": "Bearer container-other"}
            )
            assert text(answer) != "from the script"


@EACH_WIRE
@STREAMED
async def test_the_gate_judges_what_a_script_answers_and_not_what_it_is_given(
    start: Start, tmp_path: Path, speaks: Speaks, stream: bool
) -> None:
    given: list[str] = []

    async def look(held: Scripted, told: Told) -> Said:
        answer = await through(held, told)
        given.append((answer.body if isinstance(answer.body, bytes) else b"".join(answer.body)).decode())
        return answer

    async with scripted(start, tmp_path, look, judges=(NEVER,)) as held:
        held.put("1")
        async with held.client() as client:
            answer = await client.post(**speaks.asking(CALLED, stream))
        assert answer.status_code == 200, answer.text
        assert "rm -rf" in given[0]
        assert '"bash"' in given[0]
        assert "was refused" in answer.text
        assert "rm -rf" not in answer.text
        # Nobody asked the model to go on: it was the script that asked it.
        assert len(held.yard.record.of("call.opened")) == 2
        assert len(held.yard.record.of("tool.withheld")) == 1
