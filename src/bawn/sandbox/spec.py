"""What a container may be: the strict reading of a request.

The supervisor runs as root and trusts nobody who writes to it, the gateway included. Everything a
request may say is in `_FIELDS`; a field that is not there is refused, so network modes, further mounts
and capabilities are not options set to "no" but things that cannot be said.
"""

from __future__ import annotations

import os
import re
import uuid as uuids
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bawn.adapters.installed import AGENTS
from bawn.errors import Fault, quoted

RUNTIMES = ("podman", "bubblewrap", "runsc")
NAME = re.compile(r"[a-z][a-z0-9-]{0,62}\Z")
IMAGE = re.compile(r"[a-z][a-z0-9-]{0,31}\Z")
PLACE = re.compile(r"/workspace(/task-[1-9][0-9]{0,9})?\Z")
ENV_NAME = re.compile(r"([A-Z_][A-Z0-9_]{0,127}|(no|http|https)_proxy)\Z")
"""The proxies have no upper-case form that every program reads."""
HOSTNAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\Z")
EXEC = re.compile(r"([1-9][0-9]{0,5}|[a-z][a-z0-9-]{0,50})\Z")
EXEC_COUNT_LIMIT = 256
ENV_VALUE_LIMIT = 8192
ENV_COUNT_LIMIT = 128

_WHOLLY_CLOSED = (
    "/etc",
    "/proc",
    "/sys",
    "/dev",
    "/boot",
    "/run",
    "/usr",
    "/var/lib",
    "/var/run",
    "/bin",
    "/lib",
    "/sbin",
)
"""Neither these, nor anything inside, nor anything that contains them."""
_CLOSED_THEMSELVES = ("/home", "/root", "/tmp", "/var/tmp", "/srv", "/opt", "/mnt", "/media")
"""Folders of folders: what is inside may be mounted, they themselves may not."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of the machine a box may take. Memory holds what lies in its scratch folders as well."""

    pids: int = 512
    memory_bytes: int | None = 4 << 30
    """None: no limit of its own."""
    cpus: float | None = None
    """How many processors' time; None: as much as there is."""
    open_files: int = 4096
    scratch_bytes: int = 2 << 30
    """What /tmp, /home/agent and /dev/shm may hold each, and /workspace where it is not a folder of the host."""
    workspace_bytes: int | None = None
    """What a folder of the host may grow to; needs a quota of its file system."""
    asked: frozenset[str] = frozenset()
    """Which of them somebody asked for. What is asked for and cannot be enforced refuses the start; what is our own
    default is then only reported."""

    def set(self) -> frozenset[str]:
        """The limits that are one: asked for or not."""
        return frozenset(
            name
            for name in ("pids", "memory_bytes", "cpus", "open_files", "scratch_bytes", "workspace_bytes")
            if getattr(self, name) is not None
        )

    def written(self) -> dict[str, object]:
        """Only what was asked for: defaults may change with a version."""
        return {name: getattr(self, name) for name in sorted(self.asked)}


@dataclass(frozen=True, slots=True)
class Spec:
    """One container as the operator asked for it."""

    uuid: str
    number: int
    name: str
    runtime: str
    image: str
    hostname: str
    workspace: str | None = None
    """An absolute path without symbolic links; None for a container without a folder of the host."""
    private: bool = False
    """Whether the box works in a copy of the folder, which is ours, instead of in the folder."""
    place: str = "/workspace"
    """Where the box sees its workspace; that of a task is a folder of its own in an empty one."""
    origin: str | None = None
    """The folder that the copy was made of, once `workspace` is the copy."""
    env: Mapping[str, str] = field(default_factory=dict)
    limits: Limits = Limits()
    execs: tuple[str, ...] = ()
    """Names of execs whose base URL the box knows, beside the numbers that all know."""
    adapters: tuple[str, ...] = ()
    """The agents that report by hooks of their own, whose files the box has."""
    allow_soft_limits: bool = False
    """Whether the box may start though a limit that was asked for cannot be enforced here."""

    def written(self) -> dict[str, object]:
        """The form that `read` takes back."""
        return {
            "uuid": self.uuid,
            "number": self.number,
            "name": self.name,
            "runtime": self.runtime,
            "image": self.image,
            "hostname": self.hostname,
            "workspace": self.origin or self.workspace,
            "place": self.place,
            "private": self.private,
            "env": dict(self.env),
            "limits": self.limits.written(),
            "execs": list(self.execs),
            "adapters": list(self.adapters),
            "allow_soft_limits": self.allow_soft_limits,
        }


_FIELDS = frozenset(
    {
        "uuid",
        "number",
        "name",
        "runtime",
        "image",
        "hostname",
        "workspace",
        "place",
        "private",
        "env",
        "limits",
        "execs",
        "adapters",
        "allow_soft_limits",
    }
)
_LIMIT_RANGES: dict[str, tuple[float, float]] = {
    "pids": (16, 32768),
    "memory_bytes": (32 << 20, 1 << 44),
    "cpus": (0.05, 4096),
    "open_files": (64, 1 << 20),
    "scratch_bytes": (1 << 20, 1 << 44),
    "workspace_bytes": (1 << 20, 1 << 50),
}
_UNLIMITED = ("memory_bytes", "cpus", "workspace_bytes")
"""Those that may be None."""


