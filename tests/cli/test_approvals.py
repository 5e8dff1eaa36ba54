"""`bawn approvals` as a process: what is asked is shown as it is, and nothing unseen is approved."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from tests.api.test_approvals import LS, asked, used
from tests.api.yard import Yard
from tests.cli.test_commands import Done, environment, started

from bawn.stages.judging import Granted

Bawn = Callable[..., Awaitable[Done]]


@pytest.fixture
def bawn(yard: Yard, tmp_path: Path) -> Bawn:
    async def run(*words: str, stdin: bytes = b"") -> Done:
        return await started("approvals", *words, env=environment(yard, tmp_path), stdin=stdin)

    return run


async def test_what_waits_is_listed_shown_and_answered_by_its_digest(yard: Yard, bawn: Bawn) -> None:
    ticket = await asked(yard)
    [listed] = json.loads((await bawn("list", "-o", "json")).out)
    assert (listed["id"], listed["arguments"]) == (ticket.id, None)
    shown = await bawn("show", ticket.id[:12])
    assert '"command": "ls"' in shown.out
    assert ticket.digest in shown.out
    done = await bawn("approve", ticket.id, "--digest", ticket.digest, "--reason", "fine")
    assert done.code == 0, done.err
    assert "is approved by" in done.out
    assert isinstance(await used(yard, ticket), Granted)


async def test_nothing_unseen_is_approved(yard: Yard, bawn: Bawn) -> None:
    ticket = await asked(yard)
    unseen = await bawn("approve", ticket.id)
    assert unseen.code == 1
    assert "--digest" in unseen.err
    other = await bawn("approve", ticket.id, "--digest", "0" * 64)
    assert "[approval.changed]" in other.err
    assert [each.id for each in yard.desk.open()] == [ticket.id]


async def test_other_arguments_come_from_stdin(yard: Yard, bawn: Bawn) -> None:
    ticket = await asked(yard)
    done = await bawn("approve", ticket.id, "--digest", ticket.digest, "--arguments", "-", stdin=b'{"command":"pwd"}\n')
    assert done.code == 0, done.err
    said = await used(yard, ticket)
    assert isinstance(said, Granted)
    assert said.arguments == '{"command":"pwd"}'


async def test_a_rejection_says_why(yard: Yard, bawn: Bawn) -> None:
    ticket = await asked(yard)
    assert "is rejected by" in (await bawn("reject", ticket.id, "--digest", ticket.digest, "--reason", "no")).out
    assert (await bawn("list")).out.count(ticket.id) == 0
    assert (await bawn("list", "--state", "all")).out.count(ticket.id) == 1


async def test_hostile_text_cannot_paint_the_terminal(yard: Yard, bawn: Bawn) -> None:
    ticket = await asked(yard, '{"x":"\u202e\x9b2J"}', tool="\x1b[2Jbash\u202e", because="a\nb\x07")
    for words in (("list",), ("show", ticket.id)):
        done = await bawn(*words)
        assert not {"\x1b", "\u202e", "\x9b", "\x07"} & set(done.out)
        assert "\\x1b[2J" in done.out


async def test_watching_without_a_terminal_is_a_line_for_each_change(yard: Yard, tmp_path: Path) -> None:
    ticket = await asked(yard)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bawn", "approvals", "watch",
        env=environment(yard, tmp_path), stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    async with asyncio.timeout(20):
        first = (await process.stdout.readline()).decode()
        await yard.desk.reject(ticket.id, ticket.digest, next(iter(yard.operators.list())).operator)
        second = (await process.stdout.readline()).decode()
    process.terminate()
    await process.wait()
    assert [line.split()[:2] for line in (first, second)] == [[ticket.id, "open"], [ticket.id, "rejected"]]


async def test_on_a_terminal_a_person_is_shown_what_is_asked_and_says_yes(yard: Yard, tmp_path: Path) -> None:
    ticket = await asked(yard, LS)

    def converse() -> bytes:
        pid, terminal = pty.fork()
        if pid == 0:
            words = [sys.executable, "-m", "bawn", "approvals", "approve", ticket.id]
            os.execve(words[0], words, environment(yard, tmp_path))
        seen = b""
        answered = False
        while True:
            try:
                data = os.read(terminal, 4096)
            except OSError:
                break
            if not data:
                break
            seen += data
            if b"Approve this?" in seen and not answered:
                answered = True
                os.write(terminal, b"y\n")
        os.waitpid(pid, 0)
        os.close(terminal)
        return seen

    async with asyncio.timeout(20):
        seen = (await asyncio.to_thread(converse)).decode()
    assert seen.index('"command": "ls"') < seen.index("Approve this?") < seen.index("is approved by")
    assert isinstance(await used(yard, ticket), Granted)
