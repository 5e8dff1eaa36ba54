"""What is asked of a worker, and what it answers: the two interfaces between scripts and those who carry their bytes."""

from __future__ import annotations

from typing import Protocol

from bawn.scripts.routes import Parameters
from bawn.stages.stage import Source
from bawn.terms.principal import Container
from bawn.terms.value import Value
from bawn.terms.way import Way

SAFE = frozenset(
    (
        b"content-type",
        b"accept",
        b"anthropic-version",
        b"anthropic-beta",
        b"openai-beta",
        b"idempotency-key",
        b"user-agent",
    )
)
"""Headers of the client that a script may see, beside those of its session; never a credential."""
_SAFE_BEGIN = (b"x-session", b"x-stainless-", b"x-request-", b"x-customer-", b"x-bawn-session")


class ScriptCall(Value, frozen=True):
    """One request for one script."""

    call: str
    container: Container
    exec: str
    file: str
    """Relative to the folder of the exec."""
    parameters: Parameters
    method: str
    path: bytes
    headers: tuple[tuple[str, str], ...]
    body: bytes
    timeout_s: float
    after: Way
    """What is left of the call's way; the ticket that the script asks with carries it."""


class Workers(Protocol):
    async def call(self, call: ScriptCall) -> Source:
        """The script's answer, once its head is there. Faults `script.*` and `limit.*`.

        What breaks later breaks with such a Fault as well. Cancelling leaves the worker, which stops the script.
        """


def safe(headers: tuple[tuple[bytes, bytes], ...]) -> tuple[tuple[str, str], ...]:
    """What of a client's head a script may see."""
    return tuple(
        (name.decode("latin-1"), value.decode("latin-1"))
        for name, value in headers
        if name in SAFE or name.startswith(_SAFE_BEGIN)
    )
