"""Rules over conversations: what follows from what happens in them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from bawn import sdk
from bawn.cli import output
from bawn.cli.moment import back
from bawn.cli.options import Output
from bawn.cli.output import Format
from bawn.cli.replay import show_replay
from bawn.errors import Fault, quoted

app = typer.Typer(no_args_is_help=True, help="Rules: what follows from what happens in conversations.")

Id = Annotated[str, typer.Argument(help="Id of the rule.", show_default=False)]
_COLUMNS = ("id", "enabled", "event", "action", "fired", "source", "failed")


@app.command("list", epilog="Example: bawn rules list")
def list_rules(form: Output = Format.TABLE) -> None:
    """List the rules of all files, with how often they fired since the start."""
    with sdk.Client() as client:
        output.show(client.rules.list(), _COLUMNS, form)


@app.command("packs", epilog="Example: bawn rules packs")
def list_packs(form: Output = Format.TABLE) -> None:
    """List the rules that ship with Bawn: what each pack is for, its rules, and whether it was added here."""
    with sdk.Client() as client:
        output.show(client.rules.packs(), ("name", "added", "current", "about", "rules"), form)


@app.command(epilog="Example: bawn rules add @security-directives")
def add(
    what: Annotated[
        str,
        typer.Argument(help="A file with one rule as JSON or a list of them, or @ and a pack.", show_default=False),
    ],
    form: Output = Format.TABLE,
) -> None:
    """Add rules beside those of the configuration; they hold from the next call on. A pack that is there already gets the words
    of this version."""
    if what.startswith("@"):
        _add_pack(what[1:], form)
        return
    found = _read(Path(what))
    with sdk.Client() as client:
        added = [client.rules.add(rule) for rule in (found if isinstance(found, list) else [found])]
    output.show(added, _COLUMNS, form)


def _add_pack(name: str, form: Format) -> None:
    with sdk.Client() as client:
        before = next((pack for pack in client.rules.packs() if pack.name == name), None)
        added = client.rules.add_pack(name)
        rules = [rule for rule in client.rules.list() if rule.id in added.rules]
    if before is not None and before.added:
        done = "nothing changed" if before.current else "its rules now have the words of this version"
        output.note(f"@{name} was added already; {done}.")
    output.show(rules, _COLUMNS, form)


@app.command(epilog="Example: bawn rules remove @security-directives")
def remove(pack: Annotated[str, typer.Argument(help="@ and the name of a pack.", show_default=False)]) -> None:
    """Take all rules of a pack away."""
    if not pack.startswith("@"):
        raise Fault(
            "api.invalid", f"{quoted(pack)} is no pack.", remedy=f"One rule goes with: bawn rules delete {pack}"
        )
    with sdk.Client() as client:
        client.rules.remove_pack(pack[1:])


@app.command(epilog="Example: bawn rules edit guardrail guardrail.json")
def edit(
    rule: Id,
    file: Annotated[Path, typer.Argument(help="The whole rule as JSON.", show_default=False)],
    form: Output = Format.TABLE,
) -> None:
    """Put another rule in the place of one that was added."""
    with sdk.Client() as client:
        output.show([client.rules.edit(rule, _read(file))], _COLUMNS, form)


@app.command(epilog="Example: bawn rules enable guardrail")
def enable(rule: Id) -> None:
    """Let a rule that was added hold again."""
    with sdk.Client() as client:
        client.rules.enable(rule)


@app.command(epilog="Example: bawn rules disable guardrail")
def disable(rule: Id) -> None:
    """Keep a rule that was added, without effect."""
    with sdk.Client() as client:
        client.rules.disable(rule)


@app.command(epilog="Example: bawn rules delete guardrail")
def delete(rule: Id) -> None:
    """Take a rule that was added away."""
    with sdk.Client() as client:
        client.rules.delete(rule)


@app.command(epilog="Example: bawn rules check hoody.json")
def check(file: Annotated[Path, typer.Argument(help="A file with a `mitm` block.", show_default=False)]) -> None:
    """Say whether a file of rules would load; names each wrong line and what to write instead."""
    with sdk.Client() as client:
        verdict = client.rules.check(_text(file), file.name)
    for problem in verdict.problems:
        output.note(problem.sentence)
    if not verdict.fits:
        raise typer.Exit(1)
    output.say(f"{file} fits.")


@app.command("test", epilog="Example: bawn rules test hoody.json --replay ses_4f1")
def attempt(
    file: Annotated[
        Path | None,
        typer.Argument(help="A file with a `mitm` block; without it the rules that hold.", show_default=False),
    ] = None,
    event: Annotated[
        Path | None, typer.Option(help="What happened, as JSON; see docs/rules.md.", show_default=False)
    ] = None,
    replay: Annotated[
        str, typer.Option(metavar="SESSION", help="Try them on this session of the request log.", show_default=False)
    ] = "",
    container: Annotated[
        str, typer.Option(help="Of this container, where several have such a session.", show_default=False)
    ] = "",
    rule: Annotated[str, typer.Option(help="Only this rule, also one that is not enabled.", show_default=False)] = "",
    since: Annotated[
        str, typer.Option(help="Of a session, calls from then on: 2h, or 2030-01-31T12:00Z.", show_default=False)
    ] = "",
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Of a session, at most so many calls.")] = 200,
    form: Output = Format.TABLE,
) -> None:
    """Say which rules would fire on an event or in a recorded session, and what they would change, as a diff. Nothing is done."""
    if (event is None) == (not replay):
        raise typer.BadParameter("name either an --event or a session to --replay")
    text, name = (_text(file), file.name) if file is not None else (None, "")
    if event is None:
        moment = back(since, datetime.now(UTC)) if since else None
        with sdk.Client() as client:
            found = client.rules.replay(
                replay, container=container or None, text=text, name=name, rule=rule or None, since=moment, limit=limit
            )
        show_replay(found, form)
        return
    happened = _read(event)
    with sdk.Client() as client:
        trials = client.rules.test(happened, text=text, name=name)
    trials = [trial for trial in trials if rule in ("", trial.rule)]
    if form is Format.JSON:
        output.show(trials, ("rule", "action", "change"), form)
        return
    for trial in trials:
        output.say(f"{trial.rule}: {trial.action}{' (dry run)' if trial.dry_run else ''}")
        if trial.change:
            output.difference(trial.change)
        if trial.failed:
            output.say(f"  its condition cannot be told: {trial.failed}")
    if not trials:
        output.say("No rule fires.")


@app.command(epilog="Example: bawn rules log --rule guardrail")
def log(
    limit: Annotated[int, typer.Option(help="How many, the newest first.")] = 100,
    rule: Annotated[str, typer.Option(help="Only of this rule.", show_default=False)] = "",
    form: Output = Format.TABLE,
) -> None:
    """Show what fired since the start: on what, what became of it, and why it failed."""
    columns = ("at", "rule", "event", "session", "effect", "microseconds", "error", "printed")
    with sdk.Client() as client:
        output.show(client.rules.log(limit=limit, rule=rule or None), columns, form)


def _text(file: Path) -> str:
    try:
        return Path(file).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Fault("config.unreadable", f"The file {quoted(str(file))} cannot be read.", cause=str(error)) from error


def _read(file: Path) -> Any:
    try:
        return json.loads(_text(file))
    except ValueError as error:
        raise Fault("config.invalid", f"{quoted(str(file))} is not JSON: {error}.") from error
