"""The supervisor's end of the line to the gateway: packets of JSON with descriptors beside them.

The gateway has no rights here beyond what the verbs give. A packet that is not one JSON object, that is too
long or that carries descriptors ends the line, and with it the gateway that sent it. A gateway that does
not read is not waited for: past `QUEUE_LIMIT` packets the line ends as well.
"""

from __future__ import annotations

import array
import contextlib
import json
import os
import socket
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from bawn.supervisor.loop import Loop

PACKET_LIMIT = 64 * 1024
QUEUE_LIMIT = 4096
_ROUND = 32

Body = Mapping[str, object]


class Line:
    def __init__(
        self,
        loop: Loop,
        end: socket.socket,
        on_request: Callable[[dict[str, object]], None],
        on_broken: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._end = end
        self._end.setblocking(False)
        self._on_request = on_request
        self._on_broken = on_broken
        self._queue: deque[tuple[bytes, list[int]]] = deque()
        self._open = True
        loop.watch(end.fileno(), self._ready)

    def send(self, body: Body, fds: Sequence[int] = ()) -> None:
        """Sends or queues; `fds` stay the caller's."""
        if not self._open:
            return
        packet = json.dumps(body, separators=(",", ":")).encode()
        if len(packet) > PACKET_LIMIT:
            packet = json.dumps(
                {key: body[key] for key in ("id", "event", "ok") if key in body} | {"cut": True}
            ).encode()
        self._queue.append((packet, [os.dup(fd) for fd in fds]))
        if len(self._queue) > QUEUE_LIMIT:
            self._break()
        elif len(self._queue) == 1:
            self._flush()

    def close(self) -> None:
        if self._open:
            self._open = False
            self._loop.unwatch(self._end.fileno())
            self._end.close()
            while self._queue:
                self._drop()

    def _ready(self) -> None:
        for _ in range(_ROUND):
            if not self._open:
                return
            try:
                data, ancillary, flags, _ = self._end.recvmsg(
                    PACKET_LIMIT + 1, socket.CMSG_SPACE(4 * 16), socket.MSG_CMSG_CLOEXEC | socket.MSG_DONTWAIT
                )
            except BlockingIOError:
                break
            except OSError:
                self._break()
                return
            unasked = array.array("i")
            for _level, _kind, rights in ancillary:
                unasked.frombytes(rights[: len(rights) - len(rights) % unasked.itemsize])
            for fd in unasked:
                os.close(fd)
            request = None
            with contextlib.suppress(ValueError, RecursionError):
                request = json.loads(data)
            if not isinstance(request, dict) or unasked or len(data) > PACKET_LIMIT or flags & socket.MSG_TRUNC:
                self._break()
                return
            self._on_request(request)
        if self._open and self._queue:
            self._flush()

    def _flush(self) -> None:
        while self._queue:
            packet, fds = self._queue[0]
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
            try:
                self._end.sendmsg([packet], rights)
            except BlockingIOError:
                break
            except OSError:
                self._break()
                return
            self._drop()
        self._loop.watch_writable(self._end.fileno(), self._ready, also_writable=bool(self._queue))

    def _drop(self) -> None:
        for fd in self._queue.popleft()[1]:
            os.close(fd)

    def _break(self) -> None:
        if self._open:
            self.close()
            self._on_broken()
