"""Containers: list, create, read, change, delete, start, stop, logs, why."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse
from msgspec import UNSET
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from bawn.api.answers import data, envelope, text
from bawn.api.caller import Caller
from bawn.api.services import Change, Found, Lifecycle
from bawn.errors import Fault, quoted
from bawn.identity.record import Limits, NewContainer, Record, WorkspaceMode
from bawn.sdk import shapes

STOP_TIMEOUT_S = 10.0
STRONG = "runsc"
"""The runtime of strong isolation."""
_ISOLATION = {STRONG: "strong", "attached": "none"}

One = envelope("ContainerAnswer", container=shapes.Container)
Many = envelope("ContainersAnswer", containers=list[shapes.Container])
Refusals = envelope("RefusalsAnswer", refusals=list[shapes.Refusal])


class WantedLimits(BaseModel):
    """How much of the machine it may take; what is left out is as configured."""

    model_config = ConfigDict(extra="forbid", strict=True)

    pids: int | None = Field(default=None, ge=16, le=32768, description="Processes and threads.")
    memory_bytes: int | None = Field(default=None, ge=32 << 20, le=1 << 44, description="With all scratch folders.")
    cpus: float | None = Field(default=None, ge=0.05, le=4096, description="Processors' time.")
    scratch_bytes: int | None = Field(
        default=None, ge=1 << 20, le=1 << 44, description="/tmp, /dev/shm and the home, each."
    )


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
    isolation: Literal["", "standard", "strong"] = Field("", description="`strong`: a kernel of its own (gVisor).")
    limits: WantedLimits = Field(default_factory=WantedLimits)
    role: str = Field("", description="What it is there for, in a word by which rules know it.")
    tags: Annotated[tuple[str, ...], Field(strict=False)] = Field((), description="That all its sessions carry.")
    allow_soft_limits: bool = Field(False, description="Start though a limit cannot be held here; it then says so.")

    @property
    def new(self) -> NewContainer:
        runtime = self.runtime
        if self.isolation:
            runtime = isolated(runtime, strong=self.isolation == "strong")
        said = self.model_dump(exclude={"isolation", "limits", "runtime"})
        return NewContainer(**said, runtime=runtime, limits=Limits(**self.limits.model_dump()))


def isolated(runtime: str, *, strong: bool) -> str:
    """The runtime that an isolation asks for. Fault `api.invalid` when another one was named beside it."""
    if runtime and (runtime == STRONG) is not strong:
        raise Fault(
            "api.invalid",
            f"The runtime {quoted(runtime)} does not give the isolation that was asked for.",
            remedy=f"Leave one of the two out; {STRONG} is the runtime of strong isolation.",
        )
    return STRONG if strong else runtime


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


def shown(record: Record, found: Found) -> shapes.Container:
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
        workdir=record.place,
        workspace=record.workspace,
        ephemeral=record.ephemeral,
        attestation="weak" if record.runtime == "attached" else "full",
        isolation=_ISOLATION.get(record.runtime, "standard"),
        limits=record.limits.asked(),
        allow_soft_limits=record.allow_soft_limits,
        role=record.role,
        tags=record.tags,
        degraded=found.degraded,
        masked=found.masked,
    )


def router(lifecycle: Lifecycle) -> APIRouter:
    routes = APIRouter(prefix="/containers", tags=["containers"])

    def seen(record: Record) -> shapes.Container:
        return shown(record, lifecycle.found(record.uuid))

    @routes.get("", response_model=Many)
    async def list_containers() -> dict[str, Any]:
        return data(containers=[seen(record) for record in lifecycle.list()])

    @routes.post("", response_model=One, status_code=201)
    async def create(wanted: Wanted, by: Caller) -> dict[str, Any]:
        return data(container=seen(await lifecycle.create(wanted.new, by)))

    @routes.get("/{ref}", response_model=One)
    async def get(ref: str) -> dict[str, Any]:
        return data(container=seen(lifecycle.get(ref)))

    @routes.patch("/{ref}", response_model=One)
    async def update(ref: str, changed: Changed, by: Caller) -> dict[str, Any]:
        return data(container=seen(await lifecycle.update(ref, changed.change, by)))

    @routes.delete("/{ref}", status_code=204)
    async def delete(ref: str, by: Caller) -> None:
        await lifecycle.delete(ref, by)

    @routes.post("/{ref}/start", response_model=One)
    async def start(ref: str, by: Caller) -> dict[str, Any]:
        return data(container=seen(await lifecycle.start(ref, by)))

    @routes.post("/{ref}/stop", response_model=One)
    async def stop(ref: str, by: Caller, how: Stop | None = None) -> dict[str, Any]:
        timeout_s = how.timeout_s if how else STOP_TIMEOUT_S
        return data(container=seen(await lifecycle.stop(ref, by, timeout_s)))

    @routes.get("/{ref}/logs", response_class=StreamingResponse)
    async def logs(ref: str, follow: bool = False) -> StreamingResponse:
        lifecycle.get(ref)
        return StreamingResponse(text(lifecycle.logs(ref, follow)), media_type="text/plain; charset=utf-8")

    @routes.get("/{ref}/why", response_model=Refusals)
    async def why(ref: str, limit: Annotated[int, Query(ge=1, le=1000)] = 20) -> dict[str, Any]:
        return data(refusals=list(await lifecycle.why(ref, limit)))

    return routes
