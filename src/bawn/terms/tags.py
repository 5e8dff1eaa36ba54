"""Tags that an agent gives its conversation beside the body."""

from __future__ import annotations

import re

HEADER = b"x-bawn-tags"
MOST = 32
"""Of one request; further ones are not read."""
_TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}\Z")


def named(header: bytes) -> frozenset[str]:
    """The tags of such a header; what is no tag is left out."""
    words = (each.strip() for each in header.decode("ascii", "replace").split(",")[:MOST])
    return frozenset(each for each in words if _TAG.match(each))
