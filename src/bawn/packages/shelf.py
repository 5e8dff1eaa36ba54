"""The files that were fetched, by what they are: `files/<sha256>`. Nothing half is ever there, and nothing changed is served.

A file comes in under another name, is hashed on the way, looked into, and gets its name only then. Each time it is
served it is hashed again: a disk that lies, or somebody who wrote there, is found. The longest unused goes when the disk
is to be smaller.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path

from bawn.packages.reasons import Refused

_PIECE = 1 << 20
_ALGORITHMS = ("sha512", "sha384", "sha256", "sha1")


class Shelf:
    def __init__(self, folder: Path, limit_bytes: int) -> None:
        self._files = folder / "files"
        self._coming = folder / "coming"
        for each in (self._files, self._coming):
            each.mkdir(mode=0o700, parents=True, exist_ok=True)
        for left in self._coming.iterdir():
            left.unlink()  # of a process that ended half-way
        self.limit_bytes = limit_bytes

    def path(self, sha256: str) -> Path:
        return self._files / sha256

    async def whole(self, sha256: str) -> bool:
        """Whether the file is here, and still what it was; one that is not is thrown away."""
        return await asyncio.to_thread(self._whole, sha256)

    def _whole(self, sha256: str) -> bool:
        path = self.path(sha256)
        try:
            with path.open("rb") as file:
                same = hashlib.file_digest(file, "sha256").hexdigest() == sha256
            if same:
                os.utime(path)
                return True
            path.unlink()
        except FileNotFoundError:
            return False
        return False

    async def take(
        self, pieces: AsyncIterator[bytes], wanted: Iterable[str], look: Callable[[Path], None]
    ) -> tuple[str, tuple[str, ...]]:
        """Keeps a file; its sha256 and all its hashes. Refused when it is not what the registry said, or `look` refuses."""
        wanted = tuple(wanted)
        path = self._coming / secrets.token_hex(16)
        hashes = {kind: hashlib.new(kind, usedforsecurity=False) for kind in _ALGORITHMS}
        try:
            with path.open("xb") as file:
                async for piece in pieces:
                    for each in hashes.values():
                        each.update(piece)
                    await asyncio.to_thread(file.write, piece)
                file.flush()
                await asyncio.to_thread(os.fsync, file.fileno())
            found = tuple(f"{kind}:{each.hexdigest()}" for kind, each in hashes.items())
            if wanted and wanted[0] not in found:
                raise Refused("packages.changed", "The file is not the one of which the registry gives the hash.")
            await asyncio.to_thread(look, path)
            sha256 = hashes["sha256"].hexdigest()
            path.replace(self.path(sha256))
        finally:
            path.unlink(missing_ok=True)
        await asyncio.to_thread(self._make_room)
        return sha256, found

    def _make_room(self) -> None:
        held = sorted((each.stat() for each in self._files.iterdir()), key=lambda found: found.st_mtime)
        too_much = sum(each.st_size for each in held) - self.limit_bytes
        if too_much <= 0:
            return
        for path in sorted(self._files.iterdir(), key=lambda each: each.stat().st_mtime):
            too_much -= path.stat().st_size
            path.unlink()
            if too_much <= 0:
                return
