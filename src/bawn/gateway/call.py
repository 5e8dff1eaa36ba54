"""A call as it came in by a door, before anybody believes it."""

from __future__ import annotations

import itertools
import os

from bawn.terms.door import Door
from bawn.terms.value import Value
from bawn.terms.way import Way
from bawn.wire import Route

_run = os.urandom(5).hex()
_count = itertools.count(1)


def new_call_id() -> str:
    """An id that joins all records of one call: unique over restarts, increasing within one."""
    return f"call_{_run}{next(_count):08x}"


class RawCall(Value, frozen=True):
    """One HTTP request of a door, framed and limited, otherwise as sent."""

    id: str
    door: Door
    method: str
    path: bytes
    route: Route
    claim: str
    """The token that was sent: what the caller says to be, compared with the door and otherwise worth nothing."""
    headers: tuple[tuple[bytes, bytes], ...]
    """Names in lower case, in the order sent."""
    body: bytes
    received: float
    """Monotonic seconds when its last byte was there."""
    way: Way | None = None
    """For a call that a script makes in the place of another: which scripts are still before it."""
    parent: str = ""
    """The id of that other call."""

    def header(self, name: bytes) -> bytes:
        """The first value of a header, or empty."""
        for key, value in self.headers:
            if key == name:
                return value
        return b""
