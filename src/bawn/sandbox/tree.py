"""A folder's content as a list: what is where, with everything that makes it the same again.

Names, kinds, rights, times, targets of links, second names of one file, user attributes, and the sha256 of every content.
Sockets, pipes and devices are not content and are left out; so is what is mounted inside. Rights to become
another user (setuid, setgid on files) are not kept: nothing that an agent wrote gets them back. Everything is opened
beneath the folder's descriptor without following a link, since an agent may be exchanging names meanwhile.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace

from bawn.errors import Fault
from bawn.sandbox import kernel

ENTRY_LIMIT = 2_000_000
FILE, FOLDER, LINK = "file", "folder", "link"
FORMAT = 1

Skip = Callable[[str], bool]
"""Whether what has this path is left out, with all that is in it."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing in the folder."""

    path: str
    """From the folder; "." is the folder itself. Bytes that are no UTF-8 as surrogates."""
    kind: str
    mode: int
    uid: int
    gid: int
    mtime_ns: int
    size: int = 0
    sha256: str = ""
    target: str = ""
    same_as: str = ""
    """The first path of a file that has several names."""
    extents: tuple[tuple[int, int], ...] = ()
    """Where a file has data, as offset and length; the rest is a hole."""
    at: int = 0
    """Where that data begins in the pack."""
    attributes: dict[str, str] = field(default_factory=dict)
    """User attributes, values in hexadecimal."""

    def content(self) -> tuple[object, ...]:
        """By which it is told whether two entries are the same thing, wherever they are kept."""
        return (self.kind, self.mode & 0o111 if self.kind == FILE else 0, self.sha256, self.target)


def nothing(path: str) -> bool:
    return False


def walk(root: int, skip: Skip = nothing) -> Iterator[Entry]:
    """Every entry, folders before what is in them, each folder's in order of their names; contents not read yet."""
    top = os.fstat(root)
    yield _entry(root, ".", ".", top)
    waiting = ["."]
    seen: dict[tuple[int, int], str] = {}
    count = 0
    while waiting:
        place = waiting.pop()
        try:
            fd = kernel.open_beneath(root, place, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ELOOP, errno.ENOTDIR, errno.EXDEV):
                continue  # gone, exchanged, or something mounted: not content of this folder
            if error.errno == errno.ENAMETOOLONG:
                raise Fault("files.failed", "the folders are nested too deep") from error
            raise
        folders: list[str] = []
        try:
            with os.scandir(fd) as inside:
                names = sorted(entry.name for entry in inside)
            for name in names:
                path = name if place == "." else f"{place}/{name}"
                try:
                    found = os.stat(name, dir_fd=fd, follow_symlinks=False)
                except FileNotFoundError:
                    continue
                if found.st_dev != top.st_dev or skip(path):
                    continue
                count += 1
                if count > ENTRY_LIMIT:
                    raise Fault("files.too_large", f"the folder has more than {ENTRY_LIMIT} entries")
                if stat.S_ISDIR(found.st_mode):
                    folders.append(path)
                elif not stat.S_ISREG(found.st_mode) and not stat.S_ISLNK(found.st_mode):
                    continue
                with contextlib.suppress(FileNotFoundError):
                    entry = _entry(fd, name, path, found)
                    key = (found.st_dev, found.st_ino)
                    if entry.kind == FILE and found.st_nlink > 1:
                        first = seen.setdefault(key, path)
                        entry = replace(entry, same_as="" if first == path else first)
                    yield entry
        finally:
            os.close(fd)
        waiting += reversed(folders)


def _entry(folder: int, name: str, path: str, found: os.stat_result) -> Entry:
    kind = FOLDER if stat.S_ISDIR(found.st_mode) else LINK if stat.S_ISLNK(found.st_mode) else FILE
    return Entry(
        path=path,
        kind=kind,
        mode=stat.S_IMODE(found.st_mode) & (0o1777 if kind == FILE else 0o3777),
        uid=found.st_uid,
        gid=found.st_gid,
        mtime_ns=found.st_mtime_ns,
        size=found.st_size if kind == FILE else 0,
        target=os.readlink(name, dir_fd=folder) if kind == LINK else "",
    )


def attributes(fd: int) -> dict[str, str]:
    """User attributes; the others are the kernel's or a security module's, and belong to the place."""
    found: dict[str, str] = {}
    with contextlib.suppress(OSError):
        for name in os.listxattr(fd):
            if name.startswith("user."):
                found[name] = os.getxattr(fd, name).hex()
    return found


def extents(fd: int, size: int) -> tuple[tuple[int, int], ...]:
    """Where a file has data."""
    found: list[tuple[int, int]] = []
    at = 0
    while at < size:
        try:
            begin = os.lseek(fd, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                break
            return ((0, size),)  # a file system without holes
        end = min(os.lseek(fd, begin, os.SEEK_HOLE), size)
        if end <= begin:
            break
        found.append((begin, end - begin))
        at = end
    return tuple(found)


def write_manifest(fd: int, entries: Iterable[Entry]) -> None:
    """One line an entry; what is at its default is not written."""
    with os.fdopen(os.dup(fd), "w", encoding="ascii") as file:
        file.write(json.dumps({"format": FORMAT}) + "\n")
        for entry in entries:
            said = {
                name: value for name, value in asdict(entry).items() if value not in ("", 0, (), {}) or name == "mode"
            }
            file.write(json.dumps(said, separators=(",", ":")) + "\n")
        file.flush()


def read_manifest(fd: int) -> list[Entry]:
    entries: list[Entry] = []
    with os.fdopen(os.dup(fd), encoding="ascii") as file:
        file.seek(0)
        if json.loads(file.readline()).get("format") != FORMAT:
            raise Fault("snapshots.broken", "the manifest is of another format")
        for line in file:
            said = json.loads(line)
            said["extents"] = tuple((begin, length) for begin, length in said.get("extents", ()))
            entries.append(Entry(**{"uid": 0, "gid": 0, "mtime_ns": 0} | said))
    return entries
