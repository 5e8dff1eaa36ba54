"""Pages of Python package indexes (the simple repository API: PEP 503 in HTML, PEP 691 and 700 in JSON), read and written.

Only wheels come out of here: whatever runs code to be installed does not exist for a container.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from html.parser import HTMLParser
from urllib.parse import unquote, urljoin, urlsplit

from msgspec import Struct
from msgspec.structs import replace

from bawn.packages.moments import moment
from bawn.packages.names import PIP, wheel
from bawn.packages.policy import Version
from bawn.packages.reasons import Refused

JSON = "application/vnd.pypi.simple.v1+json"
HTML = "text/html"
ACCEPT = f"{JSON}, {HTML};q=0.5"
_HASHES = ("sha512", "sha384", "sha256")
_SHA256 = re.compile(r"[0-9a-fA-F]{64}\Z")


class Listed(Struct, frozen=True):
    """A wheel as an index lists it."""

    version: Version
    requires_python: str = ""
    yanked: bool = False
    size: int | None = None
    metadata: str = ""
    """sha256 of the wheel's metadata, when the registry serves that alone (PEP 658)."""


def read(body: bytes, kind: str, base: str, project: str, *, local: bool) -> list[Listed]:
    """The wheels of a page. Refused `packages.upstream` when it cannot be read."""
    try:
        if kind.endswith("json"):
            return list(_from_json(json.loads(body), base, project, local))
        page = _Page()
        page.feed(body.decode("utf-8", "replace"))
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise Refused("packages.upstream", "The registry's page cannot be read.") from error
    return [found for link in page.links if (found := _from_link(link, base, project, local)) is not None]


def _from_json(said: dict[str, object], base: str, project: str, local: bool) -> Sequence[Listed]:
    files = said.get("files")
    found: list[Listed] = []
    for file in files if isinstance(files, list) else ():
        name = str(file["filename"])
        version = wheel(name, project)
        if version is None:
            continue
        hashes = file.get("hashes") or {}
        made = Version(
            ecosystem=PIP,
            package=project,
            version=version,
            filename=name,
            url=urljoin(base, str(file["url"])),
            hashes=tuple(f"{kind}:{str(hashes[kind]).lower()}" for kind in _HASHES if hashes.get(kind)),
            published=moment(file.get("upload-time")),
            local=local,
        )
        size = file.get("size")
        found.append(
            Listed(
                made,
                str(file.get("requires-python") or ""),
                bool(file.get("yanked")),
                size if isinstance(size, int) else None,
                _metadata(file.get("core-metadata") or file.get("data-dist-info-metadata")),
            )
        )
    return found


def _from_link(link: dict[str, str], base: str, project: str, local: bool) -> Listed | None:
    try:
        parts = urlsplit(urljoin(base, link["href"]))
    except ValueError:
        return None
    name = unquote(parts.path.rpartition("/")[2])
    version = wheel(name, project)
    if version is None:
        return None
    kind, equals, digest = parts.fragment.partition("=")
    hashes = (f"{kind}:{digest.lower()}",) if equals and kind in _HASHES else ()
    made = Version(PIP, project, version, name, parts._replace(fragment="").geturl(), hashes, None, local)
    metadata = (link.get("data-core-metadata") or link.get("data-dist-info-metadata") or "").partition("=")
    digest = _metadata({metadata[0]: metadata[2]})
    return Listed(made, link.get("data-requires-python", ""), "data-yanked" in link, None, digest)


def _metadata(said: object) -> str:
    digest = said.get("sha256") if isinstance(said, dict) else None
    return digest.lower() if isinstance(digest, str) and _SHA256.match(digest) else ""


def dates_url(index: str, project: str) -> str:
    """The older JSON document of a package, beside an index whose address ends in `/simple`."""
    return urljoin(f"{index.rstrip('/')}/", f"../pypi/{project}/json")


def dates(body: bytes) -> dict[str, float]:
    """File name → seconds since 1970, of that document; what cannot be read says nothing."""
    found: dict[str, float] = {}
    try:
        releases = json.loads(body)["releases"]
        for files in releases.values():
            for file in files:
                published = moment(file.get("upload_time_iso_8601"))
                if published is not None:
                    found[str(file["filename"])] = published
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return {}
    return found


def dated(listed: Sequence[Listed], known: Mapping[str, float]) -> list[Listed]:
    """With the dates that are known, where the page said none."""
    return [
        each
        if each.version.published is not None
        else replace(each, version=replace(each.version, published=known.get(each.version.filename)))
        for each in listed
    ]


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.links: list[dict[str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            link = {name: value or "" for name, value in attrs}
            if "href" in link:
                self.links.append(link)


def written_json(project: str, listed: Sequence[Listed]) -> bytes:
    files = [
        {
            "filename": each.version.filename,
            "url": _own(each.version),
            "hashes": dict(one.split(":", 1) for one in each.version.hashes),
            "yanked": each.yanked,
            **({"requires-python": each.requires_python} if each.requires_python else {}),
            **({"size": each.size} if each.size is not None else {}),
            **({"core-metadata": {"sha256": each.metadata}} if each.metadata else {}),
            **({"upload-time": _text(each.version.published)} if each.version.published is not None else {}),
        }
        for each in listed
    ]
    versions = list(dict.fromkeys(each.version.version for each in listed))
    page = {"meta": {"api-version": "1.1"}, "name": project, "versions": versions, "files": files}
    return json.dumps(page, separators=(",", ":")).encode()


def written_html(project: str, listed: Sequence[Listed]) -> bytes:
    lines = [f"<!DOCTYPE html><html><head><title>{html.escape(project)}</title></head><body>"]
    for each in listed:
        digest = next((one for one in each.version.hashes if one.startswith("sha256:")), "")
        href = _own(each.version) + (f"#{digest.replace(':', '=')}" if digest else "")
        python = f' data-requires-python="{html.escape(each.requires_python)}"' if each.requires_python else ""
        yanked = ' data-yanked=""' if each.yanked else ""
        yanked += f' data-core-metadata="sha256={each.metadata}"' if each.metadata else ""
        lines.append(f'<a href="{html.escape(href)}"{python}{yanked}>{html.escape(each.version.filename)}</a><br>')
    lines.append("</body></html>")
    return "\n".join(lines).encode()


def written_refusal(project: str, refused: Refused) -> bytes:
    """A page for pip, which prints why a page is refused to nobody: one version that says it, and that is refused as well."""
    version = f"0+bawn.{refused.code.replace('_', '.')}"
    filename = f"{project.replace('-', '_')}-{version}-py3-none-any.whl"
    file = {"filename": filename, "url": f"/pypi/files/{project}/{filename}", "hashes": {}}
    page = {"meta": {"api-version": "1.1"}, "name": project, "versions": [version], "files": [file]}
    return json.dumps(page, separators=(",", ":")).encode()


def is_refusal(filename: str) -> bool:
    return "-0+bawn.packages." in filename


def _own(version: Version) -> str:
    return f"/pypi/files/{version.package}/{version.filename}"


def _text(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
