from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.supervisor.yard import ORDINARY, Yard, open_yard


@pytest.fixture(scope="module", params=["root", "ordinary", "root-podman"])
def yard(request: pytest.FixtureRequest) -> Iterator[Yard]:
    if shutil.which("bwrap") is None:
        pytest.skip("bubblewrap is not installed")
    if request.param != "ordinary" and os.geteuid() != 0:
        pytest.skip("not root")
    if request.param == "root-podman" and shutil.which("crun") is None:
        pytest.skip("crun is not installed")
    with open_yard(ORDINARY if request.param == "ordinary" and os.geteuid() == 0 else None) as opened:
        opened.runtime = "podman" if request.param == "root-podman" else "bubblewrap"
        yield opened


@pytest.fixture
def folder(yard: Yard) -> Iterator[Path]:
    """A folder of whoever runs the yard."""
    made = Path(tempfile.mkdtemp(prefix="bawn-work-", dir="/var/tmp"))
    if yard.uid is not None:
        os.chown(made, yard.uid, yard.uid)
    yield made
    shutil.rmtree(made)


@pytest.fixture
def own_yard() -> Iterator[Callable[[], Yard]]:
    """A yard for one test, which may break it."""
    with contextlib.ExitStack() as stack:
        yield lambda: stack.enter_context(open_yard())
