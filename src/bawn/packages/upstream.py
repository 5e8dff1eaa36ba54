"""Asking the registries: the only place of this room that connects anywhere.

What they answer is hostile until it is checked. Sizes and times are bounded. A link or redirect leads only to https, or to
an address that the operator configured in plain: a registry must not have this process ask things of the host's own
network. It never leads to a file of this host, except from a folder that the operator configured. A password of ours
goes to the origin that it is for and nowhere else.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote, unquote, urljoin, urlsplit

import httpx
from msgspec import Struct

from bawn.packages.pages import Page
from bawn.packages.reasons import Refused

INDEX_LIMIT = 96 * 2**20
FILE_LIMIT = 4 * 2**30
_REDIRECTS = 5
_TRIES = 2
_PIECE = 256 * 1024
_TIMEOUT = httpx.Timeout(30, connect=10, pool=60)
_INDEX_S = 120.0
_SLOW_AFTER_S, _SLOWEST = 60.0, 16 * 1024
"""A file that has been coming for so long must have come at so many bytes a second."""
_AT_ONCE = 48


class Key(Struct, frozen=True):
    """What opens a registry. `beneath`: the address up to which it holds, `//host:port/path/`."""

    beneath: str
    header: str


class Access(Struct, frozen=True):
    """How the registries of one ecosystem are reached."""

    plain: frozenset[str] = frozenset()
    """Origins that may be asked without https, because the operator configured them so."""
    keys: tuple[Key, ...] = ()
    authorities: str | None = None
    """Certificates in PEM; None means the host's."""
    proxies: Mapping[str, str] = {}
    """`http` and `https`."""
    direct: tuple[str, ...] = ()
    """Hosts that are asked without a proxy; `*` means all."""
    unusable: str = ""
    """Why none of it can be used: part of the configuration cannot be read, and asking without it would not be the same."""


class Upstream:
    def __init__(self, access: Access) -> None:
        self._access = access
        context = ssl.create_default_context(cadata=access.authorities)
        mounts: dict[str, httpx.AsyncBaseTransport | None] = {}
        if "*" not in access.direct:
            for scheme, proxy in access.proxies.items():
                mounts[f"{scheme}://"] = httpx.AsyncHTTPTransport(proxy=proxy, verify=context)
            for host in access.direct if mounts else ():
                mounts[f"all://*{host.lstrip('*.')}"] = None
        self._client = httpx.AsyncClient(verify=context, timeout=_TIMEOUT, trust_env=False, mounts=mounts)
        self._at_once = asyncio.Semaphore(_AT_ONCE)

    async def close(self) -> None:
        await self._client.aclose()

    async def page(self, url: str, accept: str, *, local: bool = False, limit: int = INDEX_LIMIT) -> Page | None:
        """A page of an index; None when the registry has none. Refused `packages.upstream` when it cannot be had."""
        folder = local_path(url)
        if folder is not None:
            if not local:
                raise _failed("The registry leads into this host.")
            return await asyncio.to_thread(_local_page, folder, url)
        for left in reversed(range(_TRIES)):
            try:
                async with self._at_once, asyncio.timeout(_INDEX_S):
                    return await self._page(url, accept, limit)
            except TimeoutError as error:
                raise _failed("The registry is too slow.") from error
            except Refused as refused:
                # A connection that was kept may have ended meanwhile; that says nothing about the registry.
                if not left or not isinstance(refused.__cause__, httpx.RemoteProtocolError | httpx.ReadError):
                    raise
        raise _failed("The registry cannot be reached.")

    async def _page(self, url: str, accept: str, limit: int) -> Page | None:
        async with self._opened(url, accept) as answer:
            if answer.status_code in (404, 410):
                return None
            if answer.status_code != 200:
                raise _failed(f"The registry answers {answer.status_code}.")
            body = bytearray()
            async for piece in answer.aiter_bytes():
                body += piece
                if len(body) > limit:
                    raise _failed("The registry's answer is too long.")
            kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
            return Page(bytes(body), kind, str(answer.url))

    async def file(self, url: str, *, local: bool = False) -> AsyncGenerator[bytes]:
        """The bytes of a file, as they come."""
        path = local_path(url)
        if path is not None:
            if not local:
                raise _failed("The registry leads into this host.")
            async for piece in _local_file(path):
                yield piece
            return
        async with self._at_once, self._opened(url, "*/*") as answer:
            if answer.status_code != 200:
                raise _failed(f"The registry answers {answer.status_code} for the file.")
            size, clock = 0, asyncio.get_running_loop().time
            began = clock()
            async for piece in answer.aiter_raw():
                size += len(piece)
                if size > FILE_LIMIT:
                    raise _failed("The file is too long.")
                if clock() - began > _SLOW_AFTER_S and size < _SLOWEST * (clock() - began):
                    raise _failed("The registry is too slow.")
                yield piece

    @asynccontextmanager
    async def _opened(self, url: str, accept: str) -> AsyncIterator[httpx.Response]:
        if self._access.unusable:
            raise _failed(self._access.unusable)
        try:
            here = httpx.URL(url)
            for _ in range(_REDIRECTS):
                here = here.copy_with(userinfo=b"", fragment=None)
                if here.scheme != "https" and origin(str(here)) not in self._access.plain:
                    raise _failed("The registry leads to a place that is not https.")
                headers = {"accept": accept, "accept-encoding": "gzip" if accept != "*/*" else "identity"}
                if (key := self._key(here)) is not None:
                    headers["authorization"] = key
                request = self._client.build_request("GET", here, headers=headers)
                answer = await self._client.send(request, stream=True, follow_redirects=False)
                try:
                    if not answer.is_redirect:
                        yield answer
                        return
                    where = urljoin(str(here), answer.headers["location"])
                finally:
                    await answer.aclose()
                here = httpx.URL(where)
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            raise _failed(f"The registry cannot be reached ({type(error).__name__}).") from error
        raise _failed("The registry leads from one place to the next without end.")

    def _key(self, url: httpx.URL) -> str | None:
        place = f"//{_netloc(str(url))}{url.path}"
        fitting = [each for each in self._access.keys if place.startswith(each.beneath)]
        return max(fitting, key=lambda each: len(each.beneath)).header if fitting else None


