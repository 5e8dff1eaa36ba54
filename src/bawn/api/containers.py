"""Containers: list, create, read, change, delete, start, stop, logs, why."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse
from msgspec import UNSET
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from bawn.api.answers import data, envelope, text
from bawn.api.caller import Caller
from bawn.api.services import Change, Lifecycle
from bawn.identity.record import NewContainer, Record, WorkspaceMode
from bawn.sdk import shapes

STOP_TIMEOUT_S = 10.0

One = envelope("ContainerAnswer", container=shapes.Container)
Many = envelope("ContainersAnswer", containers=list[shapes.Container])
Refusals = envelope("RefusalsAnswer", refusals=list[shapes.Refusal])


class Wanted(BaseModel):
    """What a container shall be; what is left out is the configured default."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: str = Field("", description="Small letters, digits and hyphens, beginning with a letter.")
    project: str = "default"
    server: str = ""
    image: str = ""
    runtime: str = ""
    ai: bool = True
    task: str = ""
    expires: Annotated[AwareDatetime | None, Field(strict=False)] = None
    mount: str = Field("", description="Absolute path of the host directory that is its workspace.")
    workspace: WorkspaceMode = Field("live", description="`copy`: it works in a private copy of that directory.")
    ephemeral: bool = Field(False, description="Deleted, with everything in it, when its work has ended.")


class Changed(BaseModel):
    """What shall change; what is left out stays."""

    model_config = ConfigDict(extra="forbid", strict=True)

    ai: bool = False
    expires: Annotated[AwareDatetime | None, Field(strict=False)] = None

    @property
    def change(self) -> Change:
        given = self.model_fields_set
        return Change(ai=self.ai if "ai" in given else UNSET, expires=self.expires if "expires" in given else UNSET)


class Stop(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    timeout_s: float = Field(STOP_TIMEOUT_S, ge=0, le=600, description="How long it may take to end by itself.")


def shown(record: Record) -> shapes.Container:
    return shapes.Container(
        id=record.uuid,
        number=record.number,
        name=record.name,
        project=record.project,
        server=record.server,
        ai=record.ai,
        state=record.state,
        image=record.image,
        runtime=record.runtime,
        task=record.task,
        created=record.created,
        expires=record.expires,
        mount=record.mount,
        workspace=record.workspace,
        ephemeral=record.ephemeral,
        attestation="weak" if record.runtime == "attached" else "full",
    )


def router(lifecycle: Lifecycle) -> APIRouter:
    routes = APIRouter(prefix="/containers", tags=["containers"])

    @routes.get("", response_model=Many)
    async def list_containers() -> dict[str, Any]:
        return data(containers=[shown(record) for record in lifecycle.list()])

    @routes.post("", response_model=One, status_code=201)
    async def create(wanted: Wanted, by: Caller) -> dict[str, Any]:
        return data(container=shown(await lifecycle.create(NewContainer(**wanted.model_dump()), by)))

    @routes.get("/{ref}", response_model=One)
    async def get(ref: str) -> dict[str, Any]:
        return data(container=shown(lifecycle.get(ref)))

    @routes.patch("/{ref}", response_model=One)
    async def update(ref: str, changed: Changed, by: Caller) -> dict[str, Any]:
        return data(container=shown(await lifecycle.update(ref, changed.change, by)))

    @routes.delete("/{ref}", status_code=204)
    async def delete(ref: str, by: Caller) -> None:
        await lifecycle.delete(ref, by)

    @routes.post("/{ref}/start", response_model=One)
    async def start(ref: str, by: Caller) -> dict[str, Any]:
        return data(container=shown(await lifecycle.start(ref, by)))

    @routes.post("/{ref}/stop", response_model=One)
    async def stop(ref: str, by: Caller, how: Stop | None = None) -> dict[str, Any]:
        timeout_s = how.timeout_s if how else STOP_TIMEOUT_S
        return data(container=shown(await lifecycle.stop(ref, by, timeout_s)))

    @routes.get("/{ref}/logs", response_class=StreamingResponse)
    async def logs(ref: str, follow: bool = False) -> StreamingResponse:
        lifecycle.get(ref)
        return StreamingResponse(text(lifecycle.logs(ref, follow)), media_type="text/plain; charset=utf-8")

    @routes.get("/{ref}/why", response_model=Refusals)
    async def why(ref: str, limit: Annotated[int, Query(ge=1, le=1000)] = 20) -> dict[str, Any]:
        return data(refusals=list(await lifecycle.why(ref, limit)))

    return routes
