"""A gateway with one open door on loopback, and the scripted provider behind it as a process of its own."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvloop
from msgspec import structs

import bawn
from bawn.adapters.report import Dialect
from bawn.enforcement.reports import Reports
from bawn.errors import Fault
from bawn.gateway.breaker import Breakers
from bawn.gateway.catalogue import Catalogue
from bawn.gateway.closing import Closing
from bawn.gateway.credentials import Keyring
from bawn.gateway.doors import Doors
from bawn.gateway.failover import Failover
from bawn.gateway.failover_settings import Failover as FailoverSettings
from bawn.gateway.hooks import HookCalls
from bawn.gateway.permissions import Permissions
from bawn.gateway.pipeline import Pipeline
from bawn.gateway.pool import Pool
from bawn.gateway.providers import address_of
from bawn.gateway.released import Released
from bawn.gateway.server import Gateway
from bawn.gateway.settings import Allow, Interception, Limits, Models, Provider, ProviderKind, Timeouts
from bawn.gateway.toolgate import ToolGate
from bawn.gateway.upstream import Upstream
from bawn.gateway.works import Works
from bawn.guardrails.ledger import ConcurrencyLedger
from bawn.guardrails.prices import Prices
from bawn.guardrails.settlement import Refusal, Settlement
from bawn.identity.registry import Standing
from bawn.stages.judging import Approvers, Judge
from bawn.stages.stage import Stage
from bawn.store import Store, open_store
from bawn.store.upgrade import upgrade
from bawn.terms.door import Door, DoorKind
from bawn.terms.event import Event
from bawn.terms.principal import Container
from bawn.vault.secret import Secret
from bawn.vault.vault import OpenKey

UUID = "6f2c7c1e-6a52-4d0f-9a53-0c7f2a3d9b11"
OTHER = "0b1d6d0a-7f0e-4f55-8d0f-9f0f6f3f2b22"
SECRET = "sk-test-0123456789abcdef0123456789abcdef"


class RealClock:
    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()


class Registry:
    """One container whose standing the test changes, and another one beside it."""

    def __init__(self) -> None:
        self.other = Standing(
            Container(OTHER, 8, "other", "default"), ai=True, state="running", expires=None, generation=1
        )
        self.now = Standing(Container(UUID, 7, "dev", "default"), ai=True, state="running", expires=None, generation=1)
        self._watchers: list[Callable[[str], None]] = []

    def standing(self, uuid: str) -> Standing | None:
        return self.now if uuid == UUID else self.other if uuid == OTHER else None

    def watch(self, callback: Callable[[str], None]) -> None:
        self._watchers.append(callback)

    def change(self, **changes: Any) -> None:
        self.now = structs.replace(self.now, **changes)
        for callback in self._watchers:
            callback(UUID)


class Record:
    """The record in memory; `broken` makes it refuse."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.broken = False

    async def record(self, event: Event) -> str:
        self.note(event)
        return f"rec_{len(self.events)}"

    def note(self, event: Event) -> None:
        if self.broken:
            raise Fault("audit.unavailable", "This cannot be recorded now.")
        self.events.append(event)

    def of(self, name: str) -> list[Event]:
        return [event for event in self.events if event.event == name]


class Books:
    def __init__(self) -> None:
        self.settlements: list[Settlement] = []
        self.refusals: list[Refusal] = []

    def add(self, settlement: Settlement) -> None:
        self.settlements.append(settlement)

    def refuse(self, refusal: Refusal) -> None:
        self.refusals.append(refusal)


class HeldKeys:
    """Keys in memory; `hold` replaces those of a provider."""

    def __init__(self) -> None:
        self._held: dict[str, tuple[OpenKey, ...]] = {}
        self.hold("keyed", SECRET)

    def hold(self, provider: str, *secrets: str, weights: tuple[int, ...] = ()) -> None:
        weights = weights or (1,) * len(secrets)
        self._held[provider] = tuple(
            OpenKey(f"key_{provider}_{at}", f"k{at}" if at else "", weight, Secret(secret))
            for at, (secret, weight) in enumerate(zip(secrets, weights, strict=True))
        )

    def put(self, provider: str, keys: tuple[OpenKey, ...]) -> None:
        self._held[provider] = keys

    def keys_for(self, provider: str) -> tuple[OpenKey, ...]:
        return self._held.get(provider, ())


class Makers:
    """Who made which provider-side object."""

    def __init__(self) -> None:
        self.made: dict[tuple[str, str], str] = {}
        self.kinds: dict[tuple[str, str], str] = {}
        self.broken = False

    def owner(self, provider: str, resource: str) -> str | None:
        return self.made.get((provider, resource))

    async def claim(self, provider: str, resource: str, kind: str, container_uuid: str, now: datetime) -> None:
        if self.broken:
            raise Fault("store.unavailable", "The store failed.")
        self.made[provider, resource] = container_uuid
        self.kinds[provider, resource] = kind

    def kind(self, provider: str, resource: str) -> str:
        return self.kinds.get((provider, resource), "")

    def count(self, provider: str, kinds: tuple[str, ...], container_uuid: str) -> int:
        return sum(
            uuid == container_uuid and of == provider and self.kind(of, name).split("+")[0].split(".")[0] in kinds
            for (of, name), uuid in self.made.items()
        )

    async def forget(self, provider: str, resource: str) -> None:
        del self.made[provider, resource]

    async def settle(self, provider: str, resource: str) -> bool:
        kind, plus, _ = self.kind(provider, resource).partition("+")
        self.kinds[provider, resource] = kind
        return bool(plus)


