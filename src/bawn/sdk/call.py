"""A request of the management API as a value: what is sent, and how the answer is read.

Every endpoint is described once, by a function that returns a `Call` or a `Stream`
(`bawn.sdk.endpoints`). `Blocking`, `Awaited` and their like turn such a description into a method of the
blocking or the asynchronous client, with the description's own signature.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, Generic, ParamSpec, Protocol, TypeVar

import msgspec
from msgspec import Struct

from bawn.errors import KINDS, Fault

T = TypeVar("T")
P = ParamSpec("P")


class Call(Struct, Generic[T], frozen=True):
    method: str
    path: str
    read: Callable[[Any], T]
    """From the decoded JSON of a good answer to the result."""
    params: dict[str, str] = {}
    body: dict[str, Any] | None = None


class Stream(Struct, Generic[T], frozen=True):
    """A call whose answer comes in pieces."""

    method: str
    path: str
    read: Callable[[str], T]
    """From one piece (a line, or a run of text when `lines` is false) to a result."""
    params: dict[str, str] = {}
    body: dict[str, Any] | None = None
    lines: bool = True


class Download(Struct, frozen=True):
    """A call whose good answer is a file's bytes."""

    path: str
    params: dict[str, str] = {}


class Upload(Struct, Generic[T], frozen=True):
    """A call whose body is a file's bytes."""

    path: str
    read: Callable[[Any], T]
    params: dict[str, str] = {}


class SyncSender(Protocol):
    def send(self, call: Call[T]) -> T:
        """Sends, waits, reads."""

    def stream(self, stream: Stream[T]) -> Iterator[T]:
        """Sends, and reads piece by piece."""


class AsyncSender(Protocol):
    async def send(self, call: Call[T]) -> T:
        """Sends, waits, reads."""

    def stream(self, stream: Stream[T]) -> AsyncIterator[T]:
        """Sends, and reads piece by piece."""


class SyncNoun:
    def __init__(self, sender: SyncSender) -> None:
        self.sender = sender


class AsyncNoun:
    def __init__(self, sender: AsyncSender) -> None:
        self.sender = sender


class Blocking(Generic[P, T]):
    """A described call as a method of the blocking client."""

    def __init__(self, describe: Callable[P, Call[T]]) -> None:
        self._describe = describe

    def __get__(self, noun: SyncNoun, owner: type) -> Callable[P, T]:
        return lambda *args, **kwargs: noun.sender.send(self._describe(*args, **kwargs))


class Awaited(Generic[P, T]):
    """A described call as a method of the asynchronous client."""

    def __init__(self, describe: Callable[P, Call[T]]) -> None:
        self._describe = describe

    def __get__(self, noun: AsyncNoun, owner: type) -> Callable[P, Coroutine[Any, Any, T]]:
        return lambda *args, **kwargs: noun.sender.send(self._describe(*args, **kwargs))


class Iterated(Generic[P, T]):
    """A described stream as a method of the blocking client."""

    def __init__(self, describe: Callable[P, Stream[T]]) -> None:
        self._describe = describe

    def __get__(self, noun: SyncNoun, owner: type) -> Callable[P, Iterator[T]]:
        return lambda *args, **kwargs: noun.sender.stream(self._describe(*args, **kwargs))


class AsyncIterated(Generic[P, T]):
    """A described stream as a method of the asynchronous client."""

    def __init__(self, describe: Callable[P, Stream[T]]) -> None:
        self._describe = describe

    def __get__(self, noun: AsyncNoun, owner: type) -> Callable[P, AsyncIterator[T]]:
        return lambda *args, **kwargs: noun.sender.stream(self._describe(*args, **kwargs))


def read_json(status: int, body: bytes) -> Any:
    """The decoded answer, or the Fault that it tells."""
    try:
        answer = msgspec.json.decode(body) if body else None
    except msgspec.DecodeError:
        raise Fault("internal", f"The answer with status {status} was not JSON.") from None
    if status >= 400:
        raise fault_of(answer, status)
    return answer


def fault_of(answer: Any, status: int) -> Fault:
    """The Fault of an `{"error": …}` answer; one of a code that this version does not know stays readable."""
    error = answer.get("error") if isinstance(answer, dict) else None
    if not isinstance(error, dict):
        return Fault("internal", f"The answer with status {status} told no error.")
    code, message = str(error.get("code", "")), str(error.get("message", ""))
    remedy = error.get("remedy")
    if code not in KINDS:
        code, message = "internal", f"{message} ({code})"
    return Fault(code, message, remedy=str(remedy) if remedy is not None else None, cause=str(error.get("cause", "")))
