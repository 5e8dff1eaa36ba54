"""Tokens, cost and calls, summed up by container or by model."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter
from pydantic import AwareDatetime

from bawn.api.answers import data, envelope
from bawn.api.services import Usage
from bawn.sdk import shapes

Many = envelope("UsageAnswer", usage=list[shapes.UsageRow])


def router(usage: Usage) -> APIRouter:
    routes = APIRouter(tags=["usage"])

    @routes.get("/usage", response_model=Many)
    async def read(
        by: Literal["container", "model"] = "container", since: AwareDatetime | None = None
    ) -> dict[str, Any]:
        return data(usage=list(await usage.summary(by, since)))

    return routes
