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

COLUMNS = ("id", "provider", "name", "weight", "fingerprint", "created", "rotated", "rests_s")

KeyId = Annotated[str, typer.Argument(help="The provider, or the key's id.", metavar="PROVIDER|ID", show_default=False)]
Label = Annotated[
    str, typer.Option("--label", "--name", help="Which of several keys of a provider.", show_default=False)
]


def ref(key_id: str, label: str) -> str:
    return f"{key_id}:{label}" if label else key_id


def secret(of: str) -> str:
    """Asked without echo, or the whole of stdin."""
    given = getpass.getpass(f"Key for {output.clean(of)}: ") if sys.stdin.isatty() else sys.stdin.read()
    if not given.strip():
        raise typer.BadParameter("the key is empty")
    return given.strip()


@app.command(epilog="Example: bawn keys add anthropic    or: bawn keys add anthropic --label spare < key.txt")
def add(
    provider: Annotated[str, typer.Argument(help="A configured provider.", show_default=False)],
    label: Annotated[
        str, typer.Option("--label", "--name", help="To tell several keys of a provider apart.", show_default=False)
    ] = "",
    weight: Annotated[
        int, typer.Option(help="Its share of the calls, beside that of the others.", min=1, max=1000)
    ] = 1,
    form: Output = Format.TABLE,
) -> None:
    """Add a key; it is asked for, or read from stdin."""
    text = secret(provider)
    with sdk.Client() as client:
        output.show_one(client.keys.add(provider, text, name=label or None, weight=weight), form)


@app.command("list", epilog="Example: bawn keys list -o json")
def list_keys(form: Output = Format.TABLE) -> None:
    """List keys by fingerprint."""
    with sdk.Client() as client:
        output.show(client.keys.list(), COLUMNS, form)


@app.command(epilog="Example: bawn keys rotate anthropic --label spare < new-key.txt")
def rotate(key_id: KeyId, label: Label = "", form: Output = Format.TABLE) -> None:
    """Give a key another secret, used from the next call on."""
    text = secret(ref(key_id, label))
    with sdk.Client() as client:
        output.show_one(client.keys.rotate(ref(key_id, label), text), form)


@app.command(epilog="Example: bawn keys remove anthropic --label spare")
def remove(key_id: KeyId, label: Label = "") -> None:
    """Forget a key."""
    with sdk.Client() as client:
        client.keys.remove(ref(key_id, label))


@app.command(epilog="Example: bawn keys reset --yes")
def reset(yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False) -> None:
    """Forget all keys and make a new master key: the way out when the old one is lost."""
    if not yes:
        typer.confirm("All keys are forgotten and have to be added anew. Go on?", abort=True)
    with sdk.Client() as client:
        client.keys.reset()
