"""What is kept of each conversation in the store, and what is forgotten there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from bawn.enforcement import conversations
from bawn.enforcement.conversations import KEPT, Conversations, Place
from bawn.enforcement.tables import firings
from bawn.store import Store, open_store
from bawn.store.upgrade import upgrade

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


class Clock:
    def now(self) -> datetime:
        return NOON

    def monotonic(self) -> float:
        return 5.0


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = open_store(tmp_path / "bawn.db")
    upgrade(opened)
    yield opened
    opened.close()


async def put(store: Store, container: str, session: str, count: int, place: Place, at: datetime = NOON) -> None:
    row = {"container_uuid": container, "session": session, "rule": "r", "place": place.value, "anchor": "", "at": at}
    rows = [{**row, "content": "x", "key": f"{place.value}-{number}"} for number in range(count)]
    await store.run(lambda connection: connection.execute(sa.insert(firings), rows).close())


async def kept(store: Store, **which: Any) -> list[str]:
    """The keys of those rows, in their order."""
    query = sa.select(firings.c.key).filter_by(**which).order_by(firings.c.id)
    return list(await store.read(lambda connection: connection.execute(query).scalars().all()))


async def test_of_a_conversation_so_many_firings_are_kept_on_disk_the_newest_of_each_kind(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversations, "MOST_FIRINGS", 30)
    monkeypatch.setattr(conversations, "_SWEPT_AT_ONCE", 7)
    for place in (Place.SYSTEM, Place.MESSAGE, Place.USER_FIRST, Place.NOWHERE):
        await put(store, "dev", "long", 50, place)
        await put(store, "dev", "short", 5, place)
    await Conversations(store, Clock()).sweep()
    assert await kept(store, session="long", place="") == [f"-{number}" for number in range(20, 50)]
    assert len(await kept(store, session="long", place="system")) == 50, "of each rule there is one at most"
    assert await kept(store, session="long", place="user-first") == [f"user-first-{at}" for at in range(20, 50)]
    assert await kept(store, session="long", place="message") == []
    assert len(await kept(store, session="short")) == 20


async def test_a_container_of_many_conversations_keeps_no_more_than_there_may_be(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversations, "MOST_OF_CONTAINER", 100)
    for at in range(30):
        await put(store, "flood", f"s{at}", 9, Place.NOWHERE)
        await put(store, "flood", f"s{at}", 1, Place.SYSTEM)
        await put(store, "dev", f"s{at}", 3, Place.NOWHERE)
    await Conversations(store, Clock()).sweep()
    assert len(await kept(store, container_uuid="flood", place="")) == 100
    assert len(await kept(store, container_uuid="flood", session="s29")) == 10
    assert len(await kept(store, container_uuid="flood", place="system")) == 30
    assert len(await kept(store, container_uuid="dev")) == 90


async def test_what_is_too_old_is_forgotten(store: Store) -> None:
    await put(store, "dev", "old", 3, Place.SYSTEM, NOON - KEPT - timedelta(seconds=1))
    await put(store, "dev", "new", 3, Place.NOWHERE)
    await Conversations(store, Clock()).sweep()
    assert await kept(store) == ["-0", "-1", "-2"]
