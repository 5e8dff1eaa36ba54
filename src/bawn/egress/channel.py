"""One connection, of a container or to an upstream, under one face.

A conversation is read from it with `read` and written with `write` and `drain`. A tunnel is not a conversation: after
`join` two channels hand their bytes to each other from the event loop's read callback, without a task switch a chunk.
Whoever cannot take more stops the other's reading, so what waits in this process is bounded by one read and one
write buffer a direction. An end of one side is passed on as an end of that direction only.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable
from typing import Protocol, cast

_HELD_BYTES = 64 * 1024
"""Bytes that a channel reads ahead of whoever reads from it."""
_WRITE_HIGH, _WRITE_LOW = 256 * 1024, 64 * 1024

_SCRATCH = memoryview(bytearray(256 * 1024))
"""What is read lies here until it was written or kept, which is before anything else is read: one for all channels."""

Count = Callable[[int], bool]
"""Told how many bytes came; false when they were too many."""


class Stream(Protocol):
    """What a conversation needs of a connection, encrypted or not."""

    async def read(self) -> bytes:
        """The next bytes; none when the other end has no more to say."""

    def write(self, data: bytes) -> None: ...

    async def drain(self) -> None:
        """Returns when more may be written. ConnectionError when nobody is there."""

    def close(self) -> None:
        """Say what was written, then leave."""

    def abort(self) -> None: ...


class Channel(asyncio.BufferedProtocol):
    __slots__ = (
        "_count", "_drained", "_ended", "_far", "_fd", "_held", "_on_lost", "_on_made", "_paused", "_read", "_secure", "_source",
        "_stopped", "_transport", "_wrote_end", "lost",
    )  # fmt: skip

    def __init__(self, on_lost: Callable[[], None] | None = None, on_made: Callable[[], None] | None = None) -> None:
        self._transport: asyncio.Transport | None = None
        self._held = bytearray()
        self._read: asyncio.Future[None] | None = None
        self._drained: asyncio.Future[None] | None = None
        self._far: Channel | None = None
        """Where what comes here goes."""
        self._source: Channel | None = None
        """Where what is written here comes from."""
        self._count: Count | None = None
        self._fd = -1
        """Of a connection without TLS, to write to without a copy."""
        self._on_lost = on_lost
        self._on_made = on_made
        self._paused = False
        """Whether our own write buffer is full."""
        self._stopped = False
        """Whether reading is stopped."""
        self._ended = False
        """Whether the other end has no more to say."""
        self._wrote_end = False
        self._secure = False
        """Whether TLS is spoken on it, where an end is an end of both directions."""
        self.lost = False

    @property
    def ended(self) -> bool:
        """Whether nothing more can come."""
        return self._ended or self.lost

    @property
    def quiet(self) -> bool:
        """Whether it stands and nothing came on it that nobody read: only then may it be asked something."""
        return not self.ended and not self._held

    # a conversation

    async def read(self) -> bytes:
        while not self._held:
            if self._ended or self.lost:
                return b""
            self._read = asyncio.get_running_loop().create_future()
            try:
                await self._read
            finally:
                self._read = None
        data = bytes(self._held)
        self._held.clear()
        self.go_on()
        return data

    def put_back(self, data: bytes) -> None:
        """Bytes that were read and belong to what is read next."""
        self._held[:0] = data

    def write(self, data: bytes) -> None:
        if self._transport is not None and not self.lost and data:
            self._transport.write(data)

    def pass_on(self, data: memoryview) -> None:
        """Writes at once what the kernel takes, and copies only the rest: `data` is used again as soon as this returns."""
        transport = self._transport
        if transport is None or self.lost or self._wrote_end or transport.is_closing():
            return
        if self._fd >= 0 and transport.get_write_buffer_size() == 0:
            try:
                data = data[os.write(self._fd, data) :]
            except BlockingIOError:
                pass
            except OSError:
                transport.abort()
                return
        if data:
            transport.write(bytes(data))

    async def drain(self) -> None:
        while self._paused and not self.lost:
            self._drained = asyncio.get_running_loop().create_future()
            try:
                await self._drained
            finally:
                self._drained = None
        if self.lost:
            raise ConnectionResetError("the connection is gone")

    def close(self) -> None:
        if self._transport is not None and not self.lost:
            self._transport.close()

    def abort(self) -> None:
        if self._transport is not None and not self.lost:
            self._transport.abort()

    # a tunnel

    def join(self, far: Channel, count: Count) -> None:
        """From now on what comes here goes to `far`, and `count` is told of it before it goes."""
        self._far = far
        far._source = self
        self._count = count
        held, self._held = bytes(self._held), bytearray()
        if held:
            self._came(memoryview(held))
        if self.lost:
            far.abort()
        elif self._ended:
            far.end()
        if far._paused:
            self.stop()
        else:
            self.go_on()

    def end(self) -> None:
        """The far side has no more to say: tell this one, and leave when neither has."""
        if self.lost or self._wrote_end or self._transport is None:
            return
        self._wrote_end = True
        if self._ended:
            self._transport.close()
            if self._source is not None:
                self._source.close()
        elif self._transport.can_write_eof():
            self._transport.write_eof()

    # what asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A cast: uvloop's transports are none of asyncio's classes, though they do the same.
        self._transport = cast("asyncio.Transport", transport)
        self._secure = transport.get_extra_info("ssl_object") is not None
        if not self._secure:
            self._fd = transport.get_extra_info("socket").fileno()
        self._transport.set_write_buffer_limits(_WRITE_HIGH, _WRITE_LOW)
        if self._on_made is not None:
            on_made, self._on_made = self._on_made, None
            on_made()

    def get_buffer(self, sizehint: int) -> memoryview:
        return _SCRATCH

    def buffer_updated(self, nbytes: int) -> None:
        self._came(_SCRATCH[:nbytes])

    def eof_received(self) -> bool:
        self._ended = True
        self._wake()
        if self._far is not None:
            self._far.end()
        return not self._secure

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        self._wake()
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        far, self._far = self._far, None
        if far is not None:
            # Without an error it was closed here, after both ends: what waits for the far side is still delivered.
            if exc is not None:
                far.abort()
            else:
                far.close()
        if self._on_lost is not None:
            on_lost, self._on_lost = self._on_lost, None
            on_lost()

    def pause_writing(self) -> None:
        self._paused = True
        if self._source is not None:
            self._source.stop()

    def resume_writing(self) -> None:
        self._paused = False
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        if self._source is not None:
            self._source.go_on()

    # inside

    def _came(self, data: memoryview) -> None:
        far = self._far
        if far is not None:
            assert self._count is not None
            if self._count(len(data)):
                far.pass_on(data)
            return
        self._held += data
        if len(self._held) >= _HELD_BYTES:
            self.stop()
        self._wake()

    def _wake(self) -> None:
        if self._read is not None and not self._read.done():
            self._read.set_result(None)

    def stop(self) -> None:
        """Read no more for now."""
        if not self._stopped and not self._ended and not self.lost and self._transport is not None:
            self._stopped = True
            with contextlib.suppress(RuntimeError):
                self._transport.pause_reading()

    def go_on(self) -> None:
        """Read again."""
        if self._stopped and not self.lost and self._transport is not None:
            self._stopped = False
            with contextlib.suppress(RuntimeError):
                self._transport.resume_reading()
