"""The files by which an agent in a box reports, by their path there. Standard library only: the supervisor reads this file.

They are shown read-only over the image, so that images of others have them too and nobody inside can change them. The
agents find them where no project and no user can outdo them: `/etc/opencode`, `/etc/claude-code`, `/etc/codex`.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path

_BOX = Path(__file__).with_name("box")

_FOLDERS = {"claude-code": ("claude-code", "hooks"), "codex": ("codex", "hooks"), "opencode": ("opencode",)}
"""Which folders of `box` an agent's adapter is made of."""
AGENTS = tuple(_FOLDERS)


def files(agents: Iterable[str]) -> dict[str, str]:
    """Text by absolute path, for `agents`, which are some of AGENTS."""
    found: dict[str, str] = {}
    for agent in agents:
        for folder in _FOLDERS[agent]:
            found |= _texts(folder)
    return found


@cache
def _texts(folder: str) -> dict[str, str]:
    top = _BOX / folder
    paths = sorted(path for path in top.rglob("*") if path.is_file())
    return {f"/{path.relative_to(top)}": path.read_text(encoding="utf-8") for path in paths}
