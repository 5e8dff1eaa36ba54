"""The folders of a running box that may be reached from outside, and how they are reached.

`/workspace` and `/home/agent`, by descriptors taken through the first process's root: nobody has to enter the box's
namespaces, so nothing in it can see, trace or stop whoever works there, and the box's own mounts (masks, an
idmapped folder, read-only covers) hold all the same. Whoever works there first becomes the agent:
what the agent may not do in its box cannot be done for it from outside.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from bawn.errors import Fault
from bawn.sandbox import kernel
from bawn.sandbox.attested import Attested
from bawn.sandbox.furnishing import HOME, WORKSPACE

FOLDERS = (WORKSPACE, HOME)
PATH_LIMIT = 4096


@contextlib.contextmanager
def folders(box: Attested, place: str) -> Iterator[dict[str, int]]:
    """A descriptor of each folder as this very box sees it, good for looking beneath it and nothing else. `place` is
    where it sees its workspace, which is found under its usual name."""
    held: dict[str, int] = {}
    try:
        root = os.open(f"/proc/{box.pid}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for folder in FOLDERS:
                # No link on the way, whatever the image or the agent put there; the folder is a mount of its own.
                seen = place if folder == WORKSPACE else folder
                held[folder] = kernel.open_beneath(
                    root, seen.removeprefix("/"), os.O_PATH | os.O_DIRECTORY, same_mount=False
                )
        finally:
            os.close(root)
        if not box.lives():
            raise Fault("sandbox.not_running", "the container's first process is gone", cause="pid was used again")
        yield held
    except OSError as error:
        raise Fault("sandbox.not_running", "the container's folders cannot be reached", cause=str(error)) from error
    finally:
        for fd in held.values():
            os.close(fd)


def located(path: object, place: str) -> tuple[str, str]:
    """The folder that a path is beneath, and the rest; "." for the folder itself. `sandbox.invalid` for any other path."""
    if not isinstance(path, str) or not path.startswith("/") or "\0" in path or len(path) > PATH_LIMIT:
        raise Fault("sandbox.invalid", "path must be an absolute path inside the container")
    try:
        path.encode()
    except UnicodeEncodeError as error:
        raise Fault("sandbox.invalid", "path must be valid Unicode") from error
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise Fault("sandbox.invalid", "path must be written without '..'")
    for folder in FOLDERS:
        own = (place if folder == WORKSPACE else folder).removeprefix("/").split("/")
        if parts[: len(own)] == own:
            return folder, "/".join(parts[len(own) :]) or "."
    raise Fault("sandbox.invalid", f"path must be beneath {place} or {HOME}")


def become(uid: int | None, gid: int | None = None) -> None:
    """Gives up everything but what this user may; None when we are that user already."""
    kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
    if uid is not None:
        group = uid if gid is None else gid
        os.setgroups([])
        os.setresgid(group, group, group)
        os.setresuid(uid, uid, uid)
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    kernel.prctl(kernel.PR_SET_DUMPABLE, 0)  # the change of user may have set it
