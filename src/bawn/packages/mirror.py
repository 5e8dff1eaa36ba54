"""The mirror: what one container is shown, and the files it is given.

Index pages are asked for anew after a few minutes; when the registry does not answer, the last page goes on, since what it
lists was sound. A file is fetched once however many ask, checked and looked into before its first byte goes anywhere, and on
record before it goes to a container.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from msgspec import Struct

from bawn.packages import npm_index, pip_index
from bawn.packages.contents import look_into_tarball, look_into_wheel
from bawn.packages.names import NPM, PIP
from bawn.packages.pins import Pins
from bawn.packages.pip_index import Listed
from bawn.packages.policy import OPEN, Advisories, Policy, Version, judge, may_ask, nothing_left, visible
from bawn.packages.reasons import Refused
from bawn.packages.shelf import Shelf
from bawn.packages.upstream import Upstream, local_path

T = TypeVar("T")

FRESH_S = 300.0
_PAGES = 2000
"""Index pages kept in memory."""


class Registries(Struct, frozen=True):
    """Where this host's own clients ask."""

    pip: tuple[str, ...] = ()
    """Index addresses, the first one first."""
    pip_folders: tuple[str, ...] = ()
    """Folders or pages with files of many packages (`--find-links`)."""
    npm: str = ""


Record = Callable[[Policy, Version, str], Awaitable[None]]
"""Told of a file that is about to be served, with its sha256; returns when that is on record."""


