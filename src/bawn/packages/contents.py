"""What is in a package's file, looked at before anybody installs it.

Members that leave their folder, come twice, are links where none belong, stand in the archive only for some readers, or
swell beyond reason refuse the file whole. What a wheel would have Python run unasked is found here, and judged
elsewhere, since an operator may approve it for a package.
"""

from __future__ import annotations

import gzip
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from bawn.packages.reasons import Refused
from bawn.packages.startup import startup
from bawn.packages.zip_order import ambiguity

Look = Callable[[Path, str], str]
"""Of a file and the package that it is of: what of it would run unasked, as the rest of a sentence. Refused
`packages.hostile`; blocks while it reads."""

_MEMBERS = 200_000
_WHOLE = 16 * 2**30
"""Bytes of everything in it, unpacked."""
_RATIO = 500
_PIECE = 1 << 20


def look_into_wheel(path: Path, package: str) -> str:
    try:
        with path.open("rb") as file, zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            _sound([(each.filename, each.file_size) for each in members], path)
            for each in members:
                if each.flag_bits & 1:
                    raise _hostile("a member is encrypted")
                if stat.S_ISLNK(each.external_attr >> 16):
                    raise _hostile(f"{each.filename[:80]} is a link")
            if why := ambiguity(archive, file):
                raise _hostile(why)
            return startup(archive, package)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError, RuntimeError, ValueError) as error:
        raise _hostile("it is no whole zip file") from error


def look_into_tarball(path: Path, _package: str) -> str:
    try:
        with gzip.open(path) as unpacked, tarfile.open(fileobj=unpacked, mode="r:") as archive:
            seen: list[tuple[str, int]] = []
            files: set[str] = set()
            whole, most = 0, _most(path)
            for member in archive:
                # Some packers write a file that they meet twice as a link to the first; it stays within the package.
                within = member.islnk() and member.linkname in files
                if not (within or member.isdir() or (member.isreg() and not member.issparse())):
                    raise _hostile(f"{member.name[:80]} is neither file nor folder")
                files.add(member.name)
                whole += member.size
                seen.append((member.name, member.size))
                if len(seen) > _MEMBERS or whole > most:
                    raise _hostile("it is too large when unpacked")
            _sound(seen, path, twice=True)
            _ended(unpacked, archive.offset, most)
    except (tarfile.TarError, zlib.error, EOFError, OSError, ValueError, OverflowError) as error:
        raise _hostile("it is no whole tar file") from error
    return ""


def _ended(file: gzip.GzipFile, offset: int, most: int) -> None:
    """One reader stops at a damaged header where the next one goes on: nothing may follow the last member."""
    file.seek(offset)
    size = 0
    while piece := file.read(_PIECE):
        size += len(piece)
        if piece.strip(b"\0") or size > most:
            raise _hostile("something follows its last member")


def _most(path: Path) -> int:
    """Bytes that a file of this size may hold, unpacked."""
    return min(_WHOLE, max(path.stat().st_size, 1 << 20) * _RATIO)


def _sound(members: list[tuple[str, int]], path: Path, *, twice: bool = False) -> None:
    if len(members) > _MEMBERS:
        raise _hostile("it has too many members")
    if sum(size for _, size in members) > _most(path):
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
