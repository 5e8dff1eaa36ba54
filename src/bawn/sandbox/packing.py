"""Makes a pack of a folder, or a folder of a pack, in a process of its own (`python -m bawn.sandbox.packing`)."""

from __future__ import annotations

import os

from bawn.sandbox import kernel
from bawn.sandbox.changes import left_out
from bawn.sandbox.inside import become
from bawn.sandbox.pack import Owner, Pack, pack, unpack
from bawn.sandbox.talk import Asked, Talk, converse
from bawn.sandbox.tree import FILE


def act(asked: Asked, talk: Talk) -> None:
    os.umask(0o077)
    if asked["act"] == "pack":
        skipped: list[str] = []

        def skip(path: str) -> bool:
            if path in stand_ins:
                return True
            if asked["without_credentials"] and left_out(path):
                skipped.append(path)
                return True
            return False

        stand_ins = frozenset(asked["stand_ins"])
        entries = pack(asked["from"], asked["to"], skip)
        files = [entry for entry in entries if entry.kind == FILE]
        size = sum(entry.size for entry in files if not entry.same_as)
        talk.say(ok=True, files=len(files), size_bytes=size, left_out=sorted(skipped)[:50])
        return
    owner = asked["owner"]
    if asked["uid"] is not None:
        # Into a folder of the box: what the agent could not make there is not made for it.
        kept = Pack.of(asked["from"])
        become(asked["uid"])
        unpack(kept, asked["to"], owners=False)
    else:
        unpack(Pack.of(asked["from"]), asked["to"], owners=os.geteuid() == 0, owner=Owner(*owner) if owner else None)
    talk.say(ok=True)


if __name__ == "__main__":
    kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
    converse(act)
