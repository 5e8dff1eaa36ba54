"""Looks through a workspace before it is mounted: what must be covered in the box, and by what.

Everything is opened beneath the folder's own descriptor, without following links. A mount point must be there to be
covered, so that for what is missing an empty file or folder is made on the host; what was made is written down, and
taken away again when the box is gone, if it is still empty and still the same.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bawn.errors import Fault
from bawn.sandbox import kernel
from bawn.sandbox.guarded import IN_GIT, KEY_FILES, NOT_SEARCHED, PRESENT, PRIVATE, SECRET_FOLDERS, TRUSTED, secret

LOOKED_AT = 100_000
"""How many files and folders are looked at before a workspace counts as too large to be searched."""
COVERED_LIMIT = 400
KEY_BYTES = 1 << 16

ITSELF, READ_ONLY, EMPTY_FILE, EMPTY_FOLDER, SCRATCH = "itself", "read-only", "empty file", "empty folder", "scratch"
OPEN_FOLDER = "open folder"
"""An empty folder into which one can look."""


@dataclass(frozen=True, slots=True)
class Cover:
    """One mount over a path of the workspace."""

    path: str
    """Relative to the workspace."""
    by: str


@dataclass(frozen=True, slots=True)
class Plan:
    covers: tuple[Cover, ...] = ()
    """In the order in which they are mounted."""
    masked: tuple[str, ...] = ()
    """Secrets that were found, as they are told to whoever starts the box."""


def planned(workspace: str | None, notes: Path) -> Plan:
    """What is to be covered; `notes` is the file in which what was made on the host is written down."""
    if workspace is None:
        return Plan()
    try:
        top = kernel.open_without_symlinks(workspace, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise Fault("sandbox.invalid", "the workspace cannot be opened", cause=str(error)) from error
    made: list[tuple[str, int]] = []
    try:
        return _planned(top, made, notes)
    except OSError as error:
        raise Fault("sandbox.start_failed", "the workspace cannot be guarded", cause=str(error)) from error
    finally:
        os.close(top)


def _planned(top: int, made: list[tuple[str, int]], notes: Path) -> Plan:
    covers: list[Cover] = []
    for guarded in (*TRUSTED, *PRESENT):
        mode = _mode(top, guarded.path)
        if mode is not None and not stat.S_ISLNK(mode):
            covers.append(Cover(guarded.path, READ_ONLY))
        elif mode is None and guarded not in PRESENT:
            if _make(top, guarded.path, made, notes, folder=guarded.folder):
                folder = OPEN_FOLDER if guarded.seen else EMPTY_FOLDER
                covers.append(Cover(guarded.path, folder if guarded.folder else EMPTY_FILE))
        elif mode is not None:
            raise Fault("sandbox.invalid", f"{guarded.path} of the workspace must not be a symbolic link")
    if _mode(top, ".git") is None:
        if _make(top, ".git", made, notes, folder=True):
            covers.append(Cover(".git", SCRATCH))
        repositories: list[str] = []
    else:
        repositories = [".git"]
    found, nested, whole = _search(top)
    for path in (*repositories, *nested):
        covers += _git(top, path, made, notes)
    covers += [Cover(path, EMPTY_FOLDER if folder else EMPTY_FILE) for path, folder in found]
    if len(covers) > COVERED_LIMIT:
        raise Fault("sandbox.invalid", f"the workspace holds over {COVERED_LIMIT} secrets and repositories")
    masked = [path for path, _ in found] + ([] if whole else [f"(only the first {LOOKED_AT} files were looked at)"])
    return Plan(tuple(covers), tuple(masked))


def _git(top: int, path: str, made: list[tuple[str, int]], notes: Path) -> Iterator[Cover]:
    mode = _mode(top, path)
    if mode is None or not stat.S_ISDIR(mode):
        if mode is not None and stat.S_ISREG(mode):
            yield Cover(path, READ_ONLY)  # names the folder of a worktree or submodule
        elif mode is not None:
            raise Fault("sandbox.invalid", f"{path} of the workspace must not be a symbolic link")
        return
    yield Cover(path, ITSELF)
    for guarded in IN_GIT:
        inside = f"{path}/{guarded.path}"
        there = _mode(top, inside)
        if there is not None and stat.S_ISLNK(there):
            raise Fault("sandbox.invalid", f"{inside} of the workspace must not be a symbolic link")
        if there is None:
            if _make(top, inside, made, notes, folder=guarded.folder):
                yield Cover(inside, EMPTY_FOLDER if guarded.folder else EMPTY_FILE)
        else:
            yield Cover(inside, READ_ONLY)


def _search(top: int) -> tuple[list[tuple[str, bool]], list[str], bool]:
    """Secrets (with whether each is a folder), further `.git`, and whether everything was looked at."""
    found: list[tuple[str, bool]] = []
    repositories: list[str] = []
    left, open_ = LOOKED_AT, [""]
    while open_:
        folder = open_.pop()
        for name, mode in _entries(top, folder):
            left -= 1
            if left < 0:
                return found, repositories, False
            path = f"{folder}/{name}" if folder else name
            if stat.S_ISDIR(mode):
                if name in SECRET_FOLDERS:
                    found.append((path, True))
                elif name == ".git":
                    repositories += [path] if folder else []
                elif name not in NOT_SEARCHED:
                    open_.append(path)
            elif name == ".git" and folder:
                repositories.append(path)
            elif stat.S_ISREG(mode) and (secret(name) or (KEY_FILES.match(name) and _holds_key(top, path))):
                found.append((path, False))
    return found, repositories, True


def _entries(top: int, folder: str) -> list[tuple[str, int]]:
    try:
        fd = kernel.open_beneath(top, folder or ".", os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return []
    try:
        with os.scandir(fd) as entries:
            return [(entry.name, entry.stat(follow_symlinks=False).st_mode) for entry in entries]
    except OSError:
        return []
    finally:
        os.close(fd)


def _holds_key(top: int, path: str) -> bool:
    try:
        fd = kernel.open_beneath(top, path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return True  # what cannot be looked at is hidden
    try:
        return PRIVATE.search(os.read(fd, KEY_BYTES)) is not None
    finally:
        os.close(fd)


def _mode(top: int, path: str) -> int | None:
    try:
        fd = kernel.open_beneath(top, str(Path(path).parent), os.O_PATH | os.O_DIRECTORY)
    except FileNotFoundError:
        return None
    try:
        return os.stat(Path(path).name, dir_fd=fd, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return None
    finally:
        os.close(fd)


def _make(top: int, path: str, made: list[tuple[str, int]], notes: Path, *, folder: bool) -> bool:
    """An empty thing on the host, of the workspace's owner. Noted before it is made: a crash leaves no unknown. False
    where we may not make it and the agent, who has no more rights than we, may not either."""
    owner = os.fstat(top)
    above = kernel.open_beneath(top, str(Path(path).parent), os.O_RDONLY | os.O_DIRECTORY)
    try:
        name = Path(path).name
        notes.write_text(json.dumps([*(each for each, _ in made), path]), encoding="utf-8")
        if folder:
            os.mkdir(name, 0o755, dir_fd=above)
        else:
            os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644, dir_fd=above))
        seen = os.stat(name, dir_fd=above, follow_symlinks=False)
        if os.geteuid() == 0:
            os.chown(name, owner.st_uid, owner.st_gid, dir_fd=above, follow_symlinks=False)
        made.append((path, seen.st_ino))
    except OSError as error:
        others = os.fstat(above).st_uid != os.geteuid()
        if error.errno == errno.EROFS or (error.errno == errno.EACCES and others):
            return False
        raise
    finally:
        os.close(above)
    return True


def tidy(workspace: str | None, notes: Path) -> None:
    """Takes away what was made on the host, as far as it is empty still; deepest first."""
    if workspace is None or not notes.exists():
        return
    with contextlib.suppress(OSError, ValueError):
        top = kernel.open_without_symlinks(workspace, os.O_RDONLY | os.O_DIRECTORY)
        try:
            for path in sorted(json.loads(notes.read_text(encoding="utf-8")), reverse=True):
                with contextlib.suppress(OSError):
                    _take_away(top, path)
        finally:
            os.close(top)
    notes.unlink(missing_ok=True)


def _take_away(top: int, path: str) -> None:
    above = kernel.open_beneath(top, str(Path(path).parent), os.O_RDONLY | os.O_DIRECTORY)
    try:
        name = Path(path).name
        seen = os.stat(name, dir_fd=above, follow_symlinks=False)
        if stat.S_ISDIR(seen.st_mode):
            os.rmdir(name, dir_fd=above)
        elif stat.S_ISREG(seen.st_mode) and seen.st_size == 0:
            os.unlink(name, dir_fd=above)
    finally:
        os.close(above)
