"""Ends a container's TLS on a channel from which its ClientHello was already read.

The engine works on memory (no socket is wrapped), so the bytes of the hello that was judged are the very bytes
that the handshake sees.
"""

from __future__ import annotations

import contextlib
import ssl

from bawn.egress.channel import Channel

_READ_BYTES = 64 * 1024


class Terminated:
    """The decrypted side of a channel; a `Stream`."""

    def __init__(self, channel: Channel, context: ssl.SSLContext) -> None:
        self._channel = channel
        self._came, self._goes = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._engine = context.wrap_bio(self._came, self._goes, server_side=True)

    async def handshake(self) -> None:
        """ConnectionError when the container does not go through with it."""
        while True:
            try:
                self._engine.do_handshake()
                self._flush()
                return
            except ssl.SSLWantReadError:
                self._flush()
                await self._more()
            except ssl.SSLError as error:
                self._flush()  # the alert that says why
                raise ConnectionAbortedError("the container broke the TLS handshake off") from error

    async def read(self) -> bytes:
        while True:
            try:
                data = self._engine.read(_READ_BYTES)
                self._flush()
                return data
            except ssl.SSLWantReadError:
                self._flush()
                if not await self._more():
                    return b""
            except ssl.SSLError:
                return b""

    def write(self, data: bytes) -> None:
        if data:
            try:
                self._engine.write(data)
            except ssl.SSLError as error:
                raise ConnectionAbortedError("the container's TLS has ended") from error
            self._flush()

    async def drain(self) -> None:
        await self._channel.drain()

    def close(self) -> None:
        with contextlib.suppress(ssl.SSLError):  # the container's own farewell is not waited for
            self._engine.unwrap()
        self._flush()
        self._channel.close()

    def abort(self) -> None:
        self._channel.abort()

    def _flush(self) -> None:
        if self._goes.pending:
            self._channel.write(self._goes.read())

    async def _more(self) -> bool:
        data = await self._channel.read()
        if data:
            self._came.write(data)
        else:
            self._came.write_eof()
        return bool(data)
