"""The files of scripts, loaded when they are first asked for and again when they were changed.

A version that does not load is refused with file and line, and the one before it stays. What changed is seen by the
file's time, size and inode, looked at with every request.
"""

from __future__ import annotations

import inspect
import itertools
import sys
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

from bawn.scripts.header import BadHeader, Header, read

SIZE_LIMIT = 4 << 20
Handle = Callable[[Any, Any, Any], Awaitable[object]]
Stamp = tuple[int, int, int]
_NEVER: Stamp = (0, 0, 0)
_PREFIX = "script_of_bawn_"


class NotLoaded(Exception):
    """There is no version of the file that could run; `cause` says where."""

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause


@dataclass(frozen=True, slots=True)
class Script:
    """One version of a file, ready to run."""

    name: str
    header: Header
    handle: Handle


@dataclass(slots=True)
class _Known:
    stamp: Stamp
    """Of the version that was tried last."""
    script: Script | None
    error: str


class Scripts:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[str, _Known] = {}
        self._numbers = itertools.count(1)

    def script(self, name: str) -> Script:
        """The newest version that loads. Raises NotLoaded."""
        path = self._folder / name
        known = self._known.get(name)
        try:
            found = path.stat()
        except OSError:
            self._known.pop(name, None)
            raise NotLoaded(f"{name}: there is no such file") from None
        stamp = (found.st_mtime_ns, found.st_size, found.st_ino)
        if known is None or known.stamp != stamp:
            known = self._known[name] = self._load(name, path, stamp, known.script if known else None)
        if known.script is None:
            raise NotLoaded(known.error)
        return known.script

    def all(self) -> list[str]:
        """Every script there is."""
        return sorted(
            str(path.relative_to(self._folder)) for path in self._folder.glob("api/**/*.py") if path.is_file()
        )

    def look(self) -> None:
        """Loads every file anew, with the modules of the project's own that they import."""
        own = f"{self._folder.parent}/"
        for name, module in list(sys.modules.items()):
            if not name.startswith(_PREFIX) and (getattr(module, "__file__", None) or "").startswith(own):
                del sys.modules[name]
        for known in self._known.values():
            known.stamp = _NEVER
        for name in self.all():
            try:
                self.script(name)
            except NotLoaded:
                continue
        for name in set(self._known) - set(self.all()):
            del self._known[name]

    def told(self) -> dict[str, dict[str, object]]:
        return {
            name: {
                "loaded": known.script is not None,
                "error": known.error,
                "mode": known.script.header.mode if known.script else "",
                "log_level": known.script.header.log_level if known.script else "",
                "timeout": known.script.header.timeout_s if known.script else 0,
            }
            for name, known in sorted(self._known.items())
        }

    def _load(self, name: str, path: Path, stamp: Stamp, before: Script | None) -> _Known:
        try:
            return _Known(stamp, self._made(name, path), "")
        except BadHeader as error:
            cause = f"{name}:{error.line}: {error.sentence}"
        except SyntaxError as error:
            where = error.filename or ""
            cause = f"{self.shown(where) if where.startswith(str(self._folder)) else name}:{error.lineno}: {error.msg}"
        except NotLoaded as error:
            cause = error.cause
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever the file does when it is run
            cause = self.cause(error)
            traceback.print_exc()
        sys.stderr.write(f"not loaded: {cause}\n")
        return _Known(stamp, before, cause)

    def _made(self, name: str, path: Path) -> Script:
        data = path.read_bytes()
        if len(data) > SIZE_LIMIT:
            raise NotLoaded(f"{name}: the file is longer than {SIZE_LIMIT} bytes")
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            raise NotLoaded(f"{name}:{line}: the file is not UTF-8") from None
        header = read(text)
        module = ModuleType(f"{_PREFIX}{next(self._numbers)}", None)
        module.__file__ = str(path)
        # A name by which pickle, dataclasses and typing find it again.
        sys.modules[module.__name__] = module
        try:
            exec(compile(text, str(path), "exec", dont_inherit=True), module.__dict__)  # noqa: S102 - it is a script
            handle = getattr(module, "handle", None)
            if not inspect.iscoroutinefunction(handle):
                line = handle.__code__.co_firstlineno if inspect.isfunction(handle) else 1
                raise NotLoaded(f"{name}:{line}: there is no `async def handle(req, res, ctx)`")
            try:
                inspect.signature(handle).bind(None, None, None)
            except TypeError:
                raise NotLoaded(f"{name}:{handle.__code__.co_firstlineno}: handle must take req, res, ctx") from None
        except BaseException:
            del sys.modules[module.__name__]
            raise
        return Script(name, header, handle)

    def shown(self, filename: str) -> str:
        """A file of scripts by its short name."""
        return filename.removeprefix(f"{self._folder}/")

    def cause(self, error: BaseException) -> str:
        """`file:line: Kind: message` of the last frame that is the operator's own."""
        where = ""
        frames: TracebackType | None = error.__traceback__
        for frame, line in traceback.walk_tb(frames):
            filename = frame.f_code.co_filename
            if filename.startswith(str(self._folder.parent) + "/"):
                where = f"{self.shown(filename)}:{line}: "
        message = " ".join(str(error).split())[:300]
        return f"{where}{type(error).__name__}" + (f": {message}" if message else "")
