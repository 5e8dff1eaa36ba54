"""The registry on a real SQLite."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest
import sqlalchemy as sa

from bawn.errors import Fault
from bawn.identity.expiry import Expiry
from bawn.identity.record import NewContainer, Record
from bawn.identity.registry import Registry
from bawn.store import Store, open_store
from bawn.store.upgrade import upgrade

T = TypeVar("T")
NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.time = NOON

    def now(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        return self.time.timestamp()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = open_store(tmp_path / "bawn.db")
    upgrade(store)
    yield store
    store.close()


@pytest.fixture
def registry(store: Store, clock: Clock) -> Registry:
    return Registry(store, clock)


async def again(store: Store, clock: Clock) -> Registry:
    """The registry after a restart."""
    registry = Registry(store, clock)
    await registry.load()
    return registry


async def test_a_new_container_has_a_number_a_uuid_and_may_call_models(registry: Registry) -> None:
    record = await registry.create(NewContainer(name="dev"))
    assert (record.number, record.state, record.ai, record.project) == (1, "created", True, "default")
    standing = registry.standing(record.uuid)
    assert standing is not None
    assert standing.ai


async def test_a_container_is_found_by_name_number_and_uuid(registry: Registry) -> None:
    record = await registry.create(NewContainer(name="dev"))
    assert registry.get("dev") == registry.get("1") == registry.get(record.uuid) == record


async def test_a_container_without_a_name_gets_one_from_its_number(registry: Registry) -> None:
    await registry.create(NewContainer(name="box-2"))
    assert (await registry.create(NewContainer())).name == "box-2-x"


async def test_numbers_never_come_back_but_names_do(registry: Registry, store: Store, clock: Clock) -> None:
    first = await registry.create(NewContainer(name="dev"))
    await registry.delete("dev")
    registry = await again(store, clock)
    second = await registry.create(NewContainer(name="dev"))
    assert second.number == 2
    assert second.uuid != first.uuid


async def test_a_deleted_container_stands_as_deleted_and_may_nothing(registry: Registry) -> None:
    record = await registry.create(NewContainer(name="dev"))
    await registry.delete("1")
    standing = registry.standing(record.uuid)
    assert standing is not None
    assert (standing.state, standing.ai) == ("deleted", False)
    with pytest.raises(Fault, match="There is no container"):
        registry.get(record.uuid)


async def test_everything_is_there_after_a_restart(registry: Registry, store: Store, clock: Clock) -> None:
    record = await registry.create(
        NewContainer(name="dev", project="p", task="tidy up", mount="/srv", expires=NOON + timedelta(hours=2))
    )
    record = await registry.update("dev", ai=False, state="running")
    assert (await again(store, clock)).list() == (record,)


@pytest.mark.parametrize("name", ["7", "Dev", "-a", "a" * 64, "a_b", "dev\n", "d\u00e9v", "container.x"])
async def test_a_name_that_could_mean_something_else_is_refused(registry: Registry, name: str) -> None:
    with pytest.raises(Fault) as refused:
        await registry.create(NewContainer(name=name))
    assert refused.value.code == "api.invalid"


async def test_a_name_that_looks_like_a_uuid_is_refused(registry: Registry) -> None:
    with pytest.raises(Fault, match="cannot be the name"):
        await registry.create(NewContainer(name="a1b2c3d4-0000-4000-8000-000000000000"))


async def test_a_name_is_taken_once(registry: Registry) -> None:
    results = await asyncio.gather(
        *(registry.create(NewContainer(name="dev")) for _ in range(5)), return_exceptions=True
    )
    assert sum(isinstance(result, Record) for result in results) == 1


async def test_every_change_is_told_to_watchers_after_memory_holds_it(registry: Registry) -> None:
    seen: list[tuple[str, bool]] = []

    def look(uuid: str) -> None:
        standing = registry.standing(uuid)
        assert standing is not None
        seen.append((standing.state, standing.ai))

    registry.watch(look)
    await registry.create(NewContainer(name="dev"))
    await registry.update("dev", ai=False)
    await registry.update("dev", state="running")
    await registry.delete("dev")
    expected = [("created", True), ("created", False), ("running", False), ("stopped", False), ("deleted", False)]
    assert seen == expected, "a deletion withdraws first, then is written, then holds"


async def test_generations_only_grow(registry: Registry) -> None:
    record = await registry.create(NewContainer(name="dev"))
    before = registry.standing(record.uuid)
    await registry.update("dev", ai=False)
    after = registry.standing(record.uuid)
    assert before is not None
    assert after is not None
    assert after.generation > before.generation


class Slow:
    """A store that a caller can leave while it works."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.busy = asyncio.Event()

    async def run(self, act: Callable[[sa.Connection], T]) -> T:
        self.busy.set()
        await asyncio.sleep(0.05)
        return await self._store.run(act)


async def test_a_withdrawal_reaches_memory_even_if_its_caller_is_cancelled(store: Store, clock: Clock) -> None:
    await Registry(store, clock).create(NewContainer(name="dev"))
    slow = Slow(store)
    registry = Registry(slow, clock)
    await registry.load()
    slow.busy.clear()
    asking = asyncio.create_task(registry.update("dev", ai=False))
    await slow.busy.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await asyncio.sleep(0.2)
    assert registry.get("dev").ai is False
    assert (await again(store, clock)).get("dev").ai is False


