"""What stands inside every box, whatever the runtime: names, users, the base environment.

`/etc/hosts` names the doors and nothing else, `/etc/resolv.conf` is empty and `nsswitch.conf` asks files
only, so that a name which is not a door fails at once instead of after a resolver's timeout.
"""

from __future__ import annotations

from collections.abc import Mapping

from bawn.adapters import installed
from bawn.sandbox.python import SYSTEM_PATH
from bawn.sandbox.spec import Spec
from bawn.sandbox.staging import AGENT
from bawn.terms.door import OPEN_NOW, PLACES, DoorKind, Place, exec_host

HOME = "/home/agent"
WORKSPACE = "/workspace"


def places() -> tuple[Place, ...]:
    return tuple(PLACES[kind] for kind in OPEN_NOW)


def files(spec: Spec, agent: int = AGENT) -> dict[str, str]:
    """Small files of the box by their path."""
    doors = "".join(f"{place.address}\t{' '.join((place.hostname, *place.further))}\n" for place in places())
    execs = "".join(f"{PLACES[DoorKind.EXEC].address}\t{exec_host(name)}\n" for name in spec.execs)
    return {
        "/etc/hosts": f"127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost\n127.0.1.1\t{spec.hostname}\n{doors}{execs}",
        "/etc/hostname": f"{spec.hostname}\n",
        "/etc/resolv.conf": "",
        "/etc/nsswitch.conf": "passwd: files\ngroup: files\nshadow: files\nhosts: files\nservices: files\nprotocols: files\n",
        "/etc/passwd": (
            f"root:x:0:0:root:/root:/usr/sbin/nologin\nagent:x:{agent}:{agent}:agent:{HOME}:/bin/bash\n"
            "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
        ),
        "/etc/group": f"root:x:0:\nagent:x:{agent}:\nnogroup:x:65534:\n",
        **installed.files(spec.adapters),
    }


def environment(spec: Spec, further: Mapping[str, str] | None = None, *, tty: bool = False) -> dict[str, str]:
    """All of a command's environment: ours, then the container's, then the command's own."""
    base = {
        "PATH": SYSTEM_PATH,
        "HOME": HOME,
        "USER": "agent",
        "LOGNAME": "agent",
        "SHELL": "/bin/bash",
        "LANG": "C.UTF-8",
        "HOSTNAME": spec.hostname,
        "TMPDIR": "/tmp",
    }
    if tty:
        base["TERM"] = "xterm-256color"
    return base | dict(spec.env) | dict(further or {})
