"""What runs, where it listens, what is degraded."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from bawn.api.answers import data, envelope
from bawn.api.services import Status
from bawn.sdk import shapes

One = envelope("StatusAnswer", status=shapes.Status)


def router(status: Status) -> APIRouter:
    routes = APIRouter(tags=["status"])

    @routes.get("/status", response_model=One)
    async def read() -> dict[str, Any]:
        return data(status=await status.status())

    return routes
