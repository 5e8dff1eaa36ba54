"""The program between the supervisor and a runtime: a private mount namespace in which things stand where only this
container finds them (`python -m bawn.sandbox.staging`, root only).

Whose files are the workspace's? Inside, the agent is uid 1000; outside, it is a uid that nobody else has
(`AGENT_UIDS` + the container's number), so that boxes share no uid with each other or with a person, and
limits by uid are limits of one box. The folder is shown to it by an *idmapped mount*: the folder's owner
and that uid are seen as one, in both directions. What the agent writes belongs, on disk, to the folder's
owner; nothing is chowned; files of other owners in the folder are foreign to the agent. Without
root (`bawn` as an ordinary user) no such mount is needed: the agent *is* the user, mapped to 1000.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace

from bawn.sandbox import kernel
from bawn.sandbox.guarding import EMPTY_FOLDER, ITSELF, OPEN_FOLDER, READ_ONLY, SCRATCH
from bawn.sandbox.netns import raise_loopback
from bawn.sandbox.python import interpreter

AGENT_UIDS = 0x70000000
"""The first of the uids that systemd's documentation calls unused (1879048192 to 2147483647)."""
STAGE = "/mnt"
"""Covered by a small tmpfs in the private namespace; the host's own /mnt is not touched."""
WORKSPACE = f"{STAGE}/workspace"
NOBODY = 65534
AGENT = 1000
"""Uid and gid of the agent inside."""


def agent_uid(number: int) -> int:
    """The uid that this container's agent has on the host when the supervisor is root."""
    return AGENT_UIDS + number


def root_uid(number: int) -> int:
    """The uid of this container's root, which owns nothing and is only what makes the box: above all agents'."""
    return AGENT_UIDS + (1 << 27) + number


@dataclass(frozen=True, slots=True)
class Stage:
    """What is to stand where, before the runtime is called."""

    uid: int
    """The agent's uid on the host."""
    workspace_fd: int | None = None
    """The folder, opened without following links."""
    trees: Mapping[str, str] = field(default_factory=dict)
    """Folders of the host to show read-only under STAGE, by name."""
    owned: Mapping[str, tuple[int, bool]] = field(default_factory=dict)
    """Folders by descriptor, to show by name under STAGE with their owner seen as `uid`, and whether they may be written."""
    covers: list[tuple[str, str]] = field(default_factory=list)
    """What is mounted over paths of the workspace, and by what (`guarding.Cover`)."""
    scratch_bytes: int = 1 << 30
    only_cgroup2: bool = False
    """Shows the runtime a host that has cgroup2 alone, which crun insists on."""
    become_agent: bool = False
    """Whether the runtime is called as the agent's uid instead of root."""
    root_passes: bool = False
    """Whether who makes files in the workspace for the agent is root (gVisor's gofer)."""
    groups: list[int] = field(default_factory=list)
    """Descriptors of `cgroup.procs`: the runtime, and all it starts, is in these groups."""
    own_network: bool = False
    """Whether the runtime is called in a network namespace of its own, which becomes the box's."""
    open_files: int = 4096
    own_user: bool = False
    """Whether who calls is an ordinary user, who may mount only in a user namespace of their own; root of it is they."""

    def argv(self, command: list[str]) -> list[str]:
        return [*interpreter(), "-m", "bawn.sandbox.staging", json.dumps(asdict(self)), *command]


