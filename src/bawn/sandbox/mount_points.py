"""Where an image has nothing yet that a file of the box's own could be shown over.

Images are shown read-only, so a runtime makes no mount points in them, and one that was brought from elsewhere, or built
before, knows nothing of these files. No link of the image is followed: it may have been made to lead out of it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path

from bawn.errors import Fault

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def make(rootfs: Path, paths: Iterable[str]) -> None:
    """An empty file at each of `paths` where there is none. Fault `sandbox.start_failed`."""
    for path in paths:
        *above, name = path.strip("/").split("/")
        folder = os.open(rootfs, _FOLDER)
        try:
            for each in above:
                folder = _inner(folder, each)
            _file(folder, name)
        except OSError as error:
            raise Fault(
                "sandbox.start_failed",
                f"the image has something else where the box has its own {path}",
                cause=str(error),
                remedy="Take it out of the image, or take the adapter away with `bawn adapters remove`.",
            ) from error
        finally:
            os.close(folder)


def _inner(folder: int, name: str) -> int:
    """The folder in `folder`, which is made when it is missing and closed in any case but an error."""
    try:
        found = os.open(name, _FOLDER, dir_fd=folder)
    except FileNotFoundError:
        os.mkdir(name, 0o755, dir_fd=folder)
        found = os.open(name, _FOLDER, dir_fd=folder)
        os.fchmod(found, 0o755)  # whatever our umask is
    os.close(folder)
    return found


def _file(folder: int, name: str) -> None:
    try:
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        made = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644, dir_fd=folder)
        os.fchmod(made, 0o644)
        os.close(made)
        return
    if not stat.S_ISREG(found.st_mode):
        raise OSError(0, f"{name} is no file")
