"""A folder in two files: `manifest`, which says everything about it, and `data`, the contents one after another.

No name that an agent chose is ever a name on the host, nothing in a pack can be run or followed, and a thousand small
files cost one. Contents are read and written by several threads: reading, writing and hashing leave the
interpreter free. What is unpacked is hashed on the way, and a pack that is not as its manifest says restores nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from bawn.errors import Fault
from bawn.sandbox import kernel
from bawn.sandbox.tree import (
    FILE,
    FOLDER,
    LINK,
    Entry,
    Skip,
    attributes,
    extents,
    nothing,
    read_manifest,
    walk,
    write_manifest,
)

CHUNK_BYTES = 1 << 20
THREADS = 4
MARGIN_BYTES = 64 << 20
"""What is left free on the disk."""
_ZEROS = bytes(CHUNK_BYTES)
_TRIES = 3
MANIFEST, DATA = "manifest", "data"


@dataclass(frozen=True, slots=True)
class Owner:
    uid: int
    gid: int


def pack(root: int, place: int, skip: Skip = nothing) -> list[Entry]:
    """Writes the folder `root` into the empty folder `place`."""
    listed = list(walk(root, skip))
    files = [entry for entry in listed if entry.kind == FILE and not entry.same_as]
    room_for(place, sum(entry.size for entry in files if entry.size), sparse=True, entries=listed, root=root)
    data = os.open(DATA, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=place)
    manifest = os.open(MANIFEST, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=place)
    try:
        writer = _Writer(root, data)
        packed = dict(zip((entry.path for entry in files), _each(files, writer.add), strict=True))
        entries = [whole for entry in listed if (whole := _filled(entry, packed)) is not None]
        write_manifest(manifest, entries)
    finally:
        os.close(data)
        os.close(manifest)
    return entries


def _filled(entry: Entry, packed: dict[str, Entry | None]) -> Entry | None:
    """The entry with what was read of its content; none when it was gone by then."""
    if entry.kind != FILE:
        return entry
    first = packed.get(entry.same_as or entry.path)
    if first is None:
        return None
    if entry.same_as:
        return replace(entry, sha256=first.sha256, size=first.size)
    return first


class _Writer:
    def __init__(self, root: int, data: int) -> None:
        self._root = root
        self._data = data
        self._end = 0
        self._lock = threading.Lock()

    def add(self, entry: Entry) -> Entry | None:
        for _ in range(_TRIES):
            try:
                fd = kernel.open_beneath(self._root, entry.path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
            except FileNotFoundError:
                return None
            try:
                before = os.fstat(fd)
                if not stat.S_ISREG(before.st_mode):
                    return None
                told = self._content(fd, before.st_size, entry)
                after = os.fstat(fd)
            finally:
                os.close(fd)
            if told is not None and (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns):
                return replace(told, mtime_ns=before.st_mtime_ns)
        raise Fault("files.failed", "a file is written again and again while it is copied", cause=entry.path)

    def _content(self, fd: int, size: int, entry: Entry) -> Entry | None:
        parts = extents(fd, size)
        length = sum(part for _, part in parts)
        with self._lock:
            at, self._end = self._end, self._end + length
        digest, place, end = hashlib.sha256(), at, 0
        for begin, part in parts:
            _zeros(digest.update, begin - end)
            end = begin + part
            while begin < end:
                piece = os.pread(fd, min(CHUNK_BYTES, end - begin), begin)
                if not piece:
                    return None  # it became shorter
                digest.update(piece)
                _put(self._data, piece, place)
                begin, place = begin + len(piece), place + len(piece)
        _zeros(digest.update, size - end)
        return replace(entry, size=size, sha256=digest.hexdigest(), extents=parts, at=at, attributes=attributes(fd))


def hashed(fd: int, size: int) -> str:
    """The digest of an open file, holes as zeros."""
    digest, end = hashlib.sha256(), 0
    for begin, part in extents(fd, size):
        _zeros(digest.update, begin - end)
        end = begin + part
        while begin < end:
            piece = os.pread(fd, min(CHUNK_BYTES, end - begin), begin)
            if not piece:
                return ""
            digest.update(piece)
            begin += len(piece)
    _zeros(digest.update, size - end)
    return digest.hexdigest()


def _zeros(update: Callable[[bytes], object], count: int) -> None:
    while count > 0:
        update(_ZEROS[:count] if count < CHUNK_BYTES else _ZEROS)
        count -= CHUNK_BYTES


def _put(fd: int, piece: bytes, at: int) -> None:
    view = memoryview(piece)
    while view:
        written = os.pwrite(fd, view, at)
        view, at = view[written:], at + written


@dataclass(frozen=True, slots=True)
class Pack:
    """A pack, opened; whoever opened it may become another user before it is read."""

    entries: list[Entry]
    data: int

    @staticmethod
    def of(place: int) -> Pack:
        fd = kernel.open_beneath(place, MANIFEST, os.O_RDONLY)
        try:
            entries = read_manifest(fd)
        finally:
            os.close(fd)
        return Pack(entries, kernel.open_beneath(place, DATA, os.O_RDONLY))

    def content(self, entry: Entry, limit: int) -> bytes:
        """What a file holds, at most `limit` bytes of it."""
        whole, at = bytearray(min(entry.size, limit)), entry.at
        for begin, part in entry.extents:
            if begin < limit:
                piece = os.pread(self.data, min(part, limit - begin), at)
                whole[begin : begin + len(piece)] = piece
            at += part
        return bytes(whole)


def unpack(kept: Pack, root: int, *, owners: bool, owner: Owner | None = None) -> None:
    """Makes the packed folder in the empty folder `root`. `owners`: whether we can give things to other users."""
    length = sum(part for entry in kept.entries for _, part in entry.extents)
    if os.fstat(kept.data).st_size < length:
        raise Fault("snapshots.broken", "the kept data is shorter than its list says")
    room_for(root, length)
    for entry in kept.entries:
        if entry.kind == FOLDER and entry.path != ".":
            os.mkdir(entry.path, 0o700, dir_fd=root)
    maker = _Maker(root, kept.data, owners=owners, owner=owner)
    _each([entry for entry in kept.entries if entry.kind == FILE and not entry.same_as], maker.make)
    for entry in kept.entries:
        if entry.same_as:
            os.link(entry.same_as, entry.path, src_dir_fd=root, dst_dir_fd=root, follow_symlinks=False)
    # Links last: until then no path can lead through one.
    for entry in kept.entries:
        if entry.kind == LINK:
            os.symlink(entry.target, entry.path, dir_fd=root)
            maker.finish_link(entry)
    for entry in reversed(kept.entries):
        if entry.kind == FOLDER:
            maker.finish_folder(entry)


class _Maker:
    def __init__(self, root: int, data: int, *, owners: bool, owner: Owner | None) -> None:
        self._root = root
        self._data = data
        self._owners = owners
        self._owner = owner

    def make(self, entry: Entry) -> Entry:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        fd = kernel.open_beneath(self._root, entry.path, flags, 0o600)
        try:
            digest, at, end = hashlib.sha256(), entry.at, 0
            for begin, part in entry.extents:
                _zeros(digest.update, begin - end)
                end = begin + part
                while begin < end:
                    piece = os.pread(self._data, min(CHUNK_BYTES, end - begin), at)
                    if not piece:
                        raise Fault("snapshots.broken", "the kept data is shorter than its list says")
                    digest.update(piece)
                    _put(fd, piece, begin)
                    begin, at = begin + len(piece), at + len(piece)
            _zeros(digest.update, entry.size - end)
            if digest.hexdigest() != entry.sha256:
                raise Fault("snapshots.broken", "the kept data is not what it was", cause=entry.path)
            os.ftruncate(fd, entry.size)
            self._own(fd, entry)
            for name, value in entry.attributes.items():
                with contextlib.suppress(OSError):
                    os.setxattr(fd, name, bytes.fromhex(value))
            os.fchmod(fd, entry.mode)
            os.utime(fd, ns=(entry.mtime_ns, entry.mtime_ns))
        finally:
            os.close(fd)
        return entry

    def finish_link(self, entry: Entry) -> None:
        if self._owners:
            owner = self._owner or Owner(entry.uid, entry.gid)
            os.chown(entry.path, owner.uid, owner.gid, dir_fd=self._root, follow_symlinks=False)
        times = (entry.mtime_ns, entry.mtime_ns)
        os.utime(entry.path, ns=times, dir_fd=self._root, follow_symlinks=False)

    def finish_folder(self, entry: Entry) -> None:
        fd = kernel.open_beneath(self._root, entry.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            with contextlib.suppress(PermissionError):  # the top may be a mount that is not ours
                self._own(fd, entry)
                os.fchmod(fd, entry.mode)
            with contextlib.suppress(PermissionError):
                os.utime(fd, ns=(entry.mtime_ns, entry.mtime_ns))
        finally:
            os.close(fd)

    def _own(self, fd: int, entry: Entry) -> None:
        if self._owners:
            owner = self._owner or Owner(entry.uid, entry.gid)
            os.fchown(fd, owner.uid, owner.gid)


def room_for(place: int, size: int, *, sparse: bool = False, entries: Iterable[Entry] = (), root: int = -1) -> None:
    """`snapshots.no_space` when the disk would not hold it."""
    disk = os.fstatvfs(place)
    free = disk.f_bavail * disk.f_frsize
    if sparse and size + MARGIN_BYTES > free:
        # Holes take nothing: count what is really there before refusing.
        size = 0
        for entry in entries:
            if entry.kind == FILE and not entry.same_as:
                with contextlib.suppress(OSError):
                    size += os.stat(entry.path, dir_fd=root, follow_symlinks=False).st_blocks * 512
    if size + MARGIN_BYTES > free:
        raise Fault(
            "snapshots.no_space",
            f"this needs {(size + MARGIN_BYTES) >> 20} MB of disk, and {free >> 20} MB are free",
        )


def _each(entries: list[Entry], act: Callable[[Entry], Entry | None]) -> list[Entry | None]:
    """Several at once; large ones first would not help, since the disk is shared anyway."""
    if len(entries) < 2:
        return [act(entry) for entry in entries]
    with ThreadPoolExecutor(THREADS) as threads:
        return list(threads.map(act, entries, chunksize=1))
