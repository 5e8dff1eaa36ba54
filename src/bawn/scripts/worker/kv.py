"""`ctx.kv` and `/kv/<op>`: values by key, in one table."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from bawn.scripts.worker.database import Files

KEY_LIMIT = 512
VALUE_LIMIT = 16 << 20
LIST_LIMIT = 10_000
BATCH_LIMIT = 1000
_SCHEMA = "CREATE TABLE IF NOT EXISTS kv (key TEXT PRIMARY KEY, value BLOB NOT NULL, expires REAL) WITHOUT ROWID"
_LIVES = "(expires IS NULL OR expires > ?)"
_DELETE = f"DELETE FROM kv WHERE key = ? AND {_LIVES}"  # noqa: S608 - no text of others


class Values:
    """See `bawn.scripts.api.KeyValue`."""

    def __init__(self, files: Files) -> None:
        self._base = files.base("kv.db", _SCHEMA)

    async def get(self, key: str, default: Any = None) -> Any:
        found = await self.get_many([key])
        return found.get(key, default)

    async def set(self, key: str, value: Any, *, ttl: float | None = None) -> None:
        await self.set_many({key: value}, ttl=ttl)

    async def delete(self, key: str) -> bool:
        return await self._base.execute(_DELETE, (key, time.time())) > 0

    async def get_many(self, keys: Sequence[str]) -> dict[str, Any]:
        wanted = [_key(key) for key in keys][:BATCH_LIMIT]
        marks = ",".join("?" * len(wanted))
        rows = await self._base.query(
            f"SELECT key, value FROM kv WHERE key IN ({marks}) AND {_LIVES}",  # noqa: S608 - marks only
            [*wanted, time.time()],
        )
        return {row["key"]: msgspec.json.decode(row["value"]) for row in rows}

    async def set_many(self, items: Mapping[str, Any], *, ttl: float | None = None) -> None:
        if len(items) > BATCH_LIMIT:
            raise ValueError(f"at most {BATCH_LIMIT} values are set at once")
        expires = _expires(ttl)
        written = [(_key(key), _value(value), expires) for key, value in items.items()]

        def act(connection: sqlite3.Connection) -> None:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany("REPLACE INTO kv (key, value, expires) VALUES (?, ?, ?)", written)
            # What is over goes when something comes, a few at a time, so that nothing has to run beside.
            connection.execute(
                "DELETE FROM kv WHERE key IN (SELECT key FROM kv WHERE expires <= ? LIMIT 100)", (time.time(),)
            )
            connection.execute("COMMIT")

        await self._base.work(act)

    async def add(self, key: str, amount: float = 1, *, ttl: float | None = None) -> float:
        _key(key)

        def act(connection: sqlite3.Connection) -> float:
            connection.execute("BEGIN IMMEDIATE")
            row = connection.execute(
                f"SELECT value, expires FROM kv WHERE key = ? AND {_LIVES}",  # noqa: S608 - no text of others
                (key, time.time()),
            ).fetchone()
            before = 0 if row is None else msgspec.json.decode(row["value"])
            if not isinstance(before, int | float):
                raise ValueError(f"the value of {key[:80]!r} is no number")  # noqa: TRY004 - the value is wrong, not the call
            expires = _expires(ttl) if row is None else row["expires"]
            connection.execute("REPLACE INTO kv VALUES (?, ?, ?)", (key, _value(before + amount), expires))
            connection.execute("COMMIT")
            return before + amount

        return await self._base.work(act)

    async def list(self, prefix: str = "", *, limit: int = 1000) -> list[str]:
        rows = await self._base.query(
            f"SELECT key FROM kv WHERE substr(key, 1, ?) = ? AND {_LIVES} ORDER BY key LIMIT ?",  # noqa: S608
            (len(prefix), prefix, time.time(), min(max(limit, 0), LIST_LIMIT)),
        )
        return [row["key"] for row in rows]


async def answer(values: Values, operation: str, said: Any) -> dict[str, Any]:
    """What `POST /kv/<operation>` answers; raises ValueError for what cannot be meant, LookupError for no such operation."""
    if not isinstance(said, dict):
        raise ValueError("send one JSON object")  # noqa: TRY004 - told to the caller as it is
    ttl = said.get("ttl")
    if ttl is not None and (not isinstance(ttl, int | float) or isinstance(ttl, bool) or ttl <= 0):
        raise ValueError("ttl is a number of seconds")
    match operation:
        case "get":
            key = _key(said.get("key"))
            found = await values.get_many([key])
            return {"key": key, "found": key in found, "value": found.get(key)}
        case "set":
            await values.set(_key(said.get("key")), said.get("value"), ttl=ttl)
            return {"ok": True}
        case "delete":
            return {"deleted": await values.delete(_key(said.get("key")))}
        case "batch/get":
            keys = said.get("keys")
            if not isinstance(keys, list):
                raise ValueError("keys is a list")  # noqa: TRY004 - told to the caller as it is
            found = await values.get_many(keys)
            return {"items": [{"key": key, "found": key in found, "value": found.get(key)} for key in keys]}
        case "batch/set":
            items = said.get("items")
            if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
                raise ValueError("items is a list of objects with key and value")
            await values.set_many({_key(item.get("key")): item.get("value") for item in items}, ttl=ttl)
            return {"ok": True, "count": len(items)}
        case "list":
            prefix, limit = said.get("prefix", ""), said.get("limit", 1000)
            if not isinstance(prefix, str) or not isinstance(limit, int):
                raise ValueError("prefix is a text, limit a number")  # noqa: TRY004 - told to the caller as it is
            return {"keys": await values.list(prefix, limit=limit)}
        case _:
            raise LookupError(operation)


def _key(key: object) -> str:
    if not isinstance(key, str) or not key or len(key) > KEY_LIMIT:
        raise ValueError(f"a key is a text of at most {KEY_LIMIT} characters")
    return key


def _value(value: object) -> bytes:
    data = msgspec.json.encode(value)
    if len(data) > VALUE_LIMIT:
        raise ValueError(f"a value is at most {VALUE_LIMIT} bytes")
    return data


def _expires(ttl: float | None) -> float | None:
    return None if ttl is None else time.time() + ttl
