"""The Python client of the management API: `Client` (blocking) and `AsyncClient`.

The face is loaded on first use: who needs only the shapes, as the API itself does, does not load an
HTTP client with them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bawn.sdk.aio import AsyncClient
    from bawn.sdk.client import Client

__all__ = ["AsyncClient", "Client"]

_HOMES = {"Client": "bawn.sdk.client", "AsyncClient": "bawn.sdk.aio"}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'bawn.sdk' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
