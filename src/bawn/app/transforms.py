"""Transforms with what they need of the other rooms, and what the API tells of them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Protocol

from bawn.audit.redact import Redactor
from bawn.errors import Fault, quoted
from bawn.gateway.stage_times import StageTimes
from bawn.guardrails.prices import Prices
from bawn.identity.registry import Registry
from bawn.notify.notice import Notice
from bawn.notify.notices import Notices
from bawn.sdk import shapes
from bawn.stages.judging import Judge
from bawn.stages.stage import Stage
from bawn.store.engine import Store
from bawn.terms.clock import Clock
from bawn.terms.event import Event
from bawn.terms.exchange import Usage
from bawn.terms.principal import Container, Operator, label
from bawn.transforms.building import Kept, Means, judges, stages
from bawn.transforms.settings import Transforms
from bawn.wire.answers import answers
from bawn.wire.documents import document


class Recorder(Protocol):
    async def record(self, event: Event) -> str:
        """Returns when the event is in the record; Fault `audit.unavailable` when it cannot be."""


class TransformDesk:
    """One for a process; stages and judges are made anew for each configuration."""

    def __init__(
        self,
        state: Path,
        store: Store,
        clock: Clock,
        redactor: Redactor,
        prices: Prices,
        notices: Notices,
        registry: Registry,
        recorder: Recorder,
        times: StageTimes,
    ) -> None:
        self.kept = Kept(state, store, clock)
        self.ask: Callable[[Container, str, str], Awaitable[str]] = _nobody_asks
        """Asks a model by a call of its own; put in by whoever makes such calls."""
        self.embed: Callable[[Container, str, Sequence[str]], Awaitable[Sequence[Sequence[float]]]] = _nobody_embeds
        """Texts as vectors by an embedding model, in the same way."""
        self._clock = clock
        self._redactor = redactor
        self._prices = prices
        self._notices = notices
        self._registry = registry
        self._recorder = recorder
        self._times = times
        self._settings = Transforms()
        self._tasks: set[asyncio.Task[None]] = set()

    def stages(self, settings: Transforms, resolve: Callable[[str], str]) -> dict[str, Stage]:
        """Those of a configuration, by name in the default order."""
        self._settings = settings
        means = Means(
            kept=self.kept,
            clock=self._clock,
            redactor=self._redactor,
            answers=answers,
            read=document,
            resolve=resolve,
            cost=self._cost,
            ask=self._asked,
            embed=self._embedded,
            notify=self._notify,
        )
        return stages(settings, means)

    def judges(self, settings: Transforms) -> tuple[Judge, ...]:
        return judges(settings, self.kept)

    async def load(self, settings: Transforms) -> None:
        await self.kept.load(settings)

    async def close(self) -> None:
        for task in tuple(self._tasks):
            task.cancel()
        await self.kept.close()

    def list(self) -> Sequence[shapes.Transform]:
        """Those that are configured, with what they have done since the start and what time they take of a request."""
        numbers = self.kept.numbers()
        times = {time.stage: time for time in self._times.read()}
        names = [name for name in type(self._settings).model_fields if getattr(self._settings, name) is not None]
        found: list[shapes.Transform] = []
        for name in [*names, *(stage for stage in times if stage not in names)]:
            counts = dict(numbers.get(name, {}))
            if (time := times.get(name)) is not None:
                counts |= {"requests": time.count, "p50_us": time.p50_us, "p99_us": time.p99_us}
            found.append(shapes.Transform(name, counts))
        return found

    async def forget(
        self, container: str | None, project: str | None, model: str | None, by: Operator
    ) -> shapes.Forgotten:
        """Forget kept answers, on record. Fault `api.not_found` for a container that there is not."""
        uuid = self._registry.get(container).uuid if container is not None else None
        gone = self.kept.forget(container_uuid=uuid, project=project, model=model)
        detail = (("project", project or ""), ("model", model or ""), ("answers", str(gone)))
        await self._recorder.record(Event("cache.forgotten", principal=label(by), container=uuid or "", detail=detail))
        return shapes.Forgotten(gone)

    async def bases(self) -> Sequence[shapes.KnowledgeBase]:
        found = await asyncio.to_thread(self.kept.knowledge.all)
        return [shapes.KnowledgeBase(each.name, each.folders, each.files, each.passages) for each in found]

    async def add_folder(self, base: str, folder: str, by: Operator) -> shapes.KnowledgeAdded:
        added = await asyncio.to_thread(self.kept.knowledge.add, base, Path(folder))
        facts = (("base", base), ("folder", folder), ("files", str(added.files)), ("changed", str(added.changed)))
        await self._recorder.record(Event("knowledge.added", principal=label(by), detail=facts))
        return shapes.KnowledgeAdded(base, added.files, added.changed, added.gone, added.skipped)

    async def remove_base(self, base: str, by: Operator) -> None:
        gone = await asyncio.to_thread(self.kept.knowledge.remove, base)
        if not gone:
            raise Fault("api.not_found", f"There is no knowledge base {quoted(base)}.")
        facts = (("base", base), ("files", str(gone)))
        await self._recorder.record(Event("knowledge.removed", principal=label(by), detail=facts))

    def _cost(self, target: str, usage: Usage) -> Decimal | None:
        provider, _, model = target.partition("/")
        return self._prices.cost(provider, model, usage, self._clock.now())

    async def _asked(self, container: Container, model: str, text: str) -> str:
        return await self.ask(container, model, text)

    async def _embedded(self, container: Container, model: str, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        return await self.embed(container, model, texts)

    def _notify(self, notice: Notice, container: Container) -> None:
        task = asyncio.get_running_loop().create_task(self._send(notice, container))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _send(self, notice: Notice, container: Container) -> None:
        # Not counted among the notices of the container: an agent that sends many must not silence what is told about it.
        with contextlib.suppress(Fault):  # too many, or not recordable: notices tell of that by themselves
            await self._notices.send(notice, None, f"alert about container-{container.number}")


async def _nobody_asks(container: Container, model: str, text: str) -> str:
    raise Fault("upstream.unreachable", "Nobody here asks models.")


async def _nobody_embeds(container: Container, model: str, texts: Sequence[str]) -> Sequence[Sequence[float]]:
    raise Fault("upstream.unreachable", "Nobody here asks models.")
