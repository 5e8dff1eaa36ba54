"""Providers of models: whether they answer."""

from __future__ import annotations

from typing import Annotated

import typer

from bawn import sdk
from bawn.cli import output
from bawn.cli.options import Output
from bawn.cli.output import Format

app = typer.Typer(no_args_is_help=True, help="Providers of models, as the configuration names them.")

COLUMNS = ("provider", "call", "model", "key", "works", "problem", "sentence", "ms")


@app.callback()
def providers() -> None:
    """A noun of its own, though it has one verb."""


@app.command(epilog="Example: bawn providers check anthropic")
def check(
    name: Annotated[str, typer.Argument(help="One provider; else all of them.", show_default=False)] = "",
    form: Output = Format.TABLE,
    json: Annotated[bool, typer.Option("--json", help="The same as -o json.")] = False,
) -> None:
    """Make small calls with each key: a word by every wire it speaks, or the list of models. May cost a few tokens."""
    with sdk.Client() as client:
        checks = client.providers.check(name or None)
    output.show(checks, COLUMNS, Format.JSON if json else form)
    if not all(each.works for each in checks):
        raise typer.Exit(1)
