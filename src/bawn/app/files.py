"""The files of a running container, for operators; what goes in or out by name is on record before it does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from bawn.api.services import Recorder
from bawn.app.conversation import Conversation
from bawn.errors import Fault, quoted
from bawn.identity.record import Record
from bawn.identity.registry import Registry
from bawn.lines.line import Line
from bawn.sdk import shapes
from bawn.terms.event import Event
from bawn.terms.principal import Operator, label

UPLOAD_LIMIT_BYTES = 2 << 30
"""What the home of a container holds at most."""


class Files:
    """Fulfils `api.services.Files`."""

    def __init__(self, registry: Registry, boxes: Callable[[], Line], recorder: Recorder) -> None:
        self._registry = registry
        self._boxes = boxes
        self._recorder = recorder

    async def list(self, ref: str, path: str) -> tuple[Sequence[shapes.File], bool]:
        record = self._running(ref)
        async with await self._begin(record, "list", path) as talk:
            cut = bool((await talk.heard()).get("cut"))
            return [_file(each) async for each in talk.lines()], cut

    async def stat(self, ref: str, path: str) -> shapes.File:
        record = self._running(ref)
        async with await self._begin(record, "stat", path) as talk:
            return _file(await talk.heard())

    @asynccontextmanager
    async def read(self, ref: str, path: str, by: Operator) -> AsyncIterator[tuple[shapes.File, AsyncIterator[bytes]]]:
        record = self._running(ref)
        await self._record("file.read", record, path, by)
        async with await self._begin(record, "read", path) as talk:
            file = _file(await talk.heard())
            yield file, talk.data(file.size_bytes)

    async def peek(self, record: Record, path: str, limit_bytes: int) -> bytes:
        """A file for ourselves, at most so long. Fault when there is none."""
        async with await self._begin(record, "read", path) as talk:
            file = _file(await talk.heard())
            if file.size_bytes > limit_bytes:
                raise Fault("files.failed", f"The file {quoted(path)} is too long.")
            return b"".join([piece async for piece in talk.data(file.size_bytes)])

    async def write(
        self, ref: str, path: str, data: AsyncIterator[bytes], mode: int | None, by: Operator
    ) -> shapes.File:
        record = self._running(ref)
        await self._record("file.written", record, path, by)
        async with await self._begin(record, "write", path, mode=mode, limit_bytes=UPLOAD_LIMIT_BYTES) as talk:
            await talk.heard()
            outcome = asyncio.create_task(talk.heard())
            try:
                async for piece in data:
                    if outcome.done():
                        break  # refused, long before all of it was sent
                    await talk.give(piece)
                else:
                    await talk.end()
                return _file(await outcome)
            finally:
                outcome.cancel()

    async def mkdir(self, ref: str, path: str, parents: bool, by: Operator) -> shapes.File:
        record = self._running(ref)
        await self._record("file.folder_made", record, path, by)
        async with await self._begin(record, "mkdir", path, parents=parents) as talk:
            return _file(await talk.heard())

    async def remove(self, ref: str, path: str, recursive: bool, by: Operator) -> None:
        record = self._running(ref)
        await self._record("file.removed", record, path, by)
        async with await self._begin(record, "remove", path, recursive=recursive) as talk:
            await talk.heard()

    def _running(self, ref: str) -> Record:
        record = self._registry.get(ref)
        if record.state != "running":
            raise Fault("sandbox.not_running", f"The container {quoted(record.name)} is {record.state}.")
        return record

    async def _begin(self, record: Record, act: str, path: str, **further: Any) -> Conversation:
        asked = {"act": act, "path": _whole(record, path), **further}
        return await Conversation.begin(self._boxes(), "files", uuid=record.uuid, **asked)

    async def _record(self, event: str, record: Record, path: str, by: Operator) -> None:
        await self._recorder.record(
            Event(
                event=event, principal=label(by), container=record.uuid, detail=(("path", _whole(record, path)[:1000]),)
            )
        )


def _whole(record: Record, path: str) -> str:
    """What does not begin with a slash is in the workspace."""
    return path if path.startswith("/") else f"{record.place}/{path}"


def _file(told: dict[str, Any]) -> shapes.File:
    return shapes.File(
        name=str(told.get("name", "")),
        kind=str(told.get("kind", "")),
        size_bytes=int(told.get("size_bytes", 0)),
        mode=int(told.get("mode", 0)),
        modified=datetime.fromtimestamp(float(told.get("modified", 0)), UTC),
        target=None if told.get("target") is None else str(told["target"]),
    )
