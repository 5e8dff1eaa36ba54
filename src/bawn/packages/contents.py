"""What is in a package's file, looked at before anybody installs it.

A wheel is only unpacked, but Python runs two things of it at its very next start: lines in `.pth` files that begin with
`import`, and the modules `sitecustomize` and `usercustomize`. That is how stolen packages have run without being imported. A
file of known content may do so; nothing else. Members that leave their folder, come twice, are links where none belong, or swell
beyond reason refuse the file whole.
"""

from __future__ import annotations

import hashlib
import re
import stat
import tarfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from bawn.packages.reasons import Refused

_MEMBERS = 200_000
_WHOLE = 16 * 2**30
"""Bytes of everything in it, unpacked."""
_RATIO = 500
_PTH_LIMIT = 256 * 1024
_STARTS = re.compile(rb"^\s*import[ \t]", re.MULTILINE)
_MODULES = frozenset({"sitecustomize", "usercustomize"})

KNOWN: frozenset[str] = frozenset(
    {
        # setuptools' distutils-precedence.pth, the same for years
        "2638ce9e2500e572a5e0de7faed6661eb569d1b696fcba07b0dd223da5f5d224",
    }
)
"""sha256 of `.pth` files that may run at start."""


def look_into_wheel(path: Path) -> None:
    """Refused `packages.hostile`; blocks while it reads."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            _sound([(each.filename, each.file_size) for each in members], path)
            for each in members:
                if each.flag_bits & 1:
                    raise _hostile("a member is encrypted")
                kind = each.external_attr >> 16
                if stat.S_ISLNK(kind):
                    raise _hostile(f"{each.filename} is a link")
                _startup(archive, each)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError, RuntimeError) as error:
        raise _hostile("it is no whole zip file") from error


def _startup(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
    parts = [part for part in PurePosixPath(member.filename).parts if part]
    # What lies in name.data/purelib or platlib lands where the root lands.
    if len(parts) > 2 and parts[0].endswith(".data") and parts[1] in ("purelib", "platlib"):
        parts = parts[2:]
    if not parts:
        return
    if parts[0].partition(".")[0].lower() in _MODULES:
        raise _hostile(f"{member.filename} would run at every start of Python")
    if len(parts) > 1 or not parts[0].lower().endswith(".pth"):
        return
    if member.file_size > _PTH_LIMIT:
        raise _hostile(f"{member.filename} is too long for what it is")
    content = archive.read(member)
    text = content.decode("utf-8", "replace").encode()
    if (_STARTS.search(content) or _STARTS.search(text)) and hashlib.sha256(content).hexdigest() not in KNOWN:
        raise _hostile(f"{member.filename} would run code at every start of Python")


def look_into_tarball(path: Path) -> None:
    """Refused `packages.hostile`; blocks while it reads."""
    try:
        with tarfile.open(path, "r:gz") as archive:
            seen: list[tuple[str, int]] = []
            whole = 0
            for member in archive:
                if not (member.isreg() or member.isdir()):
                    raise _hostile(f"{member.name[:80]} is neither file nor folder")
                whole += member.size
                seen.append((member.name, member.size))
                if len(seen) > _MEMBERS or whole > _WHOLE:
                    raise _hostile("it is too large when unpacked")
            _sound(seen, path, twice=True)
    except (tarfile.TarError, zlib.error, EOFError, OSError, ValueError) as error:
        raise _hostile("it is no whole tar file") from error


def _sound(members: list[tuple[str, int]], path: Path, *, twice: bool = False) -> None:
    if len(members) > _MEMBERS:
        raise _hostile("it has too many members")
    whole = sum(size for _, size in members)
    if whole > _WHOLE or whole > max(path.stat().st_size, 1 << 20) * _RATIO:
        raise _hostile("it is too large when unpacked")
    names: set[str] = set()
    for name, _ in members:
        parts = PurePosixPath(name).parts
        if name.startswith("/") or ".." in parts or "\\" in name or "\0" in name or not parts:
            raise _hostile("a member would leave its folder")
        # Published tarballs of npm do repeat a name now and then, with the last one counting for every reader.
        if name in names and not twice:
            raise _hostile(f"{name[:80]} stands twice in it")
        names.add(name)


def _hostile(sentence: str) -> Refused:
    return Refused("packages.hostile", f"The file of the package was refused: {sentence}.")
