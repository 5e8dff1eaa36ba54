"""Coding agents from the command line, at a provider of each kind: each runs a command that the model asked for.

What they run writes a file, so that nothing is taken for done by its words alone. They run without their own questions
and sandboxes, as within a container.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.clients.conftest import At, Ground, installed

from bawn.gateway.settings import ProviderKind

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

KINDS = (ProviderKind.OPENAI, ProviderKind.OPENAI_COMPATIBLE, ProviderKind.ANTHROPIC, ProviderKind.GEMINI)
HELLO = "Dia duit, a chara"
each_kind = pytest.mark.parametrize("kind", KINDS, ids=str)


def program(name: str, pattern: str) -> str:
    """The program within a package: where its installation script, which is not run, would point to."""
    found = next(installed(name).glob(f"node_modules/{pattern}"), None)
    if found is None:
        pytest.skip(f"{name} has no program for this machine")
    return str(found)


def ask(tool: str, ground: Ground, **arguments: object) -> str:
    return f"call {tool} with {json.dumps({'command': f'echo made > {ground.work}/made', **arguments})}"


def made(ground: Ground) -> bool:
    path = Path(ground.work / "made")
    return path.is_file() and path.read_text() == "made\n"


@each_kind
async def test_opencode(at: At, kind: ProviderKind) -> None:
    opencode = program("opencode", "opencode-linux-*/bin/opencode")
    ground = await at(kind)
    # Word by word, since it puts quotes around what has blanks.
    said = await ground.said([opencode, "run", *ask("bash", ground, description="Make it").split(" ")])
    assert made(ground), said
    assert "The tool bash said" in said


@each_kind
@pytest.mark.parametrize("wire", ["anthropic", "openai"])
async def test_opencode_by_other_packages(at: At, kind: ProviderKind, wire: str) -> None:
    """With OpenCode's packages for Anthropic and for OpenAI itself, which speaks responses."""
    opencode = program("opencode", "opencode-linux-*/bin/opencode")
    ground = await at(kind)
    settings = json.loads(ground.environment()["OPENCODE_CONFIG_CONTENT"])
    settings["provider"]["bawn"]["npm"] = f"@ai-sdk/{wire}"
    settings["provider"]["bawn"]["options"]["baseURL"] = f"{ground.yard.url}/v1"
    ground.extra["OPENCODE_CONFIG_CONTENT"] = json.dumps(settings)
    said = await ground.said([opencode, "run", *ask("bash", ground, description="Make it").split(" ")])
    assert made(ground), said
    assert "The tool bash said" in said


@each_kind
async def test_claude_code(at: At, kind: ProviderKind) -> None:
    claude = program("claude-code", "@anthropic-ai/claude-code-linux-*/claude")
    ground = await at(kind)
    said = await ground.said(
        [claude, "-p", "--dangerously-skip-permissions", ask("Bash", ground, description="Make it")]
    )
    assert made(ground), said
    assert "The tool Bash said" in said


@each_kind
async def test_codex(at: At, kind: ProviderKind) -> None:
    codex = program("codex", "@openai/codex-linux-*/vendor/*/bin/codex")
    ground = await at(kind)
    words = f'call exec_command with {{"cmd": "echo made > {ground.work}/made"}}'
    said = await ground.said([codex, "exec", "--skip-git-repo-check", words])
    assert made(ground), said
    assert "Process exited with code 0" in said


@each_kind
async def test_gemini_cli(at: At, kind: ProviderKind) -> None:
    gemini = program("gemini-cli", "@google/gemini-cli/bundle/gemini.js")
    ground = await at(kind)
    if not await ground.has_gemini():
        pytest.skip("this door has no paths for Gemini's clients")
    said = await ground.said(["node", gemini, "-m", "scripted/agent", "--yolo", "-p", ask("run_shell_command", ground)])
    assert made(ground), said
    assert "The tool run_shell_command said" in said


@each_kind
async def test_cline(at: At, kind: ProviderKind) -> None:
    """Its command line takes an address for providers of OpenAI's kind only."""
    cline = program("cline", "@cline/cli-linux-*/bin/cline")
    ground = await at(kind)
    address = f"{ground.yard.url}/v1"
    given = ["-p", "openai-compatible", "-k", "container-dev", "-m", "scripted/agent", "-b", address]
    await ground.said([cline, "auth", *given])
    words = f'call run_commands with {{"commands": ["echo made > {ground.work}/made"]}}'
    said = await ground.said(
        [cline, "-P", "openai-compatible", "-m", "scripted/agent", "--auto-approve", "true", words]
    )
    assert made(ground), said
    assert "The tool run_commands said" in said


@each_kind
async def test_continue(at: At, kind: ProviderKind) -> None:
    continues = program("continue", ".bin/cn")
    ground = await at(kind)
    config = ground.home / "continue.yaml"
    model = {"name": "bawn", "provider": "openai", "model": "scripted/agent", "apiBase": f"{ground.yard.url}/api/v1"}
    model["apiKey"] = "container-dev"
    config.write_text(json.dumps({"name": "bawn", "version": "1.0.0", "schema": "v1", "models": [model]}))
    said = await ground.said([continues, "--config", str(config), "--auto", "-p", ask("Bash", ground)])
    assert made(ground), said
    assert "The tool Bash said" in said


@each_kind
@pytest.mark.parametrize("wire", ["openai", "anthropic"])
async def test_aider_writes_what_it_was_told(at: At, kind: ProviderKind, wire: str) -> None:
    """Aider offers no tools: it reads changes from the text, so it is given a text back."""
    aider = str(installed("aider") / "bin" / "aider")
    ground = await at(kind)
    ground.extra |= {"OPENAI_API_BASE": f"{ground.yard.url}/api/v1", "ANTHROPIC_API_BASE": ground.yard.url}
    quiet = [
        "--no-git",
        "--no-check-update",
        "--no-show-model-warnings",
        "--no-analytics",
        "--yes-always",
        "--no-pretty",
    ]
    said = await ground.said([aider, *quiet, "--model", f"{wire}/scripted/echo", "--message", HELLO], wait_s=120)
    assert HELLO in said
