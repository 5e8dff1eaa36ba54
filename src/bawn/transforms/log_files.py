"""Lines on their way to the files of the request log: taken at once, made and written by a thread of their own.

What waits is bounded in lines and in bytes; what comes when it is full is dropped and counted, since this log explains and
the record is what proves. Each container or project has a file, `NAME.jsonl`; one that grew to its limit becomes
`NAME-<utc>-<number>.jsonl`, and old ones go by their number and their age. Folder and files are for this user alone.
"""

from __future__ import annotations

import contextlib
import os
import queue
import re
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import structlog
from msgspec import Struct

log = structlog.get_logger(__name__)

LINES = 2000
BYTES = 64 * 2**20
_SWEEP_EVERY_S = 600
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")
_STAMP = "%Y%m%dT%H%M%S%fZ"


class Keeping(Struct, frozen=True):
    """How large files become, and how long they stay."""

    file_bytes: int
    files: int
    """Older files of one name."""
    days: float


class LogFiles:
    def __init__(self, folder: Path, now: Callable[[], datetime], lines: int = LINES, most_bytes: int = BYTES) -> None:
        self.keeping = Keeping(2**24, 10, 7)
        """May be changed at any time."""
        self.lost = 0
        """Lines that were dropped, because too much waited or the disk did not take them."""
        self._folder = folder
        self._now = now
        self._queue: queue.Queue[tuple[str, int, Callable[[], bytes]] | threading.Event | None] = queue.Queue(lines)
        self._most_bytes = most_bytes
        self._waiting = 0
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._swept = 0.0
        self._closed = 0

    def add(self, name: str, size: int, line: Callable[[], bytes]) -> bool:
        """Never waits. `line` makes the bytes of the line later, on the thread; `size` is what it holds until then."""
        with self._lock:
            if self._waiting + size > self._most_bytes:
                self.lost += 1
                return False
            self._waiting += size
        try:
            self._queue.put_nowait((name, size, line))
        except queue.Full:
            with self._lock:
                self._waiting -= size
                self.lost += 1
            return False
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="request-log", daemon=True)
            self._thread.start()
        return True

    def written(self, seconds: float) -> bool:
        """Waits until what was added before is written, or cannot be; whether that was in time. Not for the event loop."""
        if self._thread is None:
            return True
        mark = threading.Event()
        try:
            self._queue.put(mark, timeout=seconds)
        except queue.Full:
            return False
        return mark.wait(seconds)

    def close(self) -> None:
        """Writes what waits."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        while (taken := self._queue.get()) is not None:
            if isinstance(taken, threading.Event):
                taken.set()
                continue
            name, size, line = taken
            try:
                self._write(_UNSAFE.sub("_", name), line())
            except Exception as error:  # noqa: BLE001 - the outermost loop of the thread: one line never ends the log
                self.lost += 1
                log.warning("request_log.lost", error=type(error).__name__)
            finally:
                with self._lock:
                    self._waiting -= size

    def _write(self, name: str, line: bytes) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._folder / f"{name}.jsonl"
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_size + len(line) > self.keeping.file_bytes:
                # Numbered as well: a clock may stand still, and no file takes the place of another.
                self._closed += 1
                stamp = f"{self._now().astimezone(UTC):{_STAMP}}-{self._closed:06d}"
                path.rename(self._folder / f"{name}-{stamp}.jsonl")
                self._sweep(name)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, line)
            # Age goes by the clock that everything here goes by.
            os.utime(descriptor, times=(self._now().timestamp(),) * 2)
        finally:
            os.close(descriptor)
        if time.monotonic() - self._swept > _SWEEP_EVERY_S:
            self._swept = time.monotonic()
            self._sweep("")

    def _sweep(self, name: str) -> None:
        """Older files that are too many of one name, or too old of any."""
        older = sorted(self._folder.glob(f"{name}-*.jsonl"), reverse=True) if name else []
        for path in older[self.keeping.files :]:
            path.unlink(missing_ok=True)
        oldest = self._now().timestamp() - self.keeping.days * 86400
        for path in self._folder.glob("*.jsonl"):
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_mtime < oldest:
                    path.unlink()
