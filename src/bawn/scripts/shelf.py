"""The scripts that lie on disk: which projects, execs and files there are, and which of them may be run.

    <root>/<project>/<exec>/api/v1/[...path].py

What was found is a `Stock`, replaced as a whole; a call keeps the one that it began with. Looking again costs a walk
over the folders, and a file is only read when its time or size changed. Links are not followed: what they lead to would
not be there in the worker either. What is wrong with a file stands in `troubles`, and a file that is part of a circle of
`# @next` is never run.

Files come by the operator's own hand, or by `write`, which refuses what does not compile and leaves what was there.
"""

from __future__ import annotations

import ast
import os
import re
import stat
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from bawn.errors import Fault, quoted
from bawn.scripts.header import EXEC, BadHeader, Header, read
from bawn.scripts.routes import Found, Route, Routes, route_of
from bawn.terms.value import Value

PROJECT = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
LONGEST = 1 << 20
"""Bytes of one file."""
_MOST = 1000
"""Files of one exec."""
_NAME = re.compile(r"[A-Za-z0-9_\[][A-Za-z0-9._~:@+\[\]-]{0,99}")
_DEEPEST = 16


class File(Value, frozen=True):
    path: str
    """Relative to the folder of its exec."""
    size_bytes: int
    modified_ns: int
    header: Header = Header()
    route: Route | None = None
    trouble: str = ""
    """Why it is not run; empty when nothing is known against it."""


class Exec(Value, frozen=True):
    """The scripts behind one base URL."""

    project: str
    id: str
    files: Mapping[str, File]
    routes: Routes

    def find(self, path: bytes) -> Found | None:
        """The file for a raw path. Fault `script.cyclic` or `script.not_loaded` when it may not be run."""
        found = self.routes.find(path)
        if found is not None and (trouble := self.files[found.file].trouble):
            code = "script.cyclic" if trouble.startswith(_CIRCLE) else "script.not_loaded"
            raise Fault(code, "The script for this path cannot be run.", cause=trouble)
        return found


_CIRCLE = "a circle"


class Stock(Value, frozen=True):
    """All that was found at one moment."""

    execs: Mapping[tuple[str, str], Exec]

    def exec(self, project: str, name: str) -> Exec | None:
        return self.execs.get((project, name))

    def of(self, project: str) -> list[Exec]:
        return [each for (named, _), each in self.execs.items() if named == project]

    @property
    def troubles(self) -> list[tuple[Exec, File]]:
        return [(each, file) for each in self.execs.values() for file in each.files.values() if file.trouble]


EMPTY = Stock({})


