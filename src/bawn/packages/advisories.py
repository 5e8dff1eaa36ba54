"""What is known as malware: files of the Open Source Vulnerability format, from a folder or zip of the operator's.

Only entries whose id begins with `MAL-` count; for known weaknesses of honest packages there are other tools. The operator
brings the dump and renews it; nothing is asked of anybody.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bawn.packages.names import NPM, PIP, pip_name
from bawn.packages.reasons import Refused

_ECOSYSTEMS = {"pypi": PIP, "npm": NPM}
_ENTRY_LIMIT = 4 * 2**20

Known = dict[tuple[str, str], dict[str, str]]


def load(place: Path) -> Known:
    """(ecosystem, package) → version or `*` → id. OSError or ValueError when the place cannot be read."""
    known: Known = {}
    for raw in _entries(place):
        try:
            entry = json.loads(raw)
        except ValueError:
            continue
        if isinstance(entry, dict) and str(entry.get("id", "")).startswith("MAL-") and not entry.get("withdrawn"):
            for affected in entry.get("affected") or ():
                _add(known, str(entry["id"]), affected)
    return known


def _entries(place: Path) -> Iterator[bytes]:
    if place.is_dir():
        for path in sorted(place.rglob("*.json")):
            if path.stat().st_size <= _ENTRY_LIMIT:
                yield path.read_bytes()
        return
    with zipfile.ZipFile(place) as archive:
        for member in archive.infolist():
            if member.filename.endswith(".json") and member.file_size <= _ENTRY_LIMIT:
                yield archive.read(member)


def _add(known: Known, id_: str, affected: Any) -> None:
    package = affected.get("package") if isinstance(affected, dict) else None
    if not isinstance(package, dict):
        return
    ecosystem = _ECOSYSTEMS.get(str(package.get("ecosystem", "")).lower())
    name = str(package.get("name", ""))
    if ecosystem is None or not name:
        return
    try:
        key = (ecosystem, pip_name(name) if ecosystem == PIP else name)
    except Refused:
        return
    versions = affected.get("versions")
    # Without a list of versions all of them are meant: ranges of malware begin at zero.
    for version in versions if isinstance(versions, list) and versions else ("*",):
        known.setdefault(key, {})[str(version)] = id_
