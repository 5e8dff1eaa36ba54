"""Keys of providers. The secret is asked for or read from stdin, never an argument: arguments are public."""

from __future__ import annotations

import getpass
import sys
from typing import Annotated

import typer

from bawn import sdk
from bawn.cli import output
from bawn.cli.options import Output
from bawn.cli.output import Format

app = typer.Typer(no_args_is_help=True, help="Keys of providers, which no container ever sees.")

COLUMNS = ("id", "provider", "name", "fingerprint", "created", "rotated")

KeyId = Annotated[str, typer.Argument(help="The key's id, as `bawn keys list` shows it.", show_default=False)]


def secret(of: str) -> str:
    """Asked without echo, or the whole of stdin."""
    given = getpass.getpass(f"Key for {output.clean(of)}: ") if sys.stdin.isatty() else sys.stdin.read()
    if not given.strip():
        raise typer.BadParameter("the key is empty")
    return given.strip()


@app.command(epilog="Example: bawn keys add anthropic    or: bawn keys add anthropic < key.txt")
def add(
    provider: Annotated[str, typer.Argument(help="A configured provider.", show_default=False)],
    name: Annotated[str, typer.Option(help="To tell several keys apart.", show_default=False)] = "",
    form: Output = Format.TABLE,
) -> None:
    """Add a key; it is asked for, or read from stdin."""
    text = secret(provider)
    with sdk.Client() as client:
        output.show_one(client.keys.add(provider, text, name=name or None), form)


@app.command("list", epilog="Example: bawn keys list -o json")
def list_keys(form: Output = Format.TABLE) -> None:
    """List keys by fingerprint."""
    with sdk.Client() as client:
        output.show(client.keys.list(), COLUMNS, form)


@app.command(epilog="Example: bawn keys rotate key-1 < new-key.txt")
def rotate(key_id: KeyId, form: Output = Format.TABLE) -> None:
    """Give a key another secret, used from the next call on."""
    text = secret(key_id)
    with sdk.Client() as client:
        output.show_one(client.keys.rotate(key_id, text), form)


@app.command(epilog="Example: bawn keys remove key-1")
def remove(key_id: KeyId) -> None:
    """Forget a key."""
    with sdk.Client() as client:
        client.keys.remove(key_id)


@app.command(epilog="Example: bawn keys reset --yes")
def reset(yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False) -> None:
    """Forget all keys and make a new master key: the way out when the old one is lost."""
    if not yes:
        typer.confirm("All keys are forgotten and have to be added anew. Go on?", abort=True)
    with sdk.Client() as client:
        client.keys.reset()
