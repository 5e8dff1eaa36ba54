"""What an agent changed in its private copy, bringing it over, and snapshots."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from bawn.api.answers import data, envelope
from bawn.api.caller import Caller
from bawn.api.services import Workspaces
from bawn.sdk import shapes

Changes = envelope("ChangesAnswer", changes=list[shapes.Change])
Brought = envelope("AppliedAnswer", applied=list[shapes.Applied])
One = envelope("SnapshotAnswer", snapshot=shapes.Snapshot)
Many = envelope("SnapshotsAnswer", snapshots=list[shapes.Snapshot])

Path = Annotated[str, StringConstraints(min_length=1, max_length=4096)]


class Wanted(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    paths: list[Path] = Field(default_factory=list, description="Files or folders; none: all that are not guarded.")
    seen: list[str] | None = Field(None, description="The digests of the changes that were looked at.")


class Snapshot(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    alias: str = Field("", max_length=100)


def router(workspaces: Workspaces) -> APIRouter:
    routes = APIRouter(prefix="/containers", tags=["workspaces"])

    @routes.get("/{ref}/diff", response_model=Changes)
    async def diff(ref: str) -> dict[str, Any]:
        return data(changes=list(await workspaces.diff(ref)))

    @routes.post("/{ref}/apply", response_model=Brought)
    async def apply(ref: str, wanted: Wanted, by: Caller) -> dict[str, Any]:
        return data(applied=list(await workspaces.apply(ref, wanted.paths, wanted.seen, by)))

    @routes.get("/{ref}/snapshots", response_model=Many)
    async def list_snapshots(ref: str) -> dict[str, Any]:
        return data(snapshots=list(await workspaces.snapshots(ref)))

    @routes.post("/{ref}/snapshots", response_model=One, status_code=201)
    async def create(ref: str, by: Caller, wanted: Snapshot | None = None) -> dict[str, Any]:
        return data(snapshot=await workspaces.snapshot(ref, wanted.alias if wanted else "", by))

    @routes.patch("/{ref}/snapshots/{name}", response_model=One)
    async def restore(ref: str, name: str, by: Caller) -> dict[str, Any]:
        return data(snapshot=await workspaces.restore(ref, name, by))

    @routes.delete("/{ref}/snapshots/{name}", status_code=204)
    async def delete(ref: str, name: str, by: Caller) -> None:
        await workspaces.forget(ref, name, by)

    return routes
