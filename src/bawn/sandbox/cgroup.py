"""Limits by control groups: one group of ours for each box, whatever the runtime, on cgroup v1, v2 and both at once.

The runtimes are not asked: bubblewrap knows no control groups, crun refuses hosts that mount both kinds, and each
would name them otherwise. So the supervisor makes a group a box, puts the first process in before it runs, and every
command joins before it becomes the agent. A controller is taken where this host has it: in the one tree of v2, else in
its own tree of v1. Root may make groups at the top of a tree; an ordinary user only where the machine has handed a
part of v2's tree over (delegation), and otherwise not at all: then `unenforced` says so.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bawn.errors import Fault
from bawn.sandbox.spec import Limits, Spec

PARENT = "bawn"
CPU_PERIOD_US = 100_000
CONTROLLERS = {"pids": "pids", "memory_bytes": "memory", "cpus": "cpu"}
"""Which controller holds which limit."""


@dataclass(frozen=True, slots=True)
class Tree:
    """A mounted hierarchy, and where in it we may make groups."""

    unified: bool
    base: Path
    """The folder in which boxes' groups are made; not there yet, perhaps."""


class Cgroups:
    """The groups of all boxes of this supervisor."""

    def __init__(self) -> None:
        self._trees = dict(_trees())

    def unenforced(self, spec: Spec) -> frozenset[str]:
        """The limits of the spec that nothing holds here. Without a group, the number of processes is still bounded by
        the resource limit of the box's own uid; a folder of the host can grow as its file system allows."""
        held = {name for name, controller in CONTROLLERS.items() if controller in self._trees}
        held |= {"pids", "open_files", "scratch_bytes"} | ({"workspace_bytes"} if spec.workspace is None else set())
        return spec.limits.set() - held

    def lacking(self, limits: Limits) -> frozenset[str]:
        """The limits that no control group holds here."""
        return limits.set() - {name for name, controller in CONTROLLERS.items() if controller in self._trees}

    def make(self, uuid: str, limits: Limits) -> None:
        """Makes the box's groups, with its limits set, and nobody in them."""
        self.remove(uuid)
        for controller in ("pids", "memory", "cpu"):
            tree = self._trees.get(controller)
            settings = _settings(controller, limits, unified=tree is not None and tree.unified)
            if tree is None or not settings:
                continue
            group = tree.base / uuid
            try:
                group.mkdir(parents=True, exist_ok=True)
                for name, value in settings:
                    (group / name).write_text(value, encoding="ascii")
            except OSError as error:
                self.remove(uuid)
                raise Fault(
                    "sandbox.start_failed", f"the limit of {controller} could not be set", cause=str(error)
                ) from error

    def add(self, uuid: str, pid: int) -> None:
        for group in self._groups(uuid):
            (group / "cgroup.procs").write_text(f"{pid}\n", encoding="ascii")

    @contextlib.contextmanager
    def doors(self, uuid: str) -> Iterator[list[int]]:
        """A descriptor for each group: who writes 0 to it is in."""
        held: list[int] = []
        try:
            for group in self._groups(uuid):
                descriptor = os.open(group / "cgroup.procs", os.O_WRONLY | os.O_CLOEXEC)
                held += [descriptor]  # one by one: those opened before a failure are closed below
            yield held
        finally:
            for fd in held:
                os.close(fd)

    def events(self, uuid: str) -> dict[str, int]:
        """How often a limit bit, by limit."""
        told: dict[str, int] = {}
        for group in self._groups(uuid):
            for name, word, limit in (
                ("pids.events", "max", "pids"),
                ("memory.events", "oom_kill", "memory_bytes"),
                ("memory.oom_control", "oom_kill", "memory_bytes"),
                ("cpu.stat", "nr_throttled", "cpus"),
            ):
                with contextlib.suppress(OSError, ValueError):
                    for line in (group / name).read_text(encoding="ascii").splitlines():
                        key, _, count = line.partition(" ")
                        if key == word:
                            told[limit] = int(count)
        return told

    def end(self, uuid: str) -> None:
        """Ends everything that is in the groups."""
        emptied(self.places(uuid))

    def places(self, uuid: str) -> list[Path]:
        """The folders of the groups."""
        return self._groups(uuid)

    def remove(self, uuid: str, within_s: float = 2.0) -> None:
        """Takes the groups away; processes that are ending are waited for."""
        until = time.monotonic() + within_s
        for group in self._groups(uuid):
            while True:
                try:
                    group.rmdir()
                except FileNotFoundError:
                    break
                except OSError:
                    if time.monotonic() > until:
                        break
                    time.sleep(0.002)
                else:
                    break

    def _groups(self, uuid: str) -> list[Path]:
        """Those of the box that exist; where v2 holds several controllers they are one."""
        places = {tree.base / uuid for tree in self._trees.values()}
        return sorted(place for place in places if place.is_dir())


