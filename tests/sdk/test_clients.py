"""The clients against a real API on a unix socket and on loopback."""

from __future__ import annotations

import asyncio

from bawn.sdk import AsyncClient, Client
from tests.api.yard import Yard


async def test_the_blocking_client_switches_the_ai_of_a_container_off(yard: Yard) -> None:
    def act() -> None:
        with Client(str(yard.path)) as client:
            made = client.containers.create("dev")
            assert (made.name, made.number, made.ai, made.state) == ("dev", 1, True, "created")
            assert client.containers.update("dev", ai=False).ai is False
            assert [box.name for box in client.containers.list()] == ["dev"]

    await asyncio.to_thread(act)
    record = yard.registry.get("dev")
    standing = yard.registry.standing(record.uuid)
    assert standing is not None
    assert not standing.ai


async def test_the_asynchronous_client_does_the_same(yard: Yard) -> None:
    async with AsyncClient(str(yard.path)) as client:
        await client.containers.create("dev")
        assert (await client.containers.update("1", ai=False)).ai is False
        await client.containers.delete("dev")
        assert await client.containers.list() == []


async def test_a_command_runs_and_its_output_comes_by_channel(yard: Yard) -> None:
    async with AsyncClient(str(yard.path)) as client:
        await client.containers.create("dev")
        await client.containers.start("dev")
        async with await client.containers.exec("dev", ["sh", "-c", "echo out; echo err >&2; exit 3"]) as session:
            output = [(data.channel.name, data.data) async for data in session]
    assert sorted(output) == [("STDERR", b"err\n"), ("STDOUT", b"out\n")]
    assert session.code == 3
