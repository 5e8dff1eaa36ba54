"""Every model that a container could name, and whether its provider answers."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from bawn.api.answers import data, envelope
from bawn.api.services import Models, Providers
from bawn.identity.record import NAME
from bawn.sdk import shapes

Many = envelope("ModelsAnswer", models=list[shapes.Model])
Checks = envelope("ProviderChecksAnswer", checks=list[shapes.ProviderCheck])


class Checked(BaseModel):
    model_config = ConfigDict(extra="forbid")

    provider: str | None = Field(None, pattern=f"^{NAME.pattern}$", max_length=63)
    """All when none is named."""


def router(models: Models, providers: Providers) -> APIRouter:
    routes = APIRouter(tags=["models"])

    @routes.get("/models", response_model=Many)
    async def list_models(container: Annotated[str | None, Query(max_length=64)] = None) -> dict[str, Any]:
        return data(models=list(await models.list(container)))

    @routes.post("/providers/check", response_model=Checks)
    async def check(checked: Checked) -> dict[str, Any]:
        return data(checks=list(await providers.check(checked.provider)))

    return routes
