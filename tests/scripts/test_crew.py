"""Workers are there when they are wanted, and do not stay when they hang."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from tests.scripts.standing import Standing

from bawn.errors import Fault
from bawn.lines.line import Packet
from bawn.scripts.crew import Crew, Wanted
from bawn.scripts.worker.client import Broken

WELL = "async def handle(req, res, ctx):\n    print('here')\n    return {'env': dict(ctx.env)}\n"


class Manned(Standing):
    """With a crew in place of the test's own starts."""

    def __init__(self) -> None:
        super().__init__()
        self.output = b""
        self.why: list[str] = []
        self.starts = 0
        self.crew = Crew(self.asked, self.wanted, self.on_output, self.on_ended, beat_s=0.05, patience_s=0.6, start_s=3)

    async def asked(self, do: str, /, **fields: object) -> Packet:
        if do == "script.start":
            self.starts += 1
            (self.home / f"run/scripts/{fields['project']}/egress").mkdir(parents=True, exist_ok=True)
        said = await self.ask(do.removeprefix("script."), **fields)
        return Packet({name: value for name, value in said.items() if name != "fds"}, tuple(said["fds"]))

    async def wanted(self, project: str, exec_id: str) -> Wanted:
        return Wanted({"WHOSE": f"{project}/{exec_id}"}, {"pids": 32})

    def on_output(self, _project: str, _exec: str, data: bytes) -> None:
        self.output += data

    def on_ended(self, _project: str, _exec: str, reason: str) -> None:
        self.why.append(reason)

    async def reached(self, exec_id: str = "1") -> tuple[int, object]:
        self.sockets["shop", exec_id] = await self.crew.socket("shop", exec_id)
        while not self.events.empty():
            self.crew.ended(self.events.get())
        return await self.call(exec_id=exec_id)

    async def heard(self) -> None:
        self.crew.ended(await asyncio.to_thread(self.events.get, timeout=5))


@pytest.fixture
async def manned(standing: Standing) -> AsyncIterator[Manned]:
    made = Manned()
    await made.open()
    yield made
    made.crew.close()
    await made.close()


async def test_a_worker_is_started_once_for_all_who_want_it(manned: Manned) -> None:
    manned.write(WELL)
    said = await asyncio.gather(*(manned.reached() for _ in range(5)))
    assert said == [(200, {"env": {"WHOSE": "shop/1"}})] * 5
    assert manned.starts == 1
    assert b'"line":"here"' in manned.output
    await asyncio.sleep(0.3)  # several beats
    assert manned.why == []
    assert list(manned.crew.running()) == [("shop", "1")]


async def test_a_worker_that_hangs_is_ended_and_the_next_request_finds_a_new_one(manned: Manned) -> None:
    manned.write("async def handle(req, res, ctx):\n    while True: pass\n")
    manned.write(WELL, exec_id="2")
    await manned.reached("2")
    manned.sockets["shop", "1"] = await manned.crew.socket("shop", "1")
    with pytest.raises(Broken):
        await asyncio.wait_for(manned.begun(), 10)
    manned.write(WELL)
    assert await manned.reached() == (200, {"env": {"WHOSE": "shop/1"}})
    assert manned.why == ["it did not answer in time"]
    assert (await manned.reached("2"))[0] == 200
    assert manned.starts == 3


async def test_a_worker_that_falls_again_and_again_has_to_wait(manned: Manned) -> None:
    manned.write("import os\nasync def handle(req, res, ctx):\n    os._exit(3)\n")
    for _ in range(3):
        with pytest.raises(Broken):
            await manned.reached()
        await manned.heard()
    assert manned.why == ["it ended with status 3"] * 3
    with pytest.raises(Fault) as refused:
        await manned.reached()
    assert refused.value.code == "script.unavailable"
    await manned.crew.end("shop", "1")  # as after a new version
    manned.write(WELL)
    assert (await manned.reached())[0] == 200


async def test_a_worker_that_cannot_be_started_is_told_to_all_who_wait(manned: Manned) -> None:
    said = await asyncio.gather(*(manned.crew.socket("shop", "9") for _ in range(3)), return_exceptions=True)
    assert [each.code for each in said if isinstance(each, Fault)] == ["script.unavailable"] * 3
    manned.write(WELL, exec_id="9")
    assert (await manned.reached("9"))[0] == 200


async def test_what_a_worker_was_given_is_given_anew_after_its_end(manned: Manned) -> None:
    manned.write(WELL)
    await manned.reached()
    await manned.crew.end("shop", "1")
    await manned.reached()
    assert manned.starts == 2
    assert manned.why == []


async def test_a_worker_that_nobody_wants_ends(manned: Manned) -> None:
    manned.crew._idle_s = 0.1
    manned.write(WELL)
    await manned.reached()
    await manned.heard()
    assert manned.crew.running() == {}
    assert manned.why == []
    assert (await manned.reached())[0] == 200