class Shelf:
    def __init__(self, root: Path) -> None:
        self._root = root
        self.stock = EMPTY

    def refresh(self) -> bool:
        """Look again; whether anything changed. Reads the disk, so not within a call."""
        execs: dict[tuple[str, str], Exec] = {}
        changed = False
        for project, name, folder in self._folders():
            before = self.stock.exec(project, name)
            kept = before.files if before is not None else {}
            files = {file.path: file for file in _files(folder, kept)}
            if not files:
                # The folder stays for the worker that looks into it; an exec without a file is none.
                continue
            if before is not None and _same(files, kept):
                execs[project, name] = before
                continue
            changed = True
            execs[project, name] = _made(project, name, files)
        changed = changed or execs.keys() != self.stock.execs.keys()
        if changed:
            self.stock = Stock(_without_circles(execs))
        return changed

    def read(self, project: str, name: str, path: str) -> str:
        """The text of a file. Fault `api.not_found` when there is none."""
        place = self._place(project, name, path)
        try:
            with place.open("rb") as file:
                return file.read(LONGEST + 1).decode("utf-8", "replace")
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            raise _missing(project, name, path) from None
        except OSError as error:
            raise _unusable(error) from error

    def write(self, project: str, name: str, path: str, text: str) -> File:
        """Put a file in the place of what was there; Fault `script.invalid` when it does not load, and nothing changed."""
        place = self._place(project, name, path)
        route = route_of(path)
        header = checked(text, path, routed=route is not None)
        if header.next:
            self._without_circle(project, name, path, header)
        try:
            _make_folders(self._root, place.parent)
            _replace(place, text.encode("utf-8"))
        except OSError as error:
            raise _unusable(error) from error
        self.refresh()
        found = place.stat()
        return File(path, found.st_size, found.st_mtime_ns, header, route)

    def remove(self, project: str, name: str, path: str) -> None:
        """Take a file away, and the folders that it leaves empty, but not that of the exec: its worker looks into it."""
        place = self._place(project, name, path)
        try:
            place.unlink()
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            raise _missing(project, name, path) from None
        except OSError as error:
            raise _unusable(error) from error
        for folder in place.parents:
            if folder == self._root / project / name:
                break
            try:
                folder.rmdir()
            except OSError:
                break
        self.refresh()

    def _without_circle(self, project: str, name: str, path: str, header: Header) -> None:
        execs = dict(self.stock.execs)
        before = execs.get((project, name))
        files = dict(before.files) if before is not None else {}
        files[path] = File(path, 0, 0, header, route_of(path))
        execs[project, name] = _made(project, name, files)
        trouble = _without_circles(execs)[project, name].files[path].trouble
        if trouble.startswith(_CIRCLE):
            raise Fault("script.invalid", f"{quoted(path)} would close {trouble}.")

    def _place(self, project: str, name: str, path: str) -> Path:
        """Where a file is or would be. Every part is compared with what a name may be, so that none can lead outside."""
        parts = path.split("/")
        if not PROJECT.fullmatch(project):
            raise Fault("script.invalid", f"{quoted(project)} is no name of a project.")
        if not EXEC.fullmatch(name):
            raise Fault("script.invalid", f"{quoted(name)} is no exec: take a number or a name in lower case.")
        if len(parts) > _DEEPEST or not all(_NAME.fullmatch(part) for part in parts[:-1]):
            raise _no_name(path)
        last = parts[-1]
        if not last.endswith(".py") or not _NAME.fullmatch(last):
            raise _no_name(path)
        place = self._root / project / name
        for folder in (place, *(place.joinpath(*parts[:count]) for count in range(1, len(parts) + 1))):
            if folder.is_symlink():
                raise Fault("script.invalid", f"{quoted(path)} is reached by a link, which no script is.")
        return place / path

    def _folders(self) -> Iterator[tuple[str, str, Path]]:
        for project in _inside(self._root):
            if PROJECT.fullmatch(project.name) and project.is_dir(follow_symlinks=False):
                for folder in _inside(Path(project.path)):
                    if EXEC.fullmatch(folder.name) and folder.is_dir(follow_symlinks=False):
                        yield project.name, folder.name, Path(folder.path)


def checked(text: str, path: str, *, routed: bool = True) -> Header:
    """What the header of a text says, if it can be loaded. Fault `script.invalid` with file and line."""
    if len(text.encode("utf-8", "surrogatepass")) > LONGEST:
        raise Fault("script.invalid", f"{quoted(path)} is over {LONGEST} bytes.")
    try:
        header = read(text)
    except BadHeader as error:
        raise Fault("script.invalid", f"{quoted(path, 200)}, {error}.") from None
    try:
        tree = ast.parse(text, path)
        compile(tree, path, "exec", dont_inherit=True)
    except SyntaxError as error:
        raise Fault("script.invalid", f"{quoted(path, 200)}, line {error.lineno or 1}: {error.msg}.") from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise Fault(
            "script.invalid", f"{quoted(path, 200)}, line 1: it cannot be read as Python.", cause=str(error)
        ) from None
    if routed and not any("handle" in _names(statement) for statement in tree.body):
        raise Fault(
            "script.invalid",
            f"{quoted(path, 200)}, line 1: there is no `async def handle(req, res, ctx)`.",
            remedy="A file that is only imported has a name that begins with an underscore.",
        )
    return header


def _names(statement: ast.stmt) -> set[str]:
    """What a statement at the top of a module names; what stands inside others is taken as it may come."""
    match statement:
        case ast.AsyncFunctionDef(name=name):
            return {name}
        case ast.Import(names=names) | ast.ImportFrom(names=names):
            return {(each.asname or each.name) for each in names} | ({"handle"} if names[0].name == "*" else set())
        case ast.Assign(targets=targets):
            return {each.id for each in targets if isinstance(each, ast.Name)}
        case ast.If() | ast.Try() | ast.With():
            return {
                name
                for inner in ast.iter_child_nodes(statement)
                if isinstance(inner, ast.stmt)
                for name in _names(inner)
            }
        case _:
            return set()


