"""The script by which hooks of Claude Code and Codex reach the gateway: it says yes only when the gateway did."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.clients.hook_stand_in import INSIDE, StandIn

from bawn.adapters import installed
from bawn.adapters.dialects import DIALECTS
from bawn.adapters.report import Effect, Report, Verdict
from bawn.rules.model import EventName

NO = Verdict(Effect.DENY, 'No, "not" today:\n\\ é')
DENIED = DIALECTS["codex"].answer(Report(EventName.TOOL_BEFORE, "s"), NO)
BLOCKED = DIALECTS["codex"].answer(Report(EventName.CHAT_MESSAGE, "s"), NO)
SAID = json.dumps({"hook_event_name": "PreToolUse", "é": "x" * 200_000}).encode()


@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    made = StandIn()
    yield made
    made.close()


@pytest.fixture(params=["curl", "python3", "node"])
def tools(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A folder of programs in which only one can speak to the gateway."""
    folder = tmp_path / "bin"
    folder.mkdir()
    if (found := shutil.which(request.param, path="/usr/local/bin:/usr/bin:/bin")) is None:
        pytest.skip(f"this machine has no {request.param}")
    (folder / request.param).symlink_to(Path(found).resolve())
    return folder


def run(tools: Path, url: str, way: str = "ask", wait_s: int | None = None) -> subprocess.CompletedProcess[bytes]:
    (text,) = (text for path, text in installed.files(["codex"]).items() if path.endswith("report.sh"))
    text = text.replace(INSIDE, url) if wait_s is None else text.replace(INSIDE, url).replace("900", str(wait_s))
    script = tools.parent / "report.sh"
    script.write_text(text)
    env = {"PATH": str(tools), "BAWN_CONTAINER": "dev", "BAWN_TAGS": "ci", "HTTP_PROXY": "http://127.0.0.1:9"}
    env["http_proxy"] = env["HTTP_PROXY"]
    argv = ["/bin/sh", str(script), "codex", way]
    return subprocess.run(argv, input=SAID, env=env, capture_output=True, check=False, timeout=60)


def test_it_says_whole_what_the_agent_said_and_who_it_is(tools: Path, stand_in: StandIn) -> None:
    done = run(tools, stand_in.url)
    assert (done.returncode, done.stdout) == (0, b""), done.stderr
    (told,) = stand_in.told
    assert (told.path, told.said) == ("/hooks/codex", json.loads(SAID))
    assert (told.headers["authorization"], told.headers["x-bawn-tags"]) == ("Bearer container-dev", "ci")


@pytest.mark.parametrize("answer", [DENIED, BLOCKED])
def test_a_denial_is_handed_on_as_it_is(tools: Path, stand_in: StandIn, answer: bytes) -> None:
    stand_in.answer = lambda said: (200, answer)
    done = run(tools, stand_in.url)
    assert (done.returncode, done.stdout) == (0, answer)


@pytest.mark.parametrize(
    ("status", "answer"),
    [(200, b""), (200, b"yes"), (200, b"{} "), (200, b'{"effect":"allow"}'), (200, DENIED[:-1]), (200, b"x" * 70_000),
     (204, b""), (301, b"{}"), (401, b"{}"), (500, b"{}")],
)  # fmt: skip
def test_everything_else_keeps_it_from_happening(tools: Path, stand_in: StandIn, status: int, answer: bytes) -> None:
    stand_in.answer = lambda said: (status, answer)
    asked, told = run(tools, stand_in.url), run(tools, stand_in.url, "tell")
    assert (asked.returncode, asked.stdout) == (2, b"")
    assert b"gave no answer" in asked.stderr
    assert (told.returncode, told.stdout) == (0, b"")


def test_nobody_there_keeps_it_from_happening(tools: Path) -> None:
    done = run(tools, "http://127.0.0.1:9")
    assert (done.returncode, done.stdout) == (2, b"")


def test_an_answer_that_is_late_keeps_it_from_happening(tools: Path, stand_in: StandIn) -> None:
    stand_in.delay_s = 3
    stand_in.answer = lambda said: (200, b"{}")
    assert run(tools, stand_in.url, wait_s=1).returncode == 2


def test_an_image_in_which_nothing_can_ask_lets_nothing_happen(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    done = run(tmp_path / "bin", "http://127.0.0.1:9")
    assert done.returncode == 2
    assert b"none of curl, python3 and node" in done.stderr
