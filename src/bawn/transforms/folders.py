"""A path kept within a folder, as text: what a tool is told to write outside goes inside instead.

Only the text is known here, no file system: links inside the folder lead where they lead. What could be another path to
some reader (compatibility dots, percent signs, backslashes) and would leave the folder is refused, not guessed at.
"""

from __future__ import annotations

import posixpath
from urllib.parse import unquote

from bawn.config.patterns import seen


class Leaves(ValueError):
    """The path would leave the folder in one of its readings; the message says how."""


def within(folder: str, path: str) -> str:
    """The path, or where it stands in the folder instead. Leaves when no plain path within it comes out.

    `..` ends at the root, so `/sandbox/../etc/x` is `/etc/x` and becomes `/sandbox/etc/x`. What is within already stays
    as it is, letter for letter, where it is written plainly.
    """
    if "\0" in path:
        raise Leaves("it holds a zero byte")
    folder = "/" + folder.strip("/")
    plain = posixpath.normpath("/" + path.lstrip("/"))
    inside = plain == folder or plain.startswith(folder.rstrip("/") + "/")
    result = plain if inside else folder.rstrip("/") + ("" if plain == "/" else plain)
    _safe(result)
    return path if inside and result in (path, path.rstrip("/")) else result


def sound_folder(folder: str) -> str:
    """For a field of the configuration."""
    if not folder.startswith("/") or posixpath.normpath(folder) != folder or folder in ("/", "//"):
        raise ValueError("expected a folder from the root on, without `..`; write e.g. /sandbox")
    return folder


def _safe(path: str) -> None:
    """No reading of it climbs."""
    readings = {path, seen(path)}
    for _ in range(3):  # what is encoded twice is decoded twice by whoever is careless twice
        readings |= {unquote(each) for each in readings}
    for each in readings:
        if ".." in each.replace("\\", "/").split("/"):
            raise Leaves("it climbs out by `..` in another spelling")
