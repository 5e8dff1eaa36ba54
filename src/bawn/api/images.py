"""Images: what boxes are made of."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from bawn.api.answers import data, envelope, ndjson
from bawn.api.caller import Caller
from bawn.api.services import Images
from bawn.sdk import shapes

Many = envelope("ImagesAnswer", images=list[shapes.Image])


class Wanted(BaseModel):
    """An image that somebody else made."""

    model_config = ConfigDict(extra="forbid", strict=True)

    source: str = Field(description="Absolute path of an OCI archive or an OCI layout on this machine.")
    digest: str = Field(
        "", description="`sha256:…` of the image that is meant; without it, the refusal names those in it."
    )


def router(images: Images) -> APIRouter:
    routes = APIRouter(prefix="/images", tags=["images"])

    @routes.get("", response_model=Many)
    async def list_images() -> dict[str, Any]:
        return data(images=list(await images.list()))

    @routes.post("/{name}/build", response_class=StreamingResponse)
    async def build(name: str, by: Caller) -> StreamingResponse:
        return StreamingResponse(ndjson(images.build(name, by)), media_type="application/x-ndjson")

    @routes.post("/{name}/import", response_class=StreamingResponse)
    async def bring(name: str, wanted: Wanted, by: Caller) -> StreamingResponse:
        lines = ndjson(images.bring(name, wanted.source, wanted.digest, by))
        return StreamingResponse(lines, media_type="application/x-ndjson")

    @routes.delete("/{name}", status_code=204)
    async def remove(name: str, by: Caller) -> None:
        await images.remove(name, by)

    return routes
