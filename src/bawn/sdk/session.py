"""A running command in a container, from the client's side: blocking `Session`, asynchronous `AsyncSession`.

Iterating gives what the command writes, as `Data` with its channel; when that has ended, `code` is set.
Leaving early closes the connection, upon which the server ends the command.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

from websockets.asyncio import client as aio
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.sync import client as blocking

from bawn.errors import KINDS, Fault
from bawn.sdk.call import read_json
from bawn.sdk.frames import (
    MAX_FRAME_BYTES,
    Channel,
    Command,
    Data,
    Exit,
    Failed,
    FromClient,
    Resize,
    Signal,
    Started,
    StdinClosed,
    packed,
    read_server,
    unpacked,
    written,
)
from bawn.sdk.place import Place

OPEN_TIMEOUT_S = 10.0


def target(where: Place) -> str:
    return "ws" + where.base_url.removeprefix("http")


def options(where: Place) -> dict[str, Any]:
    return {
        "additional_headers": where.headers,
        "open_timeout": OPEN_TIMEOUT_S,
        "compression": None,
        "max_size": MAX_FRAME_BYTES + 1,
    }


def heard(message: str | bytes) -> Data | Exit | Started:
    """One message of the server; a Fault that it tells is raised."""
    try:
        told = unpacked(message) if isinstance(message, bytes) else read_server(message)
    except ValueError:
        raise Fault("internal", "The server sent a message that is none of its kind.") from None
    if isinstance(told, Failed):
        code = told.code if told.code in KINDS else "internal"
        raise Fault(code, told.message, remedy=told.remedy or None)
    return told


def begun(told: Data | Exit | Started) -> None:
    """The first thing that is told must be that the command runs."""
    if not isinstance(told, Started):
        raise Fault("internal", "The server did not say that the command runs.")


def refused(error: Exception, where: Place) -> Fault:
    """What a failed opening means."""
    if isinstance(error, InvalidStatus):
        try:
            read_json(error.response.status_code, bytes(error.response.body or b""))
        except Fault as fault:
            return fault
    return Fault("daemon.unreachable", f"Bawn does not answer at {where.shown}.", cause=type(error).__name__)


def cut() -> Fault:
    return Fault("supervisor.unavailable", "The connection to the command was cut.")


class Session:
    def __init__(self, where: Place, path: str, command: Command) -> None:
        self.code: int | None = None
        self._held = ExitStack()
        uri = target(where) + path
        try:
            if where.socket:
                opening = blocking.unix_connect(where.socket, uri, **options(where))
            else:
                opening = blocking.connect(uri, proxy=None, **options(where))
            self._wire = self._held.enter_context(opening)
        except (OSError, InvalidHandshake) as error:
            raise refused(error, where) from None
        self._tell(command)
        try:
            begun(heard(self._wire.recv()))
        except ConnectionClosed:
            raise cut() from None
        except Fault:
            self.close()
            raise

    def write(self, data: bytes) -> None:
        for start in range(0, len(data), MAX_FRAME_BYTES):
            self._put(packed(Channel.STDIN, data[start : start + MAX_FRAME_BYTES]))

    def close_stdin(self) -> None:
        self._tell(StdinClosed())

    def resize(self, rows: int, cols: int) -> None:
        self._tell(Resize(rows, cols))

    def signal(self, name: str) -> None:
        self._tell(Signal(name))

    def wait(self) -> int:
        """Reads on to the end, dropping output, and returns the exit code."""
        for _ in self:
            pass
        if self.code is None:
            raise cut()
        return self.code

    def close(self) -> None:
        self._held.close()

    def _tell(self, control: FromClient) -> None:
        self._put(written(control))

    def _put(self, message: str | bytes) -> None:
        try:
            self._wire.send(message)
        except ConnectionClosed:
            # The end of the command is told to the reader; a writer has nobody to tell.
            return

    def __iter__(self) -> Iterator[Data]:
        while self.code is None:
            try:
                told = heard(self._wire.recv())
            except ConnectionClosed:
                raise cut() from None
            if isinstance(told, Data):
                yield told
            elif isinstance(told, Exit):
                self.code = told.code
                self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncSession:
    def __init__(self, wire: aio.ClientConnection) -> None:
        self.code: int | None = None
        self._wire = wire

    @classmethod
    async def open(cls, where: Place, path: str, command: Command) -> AsyncSession:
        try:
            if where.socket:
                wire = await aio.unix_connect(where.socket, target(where) + path, **options(where))
            else:
                wire = await aio.connect(target(where) + path, proxy=None, **options(where))
        except (OSError, InvalidHandshake) as error:
            raise refused(error, where) from None
        session = cls(wire)
        await session._tell(command)
        try:
            begun(heard(await wire.recv()))
        except ConnectionClosed:
            raise cut() from None
        except Fault:
            await session.close()
            raise
        return session

    async def write(self, data: bytes) -> None:
        for start in range(0, len(data), MAX_FRAME_BYTES):
            await self._put(packed(Channel.STDIN, data[start : start + MAX_FRAME_BYTES]))

    async def close_stdin(self) -> None:
        await self._tell(StdinClosed())

    async def resize(self, rows: int, cols: int) -> None:
        await self._tell(Resize(rows, cols))

    async def signal(self, name: str) -> None:
        await self._tell(Signal(name))

    async def wait(self) -> int:
        """Reads on to the end, dropping output, and returns the exit code."""
        async for _ in self:
            pass
        if self.code is None:
            raise cut()
        return self.code

    async def close(self) -> None:
        await self._wire.close()

    async def _tell(self, control: FromClient) -> None:
        await self._put(written(control))

    async def _put(self, message: str | bytes) -> None:
        try:
            await self._wire.send(message)
        except ConnectionClosed:
            # The end of the command is told to the reader; a writer has nobody to tell.
            return

    async def __aiter__(self) -> AsyncIterator[Data]:
        while self.code is None:
            try:
                told = heard(await self._wire.recv())
            except ConnectionClosed:
                raise cut() from None
            if isinstance(told, Data):
                yield told
            elif isinstance(told, Exit):
                self.code = told.code
                await self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
