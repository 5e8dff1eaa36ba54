"""A file on its way to a provider: passed on as it comes, read along the way, never held.

The last piece that was read waits until the next one is there, so that the provider has the end of the body only
after all of it was found in order; whatever goes wrong before cuts the connection, and what was sent is no body.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from bawn.errors import Fault, quoted
from bawn.gateway.upload import Upload
from bawn.terms.exchange import WireName
from bawn.wire.multipart import MultipartReader, PartData, PartHead, boundary_of
from bawn.wire.objects import Row

FIELDS = {
    WireName.OPENAI: frozenset(("purpose", "expires_after[anchor]", "expires_after[seconds]")),
    WireName.ANTHROPIC: frozenset[str](),
}
"""Documented fields beside `file`."""
_FIELD_BYTES = 256


class Reading:
    """One upload, as it is read."""

    def __init__(self, row: Row, content_type: bytes) -> None:
        self._known = FIELDS[row.wire]
        self._reader = MultipartReader(boundary_of(content_type))
        self._file = False
        """Whether the file has come."""
        self._in_field = 0
        """Bytes that the field which comes now may still have; below zero in the file."""

    def feed(self, data: bytes) -> None:
        """Fault `request.invalid` when the upload is not one file with documented fields."""
        for event in self._reader.feed(data):
            if isinstance(event, PartHead):
                self._begin(event)
            elif isinstance(event, PartData) and self._in_field >= 0:
                self._in_field -= len(event.data)
                if self._in_field < 0:
                    raise Fault("request.invalid", f"A field of the upload is over {_FIELD_BYTES} bytes.")

    def close(self) -> None:
        self._reader.close()
        if not self._file:
            raise Fault("request.invalid", "The upload has no file.")

    def _begin(self, head: PartHead) -> None:
        if head.name == "file" and head.filename is not None:
            self._file, self._in_field = True, -1
        elif head.name in self._known and head.filename is None:
            self._in_field = _FIELD_BYTES
        else:
            raise Fault("request.invalid", f"The upload has a field {quoted(head.name)} that is not passed on.")


async def passed_on(upload: Upload, reading: Reading) -> AsyncIterator[bytes]:
    """The body, piece by piece."""
    held = b""
    while data := await upload.read():
        reading.feed(data)
        if held:
            yield held
        held = data
    reading.close()
    yield held
