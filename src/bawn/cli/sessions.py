"""Conversations of agents."""

from __future__ import annotations

from typing import Annotated

import typer

from bawn import sdk

app = typer.Typer(no_args_is_help=True, help="Conversations of agents.")


@app.command(epilog="Example: bawn sessions tag dev ses_4f1 prod night")
def tag(
    container: Annotated[str, typer.Argument(help="Name or number of the container.", show_default=False)],
    session: Annotated[str, typer.Argument(help="The conversation, as `bawn rules log` names it.", show_default=False)],
    tags: Annotated[list[str] | None, typer.Argument(help="Tags; none: take all away.", show_default=False)] = None,
) -> None:
    """Give a conversation tags, in place of those that it was given before; rules ask for them."""
    with sdk.Client() as client:
        client.sessions.tag(container, session, tags or [])
