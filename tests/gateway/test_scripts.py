"""Calls that pass scripts, by the doors of a container: which scripts, in which order, and nothing round them."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.gateway.conftest import OTHER, UUID, RealClock, Start, Yard, until
from tests.gateway.judges import NEVER
from tests.gateway.test_calls import CHAT
from tests.gateway.test_interception import CALLED, EACH_WIRE, STREAMED, Speaks
from tests.scripts.worker import CHAT_ANSWER, Said, Told, Worker, said, stream, worker

from bawn.errors import Fault
from bawn.gateway.answer import Answer
from bawn.gateway.pool import Pool
from bawn.gateway.providers import Origin
from bawn.gateway.script_door import Asker, ScriptDoor
from bawn.gateway.script_workers import ScriptWorkers
from bawn.gateway.settings import Allow
from bawn.identity.reentry import Reentry
from bawn.scripts.settings import Scripts
from bawn.scripts.shelf import Shelf
from bawn.scripts.stage import ScriptStage
from bawn.scripts.ways import Ways
from bawn.terms.door import Door, DoorKind

PLAIN = "async def handle(req, res, ctx): ...\n"
EVERYTHING = "api/v1/[...path].py"


@dataclass
class Services:
    asked: list[tuple[str, Asker, dict[str, Any]]] = field(default_factory=list)

    def knows(self, service: str) -> bool:
        return service in ("notify", "log", "broken", "never")

    async def ask(self, service: str, asker: Asker, body: dict[str, Any]) -> Any:
        self.asked.append((service, asker, body))
        if service == "broken":
            raise Fault("limit.depth", "Not so deep.")
        if service == "never":
            await asyncio.Event().wait()
        return {"sent": True}


@dataclass
class Scripted:
    yard: Yard
    shelf: Shelf
    worker: Worker
    services: Services
    settings: Scripts
    exec_port: int
    door: Path
    reentry: Reentry

    def client(self, name: str = "1", token: str = "container-dev") -> httpx.AsyncClient:
        headers = {"authorization": f"Bearer {token}", "host": f"exec-{name}.bawn.internal"}
        return httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{self.exec_port}", headers=headers, timeout=10, trust_env=False
        )

    def put(self, name: str, path: str = EVERYTHING, text: str = PLAIN, project: str = "default") -> None:
        self.shelf.write(project, name, path, text)

    async def ask(
        self, told: Told, path: str = "", body: bytes | None = None, method: str = "", **headers: str
    ) -> httpx.Response:
        """What `ctx.upstream` does."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        async with httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(uds=str(self.door)), base_url="http://door"
        ) as client:
            return await client.request(
                method or told.headers["x-bawn-method"],
                path or told.headers["x-bawn-path"],
                content=told.body if body is None else body,
                headers={"authorization": f"Bearer {told.ticket}", **told.header("headers"), **named},
                timeout=10,
            )


Play = Callable[[Scripted, Told], Any]


@asynccontextmanager
async def scripted(
    start: Start, tmp_path: Path, play: Play, settings: dict[str, Any] | None = None, **more: Any
) -> AsyncIterator[Scripted]:
    """A gateway with scripts; `play` is what the worker does."""
    (tmp_path / "scripts").mkdir()
    shelf, held = Shelf(tmp_path / "scripts"), Scripts.model_validate(settings or {})
    clock, running = RealClock(), set[Answer]()
    reentry = Reentry(clock)
    socket_path = tmp_path / "w.sock"

    async def ready(project: str, name: str) -> Origin:
        return Origin("worker", 80, tls=False, unix=str(socket_path))

    ways = Ways(lambda: shelf.stock, lambda: held)
    workers = ScriptWorkers(Pool(clock.monotonic, 5), reentry, clock, lambda: held, ready, running)
    yard = await start(stages=(ScriptStage(ways, workers, lambda: held, clock),), **more)
    yard.gateway.use_scripts(ways, workers)
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    await yard.doors.open(Door(DoorKind.EXEC, UUID, "127.0.0.1", port, "gateway"), listener)
    services = Services()
    door = ScriptDoor(yard.gateway, reentry, ways, services, yard.record, workers.lives)
    await door.open(tmp_path / "door.sock")
    one: list[Scripted] = []

    async def script(told: Told) -> Said:
        answer = play(one[0], told)
        return answer if isinstance(answer, Said) else await answer

    async with worker(socket_path, script) as standing:
        one.append(Scripted(yard, shelf, standing, services, held, port, tmp_path / "door.sock", reentry))
        try:
            yield one[0]
        finally:
            await door.shut()


async def through(held: Scripted, told: Told) -> Said:
    """A script that changes nothing."""
    answer = await held.ask(told)
    kind = answer.headers["content-type"]
    if kind.startswith("text/event-stream"):
        return stream(answer.text)
    return Said(answer.content, answer.status_code, kind)


def local(held: Scripted, told: Told) -> Said:
    return said(CHAT_ANSWER)


def text(answer: httpx.Response) -> str:
    assert answer.status_code == 200, answer.text
    return str(answer.json()["choices"][0]["message"]["content"])


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


REQUIRED = {"required": {"dev": ["guard"]}}


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
