"""Images: what boxes are made of."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bawn import sdk
from bawn.cli import output
from bawn.cli.options import Output
from bawn.cli.output import Format

app = typer.Typer(no_args_is_help=True, help="Images: what boxes are made of.")

Name = Annotated[str, typer.Argument(help="The image's name.")]


@app.command("list", epilog="Example: bawn images list")
def list_images(form: Output = Format.TABLE) -> None:
    """List images."""
    with sdk.Client() as client:
        output.show(client.images.list(), ("name", "built", "size_bytes", "digest"), form)


@app.command(epilog="Example: bawn images build agent")
def build(name: Name = "agent") -> None:
    """Build an image from Debian packages; takes minutes and tells what happens."""
    with sdk.Client() as client:
        for progress in client.images.build(name):
            output.note(progress.line)


@app.command("import", epilog="Example: bawn images import tools ./tools.tar@sha256:4f53…")
def bring(
    name: Name,
    source: Annotated[
        str,
        typer.Argument(
            help="An OCI archive or layout of this machine, and behind an @ the digest of the image in it.",
            metavar="PATH@DIGEST",
        ),
    ],
) -> None:
    """Import an image that somebody else made: `podman save --format oci-archive`, `skopeo copy`, `docker save`."""
    path, _, digest = source.rpartition("@sha256:")
    place = Path(path or source)
    if not place.exists():
        raise typer.BadParameter(
            f"{output.clean(str(place))} is not there; save the image to a file first, "
            "since nothing is fetched from a registry"
        )
    with sdk.Client() as client:
        for progress in client.images.import_(name, str(place.resolve()), digest=path and f"sha256:{digest}"):
            output.note(progress.line)


@app.command(epilog="Example: bawn images remove agent")
def remove(name: Name) -> None:
    """Remove a built image."""
    with sdk.Client() as client:
        client.images.remove(name)
