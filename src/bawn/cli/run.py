"""`bawn run`: create, start, run a command, and with `--rm` take everything away again."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from bawn import sdk
from bawn.cli import output, terminal
from bawn.cli.containers import Ai, Expires
from bawn.cli.moment import ahead, seconds
from bawn.cli.options import (
    Command,
    Cpus,
    Disk,
    Env,
    Isolation,
    Memory,
    Mode,
    Pids,
    Role,
    Soft,
    Tags,
    Timeout,
    Workspace,
    WorkspaceMode,
    limits,
    variables,
)
from bawn.cli.workspaces import bring_over, counted, has_uncommitted_work
from bawn.errors import Fault
from bawn.sdk.shapes import Container

_LEAVE = """\
exec setsid -f "$@" </dev/null >>/tmp/bawn-run.log 2>&1"""
DETACHED = ("sh", "-c", _LEAVE, "bawn-run")
"""Leaves the session with its command; what that writes stands in /tmp/bawn-run.log inside."""


def run(
    command: Command,
    name: Annotated[str, typer.Option(help="Small letters, digits, hyphens.", show_default=False)] = "",
    project: Annotated[str, typer.Option(help="What it belongs to.")] = "default",
    image: Annotated[str, typer.Option(help="Default: as configured.", show_default=False)] = "",
    runtime: Annotated[str, typer.Option(help="podman, bubblewrap or runsc.", show_default=False)] = "",
    isolation: Isolation = None,
    memory: Memory = "",
    cpus: Cpus = None,
    pids: Pids = None,
    disk: Disk = "",
    allow_soft_limits: Soft = False,
    mount: Workspace = None,
    workspace: WorkspaceMode = None,
    ai: Ai = None,
    task: Annotated[str, typer.Option(help="What it is for; kept with it.", show_default=False)] = "",
    role: Role = "",
    tag: Tags = None,
    expires: Expires = "",
    remove: Annotated[
        bool, typer.Option("--rm", "--ephemeral", help="Delete the container when the command has ended.")
    ] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Keep it, also one of a task without a name.")] = False,
    bring: Annotated[bool, typer.Option("--apply", help="Bring a copy's changes over at the end, unasked.")] = False,
    env: Env = None,
    timeout: Timeout = "",
    detach: Annotated[bool, typer.Option("-d", "--detach", help="Start the command and leave it.")] = False,
) -> None:
    """Run a command in a new container, on this terminal.

    Example: bawn run --name dev --mount . -- opencode
    """
    said = variables(env)
    if remove and detach:
        raise typer.BadParameter("--rm and --detach exclude each other; use --expires with --detach")
    if remove and keep:
        raise typer.BadParameter("--rm and --keep exclude each other")
    # A task that nobody named is looked at when it has ended, and not again.
    remove = remove or (bool(task) and not (name or keep or detach))
    copied = mount is not None and works_in_a_copy(mount, workspace, task=bool(task))
    moment = ahead(expires, datetime.now(UTC)) if expires else None
    with sdk.Client() as client:
        made = client.containers.create(
            name or None,
            project=project,
            image=image or None,
            runtime=runtime or None,
            isolation=isolation.value if isolation else None,
            limits=limits(memory, cpus, pids, disk),
            allow_soft_limits=allow_soft_limits or None,
            mount=str(mount.absolute()) if mount else None,
            workspace="copy" if copied else None,
            ephemeral=remove or None,
            ai=ai,
            task=task or None,
            role=role or None,
            tags=tag,
            expires=moment,
        )
        try:
            try:
                weaknesses(client.containers.start(made.id))
            except Fault:
                # Nothing ran in it: it would only be in the way of the next try.
                gone(client, made.id)
                raise
            words = [*DETACHED, *command] if detach else command
            code = terminal.run_here(made.id, words, seconds(timeout), said)
            if copied and not detach:
                finished(client, made, remove=remove, bring=bring)
        finally:
            if remove:
                gone(client, made.id)
    if detach and code == 0:
        output.say(made.name)
    raise typer.Exit(code)


def weaknesses(started: Container) -> None:
    """Says what a person would want to know before the command runs."""
    if started.masked:
        files = "looks like a secret and is hidden" if len(started.masked) == 1 else "look like secrets and are hidden"
        output.note(f"bawn: {files_named(started.masked)} {files} from it.")
    for sentence in started.degraded:
        output.note(f"bawn: {sentence}.")


def files_named(paths: Sequence[str]) -> str:
    """A few by their name, the others counted."""
    shown = ", ".join(paths[:_NAMED])
    return shown if len(paths) <= _NAMED else f"{shown} and {len(paths) - _NAMED} more"


_NAMED = 5


def works_in_a_copy(mount: Path, asked: Mode | None, *, task: bool) -> bool:
    """A copy for tasks, and where something is not committed that an agent could spoil; what is asked for comes first."""
    if asked is not None:
        return asked is Mode.COPY
    reason = "tasks do" if task else "something in it is not committed" if has_uncommitted_work(mount) else ""
    if reason:
        output.note(
            f"bawn: works in a private copy of {mount}, since {reason}; "
            "see `bawn diff` and `bawn apply`, or take --workspace live."
        )
    return bool(reason)


def finished(client: sdk.Client, made: Container, *, remove: bool, bring: bool) -> None:
    """What becomes of a copy's changes when the command has ended."""
    changes = [change for change in client.containers.diff(made.id) if not change.applied]
    if not changes:
        return
    if bring or (remove and sys.stdin.isatty() and sys.stderr.isatty()):
        bring_over(client, made.id, [], yes=bring)
    elif remove:
        output.note(
            f"bawn: {counted(len(changes))} in the copy went with it; --apply brings them over, --keep keeps them."
        )
    else:
        output.note(f"bawn: {counted(len(changes))} in the copy: `bawn diff {made.name}`, `bawn apply {made.name}`.")


def gone(client: sdk.Client, ref: str) -> None:
    """Deletes it; that somebody else did so already is as good."""
    try:
        client.containers.delete(ref)
    except Fault as fault:
        if fault.code != "api.not_found":
            raise
