"""The configuration: what may stand in it, what holds, whether a text would load, reading the file again."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict

from bawn.api.answers import data, envelope
from bawn.api.caller import Caller
from bawn.api.rules import without_secrets
from bawn.api.services import Configuration
from bawn.sdk import shapes
from bawn.terms.principal import Role

Schema = envelope("SchemaAnswer", schema=dict[str, Any])
Effective = envelope("ConfigAnswer", config=dict[str, Any])
Verdict = envelope("VerdictAnswer", verdict=shapes.ConfigVerdict)


class Candidate(BaseModel):
    model_config = ConfigDict(extra="forbid")

    text: str


def router(config: Configuration) -> APIRouter:
    routes = APIRouter(prefix="/config", tags=["config"])

    @routes.get("", response_model=Effective)
    async def effective(by: Caller) -> dict[str, Any]:
        found = config.effective()
        if not by.may(Role.ADMIN):
            rules = found.get("mitm", {}).get("rules", ())
            found["mitm"] = {**found.get("mitm", {}), "rules": [without_secrets(rule) for rule in rules]}
        return data(config=found)

    @routes.get("/schema", response_model=Schema)
    async def schema() -> dict[str, Any]:
        return data(schema=config.schema())

    @routes.post("/check", response_model=Verdict)
    async def check(candidate: Candidate) -> dict[str, Any]:
        return data(verdict=await config.check(candidate.text))

    @routes.post("/reload", response_model=Verdict)
    async def reload(by: Caller) -> dict[str, Any]:
        return data(verdict=await config.reload(by))

    return routes