class Broken:
    async def run(self, act: Callable[[sa.Connection], T]) -> T:
        raise Fault("store.unavailable", "The disk is full.")


async def test_what_cannot_be_stored_does_not_hold(clock: Clock) -> None:
    registry = Registry(Broken(), clock)
    with pytest.raises(Fault, match="disk is full"):
        await registry.create(NewContainer(name="dev"))
    assert registry.list() == ()


async def test_an_expiry_in_the_past_is_refused(registry: Registry) -> None:
    with pytest.raises(Fault, match="in the past"):
        await registry.create(NewContainer(name="dev", expires=NOON))


async def test_at_its_expiry_a_container_is_revoked_and_stopped(registry: Registry, clock: Clock) -> None:
    record = await registry.create(NewContainer(name="dev", expires=NOON + timedelta(milliseconds=30)))
    await registry.update("dev", state="running")
    stopped: list[tuple[str, bool]] = []

    async def stop_box(record: Record) -> None:
        stopped.append((record.name, record.ai))
        await registry.update(record.uuid, state="stopped")

    task = asyncio.create_task(Expiry(registry, clock, stop_box).run())
    await asyncio.sleep(0.01)
    assert stopped == []
    clock.time += timedelta(seconds=1)
    await asyncio.sleep(0.2)
    task.cancel()
    standing = registry.standing(record.uuid)
    assert standing is not None
    assert (standing.ai, standing.state) == (False, "stopped")
    assert stopped == [("dev", False)]


async def test_a_container_that_expired_while_nothing_ran_may_nothing(
    registry: Registry, store: Store, clock: Clock
) -> None:
    record = await registry.create(NewContainer(name="dev", expires=NOON + timedelta(hours=1)))
    clock.time += timedelta(hours=2)
    standing = (await again(store, clock)).standing(record.uuid)
    assert standing is not None
    assert standing.ai is False


async def test_an_expired_container_gets_its_right_back_only_with_a_later_expiry(
    registry: Registry, clock: Clock
) -> None:
    await registry.create(NewContainer(name="dev", expires=NOON + timedelta(hours=1)))
    clock.time += timedelta(hours=2)
    await registry.expire("dev")
    with pytest.raises(Fault, match="expired"):
        await registry.update("dev", ai=True)
    record = await registry.update("dev", ai=True, expires=NOON + timedelta(hours=9))
    standing = registry.standing(record.uuid)
    assert standing is not None
    assert standing.ai


async def test_a_box_that_cannot_be_stopped_is_revoked_all_the_same(registry: Registry, clock: Clock) -> None:
    await registry.create(NewContainer(name="dev", expires=NOON + timedelta(seconds=1)))
    await registry.update("dev", state="running")
    clock.time += timedelta(seconds=2)

    async def stop_box(record: Record) -> None:
        raise Fault("supervisor.unavailable", "There is no supervisor.")

    task = asyncio.create_task(Expiry(registry, clock, stop_box).run())
    await asyncio.sleep(0.1)
    assert not task.done()
    task.cancel()
    assert registry.get("dev").ai is False


async def test_a_right_is_withdrawn_even_when_the_store_cannot_take_it(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = await registry.create(NewContainer(name="dev"))
    told: list[str] = []
    registry.watch(told.append)

    async def full(act: object) -> object:
        raise Fault("store.unavailable", "The disk is full.")

    with monkeypatch.context() as broken:
        broken.setattr(registry._store, "run", full)
        for withdrawal in (registry.update(record.uuid, ai=False), registry.delete(record.uuid)):
            with pytest.raises(Fault, match="disk is full"):
                await withdrawal
            standing = registry.standing(record.uuid)
            assert standing is not None
            assert not standing.ai
    assert told
    assert (await registry.update(record.uuid, ai=False)).ai is False
    await registry.delete(record.uuid)
    assert list(registry.list()) == []


async def test_role_and_tags_are_kept_and_go_with_whoever_acts(registry: Registry, store: Store, clock: Clock) -> None:
    made = await registry.create(NewContainer(name="dev", role="planner", tags=("prod", "night")))
    assert (made.container.role, made.container.tags) == ("planner", ("prod", "night"))
    fresh = await again(store, clock)
    assert fresh.get("dev") == made
    standing = fresh.standing(made.uuid)
    assert standing is not None
    assert standing.container == made.container


@pytest.mark.parametrize(
    "wrong",
    [
        {"role": "a planner"}, {"role": "-x"}, {"role": "x" * 64}, {"tags": ("a b",)}, {"tags": ("",)},
        {"tags": ("a", "a")}, {"tags": tuple(f"t{at}" for at in range(257))}, {"tags": ("x" * 65,)},
    ],
)  # fmt: skip
async def test_a_role_or_tag_that_is_none_is_refused(registry: Registry, wrong: dict[str, Any]) -> None:
    with pytest.raises(Fault) as caught:
        await registry.create(NewContainer(name="dev", **wrong))
    assert caught.value.code == "api.invalid"
    assert registry.list() == ()
