"""Ready-made steps between agents and models: what they have done, and answers to be forgotten."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from bawn.api.answers import data, envelope
from bawn.api.caller import Caller
from bawn.api.services import Transforms
from bawn.sdk import shapes

Many = envelope("TransformsAnswer", transforms=list[shapes.Transform])
Gone = envelope("ForgottenAnswer", forgotten=shapes.Forgotten)


class Forget(BaseModel):
    model_config = ConfigDict(extra="forbid")

    container: str | None = Field(None, max_length=64, description="Answers that calls of this container brought.")
    project: str | None = Field(None, max_length=63, description="The same for a project.")
    model: str | None = Field(None, max_length=512, description="Answers of this `provider/model`.")


def router(transforms: Transforms) -> APIRouter:
    routes = APIRouter(prefix="/transforms", tags=["transforms"])

    @routes.get("", response_model=Many)
    async def list_transforms() -> dict[str, Any]:
        return data(transforms=list(transforms.list()))

    @routes.post("/cache/forget", response_model=Gone)
    async def forget(wanted: Forget, by: Caller) -> dict[str, Any]:
        return data(forgotten=await transforms.forget(wanted.container, wanted.project, wanted.model, by))

    return routes
