"""The composition root: every room built once, in one place, and connected.

Nothing here decides anything. What follows from the configuration is compiled into one `Works` and swapped
by a single assignment, so that a reload is seen whole or not at all, and a call keeps what it began with.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import socket
import ssl
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import structlog

from bawn.adapters.dialects import DIALECTS
from bawn.api.services import Services
from bawn.app.adapters import Adapters
from bawn.app.clock import SystemClock
from bawn.app.container_log import ContainerLogs
from bawn.app.credentials import Credentials
from bawn.app.egress import EgressDesk
from bawn.app.files import Files
from bawn.app.lifecycle import ATTACHED, Lifecycle
from bawn.app.notices import sinks
from bawn.app.owner_line import OwnerLine
from bawn.app.packages import PackagesDesk
from bawn.app.ports import Ports
from bawn.app.posting import Posting
from bawn.app.rule_acts import RuleActs
from bawn.app.rule_files import Part, beside
from bawn.app.rule_replay import Replays
from bawn.app.rule_watch import RuleWatch
from bawn.app.rules import RuleDesk
from bawn.app.script_people import ScriptPeople
from bawn.app.script_services import ScriptServices
from bawn.app.scripts import ScriptDesk
from bawn.app.services import AuditLog, ConfigurationFile, Images, Keys, Models, Providers, Refusals, Status, Usage
from bawn.app.settings import RULES, SCRIPTS, Configuration, Isolation, Runtime, with_ours
from bawn.app.task_answer import Answers
from bawn.app.tasks import Tasks
from bawn.app.told import Told
from bawn.app.transforms import TransformDesk
from bawn.app.workspaces import Workspaces
from bawn.approvals.book import Book
from bawn.approvals.desk import Desk
from bawn.approvals.people import People
from bawn.audit.feed import Feed
from bawn.audit.recorder import Recorder
from bawn.audit.redact import Redactor
from bawn.audit.settings import Durability
from bawn.egress.grants import Grants
from bawn.egress.passages import Passages
from bawn.enforcement.reports import Reports
from bawn.errors import Fault
from bawn.gateway.answer import Answer
from bawn.gateway.breaker import Breakers
from bawn.gateway.catalogue import Catalogue, Target
from bawn.gateway.checking import Checked, check
from bawn.gateway.closing import Closing
from bawn.gateway.credentials import Keyring
from bawn.gateway.doors import Doors
from bawn.gateway.failover import Failover
from bawn.gateway.habits import HABITS
from bawn.gateway.hooks import HookCalls
from bawn.gateway.owners import ResourceOwners
from bawn.gateway.permissions import Permissions
from bawn.gateway.pipeline import Pipeline
from bawn.gateway.pool import Pool
from bawn.gateway.providers import address_of, seller
from bawn.gateway.released import Released
from bawn.gateway.server import Gateway
from bawn.gateway.sessions import Sessions
from bawn.gateway.settings import Provider, ProviderKind
from bawn.gateway.stage_times import StageTimes
from bawn.gateway.toolgate import ToolGate
from bawn.gateway.upstream import Upstream
from bawn.gateway.works import Works
from bawn.guardrails.books import Books
from bawn.guardrails.ledger import ConcurrencyLedger
from bawn.guardrails.prices import Prices
from bawn.identity.expiry import Expiry
from bawn.identity.operators import Operators
from bawn.identity.record import Record
from bawn.identity.registry import Registry
from bawn.identity.shares import Shares
from bawn.lines.line import Line
from bawn.notify.notices import Notices
from bawn.sandbox.agent_env import agent_environment
from bawn.sandbox.egress_env import egress_environment
from bawn.sandbox.tags_env import tags_environment
from bawn.stages.stage import Stage
from bawn.store.engine import Store, open_store
from bawn.tasks.book import Book as TaskBook
from bawn.terms.event import Event
from bawn.terms.principal import Container
from bawn.transforms.building import ordered
from bawn.translation.thoughts import KeptThoughts
from bawn.vault.master import find_master
from bawn.vault.vault import Vault

_log = structlog.get_logger("bawn.app")


@dataclass(frozen=True, slots=True)
class Handed:
    """What the supervisor hands to this process."""

    home: Path
    config: Path
    control: socket.socket
    audit: socket.socket
    master_fd: int
    open_socket: bool
    """Whether every user of the machine may knock at the unix socket; who is let in is another matter."""
    first_admins: tuple[int, ...]
    """User ids that become admins at the very first start."""


class Yard:
    """All rooms of one running installation."""

    def __init__(self, handed: Handed, configuration: Configuration) -> None:
        self.handed = handed
        self.configuration = configuration
        self.clock = SystemClock()
        self.redactor = Redactor()
        self.store: Store = open_store(handed.home / "state" / "bawn.db")
        master = find_master(
            handed.config.parent / "master.key",
            handed.home,
            descriptor=handed.master_fd,
        )
        self.recorder = Recorder(
            handed.audit,
            self.redactor,
            self.clock,
            durability=configuration.audit.durability,
            rotate_bytes=configuration.audit.rotate_bytes,
        )
        self.vault = Vault(self.store, master, self.clock, self.redactor.learn)
        self.registry = Registry(self.store, self.clock, server=socket.gethostname())
        self.shares = Shares(self.store, self.registry, self.clock)
        self.operators = Operators(self.store, self.clock)
        self.books = Books(self.store)
        self.owners = ResourceOwners(self.store)
        self.grants = Grants(self.store, self.clock)
        self.passages = Passages(self.store)
        self.ledger = ConcurrencyLedger(configuration.guardrails.concurrent_calls)
        self._running: set[Answer] = set()
        self._thoughts = KeptThoughts()
        self._breakers = Breakers(self.clock.monotonic)
        self.sessions = Sessions()
        self._released = Released(self._policy_now)
        self.stage_times = StageTimes()
        self._tls = ssl.create_default_context()
        self.pool = Pool(self.clock.monotonic, configuration.timeouts.connect_seconds, self._tls)
        posting = Posting(self.pool)
        self.notices = Notices(
            configuration.notify,
            sinks(handed.home, self.vault, posting),
            self.recorder,
            self.redactor.text,
            self.clock,
        )
        self.desk = Desk(
            configuration.approvals, Book(self.store), self.recorder, self.notices, self.clock, self._may_ask
        )
        self._policy = _version(configuration)
        self.people = People(self.desk, self._policy_now)
        self.registry.watch(self.desk.changed)
        self.prices = Prices()
        self._price(configuration)
        self.transforms = TransformDesk(
            handed.home / "state",
            self.store,
            self.clock,
            self.redactor,
            self.prices,
            self.notices,
            self.registry,
            self.recorder,
            self.stage_times,
        )
        self.keyring = Keyring(self.vault, self.pool, self.clock, self._noted)
        self.tasks = Tasks(
            lambda: self.configuration.tasks,
            TaskBook(self.store),
            self.registry,
            self.recorder,
            self.clock,
            self.redactor.text,
            self._agent_environment,
            self._permit_model,
            self.books.usage.of,
            Answers(lambda: self.configuration.tasks, posting.post, self._calling),
        )
        self.transforms.stands_for, self.transforms.works_for = self.tasks.stands_for, self.tasks.works_for
        self.scripts = ScriptDesk(
            handed.home,
            lambda: self.configuration.scripts,
            self.registry,
            self.vault,
            self.recorder,
            self.pool,
            self.clock,
            self._running,
            self.tasks.stands_for,
        )
        acts = RuleActs(
            lambda: self.configuration.rules,
            Posting(self.pool),
            self.notices,
            lambda: self.boxes,
            self.vault,
            self.clock,
        )
        self.rules = RuleDesk(handed.home, self.store, self.registry, self.recorder, acts.do, self.clock)
        self.tasks.tags_of = self.rules.labels.of_container
        self.rules.begin(self._rule_parts(configuration), configuration.rules)
        self.replays = Replays(
            self.rules,
            handed.home / "state" / "requests",
            self.transforms.kept.lines,
            lambda: self.configuration.transforms.log is not None,
            self.redactor,
            self.recorder,
        )
        self.rule_watch = RuleWatch(
            handed.config.parent,
            lambda: self._rule_parts(self.configuration),
            lambda parts: self.rules.check(parts, self.configuration.rules),
            lambda parts: self.rules.apply(parts, self.configuration.rules),
            self.recorder,
        )
        self.gateway = Gateway(
            self._works(configuration),
            self.registry,
            self.recorder,
            Closing(self.recorder, self.books, self.prices, self.clock, self._record_lost),
            self.clock,
        )
        self.registry.watch(self.gateway.running.changed)
        self.gateway.poll = self.desk.poll
        self.gateway.hooks = HookCalls(DIALECTS, Reports(self.rules.enforcer), self._released, self.clock)
        self.doors = Doors(self.gateway, self.pool, self.clock)
        self.lifecycle = Lifecycle(
            self.registry,
            self.doors,
            self.recorder,
            ContainerLogs(handed.home / "state" / "logs"),
            self._box_defaults,
            self._environment,
            Refusals(self.books.refusals).last,
        )
        self.credentials = Credentials(
            self.vault,
            lambda: self.configuration.egress,
            self.registry,
            self.recorder,
        )
        told = Told(self.registry, self.recorder.record, self.passages, self.books.refusals.refuse, self.clock)
        self.egress_line = OwnerLine("egress proxy", "egress.unavailable", lambda raw: told.take(raw, "egress."))
        self.packages_line = OwnerLine("package mirror", "egress.unavailable", lambda raw: told.take(raw, "package."))
        self.egress = EgressDesk(
            configuration.egress,
            _provider_hosts(configuration),
            self.registry,
            self.grants,
            self.passages,
            self.egress_line,
            self.recorder.record,
            self.credentials.value,
        )
        self.credentials.on_change = self.egress.tell_all
        self.egress.on_authority = self._authority_changed
        self.lifecycle.on_owner = self._owner_came
        self.lifecycle.on_deleted = self._forget
        self.files = Files(self.registry, lambda: self.boxes, self.recorder)
        self.packages = PackagesDesk(
            configuration.packages,
            self.registry,
            self.egress.presets,
            self.files,
            self.packages_line,
            handed.home / "state" / "locks",
        )
        self.egress.on_presets = self.packages.changed
        self.lifecycle.on_started = self.packages.started
        self.boxes = Line(
            handed.control, self.lifecycle.heard, self._supervisor_gone, "supervisor", "supervisor.unavailable"
        )
        self.lifecycle.connect(self.boxes)
        self.expiry = Expiry(self.registry, self.clock, self.lifecycle.stop_expired)
        self.status = Status(handed.home, handed.config, lambda: self.configuration, self.registry, self.clock)
        self.status.troubles = self._troubles
        images = Images(lambda: self.boxes, self.recorder)
        self.lifecycle.on_image_progress = images.progressed
        self.lifecycle.limits = self._limits
        self.tasks.connect(self.lifecycle)
        self.tasks.has_exec = lambda project, name: self.scripts.shelf.stock.exec(project, name) is not None
        self.tasks.answers.to_script = self.scripts.tell
        self.adapters = Adapters(handed.home / "state" / "adapters.json", self.recorder)
        self.lifecycle.adapters = self.adapters.chosen
        self.lifecycle.execs = self.scripts.names
        self.lifecycle.on_script_ended = self.scripts.script_ended
        self.script_services = ScriptServices(self.lifecycle, self.files, self.registry)
        self.script_services.services["tasks"] = lambda asker, body: self.tasks.serve(asker.principal, body)
        self.script_services.services |= ScriptPeople(self.notices, self.desk, self.people).services
        self.scripts.connect(self.gateway, lambda: self.boxes, self.script_services, self.egress_line)
        self.transforms.ask, self.transforms.embed = self.scripts.inner.ask, self.scripts.inner.embed
        self.scripts.authority = lambda: self.egress.authority
        self.file = ConfigurationFile(handed.config, lambda: self.configuration, self.apply, self.recorder, self._look)
        self.services = Services(
            lifecycle=self.lifecycle,
            files=self.files,
            workspaces=Workspaces(self.registry, self.lifecycle, self.recorder),
            ports=Ports(
                self.registry,
                self.lifecycle,
                self.recorder,
                self.shares,
                self.clock,
                lambda: self.configuration.api.public_hosts,
                self.redactor.learn,
            ),
            links=self.shares,
            public_hosts=frozenset(configuration.api.public_hosts),
            keys=Keys(self.vault, self.recorder, self.keyring.resting),
            egress=self.egress,
            credentials=self.credentials,
            scripts=self.scripts,
            operators=self.operators,
            usage=Usage(self.books.usage, self.registry),
            status=self.status,
            models=Models(lambda: self.configuration, self._visible),
            providers=Providers(lambda: self.configuration, self._checks),
            images=images,
            config=self.file,
            audit=AuditLog(Feed(self.recorder)),
            recorder=self.recorder,
            approvals=self.desk,
            adapters=self.adapters,
            transforms=self.transforms,
            knowledge=self.transforms,
            rules=self.rules,
            replays=self.replays,
            notices=self.notices,
            tasks=self.tasks,
            public_url=lambda: self.configuration.notify.public_url,
        )
        self.ended = asyncio.Event()
        self._lost_records = 0

    async def load(self) -> None:
        """Everything kept from before, into memory; the record first, since the rest may have to be recorded."""
        await self.recorder.start()
        await self.registry.load()
        await self.shares.load()
        await self.operators.load()
        await self.operators.ensure_first(*self.handed.first_admins)
        await self.owners.load()
        await self.vault.load()
        await self.grants.load()
        await self.scripts.load()
        await self.desk.load()
        await self.tasks.load()
        await self.transforms.load(self.configuration.transforms)
        await self.rules.load()

    def apply(self, configuration: Configuration) -> None:
        """Let another configuration hold, from the next call on."""
        self.rules.apply(self._rule_parts(configuration), configuration.rules)
        self.rule_watch.wrong = ""
        works = self._works(configuration)
        before, self.configuration = self.configuration, configuration
        self.gateway.works = works
        self._price(configuration)
        self.packages.apply(configuration.packages)
        self.egress.apply(configuration.egress, _provider_hosts(configuration))
        self.lifecycle.background(self.scripts.apply(before.scripts))
        self.ledger.limit = configuration.guardrails.concurrent_calls
        self.recorder.durability = configuration.audit.durability
        self.desk.settings = configuration.approvals
        self.notices.apply(configuration.notify)
        self._policy = _version(configuration)

    def _works(self, configuration: Configuration) -> Works:
        scripted = str(self.handed.home / "run" / "scripted.sock")
        addresses = {name: address_of(name, provider, scripted) for name, provider in configuration.providers.items()}
        catalogue = Catalogue(configuration.providers, configuration.models)
        permissions = Permissions(
            catalogue, configuration.allow, configuration.containers, self.owners, self.tasks.stands_for
        )
        made = self.transforms.stages(configuration.transforms, lambda name: catalogue.resolve(name).name)
        ours: dict[str, Stage] = {RULES: self.rules.stage, SCRIPTS: self.scripts.stage}
        steps = ordered({**ours, **made}, with_ours(configuration.stages))
        upstream = Upstream(
            addresses,
            self.keyring,
            self.pool,
            self.ledger,
            configuration.timeouts,
            self.clock.monotonic,
            self._running,
            self._thoughts,
        )
        return Works(
            limits=configuration.limits,
            permissions=permissions,
            pipeline=Pipeline(steps, permissions, self.sessions, self.stage_times, self.clock.monotonic),
            gate=ToolGate(
                (self.rules.judge, *self.transforms.judges(configuration.transforms)),
                self.recorder,
                self.people,
                self._released,
            ),
            interception=configuration.interception,
            upstream=upstream,
            failover=self._failover(configuration, permissions, upstream),
        )

    def _policy_now(self) -> str:
        """The version of everything that decides."""
        return self._policy + self.rules.version

    def _rule_parts(self, configuration: Configuration) -> list[Part]:
        return [
            Part(self.handed.config.name, configuration.mitm),
            *beside(self.handed.config.parent, configuration.rules.host_user),
        ]

    def _look(self, configuration: Configuration) -> None:
        self.rules.check(self._rule_parts(configuration), configuration.rules)

    def _may_ask(self, uuid: str) -> bool:
        standing = self.registry.standing(uuid)
        return standing is not None and standing.ai

    def _failover(self, configuration: Configuration, permissions: Permissions, upstream: Upstream) -> Failover | None:
        said = configuration.failover
        if not said.chains:
            return None
        return Failover(said, permissions, upstream, configuration.limits, self.recorder, self._breakers, self.clock)

    def _price(self, configuration: Configuration) -> None:
        providers = configuration.providers.items()
        sellers = {name: found for name, said in providers if (found := seller(said))}
        self.prices.hold({name: said.prices for name, said in providers}, sellers)

    def _limits(self) -> dict[str, Any]:
        boxes = self.configuration.boxes
        return {"limits": boxes.limits.asked(), "allow_soft_limits": boxes.allow_soft_limits}

    def _box_defaults(self) -> tuple[str, str]:
        boxes = self.configuration.boxes
        if boxes.isolation is Isolation.STRONG:
            return boxes.image, Runtime.RUNSC.value
        runtimes = self.status.greeting.get("runtimes", {})
        # For an ordinary user the two hold the same, and bubblewrap starts sooner.
        rooted = self.status.greeting.get("rootless") is not True
        ready = "podman" if rooted and runtimes.get("podman") == "ready" else "bubblewrap"
        return boxes.image, boxes.runtime.value if boxes.runtime is not None else ready

    def _environment(self, record: Record) -> dict[str, str]:
        wire = self._wire(self.configuration.models.default or "")
        return {
            **agent_environment(record.name, record.number, wire=wire),
            **tags_environment(record.tags),
            **egress_environment(),
            **self.credentials.environment(record),
        }

    def _agent_environment(self, record: Record, model: str, base_url: str) -> dict[str, str]:
        """What the agent of a task finds its model and its door by, above everything else."""
        wire = self._wire(self.gateway.works.permissions.resolved(model).name)
        return agent_environment(record.name, record.number, model=model, wire=wire, base_url=base_url)

    def _wire(self, model: str) -> str:
        """OpenCode speaks whichever wire the model's provider understands."""
        provider = self.configuration.providers.get(model.partition("/")[0])
        return "anthropic" if provider is not None and provider.kind is ProviderKind.ANTHROPIC else "openai"

    def _permit_model(self, model: str, stands_for: str) -> None:
        self.gateway.works.permissions.permit_model(stands_for, model)

    def _calling(self, uuid: str) -> Container | None:
        standing = self.registry.standing(uuid)
        return standing.container if standing is not None and standing.ai and standing.state != "deleted" else None

    def kept_in(self, refused: str) -> None:
        """Something in this process wanted where only the pool may go."""
        _log.error("gateway.kept_in", refused=refused)
        with contextlib.suppress(Fault):
            self.recorder.note(Event("gateway.kept_in", cause=refused))

    def _visible(self, ref: str) -> list[Target]:
        """The models that a container may use, as the AI door lists them."""
        standing = self.registry.standing(self.registry.get(ref).uuid)
        return self.gateway.works.permissions.visible(standing.container) if standing is not None else []

    def _checks(self, name: str, provider: Provider) -> Awaitable[Sequence[Checked]]:
        address = self.gateway.works.upstream.addresses[name]
        return check(address, provider.models, self.keyring, self.pool, self.clock)

    def _noted(self, event: Event) -> None:
        """On record, where it can be: nothing depends on it."""
        with contextlib.suppress(Fault):
            self.recorder.note(event)

    def _owner_came(self, body: dict[str, Any], end: socket.socket) -> None:
        name = str(body.get("name"))
        self.status.owners[name] = int(body.get("pid", 0))
        {"egress": self.egress_line, "packages": self.packages_line}[name].connect(end)

    async def _forget(self, uuid: str) -> None:
        self.packages.forget(uuid)
        self._released.forget(uuid)
        await self.grants.forget(uuid)
        await self.rules.forget(uuid)

    def _authority_changed(self) -> None:
        self.lifecycle.authority = self.egress.authority
        self.scripts.egress_came()
        self.lifecycle.background(self.lifecycle.trust_anew())

    def _troubles(self) -> list[str]:
        troubles = []
        if self.vault.unreadable:
            providers = ", ".join(self.vault.unreadable)
            troubles.append(f"The master key does not fit the keys of {providers}: restore it, or `bawn keys reset`.")
        if self.recorder.unavailable:
            troubles.append(f"Nothing is let through, because nothing can be recorded: {self.recorder.unavailable}.")
        if not self.egress.connected:
            troubles.append("The egress proxy does not answer: nothing but model calls leaves the containers.")
        if not self.packages.connected:
            troubles.append("The package mirror does not answer: nothing can be installed in the containers.")
        if self._lost_records:
            troubles.append(f"{self._lost_records} calls ended without their settlement on record.")
        if self.configuration.audit.durability is Durability.RELAXED:
            troubles.append("audit.durability is relaxed: a power cut can lose the last records.")
        troubles += [
            f"{record.name} is attached: its attestation is weak, and what else it reaches is not walled."
            for record in self.registry.list()
            if record.runtime == ATTACHED and record.state == "running"
        ]
        troubles += self.scripts.troubles()
        troubles += self.rules.troubles()
        named, held = self.configuration.rules.host_user, str(self.status.greeting.get("host_user", ""))
        if named != held:
            troubles.append(
                f"rules.host_user is {named or 'empty'}, and Bawn was started with {held or 'nobody'}: it takes a restart."
            )
        if self.rule_watch.wrong:
            troubles.append(f"The rules before a change still hold: {self.rule_watch.wrong}")
        troubles += self.notices.troubles()
        if not self.configuration.providers:
            troubles.append("No provider is configured: every call to a model is refused.")
        return troubles

    def _record_lost(self, call: str, error: Exception) -> None:
        self._lost_records += 1
        _log.error("settlement.lost", call=call, error=str(error))

    def _supervisor_gone(self) -> None:
        _log.error("supervisor.gone", pid=os.getpid())
        self.ended.set()

    async def shut(self) -> None:
        """Doors first, then what they still owed to the record and the books."""
        await self.tasks.close()
        await self.doors.shut()
        await self.scripts.shut()
        await self.rules.shut()
        await self.transforms.close()
        await self.desk.close()
        await self.notices.close()
        await self.books.close()
        await self.recorder.close()
        self.boxes.close()
        self.store.close()


def _version(configuration: Configuration) -> str:
    """Another one for every other configuration: an approval holds under the one by which it was asked for."""
    return hashlib.sha256(configuration.model_dump_json().encode()).hexdigest()[:16]


def _provider_hosts(configuration: Configuration) -> frozenset[str]:
    """Of every provider that is known, configured or not: models are reached through the AI door only."""
    fixed = (habits.base_url for habits in HABITS.values() if habits.base_url and "{" not in habits.base_url)
    known = {str(urlsplit(base_url).hostname) for base_url in fixed}
    configured = {address_of(name, said, "").origin for name, said in configuration.providers.items()}
    return frozenset(known | {origin.host for origin in configured if not origin.unix and origin.host})
