"""The worker's socket: HTTP/1.1 of the gateway, one request at a time on a connection.

The gateway closes the connection when its client has left; then the script is cancelled and what it waits for is closed.
"""

from __future__ import annotations

import asyncio
import http
import os
import traceback
from dataclasses import replace
from typing import Any, cast

import httptools
import msgspec

from bawn.scripts.api import CallingContainer, Metadata, Parameters, Request
from bawn.scripts.worker import kv, output
from bawn.scripts.worker.context import Ctx, Reach
from bawn.scripts.worker.handling import Headers, ScriptFault, handled
from bawn.scripts.worker.loading import NotLoaded, Script, Scripts
from bawn.scripts.worker.places import About

HEAD_LIMIT = 256 << 10
REQUESTS_LIMIT = 512
"""How many run at once in a worker."""
_STATUS = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in http.HTTPStatus}


class Service:
    """What the worker does for the gateway."""

    def __init__(self, about: About, scripts: Scripts, reach: Reach) -> None:
        self._about = about
        self._scripts = scripts
        self._reach = reach
        self.channels: set[Channel] = set()

    async def serve(self, method: str, path: str, headers: Headers, body: bytes, wire: Channel) -> None:
        if method == "POST" and path == "/handle":
            if len(self.channels) > REQUESTS_LIMIT:
                wire.whole(503, _error("script.unavailable", "the worker has more requests than it takes"))
                return
            try:
                await self._handle(headers, body, wire)
            except ScriptFault as fault:
                told = {"sentence": fault.sentence, "cause": fault.cause}
                wire.whole(502, told, {"x-bawn-script-fault": fault.code})
        elif method == "GET" and path == "/health":
            wire.whole(200, self._health())
        elif method == "POST" and path == "/reload":
            self._scripts.look()
            wire.whole(200, self._health())
        elif method == "POST" and path.startswith("/kv/"):
            await self._values(path.removeprefix("/kv/"), body, wire)
        else:
            wire.whole(404, _error("http.unknown_path", "there is no such path"))

    def _health(self) -> dict[str, object]:
        return {"files": self._scripts.told(), "pid": os.getpid(), "requests": len(self.channels)}

    async def _handle(self, headers: Headers, body: bytes, wire: Channel) -> None:
        name = headers.get("x-bawn-script", "")
        if ".." in name.split("/") or not name.startswith("api/") or not name.endswith(".py") or "\0" in name:
            raise ScriptFault(
                "script.not_loaded", "the script cannot be run", "the name of its file is none of a script"
            )
        metadata = self._metadata(headers)
        output.current.set((name, metadata.call, metadata.container.name))
        try:
            script = self._scripts.script(name)
        except NotLoaded as error:
            raise ScriptFault("script.not_loaded", "the script cannot be run", error.cause) from None
        safe = msgspec.json.decode(headers.get("x-bawn-headers", "{}"), type=dict[str, str])
        req = Request(headers.get("x-bawn-method", "POST"), headers.get("x-bawn-path", "/"), safe, body)
        script = _within(script, headers.get("x-bawn-timeout", ""))
        ctx = Ctx(self._reach, metadata, headers.get("x-bawn-ticket", ""), script.header.log_level)
        await handled(self._scripts, script, req, ctx, wire)

    def _metadata(self, headers: Headers) -> Metadata:
        said: dict[str, Any] = msgspec.json.decode(headers.get("x-bawn-params", "{}"))
        container: dict[str, Any] = msgspec.json.decode(headers.get("x-bawn-container", "{}"))
        path = said.get("path", [])
        return Metadata(
            parameters=Parameters(
                path if isinstance(path, list) else [str(path)],
                {key: value for key, value in said.items() if isinstance(value, str)},
            ),
            subdomain=headers.get("x-bawn-subdomain", f"exec-{self._about.exec_id}"),
            exec_id=self._about.exec_id,
            project=self._about.project,
            container=CallingContainer(
                str(container.get("uuid", "")),
                int(container.get("number", 0)),
                str(container.get("name", "")),
                str(container.get("project", self._about.project)),
                str(container.get("role", "")),
                tuple(str(tag) for tag in container.get("tags", ())),
            ),
            call=headers.get("x-bawn-call", ""),
        )

    async def _values(self, operation: str, body: bytes, wire: Channel) -> None:
        try:
            said = msgspec.json.decode(body or b"{}")
            wire.whole(200, await kv.answer(self._reach.values, operation, said))
        except LookupError:
            wire.whole(404, _error("http.unknown_path", "there is no such operation on values"))
        except ValueError as error:
            wire.whole(400, _error("request.invalid", str(error)))


