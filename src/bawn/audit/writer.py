"""The audit writer: takes batches from its socket, appends them, and says what is on the disk.

One commit serves everything that came in while the one before ran (group commit). Nothing is acknowledged
before `fdatasync` returned. A disk that is full is an answer, and the writer goes on; a disk that failed
at a commit is the end of this process, because what the kernel then still holds cannot be trusted. When it
is told to stop, or nobody can send any more, it takes what is left in the socket, commits and ends.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import time
from collections import deque

from bawn.audit import packets
from bawn.audit.logfile import LEAST_ROTATE_BYTES, LogFile

LONGEST_UNCOMMITTED_S = 0.1
"""How long a relaxed batch may wait for its commit."""

_GROUP_BYTES = 4 * 2**20


class Writer:
    def __init__(self, log: LogFile, sock: socket.socket) -> None:
        self._log = log
        self._sock = sock
        self._sock.setblocking(False)
        self._out: deque[bytes] = deque()
        self._run = b""
        """The run that is served; set by its hello."""
        self._gap_told = False
        self._error = ""
        self._dirty_since: float | None = None
        self._commit_now = False
        self._stopping = False
        self._ended = False

    def serve(self) -> None:
        """Until stopped or left alone. OSError when a commit failed."""
        wake_read, wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGTERM, lambda *_: self._stop())
        signal.signal(signal.SIGINT, lambda *_: self._stop())
        poll = select.poll()
        poll.register(wake_read, select.POLLIN)
        self._out.append(packets.WOKE)
        while not self._ended:
            poll.register(self._sock, select.POLLIN | (select.POLLOUT if self._out else 0))
            poll.poll(self._patience_ms())
            self._read_some()
            if self._stopping:
                self._ended = True
            self._commit_if_due()
            self._send()

    def _stop(self) -> None:
        self._stopping = True

    def _patience_ms(self) -> int | None:
        if self._stopping:
            return 0
        if self._dirty_since is None:
            return None
        return max(0, round((self._dirty_since + LONGEST_UNCOMMITTED_S - time.monotonic()) * 1000))

    def _read_some(self) -> None:
        taken = 0
        while taken < _GROUP_BYTES or self._stopping:
            try:
                packet = self._sock.recv(packets.RECEIVE_SIZE)
            except BlockingIOError:
                return
            except ConnectionResetError:
                continue  # said once when the other side left without reading; what it sent is still there
            if not packet:
                self._ended = True
                return
            taken += len(packet)
            self._take(packet)

    def _take(self, packet: bytes) -> None:
        match packet[:1]:
            case packets.BATCH:
                self._take_batch(packets.read_batch(packet))
            case packets.HELLO:
                self._take_hello(packets.read_hello(packet))
            case packets.TAIL:
                number, request = packets.read_ask(packet)
                self._out.extend(packets.told(number, self._log.tail(request)))

    def _take_hello(self, hello: packets.Hello) -> None:
        if hello.number:
            self._log.rotate_bytes = max(hello.number, LEAST_ROTATE_BYTES)
        self._run, self._gap_told, self._error = hello.run, False, ""
        self._commit()
        self._out.append(packets.hello(hello.nonce, hello.run, self._last()))

    def _take_batch(self, batch: packets.Batch) -> None:
        if batch.run != self._run:
            return  # of a recorder that has been followed by another
        last = self._last()
        lines = batch.lines[max(0, last + 1 - batch.first) :]
        self._commit_now = self._commit_now or batch.commit_now or not lines
        if batch.first > last + 1:
            if not self._gap_told and not self._error:
                self._gap_told = True
                self._out.append(packets.place(packets.GAP, self._run, last))
            return
        self._dirty_since = self._dirty_since or time.monotonic()
        if not lines:
            return  # known already; acknowledged once more with the next commit
        try:
            self._log.append(batch.run, batch.first + len(batch.lines) - len(lines), lines)
        except OSError as error:
            self._error = f"{os.strerror(error.errno or 0)} (the log's disk)"
            self._commit_now = True
        else:
            self._gap_told, self._error = False, ""

    def _last(self) -> int:
        return self._log.counter if self._log.run == self._run else 0

    def _commit_if_due(self) -> None:
        if self._dirty_since is None:
            return
        due = time.monotonic() - self._dirty_since >= LONGEST_UNCOMMITTED_S
        if self._commit_now or due or self._ended:
            self._commit()

    def _commit(self) -> None:
        self._log.commit()
        self._dirty_since, self._commit_now = None, False
        if self._error:
            self._out.append(packets.place(packets.ERROR, self._run, self._last(), self._error))
            return
        if self._run:
            self._out.append(packets.place(packets.ACK, self._run, self._last()))
        self._log.rotate_if_due()

    def _send(self) -> None:
        while self._out:
            try:
                self._sock.send(self._out[0])
            except BlockingIOError:
                return
            except (BrokenPipeError, ConnectionResetError):
                self._out.clear()  # nobody listens any more; what was sent to us is still read to its end
                return
            self._out.popleft()
