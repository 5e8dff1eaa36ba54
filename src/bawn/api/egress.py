"""The ways out: which rules hold for a container, what was refused, and the grants of operators."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from bawn.api.answers import data, envelope
from bawn.api.caller import Caller
from bawn.api.services import Egress
from bawn.sdk import shapes

Rule = envelope("EgressRuleAnswer", rule=shapes.EgressRule)
Rules = envelope("EgressRulesAnswer", rules=list[shapes.EgressRule])
Log = envelope("EgressLogAnswer", passages=list[shapes.Passage])

MOST = 1000


class Allowed(BaseModel):
    model_config = ConfigDict(extra="forbid")

    rule: str = Field(min_length=1, max_length=400)


def router(egress: Egress) -> APIRouter:
    routes = APIRouter(tags=["egress"])

    @routes.get("/containers/{ref}/egress", response_model=Rules)
    async def rules(ref: str) -> dict[str, Any]:
        return data(rules=list(await egress.rules(ref)))

    @routes.post("/containers/{ref}/egress", response_model=Rule, status_code=201)
    async def allow(ref: str, allowed: Allowed, by: Caller) -> dict[str, Any]:
        return data(rule=await egress.allow(ref, allowed.rule.strip(), by))

    @routes.delete("/containers/{ref}/egress/{grant_id}", status_code=204)
    async def disallow(ref: str, grant_id: int, by: Caller) -> None:
        await egress.disallow(ref, grant_id, by)

    @routes.get("/containers/{ref}/egress/suggestions", response_model=Rules)
    async def suggestions(ref: str) -> dict[str, Any]:
        return data(rules=list(await egress.suggest(ref)))

    @routes.get("/egress/log", response_model=Log)
    async def log(
        container: Annotated[str | None, Query(max_length=64)] = None,
        denied: bool = False,
        limit: Annotated[int, Query(ge=1, le=MOST)] = 50,
    ) -> dict[str, Any]:
        return data(passages=list(await egress.log(container, denied, limit)))

    return routes
