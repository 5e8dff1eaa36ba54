"""Calls that stages make for a container: as its own, and seen by no stage."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.gateway.conftest import RealClock, Start, Yard
from tests.gateway.script_house import Services
from tests.gateway.test_interception import CALLED, WIRES
from tests.gateway.test_sessions import Sees

from bawn.app.inner import InnerCalls
from bawn.errors import Fault
from bawn.gateway.pool import Pool
from bawn.gateway.script_door import ScriptDoor
from bawn.gateway.settings import Allow
from bawn.identity.reentry import Reentry
from bawn.scripts.settings import Scripts
from bawn.scripts.shelf import Shelf
from bawn.scripts.ways import Ways
from bawn.terms.principal import Container


@asynccontextmanager
async def inner(start: Start, folder: Path, **more: Any) -> AsyncIterator[tuple[Yard, InnerCalls, Container]]:
    yard, clock = await start(**more), RealClock()
    reentry, shelf = Reentry(clock), Shelf(folder)
    calls = InnerCalls(reentry, Pool(clock.monotonic, 5), folder / "door.sock", clock)
    ways = Ways(lambda: shelf.stock, Scripts)
    door = ScriptDoor(yard.gateway, reentry, ways, Services(), yard.record, calls.lives)
    await door.open(folder / "door.sock")
    assert yard.registry.now is not None
    try:
        yield yard, calls, yard.registry.now.container
    finally:
        await door.shut()


async def test_a_stage_asks_a_model_in_the_name_of_the_container(start: Start, tmp_path: Path) -> None:
    sees = Sees()
    async with inner(start, tmp_path, stages=(sees,)) as (yard, calls, container):
        assert await calls.ask(container, "scripted/echo", "explain this") == "explain this"
        settled = await yard.settled()
        assert len(await calls.embed(container, "scripted/echo", ["one", "two"])) == 2
    assert (settled.container_uuid, settled.outcome) == (container.uuid, "ok")
    assert sees.sessions == [], "a stage that asks would else be asked by itself"
    assert len(yard.record.of("call.opened")) == 2


async def test_what_the_container_may_not_ask_a_stage_may_not_either(start: Start, tmp_path: Path) -> None:
    async with inner(start, tmp_path, allow=Allow(models=("scripted/agent",))) as (yard, calls, container):
        with pytest.raises(Fault, match="answered 404"):
            await calls.ask(container, "scripted/echo", "hello")
        yard.registry.change(ai=False)
        with pytest.raises(Fault, match="answered 401"):
            await calls.ask(container, "scripted/agent", "hello")


async def test_what_a_stage_is_told_is_put_into_no_conversation(start: Start, tmp_path: Path) -> None:
    async with inner(start, tmp_path) as (yard, calls, container):
        await calls.ask(container, "scripted/echo", CALLED)
        async with yard.client() as client:
            assert (await client.post(**WIRES[0].asking("hello", stream=False))).status_code == 200
        await yard.settled(2)
    assert not yard.record.of("tool.withheld")
