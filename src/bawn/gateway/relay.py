"""A streamed answer on its way: bytes in from the provider, frames out to the client.

Text goes out in the provider's read callback, without a task switch. As soon as a frame needs thought (a
held tool call, a stage that looks at answers, the end), it and everything behind it queue up for the call's
own task, so that order is kept; when the queue is empty, the short way is open again.

A client that reads slowly pauses the provider; nothing is buffered without bound.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import assert_never

from bawn.errors import Fault
from bawn.gateway.answer import Answer
from bawn.gateway.http1 import DoorConnection
from bawn.gateway.opening import Opened
from bawn.gateway.reply import Reply
from bawn.gateway.toolgate import ToolGate, Withheld
from bawn.terms.frames import Broken, End, Frame, HeldCall, TextFrame
from bawn.wire.interface import StreamReader

_QUEUED_BYTES = 1024 * 1024
_REDACTED = b"[redacted]"


class Relay:
    """A `Sink` that carries one stream."""

    __slots__ = (
        "_answer", "_before_end", "_clock", "_gate", "_opened", "_queue", "_queued_bytes", "_reader", "_reply", "_secret",
        "_stages", "_stopped", "_wake", "first_byte", "frames",
    )  # fmt: skip

    def __init__(
        self,
        opened: Opened,
        reader: StreamReader,
        gate: ToolGate,
        reply: Reply,
        clock: Callable[[], float],
        *,
        answer: Answer | None,
        before_end: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._before_end = before_end
        """What has to be done before the client may know that the answer is whole."""
        self._opened = opened
        self._reader = reader
        self._gate = gate
        self._reply = reply
        self._clock = clock
        self._answer = answer
        self._secret = answer.secret if answer is not None else b""
        self._stages = opened.prepared.frame_stages
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
        if self._answer is not None:
            connection.watch_writing(self._answer.pause, self._drained)

    async def run(self) -> None:
        """Until the stream is over. Fault when it did not end as its wire says."""
        while True:
            while self._queue:
                frame = self._queue[0]
                if await self._deliver(frame):
                    return
                self._queue.popleft()
                self._queued_bytes -= len(frame.data)
                if self._queued_bytes <= _QUEUED_BYTES // 2 and self._answer is not None:
                    self._answer.resume()
            self._wake.clear()
            await self._wake.wait()

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
            if isinstance(frame, TextFrame) and not self._queue and not self._stages:
                self._write(frame)
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
        if self._queued_bytes > _QUEUED_BYTES and self._answer is not None:
            self._answer.pause()
        self._wake.set()

    def _drained(self) -> None:
        if self._answer is not None and self._queued_bytes <= _QUEUED_BYTES:
            self._answer.resume()

    async def _deliver(self, frame: Frame) -> bool:
        """Send one frame through the stages and the gate; true when the stream is over."""
        frames: Sequence[Frame] = (frame,)
        for stage in self._stages:
            frames = [out for each in frames for out in await stage.frame(each)]
        for each in frames:
            match each:
                case TextFrame():
                    self._write(each)
                case HeldCall():
                    await self._judge(each)
                case End():
                    if self._before_end is not None:
                        await self._before_end()
                    self._write(each)
                    self._reply.end()
                    return True
                case Broken(sentence=sentence, data=data):
                    if data:
                        self._reply.passed_on(self._scrubbed(data))
                        self._reply.cut()
                    raise Fault("upstream.broken", sentence)
                case _:
                    assert_never(each)
        return False

    async def _judge(self, held: HeldCall) -> None:
        verdict = await self._gate.judge(self._opened, HeldCall(held.calls, self._scrubbed(held.data)))
        if isinstance(verdict, Withheld):
            raise Fault("tool.refused", f"A tool call was refused: {verdict.decision.because}.")
        if not self._stopped:
            self._reply.write(verdict)

    def _write(self, frame: TextFrame | End) -> None:
        if self._stopped:
            return
        self.frames += 1
        data = self._scrubbed(frame.data)
        self._reply.write(frame if data is frame.data else TextFrame(data))

    def _scrubbed(self, data: bytes) -> bytes:
        """A provider that echoes the key it was called with does not get it through."""
        if self._secret and self._secret in data:
            return data.replace(self._secret, _REDACTED)
        return data
