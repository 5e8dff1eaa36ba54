"""Operators and their personal tokens."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from bawn.api.answers import data, envelope
from bawn.identity.operators import OperatorRecord, Operators, TokenRecord
from bawn.sdk import shapes
from bawn.terms.principal import Role

One = envelope("OperatorAnswer", operator=shapes.Operator)
Many = envelope("OperatorsAnswer", operators=list[shapes.Operator])
Tokens = envelope("TokensAnswer", tokens=list[shapes.Token])
Issued = envelope("IssuedAnswer", issued=shapes.IssuedToken)


class Added(BaseModel):
    model_config = ConfigDict(extra="forbid")

    person: str
    roles: list[Role] = Field(min_length=1)
    uid: Annotated[int, Field(ge=0, lt=2**32 - 1, strict=True)] | None = Field(
        None, description="User id on this machine; left out: that of the login of this name, if there is one."
    )


class Wanted(BaseModel):
    model_config = ConfigDict(extra="forbid")

    label: str = ""
    expires: AwareDatetime | None = None


def shown(record: OperatorRecord) -> shapes.Operator:
    roles = tuple(role.value for role in Role if role in record.roles)
    return shapes.Operator(record.person, roles, record.uid, record.created)


def shown_token(token: TokenRecord) -> shapes.Token:
    return shapes.Token(
        token.id, token.person, token.label, token.created, token.expires, token.last_used, token.revoked
    )


def router(operators: Operators) -> APIRouter:
    routes = APIRouter(prefix="/operators", tags=["operators"])

    @routes.get("", response_model=Many)
    async def list_operators() -> dict[str, Any]:
        return data(operators=[shown(record) for record in operators.list()])

    @routes.post("", response_model=One, status_code=201)
    async def add(added: Added) -> dict[str, Any]:
        return data(operator=shown(await operators.add(added.person, frozenset(added.roles), added.uid)))

    @routes.delete("/{person}", status_code=204)
    async def remove(person: str) -> None:
        await operators.remove(person)

    @routes.get("/{person}/tokens", response_model=Tokens)
    async def tokens(person: str) -> dict[str, Any]:
        return data(tokens=[shown_token(token) for token in operators.tokens(person)])

    @routes.post("/{person}/tokens", response_model=Issued, status_code=201)
    async def issue(person: str, wanted: Wanted) -> dict[str, Any]:
        token, secret = await operators.issue(person, wanted.label, wanted.expires)
        return data(issued=shapes.IssuedToken(shown_token(token), secret))

    @routes.delete("/{person}/tokens/{token_id}", status_code=204)
    async def revoke(person: str, token_id: str) -> None:
        await operators.revoke(person, token_id)

    return routes
