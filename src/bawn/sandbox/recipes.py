"""What is in each image: data, read by `images`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Recipe:
    packages: tuple[str, ...]
    """Debian packages beyond the minimal base."""
    customize: tuple[str, ...] = ()
    """Shell lines run by mmdebstrap at the end, with the root of the image as $1."""
    npm: tuple[str, ...] = ()
    links: Mapping[str, str] = field(default_factory=dict)
    """Commands in /usr/local/bin: name → pattern beneath the npm prefix."""
    python: tuple[str, ...] = ()
    """PyPI packages, put into /opt/sdks."""


_FURNISHING = (
    'chroot "$1" useradd --uid 1000 --user-group --create-home --shell /bin/bash agent',
    'mkdir -p "$1/workspace"',
    # Plain files, for the box's own to be put over; the base may have left links or nothing.
    'rm -f "$1/etc/resolv.conf" "$1/etc/hostname" "$1/etc/hosts"',
    'touch "$1/etc/resolv.conf" "$1/etc/hostname" "$1/etc/hosts" "$1/etc/nsswitch.conf"',
    'echo /opt/sdks > "$1/usr/lib/python3/dist-packages/bawn-sdks.pth"',
    'rm -rf "$1/var/lib/apt/lists" "$1/var/cache/apt"',
    'mkdir -p "$1/var/lib/apt/lists" "$1/var/cache/apt"',
)

_BASE = (
    "bash",
    "ca-certificates",
    "coreutils",
    "curl",
    "diffutils",
    "file",
    "findutils",
    "git",
    "less",
    "patch",
    "procps",
    "python3",
    "ripgrep",
)
_PYTHON = ("build-essential", "python3-dev", "python3-pip", "python3-venv")
_NODE = ("nodejs", "npm")

RECIPES: dict[str, Recipe] = {
    "agent": Recipe(
        packages=(*_BASE, *_NODE, "python3-venv"),
        customize=_FURNISHING,
        npm=("opencode-ai@1.18.33",),
        links={"opencode": "node_modules/opencode-linux-*64/bin/opencode"},
        python=("anthropic", "openai"),
    ),
    "agent-base": Recipe(packages=_BASE, customize=_FURNISHING),
    "agent-python": Recipe(packages=(*_BASE, *_PYTHON), customize=_FURNISHING, python=("anthropic", "openai")),
    "agent-node": Recipe(packages=(*_BASE, *_NODE), customize=_FURNISHING),
}
