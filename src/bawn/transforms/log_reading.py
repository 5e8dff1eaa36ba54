"""The request log read again: the calls of one conversation, in the order in which they came.

Lines are looked through for the name of the conversation before they are decoded, so that reading much of what others said
costs little. A line that cannot be read is left out and counted; how much is read at most is said by whoever asks.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
from msgspec import Raw, Struct

_LONGEST = 32 * 2**20
"""Bytes of a line; a longer one is not looked at."""


class Logged(Struct, frozen=True):
    """What a line tells of a call, as far as it is told again. `LogStage` writes it."""

    time: datetime
    """When it was over."""
    call: str
    session: str
    container: str
    number: int
    project: str
    uuid: str
    wire: str
    endpoint: str
    model: str
    stream: bool
    depth: int
    status: int
    outcome: str
    total_ms: int
    tags: tuple[str, ...] = ()
    request: Raw = Raw(b"null")
    answer: Raw = Raw(b"null")
    earlier: tuple[Raw, ...] = ()

    @property
    def began(self) -> datetime:
        return self.time - timedelta(milliseconds=self.total_ms)

    @property
    def body(self) -> bytes | None:
        """The request as JSON; None where it is not here whole."""
        return _whole(self.request)

    @property
    def said(self) -> tuple[bytes, ...] | None:
        """What the model answered as JSON: several times where it was told of refusals in between. None where that is not
        here whole."""
        answers = [_whole(each) for each in (*self.earlier, self.answer)]
        whole = tuple(each for each in answers if each is not None)
        return whole if len(whole) == len(answers) else None


class Reading(Struct):
    """What was found of one conversation."""

    calls: list[Logged] = msgspec.field(default_factory=list)
    containers: dict[str, str] = msgspec.field(default_factory=dict)
    """The names of all in which there is a conversation of this name, by uuid."""
    broken: int = 0
    """Lines that could not be read."""
    more: bool = False
    """Whether there are more calls than were read."""


class _Cut(Struct, frozen=True, forbid_unknown_fields=True):
    """How a body is told that is not there as the value that it is; see `log.body_told`."""

    bytes: int
    begin: str | None = None
    text: str | None = None


_logged = msgspec.json.Decoder(Logged).decode
_cut = msgspec.json.Decoder(_Cut).decode


def read(
    folder: Path,
    session: str,
    container: str | None,
    most_calls: int,
    most_bytes: int,
    since: datetime | None = None,
) -> Reading:
    """The first calls of a conversation, or the first from a moment on, those of Bawn itself left out. `container`: a name or
    uuid, where agents in several containers may have named theirs alike."""
    found = Reading()
    # Its name stands so in each of its lines; whether it stands there as its name is seen when the line is decoded.
    needle = b'"session":' + msgspec.json.encode(session)
    seen: set[str] = set()
    size = 0
    for path in sorted(folder.glob("*.jsonl")):  # older files have a stamp behind the name, and `-` comes before `.`
        for line in _lines(path):
            if not line.startswith(b"{") or not line.endswith(b"}\n"):
                found.broken += 1
                continue
            if needle not in line:
                continue
            try:
                logged = _logged(line)
            except msgspec.MsgspecError:
                found.broken += 1
                continue
            if logged.session != session or logged.depth or logged.call in seen:
                continue
            found.containers[logged.uuid] = logged.container
            if container not in (None, logged.container, logged.uuid):
                continue
            if since is not None and logged.began < since:
                continue
            if len(found.calls) >= most_calls or size + len(line) > most_bytes:
                found.more = True
                continue
            seen.add(logged.call)
            size += len(line)
            found.calls.append(logged)
    found.calls.sort(key=lambda logged: logged.began)
    return found


def _lines(path: Path) -> Iterator[bytes]:
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            while line := file.readline(_LONGEST):
                yield line


def _whole(body: Raw) -> bytes | None:
    raw = bytes(body)
    if not raw.startswith(b"{"):
        return None
    try:
        _cut(raw)
    except msgspec.MsgspecError:
        return raw
    return None


def no_lines(folder: Path) -> bool:
    """Whether nothing is logged at all."""
    return not any(folder.glob("*.jsonl"))
