"""How it is said that an answer cannot be changed or put into another form.

What is given was read before, so this is rare: a change that would not hold, or an answer that its wire's reader passes
and that has not what its kind has elsewhere. Nothing goes out then.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from bawn.errors import Fault
from bawn.wire.holding import Unsound

P = ParamSpec("P")
R = TypeVar("R")

_UNSOUND = (Unsound, LookupError, TypeError, AttributeError)


def editing(function: Callable[P, R]) -> Callable[P, R]:
    """For what changes calls: Fault `tool.refused`."""
    return _faulting(function, "tool.refused", "A tool call cannot be changed in this answer, so it is refused.")


def reforming(function: Callable[P, R]) -> Callable[P, R]:
    """For what puts an answer into another form: Fault `upstream.broken`."""
    return _faulting(function, "upstream.broken", "The provider's answer cannot be put into another form.")


def _faulting(function: Callable[P, R], code: str, sentence: str) -> Callable[P, R]:
    @wraps(function)
    def called(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except _UNSOUND as why:
            raise Fault(code, sentence, cause=f"{type(why).__name__}: {why}") from why

    return called
