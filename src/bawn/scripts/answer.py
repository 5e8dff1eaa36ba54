"""Answers as a script sees them come: whole, as events, as bytes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator
from typing import Any, Protocol

import msgspec

from bawn.scripts.body import UNSET, Json


class Event:
    """One event of a stream (server-sent events). What is not changed is written on byte for byte."""

    __slots__ = ("_json", "_name", "_raw")

    def __init__(
        self,
        data: str = "",
        *,
        name: str = "",
        json: Any = UNSET,
        raw: bytes = b"",
    ) -> None:
        self._name = name
        self._json = Json(data.encode(), json)
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
        self._json, self._raw = Json(data.encode()), b""

    @property
    def json(self) -> Any:
        """The data as Python values; None where it is no JSON (`[DONE]`). What is changed in it is written changed."""
        try:
            return self._json.value()
        except ValueError:
            return None

    @json.setter
    def json(self, value: Any) -> None:
        self._json, self._raw = Json(b"", value), b""

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


def streamed(answer: Answer) -> bool:
    """Whether it comes as events."""
    return answer.headers.get("content-type", "").startswith("text/event-stream")


def error_of(body: bytes) -> str:
    """Of an error in whichever form."""
    try:
        said = msgspec.json.decode(body)
        error = said["error"]
        return str(error["message"] if isinstance(error, dict) else error)
    except (ValueError, LookupError, TypeError):
        return f"{len(body)} bytes that are no error of a wire"
