"""The store keeps what it said it kept, and fails in one way."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from bawn.errors import Fault
from bawn.store import Store, open_store
from bawn.store.tables import Moment, Money

words = sa.MetaData()
notes = sa.Table(
    "notes",
    words,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("text", sa.Text, unique=True),
    sa.Column("at", Moment),
    sa.Column("cost", Money),
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(tmp_path / "bawn.db", busy_timeout_s=0.2)
    opened.run_blocking(words.create_all)
    yield opened
    opened.close()


def add(text: str) -> sa.Insert:
    return sa.insert(notes).values(text=text)


def texts(connection: sa.Connection) -> list[str]:
    return list(connection.execute(sa.select(notes.c.text).order_by(notes.c.id)).scalars())


async def test_what_was_run_is_read(store: Store) -> None:
    await store.run(lambda c: c.execute(add("one")).close())
    assert await store.read(texts) == ["one"]


async def test_an_act_that_fails_leaves_nothing(store: Store) -> None:
    def half(connection: sa.Connection) -> None:
        connection.execute(add("one"))
        raise KeyError("half-way")

    with pytest.raises(KeyError):
        await store.run(half)
    assert await store.read(texts) == []


async def test_acts_of_many_callers_come_one_after_another(store: Store) -> None:
    def next_one(connection: sa.Connection) -> None:
        count = connection.execute(sa.select(sa.func.count()).select_from(notes)).scalar_one()
        connection.execute(add(f"{count}"))

    await asyncio.gather(*(store.run(next_one) for _ in range(50)))
    assert await store.read(texts) == [str(n) for n in range(50)]


async def test_a_reader_cannot_write(store: Store) -> None:
    with pytest.raises(Fault, match="readonly"):
        await store.read(lambda c: c.execute(add("one")).close())


async def test_a_caller_who_leaves_does_not_undo_what_was_begun(store: Store) -> None:
    begun = asyncio.Event()
    loop = asyncio.get_running_loop()

    def slow(connection: sa.Connection) -> None:
        loop.call_soon_threadsafe(begun.set)
        connection.execute(add("one"))

    task = asyncio.create_task(store.run(slow))
    await begun.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert await store.run(texts) == ["one"]


def test_the_file_is_readable_for_nobody_else(tmp_path: Path) -> None:
    path = tmp_path / "bawn.db"
    path.touch(0o644)
    store = open_store(path)
    store.run_blocking(words.create_all)
    modes = {file.name: file.stat().st_mode & 0o777 for file in tmp_path.iterdir()}
    assert set(modes.values()) == {0o600}, modes
    store.close()


def test_a_link_in_place_of_the_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bawn.db").symlink_to(tmp_path / "elsewhere.db")
    with pytest.raises(Fault) as caught:
        open_store(tmp_path / "bawn.db")
    assert caught.value.code == "store.unavailable"


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bawn.db").write_text("this is a letter, not a database" * 100)
    with pytest.raises(Fault, match="not a database") as caught:
        open_store(tmp_path / "bawn.db")
    assert caught.value.code == "store.unavailable"


async def test_a_lock_held_by_another_process_is_a_fault_and_passes(store: Store) -> None:
    other = sqlite3.connect(store.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Fault, match="locked") as caught:
        await store.run(lambda c: c.execute(add("one")).close())
    assert caught.value.code == "store.unavailable"
    assert await store.read(texts) == [], "readers do not wait for a writer"
    other.execute("ROLLBACK")
    other.close()
    await store.run(lambda c: c.execute(add("two")).close())
    assert await store.read(texts) == ["two"]


async def test_a_broken_rule_of_a_table_is_not_taken_for_a_broken_store(store: Store) -> None:
    await store.run(lambda c: c.execute(add("same")).close())
    with pytest.raises(sa.exc.IntegrityError):
        await store.run(lambda c: c.execute(add("same")).close())


async def test_a_fault_does_not_tell_what_was_to_be_stored(store: Store) -> None:
    with pytest.raises(Fault) as caught:
        await store.run(lambda c: c.execute(sa.text("INSERT INTO nowhere VALUES (:x)"), {"x": "hush"}).close())
    assert "hush" not in f"{caught.value} {caught.value.cause} {caught.value.__cause__}"


async def test_a_closed_store_says_so(tmp_path: Path) -> None:
    store = open_store(tmp_path / "bawn.db")
    store.close()
    with pytest.raises(Fault, match="closed"):
        await store.run(texts)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("needs the right to mount a small file system")
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", disk], check=False).returncode != 0:
        pytest.skip("a small file system cannot be mounted here")
    yield disk
    subprocess.run(["umount", "--lazy", disk], check=True)


async def test_a_full_disk_is_a_fault_loses_nothing_and_passes(small_disk: Path) -> None:
    store = open_store(small_disk / "bawn.db")
    store.run_blocking(words.create_all)
    await store.run(lambda c: c.execute(add("kept")).close())
    ballast = small_disk / "ballast"
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    with pytest.raises(Fault) as caught:
        await store.run(lambda c: c.execute(add("x" * 100_000)).close())
    assert caught.value.code == "store.unavailable"
    assert await store.read(texts) == ["kept"]
    ballast.unlink()
    await store.run(lambda c: c.execute(add("again")).close())
    assert await store.read(texts) == ["kept", "again"]
    store.close()


def test_what_was_committed_is_there_after_kill_nine(tmp_path: Path) -> None:
    program = """
