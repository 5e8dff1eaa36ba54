"""Asking a worker: one request over its unix socket, by the same connections as providers are asked.

A worker meets what an agent sent and what a script wrote, so nothing of its head is believed but status and content type,
and whatever breaks is told as a fault of the script. How many requests one worker has at a time is bounded here.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from datetime import timedelta

import msgspec

from bawn.errors import Fault
from bawn.gateway.answer import Answer
from bawn.gateway.connection import PIECE
from bawn.gateway.connection import Sink as Taker
from bawn.gateway.pool import Pool
from bawn.gateway.providers import Origin
from bawn.gateway.settings import Timeouts
from bawn.identity.reentry import Reentry
from bawn.scripts.settings import Scripts
from bawn.scripts.working import ScriptCall
from bawn.stages.stage import Sink, Source
from bawn.terms.clock import Clock

_PASSED = (b"content-type", b"x-bawn-script-fault", b"retry-after")
_SLACK_S = 2.0
"""The worker ends a script that takes too long by itself, and says so better than we could."""

Ready = Callable[[str, str], Awaitable[Origin]]
"""Where the worker of a (project, exec) listens, once it does. Fault `script.unavailable`."""


class ScriptWorkers:
    """Fulfils `scripts.Workers`."""

    def __init__(
        self,
        pool: Pool,
        reentry: Reentry,
        clock: Clock,
        settings: Callable[[], Scripts],
        ready: Ready,
        running: set[Answer],
    ) -> None:
        self._pool = pool
        self._reentry = reentry
        self._clock = clock
        self._settings = settings
        self._ready = ready
        # That of the providers' answers, so that one sweep ends what takes too long.
        self._running = running
        self._busy: dict[tuple[str, str], int] = {}
        self._live: set[str] = set()

    def lives(self, call: str) -> bool:
        """Whether a script still has this call: its ticket ends with it, whatever its time."""
        return call in self._live

    async def call(self, call: ScriptCall) -> Source:
        key = (call.container.project, call.exec)
        if self._busy.get(key, 0) >= self._settings().limits.concurrent:
            raise Fault("limit.concurrency", "The worker of this script has as many requests as it takes.")
        ticket = self._reentry.mint(
            call.container,
            call.after.depth,
            way=call.after,
            call=call.call,
            lifetime=timedelta(seconds=call.timeout_s + _SLACK_S),
        )
        place = _Place(self._busy, key, self._live, call.call)
        try:
            answer = await self._asked(await self._ready(*key), _head(call, ticket), call, place)
        except BaseException:
            place.leave()
            raise
        return WorkerAnswer(answer)

    async def _asked(self, origin: Origin, head: bytes, call: ScriptCall, place: _Place) -> Answer:
        # Never on a kept connection: one that turns out closed would leave open whether a script has run.
        try:
            connection = await self._pool.take(origin, fresh=True)
        except Fault as fault:
            raise _as_script(fault) from fault

        def over(answer: Answer) -> None:
            self._running.discard(answer)
            connection.abort()
            place.leave()

        timeouts = _timeouts(call.timeout_s + _SLACK_S)
        answer = Answer(connection, timeouts, self._clock.monotonic, over, secret=b"", usage_added=False, ours=True)
        self._running.add(answer)
        try:
            if len(call.body) <= PIECE:
                connection.send(head, call.body, answer)
            else:
                connection.send(head, b"", answer)
                await connection.send_long(call.body)
            await answer.head_arrived()
        except Fault as fault:
            over(answer)
            raise _as_script(fault) from fault
        except BaseException:
            over(answer)
            raise
        return answer


class _Place:
    """One of the requests that a worker may have at a time; left once, however often that is said."""

    __slots__ = ("_busy", "_call", "_key", "_live")

    def __init__(self, busy: dict[tuple[str, str], int], key: tuple[str, str], live: set[str], call: str) -> None:
        busy[key] = busy.get(key, 0) + 1
        live.add(call)
        self._live, self._call = live, call
        self._busy: dict[tuple[str, str], int] | None = busy
        self._key = key

    def leave(self) -> None:
        busy, self._busy = self._busy, None
        if busy is None:
            return
        self._live.discard(self._call)
        busy[self._key] -= 1
        if not busy[self._key]:
            del busy[self._key]


class WorkerAnswer:
    """Fulfils `stages.Source`."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.status = answer.status
        self.headers = [pair for pair in answer.headers if pair[0] in _PASSED]

    async def body(self, limit: int) -> bytes:
        try:
            return await self._answer.body(limit)
        except Fault as fault:
            raise _as_script(fault) from fault

    def hand_to(self, sink: Sink) -> None:
        self._answer.hand_to(_Told(sink))

    def pause(self) -> None:
        self._answer.pause()

    def resume(self) -> None:
        self._answer.resume()

    def leave(self) -> None:
        self._answer.leave()


class _Told:
    """Between an answer and who takes it: what breaks is told as a fault of the script."""

    def __init__(self, sink: Taker | Sink) -> None:
        self._sink = sink
        self.on_head = sink.on_head
        self.on_data = sink.on_data
        self.on_end = sink.on_end

    def on_broken(self, fault: Fault) -> None:
        self._sink.on_broken(_as_script(fault))


def _as_script(fault: Fault) -> Fault:
    match fault.code:
        case "upstream.unreachable":
            return Fault("script.unavailable", "The worker of this script does not answer.", cause=fault.cause)
        case "upstream.timeout":
            return Fault("script.timeout", "A script took too long.", cause=fault.cause)
        case "upstream.broken":
            return Fault("script.crashed", "A script did not come to the end of its answer.", cause=fault.sentence)
        case _:
            return fault


def _timeouts(seconds: float) -> Timeouts:
    return Timeouts.model_construct(
        connect_seconds=5, first_byte_seconds=seconds, idle_seconds=seconds, total_seconds=seconds
    )


def _head(call: ScriptCall, ticket: str) -> bytes:
    container = call.container
    lines = {
        "host": "worker",
        "x-bawn-script": call.file,
        "x-bawn-method": call.method,
        "x-bawn-path": call.path.decode("latin-1"),
        "x-bawn-params": json.dumps(call.parameters),
        "x-bawn-call": call.call,
        "x-bawn-ticket": ticket,
        "x-bawn-container": json.dumps(msgspec.to_builtins(container)),
        "x-bawn-exec": call.exec,
        "x-bawn-subdomain": f"exec-{call.exec}",
        "x-bawn-headers": json.dumps(dict(call.headers)),
        "x-bawn-timeout": f"{call.timeout_s:g}",
        "content-length": str(len(call.body)),
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"POST /handle HTTP/1.1\r\n{head}\r\n".encode("latin-1")
