"""`python -m bawn.app.compile`: translate the gateway's hot path with mypyc, for `bawn.app.compiled` to find.

Where that is not possible (no C compiler, no headers of Python, no setuptools) it says so and ends well: Bawn
then runs the same modules as Python. `--needed` makes it an error. mypyc and setuptools are tools of the
development environment; nothing of them is there when Bawn runs.
"""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

from bawn.app import compiled

_SOURCES = Path(compiled.__file__).parents[2]
_CONFIG = _SOURCES.parent / "pyproject.toml"


def main(words: list[str]) -> int:
    if words[:1] == ["--translate"]:
        _translate(Path(words[1]))
        return 0
    place = compiled.folder()
    if place.is_dir():
        return 0
    trouble = _missing() or _built(place)
    if trouble:
        sys.stderr.write(f"compile: {trouble}\ncompile: the gateway runs as plain Python, at half the speed\n")
    return 1 if trouble and "--needed" in words else 0


def _missing() -> str:
    if shutil.which("gcc") is None and shutil.which("cc") is None:
        return "there is no C compiler"
    if not (Path(sysconfig.get_path("include")) / "Python.h").exists():
        return "the headers of Python are missing"
    return ""


def _built(place: Path) -> str:
    """Builds into `place`; what went wrong, or nothing."""
    sys.stderr.write("compile: translating the gateway's hot path; this takes a minute\n")
    place.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place.parent) as name:
        done = subprocess.run(
            [sys.executable, "-m", "bawn.app.compile", "--translate", name],
            cwd=_SOURCES,
            env={**os.environ, "CFLAGS": "-w -g0"},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            return (done.stderr or done.stdout).strip()[-1000:] or f"the translator ended with {done.returncode}"
        made = Path(name) / "made"
        for older in place.parent.iterdir():
            if older != Path(name):
                shutil.rmtree(older, ignore_errors=True)
        made.rename(place)
    return ""


def _translate(work: Path) -> None:
    mypycify = importlib.import_module("mypyc.build").mypycify
    distribution = importlib.import_module("setuptools").Distribution
    extensions = mypycify(
        [
            *("--config-file", str(_CONFIG), "--cache-dir", str(work / "mypy")),
            *(str(compiled.source(module)) for module in compiled.MODULES),
        ],
        opt_level="3",
        debug_level="0",
        group_name=compiled.GROUP,
        target_dir=str(work / "c"),
    )
    build = distribution({"name": "bawn", "ext_modules": extensions}).get_command_obj("build_ext")
    build.build_lib, build.build_temp = str(work / "lib"), str(work / "objects")
    build.ensure_finalized()
    build.run()
    made = work / "made"
    made.mkdir(mode=0o755)
    for library in (work / "lib").rglob("*.so"):
        shutil.copy(library, made / ".".join(library.relative_to(work / "lib").parts))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
