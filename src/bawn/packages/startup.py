"""What of a wheel Python runs by itself, though nobody imports it.

Installing a wheel only unpacks it, but at every later start Python reads each `.pth` file of its site folder, runs the lines
of it that begin with `import`, and imports `sitecustomize` and `usercustomize` from wherever the other lines lead. That is
how stolen packages have run unasked. So a `.pth` file may name folders of its own wheel, and contain code only when the
package is known for exactly that content: the same bytes in another package would import that package's modules.
A wheel can also put files beside its site folder (`.data`), among them the interpreter itself.
"""

from __future__ import annotations

import configparser
import hashlib
import re
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath

_LIMIT = 256 * 1024
_MODULES = frozenset({"sitecustomize", "usercustomize"})
_INTERPRETER = re.compile(r"((python|pypy)[0-9.]*[a-z]?(\.exe)?|activate(\.\w+|_this\.py)?)\Z", re.IGNORECASE)

KNOWN: Mapping[str, frozenset[str]] = {
    # distutils-precedence.pth, the same for years
    "setuptools": frozenset({"2638ce9e2500e572a5e0de7faed6661eb569d1b696fcba07b0dd223da5f5d224"}),
    # both begin measuring in child processes when a variable says so
    "coverage": frozenset({"ef2ed06d19867ec669c09a804060666a9cd5e383af0a9d11aa2de79b77d448e8"}),
    "pytest-cov": frozenset({"f47446a60fdf5905e84e7d7c892baf92f8d5a3226d0da1599b9c014eab6c7ddb"}),
    # colours the log when a variable says so
    "coloredlogs": frozenset({"dda83a855986efa5cd87f0248b0199c0086eb0e8e7fece7d6741959c5ce39536"}),
}
"""Package → sha256 of `.pth` files of it that may contain code."""

_OWNED = {"_distutils_hack": "setuptools"}
"""Modules that a known `.pth` file imports at every start, and the package that alone may bring them."""

_NAMESPACE = re.compile(
    r"import sys, types, os;has_mfs = sys\.version_info > \(3, 5\);"
    r"p = os\.path\.join\(sys\._getframe\(1\)\.f_locals\['sitedir'\], \*\((?:'\w+', ?)*'\w+',?\)\);"
    r"importlib = has_mfs and __import__\('importlib\.util'\);has_mfs and __import__\('importlib\.machinery'\);"
    r"m = has_mfs and sys\.modules\.setdefault\('[\w.]+', importlib\.util\.module_from_spec\("
    r"importlib\.machinery\.PathFinder\.find_spec\('[\w.]+', \[os\.path\.dirname\(p\)\]\)\)\);"
    r"m = m or sys\.modules\.setdefault\('[\w.]+', types\.ModuleType\('[\w.]+'\)\);"
    r"mp = \(m or \[\]\) and m\.__dict__\.setdefault\('__path__',\[\]\);\(p not in mp\) and mp\.append\(p\)"
    r"(?:;m and setattr\(sys\.modules\['[\w.]+'\], '\w+', m\))?\Z"
)
"""What older setuptools writes for a namespace package: it makes a module object and runs none of its code."""


def startup(archive: zipfile.ZipFile, package: str) -> str:
    """What would run, as the rest of a sentence; empty when nothing would."""
    members = archive.infolist()
    names = frozenset(each.filename for each in members)
    for member in members:
        if found := _of(archive, member, package, names):
            return found
    return ""


def _of(archive: zipfile.ZipFile, member: zipfile.ZipInfo, package: str, names: frozenset[str]) -> str:
    parts = PurePosixPath(member.filename).parts
    scheme = ""
    if len(parts) > 2 and parts[0].endswith(".data"):
        scheme, parts = parts[1], parts[2:]
    first, last = parts[0], parts[-1]
    if scheme == "scripts" and _INTERPRETER.match(last):
        return f"{member.filename} would stand in for the interpreter"
    if scheme == "data":
        return _beside(member.filename, parts)
    if scheme not in ("", "purelib", "platlib"):
        return ""
    module = first.partition(".")[0]
    if module.lower() in _MODULES:
        return f"{member.filename} would run at every start of Python"
    if _OWNED.get(module, package) != package:
        return f"{member.filename} belongs to {_OWNED[module]}, which runs it at every start of Python"
    if len(parts) == 1 and last.lower().endswith(".pth"):
        return _path_file(archive, member, package, names)
    if not scheme and len(parts) == 2 and first.endswith(".dist-info") and last == "entry_points.txt":
        return _commands(archive, member)
    return ""


def _beside(name: str, parts: tuple[str, ...]) -> str:
    """Of a file that lands anywhere beneath the interpreter's prefix."""
    modules = (
        len(parts) > 1 and parts[0].lower().startswith("lib") and parts[1].lower().startswith(("python", "site-p"))
    )
    if modules or parts[-1].lower().endswith(".pth") or parts == ("pyvenv.cfg",):
        return f"{name} would change what Python runs at its start"
    if parts[0].lower() in ("bin", "scripts") and _INTERPRETER.match(parts[-1]):
        return f"{name} would stand in for the interpreter"
    return ""


def _path_file(archive: zipfile.ZipFile, member: zipfile.ZipInfo, package: str, names: frozenset[str]) -> str:
    if member.file_size > _LIMIT:
        return f"{member.filename} is too long for what it is"
    content = archive.read(member)
    if hashlib.sha256(content).hexdigest() in KNOWN.get(package, ()):
        return ""
    for line in _lines(content):
        if re.match(r"import\s", line):
            if not _NAMESPACE.match(line):
                return f"{member.filename} would run code at every start of Python"
        elif line and not line.startswith("#") and not _own_folder(line, names):
            return (
                f"{member.filename} would have Python import from {line[:60]!r}, which is no plain folder of the wheel"
            )
    return ""


def _lines(content: bytes) -> Iterable[str]:
    """Whatever any version of Python takes for a line: they differ in the encoding, the byte order mark, and what ends one."""
    for encoding in ("utf-8-sig", "latin-1"):
        for line in content.decode(encoding, "replace").splitlines():
            yield line.strip().lstrip("\ufeff").lstrip()


def _own_folder(line: str, names: frozenset[str]) -> bool:
    folder = line.rstrip("/")
    if folder.startswith("/") or "\\" in folder or not {"", ".", ".."}.isdisjoint(folder.split("/")):
        return False
    beneath = [name[len(folder) + 1 :] for name in names if name.startswith(f"{folder}/")]
    return bool(beneath) and not any(name.partition("/")[0].partition(".")[0].lower() in _MODULES for name in beneath)


def _commands(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> str:
    """Of the programs that an installer makes from a list."""
    if member.file_size > _LIMIT:
        return f"{member.filename} is too long for what it is"
    listed = configparser.RawConfigParser(delimiters=("=",), strict=False)
    try:
        listed.read_string(archive.read(member).decode("utf-8", "replace"))
    except configparser.Error:
        return ""  # then no installer makes any program of it
    for section in ("console_scripts", "gui_scripts"):
        for name in listed.options(section) if listed.has_section(section) else ():
            if _INTERPRETER.match(name.strip()):
                return f"its program {name} would stand in for the interpreter"
    return ""
