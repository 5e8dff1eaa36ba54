"""The plugin's types against those that OpenCode publishes, and its second interface under Node.

No OpenCode that is published has the second interface with hooks of tools and sessions, so something stands in its place
that calls as its sources say.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.clients.conftest import installed
from tests.clients.hook_stand_in import INSIDE, StandIn

from bawn.adapters import installed as adapters

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
HOST = Path(__file__).parents[1] / "adapters" / "programs" / "v2_host.mjs"
TOOL = {"tool": "bash", "sessionID": "ses_1", "agent": "build", "messageID": "msg_1", "id": "call_1", "input": {"a": 1}}


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """The plugin's folder, beside the packages by which it is checked."""
    found = installed("opencode-plugin")
    for path, text in adapters.files(["opencode"]).items():
        if "/adapters/opencode/" in path:
            place = tmp_path / path.rpartition("/adapters/opencode/")[2]
            place.parent.mkdir(exist_ok=True)
            place.write_text(text)
    (tmp_path / "node_modules").symlink_to(found / "node_modules")
    return tmp_path


def tsc(package: Path, *words: str) -> None:
    argv = ["node", "node_modules/typescript/bin/tsc", *words]
    done = subprocess.run(argv, cwd=package, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_plugin_fits_the_published_types(package: Path) -> None:
    tsc(package)


@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    made = StandIn()
    yield made
    made.close()


def host(package: Path, url: str, *steps: tuple[str, Any], wait_ms: int = 900_000) -> list[dict[str, Any]]:
    for source in (package / "src").iterdir():
        source.write_text(source.read_text().replace(INSIDE, url).replace("900_000", f"{wait_ms:_}"))
    further = ["--noEmit", "false", "--rewriteRelativeImportExtensions", "--outDir", "out"]
    tsc(package, *further)
    said = "".join(json.dumps(step) + "\n" for step in steps)
    env = {"PATH": "/usr/local/bin:/usr/bin:/bin", "BAWN_CONTAINER": "dev", "BAWN_TAGS": "night, ci"}
    argv = [str(shutil.which("node")), str(HOST), str(package / "out" / "index.js")]
    done = subprocess.run(argv, input=said, env=env, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_the_second_interface_asks_tells_and_names_its_session(package: Path, stand_in: StandIn) -> None:
    created = {"id": "ses_2", "parentID": "ses_1", "title": "Sub", "location": {"directory": "/workspace"}}
    done = host(
        package,
        stand_in.url,
        ("event", {"type": "session.created", "data": {"sessionID": "ses_2", "info": created}}),
        ("session.prompt", {"sessionID": "ses_1", "prompt": {"text": "mend it"}}),
        ("session.model.request", {"sessionID": "ses_1", "headers": {"a": "b"}}),
        ("tool.execute.before", TOOL),
        ("tool.execute.after", {**TOOL, "status": "completed", "result": {"output": "done"}}),
        ("tool.execute.after", {**TOOL, "status": "error", "error": {"message": "no"}}),
    )
    assert all("ok" in each for each in done), done
    assert done[2]["ok"]["headers"] == {"a": "b", "x-bawn-session": "ses_1", "x-bawn-tags": "night,ci"}
    told = [each.said for each in stand_in.told]
    assert {json.dumps(each.pop("tags")) for each in told} == {'["night", "ci"]'}
    assert told[0] == {
        "event": "session.created", "session": "ses_2", "parent": "ses_1", "title": "Sub", "directory": "/workspace",
    }  # fmt: skip
    assert told[1] == {"event": "chat.message", "session": "ses_1", "text": "mend it"}
    about = {"session": "ses_1", "call": "call_1", "tool": "bash", "input": {"a": 1}}
    assert told[2] == {"event": "tool.execute.before", **about}
    assert told[3] == {"event": "tool.execute.after", **about, "output": {"output": "done"}}
    assert told[4]["output"] == {"message": "no"}


@pytest.mark.parametrize(
    ("status", "answer", "because"),
    [
        (200, b'{"effect":"deny","because":"Not today."}', "Not today."),
        (200, b"", "no JSON"), (200, b"yes", "no JSON"), (200, b"[]", "something else"), (200, b"{}", "something else"),
        (200, b'{"effect":"maybe"}', "something else"), (200, b'{"effect":"deny"}', "something else"),
        (200, b'{"effect":"allow","because":"x"}', "something else"), (500, b'{"effect":"allow"}', "it said 500"),
        (204, b"", "it said 204"), (301, b"", "cannot be reached"),
    ],
)  # fmt: skip
def test_only_a_plain_yes_is_one(package: Path, stand_in: StandIn, status: int, answer: bytes, because: str) -> None:
    stand_in.answer = lambda said: (status, answer)
    before, after = host(
        package, stand_in.url, ("tool.execute.before", TOOL), ("tool.execute.after", {**TOOL, "status": "completed"})
    )
    assert because in before["refused"]
    assert before["name"] == "Refused"
    # What has happened is withheld only when the gateway says so.
    assert ("refused" in after) is (because == "Not today.")


def test_nobody_there_and_nobody_in_time_are_no(package: Path, stand_in: StandIn) -> None:
    (gone,) = host(package, "http://127.0.0.1:9", ("tool.execute.before", TOOL))
    assert "cannot be reached" in gone["refused"]
    stand_in.delay_s = 3
    stand_in.answer = lambda said: (200, b'{"effect":"allow"}')
    source = package / "src" / "gateway.ts"
    source.write_text(source.read_text().replace("http://127.0.0.1:9", INSIDE))
    (late,) = host(package, stand_in.url, ("session.prompt", {"sessionID": "s", "prompt": {"text": "x"}}), wait_ms=1000)
    assert "refused" in late
