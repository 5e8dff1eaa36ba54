"""What this machine has, and the image that survives test runs."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from tests.e2e.installation import SOURCES, Installation

KEPT = Path(__file__).parents[2] / "build" / "e2e"
"""Outside everything that is kept in version control; `make clean` takes it away."""
ORDINARY = "bawn-e2e"
"""The ordinary user, made for the tests when they run as root."""


def lacking() -> str:
    """Why no container can be made here; empty when one can."""
    if shutil.which("bwrap") is None:
        return "bubblewrap is not installed"
    argv = ["bwrap", "--unshare-all", "--ro-bind", "/", "/", "true"]
    tried = subprocess.run(argv, capture_output=True, text=True, check=False)
    return "" if tried.returncode == 0 else f"bubblewrap does not work on this machine: {tried.stderr.strip()}"


def new_place() -> Path:
    """A short path: the name of a unix socket may have 107 bytes. Nobody else may look into it."""
    place = Path(tempfile.mkdtemp(prefix="bawn-e2e-", dir="/var/tmp"))
    place.chmod(0o711)
    (place / "config").mkdir()
    (place / "home").mkdir(mode=0o700)
    return place


def keep_images(yard: Installation) -> None:
    """Images of this installation lie where the next test run finds them."""
    kept = KEPT / "images"
    kept.mkdir(mode=0o700, parents=True, exist_ok=True)
    for unfinished in kept.glob(".*-*"):
        shutil.rmtree(unfinished, ignore_errors=True)
    (yard.home / "images").symlink_to(kept)


def agent_image(yard: Installation) -> None:
    """The image `agent`, built when there is none yet or when its recipe has changed."""
    recipe = hashlib.sha256((SOURCES / "bawn" / "sandbox" / "recipes.py").read_bytes())
    stamp = KEPT / "recipe"
    same = stamp.exists() and stamp.read_text() == recipe.hexdigest()
    if same and _usable(yard):
        return
    if shutil.which("mmdebstrap") is None:
        pytest.skip("mmdebstrap is not installed, which builds the image")
    yard.done("images", "build", "agent", wait_s=1500)
    stamp.write_text(recipe.hexdigest())


def _usable(yard: Installation) -> bool:
    return any(image["name"] == "agent" and image["built"] for image in yard.json("images", "list"))
