"""The scripted provider as a process of its own, on a loopback port, with a record of what reached it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct

import bawn


class Running(Struct, frozen=True):
    address: str
    """`host:port`, or the path of the unix socket."""
    record: Path

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    def entries(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.record.read_text().splitlines()]


@contextmanager
def running(record: Path, *options: str, pass_fds: tuple[int, ...] = ()) -> Iterator[Running]:
    source = str(Path(str(bawn.__file__)).parent.parent)
    process = subprocess.Popen(
        [sys.executable, "-m", "bawn.inference", *options, "--record", str(record)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": source},
        pass_fds=pass_fds,
    )
    assert process.stdout is not None
    try:
        yield Running(process.stdout.readline().removeprefix("ready ").strip(), record)
    finally:
        process.terminate()
        process.wait(10)
        process.stdout.close()


@pytest.fixture(scope="session")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("provider") / "record.jsonl", "--tcp", "127.0.0.1:0") as started:
        yield started


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Starts a provider of the test's own, with the script and options given."""
    open_ones = []

    def begin(script: str = "", *options: str, pass_fds: tuple[int, ...] = ()) -> Running:
        path = tmp_path / "script.yaml"
        path.write_text(script)
        where = options or ("--tcp", "127.0.0.1:0")
        one = running(tmp_path / "record.jsonl", *where, "--script", str(path), pass_fds=pass_fds)
        started = one.__enter__()
        open_ones.append(one)
        return started

    yield begin
    for one in open_ones:
        one.__exit__(None, None, None)
