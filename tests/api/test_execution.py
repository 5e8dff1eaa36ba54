"""Commands over a WebSocket, as conversations."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from tests.api.yard import Yard
from websockets.asyncio.client import ClientConnection, unix_connect

from bawn.api.roles import ROOT
from bawn.identity.record import NewContainer


@pytest.fixture
async def running(yard: Yard) -> Yard:
    await yard.registry.create(NewContainer(name="dev"))
    await yard.registry.update("dev", state="running")
    return yard


@pytest.fixture
async def wire(running: Yard) -> AsyncIterator[ClientConnection]:
    async with unix_connect(str(running.path), f"ws://bawn{ROOT}/containers/dev/exec") as wire:
        yield wire


async def say(wire: ClientConnection, **control: object) -> None:
    await wire.send(json.dumps(control))


async def heard(wire: ClientConnection) -> list[object]:
    """Everything until the server closes."""
    return [json.loads(message) if isinstance(message, str) else message async for message in wire]


async def test_a_command_starts_writes_and_exits(wire: ClientConnection) -> None:
    await say(wire, type="command", argv=["sh", "-c", "printf out; exit 7"])
    assert await heard(wire) == [{"type": "started"}, b"\x01out", {"type": "exit", "code": 7}]


async def test_what_is_sent_is_its_stdin(wire: ClientConnection) -> None:
    await say(wire, type="command", argv=["cat"])
    await wire.send(b"\x00hello")
    await say(wire, type="stdin_closed")
    assert await heard(wire) == [{"type": "started"}, b"\x01hello", {"type": "exit", "code": 0}]


async def test_it_can_be_resized_and_signalled(wire: ClientConnection, running: Yard) -> None:
    await say(wire, type="command", argv=["sleep", "60"], tty=True)
    await say(wire, type="resize", rows=50, cols=132)
    await say(wire, type="signal", signal="TERM")
    assert (await heard(wire))[-1] == {"type": "exit", "code": 143}
    assert running.boxes.commands[0].sizes == [(50, 132)]


async def test_a_client_that_leaves_ends_its_command(wire: ClientConnection, running: Yard) -> None:
    await say(wire, type="command", argv=["sleep", "60"])
    assert json.loads(await wire.recv()) == {"type": "started"}
    await wire.close()
    async with asyncio.timeout(2):
        while not running.boxes.commands[0].closed:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    "opening",
    [
        "",
        "{}",
        "nonsense",
        '{"type": "command"}',
        '{"type": "command", "argv": []}',
        '{"type": "command", "argv": ["a\\u0000b"]}',
        '{"type": "command", "argv": ["ls"], "privileged": true}',
        '{"type": "command", "argv": ["ls"], "rows": 0}',
        '{"type": "resize", "rows": 1, "cols": 1}',
        '{"type": "exit", "code": 0}',
    ],
)
async def test_an_opening_that_is_no_command_is_refused(wire: ClientConnection, running: Yard, opening: str) -> None:
    await wire.send(opening)
    (told,) = await heard(wire)
    assert isinstance(told, dict)
    assert (told["type"], told["code"]) == ("error", "api.invalid")
    assert running.boxes.commands == []


@pytest.mark.parametrize("message", [b"", b"\x01x", b"\x07x", '{"type": "signal", "signal": "SEGV"}', "x"])
async def test_speaking_out_of_turn_ends_the_command(
    wire: ClientConnection, running: Yard, message: str | bytes
) -> None:
    await say(wire, type="command", argv=["sleep", "60"])
    await wire.send(message)
    told = await heard(wire)
    assert isinstance(told[-1], dict)
    assert told[-1]["code"] == "api.invalid"
    assert running.boxes.commands[0].closed


async def test_a_container_that_does_not_run_says_so(wire: ClientConnection, running: Yard) -> None:
    await running.registry.update("dev", state="stopped")
    await say(wire, type="command", argv=["true"])
    (told,) = await heard(wire)
    assert isinstance(told, dict)
    assert told["code"] == "sandbox.not_running"


async def test_much_output_comes_whole_to_a_slow_reader(wire: ClientConnection) -> None:
    await say(wire, type="command", argv=["head", "-c", "3000000", "/dev/zero"])
    size = 0
    async for message in wire:
        if isinstance(message, bytes):
            size += len(message) - 1
            if size < 100_000:
                await asyncio.sleep(0.001)
    assert size == 3_000_000
