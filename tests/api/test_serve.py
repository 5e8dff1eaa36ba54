"""The listeners on the event loop that the gateway uses."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import uvloop
from tests.api.yard import Yard

from bawn.sdk import AsyncClient


def test_all_of_it_works_on_uvloop(tmp_path: Path) -> None:
    async def act() -> list[bytes]:
        async with Yard(tmp_path).open() as yard, AsyncClient(str(yard.path)) as client:
            await client.containers.create("dev")
            await client.containers.start("dev")
            session = await client.containers.exec("dev", ["echo", "on uvloop"])
            return [data.data async for data in session]

    done: list[list[bytes]] = []

    def run() -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            done.append(runner.run(act()))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(20)
    assert done == [[b"on uvloop\n"]]


async def test_a_stopped_server_lets_go_of_running_commands(yard: Yard) -> None:
    async with AsyncClient(str(yard.path)) as client:
        await client.containers.create("dev")
        await client.containers.start("dev")
        session = await client.containers.exec("dev", ["sleep", "60"])
        async with asyncio.timeout(10):
            await yard.server.stop()
        assert yard.boxes.commands[0].closed
        await session.close()
