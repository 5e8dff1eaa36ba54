"""Questions to people: what is asked, exactly, and the answers of named approvers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from bawn.api.answers import data, envelope, ndjson
from bawn.api.caller import Caller
from bawn.api.services import Lifecycle
from bawn.approvals.desk import REASON, Desk
from bawn.approvals.edits import MAX_CHARACTERS
from bawn.approvals.words import shown
from bawn.sdk import shapes

One = envelope("ApprovalAnswer", approval=shapes.Approval)
Many = envelope("ApprovalsAnswer", approvals=list[shapes.Approval])

States = Literal["open", "approved", "edited", "rejected", "expired", "withdrawn", "all"]


class Rejected(BaseModel):
    model_config = ConfigDict(extra="forbid")

    digest: str = Field(pattern="^[0-9a-f]{64}$", description="Of what the person was shown.")
    reason: str = Field("", max_length=REASON)


class Approved(Rejected):
    arguments: str | None = Field(None, max_length=MAX_CHARACTERS, description="Others, in place of those shown.")


def router(desk: Desk, lifecycle: Lifecycle) -> APIRouter:
    routes = APIRouter(prefix="/approvals", tags=["approvals"])

    @routes.get("", response_model=Many)
    async def list_approvals(
        state: States = "open",
        container: Annotated[str | None, Query(max_length=64)] = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    ) -> dict[str, Any]:
        uuid = lifecycle.get(container).uuid if container is not None else None
        found = await desk.list(None if state == "all" else state, uuid, limit)
        return data(approvals=[shown(ticket, whole=False) for ticket in found])

    @routes.get("/watch", response_class=StreamingResponse)
    async def watch() -> StreamingResponse:
        async def lines() -> AsyncIterator[shapes.Approval]:
            async for ticket in desk.watch():
                yield shown(ticket, whole=False)

        return StreamingResponse(ndjson(lines()), media_type="application/x-ndjson")

    @routes.get("/{approval_id}", response_model=One)
    async def show(approval_id: str) -> dict[str, Any]:
        return data(approval=shown(await desk.get(approval_id), whole=True))

    @routes.post("/{approval_id}/approve", response_model=One)
    async def approve(approval_id: str, approved: Approved, by: Caller) -> dict[str, Any]:
        ticket = await desk.approve(
            approval_id, approved.digest, by, reason=approved.reason, arguments=approved.arguments
        )
        return data(approval=shown(ticket, whole=True))

    @routes.post("/{approval_id}/reject", response_model=One)
    async def reject(approval_id: str, rejected: Rejected, by: Caller) -> dict[str, Any]:
        ticket = await desk.reject(approval_id, rejected.digest, by, reason=rejected.reason)
        return data(approval=shown(ticket, whole=True))

    return routes
