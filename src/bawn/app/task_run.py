"""One agent in a container of its own: made for it, gone with it.

Whatever happens, the container is deleted in the end; should this process die before, the ephemeral ones are swept at the
next start, and its time ends it even where nobody sweeps.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Protocol, TypeVar

import structlog

from bawn.api.services import Running
from bawn.errors import Fault
from bawn.identity.record import NewContainer, Record
from bawn.sdk.frames import Channel, Command
from bawn.tasks.asked import base_url, command
from bawn.tasks.settings import Tasks
from bawn.tasks.task import Task
from bawn.terms.clock import Clock
from bawn.terms.principal import Internal, Operator

T = TypeVar("T")

SLACK = timedelta(minutes=2)
"""How much longer its container may live than a task; nobody should need it."""
_ESCAPES = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")

_log = structlog.get_logger("bawn.tasks")


class Boxes(Protocol):
    """The acts on containers that a task needs; see `api.services.Lifecycle`."""

    async def create(self, new: NewContainer, by: Operator | Internal) -> Record: ...

    async def start(self, ref: str, by: Operator | Internal) -> Record: ...

    async def exec(self, ref: str, command: Command, by: Operator | Internal) -> Running: ...

    async def delete(self, ref: str, by: Operator | Internal) -> None: ...


class Tail:
    """The end of an output."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = bytearray()

    def add(self, data: bytes) -> None:
        self._held += data
        if len(self._held) > 2 * self._limit:
            del self._held[: -self._limit]

    def text(self) -> str:
        """Without what would only steer a terminal."""
        plain = _ESCAPES.sub(b"", bytes(self._held))
        return plain[-self._limit :].decode("utf-8", "ignore" if len(plain) > self._limit else "replace").strip()


class AgentRun:
    """`entered` is told of the container before anything runs in it; `environment` gives what its agent finds the door by."""

    def __init__(
        self,
        task: Task,
        by: Operator | Internal,
        settings: Tasks,
        boxes: Boxes,
        clock: Clock,
        environment: Callable[[Record, str, str], dict[str, str]],
        entered: Callable[[Record], Awaitable[None]],
    ) -> None:
        self._task = task
        self._by = by
        self._settings = settings
        self._boxes = boxes
        self._clock = clock
        self._environment = environment
        self._entered = entered
        self._uuid = ""
        self._out = Tail(settings.output_bytes)
        self._err = Tail(settings.output_bytes)

    async def run(self) -> int:
        """The exit code of the agent's command."""
        # A container that was made must be known here to be deleted, so its making is not broken off.
        record = await whole(self._made())
        await self._entered(record)
        await self._boxes.start(record.uuid, self._by)
        task = self._task
        words = command(self._settings.commands[task.mode], task.prompt, task.model or "default", base_url(task.exec))
        told = Command(argv=words, env=self._environment(record, task.model or "default", base_url(task.exec)))
        running = await self._boxes.exec(record.uuid, told, self._by)
        try:
            await running.close_stdin()
            while (data := await running.read()) is not None:
                (self._err if data.channel is Channel.STDERR else self._out).add(data.data)
            return await running.wait()
        finally:
            with contextlib.suppress(Fault):
                await running.close()

    def output(self, code: int | None) -> str:
        """What it answered; where it did not end well or answered nothing, what it complained of as well."""
        out, err = self._out.text(), self._err.text()
        whole = out if out and code == 0 else "\n".join(part for part in (err, out) if part)
        return Tail.text(_of(whole, self._settings.output_bytes))

    async def clear(self) -> None:
        """Deletes the container."""
        if not self._uuid:
            return
        try:
            await self._boxes.delete(self._uuid, self._by)
        except Fault as fault:
            if fault.code != "api.not_found":
                # It is ephemeral: what watches over those goes on trying.
                _log.warning("task.container_not_deleted", task=self._task.id, error=fault.sentence)

    async def _made(self) -> Record:
        settings, task = self._settings, self._task
        lasts = timedelta(seconds=settings.timeout_seconds) + SLACK
        record = await self._boxes.create(
            NewContainer(
                name=f"task-{task.id.removeprefix('tsk_')[:12]}",
                project=task.project,
                image=settings.image or "",
                runtime=settings.runtime or "",
                task=task.prompt,
                expires=self._clock.now() + lasts,
                ephemeral=True,
                role=task.role,
                tags=task.tags,
            ),
            self._by,
        )
        self._uuid = record.uuid
        return record


def _of(text: str, limit: int) -> Tail:
    tail = Tail(limit)
    tail.add(text.encode("utf-8"))
    return tail


async def whole(work: Awaitable[T]) -> T:
    """Waits for the end of `work` also when its waiter is told to stop."""
    doing = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(doing)
    except asyncio.CancelledError:
        await asyncio.wait((doing,))
        raise
