"""Registries that lie, lead elsewhere, stall or flood."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from tests.packages.conftest import OLD, Shop, sha256, tarball, wheel
from tests.packages.test_npm import get

from bawn.packages import upstream as module
from bawn.packages.reasons import Refused
from bawn.packages.registries import npm_access, pip_access, registries_of
from bawn.packages.upstream import Access, Upstream, key_of

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Ear:
    """A server of whatever kind, that writes down the heads of requests."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.url = ""

    async def start(self, answer: Talk) -> asyncio.Server:
        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                self.heard.append((await reader.readuntil(b"\r\n\r\n")).decode())
                await answer(reader, writer)
                await writer.drain()
            except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                pass
            finally:
                writer.close()

        server = await asyncio.start_server(talk, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        return server


def saying(data: bytes) -> Talk:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)

    return answer


def moved(where: str) -> bytes:
    return f"HTTP/1.1 302 Found\r\nlocation: {where}\r\ncontent-length: 0\r\n\r\n".encode()


OK = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"


@pytest.fixture
async def ears() -> AsyncIterator[Callable[[Talk], Awaitable[Ear]]]:
    servers: list[asyncio.Server] = []

    async def start(answer: Talk) -> Ear:
        ear = Ear()
        servers.append(await ear.start(answer))
        return ear

    yield start
    for server in servers:
        server.close()
    await asyncio.sleep(0.01)


async def asked(url: str, access: Access) -> str:
    """The reason of the refusal, or what came."""
    upstream = Upstream(access)
    try:
        page = await upstream.page(url, "*/*")
        return "none" if page is None else page.body.decode()
    except Refused as refused:
        return refused.sentence
    finally:
        await upstream.close()


async def test_a_registry_cannot_lead_to_plain_places_of_the_hosts_network(
    ears: Callable[[Talk], Awaitable[Ear]],
) -> None:
    other = await ears(saying(OK))
    registry = await ears(saying(moved(f"{other.url}/private")))
    access = Access(frozenset({registry.url}))
    assert "not https" in await asked(f"{registry.url}/x", access)
    assert "not https" in await asked(f"{other.url}/x", access)
    assert other.heard == []


async def test_a_password_goes_to_its_origin_alone(ears: Callable[[Talk], Awaitable[Ear]]) -> None:
    other = await ears(saying(OK))
    registry = await ears(saying(moved(f"{other.url}/file")))
    access = Access(
        frozenset({registry.url, other.url}),
        (key_of(f"{registry.url.removeprefix('http:')}/", "Basic b3Vycw==", "http"),),
    )
    assert await asked(f"{registry.url}/x", access) == "{}"
    assert "Basic b3Vycw==" in registry.heard[0]
    assert "authorization" not in other.heard[0].lower()


async def test_a_password_holds_beneath_its_path(ears: Callable[[Talk], Awaitable[Ear]]) -> None:
    registry = await ears(saying(OK))
    place = registry.url.removeprefix("http:")
    keys = (key_of(f"{place}/npm/", "Bearer wide", "http"), key_of(f"{place}/npm/own/", "Bearer narrow", "http"))
    for path, wanted in (("/npm/own/x", "narrow"), ("/npm/x", "wide"), ("/npmx", None), ("/", None)):
        await asked(f"{registry.url}{path}", Access(frozenset({registry.url}), keys))
        head = registry.heard[-1]
        assert (f"Bearer {wanted}" in head) if wanted else ("Bearer" not in head), path


async def test_a_name_and_password_in_a_link_of_a_registry_are_not_used(
    ears: Callable[[Talk], Awaitable[Ear]],
) -> None:
    registry = await ears(saying(OK))
    url = registry.url.replace("http://", "http://somebody:secret@")
    assert await asked(f"{url}/x", Access(frozenset({registry.url}))) == "{}"
    assert "authorization" not in registry.heard[0].lower()


