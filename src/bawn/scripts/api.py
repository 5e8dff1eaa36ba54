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

from collections.abc import AsyncIterator, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol

import msgspec


class ScriptError(Exception):
    """What `ctx` and `res` raise."""


class AnsweredTwice(ScriptError):
    """The script has answered already. A request has one answer."""


class Refused(ScriptError):
    """The gateway would not do it."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.status = status
        self.code = code
        """A stable name, as in the list of errors."""
        self.message = message


class FetchFailed(ScriptError):
    """There was no answer: the egress policy refused, the host is not there, or it took too long."""


class TooLarge(ScriptError):
    """More came than the limit of the call allows."""


class _Unset:
    pass


_UNSET: Final = _Unset()


class _Json:
    """A text of JSON, parsed when first looked at, written anew only when it is not the same any more."""

    __slots__ = ("_text", "_value")

    def __init__(self, text: bytes, value: object = _UNSET) -> None:
        self._text: bytes | None = text if isinstance(value, _Unset) else None
        self._value = value

    def value(self) -> Any:
        if isinstance(self._value, _Unset):
            self._value = msgspec.json.decode(self._text or b"null")
        return self._value

    def changed(self) -> bool:
        if isinstance(self._value, _Unset):
            return False
        return self._text is None or self._value != msgspec.json.decode(self._text or b"null")

    def text(self) -> bytes:
        if self._text is None or self.changed():
            return msgspec.json.encode(self._value)
        return self._text


class Request:
    """What the agent sent, without its credentials. A script may change it, or make another."""

    def __init__(
        self,
        method: str = "POST",
        path: str = "/api/v1/chat/completions",
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        json: Any = _UNSET,
    ) -> None:
        self.method = method
        self.path = path
        """As sent, with its query."""
        self.headers: dict[str, str] = {name.lower(): value for name, value in (headers or {}).items()}
        """Names in lower case; never a credential."""
        self._json = _Json(body, json)

    @property
    def body(self) -> bytes:
        """As it goes on: what was sent, or what `json` has become."""
        return self._json.text()

    @body.setter
    def body(self, data: bytes) -> None:
        self._json = _Json(data)

    @property
    def json(self) -> Any:
        """The body as Python values, None when there is none. What is changed in it goes on changed. Raises ValueError."""
        return self._json.value()

    @json.setter
    def json(self, value: Any) -> None:
        self._json = _Json(b"", value)

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The messages of a conversation (`messages`, or `input` of the Responses wire), to be changed in place."""
        said = self.json
        found = said.get("messages", said.get("input")) if isinstance(said, dict) else None
        return found if isinstance(found, list) else []

    @property
    def model(self) -> str:
        said = self.json
        return str(said.get("model", "")) if isinstance(said, dict) else ""

    @model.setter
    def model(self, name: str) -> None:
        self.json["model"] = name

    @property
    def stream(self) -> bool:
        """Whether the agent wants the answer as events."""
        said = self.json
        return isinstance(said, dict) and said.get("stream") is True

    @property
    def last_text(self) -> str:
        """The text of the last message, whatever form it has; empty when there is none."""
        if not self.messages:
            said = self.json
            return said["input"] if isinstance(said, dict) and isinstance(said.get("input"), str) else ""
        content = self.messages[-1].get("content", "")
        if isinstance(content, str):
            return content
        parts = content if isinstance(content, list) else []
        return "\n".join(part["text"] for part in parts if isinstance(part, dict) and isinstance(part.get("text"), str))

    def copy(self, *, json: Any = _UNSET, path: str = "", method: str = "") -> Request:
        """Another request, equal but for what is given; changing it does not change this one."""
        made = Request(method or self.method, path or self.path, self.headers, self.body)
        if not isinstance(json, _Unset):
            made.json = json
        return made


