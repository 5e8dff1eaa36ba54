"""`ctx.fetch` leaves by the egress socket of the calling container, each hop of it under the policy."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from tests.scripts.standing import CONTAINER, Standing, plain

from bawn.egress.authority import Authority

FETCH = """
from bawn.scripts.api import ScriptError
async def handle(req, res, ctx):
    try:
        answer = await ctx.fetch(**req.json)
        return {"status": answer.status, "text": await answer.text()}
    except ScriptError as error:
        return {"failed": type(error).__name__, "why": str(error)}
"""


class Proxy:
    """Stands in for the egress door of container 7: allows `*.test`, ends TLS by its own authority, and is every site."""

    def __init__(self, standing: Standing) -> None:
        self.authority = Authority(lambda: datetime.now(UTC))
        self.authority.speak_for(["site.test", "other.test"])
        self.came: list[tuple[str, dict[str, str], bytes]] = []
        self.says: dict[str, bytes] = {}
        self.folder = standing.home / "run/scripts/shop/egress"
        self.folder.mkdir(parents=True)
        (self.folder / "ca.pem").write_text(self.authority.pem)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._serve(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line, headers = await self._head(reader)
        origin = "http:"
        if line.startswith("CONNECT"):
            host = line.split()[1].rpartition(":")[0]
            if not host.endswith(".test"):
                writer.write(
                    b"HTTP/1.1 403 Forbidden\r\nx-bawn-reason: egress.not_allowed\r\ncontent-length: 0\r\n\r\n"
                )
                return
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            await writer.start_tls(self.authority.context("site.test" if host == "wrong.test" else host))
            origin = f"https://{host}"
            line, headers = await self._head(reader)
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        method, target, _ = line.split()
        url = target if origin == "http:" else origin + target
        self.came.append((f"{method} {url}", headers, body))
        writer.write(self.says.get(url, plain(200, {"at": url})))
        await writer.drain()

    async def _head(self, reader: asyncio.StreamReader) -> tuple[str, dict[str, str]]:
        lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        return lines[0], {line.split(": ")[0].lower(): line.split(": ", 1)[1] for line in lines[1:] if line}


@pytest.fixture
async def proxy(standing: Standing) -> AsyncIterator[Proxy]:
    made = Proxy(standing)
    server = await asyncio.start_unix_server(made.serve, made.folder / "7.sock")
    standing.write(FETCH)
    await standing.start()
    yield made
    server.close()


async def test_http_and_https_go_by_the_socket_of_the_calling_container(standing: Standing, proxy: Proxy) -> None:
    said = {"url": "http://site.test/a?b=1", "json": {"x": 1}, "headers": {"X-Own": "1"}}
    assert await standing.call(said) == (200, {"status": 200, "text": '{"at": "http://site.test/a?b=1"}'})
    assert await standing.call({"url": "https://site.test:8443/"}) == (
        200,
        {"status": 200, "text": '{"at": "https://site.test/"}'},
    )
    (line, headers, body), (second, _, _) = proxy.came
    assert (line, body, headers["x-own"], headers["host"]) == (
        "POST http://site.test/a?b=1",
        b'{"x":1}',
        "1",
        "site.test",
    )
    assert second == "GET https://site.test/"
    other = CONTAINER | {"number": 8}
    assert (await standing.call(said, container=other))[1]["why"] == "the calling container has no way out"


async def test_what_the_policy_refuses_is_told_with_its_reason(standing: Standing, proxy: Proxy) -> None:
    _, said = await standing.call({"url": "https://site.example/"})
    assert said == {"failed": "FetchFailed", "why": "the egress policy refused site.example:443 (egress.not_allowed)"}


async def test_a_certificate_of_somebody_else_is_not_believed(standing: Standing, proxy: Proxy) -> None:
    _, said = await standing.call({"url": "https://wrong.test/"})
    assert said == {"failed": "FetchFailed", "why": "the certificate of wrong.test could not be verified"}
    assert proxy.came == []


async def test_redirects_are_requests_of_their_own_and_lose_what_names_the_caller(
    standing: Standing, proxy: Proxy
) -> None:
    proxy.says["https://site.test/"] = plain(302, {}, location="https://other.test/there")
    said = {"url": "https://site.test/", "headers": {"Authorization": "Bearer x", "X-Own": "1"}, "json": {"a": 1}}
    assert (await standing.call(said))[1]["text"] == '{"at": "https://other.test/there"}'
    (_, first, _), (line, second, body) = proxy.came
    assert first["authorization"] == "Bearer x"
    assert (line, body, second["x-own"]) == ("GET https://other.test/there", b"", "1")
    assert not {"authorization", "content-type"} & set(second)


async def test_redirects_end(standing: Standing, proxy: Proxy) -> None:
    proxy.says["http://site.test/"] = plain(302, {}, location="/")
    assert (await standing.call({"url": "http://site.test/"}))[1]["why"] == "there were too many redirects"
    assert len(proxy.came) == 6
    assert (await standing.call({"url": "http://site.test/", "redirects": 0}))[1]["status"] == 302
    proxy.says["https://site.test/down"] = plain(302, {}, location="http://site.test/")
    assert (await standing.call({"url": "https://site.test/down"}))[1]["why"] == "a redirect led from https to http"


async def test_an_answer_that_is_too_long_or_too_late_is_no_answer(standing: Standing, proxy: Proxy) -> None:
    proxy.says["http://site.test/long"] = plain(200, b"x" * 5000)
    assert (await standing.call({"url": "http://site.test/long", "limit_bytes": 4999}))[1]["failed"] == "TooLarge"
    proxy.says["http://site.test/late"] = b"HTTP/1.1 200 OK\r\n"
    proxy.says["http://site.test/cut"] = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc"
    assert (await standing.call({"url": "http://site.test/cut"}))[1]["failed"] == "Broken"
    assert (await standing.call({"url": "http://site.test/late"}))[1]["failed"] == "FetchFailed"


async def test_only_addresses_of_the_web_are_fetched(standing: Standing, proxy: Proxy) -> None:
    for url in ("file:///etc/passwd", "ftp://site.test/", "http:///x", "http://a:b@site.test/", "http://site.test:99999/",
                "http://site.test/a b", "http://site.test/\r\nx: y"):  # fmt: skip
        _, said = await standing.call({"url": url})
        assert said["failed"] == "FetchFailed", url
    assert (await standing.call({"url": "http://site.test/", "headers": {"x": "a\r\nb: c"}}))[1][
        "failed"
    ] == "FetchFailed"
    assert proxy.came == []
