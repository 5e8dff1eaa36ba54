"""Boxes of podman's own OCI runtime, crun: `create` makes the namespaces, the doors are bound, `start` lets init run.

crun is called as podman calls it, by a bundle (`bundle`), and podman itself is not on the way: three of its commands
and a conmon a box took three times as long as everything else together, for state that the supervisor keeps anyway.
Images come from our own folder, into which `bawn images import` also brings what podman holds.

crun refuses a host that mounts cgroup v1 and v2 beside each other, unless it sees v2 alone, which `staging` shows it;
limits are our own groups (`cgroup`). Debian 12's runc lacks the fixes of CVE-2025-31133, CVE-2025-52565 and
CVE-2025-52881: runc older than those is refused, unless the operator says `--allow-vulnerable-runc`, which `status` then
repeats. Inside, the agent is uid 1000 of a user namespace that maps two uids which nobody else has.
"""

from __future__ import annotations

import contextlib
import functools
import json
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from bawn.errors import Fault
from bawn.sandbox import bundle, furnishing, python, seccomp
from bawn.sandbox.attested import Attested
from bawn.sandbox.cgroup import Cgroups
from bawn.sandbox.executing import Joiners
from bawn.sandbox.guarding import Plan
from bawn.sandbox.images import HOST, Images
from bawn.sandbox.runtime import (
    Command,
    Prepared,
    Running,
    confirm_workspace,
    kill_first_process,
    opened_workspace,
)
from bawn.sandbox.spec import Spec
from bawn.sandbox.staging import STAGE, Stage, agent_uid, root_uid

TIMEOUT_S = 30.0
FIXED_RUNC = ((1, 2, 8), (1, 3, 3), (1, 4, 0))
"""The first fixed release of each line (of 1.4.0 its third candidate)."""
FLAG = "--allow-vulnerable-runc"


