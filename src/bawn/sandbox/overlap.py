"""No folder of the host is in two living boxes: a socket or a pipe in it would join them.

Folders are compared by what they are (device and inode, with all folders above), not by how they are written: the host
may have mounted one folder in two places.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path

from bawn.errors import Fault
from bawn.sandbox.attested import Attested
from bawn.sandbox.spec import Spec

Identity = tuple[int, int]


def refuse_shared(spec: Spec, others: Iterable[tuple[Spec, Attested | None]]) -> None:
    """`sandbox.mount_taken` when the folder of `spec` is, holds, or lies in that of a box that lives."""
    if spec.workspace is None:
        return
    own = way(spec.workspace)
    for other, box in others:
        if other.workspace is None or other.uuid == spec.uuid:
            continue
        theirs = way(other.workspace)
        if box is not None:
            # What the box really holds, should the folder have been moved since.
            with contextlib.suppress(OSError):
                seen = Path(f"/proc/{box.pid}/root{other.place}").stat()
                theirs[0] = (seen.st_dev, seen.st_ino)
        if own[0] in theirs or theirs[0] in own:
            how = "is" if own[0] == theirs[0] else "overlaps"
            raise Fault(
                "sandbox.mount_taken",
                f"{spec.workspace} {how} the workspace of the container {other.name}, which runs",
                remedy=f"Stop {other.name} first, or take a folder of its own: what two containers share joins them.",
            )


def way(path: str) -> list[Identity]:
    """The folder and all above it, as device and inode; a folder that is gone is nothing."""
    found: list[Identity] = []
    for place in (Path(path), *Path(path).parents):
        try:
            seen = place.stat()
        except OSError:
            found.append((-1, hash(place)))
        else:
            found.append((seen.st_dev, seen.st_ino))
    return found