@pytest.mark.parametrize("link", ["file:///{path}", "{path}", "file://localhost/{path}"])
async def test_a_link_of_a_registry_never_opens_a_file_of_the_host(shop: Shop, tmp_path: Path, link: str) -> None:
    shop.allow(trust_undated=True)
    secret = tmp_path / "tool-1.0-py3-none-any.whl"
    secret.write_bytes(wheel("tool"))
    href = link.format(path=secret)
    page = f'<a href="{href}">tool-1.0-py3-none-any.whl</a>'
    shop.registry.put("/simple/tool/", page.encode(), "text/html")
    assert (await get(shop, f"/pypi/files/tool/{secret.name}")).status_code in (404, 502)
    shop.package("tool", ("1.0.0", OLD))
    tar = tmp_path / "own.tgz"
    tar.write_bytes(shop.registry.pages["/tool/-/tool-1.0.0.tgz"])
    document = json.loads(shop.registry.pages["/tool"])
    document["versions"]["1.0.0"]["dist"]["tarball"] = link.format(path=tar)
    shop.registry.put("/tool", json.dumps(document).encode(), "application/json")
    assert (await get(shop, "/npm/tool/-/tool-1.0.0.tgz")).headers["x-bawn-reason"] == "packages.upstream"
    assert shop.served == []


async def test_a_registry_that_leads_in_circles_is_left(ears: Callable[[Talk], Awaitable[Ear]]) -> None:
    registry = await ears(saying(moved("/again")))
    assert "without end" in await asked(f"{registry.url}/x", Access(frozenset({registry.url})))
    assert len(registry.heard) < 10


async def test_a_page_that_swells_beyond_reason_is_left(
    ears: Callable[[Talk], Awaitable[Ear]], monkeypatch: pytest.MonkeyPatch
) -> None:
    body = gzip.compress(bytes(20 * 2**20))
    head = f"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {len(body)}\r\n\r\n".encode()
    registry = await ears(saying(head + body))
    upstream = Upstream(Access(frozenset({registry.url})))
    with pytest.raises(Refused, match="too long"):
        await upstream.page(f"{registry.url}/x", "*/*", limit=1 << 20)
    monkeypatch.setattr(module, "FILE_LIMIT", 1000)
    with pytest.raises(Refused, match="too long"):
        async for _ in upstream.file(f"{registry.url}/x"):
            pass
    await upstream.close()


async def test_a_registry_that_drips_is_left(
    ears: Callable[[Talk], Awaitable[Ear]], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.05)

    registry = await ears(drip)
    monkeypatch.setattr(module, "_INDEX_S", 0.3)
    monkeypatch.setattr(module, "_SLOW_AFTER_S", 0.3)
    assert "too slow" in await asked(f"{registry.url}/x", Access(frozenset({registry.url})))
    upstream = Upstream(Access(frozenset({registry.url})))
    with pytest.raises(Refused, match="too slow"):
        async for _ in upstream.file(f"{registry.url}/x"):
            pass
    await upstream.close()


async def test_a_kept_connection_that_ended_is_made_anew(ears: Callable[[Talk], Awaitable[Ear]]) -> None:
    answers = iter((b"", OK))

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(next(answers, OK))

    registry = await ears(answer)
    assert await asked(f"{registry.url}/x", Access(frozenset({registry.url}))) == "{}"


async def test_a_file_that_ends_half_way_leaves_nothing(shop: Shop, ears: Callable[[Talk], Awaitable[Ear]]) -> None:
    shop.allow()
    short = await ears(saying(b"HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\nhalf"))
    shop.wheel("tool", ("1.0", OLD))
    page = json.loads(shop.registry.pages["/simple/tool/"])
    page["files"][0]["url"] = f"{short.url}/tool-1.0-py3-none-any.whl"
    shop.registry.put("/simple/tool/", json.dumps(page).encode(), "application/vnd.pypi.simple.v1+json")
    path = "/pypi/files/tool/tool-1.0-py3-none-any.whl"
    assert (await get(shop, path)).status_code == 502
    assert short.heard == []  # another port is another place
    await shop.upstreams["pip"].close()
    shop.upstreams["pip"] = Upstream(Access(frozenset({shop.registry.url, short.url})))
    assert (await get(shop, path)).status_code == 502
    assert len(short.heard) == 1
    assert list((shop.folder / "coming").iterdir()) == list((shop.folder / "files").iterdir()) == []