import sys, pathlib, sqlalchemy as sa
from bawn.store import open_store
store = open_store(pathlib.Path(sys.argv[1]))
store.run_blocking(lambda c: c.exec_driver_sql("CREATE TABLE n (i INTEGER)").close())
i = 0
while True:
    store.run_blocking(lambda c: c.exec_driver_sql("INSERT INTO n VALUES (?)", (i,)).close())
    sys.stdout.write(f"{i}\\n"); sys.stdout.flush()
    i += 1
"""
    child = subprocess.Popen([sys.executable, "-c", program, tmp_path / "b.db"], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    told = [int(child.stdout.readline()) for _ in range(30)]
    child.kill()
    told += [int(line) for line in child.stdout.read().splitlines()]
    child.stdout.close()
    child.wait()
    store = open_store(tmp_path / "b.db")
    kept = store.run_blocking(lambda c: list(c.exec_driver_sql("SELECT i FROM n ORDER BY i").scalars()))
    assert kept[: len(told)] == told
    store.close()


async def test_a_naive_time_is_refused(store: Store) -> None:
    naive = datetime(2030, 1, 31)  # noqa: DTZ001 - the very thing that is refused
    with pytest.raises(sa.exc.StatementError, match="without a time zone"):
        await store.run(lambda c: c.execute(sa.insert(notes).values(at=naive)).close())


async def test_a_time_comes_back_in_utc(store: Store) -> None:
    local = datetime(2030, 1, 31, 12, 0, 0, 5, tzinfo=timezone(timedelta(hours=3)))
    await store.run(lambda c: c.execute(sa.insert(notes).values(at=local)).close())
    back = await store.read(lambda c: c.execute(sa.select(notes.c.at)).scalar_one())
    assert back == local
    assert back.tzinfo == UTC


@given(st.lists(st.decimals(min_value=0, max_value=10_000, places=10), max_size=20))
def test_money_adds_up_exactly(costs: list[Decimal]) -> None:
    engine = sa.create_engine("sqlite://")
    with engine.begin() as connection:
        words.create_all(connection)
        for cost in costs:
            connection.execute(sa.insert(notes).values(cost=cost))
        total = connection.execute(sa.select(sa.func.sum(notes.c.cost, type_=Money))).scalar()
    engine.dispose()
    assert (total or Decimal(0)) == sum(costs, Decimal(0))
