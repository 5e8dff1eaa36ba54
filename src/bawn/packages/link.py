"""What this process is told, and by whom: doors by the supervisor, policies by the gateway.

A policy becomes valid whole or not at all. Without a gateway nothing is served, because nothing can be put on record.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable

import msgspec
import structlog

from bawn.errors import Fault
from bawn.lines.line import Line, Packet
from bawn.packages.advisories import Advisories
from bawn.packages.door import Doors
from bawn.packages.mirror import Mirror
from bawn.packages.policy import Policy, Version
from bawn.packages.reasons import Refused
from bawn.packages.renewal import Renewal
from bawn.packages.shelf import Shelf
from bawn.terms.event import Event

_log = structlog.get_logger("bawn.packages")

_RECORD_S = 10.0
_POLICY_LIMIT = 64 * 2**20
_TOLD = 64
"""Refusals under way to the record at once; more are not told, so that nobody fills the disk with them."""


class Link:
    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._line: Line | None = None
        self._policies: dict[str, Policy] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.doors: Doors | None = None
        self.mirror: Mirror | None = None
        self._renewal = Renewal(self._know)

    def standing(self, uuid: str) -> Policy | None:
        """What holds for a container. Refused `packages.unavailable` while nobody says."""
        if self._line is None:
            raise Refused("packages.unavailable", "The gateway is not there, so nothing is allowed.")
        return self._policies.get(uuid)

    def attach(self, end: socket.socket) -> None:
        """Begin anew with this gateway: nothing that the last one said holds."""
        if self._line is not None:
            self._line.close()
        self._policies.clear()
        self._line = Line(end, self._heard, self._broken, peer="gateway", gone="audit.unavailable")
        self._line.open()

    def close(self) -> None:
        self._renewal.close()
        if self._line is not None:
            self._line.close()

    def _know(self, advisories: Advisories | None) -> None:
        if self.mirror is not None:
            self.mirror.advisories = advisories

    async def record(self, policy: Policy, version: Version, sha256: str) -> None:
        """Refused `packages.unavailable` unless it is on record."""
        facts = (
            ("host", version.ecosystem),
            ("sentence", f"{version.package} {version.version}"),
            ("file", version.filename),
            ("sha256", sha256),
        )
        await self._recorded(Event("package.served", container=policy.uuid, detail=facts))

    def refused(self, uuid: str, refused: Refused) -> None:
        """Tells a refusal, unless too many are under way."""
        if len(self._tasks) >= _TOLD or refused.code in ("packages.not_found", "packages.malformed"):
            return
        facts = (
            ("host", "packages"),
            ("sentence", refused.sentence),
            ("name", refused.name),
            ("version", refused.version),
        )
        event = Event("package.refused", container=uuid, code=refused.code, detail=facts)
        task = asyncio.create_task(self._told(event))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _told(self, event: Event) -> None:
        try:
            await self._recorded(event)
        except Refused as refused:
            _log.warning("packages.not_told", reason=refused.sentence)

    async def _recorded(self, event: Event) -> None:
        if self._line is None:
            raise Refused("packages.unavailable", "The gateway is not there, so nothing can be recorded.")
        try:
            packet = await self._line.ask("record", wait_s=_RECORD_S, event=msgspec.to_builtins(event))
        except Fault as fault:
            raise Refused("packages.unavailable", "This cannot be recorded now, so it is not served.") from fault
        packet.close()

    def _broken(self) -> None:
        self._line = None
        self._policies.clear()
        _log.warning("packages.gateway_gone")

    def _heard(self, packet: Packet) -> None:
        body = packet.body
        match body, packet.descriptors:
            case {"event": "policy", "uuid": str(uuid)}, (descriptor,):
                with os.fdopen(os.dup(descriptor), "rb") as file:
                    self._rule(uuid, file.read(_POLICY_LIMIT))
            case {"event": "revoked", "uuid": str(uuid)}, ():
                self._policies.pop(uuid, None)
                if self.doors is not None:
                    self.doors.cut(uuid)
            case {"event": "settings", "disk_bytes": int(size), "advisories": place, "advisories_all": bool(every)}, ():
                self._shelf.limit_bytes = size
                self._renewal.watch(None if place is None else str(place), every=every)
            case _:
                _log.warning("packages.not_understood", event=str(body.get("event"))[:40])
        packet.close()

    def _rule(self, uuid: str, said: bytes) -> None:
        try:
            policy = msgspec.json.decode(said, type=Policy)
        except (msgspec.DecodeError, ValueError) as error:
            _log.error("packages.policy_invalid", error=str(error))
            policy = None
        if policy is None or policy.uuid != uuid:
            self._policies.pop(uuid, None)  # what cannot be read allows nothing
        else:
            self._policies[uuid] = policy


class SupervisorLine:
    """Doors come and go; a gateway comes, or comes again."""

    def __init__(self, end: socket.socket, doors: Doors, link: Link, on_broken: Callable[[], None]) -> None:
        self._doors = doors
        self._link = link
        self._line = Line(end, self._heard, on_broken, peer="supervisor", gone="supervisor.unavailable")
        self._opening: set[asyncio.Task[None]] = set()

    def open(self) -> None:
        self._line.open()

    def close(self) -> None:
        self._link.close()
        self._line.close()

    def _heard(self, packet: Packet) -> None:
        body = packet.body
        match body.get("event"), packet.descriptors:
            case "door", (descriptor,) if body.get("kind") == "packages":
                listener = socket.socket(fileno=descriptor)
                task = asyncio.create_task(self._doors.open(str(body.get("uuid")), listener))
                self._opening.add(task)
                task.add_done_callback(self._opening.discard)
            case "doors.closed", ():
                self._doors.close(str(body.get("uuid")))
            case "gateway", (descriptor,):
                self._link.attach(socket.socket(fileno=descriptor))
            case _:
                packet.close()
                _log.warning("packages.not_understood", event=str(body.get("event"))[:40])
