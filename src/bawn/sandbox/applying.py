"""Looking at an agent's private copy, and bringing changes of it over (`python -m bawn.sandbox.applying`).

Runs as the owner of the host's folder, so that nothing is written that its owner could not write. Beneath the
folder's descriptor no link is followed and no mount crossed. All of what is wanted is checked before the first file is
touched; each file then appears whole, in place of the one that was checked. What a host would run or obey is
brought over when it is named by itself, and else not.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
from collections.abc import Iterable, Iterator
from typing import Literal

from bawn.errors import Fault, quoted
from bawn.sandbox import kernel
from bawn.sandbox.changes import Change, changes, on_host, refused_link
from bawn.sandbox.inside import become
from bawn.sandbox.pack import CHUNK_BYTES, Pack
from bawn.sandbox.talk import Asked, Talk, converse
from bawn.sandbox.tree import FILE, FOLDER, LINK, Entry
from bawn.sandbox.unified import printable, text_of, unified

TEXT_LIMIT = 256 * 1024
TOTAL_LIMIT = 4 << 20
TOLD_CONFLICTS = 5


class Comparison:
    """The three states, opened before the rights to open them are given up."""

    def __init__(self, asked: Asked) -> None:
        self.base = Pack.of(asked["base"])
        self.tree: int = asked["tree"]
        self.host: int = asked["host"]
        self._ledger: int = asked["ledger"]
        self.last: dict[str, str] = {}
        with contextlib.suppress(ValueError):
            self.last = dict(json.loads(os.pread(self._ledger, 64 << 20, 0) or b"{}"))

    def found(self) -> list[Change]:
        return changes(self.base.entries, self.tree, self.host, self.last)

    def note(self, change: Change) -> None:
        """What is brought over counts as the host's own from now on."""
        self.last[change.path] = change.digest
        said = json.dumps(self.last).encode()
        os.ftruncate(self._ledger, 0)
        os.pwrite(self._ledger, said, 0)


def show(comparison: Comparison, talk: Talk) -> None:
    found = comparison.found()
    talk.say(ok=True, count=len(found))
    left = TOTAL_LIMIT
    for change in found:
        before = None if change.before is None else _old_text(comparison, change.before)
        after = None if change.after is None else _new_text(comparison, change.after)
        text = None
        if before is not False and after is not False:
            text = unified(before, after, change.path)
        if text is not None and len(text) > left:
            text = None
        left -= len(text or "")
        talk.say(**_told(change), binary=before is False or after is False, diff=text)


def _told(change: Change) -> dict[str, object]:
    def of(entry: Entry | None) -> tuple[str, int | None, int | None, str | None]:
        if entry is None:
            return "", None, None, None
        return entry.kind, entry.mode, entry.size, printable(entry.target) if entry.kind == LINK else None

    kind, mode, size, target = of(change.after)
    kind_before, mode_before, _, target_before = of(change.before)
    return {
        "path": shown(change.path),
        "status": change.status,
        "kind": kind or kind_before,
        "mode": mode,
        "mode_before": mode_before,
        "size_bytes": size,
        "target": target,
        "target_before": target_before,
        "guarded": change.guarded,
        "applied": change.applied,
        "conflict": change.conflict,
        "digest": change.digest,
    }


def shown(path: str) -> str:
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _old_text(comparison: Comparison, entry: Entry) -> str | Literal[False]:
    """The text; False when there is none to show."""
    if entry.kind != FILE or entry.size > TEXT_LIMIT:
        return False
    text = text_of(comparison.base.content(entry, TEXT_LIMIT))
    return False if text is None else text


