"""The acts that take more than one room, in the order that keeps them safe.

Granting is recorded before it takes effect; withdrawing takes effect first and is recorded after, since a
full disk must never keep a right alive. Withdrawing goes from the outside in: the right, the running calls,
the doors, and only then the box.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from typing import Any

import structlog
from msgspec import UNSET, structs

from bawn.api.services import Change, Found, Recorder, Running
from bawn.app.commands import RunningCommand
from bawn.app.container_log import ContainerLogs
from bawn.app.ephemeral import Ephemeral
from bawn.errors import Fault, quoted
from bawn.gateway.doors import Doors
from bawn.identity.record import NewContainer, Record
from bawn.identity.registry import Registry
from bawn.lines.line import Line, Packet
from bawn.sandbox.agent_env import agent_files
from bawn.sandbox.egress_env import TRUST, WRITE_FILES
from bawn.sandbox.tags_env import tagged
from bawn.sdk import shapes
from bawn.sdk.frames import Command
from bawn.terms.door import PLACES, Door, DoorKind
from bawn.terms.event import Event
from bawn.terms.principal import Internal, Operator, label

_log = structlog.get_logger("bawn.lifecycle")

ATTACHED = "attached"
"""The runtime of a container that somebody else started; its `image` is the name it has there."""
_FURNISH_S = 10.0
_COPYING_S = 900.0

Defaults = Callable[[], tuple[str, str]]
"""The configured image and runtime of a container about which nothing was said."""
Environment = Callable[[Record], dict[str, str]]
"""The variables that a container's commands get."""
Why = Callable[[str, int], Any]


