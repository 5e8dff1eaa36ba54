"""The workers that run, on the gateway's side: each started when it is first wanted, watched, ended when it hangs.

A worker's event loop answers `/health` as long as it turns. One that does not answer within its patience is ended by
the supervisor, whatever it does, and the next request starts it anew. One that falls again and again waits
longer each time. What a worker prints comes by a pipe that is read here and handed on.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from bawn.errors import Fault
from bawn.lines.line import Packet

_log = structlog.get_logger("bawn.scripts")

FALLS_WITHIN_S = 10.0
"""A worker that ends sooner than this after its start is falling."""
PAUSES_S = (0.0, 0.2, 1.0, 5.0, 15.0)
WAITS_S = 2.0
"""How long a request waits for a pause to be over; longer ones are refused."""
_PIECE = 64 << 10
_PROBE = b"GET /health HTTP/1.1\r\nhost: worker\r\nconnection: close\r\n\r\n"
_REQUESTS = re.compile(rb'"requests":([0-9]{1,9})')

Key = tuple[str, str]


class Ask(Protocol):
    """`lines.Line.ask` of the supervisor's line."""

    async def __call__(self, do: str, /, **fields: object) -> Packet: ...


@dataclass(frozen=True, slots=True)
class Wanted:
    """How a worker is to be started."""

    env: Mapping[str, str] = field(default_factory=dict)
    limits: Mapping[str, int | float] = field(default_factory=dict)
    """`memory_bytes`, `pids`, `cpus`."""


@dataclass(slots=True)
class _Member:
    ready: asyncio.Future[str]
    """Where it listens."""
    pid: int = 0
    since: float = 0.0
    pipe: int = -1
    watch: asyncio.Task[None] | None = None
    used: float = 0.0


