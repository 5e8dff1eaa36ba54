"""A keyring with keys of a provider, by a clock that is moved by hand."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from tests.gateway.conftest import HeldKeys
from tests.gateway.host import Heard

from bawn.gateway.credentials import Key, Keyring
from bawn.gateway.pool import Pool
from bawn.gateway.providers import Address, address_of
from bawn.gateway.settings import Provider, ProviderKind
from bawn.terms.event import Event

NOON = datetime(2030, 1, 31, 12, tzinfo=UTC)


AWS = "AKIDEXAMPLEAKIDEXAMPLE:wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"


FIRST, SECOND = "sk-first-0123456789", "sk-second-0123456789"


ASKED = [{"role": "user", "content": "hello"}]


class HandClock:
    """Moves when it is told to."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def now(self) -> datetime:
        return NOON + timedelta(seconds=self.seconds - 1000)

    def monotonic(self) -> float:
        return self.seconds


class Ground:
    """A keyring on a clock that the test moves."""

    def __init__(self) -> None:
        self.clock = HandClock()
        self.held = HeldKeys()
        self.events: list[Event] = []
        self.pool = Pool(time.monotonic, 5)
        self.ring = Keyring(self.held, self.pool, self.clock, self.events.append)
        self.plain = compiled(ProviderKind.OPENAI)

    def labels(self, count: int) -> list[str]:
        return [self.ring.take(self.plain).label for _ in range(count)]

    def told(self, key: Key, status: int, **headers: str) -> Key | None:
        lines = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        return self.ring.told(self.plain, key, status, lines)


@pytest.fixture
async def ground() -> AsyncIterator[Ground]:
    made = Ground()
    yield made
    made.pool.close()


def compiled(kind: ProviderKind, name: str = "p", **more: object) -> Address:
    return address_of(name, Provider.model_validate({"kind": kind, **more}), "")


def put_on(key: Key, path: str = "/x", body: bytes = b"{}") -> dict[str, str]:
    lines = [b"POST %b HTTP/1.1\r\nhost: x\r\ncontent-type: application/json" % path.encode()]
    key.put_on(lines, "POST", path, body)
    return dict(line.decode().split(": ", 1) for line in lines[1:])


def bearer(heard: Heard) -> str:
    return heard.headers.get("authorization", "").removeprefix("Bearer ")
