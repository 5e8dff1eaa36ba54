"""The store: one writer, few readers, and one way of failing.

Every change goes through one thread with one connection, in transactions that take the write lock when
they begin; so no change ever fails half-way because another came between. Readers see the last committed
state and never wait for the writer (WAL). A commit is on the disk when it returns (synchronous=FULL).

Whatever the database or the disk does wrong comes out as Fault `store.unavailable`, never as an empty
answer: a store that cannot be read must not look like a caller who is not known. After such a fault the
connection is thrown away, so that the next attempt begins with a sound one.
"""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import QueuePool

from bawn.errors import Fault

T = TypeVar("T")

BUSY_TIMEOUT_S = 5.0
"""How long a transaction waits for a lock that another process holds (a backup, `sqlite3` in a terminal)."""

_READERS = 2


class Store:
    """An open database file. Made by `open_store`."""

    def __init__(self, path: Path, busy_timeout_s: float) -> None:
        self.path = path
        self._writer = _engine(path, busy_timeout_s, writes=True)
        self._reader = _engine(path, busy_timeout_s, writes=False)
        self._write_thread = ThreadPoolExecutor(1, thread_name_prefix="store-writer")
        self._read_threads = ThreadPoolExecutor(_READERS, thread_name_prefix="store-reader")

    async def run(self, act: Callable[[sa.Connection], T]) -> T:
        """Runs `act` in one transaction on the writer's thread: all of it or nothing.

        A caller that is cancelled leaves before it began, or after it went through; never in between.
        """
        return await asyncio.wrap_future(self._submit(self._write_thread, self._writer, act))

    async def read(self, act: Callable[[sa.Connection], T]) -> T:
        """Runs `act` on a reader's thread, on one consistent view; it cannot write."""
        return await asyncio.wrap_future(self._submit(self._read_threads, self._reader, act))

    def run_blocking(self, act: Callable[[sa.Connection], T]) -> T:
        """As `run`, for start-up code and threads that have no event loop."""
        return self._submit(self._write_thread, self._writer, act).result()

    def close(self) -> None:
        """Ends when what was begun is through."""
        self._write_thread.shutdown()
        self._read_threads.shutdown()
        self._writer.dispose()
        self._reader.dispose()

    def _submit(self, threads: ThreadPoolExecutor, engine: sa.Engine, act: Callable[[sa.Connection], T]) -> Future[T]:
        try:
            return threads.submit(_transact, engine, act)
        except RuntimeError as error:
            raise Fault("store.unavailable", "The store is closed.") from error


def open_store(path: Path, *, busy_timeout_s: float = BUSY_TIMEOUT_S) -> Store:
    """Opens or creates the database file, readable for nobody else. It is not migrated yet."""
    try:
        _claim(path)
        store = Store(path, busy_timeout_s)
        store.run_blocking(lambda connection: connection.exec_driver_sql("PRAGMA schema_version").close())
    except OSError as error:
        raise Fault(
            "store.unavailable", f"The store cannot be opened: {error.strerror}.", cause=f"{path}: {error}"
        ) from error
    return store


def _claim(path: Path) -> None:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid():
            raise Fault("store.unavailable", "The store's file is not a file of this user.", cause=str(path))
        os.fchmod(descriptor, 0o600)
    finally:
        os.close(descriptor)


def _engine(path: Path, busy_timeout_s: float, *, writes: bool) -> sa.Engine:
    engine = sa.create_engine(
        sa.URL.create("sqlite+pysqlite", database=str(path)),
        poolclass=QueuePool,
        pool_size=1 if writes else _READERS,
        max_overflow=0,
        connect_args={"timeout": busy_timeout_s, "check_same_thread": False},
        hide_parameters=True,  # the text of a database error must not carry what was stored
    )
    settings = ["journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"] if writes else ["query_only=ON"]

    def prepare(connection: Any, _record: Any) -> None:
        # The driver's own transaction handling begins late and only for some statements; ours is explicit.
        connection.isolation_level = None
        for setting in settings:
            connection.execute(f"PRAGMA {setting}")

    sa.event.listen(engine, "connect", prepare)
    sa.event.listen(engine, "begin", lambda c: c.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN").close())
    return engine


def _transact(engine: sa.Engine, act: Callable[[sa.Connection], T]) -> T:
    try:
        with engine.begin() as connection:
            return act(connection)
    except IntegrityError:
        raise  # a rule of the tables was broken: the caller's mistake, and the store is fine
    except (DBAPIError, PoolTimeout) as error:
        engine.dispose()
        origin = error.orig if isinstance(error, DBAPIError) else error
        raise Fault("store.unavailable", f"The store failed: {origin}.", cause=type(origin).__name__) from error
