"""What this process is told, and by whom.

The supervisor hands over doors and the end of a line to whichever gateway lives now. The gateway says what each container
may reach (`policy`), takes it back (`revoked`), and entrusts values (`secrets`). A policy becomes valid whole or not at
all: one that cannot be read leaves the old one in force, and is answered with the reason. Without a gateway nothing
new is opened; tunnels that stand end soon after, because nobody could take them back.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from typing import Protocol

import structlog

from bawn.egress.authority import Authority
from bawn.egress.recorder import Recorder
from bawn.egress.walls import Walls
from bawn.errors import Fault
from bawn.lines.line import Line, Packet

_GRACE_S = 10.0
"""How long what stands goes on without a gateway: time for one that was started anew to say its policies again."""

_log = structlog.get_logger("bawn.egress")


class DoorKeeper(Protocol):
    def open(self, uuid: str, listener: socket.socket) -> object: ...

    def close(self, uuid: str) -> None: ...


class Link:
    """The gateway's pair; a new gateway has a new one."""

    def __init__(self, walls: Walls, recorder: Recorder, authority: Authority, *, grace_s: float = _GRACE_S) -> None:
        self._walls = walls
        self._recorder = recorder
        self._authority = authority
        self._grace_s = grace_s
        self._line: Line | None = None
        self._grace: asyncio.TimerHandle | None = None
        self.on_door: Callable[[str, socket.socket], object] = lambda uuid, listener: listener.close()
        """Takes one more door of a container."""

    def attach(self, end: socket.socket) -> None:
        """Begin anew with this gateway: nothing that the last one said holds for new connections."""
        if self._line is not None:
            self._line.close()
        self._walls.forget()
        self._grow_old()
        self._line = Line(end, self._heard, self._broken, peer="gateway", gone="audit.unavailable")
        self._line.open()
        self._recorder.attach(self._line)
        self._tell_authority()

    def close(self) -> None:
        if self._line is not None:
            self._line.close()
        self._recorder.attach(None)

    def _broken(self) -> None:
        self._line = None
        self._recorder.attach(None)
        self._walls.forget()
        self._grow_old()
        _log.warning("egress.gateway_gone")

    def _grow_old(self) -> None:
        if self._grace is not None:
            self._grace.cancel()
        self._grace = asyncio.get_running_loop().call_later(self._grace_s, self._walls.cut_unspoken)

    def _tell_authority(self) -> None:
        if self._line is not None:
            self._line.send({"event": "authority", "pem": self._authority.pem})

    def _heard(self, packet: Packet) -> None:
        body = packet.body
        if body.get("event") == "scripts.door" and len(packet.descriptors) == 1:
            # Scripts of the operator fetch in the place of a container: by its rules, by a door outside of it.
            self.on_door(str(body.get("uuid")), socket.socket(fileno=packet.descriptors[0]))
            return
        packet.close()  # the gateway has no other descriptors to give
        try:
            self._obey(body.get("event", body.get("do")), body)
            outcome: Fault | dict[str, object] = {}
        except Fault as fault:
            _log.warning("egress.not_obeyed", code=fault.code, cause=fault.cause)
            outcome = fault
        if self._line is not None and "id" in body:
            self._line.answer(packet, outcome)

    def _obey(self, said: object, body: dict[str, object]) -> None:
        uuid = body.get("uuid")
        if not isinstance(uuid, str) or not uuid:
            raise Fault("internal", "The gateway named no container.")
        match said:
            case "policy":
                self._walls.rule(uuid, body.get("policy"))
                if self._authority.speak_for(self._walls.terminated()):
                    self._tell_authority()
            case "revoked":
                self._walls.revoke(uuid)
            case "secrets":
                self._walls.entrust(uuid, body.get("credentials"))
            case _:
                raise Fault("internal", "The gateway said something that is not known here.")


class SupervisorLine:
    """Doors come and go; a gateway comes, or comes again."""

    def __init__(self, end: socket.socket, doors: DoorKeeper, link: Link, on_broken: Callable[[], None]) -> None:
        self._doors = doors
        self._link = link
        self._line = Line(end, self._heard, on_broken, peer="supervisor", gone="supervisor.unavailable")

    def open(self) -> None:
        self._line.open()

    def close(self) -> None:
        self._link.close()
        self._line.close()

    def _heard(self, packet: Packet) -> None:
        body = packet.body
        match body.get("event"), packet.descriptors:
            case "door", (descriptor,) if body.get("kind") == "egress":
                self._doors.open(str(body.get("uuid")), socket.socket(fileno=descriptor))
            case "doors.closed", ():
                self._doors.close(str(body.get("uuid")))
            case "gateway", (descriptor,):
                self._link.attach(socket.socket(fileno=descriptor))
            case _, descriptors:
                for descriptor in descriptors:
                    os.close(descriptor)
                _log.warning("egress.not_understood", event=str(body.get("event"))[:40])
