"""Which scripts a call passes, in which order: what the operator requires, then what the URL names, then what each
script itself stands before.

A required exec is passed by every call of the container, whatever its path and its door; one that has no file for the
path refuses the call, since going on without it would be the way round. Any other exec without a file for the path is as
if it were not there. No exec is passed twice by one call: each waits for it already.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from bawn.errors import Fault, quoted
from bawn.scripts.routes import Parameters
from bawn.scripts.settings import Scripts
from bawn.scripts.shelf import Stock
from bawn.terms.principal import Container
from bawn.terms.value import Value
from bawn.terms.way import NO_WAY, Way

DOMAIN = ".bawn.internal"
_HOST = re.compile(rb"exec-([1-9][0-9]{0,5}|[a-z][a-z0-9-]{0,50})\.bawn\.internal(:80)?", re.IGNORECASE)


class Layer(Value, frozen=True):
    """The script that a call passes next."""

    exec: str
    file: str
    parameters: Parameters
    timeout_s: float
    after: Way
    """The way that is left behind it."""


def exec_of(host: bytes) -> str:
    """The exec that a Host header names. Fault `script.unknown_exec` when it names none."""
    named = _HOST.fullmatch(host)
    if named is None:
        raise Fault("script.unknown_exec", f"{quoted(host.decode('latin-1'))} is not the name of an exec.")
    return named[1].decode("ascii").lower()


class Ways:
    def __init__(self, stock: Callable[[], Stock], settings: Callable[[], Scripts]) -> None:
        self._stock = stock
        self._settings = settings

    def begin(self, container: Container, chosen: str) -> Way:
        """The way of a call of an agent; `chosen` is the exec that its URL names, if any.

        Fault `script.unknown_exec` when the project has no such exec.
        """
        required = self._settings().required_of(container)
        if not chosen:
            return Way(required) if required else NO_WAY
        self.known(container, chosen)
        return Way(tuple(dict.fromkeys((*required, chosen))))

    def known(self, container: Container, chosen: str) -> None:
        if self._stock().exec(container.project, chosen) is None:
            raise Fault("script.unknown_exec", f"There is no exec {quoted(chosen)} in this project.")

    def serves(self, container: Container, chosen: str, path: bytes) -> bool:
        """Whether an exec has a file for this path, which need be none of a wire."""
        held = self._stock().exec(container.project, chosen)
        return held is not None and held.routes.find(path) is not None

    def further(self, container: Container, way: Way, name: str) -> Way:
        """The way of a call of a script that names the exec to go to first. Fault `script.cyclic` when it came from there."""
        self.known(container, name)
        return self._with(way, name)

    def layer(self, container: Container, way: Way, path: bytes) -> Layer | None:
        """The next script; None when none is left. Faults `script.no_route`, `script.not_loaded`, `script.cyclic`."""
        stock, settings = self._stock(), self._settings()
        required = settings.required_of(container) if way.ahead else ()
        for at, name in enumerate(way.ahead):
            held = stock.exec(container.project, name)
            found = held.find(path) if held is not None else None
            if held is None or found is None:
                if name in required:
                    raise Fault(
                        "script.no_route",
                        "This call has to pass a script, and there is none for its path.",
                        cause=f"exec {name} of the project {container.project!r} is required and has no file for it",
                    )
                continue
            header = held.files[found.file].header
            after = Way(way.ahead[at + 1 :], (*way.passed, name), way.depth + 1)
            if header.next and header.next not in after.ahead:
                after = self._with(after, header.next)
            timeout_s = min(header.timeout_s, settings.limits.timeout_seconds)
            return Layer(name, found.file, found.parameters, timeout_s, after)
        return None

    @staticmethod
    def _with(way: Way, name: str) -> Way:
        if name in way.passed:
            raise Fault(
                "script.cyclic", "A script would be passed twice by one call.", cause=" → ".join((*way.passed, name))
            )
        return Way(tuple(dict.fromkeys((name, *way.ahead))), way.passed, way.depth)
