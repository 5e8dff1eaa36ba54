"""One end of a line between two processes: SOCK_SEQPACKET, one JSON object a packet, descriptors beside it.

Requests carry a number and a verb and are answered by that number; everything else that comes is an event. A line is one
lifetime: whatever cannot be read as a packet ends it, all who wait are failed, and whoever held it decides what
its end means. Nothing is believed because it came over a line; the receiver checks each field itself.
"""

from __future__ import annotations

import array
import asyncio
import itertools
import json
import os
import socket
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from bawn.errors import KINDS, Fault

PACKET_LIMIT = 192 * 1024
"""Bytes of one packet. The kernel takes one only whole into the socket's buffer, of which 212,992 bytes are the default."""
_DESCRIPTORS = 16
_ROUND = 64
"""Packets read before others get their turn."""


@dataclass(frozen=True, slots=True)
class Packet:
    """What came over the line: a JSON object and the descriptors that belong to it, which whoever takes it must close."""

    body: dict[str, Any]
    descriptors: tuple[int, ...] = field(default=())

    def close(self) -> None:
        for descriptor in self.descriptors:
            os.close(descriptor)


class Line:
    """Asks the other end, answers it, and hears what it tells. `peer` is who is there, for sentences."""

    def __init__(
        self,
        end: socket.socket,
        on_packet: Callable[[Packet], None],
        on_broken: Callable[[], None],
        peer: str = "other process",
        gone: str = "internal",
    ) -> None:
        self._end = end
        self._end.setblocking(False)
        self._on_packet = on_packet
        self._on_broken = on_broken
        self._peer = peer
        self._gone_code = gone
        """The error code of whoever asks when nobody is there."""
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Packet]] = {}
        self._to_send: deque[tuple[bytes, list[int]]] = deque()
        self._broken = False
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def broken(self) -> bool:
        return self._broken

    def open(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._end.fileno(), self._readable)
        self._writable()

    def close(self) -> None:
        if not self._broken:
            self._broken = True
            if self._loop is not None:
                self._loop.remove_reader(self._end.fileno())
                self._loop.remove_writer(self._end.fileno())
            self._end.close()
        for _, descriptors in self._to_send:
            _close_all(descriptors)
        self._to_send.clear()
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(self._gone())
        self._waiting.clear()

    def send(self, body: dict[str, Any], descriptors: Sequence[int] = ()) -> None:
        """Tells something; `descriptors` stay the caller's. A line that is gone swallows it: its end was told."""
        if self._broken:
            return
        packet = json.dumps(body, separators=(",", ":")).encode()
        if len(packet) > PACKET_LIMIT:
            raise Fault("internal", f"A packet for the {self._peer} would be too long.")
        self._to_send.append((packet, [os.dup(descriptor) for descriptor in descriptors]))
        if len(self._to_send) == 1 and self._loop is not None:
            self._writable()

    async def ask(self, do: str, *, wait_s: float = 120, **fields: object) -> Packet:
        """The other end's answer, or its Fault; waits `wait_s` seconds for it at most."""
        if self._broken:
            raise self._gone()
        number = next(self._numbers)
        future: asyncio.Future[Packet] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        try:
            self.send({"id": number, "do": do, **fields})
            async with asyncio.timeout(wait_s):
                packet = await future
        except TimeoutError as error:
            raise Fault(self._gone_code, f"The {self._peer} did not answer {do!r} in {wait_s:g} s.") from error
        finally:
            self._waiting.pop(number, None)
        if packet.body.get("ok"):
            return packet
        packet.close()
        code = str(packet.body.get("code", "internal"))
        raise Fault(
            code if code in KINDS else "internal",
            str(packet.body.get("sentence", f"The {self._peer} refused without a reason.")),
            cause=str(packet.body.get("cause", "")),
        )

    def answer(self, request: Packet, said: dict[str, Any] | Fault) -> None:
        """Answers a packet that has `id` and `do`."""
        number = request.body.get("id")
        if isinstance(said, Fault):
            refusal = {"ok": False, "code": said.code, "sentence": said.sentence, "cause": said.cause}
            self.send({"id": number, **refusal})
        else:
            self.send({"id": number, "ok": True, **said})

    def _writable(self) -> None:
        loop = self._loop
        if loop is None:
            return
        while self._to_send:
            packet, descriptors = self._to_send[0]
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
            try:
                self._end.sendmsg([packet], rights)
            except BlockingIOError:
                loop.add_writer(self._end.fileno(), self._writable)
                return
            except OSError:
                self._fail()
                return
            self._to_send.popleft()
            _close_all(descriptors)
        loop.remove_writer(self._end.fileno())

    def _readable(self) -> None:
        for _ in range(_ROUND):
            if self._broken:
                return
            try:
                data, ancillary, flags, _ = self._end.recvmsg(
                    PACKET_LIMIT + 1,
                    socket.CMSG_SPACE(_DESCRIPTORS * array.array("i").itemsize),
                    socket.MSG_CMSG_CLOEXEC,
                )
            except BlockingIOError:
                return
            except OSError:
                self._fail()
                return
            descriptors = _descriptors(ancillary)
            body = _body(data)
            if body is None or flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
                _close_all(descriptors)
                self._fail()
                return
            self._take(Packet(body, descriptors))

    def _take(self, packet: Packet) -> None:
        number = packet.body.get("id")
        if number is None or "do" in packet.body:
            self._on_packet(packet)
            return
        future = self._waiting.get(number)
        if future is None or future.done():
            packet.close()  # nobody waits any more, and what nobody takes must not stay open
            return
        future.set_result(packet)

    def _fail(self) -> None:
        if not self._broken:
            self.close()
            self._on_broken()

    def _gone(self) -> Fault:
        return Fault(self._gone_code, f"The {self._peer} is gone.")


def _body(data: bytes) -> dict[str, Any] | None:
    try:
        body = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) else None


def _descriptors(ancillary: list[tuple[int, int, bytes]]) -> tuple[int, ...]:
    found = array.array("i")
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            found.frombytes(data[: len(data) - len(data) % found.itemsize])
    return tuple(found)


def _close_all(descriptors: Sequence[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
