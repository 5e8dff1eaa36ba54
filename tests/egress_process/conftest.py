"""An egress proxy with doors on loopback, a gateway that the test plays, and an outside that never leaves loopback."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
import uvloop
from tests.egress_process.sites import Conversation, Names, Outside, Roads, Site

from bawn.egress.authority import Authority
from bawn.egress.dial import Way
from bawn.egress.doors import Doors
from bawn.egress.link import Link
from bawn.egress.policy import Policy, Rule
from bawn.egress.recorder import Recorder
from bawn.egress.walls import Limits, Walls
from bawn.errors import Fault
from bawn.lines.line import Line, Packet

ONE = "6f2c7c1e-6a52-4d0f-9a53-0c7f2a3d9b11"
TWO = "0b7a8f8e-31f4-4f0e-8a8e-5d1a2f8f1c22"
PUBLIC = "93.184.215.14"
"""An address that may be reached; in these tests every road from it leads to loopback."""


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> Mapping[str, Callable[[], Any]]:
    """The loop that the proxy really runs on."""
    return {"uvloop": uvloop.new_event_loop}


async def until(condition: Callable[[], bool], timeout_s: float = 3) -> None:
    """Wait for something that another task does."""
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.005)


class Gateway:
    """The other end of the line: says policies, keeps records, and can be slow, deaf or unable."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.told: list[dict[str, Any]] = []
        self.delay_s = 0.0
        self.unable = False
        self.never = False
        self.line: Line | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._asked = 0

    def connect(self, link: Link) -> None:
        near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.line = Line(near, self._heard, lambda: None)
        self.line.open()
        link.attach(far)

    def gone(self) -> None:
        assert self.line is not None
        self.line.close()

    def say(self, **body: Any) -> None:
        assert self.line is not None
        self.line.send(body)

    async def rule(self, uuid: str, *rules: Rule, **more: Any) -> None:
        """The policy holds when this returns."""
        policy = Policy(uuid=uuid, name="dev", rules=rules, provider_hosts=frozenset(more.pop("provider_hosts", ())))
        await self.ask("policy", uuid=uuid, policy=msgspec.to_builtins(policy))

    async def entrust(self, uuid: str, *credentials: dict[str, Any]) -> None:
        await self.ask("secrets", uuid=uuid, credentials=list(credentials))

    async def ask(self, do: str, **fields: Any) -> None:
        assert self.line is not None
        (await self.line.ask(do, **fields)).close()

    def of(self, name: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["event"] == name]

    def codes(self) -> list[str]:
        return [event["code"] for event in self.of("egress.refused")]

    def _heard(self, packet: Packet) -> None:
        if packet.body.get("do") == "record":
            task = asyncio.create_task(self._record(packet))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        else:
            self.told.append(packet.body)

    async def _record(self, packet: Packet) -> None:
        assert self.line is not None
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        if self.unable or self.never:
            code = "audit.unavailable" if self.unable else "internal"
            self.line.answer(packet, Fault(code, "This is not recorded."))
            return
        event = packet.body["event"]
        event["detail"] = dict(event.get("detail", ()))
        event.setdefault("code", "")
        self.events.append(event)
        self.line.answer(packet, {"record": f"rec_{len(self.events)}"})


