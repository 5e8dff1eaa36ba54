"""Kept answers on disk, so that a restart forgets nothing: one SQLite file beside the store, readable for its user alone.

A file of its own, because answers are large and none of them is missed: it may be deleted whenever Bawn does not run.
Changes are written behind the calls; what the disk does not take is dropped and counted.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import msgspec
import sqlalchemy as sa
import structlog

from bawn.errors import Fault
from bawn.guardrails.batches import Batches
from bawn.store.engine import Store, open_store
from bawn.transforms.entries import Entry

log = structlog.get_logger(__name__)

NAME = "answers.db"
LIMIT = 2000
"""Changes that may wait for the disk; each holds an answer."""

_MADE = "CREATE TABLE IF NOT EXISTS answers (key BLOB PRIMARY KEY, expires REAL NOT NULL, entry BLOB NOT NULL)"
_decode = msgspec.msgpack.Decoder(Entry).decode
_encode = msgspec.msgpack.Encoder().encode
_Row = tuple[bytes, Entry | None]


class EntryFile:
    def __init__(self, folder: Path) -> None:
        """Fault `store.unavailable` when it cannot be opened."""
        self._store: Store = open_store(folder / NAME)
        self._store.run_blocking(lambda connection: connection.exec_driver_sql(_MADE).close())
        self._rows = Batches[_Row](self._store, _write, LIMIT)
        self.lost = 0

    def start(self) -> None:
        """Begins to write in the background of this event loop."""
        self._rows.start()

    def changed(self, key: bytes, entry: Entry | None) -> None:
        """Never waits, never raises."""
        try:
            self._rows.add((key, entry))
        except Fault:
            self.lost += 1

    async def load(self, now: float) -> list[tuple[bytes, Entry]]:
        """What is kept, oldest first; what cannot be read any more is not there."""
        await self._store.run(partial(_clean, now))
        return list(await self._store.read(_all))

    async def close(self) -> None:
        await self._rows.close()
        self._store.close()


def _write(connection: sa.Connection, rows: list[_Row]) -> None:
    for key, entry in dict(rows).items():  # of several changes of one entry the last holds
        if entry is None:
            connection.exec_driver_sql("DELETE FROM answers WHERE key = ?", (key,))
        else:
            made = "INSERT OR REPLACE INTO answers VALUES (?, ?, ?)"
            connection.exec_driver_sql(made, (key, entry.expires, _encode(entry)))


def _clean(now: float, connection: sa.Connection) -> None:
    connection.exec_driver_sql("DELETE FROM answers WHERE expires <= ?", (now,))


def _all(connection: sa.Connection) -> list[tuple[bytes, Entry]]:
    rows = connection.exec_driver_sql("SELECT key, entry FROM answers ORDER BY rowid")
    return [(bytes(key), entry) for key, data in rows if (entry := _read(data)) is not None]


def _read(data: bytes) -> Entry | None:
    try:
        return _decode(data)
    except (msgspec.DecodeError, ValueError):  # of another version
        return None
