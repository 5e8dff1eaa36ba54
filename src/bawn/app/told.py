"""What the processes of other doors tell for the record: taken with suspicion, recorded, and kept for operators to see.

They have no word about who is who: the container that they name is looked up in the registry, and only events of their own
kind are taken from each.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import msgspec
from msgspec import structs

from bawn.egress.passages import Passage, Passages
from bawn.errors import KINDS, Fault
from bawn.guardrails.settlement import Refusal
from bawn.identity.registry import Registry
from bawn.terms.clock import Clock
from bawn.terms.event import Event
from bawn.terms.principal import label

Record = Callable[[Event], Coroutine[Any, Any, str]]


class Told:
    def __init__(
        self,
        registry: Registry,
        record: Record,
        passages: Passages,
        refuse: Callable[[Refusal], None],
        clock: Clock,
    ) -> None:
        self._registry = registry
        self._record = record
        self._passages = passages
        self._refuse = refuse
        self._clock = clock

    async def take(self, raw: object, kind: str) -> str:
        """The id of its durable record. `kind` begins the names of the events that the teller may tell of."""
        event = msgspec.convert(raw, Event)
        standing = self._registry.standing(event.container)
        if standing is None or not event.event.startswith(kind):
            raise Fault("internal", "A process told of something that is not its own.", cause=event.event)
        container = standing.container
        event = structs.replace(event, principal=label(container), api_key_name=f"container-{container.name}")
        id_ = await self._record(event)
        facts = dict(event.detail)
        port = facts.get("port", "")
        self._passages.add(
            Passage(
                time=self._clock.now(),
                container_uuid=container.uuid,
                event=event.event,
                host=facts.get("host", "")[:255],
                port=int(port) if port.isdecimal() and len(port) < 6 else 0,
                code=event.code,
                sentence=facts.get("sentence", event.cause)[:500],
                record=id_,
            )
        )
        if event.event == f"{kind}refused":
            self._refuse(
                Refusal(
                    time=self._clock.now(),
                    container_uuid=container.uuid,
                    call=id_,
                    code=event.code,
                    sentence=facts.get("sentence", ""),
                    cause=event.cause,
                    remedy=_remedy(event.code, container.name, facts),
                    endpoint=facts.get("host", "")[:200],
                )
            )
        return id_


def _remedy(code: str, name: str, facts: Mapping[str, str]) -> str:
    if code == "egress.not_allowed" and facts.get("host"):
        return f"To allow it: bawn egress allow {name} {facts['host']}:{facts.get('port', '443')}"
    return KINDS[code].remedy if code in KINDS else ""