@dataclass
class Yard:
    """Everything a test of the proxy touches."""

    walls: Walls
    doors: Doors
    link: Link
    gateway: Gateway
    names: Names
    roads: Roads
    outside: Outside
    ports: dict[str, int] = field(default_factory=dict)
    sites: list[Site] = field(default_factory=list)
    callers: list[Caller] = field(default_factory=list)

    async def door(self, uuid: str) -> None:
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        self.ports[uuid] = listener.getsockname()[1]
        await self.doors.open(uuid, listener)

    async def site(
        self, host: str, conversation: Conversation, *, port: int = 443, tls: bool = True, address: str = PUBLIC
    ) -> Site:
        """A server outside under this name; with a certificate for it, or speaking plainly."""
        site = await Site().open(conversation, self.outside.serving(host) if tls else None)
        self.sites.append(site)
        self.names.say(host, address)
        self.roads.leads[address, port] = site.port
        return site

    async def dial(self, uuid: str = ONE) -> Caller:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.ports[uuid], limit=1 << 22)
        self.callers.append(Caller(reader, writer))
        return self.callers[-1]

    async def connect(self, target: str, uuid: str = ONE) -> Caller:
        """A tunnel that stands."""
        caller = await self.dial(uuid)
        status, body = await caller.ask_tunnel(target)
        assert status == 200, body
        return caller

    async def tls(
        self, host: str, *, sni: str | None = None, uuid: str = ONE, trust: ssl.SSLContext | None = None
    ) -> Caller:
        """TLS through a tunnel to `host`; the context trusts the outside, or what is given."""
        caller = await self.connect(f"{host}:443", uuid)
        context = trust or self.outside.trusting()
        await caller.writer.start_tls(context, server_hostname=sni or host)
        return caller

    def inside(self) -> ssl.SSLContext:
        """What a container trusts where TLS ends in the proxy."""
        return ssl.create_default_context(cadata=self.walls.authority.pem)


@dataclass
class Caller:
    """A program in the container."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def ask_tunnel(self, target: str) -> tuple[int, Any]:
        self.writer.write(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
        return await self.answer(tunnel=True)

    async def answer(self, *, tunnel: bool = False) -> tuple[int, Any]:
        """Status and body, of JSON where it is JSON."""
        status, headers, body = await self.whole_answer(tunnel=tunnel)
        return status, json.loads(body) if headers.get("content-type", "").startswith("application/json") else body

    async def whole_answer(self, *, tunnel: bool = False) -> tuple[int, dict[str, str], bytes]:
        async with asyncio.timeout(5):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            first, *lines = head[:-4].split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            status = int(first.split()[1])
            if (tunnel and status == 200) or status in (204, 304):
                return status, headers, b""
            if headers.get("transfer-encoding") == "chunked":
                body = b""
                while size := int(await self.reader.readuntil(b"\r\n"), 16):
                    body += (await self.reader.readexactly(size + 2))[:-2]
                await self.reader.readexactly(2)
            else:
                body = await self.reader.readexactly(int(headers.get("content-length", "0")))
        return status, headers, body

    async def send(self, text: str | bytes) -> tuple[int, Any]:
        self.writer.write(text.encode() if isinstance(text, str) else text)
        return await self.answer()

    async def ended(self, timeout_s: float = 3) -> bytes:
        """What still comes before the connection ends."""
        async with asyncio.timeout(timeout_s):
            with suppress(ConnectionError, ssl.SSLError):
                return await self.reader.read(-1)
            return b""

    def close(self) -> None:
        self.writer.close()


Start = Callable[..., Awaitable[Yard]]


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    yards: list[Yard] = []

    async def begin(*, limits: Limits | None = None, grace_s: float = 10.0, connected: bool = True) -> Yard:
        names, roads, outside = Names(), Roads(), Outside(tmp_path)
        recorder, authority = Recorder(), Authority(lambda: datetime.now(UTC))
        way = Way(names, roads, frozenset, resolve_s=1.0, connect_s=1.0)
        walls = Walls(recorder, authority, way, time.monotonic, limits, trust=outside.trusting())
        yard = Yard(
            walls, Doors(walls), Link(walls, recorder, authority, grace_s=grace_s), Gateway(), names, roads, outside
        )
        yards.append(yard)
        if connected:
            yard.gateway.connect(yard.link)
        for uuid in (ONE, TWO):
            await yard.door(uuid)
        return yard

    yield begin
    for yard in yards:
        for caller in yard.callers:
            caller.writer.transport.abort()
        yard.doors.shut()
        yard.link.close()
        if yard.gateway.line is not None:
            yard.gateway.line.close()
        for site in yard.sites:
            await site.close()
    await asyncio.sleep(0.02)
