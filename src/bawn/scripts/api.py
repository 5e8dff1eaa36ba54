"""What the author of a script needs to know: the types of `handle(req, res, ctx)`.

    # @timeout 60
    from bawn.scripts.api import Context, Request, Response

    async def handle(req: Request, res: Response, ctx: Context) -> object:
        req.json["model"] = "anthropic/claude-haiku-4-5"
        return await ctx.upstream(req)

A script answers once: by `res.json(...)`, `res.text(...)`, `await res.send(answer)`, by writing events with `await
res.write(event)`, or by what it returns: a dict or list is sent as JSON, an answer of `ctx.upstream` is passed on. What
is not changed goes on byte for byte.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from bawn.scripts.answer import Answer, Answered, Event
from bawn.scripts.refusals import AnsweredTwice, FetchFailed, Refused, ScriptError, StreamBroken, TooLarge
from bawn.scripts.request import Request
from bawn.scripts.response import Outlet, Response
from bawn.scripts.said import Call, Said, ToolResult

__all__ = [
    "Agents", "Answer", "Answered", "AnsweredTwice", "Approvals", "Call", "CallingContainer", "Containers", "Context", "Database",
    "Event", "FetchFailed", "Files", "KeyValue", "Log", "Metadata", "Outlet", "Parameters", "Ran", "Refused", "Request",
    "Response", "Said", "ScriptError", "StreamBroken", "Ticket", "TooLarge", "ToolResult",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Parameters:
    path: list[str] = field(default_factory=list)
    """What the brackets of the file's name stand for, segment by segment: `["chat", "completions"]`."""
    named: dict[str, str] = field(default_factory=dict)
    """The same by name, of segments in single brackets."""


@dataclass(frozen=True, slots=True)
class CallingContainer:
    uuid: str
    number: int
    name: str
    project: str
    role: str = ""
    """What it is there for, as an operator called it; empty without one. Nothing inside can change it."""
    tags: tuple[str, ...] = ()
    """Those that an operator made it with; nothing inside adds one. Tags of its sessions are for rules alone."""


@dataclass(frozen=True, slots=True)
class Metadata:
    """Who asks, and by which door."""

    parameters: Parameters
    subdomain: str
    """`exec-1`."""
    exec_id: str
    """`1`, `dev`, `prod`."""
    project: str
    container: CallingContainer
    call: str
    """The id under which the record has this call."""


class KeyValue(Protocol):
    """Values of this project by key, kept across restarts; any number of scripts may write at once."""

    async def get(self, key: str, default: Any = None) -> Any: ...

    async def set(self, key: str, value: Any, *, ttl: float | None = None) -> None:
        """`value`: whatever JSON can say. `ttl`: seconds after which it is gone."""

    async def delete(self, key: str) -> bool:
        """Whether it was there."""

    async def get_many(self, keys: Sequence[str]) -> dict[str, Any]:
        """Those that are there."""

    async def set_many(self, items: Mapping[str, Any], *, ttl: float | None = None) -> None:
        """All or none."""

    async def add(self, key: str, amount: float = 1, *, ttl: float | None = None) -> float:
        """Adds to a number, which begins at 0, and gives the sum; no other writer comes between. `ttl` counts from the
        first addition."""

    async def list(self, prefix: str = "", *, limit: int = 1000) -> list[str]:
        """Keys in order."""


class Database(Protocol):
    """A SQLite database of this project. Any number of scripts and processes may write at once."""

    async def query(self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> list[dict[str, Any]]:
        """The rows of one statement, by column."""

    async def execute(self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> int:
        """One statement; how many rows it changed."""

    async def run(self, statements: Sequence[tuple[str, Sequence[Any] | Mapping[str, Any]]]) -> None:
        """Several statements in one transaction: all or none."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """A question to a person."""

    id: str
    status: str
    """`open`, `approved`, `rejected`, `edited`, `expired`, `withdrawn`."""
    said: dict[str, Any]
    """All of what the desk says."""

    @property
    def approved(self) -> bool:
        return self.status in ("approved", "edited")


class Approvals(Protocol):
    async def ask(self, title: str, message: str = "", *, wait_seconds: float = 0, **more: Any) -> Ticket:
        """Asks a person; with `wait_seconds` it waits that long for the answer."""

    async def get(self, ticket: str) -> Ticket: ...


class Agents(Protocol):
    async def task(self, prompt: str, **more: Any) -> dict[str, Any]:
        """Starts an agent in a container of its own; `taskId` names it."""


@dataclass(frozen=True, slots=True)
class Ran:
    """What a command did."""

    exit: int
    stdout: str
    stderr: str

    @property
    def ok(self) -> bool:
        return self.exit == 0


class Containers(Protocol):
    async def exec(self, command: str | Sequence[str], *, cwd: str = "", timeout: float = 60) -> Ran:  # noqa: ASYNC109
        """Runs a command in the calling container, as its agent: a text by its shell, a list as it is."""


class Files(Protocol):
    async def read(self, path: str) -> bytes:
        """A file of the calling container."""


class Log(Protocol):
    """Lines for `bawn scripts logs`; `@log-level` says which are kept. `print` goes there as well."""

    def debug(self, line: object) -> None: ...

    def info(self, line: object) -> None: ...

    def warning(self, line: object) -> None: ...

    def error(self, line: object) -> None: ...

    def __call__(self, line: object) -> None: ...


class Context(Protocol):
    """What a script can reach."""

    metadata: Metadata
    shared: dict[str, Any]
    """Lives across requests, one for each container and exec id; gone when the worker starts anew. Scripts run in one thread:
    between two `await` nobody else changes it."""
    env: Mapping[str, str]
    """What the operator gave to this script, secrets included."""
    kv: KeyValue
    approvals: Approvals
    agents: Agents
    containers: Containers
    files: Files
    log: Log

    async def upstream(self, req: Request, *, provider: str | None = None, next: str | None = None) -> Answer:  # noqa: A002
        """The rest of the way to the model. `provider`: another configured one; `next`: through that exec's script first.
        An answer with a status of failure is an answer."""

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
    ) -> Answer:
        """A request to the world, under the egress policy of the calling container. Raises FetchFailed."""

    def db(self, name: str) -> Database:
        """The database of this name, made when it is first used."""

    async def notify(
        self,
        title: str,
        message: str = "",
        *,
        priority: Literal["low", "normal", "high", "urgent"] = "normal",
        **more: Any,
    ) -> dict[str, Any]:
        """Tells the people who run this."""
