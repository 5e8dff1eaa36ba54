"""As whom commands of rules may run on the host itself: nobody, unless the operator's file names a user.

The supervisor does not ask the gateway, which has fewer rights than it and must not be able to give itself more. It reads
`rules.host_user` of `bawn.yaml` once, when it starts, by a program of its own that has no rights at all: the file is read there
by the same reader as everywhere, and the supervisor gets one name. The file is opened once: what is read is what was looked at,
wherever its name leads in the next moment.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import stat
import subprocess
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

from bawn.errors import Fault, quoted
from bawn.sandbox import working
from bawn.sandbox.python import environment
from bawn.sandbox.staging import AGENT_UIDS
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
        file = config.open("rb", buffering=0)  # so that the reader finds it where it is
    except OSError:
        return None  # the gateway says what is wrong with it
    with file:
        try:
            if b"host_user" not in file.read():
                return None  # the file is read twice only where that can make a difference
        except OSError:
            return None
        others = _written_by_others(config, file.fileno())
        file.seek(0)
        name = _read(config, file, rootless=rootless)
    if not name:
        return None
    if others:
        raise _refused(f"is not taken from {others}, which others than you may write")
    return _user(name, rootless=rootless)


def _read(config: Path, file: FileIO, *, rootless: bool) -> str:
    nobody = None if rootless else READER_UID
    launch = Launch(os.getpid(), nobody, nobody)
    try:
        done = subprocess.run(
            launch.argv(["-m", "bawn.app", "config", "host-user", config.name]),
            env=environment(),
            cwd="/",
            stdin=file,
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


def _written_by_others(config: Path, opened: int) -> str:
    """Which of the open file, its folder and the folder of its name others may write; empty: none."""
    real = Path(f"/proc/self/fd/{opened}").readlink()
    for path, look in (
        (real, opened),
        (real.parent, real.parent),
        (config.absolute().parent, config.absolute().parent),
    ):
        try:
            found = os.stat(look)  # noqa: PTH116 - of a descriptor as well
        except OSError:
            return str(path)
        open_ = found.st_mode & 0o022 and not (stat.S_ISDIR(found.st_mode) and found.st_mode & stat.S_ISVTX)
        if found.st_uid not in (0, os.geteuid()) or open_:
            return str(path)
    return ""


def _user(name: str, *, rootless: bool) -> HostUser:
    try:
        found = pwd.getpwnam(name)
    except KeyError:
        raise _refused(f"names {quoted(name)}, and there is no such user on this host") from None
    if found.pw_uid >= AGENT_UIDS or found.pw_uid in _own_uids():  # another name of theirs is the same user
        raise _refused(f"must not be {name}, a user of Bawn's own processes")
    if found.pw_uid == 0 and name != "root":
        raise _refused(f"names {quoted(name)}, who is root: whoever means that writes root")
    if rootless and found.pw_uid != os.geteuid():
        raise _refused(f"names {quoted(name)}, and without root commands can only run as who started Bawn")
    return HostUser(name, found.pw_uid, found.pw_gid, os.getgrouplist(name, found.pw_gid), found.pw_dir)


def _own_uids() -> set[int]:
    found = set()
    for name in (GATEWAY, AUDIT, EGRESS, SCRIPTS):
        with contextlib.suppress(KeyError):
            found.add(pwd.getpwnam(name).pw_uid)
    return found


def _refused(because: str) -> Fault:
    remedy = f"Name an ordinary user of this host in {KEY}, or take the key out."
    return Fault("config.invalid", f"{KEY} {because}", remedy=remedy)
