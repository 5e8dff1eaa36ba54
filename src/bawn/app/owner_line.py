"""The gateway's end of the line to a process that owns doors: it is told policies, and asks for records before it acts."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import msgspec
import structlog

from bawn.errors import Fault
from bawn.lines.line import Line, Packet

_log = structlog.get_logger("bawn.app.owners")

Take = Callable[[object], Coroutine[Any, Any, str]]
"""Records what the process tells; the id of the record."""


class OwnerLine:
    """`gone` is the error code for whoever asks when the process is not there."""

    def __init__(self, peer: str, gone: str, take: Take) -> None:
        self._peer = peer
        self._gone_code = gone
        self._take = take
        self._line: Line | None = None
        self._taking: set[asyncio.Task[None]] = set()
        self.on_connected: Callable[[], None] = lambda: None
        """Told when the process came, or came again: it knows nothing yet."""
        self.on_event: Callable[[dict[str, Any]], None] = lambda body: None

    @property
    def connected(self) -> bool:
        return self._line is not None

    def connect(self, end: socket.socket) -> None:
        if self._line is not None:
            self._line.close()
        self._line = Line(end, self._heard, self._gone, self._peer, self._gone_code)
        self._line.open()
        self.on_connected()

    def send(self, body: dict[str, Any], descriptors: Sequence[int] = ()) -> None:
        """Tells something; nobody there: it will be told when somebody comes. `descriptors` stay the caller's."""
        if self._line is not None:
            self._line.send(body, descriptors)

    def close(self) -> None:
        if self._line is not None:
            self._line.close()
            self._line = None

    def _gone(self) -> None:
        self._line = None
        _log.warning("owner.gone", peer=self._peer)

    def _heard(self, packet: Packet) -> None:
        packet.close()
        if packet.body.get("do") == "record":
            task = asyncio.create_task(self._taken(packet))
            self._taking.add(task)
            task.add_done_callback(self._taking.discard)
        else:
            self.on_event(packet.body)

    async def _taken(self, packet: Packet) -> None:
        line = self._line
        try:
            said: dict[str, Any] | Fault = {"record": await self._take(packet.body.get("event"))}
        except Fault as fault:
            said = fault
        except (msgspec.ValidationError, ValueError) as error:
            said = Fault("internal", f"The {self._peer} told an event that cannot be read.", cause=str(error))
        if line is not None:
            line.answer(packet, said)