class Podman:
    name = "podman"

    def __init__(
        self,
        images: Images,
        folder: Path,
        cgroups: Cgroups,
        joiners: Joiners,
        *,
        rootless: bool,
        program: str = "",
        allow_vulnerable_runc: bool = False,
    ) -> None:
        self._images = images
        self._folder = folder
        self._cgroups = cgroups
        self._joiners = joiners
        self._rootless = rootless
        self._allowed = allow_vulnerable_runc
        found = (program,) if program else ("crun", "runc")
        self._program = next((name for name in found if shutil.which(name, path=python.SYSTEM_PATH)), "")
        self._unified = Path("/sys/fs/cgroup/cgroup.controllers").exists()

    def lacking(self) -> str:
        if not self._program:
            return "podman has no OCI runtime (install crun)"
        if self._rootless and self._program != "crun":
            return "podman needs crun for an ordinary user; install it, or take bubblewrap"
        if self._program == "runc" and not self._allowed and not fixed(_version("runc")):
            return f"podman has only runc {_version('runc') or ''}, from which ways out are known; install crun, or say {FLAG}"
        if bundle.init_program() is None:
            return "podman has no init for containers (install catatonit)"
        return ""

    def degraded(self) -> list[str]:
        sentences = []
        if self._program == "runc" and not fixed(_version("runc")):
            sentences.append(
                f"podman uses runc {_version('runc')}, from which ways out are known (CVE-2025-31133), because of {FLAG}"
            )
        if not seccomp.known():
            sentences.append("there is no system call filter for this processor architecture")
        return sentences

    def unenforced(self, spec: Spec) -> frozenset[str]:
        return self._cgroups.unenforced(spec)

    def prepare(self, spec: Spec, plan: Plan) -> Prepared:
        init = bundle.init_program()
        if self.lacking() or init is None:
            raise Fault("sandbox.runtime_missing", self.lacking())
        place = self._folder / spec.uuid / "box"
        self._forget(spec.uuid)
        trees = {"box": str(place / "files"), "rootfs": str(place / "rootfs")}
        texts = furnishing.files(spec)
        if spec.image == HOST:
            bundle.skeleton(place / "rootfs", spec, texts)
            (place / "files").mkdir(parents=True, exist_ok=True)
        else:
            trees["rootfs"] = str(self._images.lent(spec.image, spec.uuid, texts))
            bundle.furnish(place / "files", spec, texts)
        if self._rootless:
            init = _unreadable(init, place / "files" / "init")
        shape = bundle.Shape(
            uid=0 if self._rootless else agent_uid(spec.number),
            root_uid=None if self._rootless else root_uid(spec.number),
            init=init,
            cgroups_path=f"/bawn-runc/{spec.uuid}" if self._program == "runc" else "",
        )
        said = bundle.written(spec, shape, plan, host_image=spec.image == HOST)
        (place / "config.json").write_text(json.dumps(said), encoding="utf-8")
        with opened_workspace(spec) as folder:
            stage = Stage(
                shape.uid,
                folder,
                trees,
                covers=[(cover.path, cover.by) for cover in plan.covers],
                scratch_bytes=spec.limits.scratch_bytes,
                only_cgroup2=self._program == "crun" and not self._unified,
                own_user=self._rootless,
            )
            self._call(spec.uuid, ["create", "--bundle", str(place), spec.uuid], stage, folder)
            box = self.find(spec.uuid)
            if box is None:
                raise Fault("sandbox.start_failed", f"{self._program} made the container and lost it")
            try:
                confirm_workspace(box, folder, spec.place)
                self._cgroups.make(spec.uuid, spec.limits)
                self._cgroups.add(spec.uuid, box.pid)
            except (Fault, OSError):
                self.kill(spec.uuid, box)
                raise
        return Prepared(spec, box)

    def start(self, prepared: Prepared) -> None:
        self._call(prepared.spec.uuid, ["start", prepared.spec.uuid])

    def execute(self, spec: Spec, box: Attested, command: Command) -> Running:
        with self._cgroups.doors(spec.uuid) as groups:
            return self._joiners.join(spec, box, command, groups)

    def signal(self, box: Attested, running: Running, number: int) -> None:
        if running.channel is not None:
            running.channel.send(str(number).encode())

    def kill(self, uuid: str, box: Attested) -> None:
        kill_first_process(box)

    def delete(self, uuid: str) -> None:
        self._forget(uuid)
        self._cgroups.remove(uuid)

    def find(self, uuid: str) -> Attested | None:
        """As crun (`status`) and runc (`state.json`) wrote it down."""
        for name, key in (("status", "pid"), ("state.json", "init_process_pid")):
            with contextlib.suppress(OSError, ValueError, KeyError, Fault):
                said = json.loads((self._state(uuid) / uuid / name).read_text(encoding="utf-8"))
                return Attested.of(int(said[key]))
        return None

    def _state(self, uuid: str) -> Path:
        return self._folder / uuid / "oci"

    def _forget(self, uuid: str) -> None:
        """What the runtime keeps of a box that is dead. runc alone has made something elsewhere: groups of its own."""
        if self._program == "runc" and self._state(uuid).exists():
            with contextlib.suppress(Fault):
                self._call(uuid, ["delete", "--force", uuid])
        shutil.rmtree(self._state(uuid), ignore_errors=True)

    def _call(self, uuid: str, arguments: Sequence[str], stage: Stage | None = None, folder: int | None = None) -> None:
        state = self._state(uuid)
        state.mkdir(mode=0o700, exist_ok=True)
        log = state / "log"
        argv = [str(shutil.which(self._program, path=python.SYSTEM_PATH)), "--root", str(state), "--log", str(log)]
        argv += ["--cgroup-manager", "disabled"] if self._program == "crun" else []
        argv += arguments
        try:
            done = subprocess.run(
                argv if stage is None else stage.argv(argv),
                env=python.environment(),
                cwd="/",
                pass_fds=() if folder is None else (folder,),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,  # the first process inherits all three
                stderr=subprocess.DEVNULL,
                timeout=TIMEOUT_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise Fault("sandbox.start_failed", f"{self._program} did not end", cause=str(error)) from error
        if done.returncode != 0:
            lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines() if log.exists() else []
            cause = lines[-1] if lines else f"it ended with {done.returncode}"
            raise Fault("sandbox.start_failed", f"{self._program} {arguments[0]} failed", cause=cause[:500])


def _unreadable(program: Path, place: Path) -> Path:
    """The first process where it is of the agent's own uid: a program that may be run and not be read makes a process of
    which nothing can be read or written. Where the box finds it."""
    place.unlink(missing_ok=True)
    shutil.copyfile(program, place)
    place.chmod(0o111)
    return Path(STAGE, "box", place.name)


def fixed(version: str) -> bool:
    """Whether this runc has the fixes of November 2025; a version that cannot be read has none."""
    found = re.match(r"(\d+)\.(\d+)\.(\d+)(?:-rc\.(\d+))?", version)
    if found is None:
        return False
    numbers = tuple(int(part) for part in found.groups()[:3])
    if numbers == FIXED_RUNC[-1] and found[4] is not None and int(found[4]) < 3:
        return False
    return (
        any(numbers[:2] == first[:2] and numbers >= first for first in FIXED_RUNC) or numbers[:2] > FIXED_RUNC[-1][:2]
    )


@functools.cache
def _version(program: str) -> str:
    path = shutil.which(program, path=python.SYSTEM_PATH)
    if path is None:
        return ""
    argv = [path, "--version"]
    said = subprocess.run(argv, capture_output=True, text=True, env=python.environment(), check=False).stdout
    found = re.search(r"version (\S+)", said)
    return found[1] if found else ""
