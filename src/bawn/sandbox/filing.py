"""The files of a box, for its operator: list, stat, read, write, make a folder, remove (`python -m bawn.sandbox.filing`).

The program is handed descriptors of the box's two folders, becomes the box's user, and opens everything beneath them with
openat2: no link is followed, no mount crossed, no ".." obeyed, however quickly the agent exchanges one for the
other. Content is read from and written to plain files alone: what a FIFO or a device would do to a reader is not found
out. A file with further names (hard links) is not written, since the other name may be meant. What is written
appears whole under its name or not at all.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from collections.abc import Callable

from bawn.errors import Fault
from bawn.sandbox import kernel
from bawn.sandbox.inside import become
from bawn.sandbox.talk import Asked, Talk, converse

ENTRY_LIMIT = 20_000
"""Names that one listing tells; more are said to be there and not told."""
KINDS = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "folder",
    stat.S_IFLNK: "link",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
}
FILE_MODE, FOLDER_MODE = 0o644, 0o755


def shown(name: str) -> str:
    """A name as text: bytes that are no UTF-8 are written out."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def facts(name: str, found: os.stat_result, target: str | None = None) -> dict[str, object]:
    return {
        "name": shown(name),
        "kind": KINDS.get(stat.S_IFMT(found.st_mode), "device"),
        "size_bytes": found.st_size,
        "mode": stat.S_IMODE(found.st_mode),
        "modified": found.st_mtime_ns / 1e9,
        "target": None if target is None else shown(target),
    }


def _split(rest: str) -> tuple[str, str]:
    folder, _, name = rest.rpartition("/")
    if name in ("", "."):
        raise Fault("files.refused", "the folder itself stays")
    return folder or ".", name


def _plain(fd: int) -> os.stat_result:
    found = os.fstat(fd)
    if stat.S_ISDIR(found.st_mode):
        raise Fault("files.failed", "this is a folder")
    if not stat.S_ISREG(found.st_mode):
        raise Fault("files.refused", "this is no plain file")
    return found


def list_folder(root: int, asked: Asked, talk: Talk) -> None:
    fd = kernel.open_beneath(root, asked["path"], os.O_RDONLY | os.O_DIRECTORY)
    told: list[dict[str, object]] = []
    cut = False
    with os.scandir(fd) as entries:
        for entry in entries:
            if len(told) >= ENTRY_LIMIT:
                cut = True
                break
            try:
                found = entry.stat(follow_symlinks=False)
                target = os.readlink(entry.name, dir_fd=fd) if entry.is_symlink() else None
            except FileNotFoundError:
                continue
            told.append(facts(entry.name, found, target))
    talk.say(ok=True, cut=cut)
    for each in sorted(told, key=lambda one: str(one["name"])):
        talk.say(**each)


def stat_file(root: int, asked: Asked, talk: Talk) -> None:
    rest = asked["path"]
    if rest == ".":
        talk.say(ok=True, **facts(rest, os.fstat(kernel.open_beneath(root, rest, os.O_PATH))))
        return
    folder, name = _split(rest)
    parent = kernel.open_beneath(root, folder, os.O_PATH | os.O_DIRECTORY)
    found = os.stat(name, dir_fd=parent, follow_symlinks=False)
    target = os.readlink(name, dir_fd=parent) if stat.S_ISLNK(found.st_mode) else None
    talk.say(ok=True, **facts(name, found, target))


def read_file(root: int, asked: Asked, talk: Talk) -> None:
    # Looked at before it is opened: opening alone can make a device act, or wait for a FIFO's other end.
    held = kernel.open_beneath(root, asked["path"], os.O_PATH)
    _plain(held)
    fd = os.open(f"/proc/self/fd/{held}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    found = _plain(fd)
    talk.say(ok=True, **facts(asked["path"].rpartition("/")[2], found))
    talk.send_file(fd, found.st_size)


def write_file(root: int, asked: Asked, talk: Talk) -> None:
    folder, name = _split(asked["path"])
    parent = kernel.open_beneath(root, folder, os.O_RDONLY | os.O_DIRECTORY)
    mode = asked["mode"]
    try:
        target = kernel.open_beneath(parent, name, os.O_PATH | os.O_NOFOLLOW)
    except FileNotFoundError:
        target = None
    if target is not None:
        before = _plain(target)
        if before.st_nlink > 1:
            raise Fault("files.refused", "this file has further names (hard links); remove it first")
        mode = stat.S_IMODE(before.st_mode) & 0o777 if mode is None else mode
    fresh = f".bawn-{secrets.token_hex(8)}"
    fd = kernel.open_beneath(parent, fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        talk.say(ok=True)
        size = 0
        for piece in talk.pieces():
            size += len(piece)
            if size > asked["limit_bytes"]:
                raise Fault("files.too_large", f"the file has more than {asked['limit_bytes']} bytes")
            while piece:
                piece = piece[os.write(fd, piece) :]
        os.fchmod(fd, FILE_MODE if mode is None else mode)
        os.rename(fresh, name, src_dir_fd=parent, dst_dir_fd=parent)
    except BaseException:
        os.unlink(fresh, dir_fd=parent)
        raise
    talk.say(ok=True, **facts(name, os.fstat(fd)))


def make_folder(root: int, asked: Asked, talk: Talk) -> None:
    folder, name = _split(asked["path"])
    parent = root
    if asked["parents"]:
        parent = kernel.open_beneath(root, ".", os.O_PATH | os.O_DIRECTORY)
        for part in [part for part in folder.split("/") if part != "."]:
            with contextlib.suppress(FileExistsError):
                os.mkdir(part, FOLDER_MODE, dir_fd=parent)
            parent = kernel.open_beneath(parent, part, os.O_PATH | os.O_DIRECTORY)
    else:
        parent = kernel.open_beneath(root, folder, os.O_PATH | os.O_DIRECTORY)
    try:
        os.mkdir(name, FOLDER_MODE, dir_fd=parent)
    except FileExistsError:
        if not asked["parents"]:
            raise
    talk.say(ok=True, **facts(name, os.fstat(kernel.open_beneath(parent, name, os.O_PATH | os.O_DIRECTORY))))


def remove(root: int, asked: Asked, talk: Talk) -> None:
    folder, name = _split(asked["path"])
    parent = kernel.open_beneath(root, folder, os.O_PATH | os.O_DIRECTORY)
    if stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
        if asked["recursive"]:
            _empty(parent, name)
        os.rmdir(name, dir_fd=parent)
    else:
        os.unlink(name, dir_fd=parent)
    talk.say(ok=True)


def _empty(parent: int, name: str) -> None:
    """Removes what is in a folder; never follows a link and never crosses a mount."""
    fd = kernel.open_beneath(parent, name, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with os.scandir(fd) as entries:
            found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
        for inner, is_folder in found:
            if is_folder:
                _empty(fd, inner)
                os.rmdir(inner, dir_fd=fd)
            else:
                os.unlink(inner, dir_fd=fd)
    finally:
        os.close(fd)


ACTS: dict[str, Callable[[int, Asked, Talk], None]] = {
    "list": list_folder,
    "stat": stat_file,
    "read": read_file,
    "write": write_file,
    "mkdir": make_folder,
    "remove": remove,
}


def act(asked: Asked, talk: Talk) -> None:
    become(asked["uid"])
    os.umask(0o022)
    ACTS[asked["act"]](asked["folder"], asked, talk)


if __name__ == "__main__":
    kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
    converse(act)
