"""Who made what is kept over restarts, and a store that fails leaves memory as it was."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.gateway.conftest import RealClock

from bawn.errors import Fault
from bawn.gateway.owners import OWED, ResourceOwners
from bawn.identity.record import NewContainer
from bawn.identity.registry import Registry
from bawn.store.engine import Store, open_store
from bawn.store.upgrade import upgrade

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class Kept:
    store: Store
    owners: ResourceOwners
    mine: str
    theirs: str

    async def again(self) -> ResourceOwners:
        """As they are after a restart."""
        owners = ResourceOwners(self.store)
        await owners.load()
        return owners


@pytest.fixture
async def kept(tmp_path: Path) -> AsyncIterator[Kept]:
    store = open_store(tmp_path / "bawn.db")
    upgrade(store)
    registry = Registry(store, RealClock())
    await registry.load()
    made = [
        (await registry.create(NewContainer(name=name, ai=True, image="host", runtime="bubblewrap"))).uuid
        for name in ("mine", "theirs")
    ]
    yield Kept(store, ResourceOwners(store), *made)
    store.close()


async def test_what_was_claimed_is_owned_after_a_restart_until_it_is_forgotten(kept: Kept) -> None:
    await kept.owners.claim("p", "file-1", "file", kept.mine, NOW)
    for owners in (kept.owners, await kept.again()):
        assert owners.owner("p", "file-1") == kept.mine
        assert owners.owner("q", "file-1") is None
        assert owners.kind("p", "file-1") == "file"
        assert (owners.count("p", ("file",), kept.mine), owners.count("p", ("file",), kept.theirs)) == (1, 0)
    await kept.owners.forget("p", "file-1")
    for owners in (kept.owners, await kept.again()):
        assert owners.owner("p", "file-1") is None


async def test_of_two_containers_one_owns_what_both_claim(kept: Kept) -> None:
    claims = [kept.owners.claim("p", "file-1", "file", uuid, NOW) for uuid in (kept.mine, kept.theirs)]
    outcomes = await asyncio.gather(*claims, return_exceptions=True)
    faults = [each for each in outcomes if isinstance(each, Fault)]
    assert [fault.code for fault in faults] == ["upstream.broken"]
    assert kept.owners.owner("p", "file-1") == (await kept.again()).owner("p", "file-1")


async def test_what_is_owed_is_settled_once_over_restarts(kept: Kept) -> None:
    await kept.owners.claim("p", "resp_1", "response" + OWED, kept.mine, NOW)
    owners = await kept.again()
    assert owners.count("p", ("response",), kept.mine) == 1
    assert sorted(await asyncio.gather(*(owners.settle("p", "resp_1") for _ in range(5)))) == [False] * 4 + [True]
    assert await (await kept.again()).settle("p", "resp_1") is False
    assert await owners.settle("p", "resp_unknown") is False


async def test_a_store_that_fails_changes_nothing(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    await kept.owners.claim("p", "resp_1", "response" + OWED, kept.mine, NOW)

    async def broken(act: Any) -> None:
        raise Fault("store.unavailable", "The store failed.")

    with monkeypatch.context() as patched:
        patched.setattr(kept.store, "run", broken)
        for act in (
            kept.owners.claim("p", "file-1", "file", kept.mine, NOW),
            kept.owners.forget("p", "resp_1"),
            kept.owners.settle("p", "resp_1"),
        ):
            with pytest.raises(Fault):
                await act
    assert kept.owners.owner("p", "file-1") is None
    assert kept.owners.owner("p", "resp_1") == kept.mine
    assert await kept.owners.settle("p", "resp_1") is True
