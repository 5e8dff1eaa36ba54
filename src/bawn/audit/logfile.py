"""The files of the log: `audit.jsonl`, and those before it, `audit-<utc>-<last number>.jsonl`.

Everything goes through one directory descriptor; no path is ever followed. A file is this process's own or
it is refused: a regular file of this user, with one name, closed to others, locked against a second writer.

What a crash left half-written at the end was never acknowledged. It is cut off, and a `log.repaired` record
says how much it was. A file that grew to its limit gets its final name and the next one begins with
`log.continued`; numbers run on. Records that the writer makes itself tell in `after` which record of a
recorder came last, so that the place is found again from the last line alone.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import secrets
import stat
import time
from collections.abc import Callable, Iterator
from datetime import datetime

from bawn.audit.packets import TAIL_LIMIT, TailRequest
from bawn.audit.record import Record
from bawn.audit.records import line_of, read_line, record_of, sealed, timestamp
from bawn.terms.event import Event

NAME = "audit.jsonl"
ROTATE_BYTES = 256 * 2**20
LEAST_ROTATE_BYTES = 4096

LOCK_WAIT_S = 5.0
"""A writer that was told to stop may still be taking what was on its way to it."""

_OLDER = re.compile(r"audit-[0-9]{8}T[0-9]{6}\.[0-9]{3}Z-[0-9]+\.jsonl")
_BLOCK = 256 * 1024
_TAIL_BUDGET = 8 * 2**20
"""Bytes read at most to answer one request for last lines; the log goes on being written meanwhile."""

_RUN = 16  # hexadecimal digits in the id of a record
_PREFIX = "rec_"


class NotOurs(Exception):
    """What stands in the directory cannot be written by this process."""


class LogFile:
    """The open log. After `open`, `run` and `counter` say which record of a recorder was the last."""

    def __init__(self, directory: int, now: Callable[[], datetime], *, lock_wait_s: float = LOCK_WAIT_S) -> None:
        self.rotate_bytes = ROTATE_BYTES
        self.sequence = 0
        self.run = b""
        self.counter = 0
        self._directory = directory
        self._now = now
        self._lock_wait_s = lock_wait_s
        self._fd = -1
        self._size = 0

    def open(self) -> None:
        """Opens and repairs. NotOurs when it must not be touched; OSError when the disk does not let it."""
        status = os.fstat(self._directory)
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o022:
            raise NotOurs("the directory of the log is not a directory that only this user can write")
        self._fd = self._open_file(os.O_CREAT)
        last, torn = self._last_record()
        if last is None and (older := self._older()):
            with self._other(older[-1]) as descriptor:
                last = next(filter(None, map(_parsed, _backwards(descriptor, _TAIL_BUDGET))), None)
        if last is not None:
            self._resume(last)
        if torn:
            os.ftruncate(self._fd, self._size)
            self._own("log.repaired", {"torn_bytes": str(len(torn)), "torn_sha256": hashlib.sha256(torn).hexdigest()})
        self._own("log.opened", {})
        self.commit()
        os.fsync(self._directory)

    def append(self, run: bytes, first: int, lines: list[bytes]) -> None:
        """Writes the lines, not yet surely to the disk: all of them, or OSError and none."""
        self._write(b"".join(sealed(line, self.sequence + at) for at, line in enumerate(lines, 1)))
        self.sequence += len(lines)
        self.run, self.counter = run, first + len(lines) - 1

    def commit(self) -> None:
        """Returns when everything appended is on the disk."""
        os.fdatasync(self._fd)

    def rotate_if_due(self) -> None:
        """Closes the file when it is full and begins the next; only between commits."""
        if self._size < self.rotate_bytes:
            return
        stamp = timestamp(self._now()).replace("-", "").replace(":", "")
        name = f"audit-{stamp}-{self.sequence}.jsonl"
        os.rename(NAME, name, src_dir_fd=self._directory, dst_dir_fd=self._directory)
        os.close(self._fd)
        self._size = 0
        self._fd = self._open_file(os.O_CREAT | os.O_EXCL)
        self._own("log.continued", {"file": name})
        self.commit()
        os.fsync(self._directory)

    def tail(self, request: TailRequest) -> list[bytes]:
        """The last lines that fit, oldest first."""
        found: list[bytes] = []
        wanted = max(0, min(request.n, TAIL_LIMIT))
        for line in self._newest_first():
            if len(found) >= wanted:
                break
            record = _parsed(line)
            if record is None:
                continue
            if (record.sequence or 0) <= request.after:
                break
            if _fits(record, request):
                found.append(line)
        return found[::-1]

    def close(self) -> None:
        os.close(self._fd)

    def _write(self, data: bytes) -> None:
        try:
            written = 0
            while written < len(data):
                written += os.write(self._fd, data[written:])
        except OSError:
            # A line that is there by half would make the file unreadable for what comes after it.
            os.ftruncate(self._fd, self._size)
            raise
        self._size += len(data)

    def _own(self, event: str, detail: dict[str, str]) -> None:
        """A record of the writer itself."""
        after = f"{_PREFIX}{self.run.hex()}{self.counter:08x}" if self.run else ""
        facts = {**detail, "after": after}
        record = record_of(Event(event, detail=tuple(facts.items())), f"log_{secrets.token_hex(8)}", self._now())
        self._write(sealed(line_of(record), self.sequence + 1))
        self.sequence += 1

    def _resume(self, last: Record) -> None:
        self.sequence = last.sequence or 0
        place = last.id if last.id.startswith(_PREFIX) else last.detail.get("after", "")
        if place:
            digits = place.removeprefix(_PREFIX)
            self.run, self.counter = bytes.fromhex(digits[:_RUN]), int(digits[_RUN:], 16)

    def _last_record(self) -> tuple[Record | None, bytes]:
        """The last whole record of the current file, and what stands behind it; sets the size up to there."""
        end = os.fstat(self._fd).st_size
        begin = max(0, end - 4 * _BLOCK)
        data = os.pread(self._fd, end - begin, begin)
        cut = len(data)
        while (line_end := data.rfind(b"\n", 0, cut)) != -1:
            line_begin = data.rfind(b"\n", 0, line_end) + 1
            record = _parsed(data[line_begin:line_end])
            if record is not None:
                self._size = begin + line_end + 1
                return record, data[line_end + 1 :]
            cut = line_end
        if end and (begin or not _like_ours(data)):
            raise NotOurs(f"{NAME} is not a log of Bawn")
        self._size = 0
        return None, data

    def _open_file(self, flags: int) -> int:
        flags |= os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        descriptor = os.open(NAME, flags, 0o600, dir_fd=self._directory)
        status = os.fstat(descriptor)
        own = stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid() and status.st_nlink == 1
        if not own or status.st_mode & 0o077:
            os.close(descriptor)
            raise NotOurs(f"{NAME} is not a file that only this user can read and write")
        if not _locked(descriptor, self._lock_wait_s):
            os.close(descriptor)
            raise NotOurs(f"{NAME} is being written by another process")
        return descriptor

    def _older(self) -> list[str]:
        """Closed files, oldest first."""
        with os.scandir(self._directory) as entries:
            return sorted(entry.name for entry in entries if _OLDER.fullmatch(entry.name))

    @contextlib.contextmanager
    def _other(self, name: str) -> Iterator[int]:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self._directory)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def _newest_first(self) -> Iterator[bytes]:
        yield from _backwards(self._fd, _TAIL_BUDGET)
        budget = _TAIL_BUDGET - self._size
        for name in reversed(self._older()):
            if budget <= 0:
                return
            with self._other(name) as descriptor:
                yield from _backwards(descriptor, budget)
                budget -= os.fstat(descriptor).st_size


def _locked(descriptor: int, patience_s: float) -> bool:
    until = time.monotonic() + patience_s
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= until:
                return False
            time.sleep(0.02)
        else:
            return True


def _backwards(descriptor: int, budget: int) -> Iterator[bytes]:
    """The lines of a file from its end, without line feeds, reading at most `budget` bytes."""
    at = os.fstat(descriptor).st_size
    least = max(0, at - budget)
    rest = b""
    while at > least:
        begin = max(least, at - _BLOCK)
        lines = (os.pread(descriptor, at - begin, begin) + rest).split(b"\n")
        rest = lines[0]
        yield from (line for line in reversed(lines[1:]) if line)
        at = begin
    if at == 0 and rest:
        yield rest


def _parsed(line: bytes) -> Record | None:
    try:
        record = read_line(line)
    except ValueError:
        return None
    return record if record.sequence is not None else None


def _like_ours(data: bytes) -> bool:
    """Whether a file without one whole record may be the torn beginning of a log: a piece of a line, or a hole."""
    begin = b'{"timestamp":"'
    return data.startswith(begin) or begin.startswith(data) or not data.strip(b"\0")


def _fits(record: Record, request: TailRequest) -> bool:
    named = record.event.startswith(request.event) if request.event.endswith(".") else record.event == request.event
    return (
        (not request.container or record.container == request.container)
        and (not request.call or record.call == request.call)
        and (not request.event or named)
    )
