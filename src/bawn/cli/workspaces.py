"""What an agent changed in its private copy, and bringing it over: `bawn diff dev`, `bawn apply dev`."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from bawn import sdk
from bawn.cli import output
from bawn.cli.options import Output, Ref
from bawn.cli.output import Format
from bawn.sdk.shapes import Change

SIGNS = {"added": "A", "removed": "D", "modified": "M", "mode": "m", "replaced": "T"}
LOOK_S = 10.0

Paths = Annotated[
    list[str] | None, typer.Argument(help="Files or folders of it; none: everything.", show_default=False)
]
Yes = Annotated[bool, typer.Option("-y", "--yes", help="Do not ask.")]


def diff(
    ref: Ref,
    paths: Paths = None,
    stat: Annotated[bool, typer.Option("--stat", help="Only which files, not what in them.")] = False,
    form: Output = Format.TABLE,
) -> None:
    """Show what the agent changed in its private copy.

    Example: bawn diff dev --stat
    """
    with sdk.Client() as client:
        changes = chosen(client.containers.diff(ref), paths or [])
    if form is Format.JSON:
        output.show(changes, (), form)
        return
    show(changes, whole=not stat)


def apply(ref: Ref, paths: Paths = None, yes: Yes = False) -> None:
    """Bring an agent's changes over to the directory, after a look; guarded files only by their names.

    Example: bawn apply dev src/main.py
    """
    with sdk.Client() as client:
        bring_over(client, ref, paths or [], yes=yes)


def chosen(changes: Sequence[Change], paths: Sequence[str]) -> list[Change]:
    if not paths:
        return [*changes]
    return [
        change
        for change in changes
        if any(path in (".", change.path) or change.path.startswith(path.rstrip("/") + "/") for path in paths)
    ]


def bring_over(client: sdk.Client, ref: str, paths: Sequence[str], *, yes: bool) -> bool:
    """Shows, asks, and brings over what was shown and nothing else."""
    pending = [change for change in chosen(client.containers.diff(ref), paths) if not change.applied]
    wanted = [change for change in pending if not change.guarded or change.path in paths]
    show(pending, whole=not yes)
    if len(wanted) < len(pending):
        output.note(
            "Guarded files, which this machine may run or obey, are left: name them one by one to bring them over."
        )
    if not wanted:
        output.note("There is nothing to bring over.")
        return False
    if not yes and not typer.confirm(f"Bring {counted(len(wanted))} over?", err=True):
        return False
    applied = client.containers.apply(ref, paths, seen=[change.digest for change in wanted])
    failed = [each for each in applied if not each.done]
    output.say(f"{counted(sum(each.done for each in applied))} brought over.")
    for each in failed:
        output.note(f"{one_line(each.path)}: {each.reason}; this one and those after it were left.")
    if failed:
        raise typer.Exit(1)
    return True


def counted(count: int) -> str:
    return "1 change" if count == 1 else f"{count} changes"


def one_line(path: str) -> str:
    return output.clean(path)


def show(changes: Sequence[Change], *, whole: bool) -> None:
    for change in changes:
        output.say(f"{SIGNS.get(change.status, '?')} {one_line(change.path)}{told(change)}")
    if whole:
        for change in changes:
            if change.diff:
                output.say_part("\n" + change.diff)


def told(change: Change) -> str:
    """What a line-by-line difference does not say."""
    facts = []
    if change.kind == "link":
        facts.append(f"link to {one_line(change.target or change.target_before or '')}")
    if change.binary and change.kind != "link":
        facts.append("not text")
    elif change.diff is None and change.kind != "link":
        facts.append("too long to show")
    if change.mode is not None and change.mode_before is not None and (change.mode ^ change.mode_before) & 0o111:
        facts.append(f"mode {change.mode_before:04o} → {change.mode:04o}")
    elif change.mode_before is None and change.mode is not None and change.mode & 0o111 and change.kind == "file":
        facts.append("executable")
    facts += [
        word
        for word, holds in (
            ("guarded", change.guarded),
            ("conflict", change.conflict),
            ("there already", change.applied),
        )
        if holds
    ]
    return f"  ({', '.join(facts)})" if facts else ""


def has_uncommitted_work(folder: Path) -> bool:
    """Whether this is a repository of git in which something is not committed; one that cannot be asked counts so."""
    if not (folder / ".git").exists():
        return False
    # The operator's own git; what the repository says about programs to run is not obeyed.
    argv = [
        "git",
        "-c",
        "core.fsmonitor=",
        "-c",
        "core.hooksPath=/dev/null",
        "-C",
        str(folder),
        "status",
        "--porcelain",
    ]
    try:
        said = subprocess.run(argv, capture_output=True, timeout=LOOK_S, check=True, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.SubprocessError):
        return True
    return bool(said.stdout.strip())
