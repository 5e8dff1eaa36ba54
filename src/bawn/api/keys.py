"""Keys of providers: a secret comes in and never goes out."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from bawn.api.answers import data, envelope
from bawn.api.caller import Caller
from bawn.api.services import Keys
from bawn.errors import Fault
from bawn.identity.record import LABEL, NAME
from bawn.sdk import shapes
from bawn.vault.vault import checked

MAX_SECRET_CHARACTERS = 8192

One = envelope("KeyAnswer", key=shapes.Key)
Many = envelope("KeysAnswer", keys=list[shapes.Key])


class Added(BaseModel):
    model_config = ConfigDict(extra="forbid")

    provider: str = Field(pattern=f"^{NAME.pattern}$", max_length=63)
    secret: SecretStr
    name: str = Field("", pattern=f"^({LABEL.pattern})?$")
    weight: int = Field(1, ge=1, le=1000)


class Rotated(BaseModel):
    model_config = ConfigDict(extra="forbid")

    secret: SecretStr


def bare(secret: SecretStr) -> str:
    """The secret without the line break that pasting adds; a document of JSON in one line."""
    text = secret.get_secret_value().strip()
    if text[:1] == "{":
        return checked(text)
    if not text or len(text) > MAX_SECRET_CHARACTERS or not text.isascii() or not text.isprintable() or " " in text:
        raise Fault("api.invalid", "The secret is empty, too long, or has characters that no key has.")
    return text


def router(keys: Keys) -> APIRouter:
    routes = APIRouter(prefix="/keys", tags=["keys"])

    @routes.get("", response_model=Many)
    async def list_keys() -> dict[str, Any]:
        return data(keys=list(await keys.list()))

    @routes.post("", response_model=One, status_code=201)
    async def add(added: Added, by: Caller) -> dict[str, Any]:
        return data(key=await keys.add(added.provider, bare(added.secret), added.name, added.weight, by))

    @routes.post("/reset", status_code=204)
    async def reset(by: Caller) -> None:
        await keys.reset(by)

    @routes.put("/{key_id}", response_model=One)
    async def rotate(key_id: str, rotated: Rotated, by: Caller) -> dict[str, Any]:
        return data(key=await keys.rotate(key_id, bare(rotated.secret), by))

    @routes.delete("/{key_id}", status_code=204)
    async def remove(key_id: str, by: Caller) -> None:
        await keys.remove(key_id, by)

    return routes
