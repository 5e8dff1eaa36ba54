"""The files by which agents report stand in every box, and a real agent uses them there."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.clients.conftest import installed as installed_client
from tests.e2e.installation import Container, Installation, until

from bawn.adapters import installed
from bawn.terms.exchange import Endpoint

ALL = sorted(installed.files(installed.AGENTS))
RULES = """\
mitm:
  rules:
    - {id: begun, trigger: {event: session.created}, action: {type: notification, title: begun}}
    - {id: before, trigger: {event: tool.execute.before}, action: {type: notification, title: before}}
    - id: after
      trigger: {event: tool.execute.after}
      action: {type: shell, command: 'echo "$MITM_SESSION_TITLE" >> /var/log/told.log'}
    - id: never-this
      trigger: {event: chat.message, role: user, contentMatch: never this}
      action: {type: block, reason: The house says no to this one.}
"""


@pytest.fixture(scope="module")
def ruled(yard: Installation) -> Iterator[Installation]:
    before = yard.config.read_text()
    yard.config.write_text(before + RULES)
    yard.done("config", "reload")
    yield yard
    yard.config.write_text(before)
    yard.done("config", "reload")


def test_every_box_has_the_files_and_nobody_inside_can_change_them(dev: Container) -> None:
    assert dev.bawn("cat", *ALL).out == "".join(installed.files(installed.AGENTS)[path] for path in ALL)
    tries = "; ".join(f"(echo x > {path} || rm -f {path} || mv {path} /tmp/x) && echo {path}" for path in ALL)
    more = "(echo x > /etc/opencode/opencode.jsonc || mkdir /etc/claude-code/more || mv /etc/bawn /etc/x) && echo more"
    assert dev.sh(f"{tries}; {more}; true").out == ""


def test_a_box_starts_without_an_adapter_that_was_removed(yard: Installation, runtime: str) -> None:
    yard.done("adapters", "remove", "codex")
    try:
        assert [each["agent"] for each in yard.json("adapters", "list") if not each["installed"]] == ["codex"]
        box = yard.box(f"fewer-{runtime}", runtime)
        assert box.sh("test -s /etc/codex/requirements.toml").code != 0
        assert box.sh("test -s /etc/opencode/opencode.json").code == 0
        yard.done("containers", "delete", box.name)
    finally:
        yard.done("adapters", "install", "codex")


def test_opencode_reports_from_a_box_and_is_believed_about_its_session(ruled: Installation, dev: Container) -> None:
    if dev.sh("command -v opencode").code != 0:
        pytest.skip("the image has no OpenCode: npm is not installed on this machine")
    words = ["call", "bash", "with", json.dumps({"command": "echo made > /tmp/made", "description": "Make it"})]
    said = dev.bawn("env", "BAWN_TAGS=night", "opencode", "run", *" ".join(words).split(" "))
    assert dev.sh("cat /tmp/made").out == "made\n", said
    uuid = ruled.get(dev.name)["id"]
    log = ruled.json("rules", "log", "--limit", "1000")
    fired = [each for each in log if each["container"] == uuid and not each["effect"].endswith("done")]
    # Each once, though it was reported and came by the wire as well.
    assert sorted(each["rule"] for each in fired) == ["after", "before", "begun"], fired
    assert all(each["session"].startswith("ses_") for each in fired)
    # Its title is known from reports alone.
    told = ruled.home / "workers/rules/log/told.log"
    until(told.exists, "the line is written")
    assert told.read_text().splitlines()[-1].startswith("New session"), told.read_text()


def test_opencode_does_nothing_when_a_message_is_refused(ruled: Installation, dev: Container) -> None:
    if dev.sh("command -v opencode").code != 0:
        pytest.skip("the image has no OpenCode: npm is not installed on this machine")
    said = dev.bawn("opencode", "run", "never", "this", "please")
    assert "The house says no" in said.out + said.err, said
    uuid = ruled.get(dev.name)["id"]
    fired = [each for each in ruled.json("rules", "log", "--limit", "1000") if each["container"] == uuid]
    assert any(each["rule"] == "never-this" for each in fired)


@pytest.mark.slow
@pytest.mark.parametrize(("agent", "pattern"), [
    ("claude-code", "@anthropic-ai/claude-code-linux-*/claude"), ("codex", "@openai/codex-linux-*/vendor/*/bin/codex"),
])  # fmt: skip
def test_what_other_agents_report_from_a_box_is_the_call_that_was_released(
    ruled: Installation, runtime: str, workspace: Path, agent: str, pattern: str
) -> None:
    program = next(installed_client(agent).glob(f"node_modules/{pattern}"), None)
    if program is None:
        pytest.skip(f"{agent} has no program for this machine")
    shutil.copy(program, workspace / "agent")
    ask = {
        "claude-code": ["-p", "--dangerously-skip-permissions", 'call Bash with {"command": "echo made > made"}'],
        "codex": ["exec", "--skip-git-repo-check", 'call exec_command with {"cmd": "echo made > made"}'],
    }[agent]
    name = f"{agent}-{runtime}"
    box = ("--runtime", runtime, "--image", "agent", "--mount", str(workspace), "--workspace", "live")
    said = ruled.done("run", "--name", name, *box, "--", "./agent", *ask, wait_s=120)
    assert (workspace / "made").read_text() == "made\n", said
    uuid = ruled.get(name)["id"]
    log = ruled.json("rules", "log", "--limit", "1000")
    fired = [each["rule"] for each in log if each["container"] == uuid and not each["effect"].endswith("done")]
    assert sorted(fired) == ["after", "before", "begun"], log
    told = [
        json.loads(line) for line in ruled.done("audit", "tail", "--lines", "2000").out.splitlines() if uuid in line
    ]
    reported = [each for each in told if each["endpoint"] == Endpoint.HOOK.value]
    assert len(reported) >= 5, told
    assert {each["status"] for each in reported} == {200}
    # Decided once, when the model proposed it: what is judged by a report alone is on record with the agent's name.
    assert [each["event"] for each in told if each["event"].startswith("tool.")] == ["tool.released"]
    assert not any("agent" in each.get("detail", {}) for each in told if each["event"].startswith("tool."))
    ruled.done("containers", "delete", name)
