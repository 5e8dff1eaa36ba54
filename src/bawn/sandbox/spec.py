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

from bawn.errors import Fault, quoted

RUNTIMES = ("podman", "bubblewrap")
NAME = re.compile(r"[a-z][a-z0-9-]{0,62}\Z")
IMAGE = re.compile(r"[a-z][a-z0-9-]{0,31}\Z")
ENV_NAME = re.compile(r"([A-Z_][A-Z0-9_]{0,127}|no_proxy)\Z")
"""`no_proxy` has no upper-case form that every program reads."""
HOSTNAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\Z")
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
    pids: int = 512
    memory_bytes: int | None = None
    """None: no limit of its own."""
    open_files: int = 4096


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
    env: Mapping[str, str] = field(default_factory=dict)
    limits: Limits = Limits()

    def written(self) -> dict[str, object]:
        """The form that `read` takes back."""
        return {
            "uuid": self.uuid,
            "number": self.number,
            "name": self.name,
            "runtime": self.runtime,
            "image": self.image,
            "hostname": self.hostname,
            "workspace": self.workspace,
            "env": dict(self.env),
            "limits": {
                "pids": self.limits.pids,
                "memory_bytes": self.limits.memory_bytes,
                "open_files": self.limits.open_files,
            },
        }


_FIELDS = frozenset({"uuid", "number", "name", "runtime", "image", "hostname", "workspace", "env", "limits"})
_LIMIT_RANGES = {"pids": (16, 32768), "memory_bytes": (32 << 20, 1 << 44), "open_files": (64, 1 << 20)}


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
        env=read_env(raw.get("env", {})),
        limits=_limits(raw.get("limits", {})),
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
    read: dict[str, int] = {}
    for key, number in value.items():
        if number is None and key == "memory_bytes":
            continue
        low, high = _LIMIT_RANGES[key]
        if not isinstance(number, int) or isinstance(number, bool) or not low <= number <= high:
            raise _invalid(f"limits.{key}", f"must be an integer from {low} to {high}")
        read[key] = number
    return Limits(**read)


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
