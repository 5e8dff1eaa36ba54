"""What registries said last, kept on the disk, so that installing goes on when they do not answer.

A page is a file: a line of JSON about it, then its bytes, packed. It comes whole or not at all, and is believed only when its
hash is right. The longest unused goes when there are too many.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import secrets
import threading
import zlib
from pathlib import Path

from msgspec import Struct

LIMIT_BYTES = 1 << 30
_ROUNDS = 64
"""Pages that are kept between two looks at how much room they take."""


class Page(Struct, frozen=True):
    """A page of a registry."""

    body: bytes
    kind: str
    """Its media type."""
    url: str
    """Where it was in the end: what its links are relative to."""


class Pages:
    def __init__(self, folder: Path, limit_bytes: int = LIMIT_BYTES) -> None:
        self._folder = folder / "pages"
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for left in self._folder.glob("*.new"):
            left.unlink()  # of a process that ended half-way
        self._limit_bytes = limit_bytes
        self._kept = 0
        self._clearing = threading.Lock()

    async def keep(self, key: str, page: Page) -> None:
        await asyncio.to_thread(self._keep, key, page)

    async def last(self, key: str) -> Page | None:
        return await asyncio.to_thread(self._last, key)

    async def forget(self, key: str) -> None:
        await asyncio.to_thread(self._path(key).unlink, missing_ok=True)

    def _path(self, key: str) -> Path:
        return self._folder / hashlib.sha256(key.encode()).hexdigest()

    def _keep(self, key: str, page: Page) -> None:
        path = self._path(key)
        fresh = path.with_name(f"{secrets.token_hex(16)}.new")
        told = {"kind": page.kind, "url": page.url, "sha256": hashlib.sha256(page.body).hexdigest()}
        try:
            fresh.write_bytes(json.dumps(told).encode() + b"\n" + zlib.compress(page.body, 1))
            fresh.replace(path)
        finally:
            fresh.unlink(missing_ok=True)
        with self._clearing:
            self._kept += 1
            if self._kept % _ROUNDS == 0:
                self._make_room()

    def _last(self, key: str) -> Page | None:
        path = self._path(key)
        try:
            first, _, packed = path.read_bytes().partition(b"\n")
            told = json.loads(first)
            page, digest = Page(zlib.decompress(packed), str(told["kind"]), str(told["url"])), told["sha256"]
        except (FileNotFoundError, ValueError, KeyError, TypeError, zlib.error):
            return None
        if hashlib.sha256(page.body).hexdigest() != digest:
            return None
        os.utime(path)
        return page

    def _make_room(self) -> None:
        held = sorted((found.stat().st_mtime, found.stat().st_size, found) for found in self._folder.iterdir())
        too_much = sum(size for _, size, _ in held) - self._limit_bytes
        for _, size, path in held:
            if too_much <= 0:
                return
            path.unlink(missing_ok=True)
            too_much -= size
