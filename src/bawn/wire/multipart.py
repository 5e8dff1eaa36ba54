"""`multipart/form-data` (RFC 7578, RFC 2046 §5.1) while it comes in: bytes in, parts out.

An upload is forwarded as it came and read along the way, so there must be one reading only: the body begins
with its boundary and ends with it, lines end in CR LF, each part says once what it is, and nothing is nested
or encoded. What real clients send fits; what two readers could see differently is refused.
"""

from __future__ import annotations

import re
from enum import Enum, auto

from bawn.errors import Fault, quoted
from bawn.terms.value import Value

MAX_PARTS = 64
MAX_HEAD_BYTES = 4096

_BOUNDARY = re.compile(rb'multipart/form-data\s*;\s*boundary=(?:"([^"]{1,70})"|([^\s";,]{1,70}))', re.IGNORECASE)
_SAFE_BOUNDARY = re.compile(rb"[A-Za-z0-9'()+_,./:=?-]{1,70}")
_TOKEN = re.compile(rb"[A-Za-z0-9'+_.-]{1,70}")
_DISPOSITION = re.compile(rb"form-data((?:\s*;\s*[a-z*]+=(?:\"[^\"\x00-\x1f]*\"|[^\s\";,]+))+)\s*", re.IGNORECASE)
_PARAMETER = re.compile(rb";\s*([a-z*]+)=(?:\"([^\"]*)\"|([^\s\";,]+))", re.IGNORECASE)


class PartHead(Value, frozen=True):
    """A part begins."""

    name: str
    filename: str | None
    """None for a plain field."""


class PartData(Value, frozen=True):
    """Bytes of the part that has begun last."""

    data: bytes


class PartEnd(Value, frozen=True):
    """That part is whole."""


Event = PartHead | PartData | PartEnd


class _Place(Enum):
    START = auto()
    HEAD = auto()
    FIRST = auto()
    """Behind a head, before the data."""
    BODY = auto()
    BETWEEN = auto()
    """Behind a boundary, where either a line end or the closing dashes stand."""
    END = auto()


def boundary_of(content_type: bytes) -> bytes:
    """The boundary that a Content-Type names. Fault `request.invalid`."""
    found = _BOUNDARY.fullmatch(content_type.strip())
    boundary = (found[1] or found[2]) if found else b""
    if not _SAFE_BOUNDARY.fullmatch(boundary):
        raise _refused("the Content-Type names no plain boundary")
    return boundary


def content_type_of(body: bytes) -> bytes:
    """The Content-Type of a body that was read: its boundary stands in its first line."""
    boundary = body[2 : body.index(b"\r\n")]
    return b"multipart/form-data; boundary=" + (boundary if _TOKEN.fullmatch(boundary) else b'"%b"' % boundary)


def with_value(body: bytes, name: str, value: bytes) -> bytes:
    """A body that was read, with another value of one plain field; every other part byte for byte."""
    delimiter = b"\r\n" + body[: body.index(b"\r\n")]
    if _CONTROL.search(value):
        raise _refused("a value cannot stand in it")
    # The split is the reader's: it took each delimiter for the end of a part, and the last for the end of all.
    pieces = (b"\r\n" + body).split(delimiter)
    for index, piece in enumerate(pieces[1:-1], 1):
        head = piece.partition(b"\r\n\r\n")[0]
        if _part_head(head[2:]).name == name:
            pieces[index] = head + b"\r\n\r\n" + value
            break
    else:
        pieces.insert(1, b'\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b' % (name.encode("ascii"), value))
    return delimiter.join(pieces)[2:]


