"""AI doors in containers that Bawn did not start; for root alone.

Only the AI door, never a way out or a credential; nothing of such a container is stopped, entered or kept, and no record of it
outlives this supervisor. As long as the door is open, it is looked at whether the container lives and its network is
still its own; when not, the door is closed.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bawn.errors import Fault
from bawn.sandbox.attested import Attested
from bawn.sandbox.foreign import examined, first_process, shared
from bawn.sandbox.netns import open_listeners
from bawn.supervisor.keeper import Keeper, Tell
from bawn.supervisor.loop import Loop
from bawn.terms.door import PLACES, DoorKind

LOOK_S = 3.0
PLACE = PLACES[DoorKind.AI]

Answer = Callable[[dict[str, object] | Fault], None]


@dataclass(slots=True)
class _Attached:
    uuid: str
    box: Attested
    door: socket.socket


class Attachments:
    def __init__(self, loop: Loop, keeper: Keeper, tell: Tell, *, rootless: bool) -> None:
        self._loop = loop
        self._keeper = keeper
        self._tell = tell
        self._rootless = rootless
        self._all: dict[str, _Attached] = {}

    def attach(self, uuid: str, target: object, answer: Answer) -> None:
        if self._rootless:
            raise Fault("sandbox.invalid", "only an installation of root can attach to containers of others")
        if uuid in self._all:
            raise Fault("api.conflict", "the container is attached already")

        def attach_slowly() -> None:
            try:
                box = examined(first_process(target))
                (door,) = open_listeners(box, [(PLACE.address, PLACE.port)])
            except (Fault, OSError) as error:
                fault = (
                    error if isinstance(error, Fault) else Fault("sandbox.start_failed", "the door could not be opened")
                )
                self._loop.post(lambda: answer(fault))
                return
            self._loop.post(lambda: self._attached(_Attached(uuid, box, door), answer))

        self._keeper.slowly(attach_slowly)

    def _attached(self, made: _Attached, answer: Answer) -> None:
        same = any(other.box.netns_inode == made.box.netns_inode for other in self._all.values())
        if same or made.uuid in self._all:
            made.door.close()
            answer(Fault("api.conflict", "this container is attached already"))
            return
        self._all[made.uuid] = made
        self._announce(made)
        self._loop.after(LOOK_S, lambda: self._look(made))
        answer({"pid": made.box.pid, "netns_inode": made.box.netns_inode, "start_time": made.box.start_time})

    def announce(self) -> None:
        """Hands every door to a gateway that came anew."""
        for attached in self._all.values():
            self._announce(attached)

    def told(self) -> Sequence[Mapping[str, object]]:
        """As `hello` tells it."""
        return [{"uuid": each.uuid, "state": "running", "pid": each.box.pid} for each in self._all.values()]

    def detach(self, uuid: str) -> None:
        """Closes the door for everybody; the container goes on."""
        attached = self._all.pop(uuid, None)
        if attached is not None:
            with contextlib.suppress(OSError):
                attached.door.shutdown(socket.SHUT_RDWR)
            attached.door.close()

    def close(self) -> None:
        for uuid in tuple(self._all):
            self.detach(uuid)

    def _announce(self, attached: _Attached) -> None:
        packet = {
            "event": "door",
            "uuid": attached.uuid,
            "kind": DoorKind.AI.value,
            "address": PLACE.address,
            "port": PLACE.port,
        }
        self._tell(packet, [attached.door.fileno()])

    def _look(self, attached: _Attached) -> None:
        if self._all.get(attached.uuid) is not attached:
            return

        def look_slowly() -> None:
            reason = shared(attached.box) if attached.box.lives() else "the container has ended"
            self._loop.post(lambda: self._looked(attached, reason))

        self._keeper.slowly(look_slowly)

    def _looked(self, attached: _Attached, reason: str) -> None:
        if self._all.get(attached.uuid) is not attached:
            return
        if reason:
            self.detach(attached.uuid)
            self._tell({"event": "container.exited", "uuid": attached.uuid, "reason": reason}, ())
            return
        self._loop.after(LOOK_S, lambda: self._look(attached))
