"""`bawn run`: create, start, run a command, and with `--rm` take everything away again."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from bawn import sdk
from bawn.cli import output, terminal
from bawn.cli.containers import Ai, Expires
from bawn.cli.moment import ahead
from bawn.cli.options import Command, Workspace
from bawn.errors import Fault

_LEAVE = """\
exec setsid -f "$@" </dev/null >>/tmp/bawn-run.log 2>&1"""
DETACHED = ("sh", "-c", _LEAVE, "bawn-run")
"""Leaves the session with its command; what that writes stands in /tmp/bawn-run.log inside."""


def run(
    command: Command,
    name: Annotated[str, typer.Option(help="Small letters, digits, hyphens.", show_default=False)] = "",
    project: Annotated[str, typer.Option(help="What it belongs to.")] = "default",
    image: Annotated[str, typer.Option(help="Default: as configured.", show_default=False)] = "",
    runtime: Annotated[str, typer.Option(help="podman or bubblewrap.", show_default=False)] = "",
    mount: Workspace = None,
    ai: Ai = None,
    task: Annotated[str, typer.Option(help="What it is for; kept with it.", show_default=False)] = "",
    expires: Expires = "",
    remove: Annotated[bool, typer.Option("--rm", help="Delete the container when the command has ended.")] = False,
    detach: Annotated[bool, typer.Option("-d", "--detach", help="Start the command and leave it.")] = False,
) -> None:
    """Run a command in a new container, on this terminal.

    Example: bawn run --name dev --mount . -- opencode
    """
    if remove and detach:
        raise typer.BadParameter("--rm and --detach exclude each other; use --expires with --detach")
    moment = ahead(expires, datetime.now(UTC)) if expires else None
    with sdk.Client() as client:
        made = client.containers.create(
            name or None,
            project=project,
            image=image or None,
            runtime=runtime or None,
            mount=str(mount.absolute()) if mount else None,
            ai=ai,
            task=task or None,
            expires=moment,
        )
        try:
            try:
                client.containers.start(made.id)
            except Fault:
                # Nothing ran in it: it would only be in the way of the next try.
                client.containers.delete(made.id)
                raise
            code = terminal.run_here(made.id, [*DETACHED, *command] if detach else command)
        finally:
            if remove:
                gone(client, made.id)
    if detach and code == 0:
        output.say(made.name)
    raise typer.Exit(code)


def gone(client: sdk.Client, ref: str) -> None:
    """Deletes it; that somebody else did so already is as good."""
    try:
        client.containers.delete(ref)
    except Fault as fault:
        if fault.code != "api.not_found":
            raise
