"""Commands of rules, as the whole supervisor starts them: in a box without a network, with two folders that stay."""

from __future__ import annotations

import itertools
import json
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.supervisor.yard import Yard

from bawn.enforcement.telling import LONGEST, environment, whole
from bawn.rules.happening import Happening
from bawn.rules.model import EventName

_NAMES = itertools.count()


def ran(yard: Yard, command: str, name: str = "", **said: Any) -> dict[str, Any]:
    told = {"command": command, "env": {}, "stdin": "", "seconds": 10, "output_bytes": 4000, **said}
    answer = yard.ask("rule.run", run=name or f"r{next(_NAMES)}", told=told)
    assert answer["ok"], answer
    return dict(answer["result"] or {"gone": True})


def test_a_command_writes_where_it_stays_and_nowhere_else(yard: Yard) -> None:
    line = 'echo "session=$MITM_SESSION_ID file=$MITM_TOOL_INPUT" >> /var/log/ai-file-access.log'
    for session in ("one", "two"):
        told = ran(yard, line, env={"MITM_SESSION_ID": session, "MITM_TOOL_INPUT": '{"path":"/etc/x"}'})
        assert (told["code"], told["output"], told["failed"]) == (0, "", "")
    kept = (yard.home / "workers/rules/log/ai-file-access.log").read_text()
    assert kept == 'session=one file={"path":"/etc/x"}\nsession=two file={"path":"/etc/x"}\n'
    assert ran(yard, "touch /usr/x /etc/x 2>/dev/null; pwd; echo > kept; id -u")["output"] == "/work\n1000\n"
    assert (yard.home / "workers/rules/work/kept").exists()


def test_there_is_no_network_and_nothing_of_ours(yard: Yard) -> None:
    told = ran(
        yard,
        f"cat /proc/net/dev | tail -n +3; ls {yard.home} 2>&1 | head -1; ls /run /home 2>/dev/null; ls /proc | grep -c '^[0-9]'",
    )
    assert "eth" not in told["output"]
    assert "state" not in told["output"]
    assert int(told["output"].split()[-1]) < 10


def test_what_it_leaves_running_ends_with_it(yard: Yard) -> None:
    ran(yard, "(setsid sh -c 'sleep 2; echo late > late') & echo begun")
    time.sleep(2.5)
    assert not (yard.home / "workers/rules/work/late").exists()


def test_forks_are_bounded_and_ended(yard: Yard) -> None:
    began = time.monotonic()
    told = ran(yard, "f() { f | f & }; f; sleep 30", seconds=1)
    assert told.get("failed") or told.get("code") is not None or told.get("gone")
    assert time.monotonic() - began < 15
    assert ran(yard, "echo fine")["output"] == "fine\n"


@pytest.mark.parametrize(
    ("command", "code", "failed"),
    [
        ("no-such-program", 127, ""),
        ("sleep 60", None, "it took longer than 1 s"),
        ("head -c 100000000 /dev/zero", None, "it printed more than 4000 bytes"),
        ("trap '' TERM; while :; do :; done", None, "it took longer than 1 s"),
        ("python3 -c 'x = bytearray(2 << 30)'", 137, ""),
    ],
)
def test_one_that_is_missing_hangs_prints_or_grows_without_end_is_ended(
    yard: Yard, command: str, code: int | None, failed: str
) -> None:
    if "bytearray" in command and yard.ready["degraded"]:
        pytest.skip("nothing holds memory here")
    began = time.monotonic()
    told = ran(yard, command, seconds=1 if failed else 10)
    assert (told.get("code"), told.get("failed", "")) == (code, failed), told
    assert time.monotonic() - began < 10


def test_what_happened_is_never_a_part_of_the_command(yard: Yard) -> None:
    nasty = {"path": "$(touch kept1) `touch kept2`; touch kept3\ntouch kept4\n' \" && touch kept5 #"}
    event = Happening(
        EventName.TOOL_AFTER, "s", "dev", "p", frozenset(), "", "read", tool_input=json.dumps(nasty) + "\0\ntouch kept6"
    )
    told = ran(
        yard,
        "echo $MITM_TOOL_INPUT >/dev/null; printf '%s\\n' \"$MITM_TOOL_INPUT\"; cat > input; ls",
        env=environment(event),
        stdin=json.dumps(whole(event, datetime.now(UTC))),
    )
    assert (told["code"], told["failed"]) == (0, "")
    assert told["output"].startswith(json.dumps(nasty) + "\ntouch kept6\n")
    assert "kept1" not in told["output"].replace(json.dumps(nasty), "")
    assert not [path.name for path in (yard.home / "workers/rules/work").glob("kept[1-6]")]
    assert json.loads((yard.home / "workers/rules/work/input").read_text())["toolInput"] == event.tool_input


def test_a_long_value_is_cut_in_its_variable_and_whole_on_the_input(yard: Yard) -> None:
    long = Happening(EventName.TOOL_AFTER, "s", "dev", "p", frozenset(), "", "read", tool_output="é\0" * 1_000_000)
    told = ran(
        yard,
        'printf %s "$MITM_TOOL_OUTPUT" | wc -c; '
        'python3 -c \'import json, sys; t = json.load(sys.stdin)["toolOutput"]; print(len(t), t == "é\\0" * 1000000)\'',
        env=environment(long),
        stdin=json.dumps(whole(long, datetime.now(UTC))),
    )
    assert told["output"] == f"{LONGEST}\n2000000 True\n", told


def test_one_can_be_ended_from_outside(yard: Yard) -> None:
    results: list[dict[str, Any]] = []
    thread = threading.Thread(target=lambda: results.append(ran(yard, "sleep 30", name="slow", seconds=60)))
    thread.start()
    time.sleep(1)
    assert yard.ask("rule.stop", run="slow")["ok"]
    thread.join(10)
    assert results == [{"gone": True}]
    assert not yard.ask("rule.run", run="../x", told={})["ok"]
    assert Path("/proc").exists()
