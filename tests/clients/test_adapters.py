"""Coding agents with the files of their adapters, and somebody in the gateway's place who answers what they report.

What the model proposes is refused by nobody here but the hook: so what is not done was kept from happening by the adapter.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.clients.conftest import At, Ground
from tests.clients.hook_stand_in import StandIn, caged, nothing_said
from tests.clients.test_agents import ask, made, program

from bawn.gateway.settings import ProviderKind

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

REASON = "The house says no to this one."


@dataclass(frozen=True)
class Agent:
    name: str
    before: str
    prompt: str
    after: str
    tool: str
    argument: str
    kind: ProviderKind
    deny: dict[str, Any]
    block: dict[str, Any]

    def words(self, ground: Ground) -> list[str]:
        match self.name:
            case "opencode":
                said = ask("bash", ground, description="Make it").split(" ")
                return [program("opencode", "opencode-linux-*/bin/opencode"), "run", *said]
            case "claude-code":
                claude = program("claude-code", "@anthropic-ai/claude-code-linux-*/claude")
                return [claude, "-p", "--dangerously-skip-permissions", ask("Bash", ground, description="Make it")]
            case _:
                codex = program("codex", "@openai/codex-linux-*/vendor/*/bin/codex")
                call = f'call exec_command with {{"cmd": "echo made > {ground.work}/made"}}'
                return [codex, "exec", "--skip-git-repo-check", call]


_BLOCK = {"decision": "block", "reason": REASON}


def _deny() -> dict[str, Any]:
    said = {"hookEventName": "PreToolUse", "permissionDecision": "deny", "permissionDecisionReason": REASON}
    return {"hookSpecificOutput": said}


_REFUSE = {"effect": "deny", "because": REASON}
OPENCODE = Agent(
    "opencode", "tool.execute.before", "chat.message", "tool.execute.after", "tool", "call",
    ProviderKind.OPENAI_COMPATIBLE, _REFUSE, _REFUSE,
)  # fmt: skip
CLAUDE = Agent(
    "claude-code", "PreToolUse", "UserPromptSubmit", "PostToolUse", "tool_name", "tool_use_id", ProviderKind.ANTHROPIC,
    _deny(), _BLOCK,
)  # fmt: skip
CODEX = Agent(
    "codex", "PreToolUse", "UserPromptSubmit", "PostToolUse", "tool_name", "tool_use_id", ProviderKind.OPENAI,
    _deny(), _BLOCK,
)  # fmt: skip
each_agent = pytest.mark.parametrize("agent", [OPENCODE, CLAUDE, CODEX], ids=lambda agent: agent.name)


@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    if shutil.which("bwrap") is None:
        pytest.skip("bubblewrap is not installed")
    made = StandIn()
    yield made
    made.close()


async def run(agent: Agent, ground: Ground, place: Path, url: str, wait_s: int | None = None) -> str:
    """Codex and Claude Code end with an error where nothing is left to do; what they print is what counts."""
    ground.extra |= {"BAWN_CONTAINER": "dev", "BAWN_TAGS": "night, ci"}
    (place / "etc" / "bawn").mkdir(parents=True, exist_ok=True)
    words = [*caged(agent.name, place / "etc", url, wait_s), *agent.words(ground)]
    return await ground.said(["sh", "-c", '"$@"; true', "sh", *words], wait_s=120)


@each_agent
async def test_what_is_allowed_is_done_and_told_with_the_models_call_id(
    agent: Agent, at: At, tmp_path: Path, stand_in: StandIn
) -> None:
    ground = await at(agent.kind)
    said = await run(agent, ground, tmp_path, stand_in.url)
    assert made(ground), said
    assert {each.path for each in stand_in.told} == {f"/hooks/{agent.name}"}
    assert {each.headers["authorization"] for each in stand_in.told} == {"Bearer container-dev"}
    before, after = stand_in.of(agent.before)[0], stand_in.of(agent.after)[0]
    call = before.said[agent.argument]
    assert call == after.said[agent.argument]
    assert stand_in.of(agent.prompt)
    # By this name the gateway puts reports and model calls together.
    sessions = {each.said.get("session") or each.said["session_id"] for each in stand_in.told}
    assert {each.session for each in ground.yard.books.settlements} == sessions
    started = stand_in.of("session.created", "SessionStart")
    assert started
    assert stand_in.of("session.idle", "Stop")


@each_agent
async def test_what_is_denied_is_not_done_and_the_model_is_told_why(
    agent: Agent, at: At, tmp_path: Path, stand_in: StandIn
) -> None:
    def no_tools(said: dict[str, Any]) -> tuple[int, bytes]:
        event = said.get("event") or said["hook_event_name"]
        if event != agent.before:
            return nothing_said(said)
        return 200, json.dumps(agent.deny, separators=(",", ":")).encode()

    stand_in.answer = no_tools
    ground = await at(agent.kind)
    said = await run(agent, ground, tmp_path, stand_in.url)
    assert stand_in.of(agent.before), said
    assert not made(ground), said
    assert REASON in said


@each_agent
@pytest.mark.parametrize("odd", [b"", b'{"effect":"maybe"}', 500], ids=["nothing", "other words", "500"])
async def test_an_odd_answer_keeps_a_tool_from_running(
    agent: Agent, at: At, tmp_path: Path, stand_in: StandIn, odd: bytes | int
) -> None:
    def odd_about_tools(said: dict[str, Any]) -> tuple[int, bytes]:
        event = said.get("event") or said["hook_event_name"]
        if event != agent.before:
            return nothing_said(said)
        return (odd, b"{}") if isinstance(odd, int) else (200, odd)

    stand_in.answer = odd_about_tools
    ground = await at(agent.kind)
    said = await run(agent, ground, tmp_path, stand_in.url)
    assert stand_in.of(agent.before), said
    assert not made(ground), said


@each_agent
async def test_a_late_answer_keeps_a_tool_from_running(agent: Agent, at: At, tmp_path: Path, stand_in: StandIn) -> None:
    stand_in.answer = nothing_said
    ground = await at(agent.kind)

    def slow(said: dict[str, Any]) -> tuple[int, bytes]:
        stand_in.delay_s = 6.0 if (said.get("event") or said["hook_event_name"]) == agent.before else 0.0
        return nothing_said(said)

    stand_in.answer = slow
    said = await run(agent, ground, tmp_path, stand_in.url, wait_s=2)
    assert stand_in.of(agent.before), said
    assert not made(ground), said


@each_agent
async def test_a_gateway_that_is_not_there_keeps_everything_from_happening(
    agent: Agent, at: At, tmp_path: Path, stand_in: StandIn
) -> None:
    ground = await at(agent.kind)
    said = await run(agent, ground, tmp_path, "http://127.0.0.1:9")
    assert not made(ground), said


@each_agent
async def test_a_message_that_is_denied_reaches_no_model(
    agent: Agent, at: At, tmp_path: Path, stand_in: StandIn
) -> None:
    def no_words(said: dict[str, Any]) -> tuple[int, bytes]:
        event = said.get("event") or said["hook_event_name"]
        return (
            (200, json.dumps(agent.block, separators=(",", ":")).encode())
            if event == agent.prompt
            else nothing_said(said)
        )

    stand_in.answer = no_words
    ground = await at(agent.kind)
    said = await run(agent, ground, tmp_path, stand_in.url)
    assert stand_in.of(agent.prompt), said
    assert not stand_in.of(agent.before), said
    assert not made(ground)


def own_words(agent: Agent, ground: Ground) -> Path:
    """Somebody inside says that there are no hooks, or others, wherever the agent lets a project and a user say so. What a
    hook of theirs would write."""
    own = ground.work / "own-hook-ran"
    hook = {"PreToolUse": [{"hooks": [{"type": "command", "command": f"echo ran > {own}"}]}]}
    match agent.name:
        case "opencode":
            (ground.work / "opencode.json").write_text('{"plugin": []}')
            (ground.home / ".config" / "opencode").mkdir(parents=True)
            (ground.home / ".config" / "opencode" / "opencode.json").write_text('{"plugin": []}')
        case "claude-code":
            for place in (ground.work / ".claude", ground.home / ".claude"):
                place.mkdir(exist_ok=True)
                (place / "settings.json").write_text(json.dumps({"disableAllHooks": True, "hooks": hook}))
                (place / "settings.local.json").write_text(json.dumps({"allowManagedHooksOnly": False, "hooks": hook}))
        case _:
            for place in (ground.work / ".codex", ground.home / ".codex"):
                place.mkdir(exist_ok=True)
                (place / "hooks.json").write_text(json.dumps({"hooks": hook}))
            with (ground.home / ".codex" / "config.toml").open("a") as file:
                file.write("\n[features]\nhooks = false\n")
    return own


@each_agent
async def test_nothing_of_a_project_or_a_home_switches_it_off(
    agent: Agent, at: At, tmp_path: Path, stand_in: StandIn
) -> None:
    def no_tools(said: dict[str, Any]) -> tuple[int, bytes]:
        event = said.get("event") or said["hook_event_name"]
        return (
            (200, json.dumps(agent.deny, separators=(",", ":")).encode())
            if event == agent.before
            else nothing_said(said)
        )

    stand_in.answer = no_tools
    ground = await at(agent.kind)
    own = own_words(agent, ground)
    said = await run(agent, ground, tmp_path, stand_in.url)
    assert stand_in.of(agent.before), said
    assert not made(ground), said
    assert not own.exists()
