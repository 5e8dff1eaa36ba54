"""The files that were fetched, by what they are: `files/<sha256>`. Nothing half is ever there, and nothing changed is served.

A file comes in under another name, is hashed on the way, looked into, and gets its name only then. Each time it is
served it is hashed again, on the very descriptor that is then sent: a disk that lies, or somebody who wrote there, is found.
`names/` remembers what a package's file was, so that it is found without a registry. The longest unused goes when the
disk is to be smaller.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import re
import secrets
import threading
from collections.abc import AsyncGenerator, Callable, Iterable
from pathlib import Path
from typing import BinaryIO

from msgspec import Struct

from bawn.packages.reasons import Refused

_PIECE = 1 << 20
_ALGORITHMS = ("sha512", "sha384", "sha256", "sha1")
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")

Look = Callable[[Path], str]
"""What of a file would run unasked; Refused when it is hostile."""


class Kept(Struct, frozen=True):
    """A file that is here, with what was found out about it."""

    sha256: str
    hashes: tuple[str, ...]
    """`algorithm:hex`, all of them calculated here."""
    starts: str = ""
    """What of it would run unasked, as the rest of a sentence."""


class Shelf:
    def __init__(self, folder: Path, limit_bytes: int) -> None:
        self._files = folder / "files"
        self._coming = folder / "coming"
        self._names = folder / "names"
        for each in (self._files, self._coming, self._names):
            each.mkdir(mode=0o700, parents=True, exist_ok=True)
        for left in self._coming.iterdir():
            left.unlink()  # of a process that ended half-way
        self.limit_bytes = limit_bytes
        self._clearing = threading.Lock()

    def has(self, sha256: str) -> bool:
        """Whether there is such a file; not whether it is whole."""
        return (self._files / sha256).is_file()

    async def opened(self, sha256: str) -> BinaryIO | None:
        """The file, read through and found to be what it was; None when it is not here. One that changed is thrown away."""
        return await asyncio.to_thread(self._opened, sha256)

    def _opened(self, sha256: str) -> BinaryIO | None:
        path = self._files / sha256
        try:
            file = path.open("rb")
        except FileNotFoundError:
            return None
        try:
            if hashlib.file_digest(file, "sha256").hexdigest() == sha256:
                file.seek(0)
                os.utime(file.fileno())
                return file
            path.unlink(missing_ok=True)
        except BaseException:
            file.close()
            raise
        file.close()
        return None

    async def found(self, name: str, sha256: str | None, look: Look) -> Kept | None:
        """The file that `name` was, or that has this hash, when it is here: hashed and looked into as when it came."""
        return await asyncio.to_thread(self._found, name, sha256, look)

    def _found(self, name: str, sha256: str | None, look: Look) -> Kept | None:
        if sha256 is None:
            try:
                sha256 = self._name(name).read_text("ascii")
            except (FileNotFoundError, UnicodeDecodeError):
                return None
        if not _SHA256.match(sha256):
            return None
        file = self._opened(sha256)
        if file is None:
            return None
        with file:
            hashes = {kind: hashlib.new(kind, usedforsecurity=False) for kind in _ALGORITHMS}
            while piece := file.read(_PIECE):
                for each in hashes.values():
                    each.update(piece)
        starts = look(self._files / sha256)
        return Kept(sha256, tuple(f"{kind}:{each.hexdigest()}" for kind, each in hashes.items()), starts)

    async def take(self, name: str, pieces: AsyncGenerator[bytes], wanted: Iterable[str], look: Look) -> Kept:
        """Keeps a file. Refused when it is not what the registry said, or `look` refuses."""
        path = self._coming / secrets.token_hex(16)
        hashes = {kind: hashlib.new(kind, usedforsecurity=False) for kind in _ALGORITHMS}
        size = 0
        try:
            with path.open("xb") as file:
                # Closed by hand: a generator that is left half-way would keep its connection.
                async with contextlib.aclosing(pieces):
                    async for piece in pieces:
                        size += len(piece)
                        if size > self.limit_bytes:
                            raise Refused("packages.unavailable", "The file is larger than the whole cache may be.")
                        for each in hashes.values():
                            each.update(piece)
                        await asyncio.to_thread(file.write, piece)
                file.flush()
                await asyncio.to_thread(os.fsync, file.fileno())
            made = tuple(f"{kind}:{each.hexdigest()}" for kind, each in hashes.items())
            # All that were said, not only the strongest: a lock file may name any of them.
            if not set(wanted) <= set(made):
                raise Refused("packages.changed", "The file is not the one of which the registry gives the hash.")
            starts = await asyncio.to_thread(look, path)
            sha256 = hashes["sha256"].hexdigest()
            path.replace(self._files / sha256)
            await asyncio.to_thread(self._call, name, sha256)
        finally:
            path.unlink(missing_ok=True)
        await asyncio.to_thread(self._make_room, sha256)
        return Kept(sha256, made, starts)

    def _name(self, name: str) -> Path:
        return self._names / hashlib.sha256(name.encode()).hexdigest()

    def _call(self, name: str, sha256: str) -> None:
        fresh = self._coming / secrets.token_hex(16)
        fresh.write_text(sha256, "ascii")
        fresh.replace(self._name(name))

    def _make_room(self, newest: str) -> None:
        with self._clearing:
            held = sorted((found.stat().st_mtime, found.stat().st_size, found) for found in self._files.iterdir())
            too_much = sum(size for _, size, _ in held) - self.limit_bytes
            for _, size, path in held:
                if too_much <= 0:
                    return
                if path.name != newest:
                    path.unlink(missing_ok=True)
                    too_much -= size