class Lifecycle:
    """Fulfils `api.services.Lifecycle`."""

    def __init__(
        self,
        registry: Registry,
        doors: Doors,
        recorder: Recorder,
        logs: ContainerLogs,
        defaults: Defaults,
        environment: Environment,
        why: Why,
    ) -> None:
        self._registry = registry
        self._doors = doors
        self._recorder = recorder
        self._logs = logs
        self._defaults = defaults
        self._environment = environment
        self._why = why
        self._boxes: Line | None = None
        self.ephemeral = Ephemeral(registry, self._delete_ended)
        self._commands: dict[str, RunningCommand] = {}
        self._early_exits: dict[str, dict[str, Any]] = {}
        self._opening: set[asyncio.Task[None]] = set()
        self._turns: dict[str, asyncio.Lock] = {}
        self._furnishing: dict[str, asyncio.Task[None]] = {}
        self._trusting = asyncio.Lock()
        self._expected_exits: set[str] = set()
        self._found: dict[str, Found] = {}
        self._deleting: dict[str, asyncio.Future[None]] = {}
        """Containers whose right is gone and whose box is on its way."""
        self.on_image_progress: Callable[[dict[str, Any]], None] = lambda body: None
        self.on_script_ended: Callable[[dict[str, Any]], None] = lambda body: None
        self.execs: Callable[[str], list[str]] = lambda project: []
        """The names of the execs of a project, for the boxes that start now."""
        self.limits: Callable[[], dict[str, Any]] = lambda: {"limits": {}}
        """The limits of a container that starts now, and whether they may be soft."""
        self.on_owner: Callable[[dict[str, Any], socket.socket], None] = lambda body, end: end.close()
        """Told when a process of other doors came: its name and pid, and our end of the line to it."""
        self.authority = ""
        """The egress proxy's certificate authority of this boot, PEM."""
        self.on_deleted: Callable[[str], Awaitable[None]] = _nothing
        self.on_started: Callable[[Record], Awaitable[None]] = _nothing
        """Told of a box that stands, before a command of anybody's runs in it."""

    def connect(self, boxes: Line) -> None:
        self._boxes = boxes

    @property
    def boxes(self) -> Line:
        if self._boxes is None:
            raise Fault("supervisor.unavailable", "There is no supervisor.")
        return self._boxes

    # reading

    def list(self) -> Sequence[Record]:
        return self._registry.list()

    def get(self, ref: str) -> Record:
        return self._registry.get(ref)

    def found(self, uuid: str) -> Found:
        return self._found.get(uuid, Found())

    async def logs(self, ref: str, follow: bool) -> AsyncIterator[bytes]:
        async for data in self._logs.read(self._registry.get(ref).uuid, follow=follow):
            yield data

    async def why(self, ref: str, limit: int) -> Sequence[shapes.Refusal]:
        found: Sequence[shapes.Refusal] = await self._why(self._registry.get(ref).uuid, limit)
        return found

    # acts

    async def create(self, new: NewContainer, by: Operator | Internal) -> Record:
        image, runtime = self._defaults()
        new = structs.replace(new, image=new.image or image, runtime=new.runtime or runtime)
        record = await self._registry.create(structs.replace(new, ai=False) if new.ai else new)
        facts = {"image": record.image, "runtime": record.runtime, "ai": _word(new.ai)}
        given = {"role": record.role, "tags": ",".join(record.tags)}
        await self._record(
            "container.created", record, by, **facts, **{name: said for name, said in given.items() if said}
        )
        if record.task:
            await self._record("task.registered", record, by, task_characters=str(len(record.task)))
        # The right to use models begins only when its grant is on record.
        return await self._registry.update(record.uuid, ai=True) if new.ai else record

    async def update(self, ref: str, change: Change, by: Operator) -> Record:
        before = self._registry.get(ref)
        facts = {name: str(value) for name, value in structs.asdict(change).items() if value is not UNSET}
        withdrawing = change.ai is False
        if not withdrawing:
            await self._record("container.updated", before, by, **facts)
        after = await self._registry.update(before.uuid, ai=change.ai, expires=change.expires)
        if withdrawing:
            await self._record("container.updated", after, by, **facts)
        return after

    async def start(self, ref: str, by: Operator | Internal) -> Record:
        record = self._registry.get(ref)
        async with self._turn(record.uuid):
            record = self._registry.get(record.uuid)
            if record.state == "running":
                return record
            await self._record("container.starting", record, by)
            try:
                if record.runtime == ATTACHED:
                    await self.boxes.ask("attach", uuid=record.uuid, target=record.image)
                else:
                    self._told(record.uuid, (await self.boxes.ask("start", spec=self._spec(record))).body)
                await self._doors_open()
            except Fault:
                self._doors.close(record.uuid)
                await self._registry.update(record.uuid, state="failed")
                raise
            running = await self._registry.update(record.uuid, state="running")
            if record.runtime != ATTACHED:
                # Goes on while the operator's next request is on its way; the first command waits for it.
                furnishing = self._furnishing[record.uuid] = asyncio.create_task(self._furnish(running))
                furnishing.add_done_callback(lambda _: self._furnishing.pop(record.uuid, None))
            return running

    async def stop(self, ref: str, by: Operator, timeout_s: float) -> Record:
        record = self._registry.get(ref)
        async with self._turn(record.uuid):
            stopped = await self._registry.update(record.uuid, state="stopped")
            await self._take_down(record.uuid, timeout_s)
            await self._record("container.stopped", record, by)
            return stopped

    async def stop_expired(self, record: Record) -> None:
        """Its time is over; the right is withdrawn already."""
        async with self._turn(record.uuid):
            await self._registry.update(record.uuid, state="stopped")
            await self._take_down(record.uuid, 5)
            await self._recorder.record(
                Event(event="container.expired", container=record.uuid, principal=label(record.container))
            )

    async def delete(self, ref: str, by: Operator | Internal) -> None:
        if (going := self._deleting.get(ref)) is not None:
            # Somebody else began it. When this returns it is gone all the same, and its folder is free.
            await asyncio.wait((going,))
        await self._delete(self._registry.get(ref), label(by))

    async def _delete_ended(self, record: Record) -> None:
        """Its work has ended, and with it what it was made for."""
        await self._delete(record, "bawn")

    async def _delete(self, record: Record, principal: str) -> None:
        # The right ends here, before anything that could fail or take time.
        await self._registry.delete(record.uuid)
        going = self._deleting[record.uuid] = asyncio.get_running_loop().create_future()
        try:
            await self._take_away(record, principal)
        finally:
            del self._deleting[record.uuid]
            going.set_result(None)

    async def _take_away(self, record: Record, principal: str) -> None:
        async with self._turn(record.uuid):
            self._doors.close(record.uuid)
            self._expected_exits.add(record.uuid)
            try:
                await self.boxes.ask("delete", uuid=record.uuid)
            finally:
                self._logs.remove(record.uuid)
                await self.on_deleted(record.uuid)
                await self._recorder.record(
                    Event(
                        event="container.deleted",
                        principal=principal,
                        container=record.uuid,
                        api_key_name=f"container-{record.name}",
                    )
                )
        self._turns.pop(record.uuid, None)
        self._found.pop(record.uuid, None)

    async def restore(self, ref: str, name: str, by: Operator) -> dict[str, Any]:
        """Puts a snapshot in place of what is there. Identity and rights are not part of one, and stay what they are."""
        record = self._registry.get(ref)
        async with self._turn(record.uuid):
            record = self._registry.get(record.uuid)
            was_running = record.state == "running"
            self.ephemeral.spared.add(record.uuid)
            await self._record("snapshot.restoring", record, by, snapshot=name)
            told = await self.boxes.ask("snapshots.prepare", wait_s=_COPYING_S, uuid=record.uuid, name=name)
            try:
                await self._registry.update(record.uuid, state="stopped")
                await self._take_down(record.uuid, 0)
            except Fault:
                await self.boxes.ask("snapshots.undo", uuid=record.uuid)
                raise
            await self.boxes.ask("snapshots.commit", wait_s=_COPYING_S, uuid=record.uuid)
        if was_running:
            await self.start(record.uuid, by)
        self.ephemeral.spared.discard(record.uuid)
        snapshot: dict[str, Any] = told.body["snapshot"]
        return snapshot

    async def exec(self, ref: str, command: Command, by: Operator | Internal) -> Running:
        record = self._registry.get(ref)
        if record.runtime == ATTACHED:
            raise Fault(
                "sandbox.invalid", f"{record.name} is attached: Bawn holds a door in it and runs nothing in it."
            )
        if record.state != "running":
            raise Fault("sandbox.not_running", f"The container {quoted(record.name)} is {record.state}.")
        if (furnishing := self._furnishing.get(record.uuid)) is not None:
            await asyncio.wait((furnishing,))
        await self._record("container.exec", record, by, command=command.argv[0], words=str(len(command.argv)))
        started = await self.boxes.ask(
            "exec",
            uuid=record.uuid,
            argv=command.argv,
            tty=command.tty,
            env={**self._environment(record), **tagged(command.env)},
            cwd=command.cwd or record.place,
            rows=command.rows,
            cols=command.cols,
        )
        running = RunningCommand(self.boxes, started, command, lambda data: self._logs.append(record.uuid, data))
        self._follow(running)
        self.ephemeral.began(record, running.wait)
        return running

    # after a restart, and what the supervisor tells

    async def adopt(self) -> dict[str, Any]:
        """Take over what the supervisor holds, and correct what the registry believed; its greeting is returned."""
        greeting = (await self.boxes.ask("hello")).body
        held = {str(each["uuid"]): each for each in greeting["containers"]}
        await self._doors_open()
        for record in self._registry.list():
            if record.uuid in held and held[record.uuid].get("state") == "running":
                self._told(record.uuid, held[record.uuid])
                await self._registry.update(record.uuid, state="running")
            elif record.state == "running":
                self._doors.close(record.uuid)
                await self._registry.update(record.uuid, state="stopped")
        for uuid in held:
            if not self._known(uuid):
                self._doors.close(uuid)
                with contextlib.suppress(Fault):
                    await self.boxes.ask("delete", uuid=uuid)
        await self.ephemeral.sweep()
        return greeting

    def heard(self, packet: Packet) -> None:
        """An event of the supervisor."""
        body = packet.body
        match body.get("event"):
            case "door" if len(packet.descriptors) == 1:
                self._door(body, packet.descriptors[0])
                return
            case "owner" if len(packet.descriptors) == 1:
                self.on_owner(body, socket.socket(fileno=packet.descriptors[0]))
                return
            case "exec.exited":
                self._command_exited(body)
            case "container.exited":
                self._task(self._box_exited(str(body["uuid"]), str(body.get("reason", ""))))
            case "image.progress":
                self.on_image_progress(body)
            case "script.ended":
                self.on_script_ended(body)
            case other:
                _log.warning("supervisor.unknown_event", name=str(other))
        for descriptor in packet.descriptors:
            os.close(descriptor)

    # inside

    async def _furnish(self, record: Record) -> None:
        """Put what agents look for into the home of a fresh box; one without a shell does without."""
        files = [word for pair in agent_files(record.name, record.place).items() for word in pair]
        said = self.authority
        await self._do_inside(record, f"{TRUST}; shift; {WRITE_FILES}", said, *files)
        while said != self.authority:  # it grew meanwhile, perhaps because of this very box
            said = self.authority
            await self._do_inside(record, TRUST, said)
        await self.on_started(record)

    async def trust_anew(self) -> None:
        """The proxy has another certificate authority: every running box learns it."""
        async with self._trusting:  # one after the other, so that no older one is written last
            for record in self._registry.list():
                # A box that is being furnished looks for itself, when it has what it began with.
                if record.state == "running" and record.uuid not in self._furnishing:
                    await self._do_inside(record, TRUST, self.authority)

    async def _do_inside(self, record: Record, script: str, *words: str) -> None:
        argv = ["sh", "-c", script, "sh", *words]
        command = Command(argv=argv)
        try:
            started = await self.boxes.ask(
                "exec", uuid=record.uuid, argv=argv, tty=False, env={}, cwd="/", rows=24, cols=80
            )
            running = RunningCommand(self.boxes, started, command, lambda data: None)
            self._follow(running)
            async with asyncio.timeout(_FURNISH_S):
                await running.wait()
            await running.close()
        except (Fault, TimeoutError) as error:
            _log.warning("container.not_furnished", container=record.number, error=str(error))

    def _follow(self, running: RunningCommand) -> None:
        """From now on the supervisor's word that the command ended reaches it, also if that came already."""
        self._commands[running.id] = running
        if (early := self._early_exits.pop(running.id, None)) is not None:
            self._command_exited(early)

    def _known(self, uuid: str) -> bool:
        standing = self._registry.standing(uuid)
        return standing is not None and standing.state != "deleted"

    def _door(self, body: dict[str, Any], descriptor: int) -> None:
        kind = DoorKind(body["kind"])
        listener = socket.socket(fileno=descriptor)
        uuid = str(body["uuid"])
        if PLACES[kind].owner != "gateway" or not self._known(uuid):
            listener.close()
            return
        door = Door(kind, uuid, str(body["address"]), int(body["port"]), "gateway")
        self._task(self._doors.open(door, listener))

    def background(self, work: Coroutine[Any, Any, None]) -> None:
        """Lets `work` go on beside everything else."""
        self._task(work)

    def _task(self, work: Any) -> None:
        task: asyncio.Task[None] = asyncio.ensure_future(work)
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def _doors_open(self) -> None:
        if self._opening:
            await asyncio.gather(*self._opening)

    def _command_exited(self, body: dict[str, Any]) -> None:
        command = self._commands.pop(str(body["exec"]), None)
        if command is not None:
            command.exited(body)
        elif len(self._early_exits) < 256:
            # A quick command can end before its start was answered.
            self._early_exits[str(body["exec"])] = body

    async def _box_exited(self, uuid: str, reason: str) -> None:
        if uuid in self._expected_exits or not self._known(uuid):
            self._expected_exits.discard(uuid)
            return
        self._doors.close(uuid)
        self._found.pop(uuid, None)
        record = await self._registry.update(uuid, state="failed")
        await self._recorder.record(
            Event(event="container.exited", container=uuid, principal=label(record.container), cause=reason)
        )

    async def _take_down(self, uuid: str, timeout_s: float) -> None:
        self._doors.close(uuid)
        self._found.pop(uuid, None)
        self._expected_exits.add(uuid)
        try:
            await self.boxes.ask("stop", wait_s=60 + timeout_s, uuid=uuid, timeout_s=timeout_s)
        finally:
            self._expected_exits.discard(uuid)

    def _spec(self, record: Record) -> dict[str, Any]:
        configured = self.limits()
        return {
            "uuid": record.uuid,
            "number": record.number,
            "name": record.name,
            "runtime": record.runtime,
            "image": record.image,
            "workspace": record.mount or None,
            "place": record.place,
            "private": record.workspace == "copy",
            "env": self._environment(record),
            "hostname": record.name,
            "execs": self.execs(record.project),
            "limits": {**configured["limits"], **record.limits.asked()},
            "allow_soft_limits": record.allow_soft_limits or configured.get("allow_soft_limits") is True,
        }

    def _told(self, uuid: str, body: dict[str, Any]) -> None:
        """What the supervisor says of a box that runs."""
        self._found[uuid] = Found(tuple(map(str, body.get("degraded", ()))), tuple(map(str, body.get("masked", ()))))

    def _turn(self, uuid: str) -> asyncio.Lock:
        return self._turns.setdefault(uuid, asyncio.Lock())

    async def _record(self, event: str, record: Record, by: Operator | Internal, **facts: str) -> None:
        await self._recorder.record(
            Event(
                event=event,
                principal=label(by),
                container=record.uuid,
                api_key_name=f"container-{record.name}",
                detail=tuple(sorted(facts.items())),
            )
        )


async def _nothing(about: object) -> None:
    """What is done when nobody asked for anything."""


def _word(value: bool) -> str:
    return "true" if value else "false"
