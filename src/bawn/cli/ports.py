"""Ports of a container: on this machine's loopback for yourself, by a link with a token for others."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime
from typing import Annotated

import typer

from bawn import sdk
from bawn.cli import output
from bawn.cli.moment import ahead
from bawn.cli.options import Output, Ref
from bawn.cli.output import Format
from bawn.errors import Fault

app = typer.Typer(no_args_is_help=True, help="Ports of a container: for yourself, or by a link with a token.")

CHUNK_BYTES = 64 * 1024
LOOK_S = 2.0
COLUMNS = ("id", "port", "person", "created", "expires")

Port = Annotated[int, typer.Argument(help="The port inside, on its 127.0.0.1.", min=1, max=65535, show_default=False)]


@app.command(epilog="Example: bawn ports forward dev 3000 --local 8080")
def forward(
    ref: Ref,
    port: Port,
    local: Annotated[
        int | None,
        typer.Option(help="The port on this machine; 0 takes a free one.", min=0, max=65535, show_default=False),
    ] = None,
) -> None:
    """Show a port of a container on 127.0.0.1 of this machine, until this command or the container ends."""
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_forward(ref, port, port if local is None else local))


@app.command(epilog="Example: bawn ports share dev 3000 --expires 2h")
def share(
    ref: Ref,
    port: Port,
    expires: Annotated[str, typer.Option(help="When it ends: 2h, 7d, or 2030-01-31T12:00Z.")] = "1d",
    form: Output = Format.TABLE,
) -> None:
    """Make a link to a port of a container, with a token of its own, for a tunnel of yours."""
    with sdk.Client() as client:
        issued = client.ports.share(ref, port, expires=ahead(expires, datetime.now(UTC)))
    if form is Format.JSON:
        output.show_one(issued, form)
        return
    output.note(
        f"Whoever has this link reaches port {port} until {output.cell(issued.share.expires)}; it is shown this once."
    )
    for url in issued.urls:
        output.say(url)


@app.command(epilog="Example: bawn ports shares dev")
def shares(ref: Ref, form: Output = Format.TABLE) -> None:
    """List the links to a container that still open something."""
    with sdk.Client() as client:
        output.show(client.ports.shares(ref), COLUMNS, form)


@app.command(epilog="Example: bawn ports revoke dev 0123456789abcdef")
def revoke(ref: Ref, share_id: Annotated[str, typer.Argument(help="Its id.", show_default=False)]) -> None:
    """Revoke a link; what came by it is cut."""
    with sdk.Client() as client:
        client.ports.revoke(ref, share_id)


async def _forward(ref: str, port: int, local: int) -> None:
    async with sdk.AsyncClient() as client:
        record = await client.containers.get(ref)
        if record.state != "running":
            raise Fault("sandbox.not_running", f"The container {record.name} is {record.state}.")

        async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await _carry(client, record.id, port, reader, writer)
            except Fault as fault:
                output.note(f"bawn: {fault.sentence}")
            except ConnectionError:
                return
            finally:
                writer.close()

        try:
            server = await asyncio.start_server(accepted, "127.0.0.1", local)
        except OSError as error:
            raise Fault("bind.failed", f"127.0.0.1 port {local} cannot be listened on: {error.strerror}.") from None
        async with server:
            output.say(f"127.0.0.1:{server.sockets[0].getsockname()[1]} → {record.name}:{port}")
            while await _runs(client, record.id):  # noqa: ASYNC110 - it is looked at in another process
                await asyncio.sleep(LOOK_S)
    output.note(f"bawn: {record.name} has ended.")


async def _runs(client: sdk.AsyncClient, ref: str) -> bool:
    try:
        return (await client.containers.get(ref)).state == "running"
    except Fault as fault:
        if fault.code != "api.not_found":
            raise
        return False


async def _carry(
    client: sdk.AsyncClient, ref: str, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    async with await client.ports.connect(ref, port) as tunnel:

        async def inward() -> None:
            while data := await reader.read(CHUNK_BYTES):
                await tunnel.write(data)
            await tunnel.end()

        sending = asyncio.create_task(inward())
        try:
            async for data in tunnel:
                writer.write(data)
                await writer.drain()
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
