"""The operator who calls, as a parameter of a route."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends
from fastapi.requests import HTTPConnection

from bawn.api.security import operator_of
from bawn.terms.principal import Operator


def caller(connection: HTTPConnection) -> Operator:
    return operator_of(connection.scope)


Caller = Annotated[Operator, Depends(caller)]