def read(raw: object, *, closed: Sequence[Path] = ()) -> Spec:
    """The spec, or `sandbox.invalid` naming the field. `closed` are folders no container may ever see."""
    if not isinstance(raw, dict):
        raise _invalid("the spec", "must be an object")
    unknown = sorted(str(key) for key in raw if key not in _FIELDS)
    if unknown:
        raise _invalid(quoted(unknown[0]), "is not something a container can be given")
    number = raw.get("number")
    if not isinstance(number, int) or isinstance(number, bool) or not 0 < number < 1 << 27:
        raise _invalid("number", "must be a positive integer")
    name = _matching(raw, "name", NAME, "must be lower-case letters, digits and hyphens, beginning with a letter")
    runtime = raw.get("runtime")
    if runtime not in RUNTIMES:
        raise _invalid("runtime", f"must be one of {', '.join(RUNTIMES)}")
    hostname = raw.get("hostname", name)
    if not isinstance(hostname, str) or not HOSTNAME.match(hostname):
        raise _invalid("hostname", "must be one label of lower-case letters, digits and hyphens")
    return Spec(
        uuid=read_uuid(raw.get("uuid")),
        number=number,
        name=name,
        runtime=str(runtime),
        image=_matching(raw, "image", IMAGE, "must be the name of an image that `bawn images list` shows"),
        hostname=hostname,
        workspace=_workspace(raw.get("workspace"), closed),
        place=_matching(
            {"place": "/workspace", **raw}, "place", PLACE, "must be /workspace or /workspace/task-<number>"
        ),
        private=raw.get("private") is True and raw.get("workspace") is not None,
        env=read_env(raw.get("env", {})),
        limits=_limits(raw.get("limits", {})),
        execs=_execs(raw.get("execs", [])),
        adapters=_adapters(raw.get("adapters", [])),
        allow_soft_limits=raw.get("allow_soft_limits") is True,
    )


def read_uuid(value: object) -> str:
    """A uuid in its one canonical form: it becomes part of paths."""
    try:
        parsed = str(uuids.UUID(value)) if isinstance(value, str) else ""
    except ValueError:
        parsed = ""
    if not parsed or parsed != value:
        raise _invalid("uuid", "must be a uuid in its usual form")
    return parsed


def read_env(value: object) -> dict[str, str]:
    """Environment variables by an allow-list of forms."""
    if not isinstance(value, dict) or len(value) > ENV_COUNT_LIMIT:
        raise _invalid("env", f"must be an object of at most {ENV_COUNT_LIMIT} texts")
    for key, text in value.items():
        if not isinstance(key, str) or not ENV_NAME.match(key):
            raise _invalid("env", "has a name that is not of the form [A-Z_][A-Z0-9_]*")
        if not isinstance(text, str) or "\0" in text or len(text) > ENV_VALUE_LIMIT:
            raise _invalid(f"env.{key}", f"must be a text of at most {ENV_VALUE_LIMIT} characters without NUL")
        _encodable(f"env.{key}", text)
    return dict(value)


def _encodable(name: str, text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise _invalid(name, "must be valid Unicode") from error


def _matching(raw: dict[object, object], name: str, form: re.Pattern[str], rule: str) -> str:
    value = raw.get(name)
    if not isinstance(value, str) or not form.match(value):
        raise _invalid(name, rule)
    return value


def _limits(value: object) -> Limits:
    if not isinstance(value, dict) or not set(value) <= set(_LIMIT_RANGES):
        raise _invalid("limits", f"may hold {', '.join(_LIMIT_RANGES)}")
    read: dict[str, Any] = {}
    for key, number in value.items():
        if number is None and key in _UNLIMITED:
            read[key] = None
            continue
        low, high = _LIMIT_RANGES[key]
        kinds = (int, float) if key == "cpus" else (int,)
        if not isinstance(number, kinds) or isinstance(number, bool) or not low <= number <= high:
            raise _invalid(f"limits.{key}", f"must be a number from {low:g} to {high:g}")
        read[key] = number
    return Limits(**read, asked=frozenset(read))


def _execs(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) > EXEC_COUNT_LIMIT:
        raise _invalid("execs", f"must be a list of at most {EXEC_COUNT_LIMIT} names")
    if not all(isinstance(name, str) and EXEC.match(name) for name in value):
        raise _invalid("execs", "must be names of lower-case letters, digits and hyphens, or numbers")
    return tuple(value)


def _adapters(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(name, str) and name in AGENTS for name in value):
        raise _invalid("adapters", f"may hold {', '.join(AGENTS)}")
    return tuple(dict.fromkeys(value))


def _workspace(value: object, closed: Sequence[Path]) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or not value.startswith("/") or "\0" in value or len(value) > 4000:
        raise _invalid("workspace", "must be an absolute path")
    _encodable("workspace", value)
    if value != os.path.normpath(value) or value.startswith("//"):
        raise _invalid("workspace", "must be written without '..', '.' and doubled slashes")
    path = Path(value)
    try:
        real, is_folder = path.resolve(strict=True), path.is_dir()
    except (OSError, RuntimeError) as error:
        raise _invalid("workspace", "is not there", cause=str(error)) from error
    if real != path:
        # Whoever can change a link on the way would choose what is mounted (CVE-2026-27523).
        raise _invalid("workspace", "must be the real path, without symbolic links")
    if not is_folder:
        raise _invalid("workspace", "must be a folder")
    for guarded in (*map(Path, _WHOLLY_CLOSED), *(place.resolve() for place in closed)):
        if path.is_relative_to(guarded) or guarded.is_relative_to(path):
            raise _invalid("workspace", f"may not hold, be, or be inside {guarded}")
    for guarded in (*map(Path, _CLOSED_THEMSELVES), Path.home()):
        if guarded.is_relative_to(path):
            raise _invalid("workspace", "must be a folder of its own, not a folder of homes or other folders")
    return value


def _invalid(name: str, rule: str, cause: str = "") -> Fault:
    return Fault("sandbox.invalid", f"{name} {rule}", cause=cause)
