"""Tags that an agent gives its conversation beside the body."""

from __future__ import annotations

import re
from functools import lru_cache

HEADER = b"x-bawn-tags"
MOST_NAMED = 32
"""Of one request; further ones are not read."""
_LONGEST = 4096
_TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}\Z")


@lru_cache(4096)
def named(header: bytes) -> frozenset[str]:
    """The tags of such a header; what is no tag is left out."""
    words = (each.strip() for each in header[:_LONGEST].decode("ascii", "replace").split(",")[:MOST_NAMED])
    return frozenset(each for each in words if _TAG.match(each))
