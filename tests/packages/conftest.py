"""A mirror with doors on loopback, and registries of our own behind it that behave as a test wants."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import json
import socket
import tarfile
import threading
import time
import zipfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from bawn.packages.door import Doors
from bawn.packages.mirror import Mirror
from bawn.packages.names import NPM, PIP
from bawn.packages.policy import Policy, Version
from bawn.packages.reasons import Refused
from bawn.packages.registries import Registries
from bawn.packages.shelf import Shelf
from bawn.packages.upstream import Access, Upstream, key_of

ONE, TWO = "6f2c7c1e-6a52-4d0f-9a53-0c7f2a3d9b11", "0b7a8f8e-31f4-4f0e-8a8e-5d1a2f8f1c22"
OLD = "2020-01-01T00:00:00Z"


@dataclass
class Registry:
    """Serves what it is told, by path, and counts. `kinds`: media types; `status`: instead of 200."""

    pages: dict[str, bytes] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)
    status: dict[str, int] = field(default_factory=dict)
    moved: dict[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        assert self.server is not None
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def put(self, path: str, body: bytes, kind: str = "application/octet-stream") -> None:
        self.pages[path], self.kinds[path] = body, kind

    def count(self, path: str) -> int:
        return sum(each == path for each, _ in self.asked)


@pytest.fixture
def registry() -> Iterator[Registry]:
    made = Registry()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path = unquote(self.path)
            made.asked.append((path, {name.lower(): value for name, value in self.headers.items()}))
            time.sleep(made.delay_s)
            if path in made.moved:
                self.send_response(302)
                self.send_header("location", made.moved[path])
                self.send_header("content-length", "0")
                self.end_headers()
                return
            body = made.pages.get(path, b"not here")
            self.send_response(made.status.get(path, 200 if path in made.pages else 404))
            self.send_header("content-type", made.kinds.get(path, "text/plain"))
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
            """Nothing: the tests look at `asked`."""

    made.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=made.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield made
    made.server.shutdown()
    made.server.server_close()


def wheel(name: str, version: str = "1.0", files: dict[str, bytes] | None = None) -> bytes:
    """A wheel that pip installs."""
    info = f"{name}-{version}.dist-info"
    content = {f"{name}.py": b"value = 1\n", **(files or {})}
    content[f"{info}/METADATA"] = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode()
    content[f"{info}/WHEEL"] = b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    content[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in [*content, f"{info}/RECORD"]).encode()
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for path, data in content.items():
            archive.writestr(path, data)
    return made.getvalue()


def tarball(package: str, version: str = "1.0.0", further: dict[str, Any] | None = None) -> bytes:
    """A tarball that npm installs."""
    manifest = json.dumps({"name": package, "version": version, **(further or {})}).encode()
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        for path, data in (("package/package.json", manifest), ("package/index.js", b"module.exports = 1\n")):
            member = tarfile.TarInfo(path)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return made.getvalue()


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@dataclass
class Shop:
    """Everything a test of the mirror touches."""

    mirror: Mirror
    doors: Doors
    registry: Registry
    shelf: Shelf
    ports: dict[str, int] = field(default_factory=dict)
    policies: dict[str, Policy] = field(default_factory=dict)
    served: list[Version] = field(default_factory=list)
    refusals: list[Refused] = field(default_factory=list)
    unable: bool = False
    folder: Path = Path()
    upstreams: dict[str, Upstream] = field(default_factory=dict)

    def allow(self, uuid: str = ONE, **more: Any) -> None:
        more.setdefault("ecosystems", frozenset({"pip", "npm"}))
        self.policies[uuid] = Policy(uuid=uuid, name="dev", **more)

    def url(self, uuid: str = ONE) -> str:
        return f"http://127.0.0.1:{self.ports[uuid]}"

    def wheel(self, name: str, *versions: tuple[str, str], data: dict[str, bytes] | None = None) -> None:
        """Puts wheels on the registry: version and when it was published (empty: it does not say)."""
        files = []
        for version, published in versions:
            filename = f"{name.replace('-', '_')}-{version}-py3-none-any.whl"
            body = (data or {}).get(version) or wheel(name, version)
            self.registry.put(f"/files/{filename}", body)
            file: dict[str, Any] = {
                "filename": filename,
                "url": f"../../files/{filename}",
                "hashes": {"sha256": sha256(body)},
            }
            files.append(file | ({"upload-time": published} if published else {}))
        page = {"meta": {"api-version": "1.1"}, "name": name, "files": files}
        kind = "application/vnd.pypi.simple.v1+json"
        self.registry.put(f"/simple/{name}/", json.dumps(page).encode(), kind)

    def package(
        self, name: str, *versions: tuple[str, str], data: dict[str, bytes] | None = None, **further: Any
    ) -> None:
        """Puts a package on the npm side: version and when it was published."""
        said: dict[str, Any] = {}
        for version, _ in versions:
            body = (data or {}).get(version) or tarball(name, version)
            path = f"/{name}/-/{name.rpartition('/')[2]}-{version}.tgz"
            self.registry.put(path, body)
            integrity = "sha512-" + base64.b64encode(hashlib.sha512(body).digest()).decode()
            dist = {"tarball": self.registry.url + path, "integrity": integrity}
            said[version] = {"name": name, "version": version, "dist": dist, **further}
        times = {version: published for version, published in versions if published}
        document = {"name": name, "dist-tags": {"latest": versions[-1][0]}, "versions": said, "time": times}
        self.registry.put(f"/{name}", json.dumps(document).encode(), "application/json")


@pytest.fixture
async def shop(registry: Registry, tmp_path: Path) -> AsyncIterator[Shop]:
    place = registry.url.removeprefix("http:")
    keys = {PIP: "Basic pip-password-of-the-host", NPM: "Bearer npm-token-of-the-host"}
    upstreams = {
        name: Upstream(Access(frozenset({registry.url}), (key_of(f"{place}/", header, "http"),)))
        for name, header in keys.items()
    }
    shelf = Shelf(tmp_path / "kept", 1 << 30)
    registries = Registries(pip=(f"{registry.url}/simple",), npm=f"{registry.url}/")
    made: Shop

    async def record(policy: Policy, version: Version, digest: str) -> None:
        if made.unable:
            raise Refused("packages.unavailable", "This cannot be recorded now.")
        made.served.append(version)

    def standing(uuid: str) -> Policy | None:
        return made.policies.get(uuid)

    mirror = Mirror(upstreams, registries, tmp_path / "kept", shelf, record, "http://127.0.0.1")
    doors = Doors(mirror, standing, lambda uuid, refused: made.refusals.append(refused))
    made = Shop(mirror, doors, registry, shelf, folder=tmp_path / "kept", upstreams=upstreams)
    for uuid in (ONE, TWO):
        listener = socket.create_server(("127.0.0.1", 0))
        made.ports[uuid] = listener.getsockname()[1]
        await doors.open(uuid, listener)
    mirror._origin = made.url()  # the door's own name means nothing outside a container
    yield made
    doors.shut()
    for upstream in upstreams.values():
        await upstream.close()
    await asyncio.sleep(0.01)