def emptied(groups: Iterable[Path], within_s: float = 5.0) -> None:
    """Kills all that is in these groups, wherever it has gone since: nothing new begins in them, and what is there ends."""
    groups = list(groups)
    for group in groups:
        for name, value in (("pids.max", "0"), ("cgroup.kill", "1")):
            with contextlib.suppress(OSError):
                (group / name).write_text(value, encoding="ascii")
    killed(lambda: {pid for group in groups for pid in _members(group)}, within_s)


def killed(found: Callable[[], set[int]], within_s: float) -> None:
    """Kills what is found until nothing is. Found twice, so that a pid that became another's is left alone."""
    until = time.monotonic() + within_s
    while (pids := found()) and time.monotonic() < until:
        held: dict[int, int] = {}
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                held[pid] = os.pidfd_open(pid)
        still = found()
        for pid, pidfd in held.items():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                if pid in still:
                    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            os.close(pidfd)
        time.sleep(0.005)


def _members(group: Path) -> set[int]:
    try:
        return {int(line) for line in (group / "cgroup.procs").read_text(encoding="ascii").split()} - {0}
    except OSError:
        return set()


def _settings(controller: str, limits: Limits, *, unified: bool) -> list[tuple[str, str]]:
    if controller == "pids":
        return [("pids.max", str(limits.pids))]
    if controller == "memory" and limits.memory_bytes is not None:
        value = str(limits.memory_bytes)
        if unified:
            return [("memory.max", value), ("memory.swap.max", "0")]
        return [("memory.limit_in_bytes", value), ("memory.memsw.limit_in_bytes", value)]
    if controller == "cpu" and limits.cpus is not None:
        quota = int(limits.cpus * CPU_PERIOD_US)
        if unified:
            return [("cpu.max", f"{quota} {CPU_PERIOD_US}")]
        return [("cpu.cfs_period_us", str(CPU_PERIOD_US)), ("cpu.cfs_quota_us", str(quota))]
    return []


def _trees() -> Iterator[tuple[str, Tree]]:
    """Every controller that can be used, with its tree."""
    own = dict(_own_groups())
    for where, root, kind, options in _mounts():
        names = ["unified"] if kind == "cgroup2" else [name for name in CONTROLLERS.values() if name in options]
        for name in names:
            inside = own.get("" if kind == "cgroup2" else name, "/")
            # What is mounted may be a part of the tree alone, as in a container.
            below = inside.removeprefix(root) if root != "/" else inside
            here = where / below.strip("/")
            if kind == "cgroup2":
                yield from _unified(where, here)
            elif os.access(where, os.W_OK):
                yield name, Tree(unified=False, base=where / PARENT)
            elif os.access(here, os.W_OK):
                yield name, Tree(unified=False, base=here / PARENT)


def _unified(top: Path, here: Path) -> Iterator[tuple[str, Tree]]:
    """The topmost folder of v2 on the way to our own group where we may make groups and hand controllers down."""
    way = [place for place in reversed((here, *here.parents)) if place.is_relative_to(top)]
    for place in way:
        if not os.access(place, os.W_OK) or not os.access(place / "cgroup.subtree_control", os.W_OK):
            continue
        base = place / PARENT
        handed = _handed_down(place)
        if handed:
            with contextlib.suppress(OSError):
                base.mkdir(exist_ok=True)
                for controller in _handed_down(base):
                    yield controller, Tree(unified=True, base=base)
            return


def _handed_down(group: Path) -> list[str]:
    """The controllers that groups below this one have, after asking for ours."""
    handed: list[str] = []
    with contextlib.suppress(OSError):
        there = (group / "cgroup.controllers").read_text(encoding="ascii").split()
        for controller in CONTROLLERS.values():
            if controller in there:
                # EBUSY where processes live in the group itself: then what is handed down already counts.
                with contextlib.suppress(OSError):
                    (group / "cgroup.subtree_control").write_text(f"+{controller}", encoding="ascii")
        handed = (group / "cgroup.subtree_control").read_text(encoding="ascii").split()
    return [controller for controller in CONTROLLERS.values() if controller in handed]


def _own_groups() -> Iterable[tuple[str, str]]:
    """In which group we are, by controller; by nothing in v2."""
    for line in Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines():
        _, names, place = line.split(":", 2)
        for name in names.split(","):
            yield name, place


def _mounts() -> Iterator[tuple[Path, str, str, list[str]]]:
    """Mount point, root, kind and options of each hierarchy; v2 last, so that it is preferred where both have one."""
    found: list[tuple[Path, str, str, list[str]]] = []
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        if kind in ("cgroup", "cgroup2"):
            root, where = before.split()[3:5]
            found.append((Path(where), root, kind, options.split(",")))
    yield from sorted(found, key=lambda each: each[2])
