"""Ports of containers, for operators on their own machine: one connection at a time, each on record before it is made."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta
from weakref import WeakKeyDictionary

from bawn.api.services import Recorder
from bawn.app.lifecycle import Lifecycle
from bawn.errors import Fault, quoted
from bawn.identity.record import Record
from bawn.identity.registry import Registry
from bawn.identity.shares import Share, Shares
from bawn.sdk import shapes
from bawn.terms.clock import Clock
from bawn.terms.event import Event
from bawn.terms.principal import Operator, label

SHARED_FOR = timedelta(days=1)


class Ports:
    """Fulfils `api.services.Ports`."""

    def __init__(
        self,
        registry: Registry,
        lifecycle: Lifecycle,
        recorder: Recorder,
        links: Shares,
        clock: Clock,
        hosts: Callable[[], Collection[str]],
        learn: Callable[[str], None],
    ) -> None:
        self._registry = registry
        self._lifecycle = lifecycle
        self._recorder = recorder
        self._links = links
        self._clock = clock
        self._hosts = hosts
        self._learn = learn
        """A token is a secret that no log may hold."""
        self._open: WeakKeyDictionary[socket.socket, str] = WeakKeyDictionary()
        """Connections that somebody still holds, and who asked for them."""

    async def connect(self, ref: str, port: int, by: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        made = await self.dial(ref, port, by)
        return await asyncio.open_connection(sock=made)

    async def dial(self, ref: str, port: int, by: str) -> socket.socket:
        record = self._running(ref)
        detail = (("port", str(port)),)
        await self._recorder.record(Event(event="port.connected", principal=by, container=record.uuid, detail=detail))
        answer = await self._lifecycle.boxes.ask("dial", uuid=record.uuid, port=port)
        if len(answer.descriptors) != 1:
            for descriptor in answer.descriptors:
                os.close(descriptor)
            raise Fault("supervisor.unavailable", "The supervisor passed the wrong descriptors.")
        made = socket.socket(fileno=answer.descriptors[0])
        made.setblocking(False)
        self._open[made] = by
        return made

    def _cut(self, wanted: Callable[[str], bool]) -> None:
        for held, who in tuple(self._open.items()):
            if wanted(who):
                with contextlib.suppress(OSError):
                    held.shutdown(socket.SHUT_RDWR)

    def shares(self, ref: str) -> Sequence[shapes.Share]:
        return [_shown(share) for share in self._links.list(self._registry.get(ref).uuid)]

    async def share(self, ref: str, port: int, expires: datetime | None, by: Operator) -> shapes.IssuedShare:
        record = self._registry.get(ref)
        hosts = self._hosts()
        if not hosts:
            raise Fault(
                "api.conflict",
                "There is no public host by which a link could be reached.",
                remedy="Name the host of your tunnel in `api.public_hosts`, then start Bawn anew.",
            )
        until = expires or self._clock.now() + SHARED_FOR
        detail = (("expires", until.isoformat(timespec="seconds")), ("port", str(port)))
        await self._recorder.record(Event("share.creating", principal=label(by), container=record.uuid, detail=detail))
        share, token = await self._links.create(record.uuid, port, until, by.person)
        self._learn(token)
        path = f"/s/{share.id}/?bawn_token={token}"
        return shapes.IssuedShare(_shown(share), path, tuple(f"https://{host}{path}" for host in sorted(hosts)))

    async def revoke(self, ref: str, share_id: str, by: Operator) -> None:
        record = self._registry.get(ref)
        share = await self._links.revoke(record.uuid, share_id)
        self._cut(lambda by_whom: by_whom == f"share:{share.id}")
        detail = (("port", str(share.port)), ("share", share.id))
        await self._recorder.record(Event("share.revoked", principal=label(by), container=record.uuid, detail=detail))

    def _running(self, ref: str) -> Record:
        record = self._registry.get(ref)
        if record.state != "running":
            raise Fault("sandbox.not_running", f"The container {quoted(record.name)} is {record.state}.")
        return record


def _shown(share: Share) -> shapes.Share:
    return shapes.Share(share.id, share.port, share.person, share.created, share.expires)
