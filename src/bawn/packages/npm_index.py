"""Documents of npm registries ("packuments"), read, cut down to what may be seen, and written.

The tarballs of what is left point back to the mirror, and the tags are made anew: `latest` must not name a version that is
not there. Whether a version has install scripts stays as true as the registry says it; the client inside runs none.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from bawn.packages.moments import moment
from bawn.packages.names import NPM
from bawn.packages.policy import Version
from bawn.packages.reasons import Refused
from bawn.packages.versions import key, released

FULL = "application/json"
SHORT = "application/vnd.npm.install-v1+json"
_STRENGTH = {"sha512": 0, "sha384": 1, "sha256": 2, "sha1": 3}
_SHORT_FIELDS = frozenset(
    {"name", "version", "deprecated", "dependencies", "optionalDependencies", "devDependencies", "bundleDependencies",
     "bundledDependencies", "peerDependencies", "peerDependenciesMeta", "acceptDependencies", "bin", "directories",
     "dist", "engines", "os", "cpu", "libc", "funding", "hasInstallScript", "_hasShrinkwrap"}
)  # fmt: skip


def read(body: bytes, package: str) -> dict[str, Any]:
    """The document. Refused `packages.upstream` when it is none, or another package's."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Refused("packages.upstream", "The registry's document cannot be read.") from error
    if (
        not isinstance(document, dict)
        or document.get("name") != package
        or not isinstance(document.get("versions"), dict)
    ):
        raise Refused("packages.upstream", "The registry's document is of another package, or none.")
    return document


def version_of(document: dict[str, Any], package: str, version: str) -> Version | None:
    """One version of it; None when it has none by this name."""
    said = document["versions"].get(version)
    if key(NPM, version) is None or not isinstance(said, dict) or not isinstance(said.get("dist"), dict):
        return None
    dist, times = said["dist"], document.get("time")
    return Version(
        ecosystem=NPM,
        package=package,
        version=version,
        filename=f"{package.rpartition('/')[2]}-{version}.tgz",
        url=str(dist.get("tarball", "")),
        hashes=_hashes(dist),
        published=moment(times.get(version)) if isinstance(times, dict) else None,
    )


def shown(
    document: dict[str, Any], package: str, origin: str, may_see: Callable[[Version], bool], *, short: bool
) -> bytes:
    """The document with what may be seen. `origin`: of the mirror, which the tarballs then come from."""
    versions: dict[str, Any] = {}
    for name, said in document["versions"].items():
        version = version_of(document, package, name)
        if version is None or not version.hashes or not may_see(version):
            continue
        kept = {key: value for key, value in said.items() if key in _SHORT_FIELDS} if short else dict(said)
        tarball = f"{origin}/npm/{package}/-/{quote(version.filename)}"
        kept["dist"] = {**said["dist"], "tarball": tarball}
        if short and _scripts(said):
            kept["hasInstallScript"] = True
        versions[name] = kept
    tags = _tags(document.get("dist-tags"), versions)
    made: dict[str, Any] = {"name": package, "dist-tags": tags, "versions": versions}
    times = document.get("time")
    times = times if isinstance(times, dict) else {}
    made["modified"] = times.get("modified", "1970-01-01T00:00:00.000Z")
    if not short:
        made["time"] = {
            name: time for name, time in times.items() if name in versions or name in ("created", "modified")
        }
        made["_id"] = package
    return json.dumps(made, separators=(",", ":")).encode()


def _hashes(dist: dict[str, Any]) -> tuple[str, ...]:
    """Of Subresource Integrity and the older `shasum`, strongest first."""
    found: dict[str, str] = {}
    for word in str(dist.get("integrity") or "").split():
        kind, dash, digest = word.partition("-")
        if dash and kind in _STRENGTH:
            try:
                found.setdefault(kind, base64.b64decode(digest.partition("?")[0], validate=True).hex())
            except ValueError:
                continue
    shasum = dist.get("shasum")
    if isinstance(shasum, str) and re.fullmatch(r"[0-9a-fA-F]{40}", shasum):
        found.setdefault("sha1", shasum.lower())
    return tuple(f"{kind}:{found[kind]}" for kind in sorted(found, key=_STRENGTH.__getitem__))


def _scripts(said: dict[str, Any]) -> bool:
    scripts = said.get("scripts")
    return bool(said.get("hasInstallScript")) or (
        isinstance(scripts, dict) and any(name in scripts for name in ("preinstall", "install", "postinstall"))
    )


def _tags(said: object, versions: dict[str, Any]) -> dict[str, str]:
    """Those that still name something. `latest` goes back to what was there before, never on to what its authors hold back."""
    said = said if isinstance(said, dict) else {}
    tags = {str(tag): name for tag, name in said.items() if isinstance(name, str) and name in versions}
    if "latest" not in tags and (found := _latest(said.get("latest"), versions)) is not None:
        tags["latest"] = found
    return tags


def _latest(hidden: object, versions: dict[str, Any]) -> str | None:
    top = key(NPM, hidden) if isinstance(hidden, str) else None
    keys = {name: found for name in versions if (found := key(NPM, name)) is not None}
    earlier = {name for name in keys if top is None or keys[name] < top}
    for group in (
        {name for name in earlier if released(NPM, name) and not versions[name].get("deprecated")},
        {name for name in earlier if released(NPM, name)},
        earlier,
        set(keys),
    ):
        if group:
            return max(group, key=lambda name: keys[name])
    return None
