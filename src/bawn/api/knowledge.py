"""Knowledge bases: folders of the host whose texts are put beside what agents ask."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from bawn.api.answers import data, envelope
from bawn.api.caller import Caller
from bawn.api.services import Knowledge
from bawn.sdk import shapes

Many = envelope("KnowledgeAnswer", bases=list[shapes.KnowledgeBase])
Taken = envelope("KnowledgeAddedAnswer", added=shapes.KnowledgeAdded)


class Folder(BaseModel):
    model_config = ConfigDict(extra="forbid")

    base: str = Field(max_length=63, description="Name of the base.")
    folder: str = Field(max_length=4096, pattern="^/", description="A folder of the host, from the root on.")


def router(knowledge: Knowledge) -> APIRouter:
    routes = APIRouter(prefix="/knowledge", tags=["knowledge"])

    @routes.get("", response_model=Many)
    async def list_bases() -> dict[str, Any]:
        return data(bases=list(await knowledge.bases()))

    @routes.post("", response_model=Taken)
    async def add(folder: Folder, by: Caller) -> dict[str, Any]:
        return data(added=await knowledge.add_folder(folder.base, folder.folder, by))

    @routes.delete("/{base}", status_code=204)
    async def remove(base: str, by: Caller) -> None:
        await knowledge.remove_base(base, by)

    return routes
