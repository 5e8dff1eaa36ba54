"""The files of a running container: /workspace and /home/agent, by `container:/path`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Annotated, BinaryIO

import typer

from bawn import sdk
from bawn.cli import output
from bawn.cli.options import Output
from bawn.cli.output import Format

app = typer.Typer(no_args_is_help=True, help="The files of a running container: beneath /workspace and /home/agent.")

COLUMNS = ("mode", "size_bytes", "modified", "kind", "name")
CHUNK_BYTES = 256 * 1024
STREAM = "-"

Place = Annotated[
    str, typer.Argument(help="Container and path: dev:/workspace/log, or dev:log.", show_default=False, metavar="PLACE")
]


def located(place: str) -> tuple[str, str]:
    """The container and the path in it; one without a leading slash begins at the workspace."""
    ref, colon, path = place.partition(":")
    if not ref or not colon:
        raise typer.BadParameter(f"{place!r} is not of the form container:/path")
    return ref, path


@app.command("list", epilog="Example: bawn files list dev:/workspace")
def list_files(place: Place, form: Output = Format.TABLE) -> None:
    """List a folder."""
    ref, path = located(place)
    with sdk.Client() as client:
        found = client.files.list(ref, path)
    if form is Format.JSON:
        output.show(found, COLUMNS, form)
        return
    rows = []
    for file in found:
        row = output.plain(file)
        row["mode"] = f"{file.mode:04o}"
        row["name"] = file.name + ("/" if file.kind == "folder" else "") + (f" -> {file.target}" if file.target else "")
        rows.append(row)
    output.show(rows, COLUMNS, form)


@app.command(epilog="Example: bawn files stat dev:/workspace/README.md")
def stat(place: Place, form: Output = Format.TABLE) -> None:
    """Show what one file is; a link itself, never what it leads to."""
    ref, path = located(place)
    with sdk.Client() as client:
        output.show_one(client.files.stat(ref, path), form)


@app.command(epilog="Example: bawn files get dev:/workspace/report.html ./report.html")
def get(
    place: Place,
    to: Annotated[str, typer.Argument(help="Where to put it; - is stdout.", show_default=False)] = "",
    force: Annotated[bool, typer.Option("-f", "--force", help="Replace a file that is there.")] = False,
) -> None:
    """Copy a file out of a container."""
    ref, path = located(place)
    target = Path(to or ".")
    if target.is_dir() and to != STREAM:
        target = target / PurePosixPath(path).name
    with sdk.Client() as client:
        pieces = client.files.read(ref, path)
        first = next(pieces, b"")  # what is refused leaves no empty file behind
        if to == STREAM:
            _pour(sys.stdout.buffer, first, pieces)
            return
        try:
            with target.open("wb" if force else "xb") as file:
                _pour(file, first, pieces)
        except FileExistsError:
            raise typer.BadParameter(f"{target} is there already; --force replaces it") from None
    output.note(f"{output.clean(path)} → {target}")


@app.command(epilog="Example: bawn files put ./data.csv dev:/workspace/data.csv")
def put(
    source: Annotated[str, typer.Argument(help="A file of this machine; - is stdin.", show_default=False)],
    place: Place,
    mode: Annotated[str, typer.Option(help="Access rights, e.g. 0755.", show_default=False)] = "",
) -> None:
    """Copy a file into a container; it appears whole or not at all."""
    ref, path = located(place)
    if path.endswith("/") and source != STREAM:
        path += Path(source).name
    try:
        rights = int(mode, 8) if mode else None
    except ValueError:
        raise typer.BadParameter(f"{mode!r} is not of the form 0755") from None
    with sdk.Client() as client:
        if source == STREAM:
            client.files.write(ref, path, _chunks(sys.stdin.buffer), mode=rights)
        else:
            if not Path(source).is_file():
                raise typer.BadParameter(f"{source} is not a file")
            with Path(source).open("rb") as file:
                client.files.write(ref, path, _chunks(file), mode=rights)


@app.command(epilog="Example: bawn files mkdir dev:/workspace/out --parents")
def mkdir(
    place: Place, parents: Annotated[bool, typer.Option("-p", "--parents", help="Folders on the way as well.")] = False
) -> None:
    """Make a folder."""
    ref, path = located(place)
    with sdk.Client() as client:
        client.files.mkdir(ref, path, parents=parents)


@app.command(epilog="Example: bawn files remove dev:/workspace/out --recursive")
def remove(
    place: Place,
    recursive: Annotated[bool, typer.Option("-r", "--recursive", help="A folder with all that is in it.")] = False,
) -> None:
    """Remove a file, a link, or a folder."""
    ref, path = located(place)
    with sdk.Client() as client:
        client.files.remove(ref, path, recursive=recursive)


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    while data := file.read(CHUNK_BYTES):
        yield data


def _pour(file: BinaryIO, first: bytes, rest: Iterator[bytes]) -> None:
    file.write(first)
    for piece in rest:
        file.write(piece)
    file.flush()
