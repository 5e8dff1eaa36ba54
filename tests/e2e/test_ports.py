"""Ports inside, for the operator by forwarding and for others by links, and nothing else by either."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import pytest
import yaml
from tests.e2e.installation import Container, Installation, free_port, until
from websockets.sync.client import connect

from bawn import sdk
from bawn.errors import Fault

PUBLIC = "demo.example.org"


@pytest.fixture(scope="module")
def public(yard: Installation) -> Iterator[str]:
    """Bawn's loopback address, with a public host in its configuration."""
    before = yard.config.read_text()
    said = yaml.safe_load(before)
    said["api"]["public_hosts"] = [PUBLIC]
    yard.config.write_text(yaml.safe_dump(said))
    yard.kill("gateway")
    until(yard.runs, "the gateway is there again")
    yield f"http://127.0.0.1:{said['api']['port']}"
    yard.config.write_text(before)
    yard.kill("gateway")
    until(yard.runs, "the gateway is there again")


@pytest.fixture(scope="module")
def served(public: str, dev: Container) -> int:
    dev.leave("serve", "3000")
    until(lambda: dev.left("serve"), "it serves")
    return 3000


def test_a_port_inside_is_seen_on_this_machine_until_the_command_ends(
    yard: Installation, dev: Container, served: int
) -> None:
    local = free_port()
    words = ("ports", "forward", dev.name, str(served), "--local", str(local))
    with yard.start(*words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as command:
        assert command.stdout is not None
        assert command.stdout.readline().decode() == f"127.0.0.1:{local} → {dev.name}:3000\n"
        for _ in range(3):
            answer = httpx.post(f"http://127.0.0.1:{local}/x?y=1", content=b"z" * 200_000, timeout=10)
            assert answer.json()["line"] == "POST /x?y=1 HTTP/1.1"
            assert len(answer.json()["body"]) == 200_000
        command.terminate()
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{local}/")
    assert "port.connected" in yard.done("audit", "tail", "--lines", "5").out


def test_a_port_that_nobody_serves_says_so_and_doors_are_not_reached(yard: Installation, dev: Container) -> None:
    with sdk.Client(yard.socket) as client:
        for port in (3999, 80, 3128):
            with pytest.raises(Fault) as refused:
                client.ports.connect(dev.name, port)
            assert refused.value.code == "ports.closed"


def test_a_link_opens_its_port_and_nothing_else(yard: Installation, dev: Container, served: int, public: str) -> None:
    issued = yard.json("ports", "share", dev.name, str(served), "--expires", "1h")
    url = urlsplit(issued["urls"][0])
    assert (url.scheme, url.netloc) == ("https", PUBLIC)
    token = url.query.removeprefix("bawn_token=")
    place = f"/s/{issued['share']['id']}/"
    with httpx.Client(base_url=public, headers={"host": PUBLIC}, timeout=10) as web:
        first = web.get(f"{place}a%2Fb?x=1&bawn_token={token}")
        assert (first.status_code, first.headers["location"]) == (303, f"{place}a/b?x=1")
        cookie = first.headers["set-cookie"]
        assert all(word in cookie for word in ("HttpOnly", "Secure", f"Path={place}"))
        mine = {"cookie": f"own=1; bawn_share={token}"}
        seen = web.post(f"{place}deep?x=1", headers=mine, content=b"data").json()
        assert (seen["line"], seen["body"]) == ("POST /deep?x=1 HTTP/1.1", "data")
        assert seen["headers"]["cookie"] == "own=1"
        assert token not in str(seen)
        assert seen["headers"]["host"] == "localhost:3000"
        for wrong in ({}, {"cookie": "bawn_share=x"}, {"cookie": f"bawn_share={token[:-1]}"}):
            assert web.get(place, headers=wrong).status_code == 404
        other = place.replace(place[3], "0" if place[3] != "0" else "1", 1)
        assert web.get(other, headers=mine).status_code == 404
        assert web.get("/api/v1/status", headers=mine).status_code == 404, "the API has no public host"
    with httpx.Client(base_url=public, timeout=10) as api:
        assert api.get(place, headers=mine).status_code == 401, "and links none of the API's"
    near = socket.create_connection((urlsplit(public).hostname, urlsplit(public).port))
    with connect(f"ws://{PUBLIC}{place}socket", sock=near, additional_headers=mine, proxy=None) as wire:
        wire.send("hello")
        assert wire.recv(timeout=10) == "hello"
    yard.done("ports", "revoke", dev.name, issued["share"]["id"])
    assert httpx.get(f"{public}{place}", headers={"host": PUBLIC, **mine}).status_code == 404
    assert yard.json("ports", "shares", dev.name) == []
    for file in (yard.home / "bawn.log", *(yard.home / "audit").iterdir()):
        assert token not in file.read_text(errors="replace"), file
    assert token.encode() not in (yard.home / "state" / "bawn.db").read_bytes()


def test_a_link_ends_with_its_container(yard: Installation, runtime: str, public: str) -> None:
    box = yard.box(f"shared-{runtime}", runtime)
    issued = yard.json("ports", "share", box.name, "3000")
    web = {"host": PUBLIC}
    address = f"{public}{issued['path']}"
    assert httpx.get(address, headers=web).status_code == 303
    yard.done("containers", "delete", box.name)
    assert httpx.get(address, headers=web).status_code == 404
