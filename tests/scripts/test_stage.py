"""A model call that passes a script: what the worker is asked, and what becomes of its answer."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.scripts.worker import CHAT_ANSWER, Said, Script, Told, Worker, said, stream, worker

from bawn.errors import Fault
from bawn.gateway.answer import Answer
from bawn.gateway.pool import Pool
from bawn.gateway.providers import Origin
from bawn.gateway.script_workers import ScriptWorkers
from bawn.identity.reentry import Reentry
from bawn.scripts.settings import Pending, Scripts, WorkerLimits
from bawn.scripts.shelf import Shelf
from bawn.scripts.stage import ScriptStage
from bawn.scripts.ways import Ways, exec_of
from bawn.stages.asked import Asked
from bawn.stages.stage import Given
from bawn.terms.exchange import Endpoint, Exchange, WireName
from bawn.terms.principal import Container
from bawn.terms.way import Way

DEV = Container("2b1c6b0e-0000-4000-8000-000000000000", 7, "dev", "default", "planner", ("night",))
PLAIN = "async def handle(req, res, ctx): ...\n"
ALL = "api/v1/[...path].py"
FIRST = Way(("1",))
BODY = b'{"model": "m", "messages": []}'


class Clock:
    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()


@dataclass
class Desk:
    shelf: Shelf
    stage: ScriptStage
    ways: Ways
    worker: Worker
    reentry: Reentry
    running: set[Answer]

    async def ask(self, way: Way = FIRST, path: bytes = b"/v1/chat/completions", **changes: Any) -> Given | None:
        fields: dict[str, Any] = {
            "wire": WireName.OPENAI,
            "endpoint": Endpoint.CHAT_COMPLETIONS,
            "model": "m",
            "stream": False,
            "body": BODY,
        }
        exchange = Exchange(**(fields | changes))
        headers = (
            (b"authorization", b"Bearer container-dev"),
            (b"content-type", b"application/json"),
            (b"cookie", b"x"),
        )
        asked = Asked("call_1", DEV, exchange, headers, lambda asked: "s", lambda exchange: None, path=path, way=way)
        return await self.stage.request(asked)

    async def refused(self, **changes: Any) -> Fault:
        with pytest.raises(Fault) as caught:
            await self.ask(**changes)
        return caught.value


@asynccontextmanager
async def desk(tmp_path: Path, script: Script, settings: Scripts | None = None) -> AsyncIterator[Desk]:
    (tmp_path / "scripts").mkdir()
    shelf = Shelf(tmp_path / "scripts")
    shelf.write("default", "1", ALL, PLAIN)
    held = settings or Scripts()
    clock, running = Clock(), set[Answer]()
    reentry = Reentry(clock)
    pool = Pool(clock.monotonic, 5)
    ways = Ways(lambda: shelf.stock, lambda: held)
    socket = tmp_path / "w.sock"

    async def ready(project: str, name: str) -> Origin:
        return Origin("worker", 80, tls=False, unix=str(socket))

    workers = ScriptWorkers(pool, reentry, clock, lambda: held, ready, running)
    async with worker(socket, script) as standing:
        yield Desk(shelf, ScriptStage(ways, workers, lambda: held, clock), ways, standing, reentry, running)


def always(answer: Said) -> Script:
    async def script(told: Told) -> Said:
        return answer

    return script


async def test_a_call_that_has_no_script_before_it_goes_on(tmp_path: Path) -> None:
    async with desk(tmp_path, always(said(CHAT_ANSWER))) as held:
        assert await held.ask(way=Way()) is None
        assert not held.worker.told


async def test_the_worker_is_asked_with_everything_but_credentials(tmp_path: Path) -> None:
    async with desk(tmp_path, always(said(CHAT_ANSWER))) as held:
        given = await held.ask(path=b"/api/v1/chat/completions?x=%2F")
        assert given is not None
        assert json.loads(given.data) == CHAT_ANSWER
        told = held.worker.told[0]
        assert told.path == "/handle"
        assert told.headers["x-bawn-script"] == ALL
        assert told.headers["x-bawn-path"] == "/api/v1/chat/completions?x=%2F"
        assert told.header("params") == {"path": ["chat", "completions"]}
        assert told.header("container") == {
            "uuid": DEV.uuid,
            "number": 7,
            "name": "dev",
            "project": "default",
            "role": "planner",
            "tags": ["night"],
        }
        assert told.headers["x-bawn-subdomain"] == "exec-1"
        assert told.header("headers") == {"content-type": "application/json"}
        assert told.body == BODY
        opened = held.reentry.open(told.ticket)
        assert opened.principal.on_behalf_of == DEV
        assert opened.way == Way((), ("1",), 1)
        assert not held.running


async def test_a_stream_of_the_script_is_handed_on_as_it_comes(tmp_path: Path) -> None:
    async with desk(tmp_path, always(stream("data: {}\n\n", "data: [DONE]\n\n"))) as held:
        given = await held.ask(stream=True)
        assert given is not None
        assert given.source is not None
        assert await given.source.body(1000) == b"data: {}\n\ndata: [DONE]\n\n"


async def test_a_stream_that_breaks_off_is_a_fault_of_the_script(tmp_path: Path) -> None:
    async with desk(tmp_path, always(stream("data: {}\n\n", broken=True))) as held:
        given = await held.ask(stream=True)
        assert given is not None
        assert given.source is not None
        with pytest.raises(Fault) as caught:
            await given.source.body(1000)
        assert caught.value.code == "script.crashed"


@pytest.mark.parametrize("status", [403, 404, 408, 429, 503])
async def test_an_error_of_the_script_keeps_its_status_and_its_message(tmp_path: Path, status: int) -> None:
    async with desk(tmp_path, always(said({"error": {"message": "not today"}}, status))) as held:
        fault = await held.refused()
        assert (fault.code, fault.status, fault.sentence) == ("script.refused", status, "not today")
        assert fault.kind.retry is (status in (429, 503))


async def test_an_error_in_one_word_is_one_as_well(tmp_path: Path) -> None:
    async with desk(tmp_path, always(said({"error": "Rejected\x00 by Ada"}, 403))) as held:
        assert (await held.refused()).sentence == "Rejected by Ada"


@pytest.mark.parametrize(
    "answer",
    [
        said({"hello": 1}),
        said([1]),
        Said(b"not json"),
        Said(b"<html>", kind="text/html"),
        said({"message": "x"}, 403),
        said({"error": "moved"}, 302),
        Said(b"", 204),
        stream("data: {}\n\n"),
        said({"choices": "x"}),
    ],
)  # fmt: skip
async def test_what_is_no_answer_to_the_call_never_reaches_the_agent(tmp_path: Path, answer: Said) -> None:
    async with desk(tmp_path, always(answer)) as held:
        fault = await held.refused()
        assert (fault.code, fault.status) == ("script.bad_answer", 502)


async def test_waiting_for_an_approval_is_an_error_of_the_wire(tmp_path: Path) -> None:
    pending = {"status": "pending_approval", "requestId": "r1", "message": "Ada was asked."}
    async with desk(tmp_path, always(said(pending))) as held:
        fault = await held.refused()
        assert (fault.code, fault.status) == ("script.pending", 425)
        assert fault.sentence == "Ada was asked. (request r1)"


async def test_a_script_that_failed_is_told_with_its_code_and_the_line_only_to_the_operator(tmp_path: Path) -> None:
    answer = said(
        {"sentence": "The script failed.", "cause": "x.py:3 KeyError"}, 502, x_bawn_script_fault="script.timeout"
    )
    async with desk(tmp_path, always(answer)) as held:
        fault = await held.refused()
        assert (fault.code, fault.sentence, fault.cause) == ("script.timeout", "The script failed.", "x.py:3 KeyError")


async def test_a_code_that_a_worker_made_up_is_not_believed(tmp_path: Path) -> None:
    async with desk(tmp_path, always(said({}, 502, x_bawn_script_fault="auth.refused"))) as held:
        assert (await held.refused()).code == "script.crashed"


async def test_an_answer_over_the_limit_is_cut(tmp_path: Path) -> None:
    settings = Scripts(limits=WorkerLimits(answer_bytes=1024))
    async with desk(tmp_path, always(Said(b"x" * 5000)), settings) as held:
        assert (await held.refused()).code == "script.crashed"


async def test_a_worker_that_is_not_there_is_a_clear_error(tmp_path: Path) -> None:
    async with desk(tmp_path, always(said(CHAT_ANSWER))) as held:
        (tmp_path / "w.sock").unlink()
        fault = await held.refused()
        assert (fault.code, fault.status) == ("script.unavailable", 502)


async def test_a_worker_has_no_more_requests_at_a_time_than_it_may(tmp_path: Path) -> None:
    go = asyncio.Event()

    async def slow(told: Told) -> Said:
        await go.wait()
        return said(CHAT_ANSWER)

    async with desk(tmp_path, slow, Scripts(limits=WorkerLimits(concurrent=1))) as held:
        first = asyncio.ensure_future(held.ask())
        await until(lambda: bool(held.worker.told))
        assert (await held.refused()).code == "limit.concurrency"
        go.set()
        assert await first is not None
        assert await held.ask() is not None


async def test_a_call_that_ends_stops_its_script(tmp_path: Path) -> None:
    async def never(told: Told) -> Said:
        await asyncio.Event().wait()
        raise AssertionError

    async with desk(tmp_path, never) as held:
        call = asyncio.ensure_future(held.ask())
        await until(lambda: bool(held.worker.told))
        call.cancel()
        await until(lambda: held.worker.left == 1)
        assert not held.running


async def test_a_script_that_takes_too_long_is_cut_by_the_sweep(tmp_path: Path) -> None:
    async def never(told: Told) -> Said:
        await asyncio.Event().wait()
        raise AssertionError

    async with desk(tmp_path, never) as held:
        call = asyncio.ensure_future(held.ask())
        await until(lambda: bool(held.worker.told))
        for answer in tuple(held.running):
            answer.expire()
        with pytest.raises(Fault) as caught:
            await call
        assert (caught.value.code, caught.value.status) == ("script.timeout", 504)


async def test_the_operators_pending_text_is_an_answer_of_the_wire(tmp_path: Path) -> None:
    pending = {"status": "pending_approval", "message": "Ada was asked."}
    async with desk(tmp_path, always(said(pending)), Scripts(pending=Pending.TEXT)) as held:
        given = await held.ask()
        assert given is not None
        assert json.loads(given.data)["choices"][0]["message"]["content"] == "Ada was asked."


async def test_json_for_a_stream_becomes_one(tmp_path: Path) -> None:
    async with desk(tmp_path, always(said(CHAT_ANSWER))) as held:
        given = await held.ask(stream=True)
        assert given is not None
        assert given.data.startswith(b"data: ")
        assert b"[DONE]" in given.data


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(3):
        while not condition():
            await asyncio.sleep(0.005)


def required(**lines: list[str]) -> Scripts:
    return Scripts.model_validate({"required": {name.replace("_", ":"): execs for name, execs in lines.items()}})


def ways(
    tmp_path: Path, settings: Scripts, stands_for: Callable[[Container], str] = lambda it: it.name, **files: str
) -> Ways:
    root = tmp_path / "held"
    root.mkdir()
    shelf = Shelf(root)
    for name, text in files.items():
        place = root / "default" / name.removeprefix("n") / ALL
        place.parent.mkdir(parents=True)
        place.write_text(text)
    shelf.refresh()
    return Ways(lambda: shelf.stock, lambda: settings, stands_for)


def test_required_scripts_come_first_and_none_twice(tmp_path: Path) -> None:
    held = ways(
        tmp_path, required(dev=["guard", "log"], project_default=["log", "n3"]), guard=PLAIN, log=PLAIN, n3=PLAIN
    )
    assert held.begin(DEV, "").ahead == ("guard", "log", "n3")
    assert held.begin(DEV, "log").ahead == ("guard", "log", "n3")
    other = Container(DEV.uuid, 8, "other", "else")
    assert not held.begin(other, "").ahead


def test_a_container_made_for_a_task_passes_what_the_one_has_to_that_had_it_made(tmp_path: Path) -> None:
    settings = Scripts.model_validate({"required": {"dev": ["guard"], "task-*": ["log"]}})
    made = Container(DEV.uuid, 8, "task-1", DEV.project)
    held = ways(tmp_path, settings, lambda it: "dev" if it == made else it.name, log=PLAIN)
    assert held.begin(made, "").ahead == ("log", "guard")
    assert held.begin(DEV, "").ahead == ("guard",)
    with pytest.raises(Fault) as caught:
        held.layer(made, Way(("guard",)), b"/v1/models")
    assert caught.value.code == "script.no_route"


def test_what_a_script_asks_for_that_was_told_of_a_task_passes_what_is_required(tmp_path: Path) -> None:
    held = ways(tmp_path, required(dev=["guard", "log"]), guard=PLAIN, log=PLAIN, n3="# @next 4\n" + PLAIN, n4=PLAIN)
    for name, ahead in (("3", ("guard", "log", "4")), ("log", ("guard",))):
        found = held.told(DEV, name, b"/api/v1/done")
        assert found is not None
        assert (found.exec, found.after) == (name, Way(ahead, (name,), 1))
    other = Container(DEV.uuid, 8, "other", DEV.project)
    found = held.told(other, "log", b"/api/v1/done")
    assert found is not None
    assert not found.after.ahead
    assert held.told(DEV, "3", b"/elsewhere") is None


def test_a_required_script_without_a_file_for_the_path_refuses_the_call(tmp_path: Path) -> None:
    held = ways(tmp_path, required(dev=["guard"]), log=PLAIN)
    with pytest.raises(Fault) as caught:
        held.layer(DEV, held.begin(DEV, ""), b"/v1/models")
    assert (caught.value.code, caught.value.status) == ("script.no_route", 403)


def test_a_path_that_no_file_can_answer_does_not_slip_by_what_is_required(tmp_path: Path) -> None:
    held = ways(tmp_path, required(dev=["guard"]), guard=PLAIN)
    for path in (b"/v1/../x", b"/v1//models", b"/", b"/v1/"):
        with pytest.raises(Fault):
            held.layer(DEV, held.begin(DEV, ""), path)


def test_layers_follow_their_headers_and_the_depth_counts_them(tmp_path: Path) -> None:
    held = ways(tmp_path, required(), n1="# @next 2\n" + PLAIN, n2=PLAIN)
    first = held.layer(DEV, held.begin(DEV, "1"), b"/v1/models")
    assert first is not None
    assert first.after == Way(("2",), ("1",), 1)
    second = held.layer(DEV, first.after, b"/v1/models")
    assert second is not None
    assert second.after == Way((), ("1", "2"), 2)
    assert held.layer(DEV, second.after, b"/v1/models") is None


def test_a_script_cannot_send_its_call_back_to_where_it_came_from(tmp_path: Path) -> None:
    held = ways(tmp_path, required(), n1=PLAIN, n2=PLAIN)
    way = Way((), ("1",), 1)
    assert held.further(DEV, way, "2").ahead == ("2",)
    with pytest.raises(Fault) as caught:
        held.further(DEV, way, "1")
    assert caught.value.code == "script.cyclic"
    with pytest.raises(Fault, match="no exec"):
        held.further(DEV, way, "9")


@pytest.mark.parametrize(
    "host", [b"ai.bawn.internal", b"exec-0.bawn.internal", b"exec-1.bawn.internal.evil.com", b"exec-1", b""]
)
def test_a_host_that_is_no_exec_is_refused(host: bytes) -> None:
    with pytest.raises(Fault) as caught:
        exec_of(host)
    assert caught.value.code == "script.unknown_exec"


def test_a_host_names_an_exec_in_any_case() -> None:
    assert exec_of(b"EXEC-Guard.bawn.internal:80") == "guard"
    assert exec_of(b"exec-12.bawn.internal") == "12"
