"""What the tests of the transforms have in common: a container, a clock, questions and calls."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from bawn.stages.asked import Asked
from bawn.stages.judging import Proposed
from bawn.terms.exchange import Endpoint, Exchange, WireName
from bawn.terms.principal import Container
from bawn.terms.toolcall import ToolCall
from bawn.wire import Route, wire
from bawn.wire.document import RequestDocument

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
DEV = Container("uuid-dev", 1, "dev", "shop")
TEST = Container("uuid-test", 2, "test", "shop")
FOREIGN = Container("uuid-foreign", 3, "foreign", "other")


class Clock:
    def __init__(self) -> None:
        self.time = NOON

    def now(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        return self.time.timestamp()

    def forward(self, **by: float) -> None:
        self.time += timedelta(**by)


_numbers = iter(range(1, 10**9))


def no_document(exchange: Exchange) -> RequestDocument | None:
    return None


def asked(
    body: dict[str, Any] | bytes,
    *,
    container: Container = DEV,
    name: WireName = WireName.OPENAI,
    endpoint: Endpoint = Endpoint.CHAT_COMPLETIONS,
    headers: Sequence[tuple[bytes, bytes]] = (),
    depth: int = 0,
    read: Any = no_document,
) -> Asked:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    exchange = wire(name).read_request(Route(endpoint, name), data)
    return Asked(f"call_{next(_numbers)}", container, exchange, tuple(headers), lambda _: "s", read, depth)


def chat(text: str = "hello", **more: Any) -> dict[str, Any]:
    return {"model": "scripted/demo", "messages": [{"role": "user", "content": text}], **more}


def proposed(name: str, arguments: dict[str, Any] | str, *, container: Container = DEV, text: bool = False) -> Proposed:
    raw = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return Proposed(asked(chat(), container=container), ToolCall("c1", name, raw), text)
