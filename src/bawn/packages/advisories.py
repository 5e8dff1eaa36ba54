"""What is known to be bad: files of the Open Source Vulnerability format, from a folder or zip of the operator's.

Entries whose id begins with `MAL-` count, and all others as well when the operator wants that. The operator brings the
dump and renews it; nothing is asked of anybody. Which versions an entry means is read as the format's own text has it: those
that it lists, and those within its ranges.
"""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

from bawn.packages.names import NPM, PIP, pip_name
from bawn.packages.reasons import Refused
from bawn.packages.versions import Key, key

_ECOSYSTEMS = {"pypi": PIP, "npm": NPM}
_ENTRY_LIMIT = 4 * 2**20
_RANGES = frozenset({"SEMVER", "ECOSYSTEM"})


class Affected(Struct, frozen=True):
    """What one advisory says of one package."""

    id: str
    versions: frozenset[str] = frozenset()
    ranges: tuple[tuple[tuple[str, str], ...], ...] = ()
    """Each a row of events, (`introduced`, `fixed` or `last_affected`, version)."""
    all: bool = False


class Advisories:
    """By (ecosystem, package)."""

    def __init__(self, affected: Mapping[tuple[str, str], tuple[Affected, ...]] | None = None) -> None:
        self._affected = affected or {}

    def __len__(self) -> int:
        return len(self._affected)

    def find(self, ecosystem: str, package: str, version: str) -> str | None:
        """The id of what speaks against this version."""
        for each in self._affected.get((ecosystem, package), ()):
            if each.all or version in each.versions or _means(each, ecosystem, key(ecosystem, version)):
                return each.id
        return None


def _means(affected: Affected, ecosystem: str, version: Key | None) -> bool:
    # A version that cannot be put in order is meant: better one too many.
    if version is None:
        return True
    if any(key(ecosystem, each) == version for each in affected.versions):
        return True
    return any(_within(events, ecosystem, version) for events in affected.ranges)


def _within(events: tuple[tuple[str, str], ...], ecosystem: str, version: Key) -> bool:
    """As the format's text has it: the last event at or before the version says whether it is meant."""
    placed: list[tuple[Key, str]] = []
    for kind, at in events:
        if (where := () if at == "0" else key(ecosystem, at)) is None:
            return True
        placed.append((where, kind))
    meant = False
    for where, kind in sorted(placed, key=lambda each: each[0]):
        if kind == "introduced" and version >= where:
            meant = True
        elif (kind == "fixed" and version >= where) or (kind == "last_affected" and version > where):
            meant = False
    return meant


def load(place: Path, *, every: bool = False) -> Advisories:
    """`every`: not only malware. OSError or ValueError when the place cannot be read, or holds no such file."""
    known: dict[tuple[str, str], list[Affected]] = {}
    entries = 0
    for raw in _entries(place):
        try:
            entry = json.loads(raw)
        except (ValueError, RecursionError):
            continue
        if not isinstance(entry, dict) or not isinstance(entry.get("id"), str):
            continue
        entries += 1
        if (every or entry["id"].startswith("MAL-")) and not entry.get("withdrawn"):
            said = entry.get("affected")
            for affected in said if isinstance(said, list) else ():
                _add(known, entry["id"], affected)
    if not entries:
        raise ValueError("there is no advisory")
    return Advisories({at: tuple(found) for at, found in known.items()})


def signature(place: Path) -> tuple[int, int]:
    """Changes when the place does: how many files, and the latest change of any. OSError when it cannot be looked at."""
    if not place.is_dir():
        found = place.stat()
        return found.st_size, found.st_mtime_ns
    count = latest = 0
    for folder, _, files in os.walk(place):
        for name in (".", *files):
            count += 1
            latest = max(latest, os.stat(f"{folder}/{name}").st_mtime_ns)  # noqa: PTH116 - a hundred thousand of them
    return count, latest


def _entries(place: Path) -> Iterator[bytes]:
    if place.is_dir():
        for path in place.rglob("*.json"):
            if path.stat().st_size <= _ENTRY_LIMIT:
                yield path.read_bytes()
        return
    try:
        with zipfile.ZipFile(place) as archive:
            for member in archive.infolist():
                if member.filename.endswith(".json") and member.file_size <= _ENTRY_LIMIT:
                    yield archive.read(member)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise ValueError("this is no zip file") from error


def _add(known: dict[tuple[str, str], list[Affected]], id_: str, said: Any) -> None:
    package = said.get("package") if isinstance(said, dict) else None
    if not isinstance(package, dict):
        return
    ecosystem = _ECOSYSTEMS.get(str(package.get("ecosystem", "")).lower())
    name = str(package.get("name", ""))
    if ecosystem is None or not name:
        return
    try:
        at = (ecosystem, pip_name(name) if ecosystem == PIP else name)
    except Refused:
        return
    versions, ranges = said.get("versions"), said.get("ranges")
    made = Affected(
        id_,
        frozenset(map(str, versions)) if isinstance(versions, list) else frozenset(),
        tuple(filter(None, map(_events, ranges))) if isinstance(ranges, list) else (),
    )
    if not made.versions and not made.ranges:
        made = Affected(id_, all=True)  # an entry that names none means the package
    known.setdefault(at, []).append(made)


def _events(said: Any) -> tuple[tuple[str, str], ...]:
    if not isinstance(said, dict) or said.get("type") not in _RANGES or not isinstance(said.get("events"), list):
        return ()
    return tuple(
        (str(kind), str(at)) for event in said["events"] if isinstance(event, dict) for kind, at in event.items()
    )
