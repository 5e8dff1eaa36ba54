"""The files of one container: /workspace and /home/agent, and nothing else of it or of the host."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from bawn.api.answers import data, envelope
from bawn.api.caller import Caller
from bawn.api.services import Files
from bawn.errors import Fault
from bawn.sdk import shapes

One = envelope("FileAnswer", file=shapes.File)
Many = envelope("FilesAnswer", files=list[shapes.File], truncated=bool)

Path = Annotated[
    str,
    Query(
        description="A path beneath the workspace or /home/agent; without a leading slash, in the workspace.",
        max_length=4096,
    ),
]


class Folder(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    path: str = Field(max_length=4096)
    parents: bool = Field(False, description="Make the folders on the way as well; one that is there is fine.")


def mode_of(text: str | None) -> int | None:
    """Access rights as people write them: `0755`."""
    if text is None:
        return None
    try:
        mode = int(text, 8)
    except ValueError:
        mode = -1
    if not 0 <= mode <= 0o777:
        raise Fault("api.invalid", "`mode` is an octal number from 0 to 0777.")
    return mode


def router(files: Files) -> APIRouter:
    routes = APIRouter(prefix="/containers", tags=["files"])

    @routes.get("/{ref}/files", response_model=Many)
    async def list_files(ref: str, path: Path = "") -> dict[str, Any]:
        found, cut = await files.list(ref, path)
        return {"data": {"files": list(found), "truncated": cut}}

    @routes.get("/{ref}/files/stat", response_model=One)
    async def stat(ref: str, path: Path) -> dict[str, Any]:
        return data(file=await files.stat(ref, path))

    @routes.get("/{ref}/files/content", response_class=StreamingResponse)
    async def download(ref: str, path: Path, by: Caller) -> StreamingResponse:
        held = AsyncExitStack()
        # Opened here, so that a refusal is an answer and not a stream that breaks.
        file, pieces = await held.enter_async_context(files.read(ref, path, by))

        async def content() -> AsyncIterator[bytes]:
            async with held:
                async for piece in pieces:
                    yield piece

        # A download whatever it is: what an agent wrote must never be shown as a page of ours.
        headers = {"content-length": str(file.size_bytes), "content-disposition": "attachment"}
        return StreamingResponse(content(), media_type="application/octet-stream", headers=headers)

    @routes.put("/{ref}/files/content", response_model=One)
    async def upload(request: Request, ref: str, path: Path, by: Caller, mode: str | None = None) -> dict[str, Any]:
        return data(file=await files.write(ref, path, request.stream(), mode_of(mode), by))

    @routes.post("/{ref}/files/mkdir", response_model=One, status_code=201)
    async def mkdir(ref: str, folder: Folder, by: Caller) -> dict[str, Any]:
        return data(file=await files.mkdir(ref, folder.path, folder.parents, by))

    @routes.delete("/{ref}/files", status_code=204)
    async def remove(ref: str, path: Path, by: Caller, recursive: bool = False) -> None:
        await files.remove(ref, path, recursive, by)

    return routes
