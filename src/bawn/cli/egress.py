"""The ways out of containers: what was refused, and what is allowed."""

from __future__ import annotations

from typing import Annotated

import typer

from bawn import sdk
from bawn.cli import output
from bawn.cli.options import Output, Ref
from bawn.cli.output import Format

app = typer.Typer(no_args_is_help=True, help="What containers may reach besides models, and what they were refused.")

RULES = ("id", "rule", "source", "created")
PASSAGES = ("time", "container", "event", "host", "port", "code", "sentence")

Rule = Annotated[
    str, typer.Argument(help="`example.org:443`, `*.example.org:443`, `@pip` or `@npm`.", show_default=False)
]


@app.command("list", epilog="Example: bawn egress list dev")
def list_rules(ref: Ref, form: Output = Format.TABLE) -> None:
    """Show the rules that hold for a container, and where each comes from."""
    with sdk.Client() as client:
        output.show(client.egress.rules(ref), RULES, form)


@app.command(epilog="Example: bawn egress allow dev example.org:443")
def allow(ref: Ref, rule: Rule, form: Output = Format.TABLE) -> None:
    """Let a container reach a place, from its next connection on."""
    with sdk.Client() as client:
        output.show_one(client.egress.allow(ref, rule), form)


@app.command(epilog="Example: bawn egress remove dev 3")
def remove(
    ref: Ref, rule_id: Annotated[int, typer.Argument(help="As `bawn egress list` shows it.", show_default=False)]
) -> None:
    """Take back what was allowed; connections that stand by it are cut."""
    with sdk.Client() as client:
        client.egress.disallow(ref, rule_id)


@app.command(epilog="Example: bawn egress log dev --denied")
def log(
    ref: Annotated[str | None, typer.Argument(help="Name, number or id of one container.", show_default=False)] = None,
    denied: Annotated[bool, typer.Option("--denied", help="Only what was refused.")] = False,
    limit: Annotated[int, typer.Option("-n", "--limit", min=1, max=1000, help="How many, from the newest.")] = 50,
    form: Output = Format.TABLE,
) -> None:
    """Show what lately passed and what was refused, newest first."""
    with sdk.Client() as client:
        output.show(client.egress.log(container=ref, denied=denied, limit=limit), PASSAGES, form)


@app.command(epilog="Example: bawn egress suggest dev")
def suggest(ref: Ref, form: Output = Format.TABLE) -> None:
    """Propose rules from what was refused. Nothing is applied; allow what you recognise."""
    with sdk.Client() as client:
        found = client.egress.suggest(ref)
    if form is Format.JSON:
        output.show(found, ("rule",), form)
        return
    for each in found:
        output.say(f"bawn egress allow {output.clean(ref)} {output.clean(each.rule)}")
    if not found:
        output.note("Nothing was refused that a rule could allow.")
