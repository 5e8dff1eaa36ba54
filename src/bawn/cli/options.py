"""Options that several commands share."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from bawn.cli.output import Format

Output = Annotated[Format, typer.Option("-o", "--output", help="A table for people, or JSON for programs.")]
Ref = Annotated[str, typer.Argument(help="Name, number or id of the container.", show_default=False)]
Command = Annotated[list[str], typer.Argument(help="The command and its arguments, after `--`.", show_default=False)]


class Mode(StrEnum):
    """How a container works in its directory."""

    LIVE = "live"
    COPY = "copy"


WorkspaceMode = Annotated[
    Mode | None,
    typer.Option(
        "--workspace", help="live: the directory itself; copy: a private copy, see `diff`.", show_default=False
    ),
]
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?", re.IGNORECASE)


def size(text: str) -> int:
    """A number of bytes as a person writes it: 512m, 2g, 1.5GiB."""
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise typer.BadParameter(f"{text!r} is not like 512m or 2g")
    return int(float(found[1]) * _UNITS[found[2].lower()])


class IsolationMode(StrEnum):
    """Whose kernel a container runs on."""

    STANDARD = "standard"
    STRONG = "strong"


Isolation = Annotated[
    IsolationMode | None,
    typer.Option(help="strong: a kernel of its own (gVisor); default: as configured.", show_default=False),
]
Memory = Annotated[
    str, typer.Option(help="What it may hold, scratch folders included: 512m, 2g.", show_default=False, metavar="SIZE")
]
Cpus = Annotated[
    float | None, typer.Option(help="How many processors' time it may take: 1.5.", show_default=False, metavar="NUMBER")
]
Pids = Annotated[int | None, typer.Option(help="How many processes and threads.", show_default=False, metavar="NUMBER")]
Disk = Annotated[
    str,
    typer.Option(help="What /tmp, /dev/shm and its home may hold, each: 512m, 2g.", show_default=False, metavar="SIZE"),
]
Role = Annotated[str, typer.Option(help="What it is there for, in a word by which rules know it.", show_default=False)]
Tags = Annotated[
    list[str] | None, typer.Option("--tag", help="That all its sessions carry; several times.", show_default=False)
]
Env = Annotated[
    list[str] | None,
    typer.Option("-e", "--env", help="A variable of the command, NAME=VALUE; several times.", show_default=False),
]
Soft = Annotated[
    bool, typer.Option("--allow-soft-limits", help="Start it though a limit cannot be held here; the status says so.")
]


def limits(memory: str, cpus: float | None, pids: int | None, disk: str) -> dict[str, int | float]:
    """What was said of them, by the words of the API."""
    said = {
        "memory_bytes": size(memory) if memory else None,
        "cpus": cpus,
        "pids": pids,
        "scratch_bytes": size(disk) if disk else None,
    }
    return {name: value for name, value in said.items() if value is not None}


Timeout = Annotated[
    str, typer.Option(help="End it after this long, with exit code 124: 90s, 10m.", show_default=False, metavar="TIME")
]
Workspace = Annotated[
    Path | None,
    typer.Option(
        help="A directory of this machine that becomes its workspace.",
        exists=True,
        file_okay=False,
        show_default=False,
    ),
]


def variables(said: list[str] | None) -> dict[str, str]:
    """`NAME=VALUE` each. BadParameter for anything else."""
    found: dict[str, str] = {}
    for each in said or ():
        name, equals, value = each.partition("=")
        if not equals or not name.isidentifier() or not name.isascii():
            raise typer.BadParameter(f"{each!r} is not of the form NAME=VALUE", param_hint="--env")
        found[name] = value
    return found
