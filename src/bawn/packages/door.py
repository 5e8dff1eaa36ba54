"""The packages doors of all containers: small HTTP/1.1, GET and HEAD alone, one listener a container.

A connection belongs to the container whose listener accepted it. Nothing of a request but its path and its Accept header
means anything here.
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
from collections.abc import Callable
from typing import BinaryIO
from urllib.parse import unquote

import structlog

from bawn.packages import npm_index, pip_index
from bawn.packages.mirror import Mirror, Shown
from bawn.packages.names import npm_name, npm_tarball, pip_name
from bawn.packages.policy import Policy
from bawn.packages.reasons import Refused

_log = structlog.get_logger("bawn.packages")

HEAD_LIMIT = 16 * 1024
_HEAD_S = 15.0
_IDLE_S = 60.0
_CONNECTIONS = 128
"""Of one container."""
_PIECE = 256 * 1024
_TAKE_S = 120.0
"""One who takes nothing for so long is gone."""
_TARGET = re.compile(r"/[!-~]{0,1000}\Z")

Body = Shown | BinaryIO
Standing = Callable[[str], Policy | None]
"""What holds for a container now."""
Tell = Callable[[str, Refused], None]
"""Told what a container was refused."""


class Doors:
    def __init__(self, mirror: Mirror, standing: Standing, tell: Tell) -> None:
        self._mirror = mirror
        self._standing = standing
        self._tell = tell
        self._servers: dict[str, list[asyncio.Server]] = {}
        self._open: dict[str, set[asyncio.Task[None]]] = {}

    async def open(self, uuid: str, listener: socket.socket) -> None:
        listener.setblocking(False)

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            open_now = self._open.setdefault(uuid, set())
            if len(open_now) >= _CONNECTIONS:
                writer.transport.abort()
                return
            task = asyncio.ensure_future(self._converse(uuid, reader, writer))
            open_now.add(task)
            task.add_done_callback(open_now.discard)

        server = await asyncio.start_server(accept, sock=listener, limit=HEAD_LIMIT)
        self._servers.setdefault(uuid, []).append(server)

    def close(self, uuid: str) -> None:
        for server in self._servers.pop(uuid, ()):
            server.close()
        self.cut(uuid)
        self._open.pop(uuid, None)

    def cut(self, uuid: str) -> None:
        """What is under way for this container ends."""
        for task in tuple(self._open.get(uuid, ())):
            task.cancel()

    def shut(self) -> None:
        for uuid in tuple(self._servers):
            self.close(uuid)

    async def _converse(self, uuid: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            wait_s = _HEAD_S
            while True:
                async with asyncio.timeout(wait_s):
                    head = await reader.readuntil(b"\r\n\r\n")
                if not await self._answer(uuid, head, writer):
                    break
                wait_s = _IDLE_S
        except (ConnectionError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            writer.close()

    async def _answer(self, uuid: str, head: bytes, writer: asyncio.StreamWriter) -> bool:
        """Whether the connection goes on."""
        try:
            method, target, headers, goes_on = _read(head)
            kind, body = await self._found(uuid, target, headers)
        except Refused as refused:
            self._tell(uuid, refused)
            await _refuse(writer, refused)
            return False
        except OSError as error:
            _log.error("packages.disk", error=type(error).__name__, errno=error.errno)
            await _refuse(writer, Refused("packages.unavailable", "The disk of the mirror is out of order."))
            return False
        if isinstance(body, Shown):
            _write_head(writer, 200, kind, len(body.body), None, last=not goes_on, stale=body.stale)
            writer.write(body.body if method == "GET" else b"")
            await _taken(writer)
            return goes_on
        with body:
            _write_head(writer, 200, kind, os.fstat(body.fileno()).st_size, None, last=not goes_on)
            while method == "GET" and (piece := await asyncio.to_thread(body.read, _PIECE)):
                writer.write(piece)
                await _taken(writer)
        return goes_on

    async def _found(self, uuid: str, target: str, headers: dict[str, str]) -> tuple[str, Body]:
        """Media type and content of what a path means."""
        policy = self._standing(uuid)
        accept = headers.get("accept", "")
        parts = target.partition("?")[0].split("/")[1:]
        match parts:
            case ["pypi", "simple", name, ""] | ["pypi", "simple", name]:
                as_json = pip_index.JSON in accept
                project = pip_name(unquote(name))
                try:
                    page = await self._mirror.pip_page(policy, project, as_json=as_json)
                except Refused as refused:
                    if not as_json or not _of_pip(headers) or refused.code == "packages.not_found":
                        raise
                    # pip shows nobody why it was refused a page: it is told in a way that it shows.
                    self._tell(uuid, refused)
                    page = Shown(pip_index.written_refusal(project, refused))
                return pip_index.JSON if as_json else pip_index.HTML, page
            case ["pypi", "files", name, filename] if filename.endswith(".whl.metadata"):
                wheel = unquote(filename.removesuffix(".metadata"))
                return _BYTES, Shown(await self._mirror.pip_metadata(policy, pip_name(unquote(name)), wheel))
            case ["pypi", "files", name, filename]:
                return _BYTES, await self._mirror.pip_file(policy, pip_name(unquote(name)), unquote(filename))
            case ["npm", *path] if (tarball := npm_tarball([unquote(part) for part in path])) is not None:
                return _BYTES, await self._mirror.npm_file(policy, *tarball)
            case ["npm", *name] if 0 < len(name) < 3 and name[0] != "-":
                short = npm_index.SHORT in accept
                page = await self._mirror.npm_page(policy, npm_name(unquote("/".join(name))), short=short)
                return npm_index.SHORT if short else npm_index.FULL, page
        raise Refused("packages.not_found", "This path is none of the mirror's.")


_BYTES = "application/octet-stream"


def _read(head: bytes) -> tuple[str, str, dict[str, str], bool]:
    first, *lines = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
    words = first.split(" ")
    if len(words) != 3 or words[0] not in ("GET", "HEAD") or not _TARGET.match(words[1]):
        raise Refused("packages.malformed", "The mirror answers GET and HEAD of plain paths.")
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            raise Refused("packages.malformed", "A header of the request cannot be read.")
        headers[name.lower()] = value.strip()
    if headers.get("content-length", "0") != "0" or "transfer-encoding" in headers:
        raise Refused("packages.malformed", "A request to the mirror has no body.")
    return words[0], words[1], headers, words[2] == "HTTP/1.1" and headers.get("connection", "").lower() != "close"


def _write_head(
    writer: asyncio.StreamWriter,
    status: int,
    kind: str,
    size: int,
    refused: Refused | None,
    *,
    last: bool,
    stale: bool = False,
) -> None:
    # npm shows the reason phrase, pip the body.
    phrase = "OK" if refused is None else refused.words().encode("ascii", "replace").decode()[:400]
    lines = [f"HTTP/1.1 {status} {phrase}", f"content-type: {kind}", f"content-length: {size}"]
    if refused is not None:
        lines += [f"x-bawn-reason: {refused.code}", "cache-control: no-store"]
    if stale:
        lines += ['warning: 110 - "Response is Stale"', "x-bawn-stale: 1"]
    if last:
        lines.append("connection: close")
    writer.write("\r\n".join((*lines, "", "")).encode("ascii", "replace"))


async def _refuse(writer: asyncio.StreamWriter, refused: Refused) -> None:
    words = refused.words().encode() + b"\n"
    _write_head(writer, refused.kind.status, "text/plain; charset=utf-8", len(words), refused, last=True)
    writer.write(words)
    await _taken(writer)


async def _taken(writer: asyncio.StreamWriter) -> None:
    async with asyncio.timeout(_TAKE_S):
        await writer.drain()


def _of_pip(headers: dict[str, str]) -> bool:
    """Whether pip asks. It decides how a refusal is worded, and nothing else."""
    return headers.get("user-agent", "").startswith("pip/")
