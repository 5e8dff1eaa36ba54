"""A connection to a port inside a container over a WebSocket: binary messages are its bytes, the text `end` that no more come."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Annotated, Any

from fastapi import APIRouter, Path, WebSocket, WebSocketDisconnect
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from bawn.api.answers import data, envelope
from bawn.api.caller import Caller
from bawn.api.services import Ports
from bawn.errors import Fault
from bawn.sdk import shapes
from bawn.sdk.frames import MAX_FRAME_BYTES, Failed, Started, written
from bawn.terms.principal import label

END = "end"

One = envelope("IssuedShareAnswer", issued=shapes.IssuedShare)
Many = envelope("SharesAnswer", shares=list[shapes.Share])


class Wanted(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    port: int = Field(ge=1, le=65535)
    expires: Annotated[AwareDatetime | None, Field(strict=False)] = None


Port = Annotated[int, Path(ge=1, le=65535)]


def router(ports: Ports) -> APIRouter:
    routes = APIRouter(prefix="/containers", tags=["ports"])

    @routes.websocket("/{ref}/ports/{port}")
    async def connect(socket: WebSocket, ref: str, port: Port, by: Caller) -> None:
        await socket.accept()
        try:
            reader, writer = await ports.connect(ref, port, label(by))
        except Fault as fault:
            await socket.send_text(written(Failed(fault.code, fault.sentence, fault.remedy, fault.kind.blame.value)))
            await socket.close()
            return
        try:
            await socket.send_text(written(Started()))
            await joined(socket, reader, writer)
        except (WebSocketDisconnect, ConnectionError):
            return
        finally:
            writer.close()
        with contextlib.suppress(RuntimeError):
            await socket.close()

    @routes.get("/{ref}/shares", response_model=Many)
    async def list_shares(ref: str) -> dict[str, Any]:
        return data(shares=list(ports.shares(ref)))

    @routes.post("/{ref}/shares", response_model=One, status_code=201)
    async def share(ref: str, wanted: Wanted, by: Caller) -> dict[str, Any]:
        return data(issued=await ports.share(ref, wanted.port, wanted.expires, by))

    @routes.delete("/{ref}/shares/{share_id}", status_code=204)
    async def revoke(ref: str, share_id: str, by: Caller) -> None:
        await ports.revoke(ref, share_id, by)

    return routes


async def joined(socket: WebSocket, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Until the container's side has ended; the operator's side may end before."""
    inward = asyncio.create_task(_inward(socket, writer))
    outward = asyncio.create_task(_outward(socket, reader))
    try:
        await asyncio.wait((inward, outward), return_when=asyncio.FIRST_COMPLETED)
        if not outward.done():
            inward.result()
        await outward
    finally:
        for pump in (inward, outward):
            pump.cancel()
        await asyncio.gather(inward, outward, return_exceptions=True)


async def _outward(socket: WebSocket, reader: asyncio.StreamReader) -> None:
    while data := await reader.read(MAX_FRAME_BYTES):
        await socket.send_bytes(data)
    await socket.send_text(END)


async def _inward(socket: WebSocket, writer: asyncio.StreamWriter) -> None:
    while True:
        message = await socket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect
        data = message.get("bytes")
        if data is None:
            if writer.can_write_eof():
                writer.write_eof()
            return
        writer.write(data)
        await writer.drain()
