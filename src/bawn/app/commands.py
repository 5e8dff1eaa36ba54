"""A command that runs in a container, as the management API holds it.

The supervisor started it and passed its terminal, or its three pipes, as descriptors; bytes flow between them
and the API without the supervisor. What it writes also goes to the container's log. A reader that does not
keep up stops the reading, so the command waits and nothing is buffered without bound.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable
from typing import Any

from bawn.errors import Fault
from bawn.lines.line import Line, Packet
from bawn.sdk.frames import Channel, Command, Data

_READ_BYTES = 32 * 1024
_QUEUED = 32
_END_OF_TRANSMISSION = b"\x04"


class RunningCommand:
    """Fulfils `api.services.Running`."""

    def __init__(self, boxes: Line, started: Packet, command: Command, log: Callable[[bytes], None]) -> None:
        self._boxes = boxes
        self.id = str(started.body["exec"])
        self._tty = command.tty
        self._log = log
        self._code: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._output: asyncio.Queue[Data | None] = asyncio.Queue()
        self._reading: dict[int, Channel] = {}
        self._paused = False
        descriptors = started.descriptors
        if len(descriptors) != (1 if command.tty else 3):
            for descriptor in descriptors:
                os.close(descriptor)
            raise Fault("supervisor.unavailable", "The supervisor passed the wrong descriptors for a command.")
        self._stdin = descriptors[0]
        self._open = set(descriptors)
        for descriptor in descriptors:
            os.set_blocking(descriptor, False)
        outputs = (
            {descriptors[0]: Channel.STDOUT}
            if command.tty
            else {
                descriptors[1]: Channel.STDOUT,
                descriptors[2]: Channel.STDERR,
            }
        )
        self._reading.update(outputs)
        for descriptor in outputs:
            self._listen(descriptor)

    async def read(self) -> Data | None:
        data = await self._output.get()
        if self._paused and self._output.qsize() < _QUEUED // 2:
            self._paused = False
            for descriptor in self._reading:
                self._listen(descriptor)
        return data

    async def write(self, data: bytes) -> None:
        view = memoryview(data)
        while view and self._stdin in self._open:
            try:
                view = view[os.write(self._stdin, view) :]
            except BlockingIOError:
                await self._writable()
            except OSError:
                # The command no longer reads; what it writes and its exit code still matter.
                return

    async def close_stdin(self) -> None:
        if self._tty:
            await self.write(_END_OF_TRANSMISSION)
        else:
            self._shut(self._stdin)

    async def resize(self, rows: int, cols: int) -> None:
        await self._boxes.ask("resize", exec=self.id, rows=rows, cols=cols)

    async def signal(self, name: str) -> None:
        await self._boxes.ask("signal", exec=self.id, signal=int(signal.Signals[f"SIG{name}"]))

    async def wait(self) -> int:
        return await asyncio.shield(self._code)

    async def close(self) -> None:
        for descriptor in tuple(self._open):
            self._shut(descriptor)
        if not self._code.done():
            # A closed terminal hangs up its session; a command without one is told the same.
            with contextlib.suppress(Fault):
                await self._boxes.ask("signal", exec=self.id, signal=int(signal.SIGHUP))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(2):
                    await self.wait()
                return
            with contextlib.suppress(Fault):
                await self._boxes.ask("signal", exec=self.id, signal=int(signal.SIGKILL))

    def exited(self, body: dict[str, Any]) -> None:
        """The supervisor told its exit code."""
        if not self._code.done():
            self._code.set_result(int(body.get("code", 255)))

    def _listen(self, descriptor: int) -> None:
        asyncio.get_running_loop().add_reader(descriptor, self._readable, descriptor)

    def _readable(self, descriptor: int) -> None:
        try:
            data = os.read(descriptor, _READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            # A terminal whose last process is gone answers EIO: that is its end of file.
            data = b""
        channel = self._reading[descriptor]
        if data:
            self._log(data)
            self._output.put_nowait(Data(channel, data))
            if self._output.qsize() >= _QUEUED:
                self._paused = True
                for each in self._reading:
                    asyncio.get_running_loop().remove_reader(each)
            return
        self._shut(descriptor)
        if not self._reading:
            self._output.put_nowait(None)

    async def _writable(self) -> None:
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[None] = loop.create_future()
        loop.add_writer(self._stdin, _set, ready)
        try:
            await ready
        finally:
            if self._stdin in self._open:
                loop.remove_writer(self._stdin)

    def _shut(self, descriptor: int) -> None:
        if descriptor not in self._open:
            return
        self._open.discard(descriptor)
        loop = asyncio.get_running_loop()
        loop.remove_reader(descriptor)
        loop.remove_writer(descriptor)
        os.close(descriptor)
        if self._reading.pop(descriptor, None) is not None and not self._reading:
            self._output.put_nowait(None)


def _set(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)
