"""The JSON Schema of the configuration: what editors and `bawn config schema` show."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema(model: type[BaseModel]) -> dict[str, Any]:
    """JSON Schema of a root model."""
    return {"$schema": DIALECT, **model.model_json_schema(mode="validation")}
