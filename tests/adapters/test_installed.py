"""The files of adapters: what they say, and that they come with the package."""

from __future__ import annotations

import json
import tomllib

import pytest

from bawn.adapters import installed
from bawn.adapters.dialects import DIALECTS

LAST_WORD = {"opencode": "/etc/opencode/", "claude-code": "/etc/claude-code/", "codex": "/etc/codex/"}


def test_there_is_an_adapter_for_every_agent_that_can_report() -> None:
    assert set(installed.AGENTS) == set(DIALECTS)


@pytest.mark.parametrize("agent", installed.AGENTS)
def test_its_files_stand_where_only_root_says_something(agent: str) -> None:
    paths = installed.files([agent])
    assert all(path.startswith(("/etc/bawn/adapters/", LAST_WORD[agent])) for path in paths)
    assert any(path.startswith(LAST_WORD[agent]) for path in paths)
    assert any(f"http://ai.bawn.internal/hooks/{agent}" in text for text in paths.values()) or "report.sh" in str(paths)


def test_claude_code_runs_no_hooks_but_these_and_stops_when_one_fails() -> None:
    files = installed.files(["claude-code"])
    said = json.loads(files["/etc/claude-code/managed-settings.d/50-bawn.json"])
    assert said["allowManagedHooksOnly"] is True
    for event in ("PreToolUse", "UserPromptSubmit"):
        ((hook,),) = (group["hooks"] for group in said["hooks"][event])
        # The script waits 900 s; what Claude Code ends itself is no answer.
        assert (hook["onFailure"], hook["timeout"] > 900) == ("block", True)
    scripts = [
        hook["command"] for groups in said["hooks"].values() for g in groups for hook in g["hooks"] if "command" in hook
    ]
    assert scripts
    assert all(command.split()[1] in files for command in scripts)


def test_codex_runs_no_hooks_but_these() -> None:
    files = installed.files(["codex"])
    said = tomllib.loads(files["/etc/codex/requirements.toml"])
    assert said["allow_managed_hooks_only"] is True
    assert said["features"]["hooks"] is True
    for event, groups in said["hooks"].items():
        if event == "managed_dir":
            continue
        for hook in groups[0]["hooks"]:
            assert hook["command"].split()[1] in files
            assert hook["timeout"] > (900 if hook["command"].endswith("ask") else 10)


def test_opencode_loads_the_plugin_that_is_there() -> None:
    files = installed.files(["opencode"])
    (plugin,) = json.loads(files["/etc/opencode/opencode.json"])["plugin"]
    assert plugin.removeprefix("file://") in files
    # Nothing is fetched for it: the type imports are gone when it runs.
    package = json.loads(files["/etc/bawn/adapters/opencode/package.json"])
    assert "dependencies" not in package
