"""What the commands of a container wrote: one bounded file a container, the older half kept beside it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

MAX_BYTES = 4 * 2**20
_POLL_S = 0.25


class ContainerLogs:
    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(mode=0o700, exist_ok=True)

    def append(self, uuid: str, data: bytes) -> None:
        path = self._path(uuid)
        with path.open("ab") as file:
            file.write(data)
            size = file.tell()
        if size > MAX_BYTES:
            path.replace(self._older(uuid))

    def remove(self, uuid: str) -> None:
        self._path(uuid).unlink(missing_ok=True)
        self._older(uuid).unlink(missing_ok=True)

    async def read(self, uuid: str, *, follow: bool) -> AsyncIterator[bytes]:
        """What there is, then what comes, if asked for, until the reader stops."""
        for path in (self._older(uuid), self._path(uuid)):
            if path.exists() and (data := path.read_bytes()):
                yield data
        position = self._size(uuid)
        while follow:
            await asyncio.sleep(_POLL_S)
            size = self._size(uuid)
            if size < position:
                position = 0
            if size > position:
                with self._path(uuid).open("rb") as file:
                    file.seek(position)
                    yield file.read(size - position)
                position = size

    def _size(self, uuid: str) -> int:
        path = self._path(uuid)
        return path.stat().st_size if path.exists() else 0

    def _path(self, uuid: str) -> Path:
        return self._directory / f"{uuid}.log"

    def _older(self, uuid: str) -> Path:
        return self._directory / f"{uuid}.old.log"
