"""The record of what happened."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from bawn import sdk
from bawn.cli import output
from bawn.cli.output import Format

app = typer.Typer(no_args_is_help=True, help="The record of what happened.")


@app.command(epilog="Example: bawn audit tail --follow | jq 'select(.event == \"call.refused\")'")
def tail(
    lines: Annotated[int, typer.Option("-n", "--lines", help="How many.", min=0, max=10_000)] = 20,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on as it grows.")] = False,
    form: Annotated[Format, typer.Option("-o", "--output", help="Words, or one JSON object a line.")] = Format.JSON,
) -> None:
    """Show the last records, oldest first."""
    with sdk.Client() as client:
        for record in client.audit.tail(lines=lines, follow=follow):
            if form is Format.JSON:
                output.say(json.dumps(record))
            else:
                output.say("  ".join(f"{name}={output.cell(value)}" for name, value in record.items() if value))
