"""Private copies and snapshots, for operators: each change on record, with what became of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from bawn.api.services import Recorder
from bawn.app.conversation import Conversation
from bawn.app.lifecycle import Lifecycle
from bawn.errors import Fault
from bawn.identity.record import Record
from bawn.identity.registry import Registry
from bawn.sdk import shapes
from bawn.terms.event import Event
from bawn.terms.principal import Operator, label

COPYING_S = 900.0
TOLD_PATHS = 100


class Workspaces:
    """Fulfils `api.services.Workspaces`."""

    def __init__(self, registry: Registry, lifecycle: Lifecycle, recorder: Recorder) -> None:
        self._registry = registry
        self._lifecycle = lifecycle
        self._recorder = recorder

    async def diff(self, ref: str) -> Sequence[shapes.Change]:
        record = self._private(ref)
        async with await self._begin("workspace.diff", record) as talk:
            count = int((await talk.heard()).get("count", 0))
            changes = [msgspec.convert(each, shapes.Change) async for each in talk.lines()]
        if len(changes) != count:
            raise Fault("files.failed", "The list of changes broke off.")
        return changes

    async def apply(
        self, ref: str, paths: Sequence[str], seen: Sequence[str] | None, by: Operator
    ) -> Sequence[shapes.Applied]:
        record = self._private(ref)
        await self._record("workspace.applying", record, by, paths=" ".join(paths[:TOLD_PATHS])[:2000] or "all")
        asked = {"paths": list(paths), "seen": None if seen is None else list(seen)}
        async with await self._begin("workspace.apply", record, **asked) as talk:
            await talk.heard()
            applied = [msgspec.convert(each, shapes.Applied) async for each in talk.lines()]
        done = [each.path for each in applied if each.done]
        names = " ".join(done[:TOLD_PATHS])[:2000]
        await self._record("workspace.applied", record, by, count=str(len(done)), paths=names)
        return applied

    async def snapshots(self, ref: str) -> Sequence[shapes.Snapshot]:
        record = self._registry.get(ref)
        try:
            told = await self._lifecycle.boxes.ask("snapshots.list", uuid=record.uuid)
        except Fault as fault:
            if fault.code == "sandbox.not_running":
                return []  # never started, so nothing was ever kept
            raise
        return [_snapshot(each) for each in told.body["snapshots"]]

    async def snapshot(self, ref: str, alias: str, by: Operator) -> shapes.Snapshot:
        record = self._registry.get(ref)
        await self._record("snapshot.creating", record, by, alias=alias)
        told = await self._lifecycle.boxes.ask("snapshots.create", wait_s=COPYING_S, uuid=record.uuid, alias=alias)
        made = _snapshot(told.body["snapshot"])
        await self._record("snapshot.created", record, by, snapshot=made.name, **made.sha256)
        return made

    async def restore(self, ref: str, name: str, by: Operator) -> shapes.Snapshot:
        record = self._registry.get(ref)
        restored = _snapshot(await self._lifecycle.restore(ref, name, by))
        await self._record("snapshot.restored", record, by, snapshot=restored.name, **restored.sha256)
        return restored

    async def forget(self, ref: str, name: str, by: Operator) -> None:
        record = self._registry.get(ref)
        await self._record("snapshot.deleting", record, by, snapshot=name)
        await self._lifecycle.boxes.ask("snapshots.delete", wait_s=COPYING_S, uuid=record.uuid, name=name)

    def _private(self, ref: str) -> Record:
        record = self._registry.get(ref)
        if record.workspace != "copy":
            raise Fault(
                "api.conflict",
                f"{record.name} works in the directory itself.",
                remedy="Make it with `--workspace copy` to look at changes before they reach the host.",
            )
        return record

    async def _begin(self, verb: str, record: Record, **asked: Any) -> Conversation:
        return await Conversation.begin(self._lifecycle.boxes, verb, uuid=record.uuid, **asked)

    async def _record(self, event: str, record: Record, by: Operator, **facts: str) -> None:
        detail = tuple(sorted((name, value) for name, value in facts.items() if value))
        await self._recorder.record(Event(event=event, principal=label(by), container=record.uuid, detail=detail))


def _snapshot(told: dict[str, Any]) -> shapes.Snapshot:
    return shapes.Snapshot(
        name=str(told["name"]),
        alias=str(told.get("alias", "")),
        created=datetime.fromisoformat(str(told["created"])),
        files=int(told["files"]),
        size_bytes=int(told["size_bytes"]),
        sha256={str(part): str(digest) for part, digest in told["sha256"].items()},
    )
