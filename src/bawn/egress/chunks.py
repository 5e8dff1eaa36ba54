"""A chunked body (RFC 9112 §7.1), taken apart strictly: exact sizes, exact line ends, no extensions, no trailers.

Readers that are lenient about what ends a chunk are how a second request hides in a body (CVE-2025-43859). Nothing that is
used in earnest needs extensions or trailers in requests.
"""

from __future__ import annotations

import re

from bawn.egress.head import bad

_SIZE = re.compile(rb"[0-9A-Fa-f]{1,8}\Z")


class ChunkReader:
    """Feed it what comes; it gives the body's pieces. `done` once the last chunk is read; `rest` is what came after."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._left = 0
        """Bytes of the chunk that are still to come."""
        self._wants_line_end = False
        self.done = False

    def feed(self, data: bytes) -> list[bytes]:
        """The pieces that became whole. Denied `egress.malformed`."""
        self._held += data
        pieces: list[bytes] = []
        while not self.done and self._step(pieces):
            pass
        return pieces

    def rest(self) -> bytes:
        """What follows the body."""
        held = bytes(self._held)
        self._held.clear()
        return held

    def _step(self, pieces: list[bytes]) -> bool:
        """One more part; false when more bytes are needed."""
        if self._left:
            return self._data(pieces)
        return self._line_end() if self._wants_line_end else self._size()

    def _data(self, pieces: list[bytes]) -> bool:
        piece = bytes(self._held[: self._left])
        del self._held[: len(piece)]
        self._left -= len(piece)
        if piece:
            pieces.append(piece)
        self._wants_line_end = not self._left
        return bool(piece)

    def _line_end(self) -> bool:
        if not b"\r\n".startswith(bytes(self._held[:2])):
            raise bad("A chunk of the body is longer than it says.")
        if len(self._held) < 2:
            return False
        del self._held[:2]
        self._wants_line_end = False
        return True

    def _size(self) -> bool:
        end = self._held.find(b"\r\n")
        size = bytes(self._held[:end] if end >= 0 else self._held.removesuffix(b"\r"))
        if not _SIZE.match(size) and (end >= 0 or self._held):
            raise bad("The size of a chunk of the body is not a number.")
        if end < 0:
            return False
        if int(size, 16):
            del self._held[: end + 2]
            self._left = int(size, 16)
            return True
        after = bytes(self._held[end + 2 : end + 4])
        if not b"\r\n".startswith(after):
            raise bad("The body has something after its last chunk.")
        if len(after) == 2:
            del self._held[: end + 4]
            self.done = True
        return False
