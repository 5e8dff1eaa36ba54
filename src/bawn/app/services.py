"""What the management API asks of this process, beside the lifecycle of containers."""

from __future__ import annotations

import asyncio
import os
import pwd
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from math import ceil
from pathlib import Path
from typing import Any, Literal

from bawn import __version__
from bawn.api.services import Recorder
from bawn.app.aside import Aside
from bawn.app.settings import Configuration, configured
from bawn.audit.feed import Feed
from bawn.audit.packets import TailRequest
from bawn.config.load import ConfigFault
from bawn.config.schema import schema
from bawn.errors import Fault, quoted
from bawn.gateway.catalogue import Catalogue, Target
from bawn.gateway.checking import Checked
from bawn.gateway.habits import WIRE_OF
from bawn.gateway.providers import address_of, served
from bawn.gateway.settings import Provider
from bawn.guardrails.refusals import RefusalBook
from bawn.guardrails.usage import UsageBook
from bawn.identity.registry import Registry
from bawn.lines.line import Line
from bawn.sdk import shapes
from bawn.terms.clock import Clock
from bawn.terms.event import Event
from bawn.terms.principal import Operator, label
from bawn.vault.vault import CREDENTIAL, SCRIPT, KeyInfo, Vault

Checking = Awaitable[Sequence[Checked]]


class Keys:
    """Provider keys: the vault, with every change on record and every secret known to the redactor."""

    def __init__(self, vault: Vault, recorder: Recorder, resting: Callable[[str], Mapping[str, float]]) -> None:
        self._vault = vault
        self._recorder = recorder
        self._resting = resting

    async def list(self) -> Sequence[shapes.Key]:
        return [
            _key(info, self._resting(info.provider).get(info.id, 0.0))
            for info in self._vault.list()
            if not info.provider.startswith((CREDENTIAL, SCRIPT))
        ]

    async def add(self, provider: str, secret: str, name: str, weight: int, by: Operator) -> shapes.Key:
        info = await self._vault.add(provider, secret, name, weight)
        await self._record("key.added", info, by)
        return _key(info)

    async def rotate(self, key_id: str, secret: str, by: Operator) -> shapes.Key:
        info = await self._vault.rotate(key_id, secret)
        await self._record("key.rotated", info, by)
        return _key(info)

    async def remove(self, key_id: str, by: Operator) -> None:
        await self._record("key.removed", await self._vault.remove(key_id), by)

    async def reset(self, by: Operator) -> None:
        await self._vault.reset()
        await self._recorder.record(Event(event="key.reset", principal=label(by)))

    async def _record(self, event: str, info: KeyInfo, by: Operator) -> None:
        facts = (("fingerprint", info.fingerprint), ("label", info.name))
        await self._recorder.record(Event(event=event, principal=label(by), provider=info.provider, detail=facts))


class Usage:
    def __init__(self, book: UsageBook, registry: Registry) -> None:
        self._book = book
        self._registry = registry

    async def summary(self, by: Literal["container", "model"], since: datetime | None) -> Sequence[shapes.UsageRow]:
        return [
            shapes.UsageRow(
                container=self._named(row.container_uuid) if by == "container" else "",
                model=row.model,
                calls=row.calls,
                refused=row.refused,
                tokens_in=row.tokens_in,
                tokens_out=row.tokens_out,
                tokens_cached=row.tokens_cached,
                cost_usd=float(row.cost_usd) if row.cost_usd is not None else None,
            )
            for row in await self._book.summary(by, since)
        ]

    def _named(self, uuid: str) -> str:
        standing = self._registry.standing(uuid)
        return standing.container.name if standing is not None else uuid


class Refusals:
    """The last refusals of a container, as `bawn why` tells them."""

    def __init__(self, book: RefusalBook) -> None:
        self._book = book

    async def last(self, uuid: str, limit: int) -> Sequence[shapes.Refusal]:
        return [
            shapes.Refusal(
                time=each.time,
                code=each.code,
                sentence=each.sentence,
                cause=each.cause,
                remedy=each.remedy,
                method=each.method,
                endpoint=each.endpoint,
                model=each.model,
                record=each.call,
            )
            for each in await self._book.last(uuid, limit)
        ]


