"""The gateway's end of the stream of one of the supervisor's programs, as `sandbox/talk.py` describes it.

The program began as root or as the container's user and has read what an agent wrote: its lines are taken as claims,
bounded in length, and an answer that does not come to its end is an error, never an empty result.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import struct
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Any, Self

from bawn.errors import KINDS, Fault
from bawn.lines.line import Line

LINE_LIMIT = 8 << 20
ANSWER_TIMEOUT_S = 300.0
_PIECE = 256 * 1024
_LENGTH = struct.Struct("!I")


class Conversation:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def begin(cls, boxes: Line, verb: str, **request: Any) -> Conversation:
        """Has the supervisor start the program."""
        started = await boxes.ask(verb, **request)
        if len(started.descriptors) != 1:
            for descriptor in started.descriptors:
                os.close(descriptor)
            raise Fault("supervisor.unavailable", "The supervisor passed the wrong descriptors.")
        stream = socket.socket(fileno=started.descriptors[0])
        stream.setblocking(False)
        return cls(*await asyncio.open_connection(sock=stream, limit=LINE_LIMIT))

    async def heard(self) -> dict[str, Any]:
        """The next line that says how it went; its Fault when it went wrong."""
        told = await self.line()
        if told is None:
            raise Fault("files.failed", "The answer broke off.")
        if not told.get("ok"):
            code = str(told.get("code"))
            raise Fault(
                code if code in KINDS else "files.failed",
                f"{str(told.get('sentence'))[:1].upper()}{str(told.get('sentence'))[1:]}.",
                cause=str(told.get("cause", "")),
            )
        return told

    async def line(self) -> dict[str, Any] | None:
        """The next line; None at the end."""
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                data = await self._reader.readline()
            told = json.loads(data) if data.endswith(b"\n") else None
        except (TimeoutError, ValueError, ConnectionError) as error:
            raise Fault("files.failed", "The answer cannot be read.", cause=type(error).__name__) from None
        if data and not isinstance(told, dict):
            raise Fault("files.failed", "The answer broke off.")
        return told

    async def lines(self) -> AsyncIterator[dict[str, Any]]:
        while (told := await self.line()) is not None:
            yield told

    async def data(self, size: int) -> AsyncIterator[bytes]:
        """`size` bytes; fewer when what is read became shorter meanwhile."""
        while size > 0 and (piece := await self._reader.read(min(size, _PIECE))):
            size -= len(piece)
            yield piece

    async def give(self, data: bytes) -> None:
        """Sends a piece; waits while the other end does not take it."""
        for start in range(0, len(data), _PIECE):
            piece = data[start : start + _PIECE]
            self._writer.write(_LENGTH.pack(len(piece)) + piece)
            await self._drained()

    async def end(self) -> None:
        """All pieces were sent."""
        self._writer.write(_LENGTH.pack(0))
        await self._drained()

    async def _drained(self) -> None:
        try:
            await self._writer.drain()
        except ConnectionError:
            # It says why in its last line, which is read next.
            return

    async def close(self) -> None:
        self._writer.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
