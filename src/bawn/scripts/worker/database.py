"""SQLite for scripts: databases of one project, written by any number of requests and processes at once.

A statement runs in a thread, on a connection of that thread, so that the event loop never waits for a disk. Writers
take turns by SQLite's own locks (WAL, with a patience of `BUSY_S`); a transaction takes the write lock when it begins, since one
that becomes a writer halfway could not wait for another. A request that is cancelled interrupts its statement.
"""

from __future__ import annotations

import asyncio
import re
import sqlite3
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

THREADS = 8
BUSY_S = 15.0
SIZE_LIMIT = 1 << 30
_PAGE = 4096
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}\Z")

T = TypeVar("T")
Parameters = Sequence[Any] | Mapping[str, Any]


class Files:
    """All databases in a folder, and the threads that work on them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._own = threading.local()
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="sqlite")

    def database(self, name: str) -> Base:
        if not NAME.match(name):
            raise ValueError("a database has a name of small letters, digits, - and _")
        return Base(self, self._folder / "db" / f"{name}.db", "")

    def base(self, name: str, schema: str) -> Base:
        """One of the worker's own."""
        return Base(self, self._folder / name, schema)

    async def work(self, path: Path, schema: str, act: Callable[[sqlite3.Connection], T]) -> T:
        held: list[sqlite3.Connection] = []

        def run() -> T:
            connection = self._connection(path, schema)
            held.append(connection)
            try:
                return act(connection)
            finally:
                held.clear()
                if connection.in_transaction:
                    connection.rollback()

        future = asyncio.get_running_loop().run_in_executor(self._threads, run)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            for connection in held:
                connection.interrupt()
            future.add_done_callback(lambda done: done.cancelled() or done.exception())
            raise

    def _connection(self, path: Path, schema: str) -> sqlite3.Connection:
        open_here: dict[Path, sqlite3.Connection] = self._own.__dict__.setdefault("connections", {})
        found = open_here.get(path)
        if found is None:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Autocommit: a statement is a transaction of its own unless `run` says otherwise.
            found = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
            found.row_factory = sqlite3.Row
            _settle(found)
            found.execute("PRAGMA synchronous=NORMAL")
            found.execute(f"PRAGMA max_page_count={SIZE_LIMIT // _PAGE}")
            if schema:
                found.execute(schema)
            open_here[path] = found
        return found


def _settle(connection: sqlite3.Connection) -> None:
    """Changing the journal does not wait for others as statements do."""
    for left in reversed(range(50)):
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError:
            if not left:
                raise
            threading.Event().wait(0.02)


class Base:
    """One database; see `bawn.scripts.api.Database`."""

    def __init__(self, files: Files, path: Path, schema: str) -> None:
        self._files = files
        self._path = path
        self._schema = schema

    async def query(self, sql: str, parameters: Parameters = ()) -> list[dict[str, Any]]:
        return await self.work(lambda connection: [dict(row) for row in connection.execute(sql, parameters)])

    async def execute(self, sql: str, parameters: Parameters = ()) -> int:
        def act(connection: sqlite3.Connection) -> int:
            done = connection.execute(sql, parameters)
            done.fetchall()
            return max(done.rowcount, 0)

        return await self.work(act)

    async def run(self, statements: Sequence[tuple[str, Parameters]]) -> None:
        def act(connection: sqlite3.Connection) -> None:
            connection.execute("BEGIN IMMEDIATE")
            for sql, parameters in statements:
                connection.execute(sql, parameters).fetchall()
            connection.execute("COMMIT")

        await self.work(act)

    async def work(self, act: Callable[[sqlite3.Connection], T]) -> T:
        return await self._files.work(self._path, self._schema, act)
