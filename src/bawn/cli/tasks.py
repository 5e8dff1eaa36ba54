"""Tasks: a prompt for an agent in a fresh container, and what came of it.

What agents wrote is shown by `output` alone, with everything invisible written out.
"""

from __future__ import annotations

import sys
import time
from typing import Annotated

import typer

from bawn import sdk
from bawn.cli import output
from bawn.cli.options import Output, Role
from bawn.cli.output import Format
from bawn.sdk import shapes

app = typer.Typer(no_args_is_help=True, help="Prompts for agents in fresh containers.")

COLUMNS = ("id", "state", "mode", "model", "by", "depth", "container", "created", "ended", "callback_state")
_LOOK_S = 1.0
_ENDS = ("completed", "failed", "timed_out", "cancelled")

TaskId = Annotated[str, typer.Argument(help="Its id.", show_default=False)]


@app.command(epilog="Example: bawn tasks run 'Mend the failing test.' --mode code --wait")
def run(
    prompt: Annotated[str, typer.Argument(help="What the agent shall do; - is stdin.", show_default=False)],
    mode: Annotated[str, typer.Option(help="Which agent, as configured in tasks.commands.")] = "code",
    model: Annotated[str | None, typer.Option(help="Default: as configured.", show_default=False)] = None,
    base_url: Annotated[
        str | None,
        typer.Option(help="http://exec-N.bawn.internal/api/v1: its calls pass those scripts.", show_default=False),
    ] = None,
    callback: Annotated[
        str | None, typer.Option(help="An allowed address that is told of the end.", show_default=False)
    ] = None,
    project: Annotated[str | None, typer.Option(help="Of its container.", show_default=False)] = None,
    role: Role = "",
    hold: Annotated[bool, typer.Option("--hold", help="Do not run it yet; see `execute`.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for its end, and show what it answered.")] = False,
    form: Output = Format.TABLE,
) -> None:
    """Have an agent do something in a fresh container."""
    if hold and wait:
        raise typer.BadParameter("--hold and --wait exclude each other")
    with sdk.Client() as client:
        task = client.tasks.run(
            sys.stdin.read() if prompt == "-" else prompt,
            mode=mode,
            model=model,
            base_url=base_url,
            callback_url=callback,
            project=project,
            role=role or None,
            auto_execute=not hold,
        )
        if not wait:
            _told(task, form)
            return
        while task.state not in _ENDS:
            time.sleep(_LOOK_S)
            task = client.tasks.get(task.id)
    _show(task, form)
    raise typer.Exit(0 if task.state == "completed" else 1)


@app.command("list", epilog="Example: bawn tasks list --state running")
def list_tasks(
    state: Annotated[
        str, typer.Option(help="waiting, running, completed, failed, timed_out, cancelled, or all.")
    ] = "all",
    container: Annotated[
        str | None, typer.Option(help="Only those asked for in the name of one container.", show_default=False)
    ] = None,
    limit: Annotated[int, typer.Option("-n", "--limit", min=1, max=1000, help="How many, from the newest.")] = 100,
    form: Output = Format.TABLE,
) -> None:
    """Show tasks, without prompts and outputs."""
    with sdk.Client() as client:
        output.show(client.tasks.list(state=state, container=container, limit=limit), COLUMNS, form)


@app.command(epilog="Example: bawn tasks show tsk_0123456789abcdef0123456789abcdef")
def show(task: TaskId, form: Output = Format.TABLE) -> None:
    """Show one with its prompt and what the agent answered."""
    with sdk.Client() as client:
        found = client.tasks.get(task)
    _show(found, form)


@app.command(epilog="Example: bawn tasks execute tsk_0123456789abcdef0123456789abcdef")
def execute(task: TaskId, form: Output = Format.TABLE) -> None:
    """Run one that was held."""
    with sdk.Client() as client:
        _told(client.tasks.execute(task), form)


@app.command(epilog="Example: bawn tasks cancel tsk_0123456789abcdef0123456789abcdef")
def cancel(task: TaskId, form: Output = Format.TABLE) -> None:
    """End one; its container is gone when this returns."""
    with sdk.Client() as client:
        _told(client.tasks.cancel(task), form)


def _told(task: shapes.Task, form: Format) -> None:
    if form is Format.JSON:
        output.show_one(task, form)
    else:
        output.say(f"{task.id} is {task.state}.")


def _show(task: shapes.Task, form: Format) -> None:
    if form is Format.JSON:
        output.show_one(task, form)
        return
    told = output.plain(task)
    prompt, said = told.pop("prompt"), told.pop("output")
    output.show_one({name: value for name, value in told.items() if value not in ("", None)}, form)
    output.say("\nWhat was asked:")
    output.say_part(f"{prompt or ''}\n")
    if said:
        output.say("\nWhat it answered:")
        output.say_part(f"{said}\n")
