"""What a script is given as `ctx`: the gateway by its door, the world by the egress socket, the project's data."""

from __future__ import annotations

import base64
import json as json_text
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from bawn.scripts.api import (
    Agents,
    Approvals,
    Containers,
    Files,
    KeyValue,
    Log,
    Metadata,
    Ran,
    Refused,
    Request,
    Ticket,
)
from bawn.scripts.header import Level
from bawn.scripts.worker import database, output
from bawn.scripts.worker.client import HOP_BY_HOP, Door, Reply
from bawn.scripts.worker.fetching import Fetcher
from bawn.scripts.worker.kv import Values

_RANK = {"debug": 0, "info": 1, "warning": 2, "error": 3}
_FROM = {"debug": 0, "standard": 1, "quiet": 2}
_NOT_SENT = HOP_BY_HOP | {"authorization", "host", "content-length", "expect", "accept-encoding"}


class Lines:
    """See `bawn.scripts.api.Log`."""

    def __init__(self, out: output.Output | None, level: Level) -> None:
        self._out = out
        self._from = _FROM[level]

    def say(self, level: str, line: object) -> None:
        if self._out is not None and _RANK[level] >= self._from:
            for part in str(line).split("\n"):
                self._out.line(level, part)

    def debug(self, line: object) -> None:
        self.say("debug", line)

    def info(self, line: object) -> None:
        self.say("info", line)

    def warning(self, line: object) -> None:
        self.say("warning", line)

    def error(self, line: object) -> None:
        self.say("error", line)

    def __call__(self, line: object) -> None:
        self.say("info", line)


class Services:
    """What the gateway does for a script, in the name of the calling container."""

    def __init__(self, door: Door, ticket: str) -> None:
        self._door = door
        self._ticket = ticket

    async def ask(self, service: str, said: Mapping[str, object]) -> dict[str, Any]:
        """The service's answer. Raises Refused."""
        headers = {"authorization": f"Bearer {self._ticket}", "content-type": "application/json"}
        reply = await self._door.send("POST", f"/_bawn/{service}", headers, msgspec.json.encode(said))
        try:
            data = await reply.body()
        finally:
            reply.leave()
        try:
            answer = json_text.loads(data or b"{}")
        except ValueError:
            answer = {}
        if not reply.ok or not isinstance(answer, dict):
            error = answer.get("error") if isinstance(answer, dict) else None
            told = error if isinstance(error, dict) else {}
            raise Refused(
                reply.status, str(told.get("code", "internal")), str(told.get("message", "no reason was given"))
            )
        return answer

    async def read(self, path: str) -> bytes:
        """A file of the calling container."""
        said = await self.ask("files/read", {"path": path})
        return base64.b64decode(str(said.get("content", "")))

    async def exec(self, command: str | Sequence[str], *, cwd: str = "", timeout: float = 60) -> Ran:  # noqa: ASYNC109
        what: dict[str, object] = {"command": command} if isinstance(command, str) else {"argv": list(command)}
        said = await self.ask("exec", what | {"cwd": cwd, "timeout": timeout})
        return Ran(int(said.get("exit", -1)), str(said.get("stdout", "")), str(said.get("stderr", "")))

    async def task(self, prompt: str, **more: Any) -> dict[str, Any]:
        return await self.ask("tasks", {"prompt": prompt} | more)


class Desk:
    """See `bawn.scripts.api.Approvals`."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def ask(self, title: str, message: str = "", *, wait_seconds: float = 0, **more: Any) -> Ticket:
        said = {"title": title, "message": message, "wait_seconds": wait_seconds} | more
        return _ticket(await self._services.ask("approvals/ask", said))

    async def get(self, ticket: str) -> Ticket:
        return _ticket(await self._services.ask("approvals/get", {"id": ticket}))


def _ticket(said: dict[str, Any]) -> Ticket:
    return Ticket(str(said.get("id", "")), str(said.get("status", "")), said)


class Reach:
    """What every request of a worker shares."""

    def __init__(self, door: Door, fetcher: Fetcher, files: database.Files, env: Mapping[str, str]) -> None:
        self.door = door
        self.fetcher = fetcher
        self.files = files
        self.values = Values(files)
        self.env = env
        self.out = sys.stdout if isinstance(sys.stdout, output.Output) else None
        self._shared: dict[str, dict[str, Any]] = {}

    def shared(self, container: str) -> dict[str, Any]:
        return self._shared.setdefault(container, {})


class Ctx:
    """See `bawn.scripts.api.Context`."""

    def __init__(self, reach: Reach, metadata: Metadata, ticket: str, level: Level) -> None:
        self._reach = reach
        self._ticket = ticket
        self._open: list[Reply] = []
        self.metadata = metadata
        self.shared = reach.shared(metadata.container.uuid)
        self.env = reach.env
        self.kv: KeyValue = reach.values
        self._lines = Lines(reach.out, level)
        self.log: Log = self._lines
        self._services = Services(reach.door, ticket)
        self.approvals: Approvals = Desk(self._services)
        self.agents: Agents = self._services
        self.containers: Containers = self._services
        self.files: Files = self._services

    async def upstream(self, req: Request, *, provider: str | None = None, next: str | None = None) -> Reply:  # noqa: A002
        headers = {
            name: value
            for name, value in req.headers.items()
            if name not in _NOT_SENT and not name.startswith("x-bawn-")
        }
        headers["authorization"] = f"Bearer {self._ticket}"
        if next is not None:
            headers["x-bawn-next"] = next
        if provider is not None:
            headers["x-bawn-provider"] = provider
        reply = await self._reach.door.send(req.method, req.path, headers, req.body)
        if not reply.done:
            self._open.append(reply)
        return reply

    async def fetch(
        self,
        url: str,
        *,
        method: str = "",
        headers: Mapping[str, str] | None = None,
        body: bytes | str | None = None,
        json: Any = None,
        timeout: float = 30,  # noqa: ASYNC109
        limit_bytes: int = 16 << 20,
        redirects: int = 5,
    ) -> Reply:
        return await self._reach.fetcher.fetch(
            self.metadata.container.number,
            self._open.append,
            url,
            method=method,
            headers=headers,
            body=body,
            json=json,
            within_s=timeout,
            limit_bytes=limit_bytes,
            redirects=redirects,
        )

    def db(self, name: str) -> database.Base:
        return self._reach.files.database(name)

    async def notify(self, title: str, message: str = "", *, priority: str = "normal", **more: Any) -> dict[str, Any]:
        return await self._services.ask("notify", {"title": title, "message": message, "priority": priority} | more)

    def say(self, level: str, line: str) -> None:
        """A line of the worker's own about this request."""
        self._lines.say(level, line)

    def leave(self) -> None:
        """The request is over: what is still open is closed, and with it what runs behind it."""
        for reply in self._open:
            reply.leave()
