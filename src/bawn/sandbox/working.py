"""The box of a script worker: what stands in it, and nothing else. Data and options; the supervisor starts it.

As root, `staging` shows each folder in a private mount namespace, its owner mapped to a uid that this worker alone has, and
bubblewrap is called as that uid: workers share no uid with each other, a container or a person, whoever owns the
files on disk. As an ordinary user bubblewrap binds the folders themselves.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bawn.errors import Fault
from bawn.sandbox import python
from bawn.sandbox.bundle import HOST_FILES, HOST_FOLDERS
from bawn.sandbox.staging import STAGE

WORKER_UIDS = 0x7FF00000
"""The first of the uids that workers have on the host, above those of containers."""
COUNT_LIMIT = 256
AGENT = 1000
_ENTER = """
import os, sys
for fd in filter(None, sys.argv[1].split(",")):
    os.write(int(fd), b"0")
os.execv(sys.argv[2], sys.argv[2:])
"""
"""Joins control groups, then becomes what follows; for an ordinary user, who needs no stage."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A folder of the host, opened already, and where it stands in the box."""

    place: str
    descriptor: int
    writable: bool = False


def opened(folder: Path, *parts: str, owner: int) -> int:
    """A folder beneath `folder`, opened name by name: no link is followed, and each on the way is of root or of `owner`."""
    held = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in parts:
            inner = os.open(part, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=held)
            os.close(held)
            held = inner
            if os.fstat(held).st_uid not in (0, os.geteuid(), owner):
                raise Fault("sandbox.invalid", f"the folder {part} belongs to somebody else")
    except NotADirectoryError:
        os.close(held)
        raise Fault("sandbox.invalid", f"{'/'.join(parts)} is no folder") from None
    except FileNotFoundError:
        os.close(held)
        raise Fault("sandbox.invalid", f"the folder {'/'.join(parts)} is missing") from None
    except BaseException:
        os.close(held)
        raise
    return held


def interpreted() -> list[str]:
    """The folders of the interpreter and of our sources that are not among the host's own programs."""
    wanted = {sys.prefix, sys.base_prefix, sys.exec_prefix, str(Path(sys.executable).resolve().parent.parent)}
    wanted |= {str(python.source_root())}
    inside = tuple(f"{name}/" for name in HOST_FOLDERS)
    kept = sorted(path for path in wanted if path not in HOST_FOLDERS and not path.startswith(inside))
    # One that stands in another comes with it.
    return [path for path in kept if not any(path.startswith(f"{other}/") for other in kept if other != path)]


def options(
    sources: Mapping[str, tuple[str, bool]],
    *,
    hostname: str,
    scratch_bytes: int,
    filter_fd: int | None,
    further: Sequence[str] = (),
) -> list[str]:
    """Bubblewrap's options. `sources`: where each place of the box comes from, and whether it may be written."""
    command = [
        "--unshare-all", "--unshare-user", "--disable-userns", "--uid", str(AGENT), "--gid", str(AGENT),
        "--hostname", hostname, "--new-session", "--die-with-parent", "--cap-drop", "ALL", "--clearenv",
    ]  # fmt: skip
    if filter_fd is not None:
        command += ["--seccomp", str(filter_fd)]
    for name in HOST_FOLDERS:
        path = Path(name)
        if path.is_symlink():
            command += ["--symlink", str(path.readlink()), name]
        elif path.is_dir():
            command += ["--ro-bind", name, name]
    command += ["--dir", "/etc"]
    for name in HOST_FILES:
        if Path(name).exists():
            command += ["--ro-bind", name, name]
    command += ["--proc", "/proc", "--dev", "/dev", "--remount-ro", "/dev"]
    command += ["--perms", "1777", "--size", str(scratch_bytes), "--tmpfs", "/tmp"]
    for place, (source, writable) in sorted(sources.items()):
        command += ["--bind" if writable else "--ro-bind", source, place]
    command += [*further, "--remount-ro", "/", "--chdir", "/tmp"]
    for name, value in python.environment().items():
        command += ["--setenv", name, value]
    return [*command, "--setenv", "HOME", "/tmp"]


def sources(shown: Sequence[Shown], *, staged: bool) -> dict[str, tuple[str, bool]]:
    """For `options`: beneath STAGE where there is a stage, else the folders as they were opened."""
    found: dict[str, tuple[str, bool]] = {}
    for number, each in enumerate(shown):
        real = os.readlink(f"/proc/self/fd/{each.descriptor}")  # noqa: PTH115 - a descriptor
        found[each.place] = (f"{STAGE}/{number}" if staged else real, each.writable)
    for number, path in enumerate(interpreted()):
        found[path] = (f"{STAGE}/python{number}" if staged else path, False)
    return found


def entering(groups: Sequence[int], command: Sequence[str]) -> list[str]:
    """The command of an ordinary user, which joins the groups first."""
    return [sys.executable, "-I", "-S", "-c", _ENTER, ",".join(map(str, groups)), *command]


def reason(code: int, limits_bitten: Mapping[str, int]) -> str:
    """Why a worker ended, for a person."""
    if limits_bitten.get("memory_bytes"):
        return "it used more memory than its limit"
    number = code - 128 if code > 128 else -code
    if number > 0 and code != 0:
        return f"it was killed by signal {number}"
    return f"it ended with status {code}"
