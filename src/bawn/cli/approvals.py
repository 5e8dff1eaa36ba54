"""Questions to people: what waits, what exactly is asked, and the answers.

What is asked comes from agents and is shown by `output` alone, with everything invisible written out. An answer carries
the digest of what was shown; what was not shown cannot be approved.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from bawn import sdk
from bawn.cli import output
from bawn.cli.options import Output
from bawn.cli.output import Format
from bawn.errors import Fault
from bawn.sdk import shapes

app = typer.Typer(no_args_is_help=True, help="Questions that wait for a person.")

COLUMNS = ("id", "state", "container", "tool", "title", "because", "asked", "expires", "by")
_LAST = 5
"""Of the live view: how many that are answered stay in sight."""

Approval = Annotated[str, typer.Argument(help="Its id, or at least 8 characters of its beginning.", show_default=False)]
Digest = Annotated[
    str, typer.Option(help="Answer what has this digest, without being asked again.", show_default=False)
]
Reason = Annotated[str, typer.Option(help="Told to the agent beside the answer.", show_default=False)]


@app.command("list", epilog="Example: bawn approvals list --state all")
def list_approvals(
    state: Annotated[
        str, typer.Option(help="open, approved, edited, rejected, expired, withdrawn, or all.", show_default=False)
    ] = "open",
    container: Annotated[str | None, typer.Option(help="Only those of one container.", show_default=False)] = None,
    limit: Annotated[int, typer.Option("-n", "--limit", min=1, max=1000, help="How many, from the newest.")] = 100,
    form: Output = Format.TABLE,
) -> None:
    """Show what waits for an answer, without what exactly is asked."""
    with sdk.Client() as client:
        output.show(client.approvals.list(state=state, container=container, limit=limit), COLUMNS, form)


@app.command(epilog="Example: bawn approvals show apr_0123456789abcdef")
def show(approval: Approval, form: Output = Format.TABLE) -> None:
    """Show exactly what is asked, and its digest."""
    with sdk.Client() as client:
        found = client.approvals.get(approval)
    _show(found, form)


@app.command(epilog="Example: bawn approvals approve apr_0123456789abcdef --reason 'looked at it'")
def approve(
    approval: Approval,
    digest: Digest = "",
    arguments: Annotated[
        Path | None,
        typer.Option(help="A file with other arguments that take their place; - is stdin.", show_default=False),
    ] = None,
    reason: Reason = "",
    form: Output = Format.TABLE,
) -> None:
    """Say yes, once, to exactly what is shown."""
    edited = None
    if arguments is not None:
        data = sys.stdin.buffer.read() if str(arguments) == "-" else arguments.read_bytes()
        try:
            edited = data.decode("utf-8").rstrip("\n")
        except UnicodeDecodeError:
            raise Fault("api.invalid", "The arguments are not UTF-8.") from None
    with sdk.Client() as client:
        seen = digest or _seen(client, approval, "Approve this?", form)
        _told(client.approvals.approve(approval, seen, reason=reason, arguments=edited), form)


@app.command(epilog="Example: bawn approvals reject apr_0123456789abcdef --reason 'not on a Friday'")
def reject(approval: Approval, digest: Digest = "", reason: Reason = "", form: Output = Format.TABLE) -> None:
    """Say no; an equal call hears the same until the question would have expired."""
    with sdk.Client() as client:
        seen = digest or _seen(client, approval, "Reject this?", form)
        _told(client.approvals.reject(approval, seen, reason=reason), form)


@app.command(epilog="Example: bawn approvals watch")
def watch(form: Output = Format.TABLE) -> None:
    """Show what waits, as it comes and goes; a line for each change where there is no terminal."""
    with sdk.Client() as client:
        if form is Format.JSON or not sys.stdout.isatty():
            for each in client.approvals.watch():
                _line(each, form)
            return
        waiting: dict[str, shapes.Approval] = {}
        over: list[shapes.Approval] = []
        console = Console(highlight=False, markup=False, emoji=False)
        with Live(_table(waiting, over), console=console, auto_refresh=False) as live:
            for each in client.approvals.watch():
                if each.state == "open":
                    waiting[each.id] = each
                else:
                    waiting.pop(each.id, None)
                    over = [*[other for other in over if other.id != each.id], each][-_LAST:]
                live.update(_table(waiting, over), refresh=True)


def _table(waiting: dict[str, shapes.Approval], over: list[shapes.Approval]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("id", "state", "container", "asks", "because", "expires", "by"):
        table.add_column(column, no_wrap=column != "because", overflow="ellipsis" if column != "because" else "fold")
    for each in (*waiting.values(), *over):
        asks = each.title or each.tool
        # Enough of the id to answer by.
        cells = (each.id[:16], each.state, each.container, asks, each.because, each.expires, each.by)
        table.add_row(*(Text(output.cell(cell)) for cell in cells), style="" if each.state == "open" else "dim")
    if not waiting:
        table.add_row(Text("nothing waits", style="dim"))
    return table


def _line(each: shapes.Approval, form: Format) -> None:
    if form is Format.JSON:
        output.say(json.dumps(output.plain(each), default=str))
        return
    asks = each.title or each.tool
    by = f" by {each.by}" if each.by else ""
    output.say("  ".join(map(output.cell, (each.id, f"{each.state}{by}", each.container, asks, each.because))))


def _seen(client: sdk.Client, approval: str, question: str, form: Format) -> str:
    """The digest of what the person has just been shown, and said yes to."""
    found = client.approvals.get(approval)
    if not sys.stdin.isatty():
        raise Fault(
            "api.invalid", "Nobody is there to be shown what is asked.", remedy="Give --digest of what was seen."
        )
    _show(found, Format.TABLE)
    if not typer.confirm(question, default=False, err=True):
        raise typer.Exit(1)
    return found.digest


def _show(found: shapes.Approval, form: Format) -> None:
    if form is Format.JSON:
        output.show_one(found, form)
        return
    told = output.plain(found)
    arguments, canonical, edited = told.pop("arguments"), told.pop("canonical"), told.pop("edited")
    output.show_one({name: value for name, value in told.items() if value not in ("", None)}, form)
    output.say("\nWhat is asked:")
    output.say_part(f"{canonical or arguments or ''}\n")
    if edited:
        output.say("\nInstead of it:")
        output.say_part(f"{edited}\n")


def _told(after: shapes.Approval, form: Format) -> None:
    if form is Format.JSON:
        output.show_one(after, form)
    else:
        output.say(f"{after.id} is {after.state} by {output.clean(after.by)}.")
