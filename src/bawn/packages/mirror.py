"""The mirror: what one container is shown, and the files it is given.

Index pages are asked for anew after a few minutes. A file is fetched once however many ask, checked and looked into before
its first byte goes anywhere, judged by what it turned out to be and not by what was said of it, and on record before it
goes to a container.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from msgspec import Struct
from msgspec.structs import replace

from bawn.packages import npm_index, pip_index
from bawn.packages.advisories import Advisories
from bawn.packages.contents import Look, look_into_tarball, look_into_wheel
from bawn.packages.names import NPM, PIP
from bawn.packages.once import Once
from bawn.packages.pages import Pages
from bawn.packages.pins import Pins
from bawn.packages.pip_index import Listed
from bawn.packages.policy import OPEN, Policy, Version, judge, may_ask, nothing_left, visible
from bawn.packages.reasons import Refused
from bawn.packages.registries import Registries
from bawn.packages.shelf import Kept, Shelf
from bawn.packages.sources import Memory, Reading, Sources
from bawn.packages.upstream import Upstream, local_path

_METADATA_LIMIT = 4 * 2**20
_FOUND_OUT = 50_000
"""Files of which it is remembered what was found out about them."""

Record = Callable[[Policy, Version, str], Awaitable[None]]
"""Told of a file that is about to be served, with its sha256; returns when that is on record."""


class Shown(Struct, frozen=True):
    """A page for a container."""

    body: bytes
    stale: bool = False
    """Whether the registry did not answer, so that it is made of what it said before."""


class Mirror:
    def __init__(
        self,
        upstreams: Mapping[str, Upstream],
        registries: Registries,
        folder: Path,
        shelf: Shelf,
        record: Record,
        origin: str,
    ) -> None:
        self._upstreams = upstreams
        self._registries = registries
        self._shelf = shelf
        self._pages = Pages(folder)
        self._sources = Sources(self._pages)
        self._pins = Pins(folder)
        self._record = record
        self._origin = origin
        self._wheels: Memory[list[Listed]] = Memory()
        self._documents: Memory[dict[str, Any]] = Memory()
        self._once = Once()
        self._kept: dict[str, Kept] = {}
        """What was found out about files, by their name; only of those that this process looked into itself."""
        self.advisories: Advisories | None = Advisories()
        """None while they cannot be read: then nothing is served."""
        self.now: Callable[[], float] = time.time

    def forget(self) -> None:
        """Asks the registries anew."""
        self._wheels.clear()
        self._documents.clear()

    # pip

    async def pip_page(self, policy: Policy | None, project: str, *, as_json: bool) -> Shown:
        allowed = may_ask(policy, PIP, project)
        now = self.now()
        wheels = await self._listed(allowed, project)
        listed = [self._known(each) for each in wheels.value if visible(allowed, each.version, now)]
        if not listed:
            raise nothing_left(allowed, project)
        page = (pip_index.written_json if as_json else pip_index.written_html)(project, listed)
        return Shown(page, wheels.stale)

    async def pip_file(self, policy: Policy | None, project: str, filename: str) -> BinaryIO:
        allowed = may_ask(policy, PIP, project)
        if pip_index.is_refusal(filename):
            await self.pip_page(policy, project, as_json=True)  # refused by the reason that still holds
        return await self._file(allowed, (await self._wheel(allowed, project, filename)).version, look_into_wheel)

    async def pip_metadata(self, policy: Policy | None, project: str, filename: str) -> bytes:
        """Of a wheel that may be installed: what it needs, without the wheel."""
        allowed = may_ask(policy, PIP, project)
        wheel = await self._wheel(allowed, project, filename)
        if not wheel.metadata:
            raise Refused("packages.not_found", f"There is no metadata of {filename} alone.", name=project)
        judge(allowed, self._known(wheel).version, self.now(), self._find)
        url = f"{wheel.version.url}.metadata"
        upstream = self._upstreams[PIP]

        async def ask() -> bytes:
            if (kept := await self._pages.last(url)) is not None and _sha256(kept.body) == wheel.metadata:
                return kept.body
            page = await upstream.page(url, "*/*", local=wheel.version.local, limit=_METADATA_LIMIT)
            if page is None:
                raise Refused("packages.upstream", f"The registry does not have the metadata of {filename}.")
            if _sha256(page.body) != wheel.metadata:
                raise Refused("packages.changed", "The metadata is not that of which the registry gives the hash.")
            await self._pages.keep(url, page)
            return page.body

        return await self._once.do(f"metadata {url}", allowed.uuid, ask)

    async def _wheel(self, policy: Policy, project: str, filename: str) -> Listed:
        for each in (await self._listed(policy, project)).value:
            if each.version.filename == filename:
                return each
        raise Refused("packages.not_found", f"There is no wheel {filename}.", name=project)

    async def _listed(self, policy: Policy, project: str) -> Reading[list[Listed]]:
        if not self._registries.pip and not self._registries.pip_folders:
            raise Refused("packages.unavailable", "This host has no pip that says which registry to ask.")
        key = f"{PIP} {project}"
        found = await self._once.do(
            f"page {key}", policy.uuid, lambda: self._wheels.get(key, lambda: self._ask_pip(project))
        )
        if not found.value:
            raise Refused("packages.not_found", f"There is no package {project} with wheels.", name=project)
        return found

    async def _ask_pip(self, project: str) -> Reading[list[Listed]]:
        found: dict[str, Listed] = {}
        weight, stale = 0, False
        places = [(f"{index.rstrip('/')}/{project}/", index) for index in self._registries.pip]
        places += [(folder, folder) for folder in self._registries.pip_folders]
        for number, (url, named) in enumerate(places):
            try:
                reading = await self._ask_index(url, named, project)
            except Refused:
                if number == 0:
                    raise
                continue  # as with pip itself, a further index that is down hides only what it alone has
            if reading is not None:
                weight, stale = weight + reading.weight, stale or reading.stale
                for each in reading.value:
                    found.setdefault(each.version.filename, each)
        return Reading(list(found.values()), weight, stale)

    async def _ask_index(self, url: str, named: str, project: str) -> Reading[list[Listed]] | None:
        local, upstream = local_path(named) is not None, self._upstreams[PIP]
        reading = await self._sources.read(
            upstream, url, pip_index.ACCEPT,
            lambda page: pip_index.read(page.body, page.kind, page.url, project, local=local), local=local,
        )  # fmt: skip
        if reading is None or local or all(each.version.published is not None for each in reading.value):
            return reading
        dates: Reading[dict[str, float]] | None = None
        with contextlib.suppress(Refused):  # then their age stays unknown, which is as good as young
            dates_url = pip_index.dates_url(named, project)
            dates = await self._sources.read(
                upstream, dates_url, "application/json", lambda page: pip_index.dates(page.body)
            )
        if dates is None:
            return reading
        return Reading(pip_index.dated(reading.value, dates.value), reading.weight + dates.weight, reading.stale)

    def _known(self, listed: Listed) -> Listed:
        """With the hashes of a file that is here, where the registry says none."""
        kept = None if listed.version.hashes else self._kept.get(_name(listed.version))
        return listed if kept is None else replace(listed, version=replace(listed.version, hashes=kept.hashes))

    # npm

    async def npm_page(self, policy: Policy | None, package: str, *, short: bool) -> Shown:
        allowed = may_ask(policy, NPM, package)
        document = await self._document(allowed, package)
        now = self.now()
        seen: list[str] = []

        def may_see(version: Version) -> bool:
            if visible(allowed, version, now):
                seen.append(version.version)
                return True
            return False

        # Beside the loop: documents of thousands of versions take a good part of a second.
        page = await asyncio.to_thread(npm_index.shown, document.value, package, self._origin, may_see, short=short)
        if document.value["versions"] and not seen:
            raise nothing_left(allowed, package)
        return Shown(page, document.stale)

    async def npm_file(self, policy: Policy | None, package: str, version: str) -> BinaryIO:
        allowed = may_ask(policy, NPM, package)
        found = npm_index.version_of((await self._document(allowed, package)).value, package, version)
        if found is None or not found.hashes:
            raise Refused("packages.not_found", f"There is no {package} {version}.", name=package, version=version)
        return await self._file(allowed, found, look_into_tarball)

    async def _document(self, policy: Policy, package: str) -> Reading[dict[str, Any]]:
        registry = self._registries.npm_scopes.get(package.partition("/")[0], self._registries.npm)
        if not registry:
            raise Refused("packages.unavailable", "This host has no npm that says which registry to ask.")
        key, url = f"{NPM} {package}", f"{registry.rstrip('/')}/{package.replace('/', '%2f')}"

        async def ask() -> Reading[dict[str, Any]]:
            found = await self._sources.read(
                self._upstreams[NPM], url, npm_index.FULL, lambda page: npm_index.read(page.body, package)
            )
            return Reading({}) if found is None else found

        document = await self._once.do(f"page {key}", policy.uuid, lambda: self._documents.get(key, ask))
        if not document.value:
            raise Refused("packages.not_found", f"There is no package {package}.", name=package)
        return document

    # both

    def _find(self, ecosystem: str, package: str, version: str) -> str | None:
        if self.advisories is None:
            raise Refused("packages.unavailable", "The advisories cannot be read, so nothing is served.")
        return self.advisories.find(ecosystem, package, version)

    async def _file(self, policy: Policy, version: Version, look: Look) -> BinaryIO:
        """The file, open and whole, when this container may have it."""
        if version.hashes:
            judge(policy, version, self.now(), self._find)  # what is refused by its name alone is not fetched
        name = _name(version)
        try:
            for _ in range(2):
                kept = await self._once.do(f"file {name}", policy.uuid, lambda: self._on_the_shelf(name, version, look))
                known = replace(version, hashes=kept.hashes)
                judge(policy, known, self.now(), self._find, kept.starts)
                file = await self._shelf.opened(kept.sha256)
                if file is not None:
                    return await self._recorded(policy, known, kept, file)
                self._kept.pop(name, None)
        except Refused as refused:
            refused.name, refused.version = version.package, version.version
            raise
        except OSError as error:
            raise Refused("packages.unavailable", "The disk of the mirror does not take or give the file.") from error
        raise Refused("packages.unavailable", "The file does not stay on the disk of the mirror.")

    async def _recorded(self, policy: Policy, version: Version, kept: Kept, file: BinaryIO) -> BinaryIO:
        try:
            if policy.mode == OPEN:
                filename = f"{version.package}/{version.filename}"
                await self._pins.confirm(policy.project, version.ecosystem, filename, kept.sha256)
            await self._record(policy, version, kept.sha256)
        except BaseException:
            file.close()
            raise
        return file

    async def _on_the_shelf(self, name: str, version: Version, look: Look) -> Kept:
        wanted = set(version.hashes)
        kept = self._kept.get(name)
        if kept is not None and wanted <= set(kept.hashes) and self._shelf.has(kept.sha256):
            return kept
        package = version.package
        said = next((each.partition(":")[2] for each in version.hashes if each.startswith("sha256:")), None)
        kept = await self._shelf.found(name, said, lambda path: look(path, package))
        if kept is None or not wanted <= set(kept.hashes):
            pieces = self._upstreams[version.ecosystem].file(version.url, local=version.local)
            kept = await self._shelf.take(name, pieces, version.hashes, lambda path: look(path, package))
        if len(self._kept) >= _FOUND_OUT:
            del self._kept[next(iter(self._kept))]
        self._kept[name] = kept
        return kept


def _name(version: Version) -> str:
    return f"{version.ecosystem} {version.package} {version.filename}"


def _sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()