# What the host's clients are configured to use


async def test_the_files_of_a_private_index_are_asked_with_its_password(shop: Shop) -> None:
    shop.allow()
    shop.wheel("tool", ("1.0", OLD))
    assert (await get(shop, "/pypi/files/tool/tool-1.0-py3-none-any.whl")).status_code == 200
    assert {path: head.get("authorization") for path, head in shop.registry.asked} == {
        "/simple/tool/": "Basic pip-password-of-the-host",
        "/files/tool-1.0-py3-none-any.whl": "Basic pip-password-of-the-host",
    }


def test_passwords_leave_the_addresses_at_once() -> None:
    said = {
        "pip": {"index": "https://me:s%40fe@one.invalid/simple", "extra": ["http://two.invalid:8080/simple"]},
        "npm": {
            "registry": "https://three.invalid/npm/",
            "scopes": {"@own": "http://four.invalid/"},
            "keys": [["//three.invalid/npm/", "Bearer token"], ["//four.invalid/", "Basic x"]],
        },
        "proxies": {"https_proxy": "http://proxy.invalid:1", "no_proxy": "one.invalid, .two.invalid"},
    }
    assert registries_of(said).pip == ("https://one.invalid/simple", "http://two.invalid:8080/simple")
    pip, npm = pip_access(said), npm_access(said)
    assert [(key.beneath, key.header) for key in pip.keys] == [("//one.invalid:443/", "Basic bWU6c0BmZQ==")]
    assert [key.beneath for key in npm.keys] == ["//three.invalid:443/npm/", "//four.invalid:80/"]
    assert (pip.plain, npm.plain) == (frozenset({"http://two.invalid:8080"}), frozenset({"http://four.invalid:80"}))
    assert (pip.proxies, pip.direct) == ({"https": "http://proxy.invalid:1"}, ("one.invalid", ".two.invalid"))


async def test_authorities_that_cannot_be_read_mean_nothing_is_asked(ears: Callable[[Talk], Awaitable[Ear]]) -> None:
    registry = await ears(saying(OK))
    said = {"pip": {"index": registry.url, "cert": "/absent/own.pem", "authorities_unreadable": True}}
    assert "authorities" in await asked(registry.url, pip_access(said))
    assert registry.heard == []


async def test_a_scope_has_a_registry_of_its_own(shop: Shop) -> None:
    shop.allow()
    shop.mirror._registries = registries_of(
        {"npm": {"registry": "http://127.0.0.1:1/", "scopes": {"@own": shop.registry.url}}}
    )
    shop.package("@own/tool", ("1.0.0", OLD))
    assert (await get(shop, "/npm/@own%2ftool")).status_code == 200
    assert (await get(shop, "/npm/tool")).status_code == 502


async def test_a_folder_of_the_operator_is_a_registry_too(shop: Shop, tmp_path: Path) -> None:
    folder = tmp_path / "own wheels"
    folder.mkdir()
    body = wheel("tool", "2.0")
    (folder / "tool-2.0-py3-none-any.whl").write_bytes(body)
    for place in (folder.as_uri(), str(folder)):
        shop.mirror.forget()
        shop.mirror._registries = registries_of({"pip": {"index": None, "find_links": [place]}})
        shop.allow()
        path = "/pypi/files/tool/tool-2.0-py3-none-any.whl"
        assert path in (await get(shop, "/pypi/simple/tool/")).text
        assert (await get(shop, path)).content == body
        # once it is known its hash is listed
        assert sha256(body) in (await get(shop, "/pypi/simple/tool/")).text


async def test_tarballs_of_the_same_origin_are_asked_with_the_token(shop: Shop) -> None:
    shop.allow()
    shop.package("tool", ("1.0.0", OLD), data={"1.0.0": tarball("tool")})
    assert (await get(shop, "/npm/tool/-/tool-1.0.0.tgz")).status_code == 200
    assert {head["authorization"] for _, head in shop.registry.asked} == {"Bearer npm-token-of-the-host"}
