"""Where notices go: a file, a web address, or a service that apprise knows.

A sink delivers one notice or says why not. It keeps nothing and tries nothing twice; that is its caller's. An address may
be a secret in itself, so no sentence here tells it.
"""

from __future__ import annotations

import asyncio
import json
import os
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Protocol

from bawn.errors import Fault

FILE_BYTES = 16 * 2**20
"""At this size a file is put aside as `<name>.1`, in place of the one before."""

Post = Callable[[str, bytes, float], Awaitable[int]]
"""Posts JSON to an address within so many seconds; the status of the answer. Faults of `upstream.*`."""


class Undelivered(Exception):
    """It did not arrive; the message says why, without the address."""

    def __init__(self, because: str, *, again: bool) -> None:
        super().__init__(because)
        self.again = again
        """Whether another attempt may do better."""


class Sink(Protocol):
    async def deliver(self, notice: dict[str, Any]) -> None:
        """Raises Undelivered."""


class FileSink:
    def __init__(self, path: Path) -> None:
        self._path = path

    async def deliver(self, notice: dict[str, Any]) -> None:
        # ASCII only: what is hostile to a terminal stays escaped, and a line stays one line.
        line = (json.dumps(notice) + "\n").encode("ascii")
        try:
            await asyncio.to_thread(self._append, line)
        except OSError as error:
            raise Undelivered(f"the file cannot be written: {error.strerror}", again=True) from error

    def _append(self, line: bytes) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        descriptor = os.open(self._path, flags, 0o600)
        try:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                raise OSError(0, "it is no plain file")
            os.write(descriptor, line)
        finally:
            os.close(descriptor)
        if found.st_size + len(line) > FILE_BYTES:
            self._path.rename(self._path.with_name(self._path.name + ".1"))


class WebhookSink:
    """`address` is asked each time, since it may be a secret that is exchanged."""

    def __init__(self, address: Callable[[], str | None], post: Post, timeout_s: float) -> None:
        self._address = address
        self._post = post
        self._timeout_s = timeout_s

    async def deliver(self, notice: dict[str, Any]) -> None:
        status = await _posted(self._post, _usable(self._address()), notice, self._timeout_s)
        if not 200 <= status < 300:
            # A redirect is not followed: where notices go is the operator's to say, and nobody else's.
            raise Undelivered(f"it answered {status}", again=status in (408, 425, 429) or status >= 500)


class AppriseSink:
    """By the notifier, a process of its own (`notifier.py`); `post` reaches it, whatever address it is given."""

    def __init__(self, address: Callable[[], str | None], post: Post, timeout_s: float) -> None:
        self._address = address
        self._post = post
        self._timeout_s = timeout_s

    async def deliver(self, notice: dict[str, Any]) -> None:
        lines = [notice["message"], *(f"{action['label']}: {action['url']}" for action in notice["actions"])]
        told = {
            "url": _usable(self._address()),
            "title": notice["title"],
            "body": "\n".join(line for line in lines if line) or notice["title"],
            "type": "warning" if notice["priority"] in ("high", "urgent") else "info",
        }
        status = await _posted(self._post, "", told, self._timeout_s)
        if status != 204:
            because = (
                "its address is of no service that can be used" if status == 422 else "the service did not take it"
            )
            raise Undelivered(because, again=status != 422)


def _usable(address: str | None) -> str:
    if address is None:
        raise Undelivered("it has no address that can be used", again=False)
    return address


async def _posted(post: Post, address: str, told: dict[str, Any], timeout_s: float) -> int:
    try:
        return await post(address, json.dumps(told).encode("ascii"), timeout_s)
    except Fault as fault:
        raise Undelivered(fault.code, again=True) from fault
