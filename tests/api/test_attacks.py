"""Everybody who should not get in, at a real socket."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.api.yard import Yard
from websockets.asyncio.client import connect, unix_connect
from websockets.exceptions import InvalidStatus

from bawn.api.app import build
from bawn.api.roles import ROLES, ROOT, WEBSOCKET, needed
from bawn.api.serve import bind_loopback, bind_unix
from bawn.errors import Fault
from bawn.identity.record import NewContainer
from bawn.terms.principal import Role

LIST = f"{ROOT}/containers"


@asynccontextmanager
async def on_unix(yard: Yard, **headers: str) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.AsyncHTTPTransport(uds=str(yard.path))
    async with httpx.AsyncClient(transport=transport, base_url="http://bawn", headers=headers) as client:
        yield client


@asynccontextmanager
async def on_loopback(yard: Yard, token: str = "", **headers: str) -> AsyncIterator[httpx.AsyncClient]:
    if token:
        headers["Authorization"] = f"Bearer {token}"
    async with httpx.AsyncClient(base_url=yard.url, headers=headers, trust_env=False) as client:
        yield client


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


async def test_the_installing_user_is_let_in_by_the_kernel_s_word(yard: Yard) -> None:
    async with on_unix(yard) as client:
        assert (await client.get(LIST)).json() == {"data": {"containers": []}}


async def test_loopback_does_not_know_anybody_without_a_token(yard: Yard) -> None:
    async with on_loopback(yard) as client:
        assert code(await client.get(LIST)) == (401, "api.unauthenticated")


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1", "127.0.0.1:1", "bawn", "", "[::1]"])
async def test_a_rebound_name_is_not_our_host(yard: Yard, host: str) -> None:
    token = await yard.person("ada", Role.ADMIN)
    async with on_loopback(yard, token, Host=host) as client:
        assert code(await client.get(LIST)) == (421, "api.unknown_host")


async def test_localhost_with_the_port_is_our_host(yard: Yard) -> None:
    token = await yard.person("ada", Role.VIEWER)
    async with on_loopback(yard, token, Host=f"localhost:{yard.port}") as client:
        assert (await client.get(LIST)).status_code == 200


async def test_loopback_s_name_is_not_the_unix_socket_s(yard: Yard) -> None:
    async with on_unix(yard, Host=f"127.0.0.1:{yard.port}") as client:
        assert code(await client.get(LIST)) == (421, "api.unknown_host")


async def test_two_hosts_are_refused(yard: Yard) -> None:
    reader, writer = await asyncio.open_unix_connection(str(yard.path))
    writer.write(f"GET {LIST} HTTP/1.1\r\nHost: bawn\r\nHost: bawn\r\n\r\n".encode())
    assert b" 421 " in await reader.readline()
    writer.close()


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1", "http://localhost", "file://"])
async def test_a_web_page_of_somebody_else_may_not_call(yard: Yard, origin: str) -> None:
    token = await yard.person("ada", Role.ADMIN)
    async with on_loopback(yard, token, Origin=origin) as client:
        answer = await client.post(LIST, json={"name": "dev"})
    assert code(answer) == (403, "api.foreign_origin")
    assert "access-control-allow-origin" not in answer.headers
    assert yard.registry.list() == ()


@pytest.mark.parametrize("site", ["cross-site", "same-site", "anything"])
async def test_a_browser_that_says_it_comes_from_elsewhere_is_believed(yard: Yard, site: str) -> None:
    token = await yard.person("ada", Role.ADMIN)
    async with on_loopback(yard, token, **{"Sec-Fetch-Site": site}) as client:
        assert code(await client.get(LIST)) == (403, "api.foreign_origin")


async def test_our_own_origin_may_call(yard: Yard) -> None:
    token = await yard.person("ada", Role.VIEWER)
    async with on_loopback(yard, token, Origin=yard.url, **{"Sec-Fetch-Site": "same-origin"}) as client:
        assert (await client.get(LIST)).status_code == 200


async def test_a_preflight_of_a_browser_gets_no_permission(yard: Yard) -> None:
    async with on_loopback(yard, Origin="http://evil.example") as client:
        answer = await client.options(LIST, headers={"Access-Control-Request-Method": "DELETE"})
    assert answer.status_code == 403
    assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize("header", ["Authorization", "X-Api-Key", "Api-Key"])
@pytest.mark.parametrize("value", ["Bearer container-dev", "container-1", "bearer CONTAINER-dev"])
async def test_a_container_token_is_refused_plainly(yard: Yard, header: str, value: str) -> None:
    await yard.registry.create(NewContainer(name="dev"))
    for client_of in (on_unix, on_loopback):
        async with client_of(yard, **{header: value}) as client:
            answer = await client.get(LIST)
            assert code(answer) == (401, "api.unauthenticated")
            assert "container's token" in answer.json()["error"]["message"]


async def test_the_token_of_a_removed_operator_is_nothing_at_once(yard: Yard) -> None:
    token = await yard.person("ada", Role.ADMIN)
    async with on_loopback(yard, token) as client:
        assert (await client.get(LIST)).status_code == 200
        await yard.operators.remove("ada")
        assert code(await client.get(LIST)) == (401, "api.unauthenticated")


async def test_an_expired_token_is_nothing(yard: Yard) -> None:
    token = await yard.person("ada", Role.ADMIN)
    yard.clock.forward(days=91)
    async with on_loopback(yard, token) as client:
        assert code(await client.get(LIST)) == (401, "api.unauthenticated")


async def test_a_bad_token_is_not_saved_by_the_right_user_id(yard: Yard) -> None:
    async with on_unix(yard, Authorization="Bearer bawn_pat_0123456789abcdef_" + "0" * 64) as client:
        assert code(await client.get(LIST)) == (401, "api.unauthenticated")


async def test_a_forged_peer_header_is_not_evidence(yard: Yard) -> None:
    forged = {"X-Forwarded-For": "uid:0", "Forwarded": "for=uid:0", "X-Real-Ip": "uid:0"}
    async with on_loopback(yard, **forged) as client:
        assert code(await client.get(LIST)) == (401, "api.unauthenticated")


@pytest.mark.parametrize("role", list(Role))
async def test_each_role_reaches_what_the_table_says_and_nothing_more(yard: Yard, role: Role) -> None:
    token = await yard.person("ada", role)
    ada = next(record.operator for record in yard.operators.list() if record.person == "ada")
    async with on_loopback(yard, token) as client:
        for (method, template), wanted in ROLES.items():
            path = ROOT + template.replace("{ref}", "none").replace("{person}", "none").replace("{name}", "none")
            path = path.replace("{key_id}", "none").replace("{token_id}", "none")
            if method == WEBSOCKET:
                continue
            # What goes on for ever (`watch`) is not waited for.
            async with client.stream(method, path) as answer:
                assert (answer.status_code == 403) is not ada.may(wanted), (method, path)


async def test_a_viewer_who_tries_to_change_is_in_the_record(yard: Yard) -> None:
    token = await yard.person("ada", Role.VIEWER)
    async with on_loopback(yard, token) as client:
        assert code(await client.post(LIST, json={"name": "dev"})) == (403, "api.forbidden")
    refused = yard.log.events[-1]
    assert (refused.event, refused.principal) == ("operator.refused", "operator:ada")
    assert yard.registry.list() == ()


async def test_what_cannot_be_recorded_does_not_happen(yard: Yard) -> None:
    yard.log.broken = True
    async with on_unix(yard) as client:
        assert code(await client.post(LIST, json={"name": "dev"})) == (503, "audit.unavailable")
    assert yard.registry.list() == ()


async def test_every_route_has_a_row_and_every_row_a_route(yard: Yard) -> None:
    app = build(yard.services)
    described = {
        (method.upper(), path.removeprefix(ROOT))
        for path, methods in app.openapi()["paths"].items()
        for method in methods
    }
    unlisted = {
        ("GET", "/openapi.json"),
        (WEBSOCKET, "/containers/{ref}/exec"),
        (WEBSOCKET, "/containers/{ref}/ports/{port}"),
    }
    assert described | unlisted == set(ROLES)


def test_a_route_that_is_not_in_the_table_does_not_exist() -> None:
    assert needed("GET", f"{ROOT}/secrets") is None
    assert needed("GET", f"{ROOT}/containers/a/b/c") is None
    assert needed("GET", "/") is None


@pytest.mark.parametrize("path", ["/", "/docs", "/redoc", "/openapi.json", f"{LIST}/", f"{LIST}/a%2fb", f"{LIST}//"])
async def test_nothing_is_elsewhere(yard: Yard, path: str) -> None:
    async with on_unix(yard) as client:
        assert code(await client.get(path)) == (404, "http.unknown_path")


async def test_a_wrong_method_is_said_so(yard: Yard) -> None:
    async with on_unix(yard) as client:
        assert code(await client.put(LIST)) == (405, "http.method_not_allowed")


@pytest.mark.parametrize("headers", [{"Origin": "http://evil.example"}, {"Host": "evil.example"}, {}])
async def test_a_foreign_websocket_gets_no_command(yard: Yard, headers: dict[str, str]) -> None:
    token = await yard.person("ada", Role.ADMIN)
    auth = {"Authorization": f"Bearer {token}"} if headers else {}
    uri = f"ws://127.0.0.1:{yard.port}{LIST}/dev/exec"
    async with asyncio.timeout(5):
        with pytest.raises(InvalidStatus) as refused:
            await raw_websocket(uri, {**headers, **auth})
    assert refused.value.response.status_code in (401, 403, 421)
    assert yard.boxes.commands == []


async def raw_websocket(uri: str, headers: dict[str, str]) -> None:
    host = headers.pop("Host", None)
    extra: dict[str, Any] = {"additional_headers": headers}
    if host is not None:
        extra["host"], extra["port"] = "127.0.0.1", int(uri.split(":")[2].split("/", maxsplit=1)[0])
        uri = f"ws://{host}/" + uri.split("/", 3)[3]
    async with connect(uri, proxy=None, **extra):
        raise AssertionError("the socket opened")


async def test_a_viewer_gets_no_command(yard: Yard) -> None:
    token = await yard.person("ada", Role.VIEWER)
    uri = f"ws://bawn{LIST}/dev/exec"
    with pytest.raises(InvalidStatus) as refused:
        async with unix_connect(str(yard.path), uri, additional_headers={"Authorization": f"Bearer {token}"}):
            raise AssertionError("the socket opened")
    assert refused.value.response.status_code == 403


async def test_a_user_who_is_no_operator_is_nobody_on_the_unix_socket(tmp_path: Path) -> None:
    async with Yard(tmp_path).open(admins=(4_000_000,)) as yard, on_unix(yard) as client:
        assert code(await client.get(LIST)) == (401, "api.unauthenticated")


ASK = """
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
s.sendall(b"GET /api/v1/containers HTTP/1.1\\r\\nHost: bawn\\r\\n\\r\\n")
print(s.recv(4096).split(b"\\r\\n")[0].decode())
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
async def test_another_user_is_nobody_even_where_the_file_lets_them_in() -> None:
    python = Path(sys.executable).resolve()
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        async with Yard(Path(directory)).open() as yard:

            async def ask(uid: int) -> str:
                pipe = asyncio.subprocess.PIPE
                process = await asyncio.create_subprocess_exec(
                    str(python), "-c", ASK, str(yard.path), user=uid, stdout=pipe, stderr=pipe, cwd="/"
                )
                out, err = await process.communicate()
                return (out + err).decode()

            assert "PermissionError" in await ask(65534)
            yard.path.chmod(0o666)
            assert await ask(65534) == "HTTP/1.1 401 Unauthorized\n"
            assert await ask(0) == "HTTP/1.1 200 OK\n"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "evil.example", "10.0.0.1", ""])
def test_nothing_but_loopback_is_bound(host: str) -> None:
    with pytest.raises(Fault) as refused:
        bind_loopback(host, 0)
    assert refused.value.code == "bind.not_loopback"


def test_the_unix_socket_is_its_owner_s_from_the_first_moment(tmp_path: Path) -> None:
    path = tmp_path / "bawn.sock"
    with bind_unix(path), bind_unix(path):
        assert path.stat().st_mode & 0o777 == 0o600
    with bind_unix(path, group=os.getgid()):
        assert path.stat().st_mode & 0o777 == 0o660


def test_a_port_that_is_taken_is_said_in_words() -> None:
    with bind_loopback("127.0.0.1", 0) as first, pytest.raises(Fault) as taken:
        bind_loopback("127.0.0.1", first.getsockname()[1])
    assert taken.value.code == "bind.failed"