class MultipartReader:
    """Reads one body. `feed` as it comes, then `close`; both raise Fault `request.invalid`."""

    __slots__ = ("_delimiter", "_held", "_names", "_parts", "_place")

    def __init__(self, boundary: bytes) -> None:
        self._delimiter = b"\r\n--" + boundary
        # As if a line had ended before the first byte, so that the first boundary is found like all others.
        self._held = b"\r\n"
        self._place = _Place.START
        self._parts = 0
        self._names: set[str] = set()

    def feed(self, data: bytes) -> list[Event]:
        """What is known now; the bytes of a part come as they are read."""
        self._held += data
        events: list[Event] = []
        while self._step(events):
            pass
        return events

    def close(self) -> None:
        """The body has ended."""
        if self._place is not _Place.END:
            raise _refused("it ends before its last boundary")

    def _step(self, events: list[Event]) -> bool:
        """Take one thing out of what is held; false when more has to come first."""
        match self._place:
            case _Place.START:
                return self._start()
            case _Place.HEAD:
                return self._head(events)
            case _Place.FIRST:
                return self._first()
            case _Place.BODY:
                return self._body(events)
            case _Place.BETWEEN:
                return self._between()
            case _Place.END:
                if self._held not in (b"", b"\r", b"\r\n"):
                    raise _refused("something follows its last boundary")
                return False

    def _start(self) -> bool:
        if len(self._held) < len(self._delimiter):
            if not self._delimiter.startswith(self._held):
                raise _refused("it does not begin with its boundary")
            return False
        if not self._held.startswith(self._delimiter):
            raise _refused("it does not begin with its boundary")
        self._held = self._held[len(self._delimiter) :]
        self._place = _Place.BETWEEN
        return True

    def _between(self) -> bool:
        if len(self._held) < 2:
            return False
        mark, self._held = self._held[:2], self._held[2:]
        if mark == b"--":
            if not self._parts:
                raise _refused("it has no parts")
            self._place = _Place.END
        elif mark == b"\r\n":
            self._place = _Place.HEAD
        else:
            raise _refused("a boundary goes on where it should end")
        return True

    def _head(self, events: list[Event]) -> bool:
        end = self._held.find(b"\r\n\r\n", 0, MAX_HEAD_BYTES + 4)
        if end == -1:
            if len(self._held) > MAX_HEAD_BYTES:
                raise _refused(f"the head of a part is over {MAX_HEAD_BYTES} bytes")
            return False
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise _refused(f"it has over {MAX_PARTS} parts")
        head = _part_head(self._held[:end])
        self._held = self._held[end + 4 :]
        if head.name in self._names and not head.name.endswith("[]"):
            raise _refused(f"the field {quoted(head.name)} comes twice")
        self._names.add(head.name)
        self._place = _Place.FIRST
        events.append(head)
        return True

    def _first(self) -> bool:
        """Some readers take a boundary right behind a head for the end of an empty part, others for its data."""
        boundary = self._delimiter[2:]
        if len(self._held) < len(boundary) and boundary.startswith(self._held):
            return False
        if self._held.startswith(boundary):
            raise _refused("a part ends without a line end before its boundary")
        self._place = _Place.BODY
        return True

    def _body(self, events: list[Event]) -> bool:
        end = self._held.find(self._delimiter)
        if end == -1:
            # Whatever could be the beginning of a boundary waits.
            sure = len(self._held) - len(self._delimiter) + 1
            if sure > 0:
                events.append(PartData(self._held[:sure]))
                self._held = self._held[sure:]
            return False
        if end:
            events.append(PartData(self._held[:end]))
        events.append(PartEnd())
        self._held = self._held[end + len(self._delimiter) :]
        self._place = _Place.BETWEEN
        return True


def _part_head(raw: bytes) -> PartHead:
    disposition = None
    seen: set[bytes] = set()
    for line in raw.split(b"\r\n"):
        name, colon, value = line.partition(b":")
        lowered = name.lower()
        if not colon or not _NAME.fullmatch(name) or _CONTROL.search(value) or lowered in seen:
            raise _refused("the head of a part cannot be read in one way")
        seen.add(lowered)
        if lowered == b"content-disposition":
            disposition = _DISPOSITION.fullmatch(value.strip())
        elif lowered == b"content-transfer-encoding":
            if value.strip().lower() not in (b"binary", b"8bit", b"7bit"):
                raise _refused("a part is encoded")
        elif lowered == b"content-type" and value.strip().lower().startswith(b"multipart/"):
            raise _refused("a part holds parts of its own")
    if disposition is None:
        raise _refused("a part does not say which field it is")
    found: dict[str, str] = {}
    for key, quoted_value, plain in _PARAMETER.findall(disposition[1]):
        named = key.decode("ascii").lower()
        if named in found or named not in ("name", "filename", "filename*"):
            raise _refused("a part names its field in two ways")
        found[named] = (quoted_value or plain).decode("utf-8", "replace")
    if not found.get("name") or ("filename" in found and "filename*" in found):
        raise _refused("a part does not say in one way which field it is")
    return PartHead(found["name"], found.get("filename", found.get("filename*")))


_NAME = re.compile(rb"[A-Za-z-]{1,64}")
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


def _refused(why: str) -> Fault:
    return Fault("request.invalid", f"The multipart body cannot be taken: {why}.")
