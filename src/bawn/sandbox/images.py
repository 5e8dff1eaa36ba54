"""Images: folders that a box sees as its root, read-only."""

from __future__ import annotations

from pathlib import Path

from bawn.errors import Fault, quoted

HOST = "host"
"""No folder of ours but the host's own /usr (bubblewrap only)."""


class Images:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def rootfs(self, name: str) -> Path:
        path = self._folder / name / "rootfs"
        if not path.is_dir():
            raise Fault("sandbox.image_missing", f"there is no image {quoted(name)}")
        return path
