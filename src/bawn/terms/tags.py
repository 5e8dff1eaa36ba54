"""Tags that an agent gives its conversation beside the body."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

HEADER = b"x-bawn-tags"
MOST_NAMED = 32
"""Of one request; further ones are not read."""
_LONGEST = 4096
_TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}\Z")


def named(header: bytes) -> frozenset[str]:
    """The tags of such a header; what is no tag is left out."""
    return _named(header[:_LONGEST])


@lru_cache(1024)
def _named(header: bytes) -> frozenset[str]:
    words = (each.strip() for each in header.decode("ascii", "replace").split(",")[:MOST_NAMED])
    return frozenset(each for each in words if _TAG.match(each))


def header(tags: Sequence[str]) -> bytes:
    """Such a header of tags that were named otherwise; those that are none are left out."""
    sound = [each for each in map(str.strip, tags[:MOST_NAMED]) if _TAG.match(each)]
    return ",".join(sound).encode("ascii")
