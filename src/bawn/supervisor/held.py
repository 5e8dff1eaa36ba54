"""One container as the supervisor holds it, and its record on disk (`containers/<uuid>/`).

The record is what a supervisor that starts anew has to go by: the spec, and which process the box was. It is
written before the first process starts, and whole or not at all.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bawn.errors import Fault
from bawn.sandbox.attested import Attested
from bawn.sandbox.spec import Spec, read_uuid
from bawn.terms.door import OPEN_NOW, PLACES, DoorKind


@dataclass(slots=True)
class Held:
    spec: Spec
    state: str = "created"
    """created, running, stopping, stopped, failed."""
    box: Attested | None = None
    doors: dict[DoorKind, socket.socket] = field(default_factory=dict)
    pidfd: int | None = None
    revoked: bool = False
    """Set the moment a stop is asked for: a door that becomes ready after that is closed, not handed out."""

    degraded: tuple[str, ...] = ()
    """What is weaker in this box than its spec says, in sentences."""

    masked: tuple[str, ...] = ()
    """Secrets of the workspace that the box does not see."""

    def lives(self) -> bool:
        return self.state in ("created", "running", "stopping")

    def shut(self) -> None:
        """Closes the doors for everybody: a listener that is shut down is dead in every process that holds it."""
        for door in self.doors.values():
            with contextlib.suppress(OSError):
                door.shutdown(socket.SHUT_RDWR)
            door.close()
        self.doors.clear()

    def let_go(self) -> None:
        """Closes our descriptors and leaves the box as it is."""
        for door in self.doors.values():
            door.close()
        self.doors.clear()
        if self.pidfd is not None:
            os.close(self.pidfd)
            self.pidfd = None

    def told(self) -> dict[str, object]:
        """As `hello` tells it."""
        box = self.box
        return {
            "uuid": self.spec.uuid,
            "number": self.spec.number,
            "name": self.spec.name,
            "state": self.state,
            "pid": box.pid if box else None,
            "netns_inode": box.netns_inode if box else None,
            "start_time": box.start_time if box else None,
            "degraded": list(self.degraded),
            "masked": list(self.masked),
            "doors": [
                {
                    "kind": kind.value,
                    "address": PLACES[kind].address,
                    "port": PLACES[kind].port,
                    "owner": PLACES[kind].owner,
                }
                for kind in OPEN_NOW
                if kind in self.doors
            ],
        }


class Records:
    """The folder `containers`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()

    def write(self, spec: Spec, state: str, box: Attested | None, masked: Sequence[str] = ()) -> None:
        place = self._folder / spec.uuid
        place.mkdir(mode=0o700, exist_ok=True)
        if state == "created" or not (place / "spec.json").exists():
            # What a box is does not change after; the disk is waited for once less.
            self._replace(place / "spec.json", spec.written())
        said: dict[str, object] = {"state": state, "boot": self._boot}
        if box is not None:
            said |= {"pid": box.pid, "start_time": box.start_time, "netns_inode": box.netns_inode}
            said["masked"] = list(masked)
        self._replace(place / "state.json", said)

    def masked(self, uuid: str) -> tuple[str, ...]:
        """What was hidden from the box when it started."""
        try:
            said = json.loads((self._folder / uuid / "state.json").read_text(encoding="utf-8"))
            return tuple(map(str, said.get("masked", ())))
        except (OSError, ValueError, AttributeError, TypeError):
            return ()

    def notes(self, uuid: str) -> Path:
        """Where it is written down what was made in the workspace for this box."""
        return self._folder / uuid / "made.json"

    def remove(self, uuid: str) -> None:
        shutil.rmtree(self._folder / uuid, ignore_errors=True)

    def all(self) -> list[tuple[str, object, str, Attested | None]]:
        """uuid, raw spec, state and box of every record; a box of an earlier boot is none."""
        found: list[tuple[str, object, str, Attested | None]] = []
        for place in sorted(self._folder.iterdir()):
            with contextlib.suppress(Fault, OSError, ValueError, KeyError, TypeError):
                uuid = read_uuid(place.name)
                raw = json.loads((place / "spec.json").read_text(encoding="utf-8"))
                said = json.loads((place / "state.json").read_text(encoding="utf-8"))
                box = None
                if "pid" in said and said["boot"] == self._boot:
                    box = Attested(int(said["pid"]), int(said["start_time"]), int(said["netns_inode"]))
                found.append((uuid, raw, str(said["state"]), box))
        return found

    @staticmethod
    def _replace(path: Path, value: object) -> None:
        fresh = path.with_suffix(".new")
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "w") as file:
            json.dump(value, file)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