class Crew:
    """`wanted`: told anew at each start; `on_output`: bytes of whole and partial lines; `on_ended`: why one ended unasked."""

    def __init__(
        self,
        ask: Ask,
        wanted: Callable[[str, str], Awaitable[Wanted]],
        on_output: Callable[[str, str, bytes], None],
        on_ended: Callable[[str, str, str], None],
        *,
        beat_s: float = 2.0,
        patience_s: float = 5.0,
        start_s: float = 30.0,
        idle_s: float = 1800.0,
    ) -> None:
        self._ask = ask
        self._wanted = wanted
        self._on_output = on_output
        self._on_ended = on_ended
        self._beat_s = beat_s
        self._patience_s = patience_s
        self._start_s = start_s
        self._idle_s = idle_s
        self._members: dict[Key, _Member] = {}
        self._falls: dict[Key, tuple[int, float]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def socket(self, project: str, exec_id: str) -> str:
        """The path of the worker's socket, started if it does not run. Fault `script.unavailable`."""
        key = (project, exec_id)
        member = self._members.get(key)
        if member is None:
            member = self._members[key] = _Member(asyncio.get_running_loop().create_future())
            self._keep(asyncio.ensure_future(self._start(key, member)))
        member.used = asyncio.get_running_loop().time()
        return await asyncio.shield(member.ready)

    def running(self) -> dict[Key, int]:
        """The pids of the workers that run."""
        return {key: member.pid for key, member in self._members.items() if member.pid}

    async def end(self, project: str, exec_id: str) -> None:
        """Ends a worker, if it runs; what it was given has changed, or it is no longer wanted."""
        self._falls.pop((project, exec_id), None)
        self._drop((project, exec_id))
        (await self._ask("script.stop", project=project, exec=exec_id)).close()

    def ended(self, said: Mapping[str, object]) -> None:
        """The supervisor's event `script.ended`."""
        key = (str(said.get("project")), str(said.get("exec")))
        member = self._members.get(key)
        if member is None or member.pid != said.get("pid"):
            return  # one of before, whose successor runs already
        now = asyncio.get_running_loop().time()
        falls = self._falls.get(key, (0, 0.0))[0] + 1 if now - member.since < FALLS_WITHIN_S else 0
        self._falls[key] = (falls, now + PAUSES_S[min(falls, len(PAUSES_S) - 1)])
        self._drop(key)
        self._on_ended(*key, str(said.get("reason", "")))

    def close(self) -> None:
        """The gateway ends; the supervisor ends the workers."""
        for key in list(self._members):
            self._drop(key)
        for task in self._tasks:
            task.cancel()

    async def _start(self, key: Key, member: _Member) -> None:
        try:
            await self._paused(key)
            wanted = await self._wanted(*key)
            packet = await self._ask(
                "script.start", project=key[0], exec=key[1], env=dict(wanted.env), limits=dict(wanted.limits)
            )
        except Exception as error:  # noqa: BLE001 - whoever waits is told
            if self._members.get(key) is member:
                del self._members[key]
            if not member.ready.done():
                member.ready.set_exception(_unavailable(error))
                member.ready.exception()  # told to those who wait; nobody may be left
            return
        if self._members.get(key) is not member or not packet.descriptors:
            packet.close()
            return
        loop = asyncio.get_running_loop()
        member.pid, member.since = int(packet.body.get("pid", 0)), loop.time()
        member.pipe = packet.descriptors[0]
        os.set_blocking(member.pipe, False)
        loop.add_reader(member.pipe, self._readable, key, member.pipe)
        where = str(packet.body.get("socket", ""))
        member.watch = asyncio.ensure_future(self._watched(key, member, where))
        if not member.ready.done():
            member.ready.set_result(where)

    async def _paused(self, key: Key) -> None:
        left = self._falls.get(key, (0, 0.0))[1] - asyncio.get_running_loop().time()
        if left > WAITS_S:
            raise Fault("script.unavailable", "the worker of this script ends again and again")
        if left > 0:
            await asyncio.sleep(left)

    async def _watched(self, key: Key, member: _Member, where: str) -> None:
        """Until the worker hangs, or nobody has wanted it for long."""
        loop = asyncio.get_running_loop()
        patience_s = self._start_s
        while True:
            await asyncio.sleep(self._beat_s)
            try:
                requests = await self._beats(where, patience_s)
            except (OSError, asyncio.IncompleteReadError):
                continue  # it is ending, which the supervisor will tell
            if requests is None:
                _log.warning("script.hangs", project=key[0], exec=key[1], pid=member.pid)
            else:
                patience_s = self._patience_s
                if requests > 0:
                    member.used = loop.time()
                if loop.time() - member.used < self._idle_s:
                    continue
            # By a task of its own: the end of the worker ends this one.
            self._keep(asyncio.ensure_future(self._ends(key, member, hangs=requests is None)))
            return

    async def _ends(self, key: Key, member: _Member, *, hangs: bool) -> None:
        if self._members.get(key) is not member:
            return
        self._drop(key)
        with contextlib.suppress(Fault):
            (await self._ask("script.stop", project=key[0], exec=key[1])).close()
        if hangs:
            self._on_ended(*key, "it did not answer in time")

    async def _beats(self, where: str, patience_s: float) -> int | None:
        """How many requests it has; None when it does not answer in time, or as no worker does."""
        try:
            async with asyncio.timeout(patience_s):
                reader, writer = await asyncio.open_unix_connection(where)
                try:
                    writer.write(_PROBE)
                    head = await reader.readuntil(b"\r\n\r\n")
                    if not head.startswith(b"HTTP/1.1 200 "):
                        return None
                    length = next(
                        (
                            line.partition(b":")[2]
                            for line in head.split(b"\r\n")
                            if line.startswith(b"content-length:")
                        ),
                        b"0",
                    )
                    body = await reader.readexactly(min(int(length), 16 << 20))
                finally:
                    writer.transport.abort()
        except (ValueError, TimeoutError, asyncio.LimitOverrunError):
            return None
        found = _REQUESTS.search(body)
        return max(int(found[1]) - 1, 0) if found else 0

    def _readable(self, key: Key, pipe: int) -> None:
        try:
            data = os.read(pipe, _PIECE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self._on_output(*key, data)
        else:
            self._shut(pipe)
            member = self._members.get(key)
            if member is not None and member.pipe == pipe:
                member.pipe = -1

    def _drop(self, key: Key) -> None:
        member = self._members.pop(key, None)
        if member is None:
            return
        if member.watch is not None:
            member.watch.cancel()
        if not member.ready.done():
            member.ready.set_exception(Fault("script.unavailable", "the worker of this script was ended"))
            member.ready.exception()
        # The last words are still in the pipe; its end is read like the rest.

    def _shut(self, pipe: int) -> None:
        asyncio.get_running_loop().remove_reader(pipe)
        os.close(pipe)

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _unavailable(error: Exception) -> Fault:
    if isinstance(error, Fault) and error.code.startswith("script."):
        return error
    cause = error.sentence + (f" ({error.cause})" if error.cause else "") if isinstance(error, Fault) else str(error)
    return Fault("script.unavailable", "the worker of this script could not be started", cause=cause)
