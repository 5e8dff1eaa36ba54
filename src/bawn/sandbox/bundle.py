"""The box as an OCI bundle: the `config.json` by which crun, runc and runsc are told the same thing.

What stands here is all there is: no option of a request adds to it. Everything that is shown comes from the stage
(`staging`), where it was put by descriptor; no path of the host is looked up while the box is made.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from bawn.sandbox import furnishing, python, seccomp
from bawn.sandbox.guarding import ITSELF, SCRATCH, Plan
from bawn.sandbox.spec import Spec
from bawn.sandbox.staging import AGENT, STAGE, WORKSPACE

HOST_FOLDERS = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
HOST_FILES = (
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
    "/etc/alternatives",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
)
"""Of the host's configuration, what its own programs cannot do without: certificates and the linker's."""

INIT = "/dev/init"
INSTEAD = ("/bin/sh", "-c", "while :; do sleep 2147483647 & wait; done")
"""The first process where nothing of ours can be put into the box: it sleeps and reaps as well."""
MASKED = (
    "/proc/acpi", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/sched_debug", "/proc/scsi",
    "/proc/timer_list", "/proc/timer_stats",
)  # fmt: skip
READ_ONLY = ("/proc/asound", "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")

Mount = dict[str, object]


@dataclass(frozen=True, slots=True)
class Shape:
    """What differs between runtimes."""

    uid: int
    """The agent's uid on the host."""
    root_uid: int | None
    """What the box's root is on the host; it owns nothing. None: there is no root, and the first process is the agent's."""
    user_namespace: bool = True
    network_namespace: bool = True
    """Whether the runtime makes one; else it is in the one that the box shall have."""
    init: Path | None = None
    """What becomes the first process; None: a shell of the image."""
    cgroups_path: str = ""


def init_program() -> Path | None:
    """catatonit: sleeps as the first process and reaps what is left to it. Static, so that every image can run it."""
    places = (Path("/usr/bin/catatonit"), Path("/usr/libexec/podman/catatonit"), Path("/usr/lib/podman/catatonit"))
    return next((place.resolve() for place in places if place.exists()), None)


def written(spec: Spec, shape: Shape, plan: Plan, *, host_image: bool) -> dict[str, object]:
    """`config.json`."""
    kinds = ["pid", "ipc", "uts", "mount", "cgroup"]
    kinds += ["user"] if shape.user_namespace else []
    kinds += ["network"] if shape.network_namespace else []
    linux: dict[str, object] = {
        "namespaces": [{"type": kind} for kind in kinds],
        "maskedPaths": list(MASKED),
        "readonlyPaths": list(READ_ONLY),
        "rootfsPropagation": "rprivate",
    }
    if shape.user_namespace:
        pairs = [(AGENT, shape.uid)] if shape.root_uid is None else [(0, shape.root_uid), (AGENT, shape.uid)]
        linux["uidMappings"] = linux["gidMappings"] = [
            {"containerID": inside, "hostID": outside, "size": 1} for inside, outside in pairs
        ]
    if seccomp.known():
        linux["seccomp"] = seccomp.profile()
    if shape.cgroups_path:
        linux["cgroupsPath"] = shape.cgroups_path
    first = AGENT if shape.root_uid is None else 0
    return {
        "ociVersion": "1.0.2",
        "root": {"path": f"{STAGE}/rootfs", "readonly": True},
        "hostname": spec.hostname,
        "process": {
            "terminal": False,
            "user": {"uid": first, "gid": first, "umask": 0o022},
            "args": [INIT, "-P"] if shape.init else list(INSTEAD),
            "env": [f"PATH={python.SYSTEM_PATH}"],
            "cwd": "/",
            "noNewPrivileges": True,
            "capabilities": {name: [] for name in ("bounding", "effective", "inheritable", "permitted", "ambient")},
            "rlimits": [{"type": "RLIMIT_CORE", "hard": 0, "soft": 0}],
        },
        "mounts": [
            *_kernel_mounts(spec, shape),
            *_programs(spec, shape, host_image=host_image),
            *_scratch(spec),
            *_covers(spec.place, plan),
        ],
        "linux": linux,
    }


