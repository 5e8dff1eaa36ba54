"""The configuration: what may stand in it, what holds, whether a text would load, reading the file again."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict

from bawn.api.answers import data, envelope
from bawn.api.caller import Caller
from bawn.api.services import Configuration
from bawn.sdk import shapes

Schema = envelope("SchemaAnswer", schema=dict[str, Any])
Effective = envelope("ConfigAnswer", config=dict[str, Any])
Verdict = envelope("VerdictAnswer", verdict=shapes.ConfigVerdict)


class Candidate(BaseModel):
    model_config = ConfigDict(extra="forbid")

    text: str


def router(config: Configuration) -> APIRouter:
    routes = APIRouter(prefix="/config", tags=["config"])

    @routes.get("", response_model=Effective)
    async def effective() -> dict[str, Any]:
        return data(config=config.effective())

    @routes.get("/schema", response_model=Schema)
    async def schema() -> dict[str, Any]:
        return data(schema=config.schema())

    @routes.post("/check", response_model=Verdict)
    async def check(candidate: Candidate) -> dict[str, Any]:
        return data(verdict=config.check(candidate.text))

    @routes.post("/reload", response_model=Verdict)
    async def reload(by: Caller) -> dict[str, Any]:
        return data(verdict=await config.reload(by))

    return routes
