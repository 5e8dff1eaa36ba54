"""Adapters: by which agents with hooks of their own report to the gateway."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bawn import sdk
from bawn.adapters import installed
from bawn.cli import output
from bawn.cli.options import Output
from bawn.cli.output import Format
from bawn.errors import Fault, quoted

app = typer.Typer(no_args_is_help=True, help="Adapters: agents report by hooks of their own what they are about to do.")

Agent = Annotated[str, typer.Argument(help=f"One of {', '.join(installed.AGENTS)}.", show_default=False)]


@app.command("list", epilog="Example: bawn adapters list")
def list_adapters(form: Output = Format.TABLE) -> None:
    """List the adapters, and whether containers have them that start from now on."""
    with sdk.Client() as client:
        output.show(client.adapters.list(), ("agent", "installed", "files"), form)


@app.command(epilog="Example: bawn adapters install codex --into ./rootfs")
def install(
    agent: Agent,
    into: Annotated[
        Path | None,
        typer.Option(help="The root of an image of your own, to write the files there instead.", show_default=False),
    ] = None,
) -> None:
    """Give containers that start from now on the adapter; this is so for all agents until it is removed."""
    if into is not None:
        output.say("\n".join(_written(agent, into)))
        return
    with sdk.Client() as client:
        client.adapters.install(agent)


@app.command(epilog="Example: bawn adapters remove codex")
def remove(agent: Agent) -> None:
    """Start containers without the adapter from now on. What the gateway decides is decided all the same."""
    with sdk.Client() as client:
        client.adapters.remove(agent)


def _written(agent: str, root: Path) -> list[str]:
    if agent not in installed.AGENTS:
        raise typer.BadParameter(f"there are adapters for {', '.join(installed.AGENTS)}")
    if not root.is_dir():
        raise typer.BadParameter(f"{root} is not a folder")
    paths = []
    for path, text in installed.files([agent]).items():
        inner = Path(path.removeprefix("/"))
        place = root / inner
        try:
            if any((root / each).is_symlink() for each in (inner, *inner.parents[:-1])):
                raise OSError(0, "a link leads elsewhere")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text, encoding="utf-8")
            place.chmod(0o644)
        except OSError as error:
            raise Fault("files.failed", f"{quoted(str(place))} cannot be written.", cause=str(error)) from error
        paths.append(str(place))
    return paths