def _kernel_mounts(spec: Spec, shape: Shape) -> list[Mount]:
    # Where there is no root, what the runtime makes is the agent's, so that only the mount keeps it from being written.
    closed = ("ro",) if shape.root_uid is None else ()
    terminals = ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]
    return [
        {"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"]},
        _tmpfs("/dev", 1 << 16, "mode=755", "noexec", *closed),
        {"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": terminals},
        _tmpfs("/dev/shm", spec.limits.scratch_bytes, "mode=1777", "nodev", "noexec"),
    ]


def _programs(spec: Spec, shape: Shape, *, host_image: bool) -> list[Mount]:
    shown: list[Mount] = [_shown(str(shape.init), INIT)] if shape.init else []
    if host_image:
        names = (*HOST_FOLDERS, *HOST_FILES)
        return shown + [_shown(name, name) for name in names if Path(name).exists() and not Path(name).is_symlink()]
    # The folder of a task stands in one that holds nothing else and is not the image's.
    alone = [] if spec.place == furnishing.WORKSPACE else [furnishing.WORKSPACE]
    return shown + [_shown(f"{STAGE}/box{path}", path) for path in (*furnishing.files(spec), *alone)]


def _scratch(spec: Spec) -> list[Mount]:
    """/tmp holds no program that runs: what is left there by one is not started by another."""
    size, own = spec.limits.scratch_bytes, (f"uid={AGENT}", f"gid={AGENT}", "mode=755", "nodev")
    mounts = [_tmpfs("/tmp", size, "mode=1777", "nodev", "noexec"), _tmpfs(furnishing.HOME, size, *own)]
    if spec.workspace is None:
        return [*mounts, _tmpfs(spec.place, size, *own)]
    bound: Mount = {
        "destination": spec.place,
        "type": "bind",
        "source": WORKSPACE,
        "options": ["rbind", "rw", "nosuid", "nodev", "rprivate"],
    }
    return [*mounts, bound]


def _covers(workspace: str, plan: Plan) -> list[Mount]:
    """What covers parts of the workspace stands on the stage; crun leaves behind what is mounted beneath a mount."""
    mounts: list[Mount] = []
    for cover in plan.covers:
        options = ["rbind", "rw" if cover.by in (ITSELF, SCRATCH) else "ro", "nosuid", "nodev", "rprivate"]
        source, place = f"{WORKSPACE}/{cover.path}", f"{workspace}/{cover.path}"
        mounts.append({"destination": place, "type": "bind", "source": source, "options": options})
    return mounts


def _tmpfs(place: str, size: int, *options: str) -> Mount:
    return {"destination": place, "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", f"size={size}", *options]}


def _shown(source: str, place: str) -> Mount:
    options = ["rbind", "ro", "nosuid", "nodev", "rprivate"]
    return {"destination": place, "type": "bind", "source": source, "options": options}


def skeleton(place: Path, spec: Spec, texts: dict[str, str]) -> None:
    """The root of a box that is shown the host's own programs: mount points, links, and the box's own small files."""
    for name in ("proc", "dev", "tmp", "etc/ssl", "home/agent", "workspace", "run", "var/tmp", "root"):
        (place / name).mkdir(parents=True, exist_ok=True)
    for name in HOST_FOLDERS:
        path, here = Path(name), place / name.removeprefix("/")
        if path.is_symlink():
            here.unlink(missing_ok=True)
            here.symlink_to(path.readlink())
        elif path.is_dir():
            here.mkdir(exist_ok=True)
    for name in HOST_FILES:
        path, here = Path(name), place / name.removeprefix("/")
        if path.is_dir():
            here.mkdir(parents=True, exist_ok=True)
        elif path.exists():
            here.parent.mkdir(parents=True, exist_ok=True)
            here.touch()
    furnish(place, spec, texts)
    (place / "tmp").chmod(0o1777)  # runc gives the mount the mode of the folder beneath


def furnish(place: Path, spec: Spec, texts: dict[str, str]) -> None:
    """The box's small files, and where its workspace is put; the box sees them read-only."""
    (place / spec.place.removeprefix("/")).mkdir(parents=True, exist_ok=True)
    for path, text in texts.items():
        file = place / path.removeprefix("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    open_to_all(place)


def open_to_all(place: Path) -> None:
    """What the supervisor's umask made private must be readable in the box."""
    for folder, _, names in os.walk(place):
        for path in (Path(folder), *(Path(folder, name) for name in names)):
            mode = path.lstat().st_mode
            if not stat.S_ISLNK(mode):
                path.chmod(0o755 if stat.S_ISDIR(mode) else 0o644)
