"""Everything a call needs that follows from the configuration."""

from __future__ import annotations

from bawn.gateway.failover import Failover
from bawn.gateway.permissions import Permissions
from bawn.gateway.pipeline import Pipeline
from bawn.gateway.settings import Interception, Limits
from bawn.gateway.toolgate import ToolGate
from bawn.gateway.upstream import Upstream
from bawn.terms.value import Value


class Works(Value, frozen=True):
    """Compiled once per reload; a call keeps the one it began with."""

    limits: Limits
    permissions: Permissions
    pipeline: Pipeline
    upstream: Upstream
    gate: ToolGate
    interception: Interception
    failover: Failover | None = None
    """None: every call has one try."""
