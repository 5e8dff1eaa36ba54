"""A command in a container over a WebSocket, as `bawn.sdk.frames` describes it.

Two pumps run side by side: what the client sends goes in, what the command writes goes out. The output's end
and the exit code end the session; a client that leaves ends the command.
"""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, WebSocket, WebSocketDisconnect

from bawn.api.caller import Caller
from bawn.api.services import Lifecycle, Running
from bawn.errors import Fault
from bawn.sdk.frames import (
    MAX_FRAME_BYTES,
    TIMED_OUT,
    Channel,
    Command,
    Exit,
    Failed,
    Resize,
    Signal,
    Started,
    StdinClosed,
    packed,
    read_client,
    unpacked,
    written,
)

OPENING_TIMEOUT_S = 30.0


def router(lifecycle: Lifecycle) -> APIRouter:
    routes = APIRouter(prefix="/containers", tags=["containers"])

    @routes.websocket("/{ref}/exec")
    async def execute(socket: WebSocket, ref: str, by: Caller) -> None:
        await socket.accept()
        try:
            command = await opening(socket)
            running = await lifecycle.exec(ref, command, by)
            try:
                await socket.send_text(written(Started()))
                code = await limited(socket, running, command.timeout_s)
            finally:
                await running.close()
            await socket.send_text(written(Exit(code)))
        except Fault as fault:
            await socket.send_text(written(Failed(fault.code, fault.sentence, fault.remedy, fault.kind.blame.value)))
        except WebSocketDisconnect:
            return
        await socket.close()

    return routes


async def opening(socket: WebSocket) -> Command:
    """The first message, which says what shall run."""
    try:
        async with asyncio.timeout(OPENING_TIMEOUT_S):
            message = await socket.receive()
    except TimeoutError:
        raise Fault("http.too_slow", "No command came.") from None
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect
    try:
        command = read_client(message.get("text") or "")
    except ValueError as error:
        raise Fault("api.invalid", f"The first message is no command: {error}.") from None
    if not isinstance(command, Command):
        raise Fault("api.invalid", "The first message says what shall run.")
    return command


async def limited(socket: WebSocket, running: Running, timeout_s: float | None) -> int:
    """A session that ends in time. One whose command's time is over tells so, and `close` ends the command."""
    limit = asyncio.timeout(timeout_s)
    try:
        async with limit:
            return await session(socket, running)
    except TimeoutError:
        if not limit.expired():
            raise
    await socket.send_bytes(packed(Channel.STDERR, f"bawn: the time of {timeout_s:g} s is over\n".encode()))
    return TIMED_OUT


async def session(socket: WebSocket, running: Running) -> int:
    """Pumps both ways until the command has ended."""
    inward = asyncio.create_task(pump_in(socket, running))
    outward = asyncio.create_task(pump_out(socket, running))
    try:
        # Inward ends only by failing: a client that left, or one that speaks out of turn.
        await asyncio.wait((inward, outward), return_when=asyncio.FIRST_COMPLETED)
        if not outward.done():
            inward.result()
        return await outward
    finally:
        for pump in (inward, outward):
            pump.cancel()
        await asyncio.gather(inward, outward, return_exceptions=True)


async def pump_out(socket: WebSocket, running: Running) -> int:
    while (output := await running.read()) is not None:
        for start in range(0, len(output.data), MAX_FRAME_BYTES):
            await socket.send_bytes(packed(output.channel, output.data[start : start + MAX_FRAME_BYTES]))
    return await running.wait()


async def pump_in(socket: WebSocket, running: Running) -> None:
    while True:
        message = await socket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect
        try:
            if message.get("bytes") is not None:
                told = unpacked(message["bytes"])
                if told.channel is not Channel.STDIN:
                    raise ValueError("a client writes to stdin only")
                await running.write(told.data)
                continue
            match read_client(message["text"]):
                case StdinClosed():
                    await running.close_stdin()
                case Resize(rows=rows, cols=cols):
                    await running.resize(rows, cols)
                case Signal(signal=name):
                    await running.signal(name)
                case Command():
                    raise ValueError("the command is said once")
        except ValueError as error:
            raise Fault("api.invalid", f"A message does not fit: {error}.") from None
