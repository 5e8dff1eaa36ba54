"""How the management API answers: `{"data": …}` or `{"error": {"code", "message", "remedy", "blame"}}`.

A client never sees a traceback and never the cause of a fault; an unexpected failure is logged under an id,
and the id is all that is told.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Mapping
from typing import Any, TypeVar

import msgspec
import structlog
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from pydantic import BaseModel, Field, create_model
from starlette.exceptions import HTTPException

from bawn.errors import Fault, quoted

T = TypeVar("T")

log = structlog.get_logger(__name__)


_CAUSES_TOLD = ("sandbox.", "supervisor.", "store.", "audit.", "config.", "upstream.")


def told(fault: Fault) -> dict[str, Any]:
    """The error as an operator may know it; the cause only where it says what failed, not why a caller was refused."""
    error = {
        "code": fault.code,
        "message": fault.sentence,
        "remedy": fault.remedy,
        "blame": fault.kind.blame.value,
    }
    if fault.cause and fault.code.startswith(_CAUSES_TOLD):
        error["cause"] = fault.cause
    return {"error": error}


def refusal(fault: Fault) -> Response:
    return Response(msgspec.json.encode(told(fault)), fault.status, media_type="application/json")


def data(**noun: T) -> dict[str, dict[str, T]]:
    """`data(container=…)` is `{"data": {"container": …}}`."""
    return {"data": noun}


def envelope(title: str, **noun: Any) -> type[BaseModel]:
    """The shape of such an answer, for the description of the API."""
    # By alias, since pydantic keeps names such as `schema` to itself.
    fields: Mapping[str, Any] = {f"{name}_": (shape, Field(alias=name)) for name, shape in noun.items()}
    inner = create_model(f"{title}Data", **fields)
    return create_model(title, data=(inner, ...))


async def ndjson(lines: AsyncIterator[Any]) -> AsyncIterator[bytes]:
    """One JSON value a line; a stream that fails half-way says so in its last line."""
    try:
        async for line in lines:
            yield msgspec.json.encode(line) + b"\n"
    except Fault as fault:
        yield msgspec.json.encode(told(fault)) + b"\n"


async def text(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Text as it comes; one that fails half-way says so in its last line."""
    try:
        async for piece in pieces:
            yield piece
    except Fault as fault:
        yield f"\nbawn: {fault.sentence} [{fault.code}]\n".encode()


def unexpected(error: BaseException, where: str) -> Fault:
    """Logs what nobody foresaw and gives the fault that may be told."""
    failure = secrets.token_hex(6)
    log.error("api.failed", failure=failure, where=where, exc_info=error)
    return Fault("internal", f"Something failed inside Bawn; its log has the details under {failure}.")


async def on_fault(request: Request, error: Exception) -> Response:
    return refusal(error if isinstance(error, Fault) else unexpected(error, request.url.path))


async def on_invalid(request: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):
        return await on_fault(request, error)
    first = error.errors()[0]
    where = [str(part) for part in first["loc"] if part != "body"]
    if first["type"] == "json_invalid":
        return refusal(Fault("api.invalid", "The body is not JSON.", remedy="Send one JSON object in UTF-8."))
    field = quoted(".".join(where)) if where else "The body"
    return refusal(Fault("api.invalid", f"{field} does not fit: {first['msg']}."))


async def on_http_error(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    match status:
        case 404:
            return refusal(Fault("http.unknown_path", f"There is nothing at {quoted(request.url.path)}."))
        case 405:
            return refusal(Fault("http.method_not_allowed", f"{request.method} is not possible here."))
        case 500:
            return refusal(unexpected(error, request.url.path))
        case _:
            return refusal(Fault("api.invalid", "The body cannot be read.", remedy="Send one JSON object in UTF-8."))
