"""Snapshots of a container: workspace and home as they were."""

from __future__ import annotations

from typing import Annotated

import typer

from bawn import sdk
from bawn.cli import output
from bawn.cli.options import Output, Ref
from bawn.cli.output import Format

app = typer.Typer(no_args_is_help=True, help="Snapshots of a container: workspace and home as they were.")

COLUMNS = ("name", "alias", "created", "files", "size_bytes")

Name = Annotated[str, typer.Argument(help="snap-YYYYMMDD-HHMMSS, or its alias.", show_default=False)]


@app.command(epilog="Example: bawn snapshots create dev --alias before-refactoring")
def create(
    ref: Ref,
    alias: Annotated[str, typer.Option(help="A name of your own for it.", show_default=False)] = "",
    form: Output = Format.TABLE,
) -> None:
    """Keep workspace and home as they are now; a running container is held still meanwhile."""
    with sdk.Client() as client:
        output.show_one(client.snapshots.create(ref, alias=alias or None), form)


@app.command("list", epilog="Example: bawn snapshots list dev")
def list_snapshots(ref: Ref, form: Output = Format.TABLE) -> None:
    """List the snapshots of a container, oldest first."""
    with sdk.Client() as client:
        output.show(client.snapshots.list(ref), COLUMNS, form)


@app.command(epilog="Example: bawn snapshots restore dev snap-20300131-120000")
def restore(
    ref: Ref, name: Name, yes: Annotated[bool, typer.Option("-y", "--yes", help="Do not ask.")] = False
) -> None:
    """Bring workspace and home back; a running container is started anew, and may do what it may do now."""
    if not yes:
        typer.confirm(
            f"Replace the workspace and home of {ref} by {name}? What is there now is lost.", abort=True, err=True
        )
    with sdk.Client() as client:
        restored = client.snapshots.restore(ref, name)
    output.say(f"{ref} is as it was at {output.cell(restored.created)}.")


@app.command(epilog="Example: bawn snapshots delete dev snap-20300131-120000")
def delete(ref: Ref, name: Name) -> None:
    """Delete a snapshot."""
    with sdk.Client() as client:
        client.snapshots.delete(ref, name)
