"""Asking the registries: the only place of this room that connects anywhere.

What they answer is hostile until it is checked: sizes and times are bounded, redirects are followed only to https, a few
times, and a password of ours goes to the host that it is for and nowhere else. Folders of the operator's own (`file://`)
are read like registries.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

import httpx
from msgspec import Struct

from bawn.packages.reasons import Refused

INDEX_LIMIT = 96 * 2**20
FILE_LIMIT = 4 * 2**30
_REDIRECTS = 4
_PIECE = 256 * 1024
_TIMEOUT = httpx.Timeout(30, connect=10, pool=60)


class Answer(Struct, frozen=True):
    """An index page."""

    body: bytes
    kind: str
    """Its media type."""
    url: str
    """Where it was in the end: what its links are relative to."""


class Upstream:
    """`bearer`: a token for one registry, by its host."""

    def __init__(self, certificates: str | None, bearer: dict[str, str], proxies: dict[str, str]) -> None:
        context = ssl.create_default_context(cafile=certificates)
        mounts = {
            f"{scheme}://": httpx.AsyncHTTPTransport(proxy=proxies[f"{scheme}_proxy"], verify=context)
            for scheme in ("http", "https")
            if proxies.get(f"{scheme}_proxy")
        }
        self._client = httpx.AsyncClient(verify=context, timeout=_TIMEOUT, trust_env=False, mounts=mounts)
        self._bearer = bearer

    async def close(self) -> None:
        await self._client.aclose()

    async def index(self, url: str, accept: str) -> Answer | None:
        """A page of an index; None when the registry has none. Refused `packages.upstream` when it cannot be had."""
        folder = local_path(url)
        if folder is not None:
            return await asyncio.to_thread(_local_index, folder, url)
        async with self._opened(url, accept) as answer:
            if answer.status_code in (404, 410):
                return None
            if answer.status_code != 200:
                raise _failed(f"The registry answers {answer.status_code}.")
            body = bytearray()
            async for piece in answer.aiter_bytes():
                body += piece
                if len(body) > INDEX_LIMIT:
                    raise _failed("The registry's answer is too long.")
            kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
            return Answer(bytes(body), kind, str(answer.url))

    async def file(self, url: str) -> AsyncIterator[bytes]:
        """The bytes of a file, as they come."""
        path = local_path(url)
        if path is not None:
            with await asyncio.to_thread(path.open, "rb") as file:
                while piece := await asyncio.to_thread(file.read, _PIECE):
                    yield piece
            return
        async with self._opened(url, "*/*") as answer:
            if answer.status_code != 200:
                raise _failed(f"The registry answers {answer.status_code} for the file.")
            size = 0
            async for piece in answer.aiter_raw():
                size += len(piece)
                if size > FILE_LIMIT:
                    raise _failed("The file is too long.")
                yield piece

    @asynccontextmanager
    async def _opened(self, url: str, accept: str) -> AsyncIterator[httpx.Response]:
        here = httpx.URL(url)
        auth = httpx.BasicAuth(unquote(here.username), unquote(here.password)) if here.userinfo else None
        first = here.host
        try:
            for _ in range(_REDIRECTS):
                headers = {"accept": accept, "accept-encoding": "gzip" if accept != "*/*" else "identity"}
                own = here.host == first
                if own and first in self._bearer:
                    headers["authorization"] = f"Bearer {self._bearer[first]}"
                request = self._client.build_request("GET", here.copy_with(userinfo=b""), headers=headers)
                answer = await self._client.send(
                    request, auth=auth if own else None, stream=True, follow_redirects=False
                )
                try:
                    if not answer.is_redirect:
                        yield answer
                        return
                    where = httpx.URL(urljoin(str(here), answer.headers["location"]))
                finally:
                    await answer.aclose()
                if where.scheme != "https" and where.host != first:
                    raise _failed("The registry leads to a place that is not https.")
                here = where
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            raise _failed(f"The registry cannot be reached ({type(error).__name__}).") from error
        raise _failed("The registry leads from one place to the next without end.")


def local_path(url: str) -> Path | None:
    """The path that a `file://` URL or a bare path means; None for everything else."""
    parts = urlsplit(url)
    if parts.scheme == "file":
        return Path(unquote(parts.path))
    return Path(url) if url.startswith("/") else None


def _local_index(path: Path, url: str) -> Answer | None:
    """A page in a folder as pip reads it: `index.html` if there is one, else its files."""
    try:
        page = path / "index.html"
        if page.is_file():
            return Answer(page.read_bytes(), "text/html", url.rstrip("/") + "/")
        if not path.is_dir():
            return None
        links = "".join(f'<a href="{each.name}">{each.name}</a>' for each in sorted(path.iterdir()) if each.is_file())
        return Answer(f"<html>{links}</html>".encode(), "text/html", url.rstrip("/") + "/")
    except OSError as error:
        raise _failed("The folder of packages cannot be read.") from error


def _failed(sentence: str) -> Refused:
    return Refused("packages.upstream", sentence)