def _within(script: Script, seconds: str) -> Script:
    """With the gateway's limit, where that is shorter than its own."""
    try:
        limit_s = float(seconds)
    except ValueError:
        return script
    if not 0 < limit_s < script.header.timeout_s:
        return script
    return replace(script, header=replace(script.header, timeout_s=limit_s))


def _error(code: str, message: str) -> dict[str, object]:
    return {"error": {"code": code, "message": message}}


class Channel(asyncio.Protocol):
    """One connection of the gateway; see `handling.Wire`."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._task: asyncio.Task[None] | None = None
        self._headers: Headers = {}
        self._target = b""
        self._body: list[bytes] = []
        self._head_bytes = 0
        self._pending = b""
        self._chunked = False
        self._bodiless = False
        self._room: asyncio.Future[None] | None = None
        self._full = False
        self._sent = False

    # the connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, _: Exception | None) -> None:
        self._transport = None
        if self._task is not None:
            self._task.cancel()
        self.resume_writing()

    def data_received(self, data: bytes) -> None:
        if self._task is not None:
            self.cut()  # a second request before the first has its answer
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.cut()

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False
        if self._room is not None and not self._room.done():
            self._room.set_result(None)

    # the request

    def on_message_begin(self) -> None:
        self._headers, self._target, self._body, self._head_bytes = {}, b"", [], 0

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head_bytes += len(name) + len(value)
        if self._head_bytes > HEAD_LIMIT:
            self.cut()
        self._headers[name.decode("latin-1").lower()] = value.decode("utf-8", "replace")

    def on_body(self, data: bytes) -> None:
        self._body.append(data)

    def on_message_complete(self) -> None:
        if self._task is None and self._transport is not None:
            method = self._parser.get_method().decode()
            self._task = asyncio.get_running_loop().create_task(self._serve(method))

    async def _serve(self, method: str) -> None:
        self._sent = False
        self._service.channels.add(self)
        try:
            body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
            self._body = []
            await self._service.serve(method, self._target.decode("latin-1"), self._headers, body, self)
        except asyncio.CancelledError:
            self.cut()
        except Exception:  # noqa: BLE001 - the outermost frame of a request
            traceback.print_exc()
            self._failed()
        finally:
            self._service.channels.discard(self)
            self._task = None

    def _failed(self) -> None:
        if self._sent:
            self.cut()
        else:
            told = {"sentence": "the worker failed", "cause": "the worker's log has the details"}
            self.whole(502, told, {"x-bawn-script-fault": "script.crashed"})

    # the answer

    def whole(self, status: int, said: object, headers: Headers | None = None) -> None:
        data = msgspec.json.encode(said)
        self.head(status, {"content-type": "application/json"} | (headers or {}), len(data))
        self.data(data)
        self.end()

    def head(self, status: int, headers: Headers, length: int | None) -> None:
        lines = [f"{name}: {value}\r\n" for name, value in headers.items()]
        self._bodiless = status in (204, 304)
        self._chunked = length is None and not self._bodiless
        if self._chunked:
            lines.append("transfer-encoding: chunked\r\n")
        elif not self._bodiless:
            lines.append(f"content-length: {length}\r\n")
        self._sent = True
        # It goes with the first piece of the body, as one write.
        self._pending = b"".join(
            (_STATUS.get(status) or f"HTTP/1.1 {status} \r\n".encode(), _latin("".join(lines)), b"\r\n")
        )

    def data(self, data: bytes) -> None:
        if not data or self._bodiless:
            return
        if self._chunked:
            data = b"%x\r\n%b\r\n" % (len(data), data)
        self._write(self._pending + data)
        self._pending = b""

    async def room(self) -> None:
        if self._transport is None:
            raise asyncio.CancelledError
        if self._full:
            self._room = asyncio.get_running_loop().create_future()
            await self._room

    def end(self) -> None:
        rest = self._pending + (b"0\r\n\r\n" if self._chunked else b"")
        self._pending = b""
        if rest:
            self._write(rest)

    def cut(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)


def _latin(text: str) -> bytes:
    return text.encode("latin-1", "replace")
