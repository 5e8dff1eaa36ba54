"""Rules from all files of the configuration folder: `bawn.yaml`, those of agents with rules of their own, one for each project.

All are one set in the end, in this order, and an id may be there once only. Files of agents hold other things as well, which are
none of ours.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Self

from msgspec import Struct
from pydantic import ConfigDict, Field, ValidationError, ValidationInfo, model_validator

from bawn.config.load import load
from bawn.config.section import Section
from bawn.errors import Fault, quoted
from bawn.rules.model import MOST_RULES, Mitm, Rule, Tag

AGENT_FILES = ("hoody.json", "hoody.jsonc", ".hoody.json")
FOLDER = "rules"
_PROJECT = re.compile(r"([a-z0-9][a-z0-9_.-]{0,62})\.jsonc?\Z")


class Part(Struct, frozen=True):
    """The rules of one file."""

    name: str
    mitm: Mitm


_HOST_USER = "host_user"


class _RulesFile(Section):
    mitm: Mitm = Field(default_factory=Mitm)

    @model_validator(mode="after")
    def _on_host(self, info: ValidationInfo) -> Self:
        named = (info.context or {}).get(_HOST_USER)
        if not named and (wrong := list(self.mitm.on_host())):
            raise ValidationError.from_exception_data(
                "mitm", [{**each, "loc": ("mitm", *each["loc"])} for each in wrong]
            )
        return self


class _AgentFile(_RulesFile):
    model_config = ConfigDict(extra="ignore")


def beside(folder: Path, host_user: str = "") -> list[Part]:
    """Those of the files beside `bawn.yaml`. Fault `config.invalid` or `config.unreadable`. `host_user`: as whom commands run
    on the host; empty: none may."""
    known = {_HOST_USER: host_user}
    parts = [
        Part(name, load(text, name, _AgentFile, known).mitm)
        for name in AGENT_FILES
        if (text := _text(folder / name)) is not None
    ]
    for path in _of_projects(folder / FOLDER):
        found = _PROJECT.match(path.name)
        text = _text(path)
        if found is not None and text is not None:
            name = f"{FOLDER}/{path.name}"
            parts.append(Part(name, _of_project(load(text, name, _RulesFile, known).mitm, found[1], name)))
    return parts


def read_rules(text: str, name: str, host_user: str = "") -> Mitm:
    """A file of rules. Fault `config.invalid` names every wrong line."""
    return load(text, name, _AgentFile, {_HOST_USER: host_user}).mitm


def merged(parts: Sequence[Part]) -> Mitm:
    """All as one. Fault `config.invalid` for an id that two files have."""
    rules: list[Rule] = []
    tags: dict[str, Tag] = {}
    whose: dict[str, str] = {}
    for part in parts:
        for tag in part.mitm.tags:
            tags.setdefault(tag.id, tag)
        for rule in part.mitm.rules:
            before = whose.setdefault(rule.id, part.name)
            if before != part.name:
                raise Fault(
                    "config.invalid",
                    f"{part.name}: mitm.rules: {quoted(rule.id)} is a rule of {before} already; give each its own id.",
                )
            rules.append(rule)
    if len(rules) > MOST_RULES:
        raise Fault("config.invalid", f"There are {len(rules)} rules in all files, and may be {MOST_RULES}.")
    # Each file has been looked at by itself: one that names its tags asks for no others.
    return Mitm.model_construct(tags=tuple(tags.values()), rules=tuple(rules))


def _of_project(mitm: Mitm, project: str, name: str) -> Mitm:
    rules: list[Rule] = []
    for rule in mitm.rules:
        if rule.trigger.projects not in ((), (project,)):
            raise Fault(
                "config.invalid",
                f"{name}: the rule {quoted(rule.id)} names other projects than the one whose file this is.",
            )
        trigger = rule.trigger.model_copy(update={"projects": (project,)})
        rules.append(rule.model_copy(update={"trigger": trigger}))
    return mitm.model_copy(update={"rules": tuple(rules)})


def _of_projects(folder: Path) -> Iterable[Path]:
    try:
        return sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return ()
    except OSError as error:
        raise Fault("config.unreadable", f"{quoted(str(folder))} cannot be read.", cause=str(error)) from error


def _text(path: Path) -> str | None:
    try:
        return path.read_text("utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise Fault("config.unreadable", f"The file {quoted(str(path))} cannot be read.", cause=str(error)) from error
