"""What an agent changed in its private copy, and whether the host's own file is still what the copy was made of.

Three states of each path: as it was when the copy was made (the base, kept as a pack), as the agent left it, as the host has
it now. A change may be brought over where the host has what it had, or what was brought over last; it is there
already where host and agent agree; everything else is a conflict, which a person settles.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from bawn.errors import Fault
from bawn.sandbox import kernel
from bawn.sandbox.pack import THREADS, hashed
from bawn.sandbox.tree import FILE, FOLDER, LINK, Entry, walk
from bawn.sandbox.trusted import credential, guarded

Content = tuple[object, ...]
UNREADABLE: Content = ("unreadable",)


@dataclass(frozen=True, slots=True)
class Change:
    path: str
    before: Entry | None
    after: Entry | None
    host: Content | None
    """What the host has there; None: nothing."""
    last: str = ""
    """The digest of what was brought over last."""
    bare: bool = False
    """Whether it is the settings file of a folder that git would take for a repository."""

    @property
    def status(self) -> str:
        if self.before is None:
            return "added"
        if self.after is None:
            return "removed"
        if self.before.kind != self.after.kind:
            return "replaced"
        return "mode" if self.before.sha256 == self.after.sha256 and self.after.kind == FILE else "modified"

    @property
    def guarded(self) -> bool:
        return self.bare or guarded(self.path)

    @property
    def digest(self) -> str:
        """Of what the agent left there: who looked at it names it."""
        return digest_of(_content(self.after))

    @property
    def applied(self) -> bool:
        return self.host == _content(self.after)

    @property
    def conflict(self) -> bool:
        free = self.host == _content(self.before) or (self.last != "" and digest_of(self.host) == self.last)
        return not self.applied and not free


def digest_of(content: Content | None) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:32]


def _content(entry: Entry | None) -> Content | None:
    return None if entry is None else entry.content()


def listed(tree: int) -> dict[str, Entry]:
    """Everything in a folder but folders, each with its digest."""
    found = [entry for entry in walk(tree) if entry.kind != FOLDER]

    def read(entry: Entry) -> Entry | None:
        if entry.kind != FILE:
            return entry
        digest = digest_at(tree, entry.path)
        return None if digest is None else replace(entry, sha256=digest)

    with ThreadPoolExecutor(THREADS) as threads:
        return {entry.path: entry for entry in threads.map(read, found) if entry is not None}


def digest_at(root: int, path: str) -> str | None:
    """The digest of a plain file; None when there is none (any more)."""
    try:
        fd = kernel.open_beneath(root, path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        found = os.fstat(fd)
        return hashed(fd, found.st_size) if stat.S_ISREG(found.st_mode) else None
    finally:
        os.close(fd)


def on_host(host: int, path: str) -> Content | None:
    """What the host has at a path, in the form in which entries are compared; no link on the way is followed."""
    folder, _, name = path.rpartition("/")
    try:
        parent = kernel.open_beneath(host, folder or ".", os.O_PATH | os.O_DIRECTORY)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:
        return UNREADABLE
    try:
        found = os.stat(name, dir_fd=parent, follow_symlinks=False)
        if stat.S_ISLNK(found.st_mode):
            return (LINK, 0, "", os.readlink(name, dir_fd=parent))
        if stat.S_ISDIR(found.st_mode):
            return (FOLDER, 0, "", "")
        digest = digest_at(parent, name) if stat.S_ISREG(found.st_mode) else None
        return UNREADABLE if digest is None else (FILE, found.st_mode & 0o111, digest, "")
    except FileNotFoundError:
        return None
    except OSError:
        return UNREADABLE
    finally:
        os.close(parent)


def changes(base: list[Entry], tree: int, host: int, last: Mapping[str, str]) -> list[Change]:
    """All changes by path. What was left out of the copy is no removal."""
    before = {entry.path: entry for entry in base if entry.kind != FOLDER}
    after = listed(tree)
    folders = {entry.path: entry for entry in base if entry.kind == FOLDER}
    found: list[Change] = []
    for path in sorted(before.keys() | after.keys()):
        new = after.get(path)
        old = before.get(path) or (folders.get(path) if new is not None else None)
        if _content(old) == _content(new):
            continue
        bare = PurePosixPath(path).name.lower() == "config" and _is_repository(path, after)
        found.append(Change(path, old, new, _host_content(host, path, new), last.get(path, ""), bare))
    return found


def _host_content(host: int, path: str, new: Entry | None) -> Content | None:
    seen = on_host(host, path)
    if seen == (FOLDER, 0, "", "") and new is None:
        return None  # a removed file whose place is a folder by now: nothing left to remove
    return seen


def _is_repository(path: str, after: Mapping[str, Entry]) -> bool:
    """A folder with HEAD beside `config` is a repository to git, and its settings name programs."""
    folder = path.rpartition("/")[0]
    return (f"{folder}/HEAD" if folder else "HEAD") in after


def left_out(path: str) -> bool:
    """What is not copied for an agent."""
    return credential(path)


def refused_link(path: str, target: str) -> bool:
    """Whether a link would lead out of the folder."""
    if target.startswith("/"):
        return True
    depth = len(PurePosixPath(path).parent.parts)
    for part in target.split("/"):
        depth += -1 if part == ".." else 0 if part in ("", ".") else 1
        if depth < 0:
            return True
    return False


def nothing_to_compare() -> Fault:
    return Fault("api.conflict", "this container works in the folder itself; it has no private copy")
