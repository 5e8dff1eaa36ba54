"""Names come back, containers do not: whoever held a name before never speaks for who holds it now."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest
from tests.gateway.conftest import Books, RealClock, Record, Start

from bawn.gateway.closing import Closing
from bawn.gateway.doors import Doors
from bawn.gateway.pool import Pool
from bawn.gateway.server import Gateway
from bawn.guardrails.prices import Prices
from bawn.identity.record import NewContainer
from bawn.identity.registry import Registry
from bawn.store.engine import open_store
from bawn.store.upgrade import upgrade
from bawn.terms.door import Door, DoorKind

NAMES = ("dev", "test", "build")


def asked(model: str) -> bytes:
    body = b'{"model":"%s","messages":[{"role":"user","content":"hello"}]}' % model.encode()
    return b"content-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)


async def race(start: Start, folder: Path, lives: int) -> None:
    """Each life: a container of a used name is made, calls, and is deleted while it calls; old connections call on."""
    store = open_store(folder / "bawn.db")
    upgrade(store)
    clock, books, record = RealClock(), Books(), Record()
    registry = Registry(store, clock)
    await registry.load()
    yard = await start()
    pool = Pool(clock.monotonic, 10)
    lost: list[str] = []
    closing = Closing(record, books, Prices(), clock, lambda call, error: lost.append(f"{call}: {error}"))
    gateway = Gateway(yard.gateway.works, registry, record, closing, clock)
    registry.watch(gateway.running.changed)
    doors = Doors(gateway, pool, clock)
    mine: dict[str, str] = {}
    """Which container used which name for its model: what each call says of itself."""
    old: list[asyncio.StreamWriter] = []
    try:
        for life in range(lives):
            name = NAMES[life % len(NAMES)]
            made = await registry.create(NewContainer(name=name, ai=True, image="host", runtime="bubblewrap"))
            await registry.update(made.uuid, state="running")
            listener = socket.create_server(("127.0.0.1", 0))
            port = listener.getsockname()[1]
            await doors.open(Door(DoorKind.AI, made.uuid, "127.0.0.1", port, "gateway"), listener)
            model = f"scripted/life-{life}"
            mine[model] = made.uuid
            head = (
                f"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nauthorization: Bearer container-{name}\r\n".encode()
            )
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(head + asked(model))
            first = await reader.readline()
            assert first.startswith(b"HTTP/1.1 "), first
            assert b" 401 " not in first
            writer.write(head + asked(model))  # still under way when it is deleted
            # Others of earlier lives speak up with the same name.
            for stale in old:
                if not stale.transport.is_closing():
                    stale.write(head + asked(model))
            old.append(writer)
            await registry.delete(made.uuid)
            if life % 2:
                doors.close(made.uuid)  # the other half keeps its door: the right ends without it
            if len(old) > 8:
                old.pop(0).close()
    finally:
        for stale in old:
            stale.close()
        await doors.shut()
        pool.close()
        store.close()
    wrong = [each for each in books.settlements if mine[each.model_requested] != each.container_uuid]
    assert wrong == []
    assert len({each.container_uuid for each in books.settlements}) == lives
    assert lost == []


async def test_no_call_is_taken_for_another_container_of_the_same_name(start: Start, tmp_path: Path) -> None:
    await race(start, tmp_path, 300)


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_no_call_is_taken_for_another_container_in_ten_thousand_lives(start: Start, tmp_path: Path) -> None:
    await race(start, tmp_path, 10_000)
