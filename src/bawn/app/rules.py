"""Rules of this installation: those of the configuration, those that operators add, and what became of them.

Rules that operators add by the API stand in `state/rules.json`: the configuration folder is the operator's, and this process may
not write there. They are checked together with the others before they are kept, and are replaced as a whole.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from bawn.app.aside import Aside
from bawn.app.rule_files import Part, merged, read_rules
from bawn.app.rule_firings import Firings
from bawn.app.rule_packs import Pack, pack, pack_of, packs, renewed
from bawn.app.rule_trials import trials
from bawn.config.load import ConfigFault
from bawn.enforcement.conversations import Conversations
from bawn.enforcement.effects import Do, Effects
from bawn.enforcement.enforcer import Enforcer
from bawn.enforcement.judge import RulesJudge
from bawn.enforcement.labels import Labels
from bawn.enforcement.settings import Rules
from bawn.enforcement.stage import RulesStage
from bawn.errors import Fault, quoted
from bawn.identity.registry import Registry
from bawn.rules.matching import RuleSet
from bawn.rules.model import Mitm, Rule
from bawn.sdk import shapes
from bawn.store.engine import Store
from bawn.terms.clock import Clock
from bawn.terms.event import Event
from bawn.terms.principal import Container, Operator, label

STAGE = "rules"
OWN = "state/rules.json"
_SWEEP_S = 3600.0


class Recorder(Protocol):
    def note(self, event: Event) -> None: ...

    async def record(self, event: Event) -> str: ...


class RuleDesk:
    """Fulfils `api.services.Rules`."""

    def __init__(self, home: Path, store: Store, registry: Registry, recorder: Recorder, do: Do, clock: Clock) -> None:
        self._file = home / "state" / "rules.json"
        self._registry = registry
        self._recorder = recorder
        self._clock = clock
        self._parts: Sequence[Part] = ()
        self._own = Mitm()
        self._firings = Firings(recorder.note, clock)
        self._host_user = ""
        self._lock = asyncio.Lock()
        self._aside = Aside()
        self.on_change: Callable[[], None] = lambda: None
        """Told that other rules hold."""
        self.labels = Labels(store, clock)
        self.conversations = Conversations(store, clock)
        self.effects = Effects(do, self._firings.ended, clock.monotonic)
        self.enforcer = Enforcer(self.conversations, self.effects, self.labels, self._firings.noted, clock)
        self.enforcer.place = self.place
        self.stage = RulesStage(self.enforcer)
        self.judge = RulesJudge(self.enforcer)
        self.version = ""
        """Another one for every other set of rules."""

    # what holds

    async def load(self) -> None:
        """Once, before the first call."""
        with contextlib.suppress(Fault):
            await self.conversations.sweep()
        await self.conversations.load()
        await self.labels.load()

    async def run(self) -> None:
        """Forgets what is too old, now and then."""
        while True:
            await asyncio.sleep(_SWEEP_S)
            with contextlib.suppress(Fault):
                await self.conversations.sweep()

    def begin(self, parts: Sequence[Part], settings: Rules) -> None:
        """At the start. Fault `config.invalid` where the rules that were added do not fit the others."""
        try:
            self._own = read_rules(self._file.read_text("utf-8"), OWN, settings.host_user)
        except FileNotFoundError:
            self._own = Mitm()
        except (OSError, UnicodeDecodeError) as error:
            raise Fault("config.unreadable", f"The file {OWN} cannot be read.", cause=str(error)) from error
        self.apply(parts, settings)

    def check(self, parts: Sequence[Part], settings: Rules) -> None:
        """Whether these rules and settings fit the rules that were added. Fault `config.invalid`."""
        read_rules(_text(self._own.rules), OWN, settings.host_user)
        merged((*parts, Part(OWN, self._own)))

    def apply(self, parts: Sequence[Part], settings: Rules) -> None:
        """Let other rules hold. Fault `config.invalid`; then those before do."""
        self.check(parts, settings)
        self._host_user = settings.host_user
        self._hold(parts, self._own)
        self.labels.hold(settings.container_tags)

    async def forget(self, container: str) -> None:
        self.enforcer.standings.forget(container)
        self.enforcer.kept.forget(container)
        await self.conversations.forget(container)
        await self.labels.forget(container)

    async def shut(self) -> None:
        await self.enforcer.settled()
        await self.effects.stop()
        await self.conversations.written()
        await self.labels.kinship.written()

    def troubles(self) -> list[str]:
        return self._firings.troubles()

    # what operators do

    def list(self) -> Sequence[shapes.Rule]:
        return [self._shape(rule, part) for part in self._all() for rule in part.mitm.rules]

    def get(self, id_: str) -> shapes.Rule:
        found = next((each for each in self.list() if each.id == id_), None)
        if found is None:
            raise Fault("rule.unknown", f"There is no rule {quoted(id_)}.")
        return found

    async def add(self, written: Mapping[str, Any], by: Operator) -> shapes.Rule:
        """Fault `config.invalid` with path and reason, `api.conflict` where there is one of its id."""
        rule = self._rule(written)
        async with self._lock:
            if (of := pack_of(rule.id)) is not None:
                begin = quoted(f"{of.name}:")
                raise Fault(
                    "api.conflict", f"Ids that begin with {begin} are of a pack.", remedy=f"bawn rules add @{of.name}"
                )
            if any(each.id == rule.id for each in self.list()):
                raise Fault("api.conflict", f"There is a rule {quoted(rule.id)} already.")
            await self._keep((*self._own.rules, rule), Event("rule.added", principal=label(by), detail=_id(rule.id)))
        return self.get(rule.id)

    async def edit(self, id_: str, written: Mapping[str, Any], by: Operator) -> shapes.Rule:
        rule = self._rule({"id": id_, **written})
        if rule.id != id_:
            raise Fault("api.invalid", "A rule keeps its id.", remedy="Add another one, and delete this one.")
        async with self._lock:
            self._mine(id_)
            await self._replace(id_, rule, Event("rule.edited", principal=label(by), detail=_id(id_)))
        return self.get(id_)

    async def enable(self, id_: str, enabled: bool, by: Operator) -> shapes.Rule:
        async with self._lock:
            rule = self._mine(id_).model_copy(update={"enabled": enabled})
            name = "rule.enabled" if enabled else "rule.disabled"
            await self._replace(id_, rule, Event(name, principal=label(by), detail=_id(id_)))
        return self.get(id_)

    async def delete(self, id_: str, by: Operator) -> None:
        async with self._lock:
            self._mine(id_)
            kept = tuple(rule for rule in self._own.rules if rule.id != id_)
            await self._keep(kept, Event("rule.deleted", principal=label(by), detail=_id(id_)))

    # packs

    def packs(self) -> Sequence[shapes.RulePack]:
        return [self._pack_shape(each) for each in packs()]

    async def add_pack(self, name: str, by: Operator) -> shapes.RulePack:
        """Also again: then its rules have this version's words. Fault `config.invalid` where a file has one of its ids."""
        found = pack(name)
        async with self._lock:
            kept = renewed(found, self._own.rules)
            if kept != self._own.rules:
                await self._keep(kept, Event("rule.pack_added", principal=label(by), detail=(("pack", found.name),)))
        return self._pack_shape(found)

    async def remove_pack(self, name: str, by: Operator) -> None:
        """Fault `rule.unknown` where none of it is there."""
        found = pack(name)
        async with self._lock:
            kept = tuple(rule for rule in self._own.rules if not found.mine(rule))
            if len(kept) == len(self._own.rules):
                raise Fault("rule.unknown", f"No rule of the pack {quoted(found.name)} was added.")
            await self._keep(kept, Event("rule.pack_removed", principal=label(by), detail=(("pack", found.name),)))

    async def check_text(self, text: str, name: str) -> shapes.ConfigVerdict:
        """Fault `api.too_long`."""
        try:
            await self._aside.do(lambda: read_rules(text, name, self._host_user))
        except ConfigFault as fault:
            problems = tuple(
                shapes.ConfigProblem(path=each.path, line=each.line, sentence=each.sentence(name), remedy=each.remedy)
                for each in fault.problems
            )
            return shapes.ConfigVerdict(fits=False, problems=problems)
        return shapes.ConfigVerdict(fits=True)

    async def test(self, event: Mapping[str, Any], text: str | None, name: str) -> Sequence[shapes.RuleTrial]:
        """Which rules fire on an event that is made up, and what they would change. Nothing is done. Fault `api.too_long`."""
        return await self._aside.do(lambda: trials(self.rules_of(text, name), event))

    def rules_of(self, text: str | None, name: str) -> Sequence[Rule]:
        """Those of a file, or those that hold. Fault `config.invalid`."""
        return merged(self._all()).rules if text is None else read_rules(text, name, self._host_user).rules

    def container(self, uuid: str) -> Container | None:
        """None for one that is no more."""
        try:
            return self._registry.get(uuid).container
        except Fault:
            return None

    def place(self, uuid: str) -> str:
        """Where a container sees its workspace; empty where it has none, or is no more."""
        try:
            record = self._registry.get(uuid)
        except Fault:
            return ""
        return record.place if record.mount else ""

    def log(self, limit: int, rule: str | None) -> Sequence[shapes.RuleFiring]:
        """The newest first; since the start of this process. The record has all."""
        return self._firings.last(limit, rule)

    async def tag(self, container: str, session: str, tags: Sequence[str], by: Operator) -> None:
        record = self._registry.get(container)
        facts = (("session", session), ("tags", ",".join(sorted(tags))))
        await self._recorder.record(Event("session.tagged", principal=label(by), container=record.uuid, detail=facts))
        await self.labels.tag(record.uuid, session, frozenset(tags))

    # inside

    def _all(self) -> Sequence[Part]:
        return (*self._parts, Part(OWN, self._own))

    def _hold(self, parts: Sequence[Part], own: Mitm) -> None:
        mitm = merged((*parts, Part(OWN, own)))
        rules = RuleSet(mitm.rules)
        self._parts, self._own = parts, own
        self.enforcer.hold(rules)
        self._firings.keep(rules.by_id)
        self.version = hashlib.sha256(mitm.model_dump_json().encode()).hexdigest()[:16]
        self.on_change()

    def _rule(self, written: Mapping[str, Any]) -> Rule:
        # By the reader of files, so that mistakes are told in the same words.
        text = json.dumps({"mitm": {"rules": [written]}}, indent=1)
        return read_rules(text, "rule.json", self._host_user).rules[0]

    def _mine(self, id_: str) -> Rule:
        found = next((rule for rule in self._own.rules if rule.id == id_), None)
        if found is None:
            source = self.get(id_).source
            raise Fault("api.conflict", f"The rule {quoted(id_)} stands in {source}; change it there.")
        return found

    async def _replace(self, id_: str, rule: Rule, event: Event) -> None:
        await self._keep(tuple(rule if each.id == id_ else each for each in self._own.rules), event)

    async def _keep(self, rules: tuple[Rule, ...], event: Event) -> None:
        # As it will be read at the next start, which must not be the moment at which it turns out to be too much.
        own = read_rules(_text(rules), OWN, self._host_user)
        merged((*self._parts, Part(OWN, own)))
        await self._recorder.record(event)
        try:
            await asyncio.to_thread(_write, self._file, _text(rules))
        except OSError as error:
            raise Fault("store.unavailable", "The rules cannot be kept.", cause=str(error)) from error
        self._hold(self._parts, own)

    def _pack_shape(self, found: Pack) -> shapes.RulePack:
        own = [rule for rule in self._own.rules if found.mine(rule)]
        return shapes.RulePack(
            name=found.name,
            about=found.about,
            rules=tuple(rule.id for rule in found.rules),
            added=bool(own),
            current=bool(own) and renewed(found, own) == tuple(own),
        )

    def _shape(self, rule: Rule, part: Part) -> shapes.Rule:
        return shapes.Rule(
            id=rule.id,
            name=rule.name,
            enabled=rule.enabled,
            event=rule.trigger.event.value,
            action=rule.action.type,
            source=part.name,
            fired=self.enforcer.counts.get(rule.id, 0),
            failed=self._firings.failed.get(rule.id, ""),
            written=rule.model_dump(mode="json", exclude_unset=True),
        )


def _id(rule: str) -> tuple[tuple[str, str], ...]:
    return (("rule", rule),)


def _text(rules: Sequence[Rule]) -> str:
    told = {"mitm": {"rules": [rule.model_dump(mode="json", exclude_unset=True) for rule in rules]}}
    return json.dumps(told, indent=2) + "\n"


def _write(path: Path, text: str) -> None:
    """Whole or not at all."""
    fresh = path.with_name(path.name + ".new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
