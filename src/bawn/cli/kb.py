"""Knowledge bases, whose passages are put beside what agents ask."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from bawn import sdk
from bawn.cli import output
from bawn.cli.options import Output
from bawn.cli.output import Format

app = typer.Typer(no_args_is_help=True, help="Folders whose texts are put beside what agents ask.")

Base = Annotated[str, typer.Argument(help="Name of the base.", show_default=False)]


@app.command(epilog="Example: bawn kb add docs --name handbook")
def add(
    folder: Annotated[
        Path, typer.Argument(help="A folder of the machine that Bawn runs on.", show_default=False, metavar="DIR")
    ],
    name: Annotated[str, typer.Option(help="Name of the base; else that of the folder.", show_default=False)] = "",
    form: Output = Format.TABLE,
) -> None:
    """Take the texts of a folder into a base; again, to take what has changed in it."""
    path = Path(folder).absolute()
    base = name or re.sub(r"[^a-z0-9]+", "-", path.name.lower()).strip("-")
    with sdk.Client() as client:
        output.show_one(client.knowledge.add(base, str(path)), form)


@app.command("list", epilog="Example: bawn kb list")
def list_bases(form: Output = Format.TABLE) -> None:
    """List the bases with their folders; `transforms.context` says who gets passages of them."""
    with sdk.Client() as client:
        output.show(client.knowledge.list(), ("name", "files", "passages", "folders"), form)


@app.command(epilog="Example: bawn kb remove handbook")
def remove(base: Base) -> None:
    """Take a base away with all its passages; the folders stay what they are."""
    with sdk.Client() as client:
        client.knowledge.remove(base)
