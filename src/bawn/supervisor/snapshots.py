"""Snapshots of containers: workspace and home as they were at one moment (`snapshots/<uuid>/snap-YYYYMMDD-HHMMSS/`).

`about.json` says what it is, and beside it lie a pack of each folder with the sha256 of its manifest. Everything for one
container is done in order, one thing after the other. A running box is held still while it is copied.
What a container may do is no part of a snapshot: rights are the gateway's, and a restore has no way to touch them.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bawn.errors import Fault, quoted
from bawn.sandbox import inside, kernel
from bawn.sandbox.attested import Attested
from bawn.sandbox.freezing import frozen, thaw
from bawn.sandbox.furnishing import HOME, WORKSPACE
from bawn.sandbox.spec import Spec
from bawn.supervisor.held import Held
from bawn.supervisor.keeper import Keeper
from bawn.supervisor.loop import Loop
from bawn.supervisor.restoring import Restoring
from bawn.supervisor.workspaces import PENDING, Workspaces, pack_slowly

NAME = re.compile(r"snap-[0-9]{8}-[0-9]{6}\Z")
ALIAS = re.compile(r"[A-Za-z0-9][A-Za-z0-9._ -]{0,99}\Z")
COUNT_LIMIT = 1000
ABOUT, FROZEN = "about.json", "frozen"
VERBS = tuple(f"snapshots.{name}" for name in ("create", "list", "prepare", "commit", "undo", "delete"))
PARTS = {"workspace": WORKSPACE, "home": HOME}

Answer = Callable[[dict[str, object] | Fault], None]
Request = Mapping[str, object]


class Snapshots:
    def __init__(self, loop: Loop, keeper: Keeper, workspaces: Workspaces, folder: Path) -> None:
        self._loop = loop
        self._keeper = keeper
        self._workspaces = workspaces
        self._folder = folder
        self.verbs: dict[str, Callable[[Held, Request], dict[str, object]]] = {
            "snapshots.create": self._create_slowly,
            "snapshots.list": self._list_slowly,
            "snapshots.prepare": self._prepare_slowly,
            "snapshots.commit": self._commit_slowly,
            "snapshots.undo": self._undo_slowly,
            "snapshots.delete": self._delete_slowly,
        }
        assert tuple(self.verbs) == VERBS

    def act(self, verb: str, uuid: str, request: Request, answer: Answer) -> None:
        """One verb, in order behind everything else about this container."""
        held = self._keeper.held(uuid)

        def act_slowly() -> None:
            said: dict[str, object] | Fault
            try:
                said = self.verbs[verb](held, request)
            except Fault as fault:
                said = fault
            except OSError as error:
                said = Fault("files.failed", "the snapshot could not be worked on", cause=str(error))
            self._loop.post(lambda: answer(said))

        self._keeper.in_order(uuid, act_slowly)

    def recover(self) -> None:
        """What a crash left half done; before any box is adopted."""
        for place in sorted(self._workspaces.place("x").parent.iterdir()):
            with contextlib.suppress(OSError, Fault):
                Restoring(place).recover()
        for place in sorted(self._folder.iterdir()):
            for half in place.glob(".*"):
                shutil.rmtree(half, ignore_errors=True)

    def settle(self, uuid: str) -> None:
        """A restore that was decided is done to its end before the box is made again."""
        restoring = Restoring(self._workspaces.place(uuid))
        restoring.undo()
        restoring.exchange_slowly()

    def thaw(self) -> None:
        """Boxes that stood still when we were killed go on."""
        for place in sorted(self._folder.iterdir()):
            if (place / FROZEN).exists():
                with contextlib.suppress(Fault):
                    thaw(self._keeper.running(place.name)[1])
                (place / FROZEN).unlink()

    def remove(self, uuid: str) -> None:
        shutil.rmtree(self._folder / uuid, ignore_errors=True)

    def _create_slowly(self, held: Held, request: Request) -> dict[str, object]:
        alias = request.get("alias") or ""
        if not isinstance(alias, str) or (alias and not ALIAS.match(alias)):
            raise Fault(
                "sandbox.invalid", "alias must be letters, digits, spaces, dots, hyphens and underscores, at most 100"
            )
        place = self._folder / held.spec.uuid
        place.mkdir(mode=0o700, exist_ok=True)
        if len(list(place.iterdir())) >= COUNT_LIMIT:
            raise Fault("api.conflict", f"there are {COUNT_LIMIT} snapshots of this container already")
        fresh = place / f".{os.urandom(6).hex()}"
        fresh.mkdir(mode=0o700)
        try:
            about = self._copy_slowly(held.spec, held.box if held.state == "running" else None, fresh)
            name = _free_name(place)
            about |= {"name": name, "alias": alias, "created": datetime.now(UTC).isoformat(timespec="seconds")}
            (fresh / ABOUT).write_text(json.dumps(about), encoding="utf-8")
            fresh.rename(place / name)
        except BaseException:
            shutil.rmtree(fresh, ignore_errors=True)
            raise
        return {"snapshot": _told(about)}

    def _copy_slowly(self, spec: Spec, box: Attested | None, to: Path) -> dict[str, Any]:
        files = size = 0
        digests: dict[str, str] = {}
        with contextlib.ExitStack() as held:
            seen = held.enter_context(inside.folders(box, spec.place)) if box is not None else {}
            sources = dict(seen)
            if spec.workspace is not None:
                sources[WORKSPACE] = kernel.open_without_symlinks(spec.workspace, os.O_RDONLY | os.O_DIRECTORY)
                held.callback(os.close, sources[WORKSPACE])
            if WORKSPACE not in sources:
                raise Fault("sandbox.not_running", "the workspace of this container is memory, and it does not run")
            mark = to.parent / FROZEN
            mark.touch(mode=0o600)
            held.callback(mark.unlink)
            held.enter_context(frozen(box))
            for part, folder in PARTS.items():
                if folder in sources:
                    (to / part).mkdir(mode=0o700)
                    stand_ins = self._keeper.stand_ins(spec.uuid) if part == "workspace" else []
                    told = pack_slowly(sources[folder], to / part, stand_ins=stand_ins)
                    files, size = files + int(told["files"]), size + int(told["size_bytes"])
                    digests[part] = _digest(to / part)
        return {"files": files, "size_bytes": size, "image": spec.image, "sha256": digests}

    def _list_slowly(self, held: Held, _: Request) -> dict[str, object]:
        place = self._folder / held.spec.uuid
        if not place.exists():
            return {"snapshots": []}
        return {
            "snapshots": [_told(_about(one)) for one in sorted(place.iterdir()) if NAME.match(one.name)][-COUNT_LIMIT:]
        }

    def _prepare_slowly(self, held: Held, request: Request) -> dict[str, object]:
        snapshot = self._one(held, request)
        about = _about(snapshot)
        for part, digest in about["sha256"].items():
            if part not in PARTS or _digest(snapshot / part) != digest:
                raise Fault("snapshots.broken", "the list of what was kept is not what it was")
        spec, running = held.spec, held.state == "running"
        restoring = Restoring(self._workspaces.place(spec.uuid))
        restoring.recover()
        pending = {part: PENDING[PARTS[part]] for part in about["sha256"] if part == "home" or spec.workspace is None}
        target = None if spec.workspace is None else Path(spec.workspace)
        with ThreadPoolExecutor(1) as beside:
            memory = (
                beside.submit(self._keep_memory_slowly, spec, held.box) if running and held.box is not None else None
            )
            restoring.prepare_slowly(snapshot, target, pending)
            try:
                if memory is not None:
                    memory.result()
            except BaseException:
                restoring.undo()
                raise
        return {"snapshot": _told(about)}

    def _keep_memory_slowly(self, spec: Spec, box: Attested) -> None:
        """What is memory now, for the start after a restore that was not decided."""
        place = self._workspaces.place(spec.uuid)
        place.mkdir(mode=0o700, exist_ok=True)
        with inside.folders(box, spec.place) as seen, frozen(box):
            for folder, name in PENDING.items():
                if folder == HOME or spec.workspace is None:
                    fresh = place / f"{name}.new"
                    shutil.rmtree(fresh, ignore_errors=True)
                    fresh.mkdir(mode=0o700)
                    pack_slowly(seen[folder], fresh)
                    shutil.rmtree(place / name, ignore_errors=True)
                    fresh.rename(place / name)

    def _commit_slowly(self, held: Held, request: Request) -> dict[str, object]:
        if held.state not in ("stopped", "failed", "stopping"):
            raise Fault("api.conflict", "the container must be stopped first")
        restoring = Restoring(self._workspaces.place(held.spec.uuid))
        restoring.commit_slowly()
        self._keeper.slowly(restoring.clear_slowly)
        return {}

    def _undo_slowly(self, held: Held, _: Request) -> dict[str, object]:
        Restoring(self._workspaces.place(held.spec.uuid)).undo()
        return {}

    def _delete_slowly(self, held: Held, request: Request) -> dict[str, object]:
        snapshot = self._one(held, request)
        journal = Restoring(self._workspaces.place(held.spec.uuid)).read()
        if journal is not None and journal.snapshot == str(snapshot):
            raise Fault("api.conflict", "this snapshot is being restored")
        doomed = snapshot.with_name(f".{snapshot.name}")
        snapshot.rename(doomed)
        shutil.rmtree(doomed, ignore_errors=True)
        return {}

    def _one(self, held: Held, request: Request) -> Path:
        """By its name, or by its alias when only one has that."""
        name = request.get("name")
        place = self._folder / held.spec.uuid
        if isinstance(name, str) and NAME.match(name) and (place / name).is_dir():
            return place / name
        everything = sorted(place.iterdir()) if place.exists() else []
        named = [one for one in everything if NAME.match(one.name) and _about(one)["alias"] == name]
        if name and len(named) == 1:
            return named[0]
        raise Fault(
            "api.not_found",
            f"there is no snapshot {quoted(str(name))}"
            if not named
            else f"several snapshots are called {quoted(str(name))}",
            remedy="Look at `bawn snapshots list`.",
        )


def _free_name(place: Path) -> str:
    """A name of this second, or of the next free one."""
    while True:
        name = f"snap-{datetime.now(UTC):%Y%m%d-%H%M%S}"
        if not (place / name).exists():
            return name
        time.sleep(0.05)


def _about(place: Path) -> dict[str, Any]:
    try:
        said: dict[str, Any] = json.loads((place / ABOUT).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Fault(
            "snapshots.broken", f"what was written about {place.name} cannot be read", cause=str(error)
        ) from error
    return said


def _told(about: Mapping[str, Any]) -> dict[str, Any]:
    return {key: about[key] for key in ("name", "alias", "created", "files", "size_bytes", "sha256")}


def _digest(part: Path) -> str:
    return hashlib.sha256((part / "manifest").read_bytes()).hexdigest()
