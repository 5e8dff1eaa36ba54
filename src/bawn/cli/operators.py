"""Operators: the people who may see and change this installation, and their tokens."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from bawn import sdk
from bawn.cli import output
from bawn.cli.moment import ahead
from bawn.cli.options import Output
from bawn.cli.output import Format
from bawn.terms.principal import Role

app = typer.Typer(no_args_is_help=True, help="People who may see and change this installation.")

Person = Annotated[str, typer.Argument(help="A login name, or another short name.", show_default=False)]


@app.command("list", epilog="Example: bawn operators list")
def list_operators(form: Output = Format.TABLE) -> None:
    """List everybody."""
    with sdk.Client() as client:
        output.show(client.operators.list(), ("person", "roles", "uid", "created"), form)


@app.command(epilog="Example: bawn operators add ada --role viewer")
def add(
    person: Person,
    role: Annotated[list[Role], typer.Option(help="viewer reads, admin changes.", show_default=False)],
    uid: Annotated[int | None, typer.Option(help="User id; default: the login's of that name.")] = None,
    form: Output = Format.TABLE,
) -> None:
    """Add a person."""
    with sdk.Client() as client:
        output.show_one(client.operators.add(person, [each.value for each in role], uid=uid), form)


@app.command(epilog="Example: bawn operators remove ada")
def remove(person: Person) -> None:
    """Remove a person with all tokens, effective at once."""
    with sdk.Client() as client:
        client.operators.remove(person)


@app.command(epilog="Example: bawn operators token ada --label laptop --expires 30d")
def token(
    person: Person,
    label: Annotated[str, typer.Option(help="Where it will be used.", show_default=False)] = "",
    expires: Annotated[str, typer.Option(help="30d, or 2030-01-31T12:00Z. Default: 90d.", show_default=False)] = "",
) -> None:
    """Issue a personal token for 127.0.0.1; it is shown this once."""
    moment = ahead(expires, datetime.now(UTC)) if expires else None
    with sdk.Client() as client:
        issued = client.operators.issue_token(person, label=label or None, expires=moment)
    output.note(f"This token of {person!r} is shown once and ends {output.cell(issued.token.expires)}:")
    output.say(issued.secret)


@app.command(epilog="Example: bawn operators tokens ada -o json")
def tokens(person: Person, form: Output = Format.TABLE) -> None:
    """List a person's tokens, without their secrets."""
    with sdk.Client() as client:
        columns = ("id", "label", "created", "expires", "last_used", "revoked")
        output.show(client.operators.tokens(person), columns, form)


@app.command(epilog="Example: bawn operators revoke ada 0123456789abcdef")
def revoke(
    person: Person, token_id: Annotated[str, typer.Argument(help="The token's id.", show_default=False)]
) -> None:
    """Revoke one token, effective at once."""
    with sdk.Client() as client:
        client.operators.revoke_token(person, token_id)
