"""Values that are put in at the egress door: one comes in and never goes out."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, SecretStr

from bawn.api.answers import data, envelope
from bawn.api.caller import Caller
from bawn.api.keys import bare
from bawn.api.services import Credentials
from bawn.sdk import shapes

One = envelope("CredentialAnswer", credential=shapes.Credential)
Many = envelope("CredentialsAnswer", credentials=list[shapes.Credential])


class Given(BaseModel):
    model_config = ConfigDict(extra="forbid")

    secret: SecretStr


def router(credentials: Credentials) -> APIRouter:
    routes = APIRouter(prefix="/credentials", tags=["credentials"])

    @routes.get("", response_model=Many)
    async def list_credentials() -> dict[str, Any]:
        return data(credentials=list(credentials.list()))

    @routes.put("/{name}", response_model=One)
    async def put(name: str, given: Given, by: Caller) -> dict[str, Any]:
        return data(credential=await credentials.put(name, bare(given.secret), by))

    @routes.delete("/{name}", status_code=204)
    async def remove(name: str, by: Caller) -> None:
        await credentials.remove(name, by)

    return routes
