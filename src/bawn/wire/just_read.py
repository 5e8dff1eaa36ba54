"""What was read last, for whoever reads the same bytes next.

A body is read by its wire, and mostly a moment later by whoever looks at the conversation in it. The first reader changes
nothing of the value and leaves it here; the next one takes it, and then it is gone, since what is taken may be changed.
"""

from __future__ import annotations

from typing import Any

LONGEST = 2**20
"""Bytes of a body whose value may stay until the next one is read."""
_left: list[tuple[bytes, dict[str, Any]]] = []


def leave(body: bytes, value: dict[str, Any]) -> None:
    """`value` is what `body` says, and nobody keeps or changes any of it."""
    _left.clear()
    if len(body) <= LONGEST:
        _left.append((body, value))


def taken(body: bytes) -> dict[str, Any] | None:
    """What these very bytes were read as, if that was the last that was read; the caller's own from now on."""
    try:
        was, value = _left.pop()
    except IndexError:
        return None
    return value if was is body else None
