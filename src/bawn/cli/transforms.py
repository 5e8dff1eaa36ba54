"""Ready-made steps between agents and models."""

from __future__ import annotations

from typing import Annotated

import typer

from bawn import sdk
from bawn.cli import output
from bawn.cli.options import Output
from bawn.cli.output import Format

app = typer.Typer(no_args_is_help=True, help="Ready-made steps between agents and models.")


@app.command("list", epilog="Example: bawn transforms list")
def list_transforms(form: Output = Format.TABLE) -> None:
    """List the configured transforms with what they have done since the start: hits, saved tokens, rules that fired."""
    with sdk.Client() as client:
        output.show(client.transforms.list(), ("name", "counts"), form)


@app.command(epilog="Example: bawn transforms forget --container dev")
def forget(
    container: Annotated[str, typer.Option(help="Answers that its calls brought.", show_default=False)] = "",
    project: Annotated[str, typer.Option(help="The same for a project.", show_default=False)] = "",
    model: Annotated[str, typer.Option(help="Answers of this provider/model.", show_default=False)] = "",
    everything: Annotated[bool, typer.Option("--all", help="All answers.")] = False,
    form: Output = Format.TABLE,
) -> None:
    """Forget answers that are kept to be given again; what is asked next is asked of the model."""
    if everything is bool(container or project or model):
        raise typer.BadParameter("say which answers: --container, --project, --model, or --all")
    with sdk.Client() as client:
        gone = client.transforms.forget(container=container or None, project=project or None, model=model or None)
        output.show_one(gone, form)
