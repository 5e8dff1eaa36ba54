"""What was used, and what can be."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated

import typer

from bawn import sdk
from bawn.cli import output
from bawn.cli.moment import back
from bawn.cli.options import Output
from bawn.cli.output import Format


class By(StrEnum):
    CONTAINER = "container"
    MODEL = "model"


def usage(
    by: Annotated[By, typer.Option(help="What to sum up by.")] = By.CONTAINER,
    since: Annotated[str, typer.Option(help="24h, 7d, or 2030-01-31T12:00Z.", show_default=False)] = "",
    form: Output = Format.TABLE,
) -> None:
    """Show tokens, cost and calls.

    Example: bawn usage --by model --since 24h
    """
    moment = back(since, datetime.now(UTC)) if since else None
    with sdk.Client() as client:
        rows = client.usage(by=by.value, since=moment)
    columns = (by.value, "calls", "refused", "tokens_in", "tokens_out", "tokens_cached", "cost_usd")
    output.show(rows, columns, form)


def models(
    container: Annotated[
        str, typer.Option(help="Only those that this container may use, as it sees them.", show_default=False)
    ] = "",
    form: Output = Format.TABLE,
) -> None:
    """List the models that containers can name, with the wires that their providers speak themselves.

    Example: bawn models --container dev
    """
    with sdk.Client() as client:
        output.show(
            client.models.list(container=container or None), ("id", "provider", "wires", "alias_of", "default"), form
        )
