"""As whom commands of rules may run on the host itself: nobody, unless the operator's file names a user.

The supervisor does not ask the gateway, which has fewer rights than it and must not be able to give itself more. It reads
`rules.host_user` of `bawn.yaml` once, when it starts, by a program of its own that has no rights at all: the file is read there
by the same reader as everywhere, and the supervisor gets one name.
"""

from __future__ import annotations

import os
import pwd
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path

from bawn.errors import Fault, quoted
from bawn.sandbox import working
from bawn.sandbox.python import environment
from bawn.supervisor.launch import Launch
from bawn.supervisor.users import AUDIT, EGRESS, GATEWAY, SCRIPTS

KEY = "rules.host_user"
READER_UID = working.WORKER_UIDS + working.COUNT_LIMIT + 64
"""Of nobody else, behind those of workers and of the commands of rules in boxes."""
_READ_S = 60.0


@dataclass(frozen=True, slots=True)
class HostUser:
    name: str
    uid: int
    gid: int
    groups: list[int]
    home: str


def host_user(config: Path, *, rootless: bool) -> HostUser | None:
    """The user of the configuration, None where it names none. Fault `config.invalid` for one who cannot be meant, and where
    others could write the file."""
    try:
        if b"host_user" not in config.read_bytes():
            return None  # the file is read twice only where that can make a difference
    except OSError:
        return None  # the gateway says what is wrong with it
    name = _read(config, rootless=rootless)
    if not name:
        return None
    _nobody_else_writes(config)
    return _user(name, rootless=rootless)


def _read(config: Path, *, rootless: bool) -> str:
    nobody = None if rootless else READER_UID
    launch = Launch(os.getpid(), nobody, nobody, readable=[str(config)])
    try:
        done = subprocess.run(
            launch.argv(["-m", "bawn.app", "config", "host-user", str(config)]),
            env=environment(),
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=_READ_S,
        )
    except subprocess.TimeoutExpired:
        raise _refused("could not be read in time") from None
    if done.returncode:
        raise Fault("config.invalid", f"{KEY} could not be read", cause=done.stderr.strip()[-2000:])
    return done.stdout.strip()


def _nobody_else_writes(config: Path) -> None:
    for path in (config.resolve(), config.resolve().parent, config.absolute().parent):
        found = path.stat()
        open_ = found.st_mode & 0o022 and not (stat.S_ISDIR(found.st_mode) and found.st_mode & stat.S_ISVTX)
        if found.st_uid not in (0, os.geteuid()) or open_:
            raise _refused(f"is not taken from {path}, which others than you may write")


def _user(name: str, *, rootless: bool) -> HostUser:
    try:
        found = pwd.getpwnam(name)
    except KeyError:
        raise _refused(f"names {quoted(name)}, and there is no such user on this host") from None
    if name in (GATEWAY, AUDIT, EGRESS, SCRIPTS):
        raise _refused(f"must not be {name}, a user of Bawn's own processes")
    if found.pw_uid == 0 and name != "root":
        raise _refused(f"names {quoted(name)}, who is root: whoever means that writes root")
    if rootless and found.pw_uid != os.geteuid():
        raise _refused(f"names {quoted(name)}, and without root commands can only run as who started Bawn")
    return HostUser(name, found.pw_uid, found.pw_gid, os.getgrouplist(name, found.pw_gid), found.pw_dir)


def _refused(because: str) -> Fault:
    remedy = f"Name an ordinary user of this host in {KEY}, or take the key out."
    return Fault("config.invalid", f"{KEY} {because}", remedy=remedy)