@dataclass
class Yard:
    """Everything a test of the gateway touches."""

    gateway: Gateway
    doors: Doors
    registry: Registry
    record: Record
    books: Books
    makers: Makers
    ledger: ConcurrencyLedger
    port: int
    held: HeldKeys
    keyring: Keyring
    other_port: int = 0
    """Of the other container's door."""
    lost: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self, token: str = "container-dev") -> httpx.AsyncClient:
        headers = {"authorization": f"Bearer {token}"} if token else {}
        return httpx.AsyncClient(base_url=self.url, headers=headers, timeout=10, trust_env=False)

    async def settled(self, count: int = 1) -> Settlement:
        """The last settlement, once there are `count`."""
        await until(lambda: len(self.books.settlements) >= count)
        return self.books.settlements[-1]

    def cause(self) -> str:
        return self.books.refusals[-1].cause


async def until(condition: Callable[[], bool], timeout_s: float = 3) -> None:
    """Wait for something that another task does."""
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.005)


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> Mapping[str, Callable[[], Any]]:
    """The loop that the gateway really runs on."""
    return {"uvloop": uvloop.new_event_loop}


Start = Callable[..., Awaitable[Yard]]


@pytest.fixture(scope="session")
def scripted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The record of the scripted provider that all tests of this folder call; its address stands beside it."""
    folder = tmp_path_factory.mktemp("scripted")
    process = subprocess.Popen(
        [sys.executable, "-m", "bawn.inference", "--tcp", "127.0.0.1:0", "--record", str(folder / "record.jsonl")],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(str(bawn.__file__)).parent.parent)},
    )
    assert process.stdout is not None
    try:
        address = process.stdout.readline().removeprefix("ready ").strip()
        (folder / "address").write_text(address)
        yield folder
    finally:
        process.terminate()
        process.wait(10)
        process.stdout.close()


@pytest.fixture
async def start(scripted: Path) -> AsyncIterator[Start]:
    """Starts a gateway; what a test does not say is open and generous."""
    yards: list[Yard] = []

    async def begin(
        *,
        provider: str | None = None,
        kind: ProviderKind = ProviderKind.SCRIPTED,
        allow: Allow | None = None,
        limits: Limits | None = None,
        timeouts: Timeouts | None = None,
        stages: tuple[Stage, ...] = (),
        judges: tuple[Judge, ...] = (),
        approvers: Approvers | None = None,
        interception: Interception | None = None,
        concurrent: int = 1000,
        more: Mapping[str, Provider] | None = None,
        aliases: Mapping[str, str] | None = None,
        failover: FailoverSettings | None = None,
        hooks: tuple[Mapping[str, Dialect], Reports] | None = None,
        policy: Callable[[], str] = lambda: "",
    ) -> Yard:
        clock, registry, record, books, makers = RealClock(), Registry(), Record(), Books(), Makers()
        base = provider or f"http://{(scripted / 'address').read_text()}/v1"
        providers = {
            "scripted": Provider(
                kind=kind,
                base_url=base,
                key="none",
                models=("echo", "agent"),
                region="eu-central-1" if kind is ProviderKind.BEDROCK else None,
            ),
            "keyed": Provider(kind=ProviderKind.OPENAI_COMPATIBLE, base_url=base),
            "keyless": Provider(kind=ProviderKind.OPENAI_COMPATIBLE, base_url=base),
            **(more or {}),
        }
        catalogue = Catalogue(
            providers,
            Models(default="scripted/echo", aliases={"house": "scripted/echo", "c-*": "scripted/*", **(aliases or {})}),
        )
        permissions = Permissions(catalogue, allow or Allow(models=("*",)), {}, makers)
        timeouts = timeouts or Timeouts()
        pool = Pool(clock.monotonic, timeouts.connect_seconds)
        ledger = ConcurrencyLedger(concurrent)
        addresses = {name: address_of(name, each, "") for name, each in providers.items()}
        held = HeldKeys()
        keyring = Keyring(held, pool, clock, record.note)
        upstream = Upstream(addresses, keyring, pool, ledger, timeouts, clock.monotonic, set())
        limits = limits or Limits()
        breakers = Breakers(clock.monotonic)
        going_on = None
        if failover is not None:
            going_on = Failover(failover, permissions, upstream, limits, record, breakers, clock, lambda: 0.5)
        works = Works(
            limits,
            permissions,
            Pipeline(stages, permissions, clock=clock.monotonic),
            upstream,
            ToolGate(judges, record, approvers, released := Released(policy)),
            interception or Interception(),
            going_on,
        )
        lost: list[str] = []
        gateway = Gateway(
            works,
            registry,
            record,
            Closing(record, books, Prices(), clock, lambda call, error: lost.append(f"{call}: {error}")),
            clock,
        )
        if hooks is not None:
            gateway.hooks = HookCalls(*hooks, released, clock)
        registry.watch(gateway.running.changed)
        doors = Doors(gateway, pool, clock)
        listener = socket.create_server(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        await doors.open(Door(DoorKind.AI, UUID, "127.0.0.1", port, "gateway"), listener)
        beside = socket.create_server(("127.0.0.1", 0))
        other_port = beside.getsockname()[1]
        await doors.open(Door(DoorKind.AI, OTHER, "127.0.0.1", other_port, "gateway"), beside)
        yard = Yard(gateway, doors, registry, record, books, makers, ledger, port, held, keyring, other_port, lost)
        yards.append(yard)
        return yard

    yield begin
    for yard in yards:
        with suppress(Fault):
            await yard.doors.shut()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """An empty one."""
    opened = open_store(tmp_path / "bawn.db")
    upgrade(opened)
    yield opened
    opened.close()


@pytest.fixture
async def yard(start: Start) -> Yard:
    return await start()
