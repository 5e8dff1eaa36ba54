"""What is known about a container, and how one is called.

A container has three names: its uuid, its number, and its name. The first two are never used again. A name
begins with a letter and a number does not, and no name may look like a uuid; so one word always means one
container, whichever kind of name it is.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Literal

from msgspec import Struct, structs

from bawn.errors import Fault, quoted
from bawn.terms.principal import Container

State = Literal["created", "running", "stopped", "failed", "deleted"]

WorkspaceMode = Literal["live", "copy"]

NAME = re.compile(r"[a-z][a-z0-9-]{0,62}")
LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}")
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")

MAX_TASK_CHARACTERS = 16_000
MAX_TAGS = 256


class Limits(Struct, frozen=True, omit_defaults=True):
    """How much of the machine a container may take; None is what the configuration says."""

    pids: int | None = None
    memory_bytes: int | None = None
    """With all scratch folders."""
    cpus: float | None = None
    """Processors' time."""
    scratch_bytes: int | None = None
    """/tmp, /dev/shm and the home, each."""

    def asked(self) -> dict[str, int | float]:
        """What was said."""
        return {name: value for name, value in structs.asdict(self).items() if value is not None}


class NewContainer(Struct, frozen=True):
    """What a container shall be."""

    name: str = ""
    """Empty: one is made from the number."""
    project: str = "default"
    server: str = ""
    """Empty: this installation's own name."""
    image: str = ""
    runtime: str = ""
    ai: bool = True
    task: str = ""
    expires: datetime | None = None
    mount: str = ""
    """Absolute path of the host directory that is its workspace; empty for none."""
    workspace: WorkspaceMode = "live"
    """live: the directory itself; copy: a private copy of it."""
    ephemeral: bool = False
    """Whether it is deleted, with everything in it, when its work has ended."""
    limits: Limits = Limits()
    allow_soft_limits: bool = False
    """Whether it may start though one of its limits cannot be held on this machine."""
    role: str = ""
    """What it is there for, in a word by which rules know it; empty for none."""
    tags: tuple[str, ...] = ()
    """That all its sessions carry."""


class Record(Struct, frozen=True):
    """A container as the store keeps it."""

    uuid: str
    number: int
    name: str
    project: str
    server: str
    image: str
    runtime: str
    ai: bool
    state: State
    task: str
    mount: str
    created: datetime
    expires: datetime | None
    workspace: WorkspaceMode = "live"
    ephemeral: bool = False
    limits: Limits = Limits()
    allow_soft_limits: bool = False
    role: str = ""
    tags: tuple[str, ...] = ()

    @property
    def place(self) -> str:
        """Where it sees its workspace, and where commands begin: a task has a folder of its own, alone."""
        return f"/workspace/task-{self.number}" if self.task else "/workspace"

    @property
    def container(self) -> Container:
        return Container(self.uuid, self.number, self.name, self.project, self.role, self.tags)


def checked(new: NewContainer) -> NewContainer:
    """The same, or Fault `api.invalid` with the field that does not fit."""
    if new.name and not NAME.fullmatch(new.name):
        raise invalid(
            "name", new.name, "begins with a small letter, then small letters, digits and hyphens, at most 63"
        )
    if UUID.fullmatch(new.name):
        raise invalid("name", new.name, "does not look like a uuid")
    for field in ("project", "server", "image", "runtime", "role"):
        value = getattr(new, field)
        if value and not LABEL.fullmatch(value):
            raise invalid(field, value, "is of letters, digits, dots, hyphens and underscores, at most 63")
    for tag in new.tags:
        if not TAG.fullmatch(tag):
            raise invalid("tag", tag, "is of letters, digits, dots, colons, hyphens and underscores, at most 64")
    if len(new.tags) > MAX_TAGS or len(set(new.tags)) != len(new.tags):
        raise Fault("api.invalid", f"A container has at most {MAX_TAGS} tags, each once.")
    if len(new.task) > MAX_TASK_CHARACTERS or not storable(new.task):
        raise invalid("task", new.task[:20], f"is text of at most {MAX_TASK_CHARACTERS} characters")
    if new.mount and (not new.mount.startswith("/") or not storable(new.mount)):
        raise invalid("mount", new.mount, "is an absolute path")
    return new


def storable(text: str) -> bool:
    """Whether it is text that every store and every program can hold: no NUL, no lone surrogate."""
    return not any(c == "\0" or "\ud800" <= c <= "\udfff" for c in text)


def ahead(expires: datetime, now: datetime) -> datetime:
    """The same moment in UTC, if it is still to come; else Fault `api.invalid`."""
    try:
        moment = expires.astimezone(UTC)
    except OverflowError:
        moment = None
    if moment is None or expires.tzinfo is None:
        raise Fault(
            "api.invalid", "`expires` is no time with a time zone.", remedy="Write it like 2030-01-31T12:00:00Z."
        )
    if moment <= now:
        raise Fault("api.invalid", "`expires` lies in the past.")
    return moment


def invalid(field: str, value: str, rule: str) -> Fault:
    return Fault("api.invalid", f"{quoted(value)} cannot be the {field}.", remedy=f"A {field} {rule}.")