def _new_text(comparison: Comparison, entry: Entry) -> str | Literal[False]:
    if entry.kind != FILE or entry.size > TEXT_LIMIT:
        return False
    try:
        fd = kernel.open_beneath(comparison.tree, entry.path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        text = text_of(os.read(fd, TEXT_LIMIT + 1))
    finally:
        os.close(fd)
    return False if text is None else text


def wanted(found: Iterable[Change], paths: list[str], seen: list[str] | None) -> Iterator[Change]:
    """What is to be brought over, or the reason why nothing is."""
    found = list(found)
    by_path = {shown(change.path): change for change in found}
    chosen: dict[str, Change] = {}
    for path in paths:
        inside = [name for name in by_path if name == path or path == "." or name.startswith(path.rstrip("/") + "/")]
        if not inside:
            raise Fault("files.not_found", f"nothing was changed at {quoted(path)}")
        chosen |= {name: by_path[name] for name in inside if name == path or not by_path[name].guarded}
    if not paths:
        chosen = {name: change for name, change in by_path.items() if not change.guarded}
    pending = [change for change in chosen.values() if not change.applied]
    if seen is not None and any(change.digest not in seen for change in pending):
        raise Fault("workspace.changed", "the agent has changed something since you looked")
    conflicts = [printable(change.path) for change in pending if change.conflict]
    if conflicts:
        more = f" and {len(conflicts) - TOLD_CONFLICTS} more" if len(conflicts) > TOLD_CONFLICTS else ""
        raise Fault(
            "workspace.conflict",
            f"the host's own file changed meanwhile: {', '.join(conflicts[:TOLD_CONFLICTS])}{more}; nothing was brought over",
        )
    for change in pending:
        if change.after is not None and change.after.kind == LINK and refused_link(change.path, change.after.target):
            raise Fault(
                "files.refused",
                f"the link {quoted(change.path)} leads out of the folder",
                remedy="Bring the others over by their names, and this one by hand.",
            )
    return iter(pending)


def bring_over(comparison: Comparison, asked: Asked, talk: Talk) -> None:
    pending = list(wanted(comparison.found(), asked["paths"], asked["seen"]))
    talk.say(ok=True, count=len(pending))
    # What goes makes room first: a file can stand where a folder was.
    for change in sorted(pending, key=lambda one: (one.after is not None, one.path)):
        try:
            now = on_host(comparison.host, change.path)
            # A folder that became empty by what was just removed is gone already.
            if now != change.host and not (now is None and change.host is not None and change.host[0] == FOLDER):
                raise Fault("workspace.conflict", f"the host's own file changed just now: {quoted(change.path)}")
            _put(comparison, change)
        except (Fault, OSError) as error:
            sentence = error.sentence if isinstance(error, Fault) else os.strerror(error.errno or 0)
            talk.say(path=shown(change.path), done=False, reason=sentence)
            return
        comparison.note(change)
        talk.say(path=shown(change.path), done=True, status=change.status)


def _put(comparison: Comparison, change: Change) -> None:
    folder, _, name = change.path.rpartition("/")
    new = change.after
    parent = _folder(comparison.host, folder, make=new is not None)
    try:
        if new is None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name, dir_fd=parent)
            _tidy(comparison.host, folder)
            return
        fresh = f".bawn-{secrets.token_hex(8)}"
        try:
            if new.kind == LINK:
                os.symlink(new.target, fresh, dir_fd=parent)
            else:
                _copy(comparison.tree, change, parent, fresh)
            if change.host is not None and change.host[0] == FOLDER:
                with contextlib.suppress(FileNotFoundError):
                    os.rmdir(name, dir_fd=parent)  # only an empty one
            os.rename(fresh, name, src_dir_fd=parent, dst_dir_fd=parent)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(fresh, dir_fd=parent)
            raise
    finally:
        os.close(parent)


def _copy(tree: int, change: Change, parent: int, fresh: str) -> None:
    assert change.after is not None
    source = kernel.open_beneath(tree, change.path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    target = kernel.open_beneath(parent, fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        digest = hashlib.sha256()
        while piece := os.read(source, CHUNK_BYTES):
            digest.update(piece)
            while piece:
                piece = piece[os.write(target, piece) :]
        if digest.hexdigest() != change.after.sha256:
            raise Fault("workspace.changed", "the agent changed it just now")
        os.fchmod(target, (change.after.mode & 0o777) | 0o600)
        os.fsync(target)
    finally:
        os.close(source)
        os.close(target)


def _folder(host: int, path: str, *, make: bool) -> int:
    at = kernel.open_beneath(host, ".", os.O_PATH | os.O_DIRECTORY)
    for part in filter(None, path.split("/")):
        if make:
            with contextlib.suppress(FileExistsError):
                os.mkdir(part, 0o755, dir_fd=at)
        try:
            inner = kernel.open_beneath(at, part, os.O_PATH | os.O_DIRECTORY)
        finally:
            os.close(at)
        at = inner
    return at


def _tidy(host: int, path: str) -> None:
    """Folders that are empty now go as well; git would not have kept them either."""
    while path:
        folder, _, name = path.rpartition("/")
        try:
            parent = kernel.open_beneath(host, folder or ".", os.O_PATH | os.O_DIRECTORY)
        except OSError:
            return
        try:
            os.rmdir(name, dir_fd=parent)
        except OSError:
            return
        finally:
            os.close(parent)
        path = folder


def act(asked: Asked, talk: Talk) -> None:
    comparison = Comparison(asked)
    become(asked["uid"], asked["gid"])
    os.umask(0o022)
    if asked["act"] == "diff":
        show(comparison, talk)
    else:
        bring_over(comparison, asked, talk)


if __name__ == "__main__":
    kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
    converse(act)
