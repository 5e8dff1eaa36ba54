"""Options that several commands share."""

from __future__ import annotations

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
