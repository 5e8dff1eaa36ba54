"""The gateway's side of the egress door: what each container may reach, told to the proxy and kept up to date.

The proxy decides by what it was told here, whole policies at a time; what it does is recorded (`told.py`) before it does it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec
import structlog
from msgspec import structs

from bawn.app.egress_rules import PRESETS, shown, written
from bawn.app.owner_line import OwnerLine
from bawn.app.told import Record
from bawn.egress.grants import Grant, Grants
from bawn.egress.passages import Passages
from bawn.egress.policy import Policy, Rule, rule_of
from bawn.egress.settings import Egress, EgressRule
from bawn.egress.suggest import suggested
from bawn.identity.registry import Registry
from bawn.sdk import shapes
from bawn.terms.event import Event
from bawn.terms.principal import Operator, label

_log = structlog.get_logger("bawn.app.egress")

_SUGGEST_FROM = 1000


class EgressDesk:
    """Fulfils `api.services.Egress`."""

    def __init__(
        self,
        settings: Egress,
        provider_hosts: frozenset[str],
        registry: Registry,
        grants: Grants,
        passages: Passages,
        line: OwnerLine,
        record: Record,
        secret: Callable[[str], str | None],
    ) -> None:
        self._settings = settings
        self._provider_hosts = provider_hosts
        self._registry = registry
        self._grants = grants
        self._passages = passages
        self._line = line
        self._record = record
        self._secret = secret
        self._version = 0
        self.authority = ""
        """The proxy's certificate authority of this boot, PEM; empty while there is no proxy."""
        self.on_authority: Callable[[], None] = lambda: None
        self.on_presets: Callable[[str], None] = lambda uuid: None
        """Told the container whose grants changed: a preset may be among them."""
        line.on_connected = self.tell_all
        line.on_event = self._heard
        registry.watch(self.changed)

    @property
    def connected(self) -> bool:
        """Whether there is a proxy."""
        return self._line.connected

    def _heard(self, body: dict[str, Any]) -> None:
        match body:
            case {"event": "authority", "pem": str(pem)}:
                self.authority = pem
                self.on_authority()
            case _:
                _log.warning("egress.not_understood")

    # what is told

    def apply(self, settings: Egress, provider_hosts: frozenset[str]) -> None:
        """Another configuration holds; each container's policy is exchanged whole."""
        self._settings = settings
        self._provider_hosts = provider_hosts
        self.tell_all()

    def changed(self, uuid: str) -> None:
        """Something about this container changed."""
        line = self._line
        policy = self._policy(uuid) if line.connected else None
        if policy is None:
            line.send({"event": "revoked", "uuid": uuid})
            return
        # The values first, so that a rule never stands without the value that it promises.
        line.send({"event": "secrets", "uuid": uuid, "credentials": self._entrusted(uuid)})
        line.send({"event": "policy", "uuid": uuid, "policy": msgspec.to_builtins(policy)})

    def tell_all(self) -> None:
        """Everything anew, as after a change that may concern every container."""
        for record in self._registry.list():
            self.changed(record.uuid)

    def _policy(self, uuid: str) -> Policy | None:
        """None: nothing may pass, and what passes ends."""
        standing = self._registry.standing(uuid)
        if standing is None or standing.state != "running":
            return None
        self._version += 1
        return Policy(
            uuid=uuid,
            name=standing.container.name,
            rules=tuple(rule for rule, _ in self._rules(uuid, standing.container.name)),
            provider_hosts=self._provider_hosts,
            version=self._version,
        )

    def presets(self, uuid: str) -> frozenset[str]:
        """The package ecosystems that are open to this container: @pip, @npm."""
        standing = self._registry.standing(uuid)
        if standing is None or standing.state != "running":
            return frozenset()
        return frozenset(text for text, *_ in self._texts(uuid, standing.container.name) if text in PRESETS)

    def _rules(self, uuid: str, name: str) -> Iterable[tuple[Rule, str]]:
        for said, source, _ in self._texts(uuid, name):
            if said in PRESETS:
                continue
            rule = rule_of(written(said))
            yield structs.replace(rule, source=source), source

    def _texts(self, uuid: str, name: str) -> Iterable[tuple[str | EgressRule, str, Grant | None]]:
        for said in self._settings.allow:
            yield said, "egress.allow", None
        for said in self._settings.containers.get(name, ()):
            yield said, f"egress.containers.{name}", None
        for grant in self._grants.of(uuid):
            yield grant.rule, f"granted by {grant.person}", grant

    def _entrusted(self, uuid: str) -> list[dict[str, Any]]:
        standing = self._registry.standing(uuid)
        if standing is None:
            return []
        found = []
        for name, credential in self._settings.credentials.items():
            value = self._secret(name) if standing.container.name in credential.containers else None
            if value is not None:
                found.append({"name": name, "value": value, **credential.model_dump(exclude={"containers"})})
        return found

    # what operators ask

    async def rules(self, ref: str) -> Sequence[shapes.EgressRule]:
        record = self._registry.get(ref)
        return [
            shapes.EgressRule(
                rule=shown(said),
                source=source,
                id=grant.id if grant is not None else None,
                created=grant.created if grant is not None else None,
            )
            for said, source, grant in self._texts(record.uuid, record.name)
        ]

    async def allow(self, ref: str, rule: str, by: Operator) -> shapes.EgressRule:
        record = self._registry.get(ref)
        if rule not in PRESETS:
            rule_of(rule)
        facts = (("rule", rule),)
        await self._record(Event("egress.granted", container=record.uuid, principal=label(by), detail=facts))
        grant = await self._grants.add(record.uuid, rule, by.person)
        self.changed(record.uuid)
        self.on_presets(record.uuid)
        return shapes.EgressRule(rule, f"granted by {grant.person}", grant.id, grant.created)

    async def disallow(self, ref: str, id_: int, by: Operator) -> None:
        record = self._registry.get(ref)
        try:
            gone = await self._grants.remove(record.uuid, id_)
        finally:
            self.changed(record.uuid)
            self.on_presets(record.uuid)
        facts = (("rule", gone.rule),)
        await self._record(Event("egress.withdrawn", container=record.uuid, principal=label(by), detail=facts))

    async def log(self, ref: str | None, denied: bool, limit: int) -> Sequence[shapes.Passage]:
        uuid = self._registry.get(ref).uuid if ref is not None else None
        return [
            shapes.Passage(
                time=each.time,
                container=self._named(each.container_uuid),
                event=each.event,
                host=each.host,
                port=each.port,
                code=each.code,
                sentence=each.sentence,
                record=each.record,
            )
            for each in await self._passages.last(limit, container_uuid=uuid, denied=denied)
        ]

    async def suggest(self, ref: str) -> Sequence[shapes.EgressRule]:
        record = self._registry.get(ref)
        denied = await self._passages.last(_SUGGEST_FROM, container_uuid=record.uuid, denied=True)
        return [
            shapes.EgressRule(rule, "suggested")
            for rule in suggested([(each.host, each.port, each.code) for each in denied])
        ]

    def _named(self, uuid: str) -> str:
        standing = self._registry.standing(uuid)
        return standing.container.name if standing is not None else uuid
