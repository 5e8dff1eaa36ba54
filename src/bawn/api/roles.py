"""Which role each route needs. The table is the whole of it: a route that is not here cannot be reached.

Viewers read, admins change. Approvers also see exactly what approvals ask, answer them, try rules
on events and on what agents said, and send notices. Running a command in a
container, reading who holds which tokens, and everything that changes a key are for admins.
"""

from __future__ import annotations

import re

from bawn.terms.principal import Role

ROOT = "/api/v1"
WEBSOCKET = "WEBSOCKET"

_V, _P, _A = Role.VIEWER, Role.APPROVER, Role.ADMIN

ROLES: dict[tuple[str, str], Role] = {
    ("GET", "/openapi.json"): _V,
    ("GET", "/status"): _V,
    ("GET", "/usage"): _V,
    ("GET", "/models"): _V,
    ("POST", "/providers/check"): _A,
    ("GET", "/audit"): _V,
    ("GET", "/containers"): _V,
    ("POST", "/containers"): _A,
    ("GET", "/containers/{ref}"): _V,
    ("PATCH", "/containers/{ref}"): _A,
    ("DELETE", "/containers/{ref}"): _A,
    ("POST", "/containers/{ref}/start"): _A,
    ("POST", "/containers/{ref}/stop"): _A,
    (WEBSOCKET, "/containers/{ref}/exec"): _A,
    ("GET", "/containers/{ref}/files"): _A,
    ("DELETE", "/containers/{ref}/files"): _A,
    ("GET", "/containers/{ref}/files/stat"): _A,
    ("GET", "/containers/{ref}/files/content"): _A,
    ("PUT", "/containers/{ref}/files/content"): _A,
    ("POST", "/containers/{ref}/files/mkdir"): _A,
    ("GET", "/containers/{ref}/diff"): _A,
    ("POST", "/containers/{ref}/apply"): _A,
    ("GET", "/containers/{ref}/snapshots"): _V,
    ("POST", "/containers/{ref}/snapshots"): _A,
    ("PATCH", "/containers/{ref}/snapshots/{name}"): _A,
    ("DELETE", "/containers/{ref}/snapshots/{name}"): _A,
    (WEBSOCKET, "/containers/{ref}/ports/{port}"): _A,
    ("GET", "/containers/{ref}/shares"): _V,
    ("POST", "/containers/{ref}/shares"): _A,
    ("DELETE", "/containers/{ref}/shares/{share_id}"): _A,
    ("GET", "/containers/{ref}/logs"): _V,
    ("GET", "/containers/{ref}/why"): _V,
    ("GET", "/containers/{ref}/egress"): _V,
    ("POST", "/containers/{ref}/egress"): _A,
    ("DELETE", "/containers/{ref}/egress/{grant_id}"): _A,
    ("GET", "/containers/{ref}/egress/suggestions"): _V,
    ("GET", "/egress/log"): _V,
    ("GET", "/knowledge"): _V,
    ("POST", "/knowledge"): _A,
    ("DELETE", "/knowledge/{base}"): _A,
    ("GET", "/rules"): _V,
    ("POST", "/rules"): _A,
    ("GET", "/rules/log"): _V,
    ("POST", "/rules/check"): _V,
    ("POST", "/rules/test"): _P,
    ("POST", "/rules/replay"): _P,
    ("GET", "/rules/{rule}"): _V,
    ("PUT", "/rules/{rule}"): _A,
    ("DELETE", "/rules/{rule}"): _A,
    ("POST", "/rules/{rule}/enable"): _A,
    ("POST", "/rules/{rule}/disable"): _A,
    ("GET", "/rule-packs"): _V,
    ("PUT", "/rule-packs/{pack}"): _A,
    ("DELETE", "/rule-packs/{pack}"): _A,
    ("PUT", "/sessions/tags"): _A,
    ("GET", "/adapters"): _V,
    ("PUT", "/adapters/{agent}"): _A,
    ("DELETE", "/adapters/{agent}"): _A,
    ("GET", "/transforms"): _V,
    ("POST", "/transforms/cache/forget"): _A,
    ("GET", "/approvals"): _V,
    ("GET", "/approvals/watch"): _V,
    ("GET", "/approvals/{approval_id}"): _P,
    ("POST", "/approvals/{approval_id}/approve"): _P,
    ("POST", "/approvals/{approval_id}/reject"): _P,
    ("POST", "/notify"): _P,
    ("GET", "/tasks"): _V,
    ("POST", "/tasks"): _A,
    ("GET", "/tasks/{task_id}"): _P,
    ("POST", "/tasks/{task_id}/execute"): _A,
    ("DELETE", "/tasks/{task_id}"): _A,
    ("GET", "/credentials"): _V,
    ("PUT", "/credentials/{name}"): _A,
    ("DELETE", "/credentials/{name}"): _A,
    ("GET", "/exec/scripts"): _V,
    ("DELETE", "/exec/scripts"): _A,
    ("GET", "/exec/scripts/content"): _A,
    ("POST", "/exec/scripts/write"): _A,
    ("POST", "/exec/scripts/check"): _A,
    ("POST", "/exec/scripts/test"): _A,
    ("POST", "/exec/scripts/install"): _A,
    ("GET", "/exec/scripts/logs"): _A,
    ("GET", "/exec/workers"): _V,
    ("GET", "/exec/secrets"): _V,
    ("PUT", "/exec/secrets/{name}"): _A,
    ("DELETE", "/exec/secrets/{name}"): _A,
    ("POST", "/sqlite/kv/{operation}"): _A,
    ("POST", "/sqlite/kv/batch/{operation}"): _A,
    ("GET", "/keys"): _V,
    ("POST", "/keys"): _A,
    ("POST", "/keys/reset"): _A,
    ("PUT", "/keys/{key_id}"): _A,
    ("DELETE", "/keys/{key_id}"): _A,
    ("GET", "/operators"): _V,
    ("POST", "/operators"): _A,
    ("DELETE", "/operators/{person}"): _A,
    ("GET", "/operators/{person}/tokens"): _A,
    ("POST", "/operators/{person}/tokens"): _A,
    ("DELETE", "/operators/{person}/tokens/{token_id}"): _A,
    ("GET", "/images"): _V,
    ("POST", "/images/{name}/build"): _A,
    ("POST", "/images/{name}/import"): _A,
    ("DELETE", "/images/{name}"): _A,
    ("GET", "/config"): _V,
    ("GET", "/config/schema"): _V,
    ("POST", "/config/check"): _V,
    ("POST", "/config/reload"): _A,
}

