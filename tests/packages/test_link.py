"""What the mirror is told by the gateway, and what becomes of it when nobody tells it anything."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.packages.conftest import ONE

from bawn.lines.line import Line, Packet
from bawn.packages.link import Link
from bawn.packages.policy import Policy, Version
from bawn.packages.reasons import Refused
from bawn.packages.shelf import Shelf


class Gateway:
    """The other end: records what it is asked to, unless it is told not to."""

    def __init__(self, end: socket.socket) -> None:
        self.recorded: list[dict[str, Any]] = []
        self.silent = False
        self.line = Line(end, self._heard, lambda: None)
        self.line.open()

    def _heard(self, packet: Packet) -> None:
        packet.close()
        self.recorded.append(packet.body["event"])
        if not self.silent:
            self.line.answer(packet, {"record": "rec_1"})

    def tell(self, uuid: str, said: bytes) -> None:
        with os.fdopen(os.memfd_create("policy"), "w+b") as file:
            file.write(said)
            file.seek(0)
            self.line.send({"event": "policy", "uuid": uuid}, [file.fileno()])


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[tuple[Link, Gateway]]:
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    link = Link(Shelf(tmp_path, 1 << 20))
    link.attach(near)
    gateway = Gateway(far)
    yield link, gateway
    link.close()
    gateway.line.close()


async def told(link: Link, uuid: str = ONE) -> Policy | None:
    for _ in range(100):
        if link.standing(uuid) is not None:
            break
        await asyncio.sleep(0.005)
    return link.standing(uuid)


def encoded(**more: Any) -> bytes:
    return msgspec.json.encode(Policy(uuid=ONE, name="dev", **more))


VERSION = Version("pip", "tool", "1.0", "tool-1.0-py3-none-any.whl", "")


async def test_a_lock_file_of_thousands_of_packages_is_told_whole(pair: tuple[Link, Gateway]) -> None:
    link, gateway = pair
    locks = frozenset(f"sha512:{number:0128x}" for number in range(20_000))
    gateway.tell(ONE, encoded(mode="locked", locks=locks))
    policy = await told(link)
    assert policy is not None
    assert policy.locks == locks


@pytest.mark.parametrize("said", [b"", b"{", b"null", b"[]", b'{"uuid": 1}', encoded().replace(ONE.encode(), b"other")])
async def test_a_policy_that_cannot_be_read_allows_nothing(pair: tuple[Link, Gateway], said: bytes) -> None:
    link, gateway = pair
    gateway.tell(ONE, encoded())
    assert await told(link) is not None
    gateway.tell(ONE, said)
    await asyncio.sleep(0.05)
    assert link.standing(ONE) is None


async def test_what_the_last_gateway_said_ends_with_it(pair: tuple[Link, Gateway]) -> None:
    link, gateway = pair
    gateway.tell(ONE, encoded())
    policy = await told(link)
    assert policy is not None
    await link.record(policy, VERSION, "0" * 64)
    assert gateway.recorded[0]["event"] == "package.served"
    assert dict(gateway.recorded[0]["detail"])["sha256"] == "0" * 64
    gateway.line.close()
    await asyncio.sleep(0.05)
    with pytest.raises(Refused, match="gateway"):
        link.standing(ONE)
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    link.attach(near)
    assert link.standing(ONE) is None
    far.close()
    await asyncio.sleep(0.05)
    with pytest.raises(Refused, match="record"):
        await link.record(policy, VERSION, "0" * 64)


async def test_nothing_is_served_when_the_record_is_not_answered(
    pair: tuple[Link, Gateway], monkeypatch: pytest.MonkeyPatch
) -> None:
    link, gateway = pair
    monkeypatch.setattr("bawn.packages.link._RECORD_S", 0.1)
    gateway.silent = True
    with pytest.raises(Refused, match="recorded"):
        await link.record(Policy(uuid=ONE, name="dev"), VERSION, "0" * 64)


async def test_refusals_are_told_with_name_and_version_and_not_without_end(pair: tuple[Link, Gateway]) -> None:
    link, gateway = pair
    gateway.silent = True
    for _ in range(500):
        link.refused(ONE, Refused("packages.young", "Too young.", name="tool", version="1.0"))
    link.refused(ONE, Refused("packages.not_found", "None."))
    await asyncio.sleep(0.1)
    assert len(gateway.recorded) == 64
    detail = dict(gateway.recorded[0]["detail"])
    assert (gateway.recorded[0]["code"], detail["name"], detail["version"]) == ("packages.young", "tool", "1.0")
    assert json.dumps(gateway.recorded).count("packages.not_found") == 0
