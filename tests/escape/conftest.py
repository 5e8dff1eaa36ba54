from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.escape.grounds import GROUNDS, Ground, lacking
from tests.supervisor.yard import Yard, open_yard

SHORT = ("crun", "")
"""The grounds of every run: crun and bubblewrap. With runc and gVisor, which take longer, the long run tries them all."""


@pytest.fixture(
    scope="session",
    params=[
        pytest.param(each, marks=() if each.program in SHORT and each.runtime != "runsc" else pytest.mark.slow)
        for each in GROUNDS
    ],
    ids=str,
)
def ground(request: pytest.FixtureRequest) -> Ground:
    found: Ground = request.param
    if not found.ordinary and os.geteuid() != 0:
        pytest.skip("not root")
    return found


@pytest.fixture(scope="session")
def yard(ground: Ground) -> Iterator[Yard]:
    if ground.program and shutil.which(ground.program) is None:
        pytest.skip(f"{ground.program} is not installed")
    with open_yard(ground.uid, ground.further) as opened:
        if reason := lacking(ground, opened):
            pytest.skip(f"{ground}: {reason}")
        yield opened


@pytest.fixture
def folder(ground: Ground) -> Iterator[Path]:
    """A folder of whoever runs the yard."""
    made = Path(tempfile.mkdtemp(prefix="bawn-work-", dir="/var/tmp"))
    if ground.uid is not None:
        os.chown(made, ground.uid, ground.uid)
    yield made
    shutil.rmtree(made)
