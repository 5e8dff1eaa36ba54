"""The five days of docs/interception.md, as they stand there, and scripts of the gallery in a real container."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.installation import BAWN, Container, Installation, until

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "interception.md").read_text()
ALL = "api/v1/[...path].py"


def blocks(day: int, kind: str = "sh") -> list[str]:
    """The blocks of a day."""
    text = PAGE.split(f"### Day {day}:")[1].split("\n### ")[0].split("\n## ")[0]
    return re.findall(rf"```{kind}\n(.*?)```", text, re.DOTALL)


@pytest.fixture(scope="module")
def scripts(yard: Installation) -> Iterator[Installation]:
    yield yard
    for script in yard.json("scripts", "list"):
        yard.bawn("scripts", "remove", script["path"])


def typed(dev: Container, block: str) -> str:
    """A block as a person types it, in the repository, for this container."""
    line = block.replace("exec dev --", f"exec {dev.name} --").replace("container-dev", dev.token)
    ran = subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", line],
        cwd=ROOT,
        env={**dev.yard.environment, "PATH": f"{BAWN.parent}:{dev.yard.environment['PATH']}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, f"{line}\n{ran.stdout}{ran.stderr}"
    return ran.stdout


def test_five_days(scripts: Installation, dev: Container) -> None:
    [log] = blocks(1)
    said = typed(dev, log)
    assert "good morning" in said
    assert "200, model scripted/echo" in said

    [cache] = blocks(2)
    said = typed(dev, cache)
    ids = re.findall(r'"id": ?"(chatcmpl-[^"]+)"', said)
    assert len(ids) > 2
    assert len(set(ids)) == 1
    assert "data: [DONE]" in said

    [route] = blocks(3)
    assert "a short question" in typed(dev, route)
    assert "I was told" not in typed(dev, route), "that is what the dear model would have said"

    ask, answer = blocks(4)
    said = typed(dev, ask)
    [ticket] = set(re.findall(r"apr_[0-9a-f]{32}", said.split("request ")[1].split(")")[0]))
    digest = scripts.json("approvals", "show", ticket)["digest"]
    answer = answer.replace("approve apr_0123456789abcdef", f"approve {ticket} --digest {digest}")
    said = typed(dev, answer.replace("apr_0123456789abcdef", ticket))
    assert '"content":"deploy it to production"' in said.replace('": "', '":"')

    [required] = blocks(4, "yaml")
    before = scripts.config.read_text()
    scripts.config.write_text(before + required.replace("dev:", f"{dev.name}:"))
    try:
        scripts.done("config", "reload")
        assert dev.ask("drop the table")[0] == 425, "no URL leads round it"
        assert dev.ask("good morning")[0] == 200
    finally:
        scripts.config.write_text(before)
        scripts.done("config", "reload")

    [cascade] = blocks(5)
    said = typed(dev, cascade)
    [task] = set(re.findall(r"Task ID: (tsk_[0-9a-f]{32})", said))
    assert task in said.rpartition("Task ID")[2]
    scripts.bawn("tasks", "cancel", task)
    until(lambda: f"{task} has ended" in scripts.done("scripts", "logs", "5").out, "the report came to the script")


def put(scripts: Installation, name: str, exec_id: str) -> None:
    scripts.done("scripts", "write", f"default/{exec_id}/{ALL}", str(ROOT / "examples" / "scripts" / f"{name}.py"))


def called(dev: Container, exec_id: str, tool: str, arguments: dict[str, Any]) -> Any:
    return dev.found("call_a_tool", f"http://exec-{exec_id}.bawn.internal/api/v1", tool, json.dumps(arguments))


def test_tool_calls_are_changed_before_an_agent_sees_them(scripts: Installation, dev: Container) -> None:
    put(scripts, "sandbox_writes", "8")
    for name, arguments in called(dev, "8", "write_file", {"path": "/etc/motd", "content": "x"}):
        assert (name, arguments["path"]) == ("write_file", "/sandbox/etc/motd")
    put(scripts, "command_blocking", "8")
    for name, arguments in called(dev, "8", "bash", {"command": "sudo rm -rf /"}):
        assert (name, arguments["original"]) == ("blocked_command", "sudo rm -rf /")


def test_what_an_agent_wrote_is_committed_in_its_container(scripts: Installation, dev: Container) -> None:
    put(scripts, "versioned_writes", "9")
    dev.sh("mkdir -p /tmp/kept && echo a word > /tmp/kept/notes.md")
    called(dev, "9", "write_file", {"path": "/tmp/kept/notes.md", "content": "a word", "description": "write a word"})
    assert "AI: write a word" in dev.sh("git -C /tmp/kept log --format=%s").out
