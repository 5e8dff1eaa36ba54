"""Containers: the boxes that agents work in."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from bawn import sdk
from bawn.cli import output, terminal
from bawn.cli.moment import ahead, seconds
from bawn.cli.options import (
    Command,
    Cpus,
    Disk,
    Env,
    Isolation,
    Memory,
    Output,
    Pids,
    Ref,
    Role,
    Soft,
    Tags,
    Timeout,
    Workspace,
    WorkspaceMode,
    limits,
    variables,
)
from bawn.cli.output import Format

app = typer.Typer(no_args_is_help=True, help="Containers: the boxes that agents work in.")

COLUMNS = (
    "id",
    "number",
    "name",
    "project",
    "role",
    "tags",
    "ai",
    "state",
    "image",
    "runtime",
    "attestation",
    "created",
    "expires",
)

Ai = Annotated[bool | None, typer.Option("--ai/--no-ai", help="Whether it may call models.", show_default=False)]
Expires = Annotated[
    str, typer.Option(help="When it is stopped and loses its right: 2h, 7d, or 2030-01-31T12:00Z.", show_default=False)
]


@app.command("list", epilog="Example: bawn containers list -o json | jq '.[] | {id, name, ai}'")
def list_containers(form: Output = Format.TABLE) -> None:
    """List all containers."""
    with sdk.Client() as client:
        output.show(client.containers.list(), COLUMNS, form)


@app.command(epilog="Example: bawn containers get dev")
def get(ref: Ref, form: Output = Format.TABLE) -> None:
    """Show one container."""
    with sdk.Client() as client:
        output.show_one(client.containers.get(ref), form)


@app.command(epilog="Example: bawn containers create --name ci --no-ai --expires 2h")
def create(
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
    form: Output = Format.TABLE,
) -> None:
    """Create a container without starting it."""
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
            workspace=workspace.value if workspace else None,
            ai=ai,
            task=task or None,
            role=role or None,
            tags=tag,
            expires=ahead(expires, datetime.now(UTC)) if expires else None,
        )
        output.show_one(made, form)


@app.command(epilog="Example: bawn containers update dev --no-ai")
def update(
    ref: Ref,
    ai: Ai = None,
    expires: Expires = "",
    never_expires: Annotated[bool, typer.Option("--never-expires", help="Take its expiry away.")] = False,
    form: Output = Format.TABLE,
) -> None:
    """Change a container; effective for its very next request."""
    if ai is None and not expires and not never_expires:
        raise typer.BadParameter("say what to change: --ai, --no-ai, --expires or --never-expires")
    moment = ahead(expires, datetime.now(UTC)) if expires else None
    with sdk.Client() as client:
        output.show_one(client.containers.update(ref, ai=ai, expires=moment, never_expires=never_expires), form)


@app.command(epilog="Example: bawn containers delete dev")
def delete(ref: Ref) -> None:
    """Delete a container; its right to call models ends first."""
    with sdk.Client() as client:
        client.containers.delete(ref)


@app.command(epilog="Example: bawn containers start dev")
def start(ref: Ref) -> None:
    """Start a container."""
    with sdk.Client() as client:
        client.containers.start(ref)


@app.command(epilog="Example: bawn containers stop dev --timeout 30")
def stop(
    ref: Ref, timeout: Annotated[float, typer.Option(help="Seconds in which it may end by itself.")] = 10.0
) -> None:
    """Stop a container."""
    with sdk.Client() as client:
        client.containers.stop(ref, timeout_s=timeout)


@app.command("exec", epilog="Example: bawn exec dev -- git status")
def execute(ref: Ref, command: Command, env: Env = None, timeout: Timeout = "") -> None:
    """Run a command in a running container, on this terminal."""
    raise typer.Exit(terminal.run_here(ref, command, seconds(timeout), variables(env)))


@app.command(epilog="Example: bawn logs dev --follow")
def logs(ref: Ref, follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on as it grows.")] = False) -> None:
    """Show what a container's processes wrote."""
    with sdk.Client() as client:
        for part in client.containers.logs(ref, follow=follow):
            output.say_part(part)


@app.command(epilog="Example: bawn why dev")
def why(
    ref: Ref,
    limit: Annotated[int, typer.Option(help="How many refusals, newest first.", min=1, max=1000)] = 5,
    form: Output = Format.TABLE,
) -> None:
    """Say why the last calls of a container were refused, and what to do."""
    with sdk.Client() as client:
        refusals = client.containers.why(ref, limit=limit)
    if form is Format.JSON:
        output.show(refusals, (), form)
        return
    if not refusals:
        output.say("Nothing was refused.")
    for refusal in refusals:
        call = " ".join(filter(None, (refusal.method, refusal.endpoint, refusal.model)))
        output.say(
            f"{output.cell(refusal.time)}  {call or 'a call'}: {refusal.sentence} [{refusal.code}]".replace("\n", " ")
        )
        if refusal.cause:
            output.say(f"  because {output.clean(refusal.cause)}")
        output.say(f"  {output.clean(refusal.remedy)}")
