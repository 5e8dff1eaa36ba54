"""A recorded session tried by the command line: a block for each call, in colours on a terminal only."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import sys
from pathlib import Path

import pytest
from tests.api.test_replay import RULES, line, log, user
from tests.api.yard import Yard
from tests.cli.test_commands import Bawn, bawn, environment

__all__ = ["bawn", "log"]


@pytest.fixture
def file(tmp_path: Path) -> str:
    place = tmp_path / "tried.json"
    place.write_text(RULES)
    return str(place)


@pytest.mark.usefixtures("log")
async def test_a_call_is_told_in_a_block_and_what_stands_in_later_ones_is_named(bawn: Bawn, file: str) -> None:
    done = await bawn("rules", "test", file, "--replay", "ses_1")
    assert done.code == 0
    assert done.out == (
        "1. call_1  2030-01-01 12:00Z  scripted/agent  200 ok\n"
        "   chat.system.transform  guard  prompt-inject\n"
        "@@ -1,4 +1,6 @@\n [system]\n You are an agent.\n+\n+Be careful.\n [user]\n hello\n"
        "\n"
        "2. call_2  2030-01-01 12:00Z  scripted/agent  200 ok\n"
        "   stands in it from before: guard\n"
        "\n"
        "2 calls of ses_1 in dev, 1 rules: fired guard 1.\n"
    )
    assert done.err == "1 lines of the request log cannot be read.\n"


@pytest.mark.usefixtures("log")
async def test_a_refusal_is_told_with_what_is_not_known_behind_it(bawn: Bawn, file: str) -> None:
    done = await bawn("rules", "test", file, "--replay", "ses_1", "--rule", "no")
    assert "   refused: A rule refuses this: no\n" in done.out
    assert "In 1 of them nothing would have happened." in done.out
    assert "as it was recorded" in done.err
    told = json.loads((await bawn("rules", "test", file, "--replay", "ses_1", "--rule", "no", "-o", "json")).out)
    assert [call["refused"] for call in told["calls"]] == ["", "A rule refuses this: no"]


async def test_hostile_words_do_not_paint_the_terminal(bawn: Bawn, log: Path, file: str) -> None:
    (log / "container-1.jsonl").write_text(line("1", user("\x1b[31mred")))
    done = await bawn("rules", "test", file, "--replay", "ses_1")
    assert "\\x1b[31mred" in done.out
    assert "\x1b" not in done.out


@pytest.mark.usefixtures("log")
async def test_a_diff_has_colours_on_a_terminal(yard: Yard, tmp_path: Path, file: str) -> None:
    def told() -> bytes:
        pid, terminal = pty.fork()
        if pid == 0:
            words = [sys.executable, "-m", "bawn", "rules", "test", file, "--replay", "ses_1"]
            os.execve(sys.executable, words, environment(yard, tmp_path))
        said = b""
        while True:
            try:
                said += os.read(terminal, 4096)
            except OSError:  # it has ended
                os.waitpid(pid, 0)
                return said

    assert b"\x1b[32m+Be careful.\x1b[0m" in await asyncio.to_thread(told)


async def test_what_is_tried_is_one_thing(bawn: Bawn, file: str) -> None:
    for words in ((), ("--event", file, "--replay", "ses_1")):
        done = await bawn("rules", "test", file, *words)
        assert done.code == 2
        assert "--replay" in done.err


async def test_without_a_log_the_way_to_it_is_said(bawn: Bawn, yard: Yard) -> None:
    yard.logs = False
    done = await bawn("rules", "test", "--replay", "ses_1")
    assert done.code != 0
    assert "the request log is switched off" in done.err
    assert "`log: {}` under `transforms`" in done.err