def origin(url: str) -> str:
    return f"{urlsplit(url).scheme}://{_netloc(url)}"


def _netloc(url: str) -> str:
    """Host and port, the port also where it is the scheme's own."""
    parts = urlsplit(url)
    return f"{parts.hostname or ''}:{parts.port or {'http': 80, 'https': 443}.get(parts.scheme, 0)}"


def key_of(beneath: str, header: str, scheme: str) -> Key:
    """`beneath` as clients write it: `//host/path/`, where the port is the scheme's own."""
    parts = urlsplit(f"{scheme}:{beneath}")
    return Key(f"//{_netloc(parts.geturl())}{parts.path.rstrip('/')}/", header)


def local_path(url: str) -> Path | None:
    """The path that a `file://` URL or a bare path means; None for everything else."""
    parts = urlsplit(url)
    if parts.scheme == "file":
        return Path(unquote(parts.path))
    return Path(url) if url.startswith("/") else None


def _local_page(path: Path, url: str) -> Page | None:
    """A page in a folder as pip reads it: `index.html` if there is one, else its files."""
    base = f"{path.as_uri()}/" if url.startswith("/") else f"{url.rstrip('/')}/"
    try:
        page = path / "index.html"
        if page.is_file():
            return Page(page.read_bytes(), "text/html", base)
        if not path.is_dir():
            return None
        names: Sequence[str] = sorted(each.name for each in path.iterdir() if each.is_file())
    except OSError as error:
        raise _failed("The folder of packages cannot be read.") from error
    return Page("".join(f'<a href="{quote(name)}"></a>' for name in names).encode(), "text/html", base)


async def _local_file(path: Path) -> AsyncIterator[bytes]:
    try:
        with await asyncio.to_thread(path.open, "rb") as file:
            while piece := await asyncio.to_thread(file.read, _PIECE):
                yield piece
    except OSError as error:
        raise _failed("The folder of packages cannot be read.") from error


def _failed(sentence: str) -> Refused:
    return Refused("packages.upstream", sentence)
