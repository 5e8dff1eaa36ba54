"""The requests that come on a stream, one after another: heads, and bodies in pieces.

Bytes that were read too far belong to what is read next; a tunnel or a TLS session takes them over with `rest`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from bawn.egress.channel import Stream
from bawn.egress.chunks import ChunkReader
from bawn.egress.head import Head, read_head


class Inbox:
    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._held = b""

    async def head(self) -> Head | None:
        """The next one; None when there is no more. Denied for what is no strict HTTP/1.1."""
        while True:
            found = read_head(self._held) if self._held else None
            if found is not None:
                head, length = found
                self._held = self._held[length:]
                return head
            data = await self._stream.read()
            if not data:
                return None
            self._held += data

    def rest(self) -> bytes:
        """What was read and not used."""
        held, self._held = self._held, b""
        return held

    async def body(self, head: Head) -> AsyncIterator[bytes]:
        """The pieces of the body of `head`, as they come. Denied for odd chunks, ConnectionError when it ends too soon."""
        if not head.chunked:
            left = head.length
            while left:
                data = await self._more()
                piece, self._held = data[:left], data[left:]
                left -= len(piece)
                yield piece
            return
        reader = ChunkReader()
        while not reader.done:
            for piece in reader.feed(await self._more()):
                yield piece
        self._held = reader.rest()

    async def _more(self) -> bytes:
        data = self.rest() or await self._stream.read()
        if not data:
            raise ConnectionResetError("the body ended too soon")
        return data
