"""One restore, in steps of which a crash after any leaves either the old state whole or the new one.

1. `prepare`: the journal says "prepared"; the new tree is made beside the old one, checked against its digests.
   Until here everything is undone by removing it.
2. The box is stopped by whoever asked. Its memory was kept before, for its next start.
3. `commit`: the journal says "committed". From here on everything is done by doing it again: the two trees change
   places in one act of the kernel, what is memory is kept for the next start, and the old tree is removed.

Nothing waits for the disk: a crash of ours, at any step, is what this is for. After a power cut the old tree is still
there as long as the new one might not be whole, since it is removed only after everything was written out.

`recover` reads the journal and does what is left, at the start of the supervisor.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from bawn.errors import Fault
from bawn.sandbox import kernel
from bawn.supervisor.workspaces import unpack_slowly

JOURNAL = "restoring.json"
Step = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Journal:
    phase: str
    """prepared, committed, or clearing."""
    snapshot: str
    """The folder of the snapshot."""
    target: str = ""
    """The folder that is exchanged; empty when the workspace is memory."""
    staging: str = ""
    inode: int = 0
    """Of the new tree: whether it stands at `target` already."""
    pending: tuple[tuple[str, str], ...] = ()
    """Parts of the snapshot that the next start puts into memory, and under which name they are kept."""


def unwatched(step: str) -> None:
    """Nobody wants to know."""


class Restoring:
    def __init__(self, place: Path, step: Step = unwatched) -> None:
        self._place = place
        self._step = step

    def prepare_slowly(self, snapshot: Path, target: Path | None, pending: Mapping[str, str]) -> None:
        """`pending`: part of the snapshot → name beneath which it waits for the next start."""
        self._place.mkdir(mode=0o700, exist_ok=True)
        if target is None:
            self._write(Journal("prepared", str(snapshot), pending=tuple(pending.items())))
            return
        staging = target.with_name(f".{target.name}.bawn-{self._place.name[:8]}")
        if target.stat().st_dev != target.parent.stat().st_dev:
            raise Fault("files.refused", "the workspace is a file system of its own and cannot be exchanged as a whole")
        self._write(Journal("prepared", str(snapshot), str(target), str(staging), 0, tuple(pending.items())))
        self._step("journal")
        try:
            _clear(staging)
            staging.mkdir(mode=0o700)
            self._step("staging")
            unpack_slowly(snapshot / "workspace", staging)
            self._step("unpacked")
        except OSError as error:
            self.undo()
            raise Fault("files.refused", "nothing can be made beside the workspace", cause=str(error)) from error
        except Fault:
            self.undo()
            raise
        inode = staging.stat().st_ino
        self._write(Journal("prepared", str(snapshot), str(target), str(staging), inode, tuple(pending.items())))
        self._step("prepared")

    def commit_slowly(self) -> None:
        journal = self.read()
        if journal is None:
            raise Fault("api.conflict", "no restore was prepared")
        self._write(_phase(journal, "committed"))
        self._step("committed")
        self.exchange_slowly()

    def recover(self) -> None:
        """Does what is left to do, or undoes what was not decided."""
        self.undo()
        self.exchange_slowly()
        self.clear_slowly()

    def exchange_slowly(self) -> None:
        """What a commit means; the old tree is left beside."""
        journal = self.read()
        if journal is not None and journal.phase == "committed":
            if journal.target and Path(journal.target).stat().st_ino != journal.inode:
                kernel.exchange(journal.target, journal.staging)
                self._step("exchanged")
            for part, name in journal.pending:
                self._keep(Path(journal.snapshot) / part, name)
            self._step("kept")
            self._write(_phase(journal, "clearing"))
            self._step("clearing")

    def clear_slowly(self) -> None:
        """Removes the old tree, once the new one is on the disk. Nobody has to wait for this."""
        journal = self.read()
        if journal is not None and journal.phase == "clearing":
            if journal.staging:
                os.sync()
                _clear(Path(journal.staging))
                self._step("cleared")
            (self._place / JOURNAL).unlink(missing_ok=True)

    def undo(self) -> None:
        journal = self.read()
        if journal is not None and journal.phase == "prepared":
            if journal.staging:
                _clear(Path(journal.staging))
            (self._place / JOURNAL).unlink()

    def read(self) -> Journal | None:
        try:
            said = json.loads((self._place / JOURNAL).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        said["pending"] = tuple((part, name) for part, name in said["pending"])
        return Journal(**said)

    def _keep(self, part: Path, name: str) -> None:
        """A pack for the next start, by second names of its two files: nothing is copied, and nothing of it changes."""
        fresh, place = self._place / f"{name}.new", self._place / name
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        for file in ("manifest", "data"):
            os.link(part / file, fresh / file)
        shutil.rmtree(place, ignore_errors=True)
        fresh.rename(place)

    def _write(self, journal: Journal) -> None:
        fresh = self._place / f"{JOURNAL}.new"
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "w") as file:
            json.dump(asdict(journal), file)
        fresh.replace(self._place / JOURNAL)


def _phase(journal: Journal, phase: str) -> Journal:
    said = asdict(journal) | {"phase": phase}
    return Journal(**said)


def _clear(staging: Path) -> None:
    """Removes what we made beside a workspace; the way there leads through nobody's link."""
    with contextlib.suppress(FileNotFoundError):
        parent = kernel.open_without_symlinks(str(staging.parent), os.O_RDONLY | os.O_DIRECTORY)
        try:
            shutil.rmtree(staging.name, dir_fd=parent)
        finally:
            os.close(parent)
