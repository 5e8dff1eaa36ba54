"""The gateway's side of the packages door: what each container may install, told to the mirror and kept up to date.

`@pip` and `@npm` among the rules of a container open it. A container with a task installs from its project's lock files alone: they
are read when it starts, before anything of the agent has run, and kept; what is written into them later names nothing.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec
import structlog

from bawn.app.files import Files
from bawn.app.owner_line import OwnerLine
from bawn.errors import Fault
from bawn.identity.record import Record
from bawn.identity.registry import Registry
from bawn.packages.locks import NAMES, hashes
from bawn.packages.names import NPM, PIP, written
from bawn.packages.policy import LOCKED, Policy
from bawn.packages.settings import Mode, Packages

_log = structlog.get_logger("bawn.app.packages")

LOCK_LIMIT = 64 * 2**20
_ECOSYSTEMS = {"@pip": PIP, "@npm": NPM}


class PackagesDesk:
    """`folder`: where the hashes of lock files are kept, a file a container."""

    def __init__(
        self,
        settings: Packages,
        registry: Registry,
        presets: Callable[[str], frozenset[str]],
        files: Files,
        line: OwnerLine,
        folder: Path,
    ) -> None:
        self._settings = settings
        self._registry = registry
        self._presets = presets
        self._files = files
        self._line = line
        self._folder = folder
        folder.mkdir(mode=0o700, exist_ok=True)
        line.on_connected = self.tell_all
        registry.watch(self.changed)

    @property
    def connected(self) -> bool:
        """Whether there is a mirror."""
        return self._line.connected

    def apply(self, settings: Packages) -> None:
        self._settings = settings
        self.tell_all()

    def tell_all(self) -> None:
        self._line.send(
            {
                "event": "settings",
                "disk_bytes": self._settings.disk_bytes,
                "advisories": self._settings.advisories,
                "advisories_all": self._settings.advisories_all,
            }
        )
        for record in self._registry.list():
            self.changed(record.uuid)

    def changed(self, uuid: str) -> None:
        """Something about this container changed."""
        policy = self._policy(uuid) if self._line.connected else None
        if policy is None:
            self._line.send({"event": "revoked", "uuid": uuid})
        else:
            # In memory beside the packet: a lock file names thousands of hashes, more than a packet holds.
            with os.fdopen(os.memfd_create("policy", os.MFD_CLOEXEC), "w+b") as said:
                said.write(msgspec.json.encode(policy))
                said.seek(0)
                self._line.send({"event": "policy", "uuid": uuid}, [said.fileno()])

    async def started(self, record: Record) -> None:
        """Reads the lock files of a container in which nothing has run yet."""
        if not self._locked(record):
            return
        found: set[str] = set()
        for name in NAMES:
            try:
                found |= hashes(
                    (await self._files.peek(record, f"{record.place}/{name}", LOCK_LIMIT)).decode("utf-8", "replace")
                )
            except Fault:
                continue  # most projects have one or two of these
        path = self._path(record.uuid)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(sorted(found), file)
        self.changed(record.uuid)

    def forget(self, uuid: str) -> None:
        """Of a container that is deleted."""
        self._path(uuid).unlink(missing_ok=True)

    def _policy(self, uuid: str) -> Policy | None:
        presets = self._presets(uuid)
        if not presets:
            return None
        record = self._registry.get(uuid)
        locked = self._locked(record)
        settings = self._settings
        return Policy(
            uuid=uuid,
            name=record.name,
            project=record.project,
            ecosystems=frozenset(_ECOSYSTEMS[each] for each in presets),
            mode=LOCKED if locked else settings.mode.value,
            cooldown_days=settings.cooldown_days,
            trust_undated=settings.trust_undated,
            allow=None if settings.allow is None else _names(settings.allow),
            cooldown_exempt=_names(settings.cooldown_exempt),
            code_at_start=_names(settings.code_at_start),
            locks=self._locks(uuid) if locked else frozenset(),
        )

    def _locked(self, record: Record) -> bool:
        return bool(record.task) or self._settings.mode is Mode.LOCKED

    def _locks(self, uuid: str) -> frozenset[str]:
        try:
            return frozenset(json.loads(self._path(uuid).read_text("utf-8")))
        except FileNotFoundError:
            return frozenset()
        except (OSError, ValueError) as error:
            _log.error("packages.locks_unreadable", error=type(error).__name__)
            return frozenset()

    def _path(self, uuid: str) -> Path:
        return self._folder / f"{uuid}.json"


def _names(said: Iterable[str]) -> frozenset[str]:
    return frozenset().union(*map(written, said))
