"""Official packages and a real agent, in both kinds of container, with nothing but the container's environment."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.e2e.installation import Container, Installation

PROMPT = "Find the failing test, mend the code, and show that it passes."
HELLO = "Dia duit, a chara"
NUMBERS = [f"number {n}" for n in range(8)]


def test_the_openai_package_works_plain_streamed_with_tools_and_async(dev: Container) -> None:
    found = dev.found("use_openai")
    assert found["plain"] == found["streamed"] == HELLO
    assert found["usage"] > 0
    assert found["streamed_usage"] == 1
    assert found["tool"] == found["async_tool"] == "The tool weather said: rain in Gaillimh"
    assert found["async"] == NUMBERS
    assert found["vectors"] == 2
    assert "scripted/agent" in found["models"]
    assert (found["refused"], found["code"]) == (401, "auth.refused")


def test_the_anthropic_package_works_plain_streamed_with_tools_and_async(dev: Container) -> None:
    found = dev.found("use_anthropic")
    assert found["plain"] == found["streamed"] == HELLO
    assert found["usage"] == found["streamed_usage"] > 0
    assert found["tool"] == found["async_tool"] == "The tool weather said: rain in Gaillimh"
    assert found["async"] == NUMBERS
    assert found["counted"] > 0
    assert found["refused"] == 401


def test_opencode_mends_a_package_and_its_files_stay_their_owners(
    yard: Installation, runtime: str, workspace: Path
) -> None:
    broken = workspace / "tally" / "mean.py"
    before, owner = broken.read_text(), (broken.stat().st_uid, broken.stat().st_gid)
    name = f"opencode-{runtime}"
    box = ("--runtime", runtime, "--image", "agent", "--mount", str(workspace), "--workspace", "live", "--task", PROMPT)
    if yard.bawn("run", "--rm", "--runtime", runtime, "--", "sh", "-c", "command -v opencode").code != 0:
        pytest.skip("the image has no OpenCode: npm is not installed on this machine")
    said = yard.done("run", "--name", name, *box, "--", "opencode", "run", PROMPT)
    assert "all tests pass" in said.out + said.err
    assert broken.read_text() != before
    tests = [sys.executable, "-B", "-m", "unittest", "discover", "-s", "tests"]
    assert subprocess.run(tests, cwd=workspace, capture_output=True, check=False).returncode == 0
    for path in (workspace, *workspace.rglob("*")):
        assert (path.stat().st_uid, path.stat().st_gid) == owner, path
    calls = next(row for row in yard.json("usage") if row["container"] == name)
    assert calls["calls"] >= 5
    assert calls["refused"] == 0
    yard.done("containers", "delete", name)


@pytest.fixture(scope="module")
def codex(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program of the npm package, which has it for this machine inside."""
    place = tmp_path_factory.mktemp("codex")
    (place / "package.json").write_text("{}")
    argv = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "@openai/codex"]
    if shutil.which("npm") is None or subprocess.run(argv, cwd=place, capture_output=True, check=False).returncode:
        pytest.skip("this machine has no npm, or its registry has no Codex")
    found = next(place.glob("node_modules/@openai/codex-linux-*/vendor/*/bin/codex"), None)
    if found is None:
        pytest.skip("the package has no program for this machine")
    return found


@pytest.mark.slow
def test_codex_uses_a_tool_by_the_wire_of_responses(
    yard: Installation, runtime: str, workspace: Path, codex: Path
) -> None:
    shutil.copy(codex, workspace / "codex")
    ask = 'call exec_command with {"cmd": "echo made by codex > made"}'
    words = ("--runtime", runtime, "--image", "agent", "--mount", str(workspace), "--workspace", "live")
    said = yard.done("run", "--rm", *words, "--", "./codex", "exec", "--skip-git-repo-check", ask, wait_s=120)
    assert "Process exited with code 0" in said.out + said.err
    assert (workspace / "made").read_text() == "made by codex\n"
