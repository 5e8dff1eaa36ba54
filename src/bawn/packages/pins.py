"""Which hash a file name had when a project first used it. A name that stands for other bytes later is refused.

A project is a file of lines, each written behind the last one and durable before the file is served; what an end half-way
left of a line counts as nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from pathlib import Path

from bawn.packages.reasons import Refused


class Pins:
    def __init__(self, folder: Path) -> None:
        self._folder = folder / "pins"
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._held: dict[str, dict[str, str]] = {}
        self._writing = asyncio.Lock()

    async def confirm(self, project: str, ecosystem: str, filename: str, sha256: str) -> None:
        """Refused `packages.changed` when this project knows the file by another hash; else it knows it from now on."""
        key = f"{ecosystem}/{filename}"
        async with self._writing:
            if project not in self._held:
                self._held[project] = await asyncio.to_thread(self._read, project)
            known = self._held[project].get(key)
            if known is None:
                await asyncio.to_thread(self._write, project, key, sha256)
                self._held[project][key] = sha256
            elif known != sha256:
                raise Refused("packages.changed", f"{filename} is not the file that this project used before.")

    def _read(self, project: str) -> dict[str, str]:
        try:
            text = self._path(project).read_text("utf-8")
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise Refused("packages.unavailable", "What this project used before cannot be read.") from error
        held: dict[str, str] = {}
        for line in text.splitlines():
            try:
                key, sha256 = json.loads(line)
            except (ValueError, TypeError):
                continue
            held.setdefault(str(key), str(sha256))
        return held

    def _path(self, project: str) -> Path:
        # By digest: a project's name is the operator's words, not a path.
        return self._folder / f"{hashlib.sha256(project.encode()).hexdigest()}.jsonl"

    def _write(self, project: str, key: str, sha256: str) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
        with os.fdopen(os.open(self._path(project), flags, 0o600), "a+b") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(size - 1, 0))
            whole = file.read(1) in (b"", b"\n")
            file.write(b"" if whole else b"\n")
            file.write(json.dumps([key, sha256]).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