def set_up(stage: Stage) -> None:
    if stage.own_user:
        stage = in_own_user_namespace(stage)
    trees = {name: kernel.detached(_opened(path)) for name, path in stage.trees.items()}
    folder = None if stage.workspace_fd is None else kernel.detached(stage.workspace_fd)
    owned = {name: (kernel.detached(fd), fd, writable) for name, (fd, writable) in stage.owned.items()}
    kernel.unshare(kernel.NEW_NAMESPACE_MOUNT)
    kernel.mount("none", "/", "", kernel.MS_REC | kernel.MS_PRIVATE)
    kernel.mount("tmpfs", STAGE, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "mode=0755,size=1m")
    for name, tree in trees.items():
        kernel.restrict(tree, kernel.MOUNT_ATTR_RDONLY | kernel.MOUNT_ATTR_NODEV | kernel.MOUNT_ATTR_NOSUID)
        _attach(tree, f"{STAGE}/{name}")
    for name, (tree, fd, writable) in owned.items():
        owner = os.fstat(fd)
        mapping = None if stage.own_user else owner_mapping(owner.st_uid, owner.st_gid, stage.uid)
        closed = kernel.MOUNT_ATTR_NODEV | kernel.MOUNT_ATTR_NOSUID | (0 if writable else kernel.MOUNT_ATTR_RDONLY)
        kernel.restrict(tree, closed, mapping)
        _attach(tree, f"{STAGE}/{name}")
        os.set_inheritable(fd, False)  # as below
        if mapping is not None:
            os.close(mapping)
    if folder is not None and stage.workspace_fd is not None:
        owner = os.fstat(stage.workspace_fd)
        mapping = None  # whose files the folder's are is no question where there is one user
        if not stage.own_user:
            mapping = owner_mapping(owner.st_uid, owner.st_gid, stage.uid, root_passes=stage.root_passes)
        kernel.restrict(folder, kernel.MOUNT_ATTR_NODEV | kernel.MOUNT_ATTR_NOSUID, mapping)
        _attach(folder, WORKSPACE)
        cover(stage)
        # A descriptor of the folder as the host sees it, inherited, would be a way out of the box by "..".
        os.set_inheritable(stage.workspace_fd, False)
    if stage.own_network:
        kernel.unshare(kernel.NEW_NAMESPACE_NET)
        raise_loopback()
    if stage.only_cgroup2:
        if stage.own_user:
            # What came with the namespace cannot be taken away, but covered.
            kernel.mount("tmpfs", "/sys/fs/cgroup", "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV)
        else:
            kernel.umount("/sys/fs/cgroup")
        kernel.mount("cgroup2", "/sys/fs/cgroup", "cgroup2", 0)


def in_own_user_namespace(stage: Stage) -> Stage:
    """Becomes root of a namespace in which there is nobody else; the stage as it is seen there."""
    user, group = os.geteuid(), os.getegid()
    kernel.unshare(kernel.NEW_NAMESPACE_USER | kernel.NEW_NAMESPACE_MOUNT | kernel.NEW_NAMESPACE_CGROUP)
    for name, line in (("setgroups", "deny"), ("uid_map", f"0 {user} 1"), ("gid_map", f"0 {group} 1")):
        fd = os.open(f"/proc/self/{name}", os.O_WRONLY)
        os.write(fd, line.encode())
        os.close(fd)
    if stage.workspace_fd is None:
        return stage
    # A mount of before cannot be copied here. The same folder is looked up again, and has to be the same.
    path = os.readlink(f"/proc/self/fd/{stage.workspace_fd}")  # noqa: PTH115 - see _attach
    again = kernel.open_without_symlinks(path, os.O_PATH | os.O_DIRECTORY)
    meant, seen = os.fstat(stage.workspace_fd), os.fstat(again)
    os.close(stage.workspace_fd)
    if (meant.st_dev, meant.st_ino) != (seen.st_dev, seen.st_ino):
        raise OSError(0, "the workspace was exchanged while the container was made")
    return replace(stage, workspace_fd=again)


def cover(stage: Stage) -> None:
    """Mounts over parts of the workspace, each by descriptor. They go with it into the box, where none can be undone."""
    top = os.open(WORKSPACE, os.O_PATH | os.O_DIRECTORY)
    empty_file = f"{STAGE}/empty-file"
    empty_folders = {EMPTY_FOLDER: f"{STAGE}/empty-folder", OPEN_FOLDER: f"{STAGE}/open-folder"}
    os.close(os.open(empty_file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o444))
    for kind, place in empty_folders.items():
        os.mkdir(place)  # noqa: PTH102 - see _attach
        os.chmod(place, 0o555 if kind == OPEN_FOLDER else 0)  # noqa: PTH101 - see _attach
    closed = kernel.MOUNT_ATTR_NODEV | kernel.MOUNT_ATTR_NOSUID
    for number, (path, by) in enumerate(stage.covers):
        target = kernel.open_beneath(top, path, os.O_PATH, same_mount=False)
        if by in (ITSELF, READ_ONLY):
            tree = kernel.detached(target)
        elif by == SCRATCH:
            place = f"{STAGE}/scratch-{number}"
            os.mkdir(place)  # noqa: PTH102 - see _attach
            owner = f"uid={stage.uid},gid={stage.uid},mode=0755,size={stage.scratch_bytes}"
            kernel.mount("tmpfs", place, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, owner)
            tree = kernel.detached(_opened(place))
        else:
            source = empty_folders.get(by, empty_file)
            tree = kernel.detached(os.open(source, os.O_PATH | os.O_CLOEXEC))
        kernel.restrict(tree, closed | (0 if by in (ITSELF, SCRATCH) else kernel.MOUNT_ATTR_RDONLY))
        kernel.attach_at(tree, target)
        os.close(tree)
        os.close(target)
    os.close(top)


def owner_mapping(owner: int, group: int, uid: int, *, root_passes: bool = False) -> int:
    """A user namespace whose one mapping says: the folder's owner is the agent. With `root_passes`, a second one lets
    root make what it gives to the agent at once, and belongs to nobody until then."""
    ready_r, ready_w = os.pipe()
    child = os.fork()
    if child == 0:
        kernel.unshare(kernel.NEW_NAMESPACE_USER)
        os.write(ready_w, b".")
        signal.pause()
    os.close(ready_w)
    try:
        os.read(ready_r, 1)
        for name, inside in (("uid_map", owner), ("gid_map", group)):
            fd = os.open(f"/proc/{child}/{name}", os.O_WRONLY)
            spare = NOBODY if inside != NOBODY else NOBODY - 1
            os.write(fd, (f"{inside} {uid} 1\n" + (f"{spare} 0 1\n" if root_passes else "")).encode())
            os.close(fd)
        return os.open(f"/proc/{child}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(ready_r)


def become(uid: int, open_files: int) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (open_files, open_files))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)


def _opened(path: str) -> int:
    return os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


def _attach(tree: int, target: str) -> None:
    os.mkdir(target)  # noqa: PTH102 - plain strings and descriptors throughout this program
    kernel.attach(tree, target)


def main() -> None:
    stage = Stage(**json.loads(sys.argv[1]))
    command = sys.argv[2:]
    os.chdir("/")
    for group in stage.groups:
        os.write(group, b"0")
        os.close(group)
    set_up(stage)
    if stage.become_agent:
        become(stage.uid, stage.open_files)
    os.execve(command[0], command, {name: os.environ[name] for name in ("PATH", "LANG")})  # noqa: S606 - argv, no shell


if __name__ == "__main__":
    main()
