"""Where a call may go when its own target fails: the links of its chain, each allowed and able to take it, or skipped.

A link is looked at when it is needed and not before: to carry a request to another wire costs time, which calls that are
answered at once do not spend.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from msgspec import structs

from bawn.errors import Fault
from bawn.gateway.catalogue import Target
from bawn.gateway.passage import Passage
from bawn.gateway.permissions import Permissions
from bawn.gateway.pipeline import Prepared
from bawn.terms.exchange import Endpoint
from bawn.terms.value import Value

_OF_THE_MODEL = frozenset(
    (
        Endpoint.EMBEDDINGS,
        Endpoint.GEMINI_EMBED,
        Endpoint.GEMINI_EMBED_ALL,
        Endpoint.COUNT_TOKENS,
        Endpoint.GEMINI_COUNT,
    )
)
"""Vectors and counts: another model's are no answer to what was asked."""


class Link(Value, frozen=True):
    """A target that may be called for a prepared call, and how it is reached."""

    prepared: Prepared
    """With the link's own target."""
    way: Passage

    @property
    def target(self) -> Target:
        return self.prepared.target


class Chains:
    """The chains of one configuration."""

    def __init__(self, chains: Mapping[str, tuple[str, ...]]) -> None:
        self._exact = {name: targets for name, targets in chains.items() if not name.endswith("*")}
        self._open = sorted(
            ((name[:-1], targets) for name, targets in chains.items() if name.endswith("*")),
            key=lambda pair: -len(pair[0]),
        )

    def of(self, name: str, target: Target) -> tuple[str, ...] | None:
        """What follows the target that the client called `name`; None when it has no chain. The client's name goes before
        the target's, a whole name before the beginning of one, a longer beginning before a shorter one."""
        for wanted in (name, target.name):
            if wanted in self._exact:
                return self._exact[wanted]
        for start, targets in self._open:
            if name.startswith(start) or target.name.startswith(start):
                return targets
        return None


class Links:
    """The links of one call, in order; each is given out once."""

    def __init__(
        self,
        prepared: Prepared,
        names: tuple[str, ...],
        permissions: Permissions,
        passage: Callable[[Prepared], Passage],
        skipped: Callable[[str, Fault], None],
    ) -> None:
        self._first = prepared
        self._names = ["", *names]
        """The empty name stands for the target that permissions found."""
        self._permissions = permissions
        self._passage = passage
        self._skipped = skipped
        self._seen: set[str] = set()
        self._ready: Link | None = None

    def next(self) -> Link | None:
        """The next link that can be called; None when there is no more."""
        link = self._ready or self._found()
        self._ready = None
        return link

    def more(self) -> bool:
        """Whether there is one more."""
        self._ready = self._ready or self._found()
        return self._ready is not None

    def _found(self) -> Link | None:
        while self._names:
            name = self._names.pop(0)
            try:
                prepared = self._prepared(name) if name else self._first
                name = prepared.target.name
                if name in self._seen:
                    continue
                self._seen.add(name)
                return Link(prepared, self._passage(prepared))
            except Fault as fault:
                self._skipped(name, fault)
        return None

    def _prepared(self, name: str) -> Prepared:
        """The call with another target, judged as if the client had asked for that one."""
        first = self._first
        asked = structs.replace(first.exchange, model=name)
        target = self._permissions.permit(first.admitted.container, asked)
        if first.exchange.endpoint in _OF_THE_MODEL and target.model != first.target.model:
            raise Fault(
                "request.wire_mismatch", "Vectors and counts of another model cannot stand in for those of this one."
            )
        return structs.replace(first, target=target)
