"""Python of the operator between agents and their models."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from bawn import sdk
from bawn.cli import output
from bawn.cli.keys import secret as asked_secret
from bawn.cli.options import Output
from bawn.cli.output import Format
from bawn.errors import Fault

app = typer.Typer(no_args_is_help=True, help="Scripts between agents and their models.")

COLUMNS = ("path", "routed", "next", "timeout_seconds", "trouble")
WORKERS = ("project", "exec", "url", "pid", "ended")
CHECKS = ("path", "loaded", "error")
BEGIN = '''"""What it does, in a sentence."""
# @timeout 300

from __future__ import annotations

from bawn.scripts.api import Context, Request, Response


async def handle(req: Request, res: Response, ctx: Context) -> object:
    # What is not changed goes on byte for byte.
    return await ctx.upstream(req)
'''

ScriptPath = Annotated[
    str, typer.Argument(help="`project/exec/file`, e.g. `default/1/api/v1/[...path].py`.", show_default=False)
]
Exec = Annotated[str, typer.Argument(help="`project/exec`, or an exec of the project default.", show_default=False)]
SecretName = Annotated[
    str, typer.Argument(help="As the configuration names it under `scripts.env`.", show_default=False)
]


def split(name: str) -> tuple[str, str]:
    project, slash, exec_id = name.partition("/")
    return (project, exec_id) if slash else ("default", project)


@app.command(epilog="Example: bawn scripts new default/1/api/v1/[...path].py")
def new(path: ScriptPath, form: Output = Format.TABLE) -> None:
    """Make a script that passes everything on; the URL of its exec is told by `bawn scripts workers`."""
    with sdk.Client() as client:
        if any(script.path == path for script in client.scripts.list()):
            raise Fault("api.conflict", f"The script {path!r} is there already.", remedy="Edit it, or remove it first.")
        output.show_one(client.scripts.write(path, BEGIN), form)


@app.command("list", epilog="Example: bawn scripts list")
def list_scripts(
    project: Annotated[str | None, typer.Option(help="Only those of this project.")] = None,
    form: Output = Format.TABLE,
) -> None:
    """List the scripts, and what is wrong with each."""
    with sdk.Client() as client:
        output.show(client.scripts.list(project=project), COLUMNS, form)


@app.command(epilog="Example: bawn scripts workers")
def workers(form: Output = Format.TABLE) -> None:
    """List the execs with their base URLs and the processes that run their scripts."""
    with sdk.Client() as client:
        output.show(client.scripts.workers(), WORKERS, form)


@app.command(epilog="Example: bawn scripts write default/1/api/v1/[...path].py guard.py")
def write(
    path: ScriptPath,
    file: Annotated[Path, typer.Argument(help="A file of this machine, or - for stdin.", show_default=False)],
    form: Output = Format.TABLE,
) -> None:
    """Put a script in place; one that does not load is refused with its line, and what was there stays."""
    text = sys.stdin.read() if str(file) == "-" else file.read_text("utf-8")
    with sdk.Client() as client:
        output.show_one(client.scripts.write(path, text), form)


@app.command(epilog="Example: bawn scripts remove default/1/api/v1/[...path].py")
def remove(path: ScriptPath) -> None:
    """Take a script away."""
    with sdk.Client() as client:
        client.scripts.remove(path)


@app.command(epilog="Example: bawn scripts check default/1")
def check(name: Exec, form: Output = Format.TABLE) -> None:
    """Have the worker load all files of an exec; ends with 1 when one does not load."""
    with sdk.Client() as client:
        found = client.scripts.check(*split(name))
        output.show(found, CHECKS, form)
    if not all(each.loaded for each in found):
        raise typer.Exit(1)


@app.command(epilog="Example: bawn scripts logs default/1 --follow")
def logs(
    name: Exec, follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on as it grows.")] = False
) -> None:
    """Show what the scripts of an exec print and log."""
    with sdk.Client() as client:
        for part in client.scripts.logs(*split(name), follow=follow):
            output.say_part(part)


@app.command(epilog="Example: bawn scripts install default")
def install(project: Annotated[str, typer.Argument(help="A project with a requirements.lock.")] = "default") -> None:
    """Install the modules of a project's lock file; its workers start anew with them."""
    with sdk.Client() as client:
        for each in client.scripts.install(project):
            output.say(each.module)


@app.command("test", epilog="Example: bawn scripts test 1 dev --data request.json")
def try_script(
    name: Annotated[str, typer.Argument(help="An exec of the container's project.", show_default=False)],
    container: Annotated[str, typer.Argument(help="The container in whose place is asked.", show_default=False)],
    path: Annotated[str, typer.Option(help="The path that is asked for.")] = "/api/v1/chat/completions",
    data: Annotated[Path | None, typer.Option(help="A file with the body, or - for stdin.")] = None,
    method: Annotated[str, typer.Option(help="GET, POST, PUT, PATCH or DELETE.")] = "POST",
    form: Output = Format.TABLE,
) -> None:
    """Ask a script as if a container had; what the script does is done. Ends with 1 when it refuses."""
    body = "" if data is None else sys.stdin.read() if str(data) == "-" else data.read_text("utf-8")
    with sdk.Client() as client:
        answer = client.scripts.test(name, container, path, method=method, body=body)
    output.show_one(answer, form)
    if answer.status >= 400:
        raise typer.Exit(1)


@app.command(epilog="Example: bawn scripts secrets")
def secrets(form: Output = Format.TABLE) -> None:
    """List the values that scripts are given, by fingerprint."""
    with sdk.Client() as client:
        output.show(client.scripts.secrets(), ("name", "fingerprint"), form)


@app.command(epilog="Example: bawn scripts secret forge-token < token.txt")
def secret(name: SecretName, form: Output = Format.TABLE) -> None:
    """Keep a value for `ctx.env`, or another one; it is asked for, or read from stdin."""
    text = asked_secret(name)
    with sdk.Client() as client:
        output.show_one(client.scripts.put_secret(name, text), form)


@app.command(epilog="Example: bawn scripts forget forge-token")
def forget(name: SecretName) -> None:
    """Forget a value; workers that need it do not start any more."""
    with sdk.Client() as client:
        client.scripts.remove_secret(name)
