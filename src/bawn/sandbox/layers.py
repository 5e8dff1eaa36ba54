"""Layers of an image onto a folder: strangers' tar archives, unpacked by root.

Every path is looked up as if the folder were the root (openat2, RESOLVE_IN_ROOT), so a link in one layer that
leads out of it leads to a place within it for the next. Only files, folders and links are made: no device, no
attribute, no owner but the one who unpacks, and no mode by which a program would run as somebody else. What a
layer takes away (whiteouts, image-spec 1.1) is taken away before the next one comes.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
import tarfile
from pathlib import PurePosixPath
from typing import IO, Any, cast

from bawn.sandbox import kernel
from bawn.sandbox.oci import unfit

MAX_ENTRIES = 1_000_000
MAX_BYTES = 32 << 30
_PIECE = 1 << 20
_WHITEOUT, _OPAQUE = ".wh.", ".wh..wh..opq"
_FOLDER = os.O_RDONLY | os.O_DIRECTORY


class Root:
    """The folder that becomes the image. `spare_bytes`: how much may be written."""

    def __init__(self, folder: int, spare_bytes: int) -> None:
        self._folder = folder
        self._bytes = min(spare_bytes, MAX_BYTES)
        self._entries = 0
        self.left_out = 0
        """Devices, pipes and sockets, of which a box has its own or none."""

    def unpack(self, archive: IO[bytes]) -> None:
        """One layer. Fault `sandbox.invalid` when it cannot be taken."""
        mine: set[str] = set()
        opaque: list[str] = []
        try:
            with tarfile.open(fileobj=archive, mode="r|", errorlevel=2) as tar:
                for member in tar:
                    cast("Any", tar).members = []  # else every entry would be kept
                    self._entry(tar, member, mine, opaque)
        except (tarfile.TarError, EOFError, UnicodeError, ValueError) as error:
            raise unfit(f"a layer is not a tar archive: {error!s:.100}") from error
        except OSError as error:
            raise unfit(f"an entry of a layer cannot be made: {error.strerror}") from error
        for folder in opaque:
            self._empty(folder, mine)

    def write(self, path: str, data: bytes, mode: int = 0o644, *, fresh: bool = True) -> None:
        """A file of ours; without `fresh` one that is there already stays."""
        parent, name = self._parent(_clean(path))
        try:
            if fresh:
                self._remove(parent, name)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
            with os.fdopen(os.open(name, flags, mode, dir_fd=parent), "wb") as opened:
                opened.write(data)
                os.fchmod(opened.fileno(), mode)
        except FileExistsError:
            pass
        finally:
            os.close(parent)

    def read(self, path: str, limit: int = 1 << 20) -> bytes:
        """A file, or nothing when there is none."""
        try:
            descriptor = kernel.open_in_root(self._folder, path, os.O_RDONLY | os.O_NONBLOCK)
        except OSError:
            return b""
        with os.fdopen(descriptor, "rb") as opened:
            return opened.read(limit) if stat.S_ISREG(os.fstat(opened.fileno()).st_mode) else b""

    def runs(self, path: str) -> bool:
        """Whether a program lies there."""
        try:
            descriptor = kernel.open_in_root(self._folder, path, os.O_PATH)
        except OSError:
            return False
        try:
            said = os.fstat(descriptor)
            return stat.S_ISREG(said.st_mode) and bool(said.st_mode & 0o001)
        finally:
            os.close(descriptor)

    def folder(self, path: str, mode: int = 0o755) -> None:
        """A folder, with those above it; what stands there as a link is replaced, since something is mounted there."""
        folder = os.dup(self._folder)
        for name in _clean(path):
            if not self._is_folder(folder, name):
                self._remove(folder, name)
                os.mkdir(name, 0o755, dir_fd=folder)
            folder, above = os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=folder), folder
            os.close(above)
        os.fchmod(folder, mode)
        os.close(folder)

    def is_link(self, name: str) -> bool:
        """Whether a link stands there, at the top."""
        said = _stat(self._folder, name)
        return said is not None and stat.S_ISLNK(said.st_mode)

    # inside

    def _entry(self, tar: tarfile.TarFile, member: tarfile.TarInfo, mine: set[str], opaque: list[str]) -> None:
        self._entries += 1
        if self._entries > MAX_ENTRIES:
            raise unfit(f"it has over {MAX_ENTRIES} entries")
        parts = _clean(member.name)
        if not parts:
            return
        above, name = parts[:-1], parts[-1]
        if name == _OPAQUE:
            opaque.append("/".join(above))
            return
        if name.startswith(_WHITEOUT):
            self._whiteout(above, name.removeprefix(_WHITEOUT), mine)
            return
        path = "/".join(parts)
        parent, _ = self._parent(parts)
        try:
            self._make(tar, member, parent, name)
        finally:
            os.close(parent)
        for count in range(1, len(parts) + 1):
            mine.add("/".join(parts[:count]))
        mine.add(path)

    def _make(self, tar: tarfile.TarFile, member: tarfile.TarInfo, parent: int, name: str) -> None:
        mode = member.mode & 0o777
        if member.isdir():
            if not self._is_folder(parent, name):
                self._remove(parent, name)
                os.mkdir(name, 0o700, dir_fd=parent)
            os.chmod(name, (member.mode & 0o1777) | 0o500, dir_fd=parent)
        elif member.issym():
            self._remove(parent, name)
            os.symlink(_target(member.linkname), name, dir_fd=parent)
        elif member.islnk():
            self._link(member.linkname, parent, name)
        elif member.isreg() and member.type != tarfile.GNUTYPE_SPARSE and not member.sparse:
            self._remove(parent, name)
            self._bytes -= member.size
            if member.size < 0 or self._bytes < 0:
                raise unfit("it is larger than may be unpacked here")
            source = tar.extractfile(member)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
            with os.fdopen(os.open(name, flags, 0o600, dir_fd=parent), "wb") as opened:
                if source is not None:
                    shutil.copyfileobj(source, opened, _PIECE)
                os.fchmod(opened.fileno(), mode)
        elif member.isreg():
            raise unfit("a file in it is sparse, which is not taken")
        else:
            self.left_out += 1

    def _link(self, target: str, parent: int, name: str) -> None:
        parts = _clean(target)
        if not parts:
            raise unfit("a link in it leads to no file")
        source, source_name = self._parent(parts, make=False)
        try:
            if not stat.S_ISREG(os.stat(source_name, dir_fd=source, follow_symlinks=False).st_mode):
                raise unfit("a hard link in it leads to something that is no file")
            if os.stat(source_name, dir_fd=source, follow_symlinks=False) != _stat(parent, name):
                self._remove(parent, name)
                os.link(source_name, name, src_dir_fd=source, dst_dir_fd=parent, follow_symlinks=False)
        finally:
            os.close(source)

    def _whiteout(self, above: list[str], name: str, mine: set[str]) -> None:
        if name in ("", ".", "..") or "/" in name:
            raise unfit("it takes away something that is no name")
        if "/".join([*above, name]) in mine:
            return
        try:
            parent, _ = self._parent([*above, name], make=False)
        except OSError:
            return
        try:
            self._remove(parent, name)
        finally:
            os.close(parent)

    def _empty(self, path: str, mine: set[str]) -> None:
        """Take away what earlier layers put into a folder."""
        try:
            folder = kernel.open_in_root(self._folder, path or ".", _FOLDER)
        except OSError:
            return
        try:
            with os.scandir(folder) as listed:
                names = [entry.name for entry in listed]
            for name in names:
                inner = f"{path}/{name}".lstrip("/")
                if inner not in mine:
                    self._remove(folder, name)
                elif self._is_folder(folder, name):
                    self._empty(inner, mine)
        finally:
            os.close(folder)

    def _parent(self, parts: list[str], *, make: bool = True) -> tuple[int, str]:
        above = parts[:-1]
        folder = self._made(above) if make else kernel.open_in_root(self._folder, "/".join(above) or ".", _FOLDER)
        return folder, parts[-1]

    def _made(self, parts: list[str]) -> int:
        """The folder, made where it is missing."""
        try:
            return kernel.open_in_root(self._folder, "/".join(parts) or ".", _FOLDER)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP) or not parts:
                raise
        above = self._made(parts[:-1])
        try:
            # A link that leads nowhere, or a file: in its place comes the folder.
            self._remove(above, parts[-1])
            os.mkdir(parts[-1], 0o755, dir_fd=above)
            return kernel.open_in_root(above, parts[-1], _FOLDER)
        finally:
            os.close(above)

    @staticmethod
    def _is_folder(parent: int, name: str) -> bool:
        said = _stat(parent, name)
        return said is not None and stat.S_ISDIR(said.st_mode)

    @staticmethod
    def _remove(parent: int, name: str) -> None:
        said = _stat(parent, name)
        if said is None:
            return
        if stat.S_ISDIR(said.st_mode):
            shutil.rmtree(name, dir_fd=parent)
        else:
            os.unlink(name, dir_fd=parent)


def _stat(parent: int, name: str) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _clean(path: str) -> list[str]:
    """The names of a path, of which none leads upwards."""
    parts = [part for part in PurePosixPath(path).parts if part != "/"]
    if ".." in parts or "\0" in path or any(len(os.fsencode(part)) > 255 for part in parts) or len(path) > 4096:
        raise unfit(f"the path {path[:100]!r} is not taken")
    return parts


def _target(target: str) -> str:
    if not target or "\0" in target or len(os.fsencode(target)) > 4095:
        raise unfit("a symbolic link in it leads to no path")
    return target
