"""Values that are put in at the egress door. Asked for or read from stdin, never an argument."""

from __future__ import annotations

from typing import Annotated

import typer

from bawn import sdk
from bawn.cli import output
from bawn.cli.keys import secret
from bawn.cli.options import Output
from bawn.cli.output import Format

app = typer.Typer(no_args_is_help=True, help="Credentials that containers use without ever holding them.")

COLUMNS = ("name", "host", "place", "containers", "placeholders", "fingerprint")

Name = Annotated[str, typer.Argument(help="A credential of the configuration.", show_default=False)]


@app.command("list", epilog="Example: bawn credentials list")
def list_credentials(form: Output = Format.TABLE) -> None:
    """List the configured credentials, by fingerprint; one without has no value yet."""
    with sdk.Client() as client:
        output.show(client.credentials.list(), COLUMNS, form)


@app.command(epilog="Example: bawn credentials add forge < token.txt")
def add(name: Name, form: Output = Format.TABLE) -> None:
    """Give a configured credential its value, or another one; it is asked for, or read from stdin."""
    text = secret(name)
    with sdk.Client() as client:
        output.show_one(client.credentials.put(name, text), form)


@app.command(epilog="Example: bawn credentials remove forge")
def remove(name: Name) -> None:
    """Forget a value; requests that need it are refused from now on."""
    with sdk.Client() as client:
        client.credentials.remove(name)
