"""Gateways whose providers fail, and what became of each try."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.gateway.conftest import UUID, Start, Yard, until

import bawn
from bawn.gateway.failover_settings import Backoff, Failover
from bawn.gateway.settings import Provider, ProviderKind, Timeouts

SHORT = Backoff(base_seconds=0.02, cap_seconds=0.05)


IMPATIENT = Timeouts(first_byte_seconds=0.3, idle_seconds=0.3, total_seconds=20)


ROOTS = {ProviderKind.GEMINI: "/v1beta"}


@pytest.fixture(scope="module")
def failing() -> Iterator[str]:
    """The address of a scripted provider that also plays `failing.yaml`."""
    script = Path(__file__).with_name("failing.yaml")
    process = subprocess.Popen(
        [sys.executable, "-m", "bawn.inference", "--tcp", "127.0.0.1:0", "--script", str(script)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(str(bawn.__file__)).parent.parent)},
    )
    assert process.stdout is not None
    try:
        yield process.stdout.readline().removeprefix("ready ").strip()
    finally:
        process.terminate()
        process.wait(10)
        process.stdout.close()


Chained = Callable[..., Awaitable[Yard]]


@pytest.fixture
async def chained(start: Start, failing: str) -> Chained:
    """A gateway whose `scripted` provider goes on to `second/echo`."""

    async def begin(
        first: ProviderKind = ProviderKind.SCRIPTED,
        second: ProviderKind = ProviderKind.SCRIPTED,
        chain: tuple[str, ...] = ("second/echo",),
        more: dict[str, Provider] | None = None,
        **said: Any,
    ) -> Yard:
        options = {
            name: said.pop(name)
            for name in ("timeouts", "allow", "concurrent", "judges", "interception")
            if name in said
        }
        said = {"backoff": SHORT, "retry_after_seconds": 3, "deadline_seconds": 8, **said}
        return await start(
            kind=first,
            provider=f"http://{failing}{ROOTS.get(first, '/v1')}",
            more={"second": at(f"http://{failing}{ROOTS.get(second, '/v1')}", second), **(more or {})},
            failover=Failover(chains={"scripted/*": chain}, **said),
            **options,
        )

    return begin


def at(url: str, kind: ProviderKind = ProviderKind.OPENAI_COMPATIBLE) -> Provider:
    return Provider(kind=kind, base_url=url, key="none")


async def read(answer: httpx.Response) -> tuple[bytes, bool]:
    """What came of a stream, and whether HTTP says that it is whole."""
    received = b""
    try:
        async for data in answer.aiter_bytes():
            received += data
    except httpx.RemoteProtocolError:
        return received, False
    return received, True


def tries(yard: Yard) -> list[tuple[str, str]]:
    """What became of each try, in order, as target and word."""
    events = yard.record.of("attempt.settled")
    return [(f"{event.provider}/{event.model}", dict(event.detail)["outcome"]) for event in events]


async def accounted(yard: Yard) -> None:
    """Every try was on record before it was sent, and nothing that was reserved is left."""
    await until(lambda: any(row.call.count(".") == 0 for row in yard.books.settlements))
    await until(lambda: yard.ledger.running(UUID) == 0)
    opened = len(yard.record.of("call.opened")) + len(yard.record.of("attempt.opened"))
    assert opened == len(yard.record.of("attempt.settled"))
    assert yard.lost == []


async def posted(yard: Yard, model: str = "first/m", **options: Any) -> httpx.Response:
    async with yard.client() as client:
        return await client.post(
            "/v1/chat/completions",
            json={"model": model, "messages": [{"role": "user", "content": "hello"}]},
            **options,
        )


@pytest.fixture
async def tried(start: Start, failing: str) -> Chained:
    """A gateway whose provider `first` is the given one and goes on to `second/echo`."""

    async def begin(url: str, chain: tuple[str, ...] = ("second/echo",), **said: Any) -> Yard:
        options = {name: said.pop(name) for name in ("timeouts", "concurrent", "allow") if name in said}
        more = {
            "first": said.pop("first", at(url)),
            "second": at(f"http://{failing}/v1"),
            "third": at(f"http://{failing}/v1"),
        }
        said = {"backoff": SHORT, "retry_after_seconds": 3, "deadline_seconds": 8, **said}
        return await start(more=more, failover=Failover(chains={"first/*": chain}, **said), **options)

    return begin
