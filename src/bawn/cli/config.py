"""The configuration file. `schema` and `check` work while nothing runs: they start Bawn's own program for it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer
import yaml

from bawn import sdk
from bawn.cli import output
from bawn.cli.options import Output
from bawn.cli.output import Format
from bawn.cli.places import config_file

app = typer.Typer(no_args_is_help=True, help="The configuration file.")


def asked(*words: str) -> int:
    """Runs `python -m bawn.app config …`; what it writes passes by the exit like everything else."""
    done = subprocess.run(
        [sys.executable, "-m", "bawn.app", "config", *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.stdout:
        output.say(done.stdout.rstrip("\n"))
    if done.stderr:
        output.note(done.stderr.rstrip("\n"))
    return done.returncode


@app.command(epilog="Example: bawn config schema > bawn.schema.json")
def schema() -> None:
    """Print the JSON Schema of the configuration file."""
    raise typer.Exit(asked("schema"))


@app.command(epilog="Example: bawn config check ./bawn.yaml")
def check(
    path: Annotated[Path | None, typer.Argument(help="Default: the file that Bawn reads.", show_default=False)] = None,
) -> None:
    """Say whether a file would load; names each wrong line and what to write instead."""
    raise typer.Exit(asked("check", str((path or config_file()).absolute())))


@app.command(epilog="Example: bawn config show -o json")
def show(form: Output = Format.TABLE) -> None:
    """Show what holds now, without secrets."""
    with sdk.Client() as client:
        effective = client.config.effective()
    if form is Format.JSON:
        output.show_one(effective, form)
    else:
        output.say(yaml.safe_dump(effective, sort_keys=False, allow_unicode=False).rstrip("\n"))


@app.command(epilog="Example: bawn config reload")
def reload() -> None:
    """Read the file again; a bad one is refused and changes nothing."""
    with sdk.Client() as client:
        verdict = client.config.reload()
    for problem in verdict.problems:
        line = f" (line {problem.line})" if problem.line else ""
        output.note(f"{problem.path}{line}: {problem.sentence} {problem.remedy}")
    raise typer.Exit(0 if verdict.fits else 1)
