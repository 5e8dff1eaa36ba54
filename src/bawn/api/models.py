"""Every model that a container could name."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from bawn.api.answers import data, envelope
from bawn.api.services import Models
from bawn.sdk import shapes

Many = envelope("ModelsAnswer", models=list[shapes.Model])


def router(models: Models) -> APIRouter:
    routes = APIRouter(tags=["models"])

    @routes.get("/models", response_model=Many)
    async def list_models() -> dict[str, Any]:
        return data(models=list(await models.list()))

    return routes
