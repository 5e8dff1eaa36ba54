"""By which agents report: whose adapters the boxes have that start from now on."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from bawn.api.answers import data, envelope
from bawn.api.caller import Caller
from bawn.api.services import Adapters
from bawn.sdk import shapes

Many = envelope("AdaptersAnswer", adapters=list[shapes.Adapter])
One = envelope("AdapterAnswer", adapter=shapes.Adapter)


def router(adapters: Adapters) -> APIRouter:
    routes = APIRouter(prefix="/adapters", tags=["adapters"])

    @routes.get("", response_model=Many)
    async def list_adapters() -> dict[str, Any]:
        return data(adapters=list(adapters.list()))

    @routes.put("/{agent}", response_model=One)
    async def install(agent: str, by: Caller) -> dict[str, Any]:
        return data(adapter=await adapters.install(agent, by))

    @routes.delete("/{agent}", status_code=204)
    async def remove(agent: str, by: Caller) -> None:
        await adapters.remove(agent, by)

    return routes
