"""The system users of the services, made when they are missing."""

from __future__ import annotations

import pwd
import subprocess
from dataclasses import dataclass

from bawn.errors import Fault
from bawn.sandbox.python import environment

GATEWAY, AUDIT, EGRESS, SCRIPTS = "bawn", "bawn-audit", "bawn-egress", "bawn-scripts"


@dataclass(frozen=True, slots=True)
class User:
    uid: int
    gid: int


def system_user(name: str) -> User:
    """The user, created with `useradd --system` if there is none."""
    try:
        found = pwd.getpwnam(name)
    except KeyError:
        argv = [
            "/usr/sbin/useradd",
            "--system",
            "--user-group",
            "--no-create-home",
            "--home-dir",
            "/nonexistent",
            "--shell",
            "/usr/sbin/nologin",
            name,
        ]
        made = subprocess.run(argv, capture_output=True, text=True, env=environment(), check=False)
        if made.returncode != 0:
            raise Fault(
                "config.invalid", f"the system user {name} is missing and could not be made", cause=made.stderr.strip()
            ) from None
        found = pwd.getpwnam(name)
    return User(found.pw_uid, found.pw_gid)
