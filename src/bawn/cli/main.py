"""The verbs of `bawn`, and what its exit code means.

0 done · 1 refused or failed · 2 wrong usage · 3 Bawn does not answer · 4 not an operator, or the role is missing.
`run` and `exec` end with the exit code of the command.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from bawn import __version__
from bawn.cli import (
    adapters,
    approvals,
    attach,
    audit,
    config,
    containers,
    credentials,
    daemon,
    egress,
    files,
    images,
    kb,
    keys,
    operators,
    output,
    ports,
    providers,
    rules,
    run,
    scripts,
    sessions,
    snapshots,
    tasks,
    transforms,
    usage,
    workspaces,
)
from bawn.errors import Fault

UNREACHABLE, FORBIDDEN = 3, 4
EXIT_CODES = {
    "daemon.unreachable": UNREACHABLE,
    "api.unauthenticated": FORBIDDEN,
    "api.forbidden": FORBIDDEN,
    "api.foreign_origin": FORBIDDEN,
    "api.unknown_host": FORBIDDEN,
}

EPILOG = """
Begin with:  bawn up --detach;  bawn run --name dev --mount . -- opencode;  bawn why dev

Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 Bawn does not answer, 4 not allowed;
run and exec end with the exit code of the command.

Environment: BAWN_HOME, BAWN_CONFIG, BAWN_SOCKET; or BAWN_URL with BAWN_TOKEN, a personal token.
"""

app = typer.Typer(
    name="bawn",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def version(wanted: bool) -> None:
    if wanted:
        output.say(f"bawn {__version__}")
        raise typer.Exit


@app.callback()
def bawn(
    shown: Annotated[
        bool, typer.Option("--version", callback=version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """The walled yard for AI agents: containers without keys and without a network, one attested door."""


app.command()(daemon.up)
app.command()(daemon.down)
app.command()(daemon.status)
app.command()(run.run)
app.add_typer(containers.app, name="containers")
app.command("exec", epilog="Example: bawn exec dev -- git status")(containers.execute)
app.command("logs", epilog="Example: bawn logs dev --follow")(containers.logs)
app.command("why", epilog="Example: bawn why dev")(containers.why)
app.command("usage")(usage.usage)
app.add_typer(egress.app, name="egress")
app.add_typer(credentials.app, name="credentials")
app.add_typer(scripts.app, name="scripts")
app.command()(attach.attach)
app.command("diff")(workspaces.diff)
app.command("apply")(workspaces.apply)
app.add_typer(snapshots.app, name="snapshots")
app.add_typer(files.app, name="files")
app.add_typer(ports.app, name="ports")
app.add_typer(keys.app, name="keys")
app.add_typer(operators.app, name="operators")
app.add_typer(images.app, name="images")
app.command("models")(usage.models)
app.add_typer(providers.app, name="providers")
app.add_typer(approvals.app, name="approvals")
app.add_typer(tasks.app, name="tasks")
app.add_typer(adapters.app, name="adapters")
app.add_typer(transforms.app, name="transforms")
app.add_typer(kb.app, name="kb")
app.add_typer(rules.app, name="rules")
app.add_typer(sessions.app, name="sessions")
app.add_typer(config.app, name="config")
app.add_typer(audit.app, name="audit")


def main() -> int:
    """Runs one command; returns its exit code."""
    try:
        app(prog_name="bawn")
    except Fault as fault:
        output.tell(fault)
        return EXIT_CODES.get(fault.code, 1)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BrokenPipeError:
        # The reader of a pipe has seen enough; that is no failure, and the interpreter shall not complain on exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        return 130
    return 0