class Event:
    """One event of a stream (server-sent events). What is not changed is written on byte for byte."""

    __slots__ = ("_json", "_name", "_raw")

    def __init__(
        self,
        data: str = "",
        *,
        name: str = "",
        json: Any = _UNSET,
        raw: bytes = b"",
    ) -> None:
        self._name = name
        self._json = _Json(data.encode(), json)
        self._raw = raw

    @property
    def name(self) -> str:
        """The event's name; empty where the wire gives none."""
        return self._name

    @name.setter
    def name(self, name: str) -> None:
        self._name, self._raw = name, b""

    @property
    def data(self) -> str:
        return self._json.text().decode()

    @data.setter
    def data(self, data: str) -> None:
        self._json, self._raw = _Json(data.encode()), b""

    @property
    def json(self) -> Any:
        """The data as Python values; None where it is no JSON (`[DONE]`). What is changed in it is written changed."""
        try:
            return self._json.value()
        except ValueError:
            return None

    @json.setter
    def json(self, value: Any) -> None:
        self._json, self._raw = _Json(b"", value), b""

    def encoded(self) -> bytes:
        """As it stands in the stream."""
        if self._raw and not self._json.changed():
            return self._raw
        name = "".join(self._name.splitlines())
        # As the standard ends lines: what Python takes for a line's end beyond that is content.
        lines = self.data.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        head = f"event: {name}\n" if name else ""
        return (head + "".join(f"data: {line}\n" for line in lines) + "\n").encode()


class Answer(Protocol):
    """An answer that has begun to come: status and headers are here, the body is read on demand, once."""

    status: int
    headers: dict[str, str]
    """Names in lower case."""

    @property
    def ok(self) -> bool:
        """Whether the status is one of success."""

    async def json(self) -> Any: ...

    async def text(self) -> str: ...

    async def body(self) -> bytes:
        """All of it. Raises TooLarge."""

    def events(self) -> AsyncIterator[Event]:
        """The events of a stream, as they come."""

    def chunks(self) -> AsyncIterator[bytes]:
        """The bytes, as they come."""

    async def close(self) -> None:
        """The rest is not wanted. What is left open is closed when the script ends."""


class Answered:
    """Says that an answer was given; to be returned, awaited or left alone."""

    __slots__ = ()

    def __await__(self) -> Generator[None, None, None]:
        return
        yield


class Outlet(Protocol):
    """Where an answer goes; the worker's side of a Response."""

    def whole(self, status: int, headers: dict[str, str], body: bytes) -> None: ...

    def begin(self, status: int, headers: dict[str, str]) -> None: ...

    async def piece(self, data: bytes) -> None: ...


class Response:
    """The answer to the agent."""

    def __init__(self, outlet: Outlet) -> None:
        self._outlet = outlet
        self._status = 200
        self._headers: dict[str, str] = {}
        self._streaming = False

    def status(self, code: int) -> Response:
        """`return res.status(403).json({...})`"""
        if not 200 <= code <= 599:
            raise ValueError("a status is a number from 200 to 599")
        self._status = code
        return self

    def header(self, name: str, value: str) -> Response:
        if not name or any(c in ":\r\n\0 " for c in name) or any(c in "\r\n\0" for c in value):
            raise ValueError("a header is one line")
        self._headers[name.lower()] = value
        return self

    def like(self, answer: Answer) -> Response:
        """Takes over the status and the headers of an answer whose events are written one by one."""
        self._status = answer.status
        self._headers |= answer.headers
        return self

    def json(self, data: Any) -> Answered:
        return self.body(msgspec.json.encode(data), "application/json")

    def text(self, text: str) -> Answered:
        return self.body(text.encode(), "text/plain; charset=utf-8")

    def body(self, data: bytes, content_type: str) -> Answered:
        """An answer of any kind."""
        self._outlet.whole(self._status, self._headers | {"content-type": content_type}, data)
        return Answered()

    async def send(self, answer: Answer) -> Answered:
        """Passes an answer on as it is: status, headers, and the body as it comes."""
        self._outlet.begin(answer.status, self._headers | answer.headers)
        self._streaming = True
        async for data in answer.chunks():
            await self._outlet.piece(data)
        return Answered()

    async def write(self, event: Event | Mapping[str, Any] | str | bytes) -> None:
        """One event of a streamed answer; a dict is the data of one, bytes and texts are written as they are. Waits while
        the agent does not read. The stream ends when `handle` does."""
        if not self._streaming:
            self._outlet.begin(self._status, {"content-type": "text/event-stream"} | self._headers)
            self._streaming = True
        if isinstance(event, Event):
            data = event.encoded()
        elif isinstance(event, Mapping):
            data = Event(json=event).encoded()
        else:
            data = event.encode() if isinstance(event, str) else event
        await self._outlet.piece(data)


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