def _inside(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError:
        return []


def _files(folder: Path, kept: Mapping[str, File]) -> list[File]:
    found: list[File] = []
    waiting = [(folder, "", 0)]
    while waiting and len(found) < _MOST:
        here, before, depth = waiting.pop()
        for entry in _inside(here):
            path = before + entry.name
            if entry.is_dir(follow_symlinks=False):
                if depth < _DEEPEST and entry.name != "__pycache__":
                    waiting.append((Path(entry.path), path + "/", depth + 1))
            elif entry.name.endswith(".py"):
                found.append(_file(entry, path, kept.get(path)))
    return found


def _file(entry: os.DirEntry[str], path: str, kept: File | None) -> File:
    size = modified = 0
    try:
        status = entry.stat(follow_symlinks=False)
        size, modified = status.st_size, status.st_mtime_ns
        if not stat.S_ISREG(status.st_mode):
            return File(path, 0, 0, trouble=f"{path} is not a plain file")
        if kept is not None and (kept.size_bytes, kept.modified_ns) == (size, modified):
            return kept
        if size > LONGEST:
            return File(path, size, modified, trouble=f"{path} is over {LONGEST} bytes")
        text = Path(entry.path).read_text("utf-8")
        return File(path, size, modified, read(text), route_of(path))
    except BadHeader as error:
        return File(path, size, modified, route=_route(path), trouble=f"{path}, {error}")
    except Fault as fault:
        return File(path, size, modified, route=_route(path), trouble=fault.sentence)
    except (OSError, UnicodeDecodeError) as error:
        return File(path, 0, 0, route=_route(path), trouble=f"{path} cannot be read: {type(error).__name__}")


def _route(path: str) -> Route | None:
    try:
        return route_of(path)
    except Fault:
        return None


def _same(files: Mapping[str, File], kept: Mapping[str, File]) -> bool:
    """Circles of `# @next` are put beside what was read, so only what was read is compared."""
    return files.keys() == kept.keys() and all(
        (one.size_bytes, one.modified_ns) == (kept[path].size_bytes, kept[path].modified_ns)
        for path, one in files.items()
    )


def _made(project: str, name: str, files: Mapping[str, File]) -> Exec:
    routes = [file.route for file in files.values() if file.route is not None]
    return Exec(project, name, files, Routes(routes))


def _without_circles(execs: Mapping[tuple[str, str], Exec]) -> dict[tuple[str, str], Exec]:
    """The same, each file that leads back to its own exec by `# @next` marked with the files of the circle."""
    marked: dict[tuple[str, str], Exec] = {}
    for key, each in execs.items():
        files: dict[str, File] = {}
        for path, file in each.files.items():
            trouble = "" if file.trouble.startswith((_CIRCLE, _NOWHERE)) else file.trouble
            if not trouble and file.header.next:
                trouble = _circle(execs, each, file)
            files[path] = File(path, file.size_bytes, file.modified_ns, file.header, file.route, trouble)
        marked[key] = _made(each.project, each.id, files)
    return marked


_NOWHERE = "# @next names"


def _circle(execs: Mapping[tuple[str, str], Exec], begin: Exec, file: File) -> str:
    """The circle that the file is part of, in words; empty when it is in none."""
    target = execs.get((begin.project, file.header.next))
    if target is None or not len(target.routes):
        return f"{_NOWHERE} the exec {file.header.next}, which has no scripts"
    seen: set[str] = set()
    waiting: list[tuple[Exec, tuple[str, ...]]] = [(target, (f"{begin.id}/{file.path}",))]
    while waiting:
        here, way = waiting.pop()
        if here.id == begin.id:
            return f"{_CIRCLE} of layers: {' → '.join((*way, way[0]))}"
        if here.id in seen:
            continue
        seen.add(here.id)
        for path, other in here.files.items():
            following = execs.get((here.project, other.header.next)) if other.header.next else None
            if following is not None:
                waiting.append((following, (*way, f"{here.id}/{path}")))
    return ""


def _make_folders(root: Path, folder: Path) -> None:
    """Others than we may read what lies there: the workers run as a user of their own."""
    for each in reversed([folder, *folder.parents]):
        if each.is_relative_to(root) and not each.exists():
            each.mkdir(mode=0o755)
            each.chmod(0o755)


def _replace(place: Path, data: bytes) -> None:
    descriptor, name = tempfile.mkstemp(dir=place.parent, prefix=".new-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            os.fchmod(file.fileno(), 0o644)
        Path(name).replace(place)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _no_name(path: str) -> Fault:
    return Fault("script.invalid", f"{quoted(path, 200)} is no path of a script: plain names, ending in .py.")


def _missing(project: str, name: str, path: str) -> Fault:
    return Fault("api.not_found", f"There is no script {quoted(f'{project}/{name}/{path}', 200)}.")


def _unusable(error: OSError) -> Fault:
    return Fault("store.unavailable", "The folder of the scripts cannot be used.", cause=str(error))