class Status:
    def __init__(
        self, home: Path, config: Path, current: Callable[[], Configuration], registry: Registry, clock: Clock
    ) -> None:
        self._home = home
        self._config = config
        self._current = current
        self._registry = registry
        self._started = clock.now()
        self.greeting: dict[str, Any] = {}
        self.listening: tuple[str, ...] = ()
        self.owners: dict[str, int] = {}
        """Processes of other doors that came since the greeting, by name."""
        self.troubles: Callable[[], Sequence[str]] = tuple

    async def status(self) -> shapes.Status:
        records = self._registry.list()
        rootless = bool(self.greeting.get("rootless"))
        degraded = [*map(str, self.greeting.get("degraded", ())), *self.troubles()]
        if rootless:
            degraded.append("Rootless: all processes of Bawn run as one user; only process borders part them.")
        named = str(self.greeting.get("host_user", ""))
        processes = [shapes.Process("gateway", os.getpid(), pwd.getpwuid(os.geteuid()).pw_name)]
        processes += [
            shapes.Process(str(name), int(pid))
            for name, pid in {**self.greeting.get("pids", {}), **self.owners}.items()
            if name != "gateway"
        ]
        processes.append(shapes.Process("supervisor", os.getppid()))
        return shapes.Status(
            version=__version__,
            started=self._started,
            home=str(self._home),
            config=str(self._config),
            profile=self._current().profile.value,
            rootless=rootless,
            containers=len(records),
            running=sum(record.state == "running" for record in records),
            listening=self.listening,
            processes=tuple(processes),
            runtimes={str(name): str(said) for name, said in self.greeting.get("runtimes", {}).items()},
            degraded=tuple(degraded),
            unsafe=(f"Commands of rules may run on this host as {named} (rules.host_user).",) if named else (),
        )


class Models:
    """Every model that the configuration names; `visible` are those that a container may use."""

    def __init__(self, current: Callable[[], Configuration], visible: Callable[[str], Sequence[Target]]) -> None:
        self._current = current
        self._visible = visible

    async def list(self, container: str | None) -> Sequence[shapes.Model]:
        configuration = self._current()
        catalogue = Catalogue(configuration.providers, configuration.models)
        default = configuration.models.default
        models = [
            shapes.Model(id=target.name, provider=target.provider, wires=self._wires(target.provider, target.model),
                         default=target.name == default)
            for target in (catalogue.names() if container is None else self._visible(container))
        ]  # fmt: skip
        if container is not None:
            return models
        for name, to in catalogue.aliases().items():
            provider, _, model = to.partition("/")
            models.append(shapes.Model(id=name, provider=provider, wires=self._wires(provider, model), alias_of=to))
        return models

    def _wires(self, provider: str, model: str) -> tuple[str, ...]:
        found = self._current().providers.get(provider)
        if found is None:
            return ()
        return tuple(sorted({WIRE_OF[each].value for each in served(address_of(provider, found, ""), model)}))


class Providers:
    """Whether what is configured answers."""

    def __init__(self, current: Callable[[], Configuration], checks: Callable[[str, Provider], Checking]) -> None:
        self._current = current
        self._checks = checks

    async def check(self, name: str | None) -> Sequence[shapes.ProviderCheck]:
        providers = self._current().providers
        if name is not None and name not in providers:
            raise Fault("api.not_found", f"The configuration has no provider {quoted(name)}.")
        asked = [self._checks(each, said) for each, said in providers.items() if name in (None, each)]
        return [
            shapes.ProviderCheck(
                provider=each.provider,
                call=each.call,
                model=each.model,
                key=each.key,
                works=not each.problem,
                problem=each.problem,
                sentence=each.sentence,
                ms=each.ms,
            )
            for found in await asyncio.gather(*asked)
            for each in found
        ]


