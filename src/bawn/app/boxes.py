"""The gateway's end of the line to the supervisor.

One packet is one JSON object, with file descriptors beside it. Requests carry a number and are answered by
it; everything else that comes is an event. The supervisor trusts nothing that is said here and checks each
field itself; if the line breaks, everything that waits fails, and the process ends.
"""

from __future__ import annotations

import array
import asyncio
import itertools
import json
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from bawn.errors import KINDS, Fault

_PACKET_BYTES = 256 * 1024
_DESCRIPTORS = 16


@dataclass(frozen=True, slots=True)
class Packet:
    """What came over the line: a JSON object and the descriptors that belong to it."""

    body: dict[str, Any]
    descriptors: tuple[int, ...] = field(default=())


class Boxes:
    """Asks the supervisor for containers and passes its events on."""

    def __init__(self, line: socket.socket, on_event: Callable[[Packet], None], on_broken: Callable[[], None]) -> None:
        self._line = line
        self._line.setblocking(False)
        self._on_event = on_event
        self._on_broken = on_broken
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Packet]] = {}
        self._to_send: list[bytes] = []
        self._broken = False

    def open(self) -> None:
        asyncio.get_running_loop().add_reader(self._line.fileno(), self._readable)

    def close(self) -> None:
        if not self._broken:
            self._broken = True
            loop = asyncio.get_running_loop()
            loop.remove_reader(self._line.fileno())
            loop.remove_writer(self._line.fileno())
            self._line.close()
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(_gone())
        self._waiting.clear()

    async def ask(self, do: str, *, wait_s: float = 120, **fields: object) -> Packet:
        """The supervisor's answer, or its Fault; waits `wait_s` seconds for it at most."""
        if self._broken:
            raise _gone()
        number = next(self._numbers)
        future: asyncio.Future[Packet] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        self._send(json.dumps({"id": number, "do": do, **fields}, separators=(",", ":")).encode())
        try:
            async with asyncio.timeout(wait_s):
                packet = await future
        except TimeoutError as error:
            raise Fault("supervisor.unavailable", f"The supervisor did not answer {do!r} in {wait_s:g} s.") from error
        finally:
            self._waiting.pop(number, None)
        if packet.body.get("ok"):
            return packet
        _close_all(packet.descriptors)
        code = str(packet.body.get("code", "internal"))
        raise Fault(
            code if code in KINDS else "internal",
            str(packet.body.get("sentence", "The supervisor refused without a reason.")),
            cause=str(packet.body.get("cause", "")),
        )

    def _send(self, packet: bytes) -> None:
        self._to_send.append(packet)
        self._writable()

    def _writable(self) -> None:
        loop = asyncio.get_running_loop()
        while self._to_send:
            try:
                self._line.send(self._to_send[0])
            except BlockingIOError:
                loop.add_writer(self._line.fileno(), self._writable)
                return
            except OSError:
                self._fail()
                return
            self._to_send.pop(0)
        loop.remove_writer(self._line.fileno())

    def _readable(self) -> None:
        while not self._broken:
            try:
                data, ancillary, flags, _ = self._line.recvmsg(
                    _PACKET_BYTES, socket.CMSG_SPACE(_DESCRIPTORS * array.array("i").itemsize), socket.MSG_CMSG_CLOEXEC
                )
            except BlockingIOError:
                return
            except OSError:
                self._fail()
                return
            descriptors = _descriptors(ancillary)
            if not data or flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
                _close_all(descriptors)
                self._fail()
                return
            self._take(Packet(json.loads(data), descriptors))

    def _take(self, packet: Packet) -> None:
        number = packet.body.get("id")
        if number is None:
            self._on_event(packet)
            return
        future = self._waiting.get(number)
        if future is None or future.done():
            # Nobody waits any more; descriptors that nobody takes must not stay open.
            _close_all(packet.descriptors)
            return
        future.set_result(packet)

    def _fail(self) -> None:
        self.close()
        self._on_broken()


def _gone() -> Fault:
    return Fault("supervisor.unavailable", "The supervisor is gone.")


def _descriptors(ancillary: list[tuple[int, int, bytes]]) -> tuple[int, ...]:
    found = array.array("i")
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            found.frombytes(data[: len(data) - len(data) % found.itemsize])
    return tuple(found)


def _close_all(descriptors: tuple[int, ...]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
