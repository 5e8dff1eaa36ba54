"""`bawn tasks` as a process."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from tests.api.yard import Yard
from tests.cli.test_commands import Done, environment, started

Bawn = Callable[..., Awaitable[Done]]


@pytest.fixture
def bawn(yard: Yard, tmp_path: Path) -> Bawn:
    async def run(*words: str, stdin: bytes = b"") -> Done:
        return await started("tasks", *words, env=environment(yard, tmp_path), stdin=stdin)

    return run


async def test_a_task_is_waited_for_and_its_answer_cannot_paint_the_terminal(yard: Yard, bawn: Bawn) -> None:
    done = await bawn("run", "-", "--model", "scripted/demo", "--wait", stdin=b"printf 'a \\302\\233 b'")
    assert done.code == 0, done.err
    assert "completed" in done.out
    assert "a \\x9b b" in done.out
    failed = await bawn("run", "exit 3", "--wait", "-o", "json")
    assert (failed.code, json.loads(failed.out)["exit_code"]) == (1, 3)


async def test_a_held_task_is_listed_executed_and_cancelled(yard: Yard, bawn: Bawn) -> None:
    held = json.loads((await bawn("run", "exec sleep 60", "--hold", "-o", "json")).out)
    [listed] = json.loads((await bawn("list", "--state", "waiting", "-o", "json")).out)
    assert (listed["id"], listed["prompt"]) == (held["id"], None)
    assert f"{held['id']} is running." in (await bawn("execute", held["id"])).out
    assert f"{held['id']} is cancelled." in (await bawn("cancel", held["id"])).out
    assert "exec sleep 60" in (await bawn("show", held["id"])).out


async def test_a_refusal_is_told_with_its_code(bawn: Bawn) -> None:
    refused = await bawn("run", "x", "--base-url", "https://api.openai.com/v1")
    assert refused.code == 1
    assert "[task.address_refused]" in refused.err
