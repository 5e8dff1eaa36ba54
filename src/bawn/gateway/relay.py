"""A streamed answer on its way: bytes in from the provider, frames out to the client.

Text goes out in the provider's read callback, without a task switch. As soon as a frame needs thought (a
held tool call, a view of a stage that looks at answers, the end), it and everything behind it queue up for the call's
own task, so that order is kept; when the queue is empty, the short way is open again.

A client that reads slowly pauses the provider; nothing is buffered without bound.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, TypeVar, assert_never

from bawn.errors import Fault
from bawn.gateway.http1 import DoorConnection
from bawn.gateway.interception import Again, Intercepted, Out
from bawn.gateway.opening import Opened
from bawn.gateway.reply import Reply
from bawn.gateway.toolgate import Cleared, Judged, Rewritten, ToolGate
from bawn.stages.stage import Source
from bawn.terms.frames import Broken, End, Frame, HeldCall, TextFrame
from bawn.wire.interface import StreamReader

_QUEUED_BYTES = 1024 * 1024
_REDACTED = b"[redacted]"
_T = TypeVar("_T")


class Relay:
    """A `Sink` that carries one stream."""

    __slots__ = (
        "_before_end", "_clock", "_gate", "_intercepted", "_keep_alive", "_opened", "_queue", "_queued_bytes", "_reader",
        "_reply", "_secret", "_source", "_stopped", "_views", "_wake", "first_byte", "frames",
    )  # fmt: skip

    def __init__(
        self,
        opened: Opened,
        reader: StreamReader,
        gate: ToolGate,
        reply: Reply,
        clock: Callable[[], float],
        intercepted: Intercepted,
        *,
        source: Source | None,
        secret: bytes = b"",
        keep_alive: float = 10.0,
        before_end: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._before_end = before_end
        """What has to be done before the client may know that the answer is whole."""
        self._opened = opened
        self._reader = reader
        self._gate = gate
        self._reply = reply
        self._clock = clock
        self._intercepted = intercepted
        self._source = source
        self._secret = secret
        self._keep_alive = keep_alive
        self._views = opened.prepared.views
        self._queue: deque[Frame] = deque()
        self._queued_bytes = 0
        self._wake: asyncio.Event = asyncio.Event()
        self._stopped = False
        self.first_byte = 0.0
        """Monotonic seconds when the first part came; 0 before."""
        self.frames = 0
        """How many parts of text went out: the lower bound of output tokens when a stream is cut."""

    def flow(self, connection: DoorConnection) -> None:
        """Couple the client's reading to the provider's sending."""
        if self._source is not None:
            connection.watch_writing(self._pause, self._drained)

    async def run(self) -> Again | None:
        """Until the stream is over, or until the model is to be told of a refusal: then by `go_on` or `give_up`.

        Fault when it did not end as its wire says."""
        while True:
            while self._queue:
                frame = self._queue[0]
                over = await self._deliver(frame)
                self._queue.popleft()
                self._queued_bytes -= len(frame.data)
                if over is not None:
                    return over if isinstance(over, Again) else None
                if self._queued_bytes <= _QUEUED_BYTES // 2 and self._source is not None:
                    self._source.resume()
            self._wake.clear()
            await self._wake.wait()

    def go_on(self, opened: Opened, reader: StreamReader, source: Source, secret: bytes) -> None:
        """The model was told: its next answer comes behind what has gone out."""
        self._intercepted.go_on()
        self._opened, self._reader, self._source, self._secret = opened, reader, source, secret
        self._queue.clear()
        self._queued_bytes = 0

    async def give_up(self) -> None:
        """The model could not be told, so the agent is."""
        await self._end(self._intercepted.give_up())

    async def patiently(self, waited: Coroutine[Any, Any, _T]) -> _T:
        """What is waited for; meanwhile the client hears that the stream is alive."""
        task = asyncio.ensure_future(waited)
        try:
            while not (await asyncio.wait((task,), timeout=self._keep_alive))[0]:
                if not self._stopped:
                    self._reply.keep_alive()
        except BaseException:
            task.cancel()
            raise
        return task.result()

    def stop(self) -> None:
        """Nothing more goes out, from this moment on."""
        self._stopped = True

    # what the answer calls

    def on_head(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """The head was read before the answer was handed over."""

    def on_data(self, data: bytes) -> None:
        if self._stopped:
            return
        if not self.first_byte:
            self.first_byte = self._clock()
        self._take(self._reader.feed(data))

    def begin(self, frames: Sequence[Frame]) -> None:
        """What was read of the answer before it was handed over."""
        if frames and not self.first_byte:
            self.first_byte = self._clock()
        self._take(frames)

    def _take(self, frames: Sequence[Frame]) -> None:
        for frame in frames:
            if isinstance(frame, TextFrame) and not self._queue and not self._views and self._intercepted.as_it_is:
                self._intercepted.passed(self._write(frame))
            else:
                self._enqueue(frame)

    def on_end(self) -> None:
        self._finish(self._reader.close())

    def on_broken(self, fault: Fault) -> None:
        self._finish([Broken(fault.sentence)])

    # inside

    def _finish(self, frames: Sequence[Frame]) -> None:
        for frame in frames:
            self._enqueue(frame)

    def _enqueue(self, frame: Frame) -> None:
        self._queue.append(frame)
        self._queued_bytes += len(frame.data)
        if self._queued_bytes > _QUEUED_BYTES and self._source is not None:
            self._source.pause()
        self._wake.set()

    def _pause(self) -> None:
        if self._source is not None:
            self._source.pause()

    def _drained(self) -> None:
        if self._source is not None and self._queued_bytes <= _QUEUED_BYTES:
            self._source.resume()

    async def _deliver(self, frame: Frame) -> Again | bool | None:
        """Send one frame through the views and the gate; true when the stream is over."""
        frames: Sequence[Frame] = (frame,)
        for view in self._views:
            frames = [out for each in frames for out in await view.frame(each)]
        for each in frames:
            match each:
                case TextFrame(data=data):
                    self._write_all(self._intercepted.text(self._scrubbed(data)))
                case HeldCall():
                    self._write_all(self._intercepted.calls(await self._judged(each)))
                case End(data=data):
                    ending = self._intercepted.end(self._scrubbed(data))
                    if isinstance(ending, Again):
                        return ending
                    await self._end(ending)
                    return True
                case Broken(sentence=sentence, data=data):
                    if data:
                        self._reply.passed_on(self._scrubbed(data))
                        self._reply.cut()
                    raise Fault("upstream.broken", sentence)
                case _:
                    assert_never(each)
        return None

    async def _judged(self, held: HeldCall) -> Cleared | Judged:
        judging = self._gate.judge(self._opened, HeldCall(held.calls, self._scrubbed(held.data)))
        return await self.patiently(judging) if self._gate.may_wait else await judging

    async def _end(self, ending: Sequence[Out]) -> None:
        if self._before_end is not None:
            await self._before_end()
        self._write_all(ending)
        self._reply.end()

    def _write(self, frame: TextFrame) -> bytes:
        """What has gone out."""
        data = self._scrubbed(frame.data)
        if not self._stopped:
            self.frames += 1
            self._reply.write(frame if data is frame.data else TextFrame(data))
        return data

    def _write_all(self, parts: Sequence[Out]) -> None:
        for part in parts:
            if not self._stopped and part.data:
                self.frames += not isinstance(part, (Cleared, Rewritten))
                self._reply.write(part)

    def _scrubbed(self, data: bytes) -> bytes:
        """A provider that echoes the key it was called with does not get it through."""
        if self._secret and self._secret in data:
            return data.replace(self._secret, _REDACTED)
        return data
