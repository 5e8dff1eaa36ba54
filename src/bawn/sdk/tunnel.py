"""One connection to a port inside a container: `await client.ports.connect("dev", 3000)`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from websockets.asyncio import client as aio
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.sync import client as blocking

from bawn.sdk.frames import MAX_FRAME_BYTES
from bawn.sdk.place import Place
from bawn.sdk.session import begun, cut, heard, options, refused, target

END = "end"


class AsyncTunnel:
    """Write bytes, iterate for what comes back."""

    def __init__(self, wire: aio.ClientConnection) -> None:
        self._wire = wire

    @classmethod
    async def open(cls, where: Place, path: str) -> AsyncTunnel:
        try:
            if where.socket:
                wire = await aio.unix_connect(where.socket, target(where) + path, **options(where))
            else:
                wire = await aio.connect(target(where) + path, proxy=None, **options(where))
        except (OSError, InvalidHandshake) as error:
            raise refused(error, where) from None
        try:
            begun(heard(await wire.recv()))
        except ConnectionClosed:
            raise cut() from None
        except BaseException:
            await wire.close()
            raise
        return cls(wire)

    async def write(self, data: bytes) -> None:
        for start in range(0, len(data), MAX_FRAME_BYTES):
            await self._put(data[start : start + MAX_FRAME_BYTES])

    async def end(self) -> None:
        """Nothing more comes from this side."""
        await self._put(END)

    async def close(self) -> None:
        await self._wire.close()

    async def _put(self, message: str | bytes) -> None:
        try:
            await self._wire.send(message)
        except ConnectionClosed:
            return  # the reader is told

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for message in self._wire:
                if message == END:
                    return
                if isinstance(message, bytes):
                    yield message
        except ConnectionClosed:
            return

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


class Tunnel:
    """The blocking kind."""

    def __init__(self, where: Place, path: str) -> None:
        uri = target(where) + path
        self._held = ExitStack()
        try:
            if where.socket:
                opening = blocking.unix_connect(where.socket, uri, **options(where))
            else:
                opening = blocking.connect(uri, proxy=None, **options(where))
            self._wire = self._held.enter_context(opening)
        except (OSError, InvalidHandshake) as error:
            raise refused(error, where) from None
        try:
            begun(heard(self._wire.recv()))
        except ConnectionClosed:
            raise cut() from None
        except BaseException:
            self.close()
            raise

    def write(self, data: bytes) -> None:
        for start in range(0, len(data), MAX_FRAME_BYTES):
            self._put(data[start : start + MAX_FRAME_BYTES])

    def end(self) -> None:
        """Nothing more comes from this side."""
        self._put(END)

    def close(self) -> None:
        self._held.close()

    def _put(self, message: str | bytes) -> None:
        try:
            self._wire.send(message)
        except ConnectionClosed:
            return  # the reader is told

    def __iter__(self) -> Iterator[bytes]:
        try:
            for message in self._wire:
                if message == END:
                    return
                if isinstance(message, bytes):
                    yield message
        except ConnectionClosed:
            return

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
