"""From the path of a request to the file that answers it. Pure: names come in, a name goes out.

A file's name is its route: `api/v1/chat/completions.py` answers one path, `[name].py` any single segment, and
`[...path].py`, which can only come last, all that is left. The most specific file wins, compared segment by segment
from the left: a literal name before `[name]` before `[...path]`. Names that begin with `_` or `.` are no routes:
such files are there to be imported.

The path is split at its slashes as it was sent, and each segment decoded once. So an encoded slash never becomes a
separator, and what is still encoded after that stays text. A path with an empty segment or a dot segment has no file,
and since segments are compared with names, never joined to a path, no request can name a file outside.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import unquote_to_bytes

from bawn.errors import Fault, quoted
from bawn.terms.value import Value

ROOT = "api/v1"
"""The folder of an exec that is served."""
SUFFIX = ".py"
_LONGEST = 400
_DEEPEST = 16
_LITERAL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:~@+-]{0,99}")
_NAMED = re.compile(r"\[(\.\.\.)?([a-z][a-z0-9_]{0,31})\]")
_PRINTED = re.compile(rb"[\x21-\x7e]+")
_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_ROOTS = (b"/api/v1/", b"/v1/", b"/api/v1beta/", b"/v1beta/")
"""How clients spell the root; all of them lead to the same files."""

Parameters = dict[str, str | list[str]]
_LIT, _ONE, _REST = 0, 1, 2


class Segment(Value, frozen=True):
    rank: int
    """0 for a literal name, 1 for any one segment, 2 for all that is left."""
    name: str


class Route(Value, frozen=True):
    """One file and the paths that it answers."""

    file: str
    """Relative to the folder of the exec, e.g. `api/v1/[...path].py`."""
    segments: tuple[Segment, ...]

    @property
    def order(self) -> tuple[tuple[int, ...], str]:
        return tuple(segment.rank for segment in self.segments), self.file


class Found(Value, frozen=True):
    """The file for a path."""

    file: str
    parameters: Parameters


def route_of(file: str) -> Route | None:
    """The route of a file; None for one that is only imported. Fault `script.invalid` for a name that cannot be one."""
    parts = file.split("/")
    if any(part.startswith(("_", ".")) for part in parts):
        return None
    head, rest = "/".join(parts[:2]), parts[2:]
    if head != ROOT or not rest or not file.endswith(SUFFIX):
        raise Fault("script.invalid", f"{quoted(file)} is no route: routes are files beneath {ROOT}/ that end in .py.")
    if len(file) > _LONGEST or len(parts) > _DEEPEST:
        raise Fault("script.invalid", f"The route {quoted(file)} is too long.")
    rest[-1] = rest[-1].removesuffix(SUFFIX)
    segments = tuple(_segment(part, file) for part in rest)
    if any(segment.rank == _REST for segment in segments[:-1]):
        raise Fault("script.invalid", f"In {quoted(file)} something stands behind [...], which takes all that is left.")
    names = [segment.name for segment in segments if segment.rank != _LIT]
    if len(set(names)) < len(names):
        raise Fault("script.invalid", f"In {quoted(file)} two segments have one name.")
    return Route(file, segments)


def _segment(part: str, file: str) -> Segment:
    if named := _NAMED.fullmatch(part):
        return Segment(_REST if named[1] else _ONE, named[2])
    if _LITERAL.fullmatch(part):
        return Segment(_LIT, part)
    raise Fault("script.invalid", f"{quoted(part)} in {quoted(file)} is neither a plain name nor [name] nor [...name].")


class Routes:
    """All routes of one exec."""

    def __init__(self, routes: Iterable[Route]) -> None:
        # From the most specific on, so that the first that fits is it.
        self._routes = sorted(routes, key=lambda route: route.order)

    def __len__(self) -> int:
        return len(self._routes)

    def find(self, path: bytes) -> Found | None:
        """The file for a raw path, and what of the path its name left open."""
        segments = split(path)
        if not segments:
            return None
        best: tuple[tuple[int, ...], Found] | None = None
        for route in self._routes:
            parameters = _fits(route, segments)
            if parameters is not None:
                ranks = route.order[0]
                if best is None or ranks < best[0]:
                    best = ranks, Found(route.file, parameters)
        return best[1] if best is not None else None


def split(path: bytes) -> tuple[str, ...]:
    """The segments of a raw path behind its root, each decoded once; empty when it is none that a file can answer."""
    path, _, _ = path.partition(b"?")
    if not _PRINTED.fullmatch(path) or b"#" in path:
        return ()
    rest = next((path[len(root) :] for root in _ROOTS if path.startswith(root)), b"")
    if not rest:
        return ()
    found = tuple(_decoded(part) for part in rest.split(b"/"))
    return () if any(part in ("", ".", "..") for part in found) else found


def _decoded(part: bytes) -> str:
    """Empty, which no segment may be, for what is not UTF-8 or wrongly encoded."""
    if _ESCAPE.search(part):
        return ""
    try:
        text = unquote_to_bytes(part).decode("utf-8")
    except UnicodeDecodeError:
        return ""
    return "" if any(ord(letter) < 0x20 or ord(letter) == 0x7F for letter in text) else text


def _fits(route: Route, segments: tuple[str, ...]) -> Parameters | None:
    parameters: Parameters = {}
    last = len(route.segments) - 1
    if len(segments) <= last or (len(segments) > last + 1 and route.segments[last].rank != _REST):
        return None
    for at, segment in enumerate(route.segments):
        if segment.rank == _REST:
            parameters[segment.name] = list(segments[at:])
        elif segment.rank == _ONE:
            parameters[segment.name] = segments[at]
        elif segment.name != segments[at]:
            return None
    return parameters
