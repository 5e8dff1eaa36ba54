"""Private copies of folders, and what a box finds in its memory when it starts (`workspaces/<uuid>/`).

`base/` is a pack of the folder as it was when the copy was made, `tree/` the copy in which the agent works, `ledger` what was
brought over to the host since. `home.next/` and `workspace.next/` are packs that the next start puts into
folders that are memory, once. A folder is made under another name and moved, so that half a copy is none.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bawn.errors import Fault
from bawn.sandbox import inside, kernel
from bawn.sandbox.attested import Attested
from bawn.sandbox.changes import nothing_to_compare
from bawn.sandbox.furnishing import HOME, WORKSPACE
from bawn.sandbox.spec import Spec
from bawn.sandbox.staging import agent_uid
from bawn.supervisor.programs import outcome, spawn

PENDING = {HOME: "home.next", WORKSPACE: "workspace.next"}


class Workspaces:
    def __init__(self, folder: Path, *, rootless: bool) -> None:
        self._folder = folder.resolve()
        self._rootless = rootless

    def place(self, uuid: str) -> Path:
        return self._folder / uuid

    def placed(self, spec: Spec) -> Spec:
        """The spec of a box as it is made: of a private one, the workspace is the copy."""
        if not spec.private or spec.origin is not None:
            return spec
        return replace(spec, origin=spec.workspace, workspace=str(self.place(spec.uuid) / "tree"))

    def prepare_slowly(self, spec: Spec) -> None:
        """Makes the copy if there is none yet."""
        place = self.place(spec.uuid)
        if spec.origin is None or (place / "tree").exists():
            return
        place.mkdir(mode=0o700, exist_ok=True)
        for name in ("base", "base.new", "tree.new"):
            shutil.rmtree(place / name, ignore_errors=True)
        for name in ("base.new", "tree.new"):
            (place / name).mkdir(mode=0o700)
        origin = kernel.open_without_symlinks(spec.origin, os.O_RDONLY | os.O_DIRECTORY)
        try:
            owner = os.fstat(origin)
            pack_slowly(origin, place / "base.new", without_credentials=True)
            unpack_slowly(place / "base.new", place / "tree.new", owner=(owner.st_uid, owner.st_gid))
        finally:
            os.close(origin)
        (place / "base.new").rename(place / "base")
        (place / "tree.new").rename(place / "tree")

    def fill_slowly(self, spec: Spec, box: Attested) -> None:
        """Puts what was kept for this start into the box's memory, before anything of its agent runs."""
        pending = {folder: self.place(spec.uuid) / name for folder, name in PENDING.items()}
        if not any(place.exists() for place in pending.values()):
            return
        with inside.folders(box, spec.place) as held:
            for folder, place in pending.items():
                if place.exists():
                    uid = None if self._rootless else agent_uid(spec.number)
                    unpack_slowly(place, held[folder], uid=uid)
                    shutil.rmtree(place)

    def remove(self, uuid: str) -> None:
        shutil.rmtree(self.place(uuid), ignore_errors=True)

    def compare(self, spec: Spec, asked: Mapping[str, object]) -> tuple[subprocess.Popen[bytes], socket.socket]:
        """Starts the program that looks at the copy and brings changes over; as the owner of the host's folder."""
        place = self.place(spec.uuid)
        if spec.origin is None:
            raise nothing_to_compare()
        fds: dict[str, int] = {}
        try:
            for name, path in (("base", place / "base"), ("tree", place / "tree"), ("host", Path(spec.origin))):
                fds[name] = kernel.open_without_symlinks(str(path), os.O_PATH | os.O_DIRECTORY)
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            fds["ledger"] = os.open(place / "ledger", flags, 0o600)
            owner = os.fstat(fds["host"])
            who = {"uid": None, "gid": None} if self._rootless else {"uid": owner.st_uid, "gid": owner.st_gid}
            return spawn("bawn.sandbox.applying", {**asked, **fds, **who}, list(fds.values()))
        except FileNotFoundError as error:
            raise Fault("api.conflict", "there is no copy yet", remedy="Start the container first.") from error
        finally:
            for fd in fds.values():
                os.close(fd)


def pack_slowly(
    source: int, to: Path, *, without_credentials: bool = False, stand_ins: Sequence[str] = ()
) -> dict[str, Any]:
    """A pack of the folder `source`; tells how many files and bytes. `stand_ins` are not the folder's own."""
    target = os.open(to, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        asked = {
            "act": "pack",
            "from": source,
            "to": target,
            "without_credentials": without_credentials,
            "stand_ins": list(stand_ins),
        }
        return _packing(asked, source, target)
    finally:
        os.close(target)


def unpack_slowly(kept: Path, to: Path | int, *, owner: Sequence[int] | None = None, uid: int | None = None) -> None:
    """The folder of a pack, in an empty folder."""
    source = os.open(kept, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    target = to if isinstance(to, int) else os.open(to, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _packing({"act": "unpack", "from": source, "to": target, "owner": owner, "uid": uid}, source, target)
    finally:
        os.close(source)
        if not isinstance(to, int):
            os.close(target)


def _packing(asked: Mapping[str, object], *fds: int) -> dict[str, Any]:
    return outcome(*spawn("bawn.sandbox.packing", asked, fds))
