"""The way of a call through the scripts of operators: which are still before it, and which it has passed."""

from __future__ import annotations

from bawn.terms.value import Value


class Way(Value, frozen=True):
    """Ids of execs, all of one project. Made by the gateway alone; a script sees none of it and can change none of it."""

    ahead: tuple[str, ...] = ()
    """Whose scripts are still to run, the next one first."""
    passed: tuple[str, ...] = ()
    """Whose scripts ran already: each of them waits for this call."""
    depth: int = 0
    """0 for a call of the agent; one more for each script that asks in its place."""
    by_stage: bool = False
    """Whether a stage asks: then no stage sees the call."""


NO_WAY = Way()
"""That of nearly all calls."""
