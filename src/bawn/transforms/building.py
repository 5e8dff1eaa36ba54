"""The transforms of a configuration, made ready: stages by name, their order, and the judge of tool calls.

`Kept` is what outlives a reload (answers, quotas, lines on their way, counts); `stages` is called for each configuration
and makes everything else anew. Nothing that is configured is left out in silence: an order that does not name a stage that
is configured is refused, and so is a name that is none.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from bawn.audit.redact import Redactor
from bawn.errors import Fault, quoted
from bawn.notify.notice import Notice
from bawn.stages.judging import Judge
from bawn.stages.stage import Stage
from bawn.store.engine import Store
from bawn.terms.clock import Clock
from bawn.terms.exchange import Exchange, Usage, WireName
from bawn.terms.principal import Container
from bawn.transforms.alert import AlertStage
from bawn.transforms.cache import CacheStage, forget
from bawn.transforms.compress import Compression
from bawn.transforms.context import Context, ContextInjection
from bawn.transforms.counts import Counts
from bawn.transforms.dedupe import Deduplication
from bawn.transforms.enhance import EnhanceStage
from bawn.transforms.entries import Entries, Entry
from bawn.transforms.entry_file import EntryFile
from bawn.transforms.kb import KnowledgeBases
from bawn.transforms.log import LogStage
from bawn.transforms.log_files import LogFiles
from bawn.transforms.quota import QuotaStage
from bawn.transforms.quota_book import QuotaBook
from bawn.transforms.route import Routing
from bawn.transforms.semantic import SemanticStage
from bawn.transforms.settings import Transforms
from bawn.transforms.similar import Similar
from bawn.transforms.tools import ToolRules
from bawn.wire.document import RequestDocument
from bawn.wire.editing import Answers

ORDER = ("quota", "log", "alert", "route", "context", "dedupe", "compress", "cache", "semantic", "enhance")
"""Of requests, where the configuration says nothing else; answers pass the other way round. Limits come first; what is
kept by a question is looked up once nothing changes the question any more; what is added to an answer is kept with it."""


class Kept:
    """What outlives a reload. One for a process."""

    def __init__(self, state: Path, store: Store, clock: Clock) -> None:
        self.quotas = QuotaBook(store)
        self.entries = Entries()
        self.similar = Similar()
        self.lines = LogFiles(state / "requests", clock.now)
        self.knowledge = KnowledgeBases(state / "knowledge.db")
        self.told: dict[tuple[str, str], tuple[float, int]] = {}
        self._counts: dict[str, Counts] = {}
        self._state = state
        self._clock = clock
        self._file: EntryFile | None = None

    def counts(self, name: str) -> Counts:
        return self._counts.setdefault(name, Counts())

    async def load(self, settings: Transforms) -> None:
        """What was kept before this process, and from now on what is kept goes to the disk. Once, before the first
        call, in the event loop that will serve."""
        now = self._clock.now()
        await self.quotas.load(now)
        self.quotas.start()
        if settings.cache is not None and settings.cache.persistent:
            self._file = EntryFile(self._state)
            self.entries.bound(settings.cache.entries, settings.cache.bytes)
            self.entries.load(await self._file.load(now.timestamp()), now.timestamp())
            self.entries.changed = self._file.changed
            self._file.start()

    async def close(self) -> None:
        """Writes what waits."""
        await self.quotas.close()
        self.lines.close()
        if self._file is not None:
            self.entries.changed = None
            await self._file.close()

    def numbers(self) -> dict[str, dict[str, int]]:
        """What each transform has done since the start, by name."""
        found = {name: counts.all() for name, counts in sorted(self._counts.items())}
        if "cache" in found:
            found["cache"] |= {"entries": len(self.entries), "bytes": self.entries.size}
        if "semantic" in found:
            found["semantic"] |= {"entries": len(self.similar)}
        if "log" in found:
            found["log"] |= {"lost": self.lines.lost}
        return found

    def forget(self, *, container_uuid: str | None = None, project: str | None = None, model: str | None = None) -> int:
        """Forget answers, exact and by meaning: those that a container or a project brought, those of a model, or all. How
        many they were."""

        def wanted(entry: Entry) -> bool:
            return (
                (container_uuid is None or entry.container_uuid == container_uuid)
                and (project is None or entry.project == project)
                and (model is None or entry.model == model)
            )

        gone = forget(self.entries, container_uuid=container_uuid, project=project, model=model)
        return gone + self.similar.forget(wanted)


@dataclass(frozen=True, slots=True)
class Means:
    """What transforms need of the rest."""

    kept: Kept
    clock: Clock
    redactor: Redactor
    answers: Callable[[WireName], Answers]
    """`bawn.wire.answers.answers`."""
    read: Callable[[Exchange], RequestDocument | None]
    """`bawn.wire.documents.document`."""
    resolve: Callable[[str], str]
    """From the name that a client uses to `provider/model`; Fault `request.unknown_model`."""
    cost: Callable[[str, Usage], Decimal | None]
    """US dollars of a `provider/model`; None when its price is not known."""
    ask: Callable[[Container, str, str], Awaitable[str]]
    """What a model says to a text, on behalf of a container, by a call of its own. Fault when it says nothing."""
    embed: Callable[[Container, str, Sequence[str]], Awaitable[Sequence[Sequence[float]]]]
    """Texts as vectors by an embedding model, on behalf of a container. Fault when there are none."""
    notify: Callable[[Notice, Container], None]
    """Tell people; neither waits nor raises."""


def stages(settings: Transforms, means: Means) -> dict[str, Stage]:
    """The stages that are configured, by name, in the default order."""
    kept, clock, answers = means.kept, means.clock, means.answers
    made: dict[str, Stage] = {}
    if settings.quota is not None:
        counts = kept.counts("quota")
        made["quota"] = QuotaStage(settings.quota, kept.quotas, means.resolve, means.cost, clock, counts)
    if settings.log is not None:
        made["log"] = LogStage(settings.log, kept.lines, means.redactor, answers, clock, kept.counts("log"))
    if settings.alert is not None:
        made["alert"] = AlertStage(settings.alert, means.notify, answers, clock, kept.counts("alert"), told=kept.told)
    if settings.route is not None:
        made["route"] = Routing(settings.route, kept.counts("route"))
    if settings.context is not None:
        made["context"] = _context(settings.context, means)
    if settings.dedupe is not None:
        made["dedupe"] = Deduplication(settings.dedupe, kept.counts("dedupe"))
    if settings.compress is not None:
        made["compress"] = Compression(settings.compress, kept.counts("compress"))
    if settings.cache is not None:
        made["cache"] = CacheStage(settings.cache, kept.entries, answers, means.resolve, clock, kept.counts("cache"))
    if settings.semantic is not None:
        made["semantic"] = SemanticStage(
            settings.semantic,
            kept.similar,
            answers,
            means.read,
            means.resolve,
            means.embed,
            clock,
            kept.counts("semantic"),
        )
    if settings.enhance is not None:
        made["enhance"] = EnhanceStage(settings.enhance, answers, means.ask, clock, kept.counts("enhance"))
    return {name: made[name] for name in ORDER if name in made}


def _context(settings: Context, means: Means) -> ContextInjection:
    async def vectors(container: Container, texts: list[str]) -> Sequence[Sequence[float]]:
        return await means.embed(container, settings.embeddings or "", texts)

    return ContextInjection(settings, means.kept.knowledge, vectors, means.kept.counts("context"))


def judges(settings: Transforms, kept: Kept) -> tuple[Judge, ...]:
    """Who decides over tool calls, as far as this configuration says."""
    return () if settings.tools is None else (ToolRules(settings.tools, kept.counts("tools")),)


def configured(settings: Transforms) -> tuple[str, ...]:
    """The names of the stages that are configured, in the default order."""
    return tuple(name for name in ORDER if getattr(settings, name, None) is not None)


def models(settings: Transforms) -> dict[str, str]:
    """Every model that transforms call or put in, by its place in the section."""
    found: dict[str, str] = {}
    if settings.quota is not None:
        for name, customer in settings.quota.customers.items():
            if customer.default_model:
                found[f"quota.customers.{name}.default_model"] = customer.default_model
    if settings.route is not None:
        found |= {f"route.{place}": model for place, model in settings.route.targets().items()}
    if settings.context is not None and settings.context.embeddings:
        found["context.embeddings"] = settings.context.embeddings
    if settings.semantic is not None:
        found["semantic.model"] = settings.semantic.model
    if settings.enhance is not None:
        found["enhance.model"] = settings.enhance.model
    return found


def order_of(made: Sequence[str], order: Sequence[str] | None, known: Iterable[str] = ORDER) -> tuple[str, ...]:
    """The names of what is configured (`made`) in the order of the configuration's `stages`, or as they are without one.

    `known`: names that could stand there if they were configured. Fault `config.invalid` for a name that is none or stands
    twice, and for a stage that is configured and not named: it would not run.
    """
    if order is None:
        return tuple(made)
    names = sorted({*known, *made})
    for at, name in enumerate(order):
        if name not in names:
            raise Fault(
                "config.invalid", f"stages[{at}]: there is no stage {quoted(name)}; there are {', '.join(names)}."
            )
        if name in order[:at]:
            raise Fault("config.invalid", f"stages[{at}]: {quoted(name)} stands there twice.")
        if name not in made:
            raise Fault("config.invalid", f"stages[{at}]: the stage {quoted(name)} is not configured.")
    forgotten = [name for name in made if name not in order]
    if forgotten:
        raise Fault(
            "config.invalid",
            f"stages: {quoted(forgotten[0])} is configured and is not named here, so it would not run.",
            remedy="Put it in its place, or take its section out.",
        )
    return tuple(order)


def ordered(made: Mapping[str, Stage], order: Sequence[str] | None, known: Iterable[str] = ORDER) -> tuple[Stage, ...]:
    """The stages themselves, as `order_of` says."""
    return tuple(made[name] for name in order_of(tuple(made), order, known))