STREAMED = frozenset({("PUT", "/containers/{ref}/files/content")})
"""Routes whose body is a file: they read it piece by piece and bound it themselves."""

READS = frozenset(
    {("POST", "/config/check"), ("POST", "/rules/check"), ("POST", "/rules/test"), ("POST", "/rules/replay")}
)
"""Routes that change nothing although their method could."""

_PATTERNS = [
    (method, template, re.compile(ROOT + re.sub(r"\{[a-z_]+\}", "[^/]+", template)), role)
    for (method, template), role in ROLES.items()
]


def needed(method: str, path: str) -> tuple[Role, bool] | None:
    """The role for a route and whether it changes something; None when there is no such route."""
    for row_method, template, pattern, role in _PATTERNS:
        if row_method == method and pattern.fullmatch(path):
            return role, method != "GET" and (method, template) not in READS
    return None


def streamed(method: str, path: str) -> bool:
    """Whether the body of this route is for the route itself to read."""
    return any(
        row_method == method and (method, template) in STREAMED and pattern.fullmatch(path)
        for row_method, template, pattern, _ in _PATTERNS
    )


def methods(path: str) -> frozenset[str]:
    """The methods that a path knows; none when there is no such path."""
    return frozenset(method for method, _, pattern, _ in _PATTERNS if pattern.fullmatch(path))
