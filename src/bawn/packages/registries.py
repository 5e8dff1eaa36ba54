"""Which registries there are and how they are reached: what the host's own clients are configured to use, as values.

Told by whoever starts this process, in memory. Passwords are taken out of the addresses at once, so that no address
that is asked, logged or refused holds one.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

from msgspec import Struct

from bawn.packages.upstream import Access, Key, key_of, local_path, origin


class Registries(Struct, frozen=True):
    """Where this host's own clients ask."""

    pip: tuple[str, ...] = ()
    """Index addresses, the first one first."""
    pip_folders: tuple[str, ...] = ()
    """Folders or pages with files of many packages (`--find-links`)."""
    npm: str = ""
    npm_scopes: Mapping[str, str] = {}
    """Registries of single scopes, by `@scope`."""


def registries_of(said: Mapping[str, Any]) -> Registries:
    pip, npm = said.get("pip") or {}, said.get("npm") or {}
    return Registries(
        pip=tuple(_bare(each) for each in _indexes(pip)),
        pip_folders=tuple(_bare(each) for each in pip.get("find_links") or ()),
        npm=_bare(str(npm.get("registry") or "")),
        npm_scopes={str(scope): _bare(str(url)) for scope, url in (npm.get("scopes") or {}).items()},
    )


def pip_access(said: Mapping[str, Any]) -> Access:
    pip = said.get("pip") or {}
    places = [*_indexes(pip), *(pip.get("find_links") or ())]
    return _access(pip, places, said.get("proxies") or {})


def npm_access(said: Mapping[str, Any]) -> Access:
    npm = said.get("npm") or {}
    places = [str(npm.get("registry") or ""), *(npm.get("scopes") or {}).values()]
    return _access(npm, places, said.get("proxies") or {})


def _indexes(pip: Mapping[str, Any]) -> list[str]:
    return [str(each) for each in (pip.get("index"), *(pip.get("extra") or ())) if each]


def _access(client: Mapping[str, Any], places: Iterable[str], proxies: Mapping[str, str]) -> Access:
    remote = [place for place in places if place and local_path(place) is None]
    schemes = {urlsplit(place).hostname: urlsplit(place).scheme for place in remote}
    keys = [Key(_beneath(place), header) for place in remote if (header := _basic(place)) is not None]
    for at, header in client.get("keys") or ():
        keys.append(key_of(str(at), str(header), schemes.get(urlsplit(str(at)).hostname, "https")))
    proxies = {**proxies, **{name: proxy for name, proxy in (client.get("proxies") or {}).items() if proxy}}
    unreadable = client.get("authorities_unreadable")
    return Access(
        plain=frozenset(origin(place) for place in remote if urlsplit(place).scheme == "http"),
        keys=tuple(keys),
        authorities=client.get("authorities"),
        proxies={name: proxies[f"{name}_proxy"] for name in ("http", "https") if proxies.get(f"{name}_proxy")},
        direct=tuple(filter(None, (each.strip() for each in proxies.get("no_proxy", "").split(",")))),
        unusable="The file of authorities that its client is configured for cannot be read." if unreadable else "",
    )


def _basic(place: str) -> str | None:
    parts = urlsplit(place)
    if parts.username is None:
        return None
    words = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return f"Basic {base64.b64encode(words.encode()).decode()}"


def _beneath(place: str) -> str:
    """As pip does it: the password of an index is for its whole origin, where its files may lie as well."""
    parts = urlsplit(place)
    return key_of(f"//{parts.netloc.rpartition('@')[2]}/", "", parts.scheme).beneath


def _bare(place: str) -> str:
    parts = urlsplit(place)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl() if "@" in parts.netloc else place
