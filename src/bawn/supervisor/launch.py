"""The program between the supervisor and a service: `python -m bawn.supervisor.launch`.

It dies with its parent, drops every right, and becomes the service. When the interpreter, the sources or
the state lie beneath a folder that a service user may not enter (a home of mode 0700), it first covers
that folder, for this process alone, by an empty one in which only those paths stand. The alternative, opening
the operator's home to the service users, is not one.
"""

from __future__ import annotations

import json
import os
import resource
import stat
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path

from bawn.sandbox import kernel
from bawn.sandbox.python import environment, interpreter, source_root


@dataclass(frozen=True, slots=True)
class Launch:
    """How one service is started."""

    parent: int
    """The supervisor's pid: when it is gone already, nothing is started."""
    uid: int | None = None
    """None: stays who the supervisor is (rootless)."""
    gid: int | None = None
    readable: list[str] = field(default_factory=list)
    """Paths it must be able to read besides interpreter and sources."""
    writable: list[str] = field(default_factory=list)

    def argv(self, arguments: list[str]) -> list[str]:
        return [*interpreter(), "-m", "bawn.supervisor.launch", json.dumps(asdict(self)), *arguments]


def hidden_by(path: Path) -> Path | None:
    """The topmost folder on the way to `path` that strangers may not enter."""
    for folder in reversed(path.parents):
        try:
            if not folder.stat().st_mode & 0o001:
                return folder
        except OSError:
            return None
    return None


def needed(launch: Launch) -> dict[Path, bool]:
    """Every path to show, by whether it is writable; both as it is written and as it really is."""
    shown: dict[Path, bool] = {}
    interpreted = [
        sys.prefix,
        sys.base_prefix,
        sys.exec_prefix,
        str(source_root()),
        str(Path(sys.executable).resolve().parent.parent),
    ]
    for writable, paths in ((False, [*interpreted, *launch.readable]), (True, launch.writable)):
        for text in paths:
            for path in (Path(text), Path(text).resolve()):
                if path.exists():
                    shown[path] = writable
    return shown


def uncover(launch: Launch) -> None:
    covered: dict[Path, dict[Path, bool]] = {}
    for path, writable in needed(launch).items():
        cover = hidden_by(path)
        if cover is not None:
            covered.setdefault(cover, {})[path] = writable
    if not covered:
        return
    trees = {
        path: (kernel.detached(os.open(path, os.O_PATH | os.O_CLOEXEC)), writable)
        for paths in covered.values()
        for path, writable in sorted(paths.items())
    }
    kernel.unshare(kernel.NEW_NAMESPACE_MOUNT)
    kernel.mount("none", "/", "", kernel.MS_REC | kernel.MS_PRIVATE)
    for cover in covered:
        kernel.mount("tmpfs", str(cover), "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "mode=0755,size=1m")
    for path, (tree, writable) in sorted(trees.items()):
        if stat.S_ISDIR(os.fstat(tree).st_mode):
            path.mkdir(parents=True, exist_ok=True)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(exist_ok=True)
        kernel.restrict(
            tree, kernel.MOUNT_ATTR_NOSUID | kernel.MOUNT_ATTR_NODEV | (0 if writable else kernel.MOUNT_ATTR_RDONLY)
        )
        kernel.attach(tree, str(path))


def main() -> None:
    launch = Launch(**json.loads(sys.argv[1]))
    os.chdir("/")
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if launch.uid is not None and launch.gid is not None:
        os.umask(0o022)  # the folders on the way must be passable
        uncover(launch)
        os.setgroups([])
        os.setresgid(launch.gid, launch.gid, launch.gid)
        os.setresuid(launch.uid, launch.uid, launch.uid)
    os.umask(0o077)
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    # After the change of user, which clears it.
    kernel.prctl(kernel.PR_SET_PDEATHSIG, 9)
    if os.getppid() != launch.parent:
        sys.exit(1)
    program = interpreter()
    os.execve(program[0], [*program, *sys.argv[2:]], environment())  # noqa: S606 - argv, no shell


if __name__ == "__main__":
    main()