class Mirror:
    def __init__(
        self, upstream: Upstream, registries: Registries, shelf: Shelf, pins: Pins, record: Record, origin: str
    ) -> None:
        self._upstream = upstream
        self._registries = registries
        self._shelf = shelf
        self._pins = pins
        self._record = record
        self._origin = origin
        self._pages: dict[tuple[str, str], tuple[float, Any]] = {}
        self._under_way: dict[tuple[str, str], asyncio.Task[Any]] = {}
        self._on_shelf: dict[tuple[str, str, str], tuple[str, tuple[str, ...]]] = {}
        """(ecosystem, package, filename) → its sha256 and all its hashes, of files that were fetched."""
        self.advisories: Advisories = {}
        self.now: Callable[[], float] = time.time

    # pip

    async def pip_page(self, policy: Policy | None, project: str, *, as_json: bool) -> bytes:
        allowed = may_ask(policy, PIP, project)
        now = self.now()
        wheels = await self._wheels(project)
        listed = [each for each in wheels if visible(allowed, each.version, now)]
        if not listed:
            raise nothing_left(allowed, project)
        return (pip_index.written_json if as_json else pip_index.written_html)(project, listed)

    async def pip_file(self, policy: Policy | None, project: str, filename: str) -> Path:
        allowed = may_ask(policy, PIP, project)
        for each in await self._wheels(project):
            if each.version.filename == filename:
                return await self._file(allowed, each.version, look_into_wheel)
        raise Refused("packages.not_found", f"There is no wheel {filename}.", name=project)

    async def _wheels(self, project: str) -> Sequence[Listed]:
        if not self._registries.pip:
            raise Refused("packages.unavailable", "This host has no pip, so there is no registry to ask.")
        return await self._page(PIP, project, lambda: self._ask_pip(project))

    async def _ask_pip(self, project: str) -> Sequence[Listed] | None:
        found: dict[str, Listed] = {}
        places = [(f"{index.rstrip('/')}/{project}/", index) for index in self._registries.pip]
        places += [(folder, folder) for folder in self._registries.pip_folders]
        for number, (url, named) in enumerate(places):
            try:
                answer = await self._upstream.index(url, pip_index.ACCEPT)
            except Refused:
                if number == 0:
                    raise
                continue  # a further index that is down hides only what it alone has
            if answer is not None:
                local = local_path(named) is not None
                listed = pip_index.read(answer.body, answer.kind, answer.url, project, local=local)
                if not local and any(each.version.published is None for each in listed):
                    listed = pip_index.dated(listed, await self._dates(named, project))
                for each in listed:
                    found.setdefault(each.version.filename, each)
        return list(found.values()) or None

    async def _dates(self, index: str, project: str) -> dict[str, float]:
        """When each file was published, from the registry's other document, where the page itself does not say so."""
        try:
            answer = await self._upstream.index(pip_index.dates_url(index, project), "application/json")
        except Refused:
            return {}  # then its age stays unknown, which is as good as young
        return {} if answer is None else pip_index.dates(answer.body)

    # npm

    async def npm_page(self, policy: Policy | None, package: str, *, short: bool) -> bytes:
        allowed = may_ask(policy, NPM, package)
        document = await self._document(package)
        now = self.now()
        seen: list[str] = []

        def may_see(version: Version) -> bool:
            if visible(allowed, version, now):
                seen.append(version.version)
                return True
            return False

        page = await asyncio.to_thread(npm_index.shown, document, package, self._origin, may_see, short=short)
        if document["versions"] and not seen:
            raise nothing_left(allowed, package)
        return page

    async def npm_file(self, policy: Policy | None, package: str, version: str) -> Path:
        allowed = may_ask(policy, NPM, package)
        found = npm_index.version_of(await self._document(package), package, version)
        if found is None or not found.hashes:
            raise Refused("packages.not_found", f"There is no {package} {version}.", name=package, version=version)
        return await self._file(allowed, found, look_into_tarball)

    async def _document(self, package: str) -> dict[str, Any]:
        if not self._registries.npm:
            raise Refused("packages.unavailable", "This host has no npm, so there is no registry to ask.")
        document: dict[str, Any] = await self._page(NPM, package, lambda: self._ask_npm(package))
        return document

    async def _ask_npm(self, package: str) -> dict[str, Any] | None:
        url = f"{self._registries.npm.rstrip('/')}/{package.replace('/', '%2f')}"
        answer = await self._upstream.index(url, npm_index.FULL)
        return None if answer is None else await asyncio.to_thread(npm_index.read, answer.body, package)

    # both

    async def _page(self, ecosystem: str, package: str, ask: Callable[[], Awaitable[T | None]]) -> T:
        key = (ecosystem, package)
        held = self._pages.get(key)
        if held is not None and self.now() - held[0] < FRESH_S:
            page: T | None = held[1]
        else:
            try:
                page = await self._once(("page", f"{ecosystem} {package}"), ask)
            except Refused as refused:
                if held is None or refused.code != "packages.upstream":
                    raise
                page = held[1]
            else:
                if len(self._pages) >= _PAGES:
                    self._pages.pop(next(iter(self._pages)))
                self._pages[key] = (self.now(), page)
        if page is None:
            raise Refused("packages.not_found", f"There is no package {package}.", name=package)
        return page

    async def _file(self, policy: Policy, version: Version, look: Callable[[Path], None]) -> Path:
        key = (version.ecosystem, version.package, version.filename)
        sha256, hashes = await self._once(("file", " ".join(key)), lambda: self._on_the_shelf(key, version, look))
        # Judged by what it is, not by what was said of it.
        known = Version(
            version.ecosystem, version.package, version.version, version.filename, version.url, hashes,
            version.published, version.local,
        )  # fmt: skip
        judge(policy, known, self.now(), self.advisories)
        if policy.mode == OPEN:
            self._pins.confirm(policy.project, version.ecosystem, f"{version.package}/{version.filename}", sha256)
        await self._record(policy, version, sha256)
        return self._shelf.path(sha256)

    async def _on_the_shelf(
        self, key: tuple[str, str, str], version: Version, look: Callable[[Path], None]
    ) -> tuple[str, tuple[str, ...]]:
        held = self._on_shelf.get(key)
        if (
            held is not None
            and (not version.hashes or version.hashes[0] in held[1])
            and await self._shelf.whole(held[0])
        ):
            return held
        said = next((each.partition(":")[2] for each in version.hashes if each.startswith("sha256:")), None)
        if said is not None and held is None and await self._shelf.whole(said):
            self._on_shelf[key] = (said, version.hashes)
            return self._on_shelf[key]
        self._on_shelf[key] = await self._shelf.take(self._upstream.file(version.url), version.hashes, look)
        return self._on_shelf[key]

    async def _once(self, key: tuple[str, str], act: Callable[[], Awaitable[T]]) -> T:
        """One act a key at a time: who comes meanwhile waits for the same."""
        task = self._under_way.get(key)
        if task is None:
            task = self._under_way[key] = asyncio.ensure_future(act())
            task.add_done_callback(lambda _: self._under_way.pop(key, None))
        # One who leaves does not take the others' file away.
        result: T = await asyncio.shield(task)
        return result
