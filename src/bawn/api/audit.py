"""The end of the audit log, line by line, as it is or as it grows."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse

from bawn.api.answers import ndjson
from bawn.api.services import AuditLog


def router(audit: AuditLog) -> APIRouter:
    routes = APIRouter(tags=["audit"])

    @routes.get("/audit", response_class=StreamingResponse)
    async def tail(lines: Annotated[int, Query(ge=0, le=10_000)] = 20, follow: bool = False) -> StreamingResponse:
        return StreamingResponse(ndjson(audit.tail(lines, follow)), media_type="application/x-ndjson")

    return routes
