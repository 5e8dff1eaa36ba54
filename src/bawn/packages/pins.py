"""Which hash a file name had when a project first used it. A name that stands for other bytes later is refused."""

from __future__ import annotations

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

    def confirm(self, project: str, ecosystem: str, filename: str, sha256: str) -> None:
        """Refused `packages.changed` when this project knows the file by another hash; else it knows it from now on."""
        held = self._of(project)
        key = f"{ecosystem}/{filename}"
        known = held.get(key)
        if known == sha256:
            return
        if known is not None:
            raise Refused("packages.changed", f"{filename} is not the file that this project used before.")
        held[key] = sha256
        self._write(project, held)

    def known(self, project: str, ecosystem: str, filename: str) -> str | None:
        return self._of(project).get(f"{ecosystem}/{filename}")

    def _of(self, project: str) -> dict[str, str]:
        if project not in self._held:
            try:
                said = json.loads(self._path(project).read_text("utf-8"))
            except FileNotFoundError:
                said = {}
            except (OSError, ValueError) as error:
                raise Refused("packages.unavailable", "What this project used before cannot be read.") from error
            self._held[project] = said
        return self._held[project]

    def _path(self, project: str) -> Path:
        # By digest: a project's name is the operator's words, not a path.
        return self._folder / f"{hashlib.sha256(project.encode()).hexdigest()}.json"

    def _write(self, project: str, held: dict[str, str]) -> None:
        path = self._path(project)
        fresh = path.with_suffix(".new")
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "w") as file:
            json.dump(held, file)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