class Images:
    """Images are the supervisor's; this passes on what it says."""

    def __init__(self, boxes: Callable[[], Line], recorder: Recorder) -> None:
        self._boxes = boxes
        self._recorder = recorder
        self._listening: dict[str, list[asyncio.Queue[str | None]]] = {}

    async def list(self) -> Sequence[shapes.Image]:
        told = (await self._boxes().ask("images.list")).body["images"]
        return [
            shapes.Image(
                name=str(image["name"]),
                built=_moment(image.get("created")),
                size_bytes=image.get("size_bytes"),
                digest=str(image.get("digest") or ""),
            )
            for image in told
        ]

    async def build(self, name: str, by: Operator) -> AsyncIterator[shapes.Progress]:
        await self._recorder.record(Event(event="image.building", principal=label(by), detail=(("image", name),)))
        async for progress in self._making(f"The image {name} is built.", "images.build", name):
            yield progress

    async def bring(self, name: str, source: str, digest: str, by: Operator) -> AsyncIterator[shapes.Progress]:
        facts = (("digest", digest), ("image", name))
        await self._recorder.record(Event(event="image.importing", principal=label(by), detail=facts))
        asked = {"source": source, "digest": digest}
        async for progress in self._making(f"The image {name} is imported.", "images.import", name, **asked):
            yield progress

    async def _making(self, done: str, verb: str, name: str, **asked: str) -> AsyncIterator[shapes.Progress]:
        queue: asyncio.Queue[str | None] = asyncio.Queue()
        self._listening.setdefault(name, []).append(queue)
        building = asyncio.ensure_future(self._boxes().ask(verb, wait_s=3600, name=name, **asked))
        building.add_done_callback(lambda _: queue.put_nowait(None))
        try:
            while (line := await queue.get()) is not None:
                yield shapes.Progress(line)
            await building
            yield shapes.Progress(done, done=True)
        finally:
            self._listening[name].remove(queue)

    async def remove(self, name: str, by: Operator) -> None:
        await self._boxes().ask("images.remove", name=name)
        await self._recorder.record(Event(event="image.removed", principal=label(by), detail=(("image", name),)))

    def progressed(self, body: dict[str, Any]) -> None:
        for queue in self._listening.get(str(body.get("name")), ()):
            queue.put_nowait(str(body.get("line", "")))


class ConfigurationFile:
    """The file, what it says now, and whether another text would do."""

    def __init__(
        self,
        path: Path,
        current: Callable[[], Configuration],
        apply: Callable[[Configuration], None],
        recorder: Recorder,
        look: Callable[[Configuration], None] = lambda configuration: None,
    ) -> None:
        """`look` raises the Fault of what stands beside the file and does not fit it."""
        self._look = look
        self._path = path
        self._current = current
        self._apply = apply
        self._recorder = recorder
        self._aside = Aside()

    def schema(self) -> dict[str, Any]:
        return schema(Configuration)

    def effective(self) -> dict[str, Any]:
        return self._current().model_dump(mode="json")

    async def check(self, text: str) -> shapes.ConfigVerdict:
        """Fault `api.too_long`."""
        try:
            self._look(await self._aside.do(lambda: configured(text, self._path.name)))
        except Fault as fault:
            if fault.code == "api.too_long":
                raise
            return _verdict(fault, self._path.name)
        return shapes.ConfigVerdict(fits=True)

    async def reload(self, by: Operator) -> shapes.ConfigVerdict:
        try:
            fresh = configured(read_file(self._path), self._path.name)
            self._look(fresh)
            await self._recorder.record(Event(event="config.reloaded", principal=label(by)))
            self._apply(fresh)
        except Fault as fault:
            if not fault.code.startswith("config."):
                raise
            await self._recorder.record(
                Event(event="config.refused", principal=label(by), code=fault.code, cause=fault.sentence)
            )
            return _verdict(fault, self._path.name)
        return shapes.ConfigVerdict(fits=True)


class AuditLog:
    def __init__(self, feed: Feed) -> None:
        self._feed = feed

    async def tail(self, lines: int, follow: bool) -> AsyncIterator[dict[str, Any]]:
        request = TailRequest(n=lines)
        if follow:
            async for record in self._feed.follow(request):
                yield record
            return
        for record in await self._feed.tail(request):
            yield record


def read_file(path: Path) -> str:
    """The configuration file's text; a file that is not there is an empty one, which allows nothing."""
    try:
        return path.read_text("utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise Fault("config.unreadable", f"The file {quoted(str(path))} cannot be read.", cause=str(error)) from error


def _verdict(fault: Fault, name: str) -> shapes.ConfigVerdict:
    problems = fault.problems if isinstance(fault, ConfigFault) else ()
    return shapes.ConfigVerdict(
        fits=False,
        problems=tuple(
            shapes.ConfigProblem(
                path=each.path,
                line=each.line,
                sentence=each.sentence(fault.name if isinstance(fault, ConfigFault) else name),
                remedy=each.remedy,
            )
            for each in problems
        )
        or (shapes.ConfigProblem(path="", line=None, sentence=fault.sentence, remedy=fault.remedy),),
    )


def _key(info: KeyInfo, rests_s: float = 0.0) -> shapes.Key:
    return shapes.Key(
        id=info.id,
        provider=info.provider,
        name=info.name,
        fingerprint=info.fingerprint,
        created=info.created,
        rotated=info.rotated,
        weight=info.weight,
        rests_s=ceil(rests_s),
    )


def _moment(seconds: object) -> datetime | None:
    """The supervisor tells times in seconds since 1970."""
    return datetime.fromtimestamp(seconds, UTC) if isinstance(seconds, int | float) else None
