"""The command line as a process, against a real API."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import pty
import struct
import sys
import termios
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.api.yard import Yard

from bawn.terms.principal import Role


class Done(NamedTuple):
    code: int
    out: str
    err: str


Bawn = Callable[..., Awaitable[Done]]


def environment(yard: Yard | None, home: Path, **more: str) -> dict[str, str]:
    base = {"PATH": os.environ["PATH"], "HOME": str(home), "BAWN_HOME": str(home), "TERM": "xterm", **more}
    return base | ({"BAWN_SOCKET": str(yard.path)} if yard else {})


async def started(*words: str, env: dict[str, str], stdin: bytes = b"") -> Done:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bawn", *words, env=env, stdin=pipe, stdout=pipe, stderr=pipe
    )
    out, err = await process.communicate(stdin)
    assert process.returncode is not None
    return Done(process.returncode, out.decode(), err.decode())


@pytest.fixture
def bawn(yard: Yard, tmp_path: Path) -> Bawn:
    async def run(*words: str, stdin: bytes = b"", **more: str) -> Done:
        return await started(*words, env=environment(yard, tmp_path, **more), stdin=stdin)

    return run


async def test_containers_are_listed_as_the_documentation_s_jq_expects(bawn: Bawn) -> None:
    await bawn("containers", "create", "--name", "dev", "--no-ai")
    done = await bawn("containers", "list", "-o", "json")
    assert [{key: box[key] for key in ("number", "name", "ai")} for box in json.loads(done.out)] == [
        {"number": 1, "name": "dev", "ai": False}
    ]


async def test_ai_is_switched_off_and_on(bawn: Bawn, yard: Yard) -> None:
    await bawn("containers", "create", "--name", "dev")
    assert (await bawn("containers", "update", "dev", "--no-ai")).code == 0
    assert yard.registry.get("dev").ai is False
    assert (await bawn("containers", "update", "dev", "--ai")).code == 0
    assert yard.registry.get("dev").ai is True


async def test_run_creates_starts_runs_and_ends_with_the_command_s_code(bawn: Bawn, yard: Yard, tmp_path: Path) -> None:
    done = await bawn(
        "run", "--name", "dev", "--mount", str(tmp_path), "--workspace", "live", "--task", "tidy up", "--expires", "99999d",
        "--", "sh", "-c", "cat; echo err >&2; exit 9", stdin=b"through a pipe",
    )  # fmt: skip
    assert done == Done(9, "through a pipe", "err\n")
    record = yard.registry.get("dev")
    assert (record.state, record.task, record.mount) == ("running", "tidy up", str(tmp_path))


async def test_run_with_rm_leaves_nothing(bawn: Bawn, yard: Yard) -> None:
    assert (await bawn("run", "--rm", "--", "true")).code == 0
    assert yard.registry.list() == ()


async def test_a_container_is_made_with_a_role_and_tags_and_a_command_with_variables(bawn: Bawn) -> None:
    words = ("--name", "dev", "--role", "planner", "--tag", "prod", "--tag", "night", "-e", "A=b=c", "--env", "D=")
    done = await bawn("run", *words, "--", "sh", "-c", "echo $A ${D-unset}.")
    assert done == Done(0, "b=c .\n", "")
    shown = json.loads((await bawn("containers", "list", "-o", "json")).out)
    assert [(each["role"], each["tags"]) for each in shown] == [("planner", ["prod", "night"])]
    assert "planner" in (await bawn("containers", "list")).out
    done = await bawn("exec", "dev", "-e", "BAWN_TAGS=late", "--", "sh", "-c", "echo $BAWN_TAGS")
    assert done.out == "late\n"
    assert (await bawn("exec", "dev", "-e", "no-equals", "--", "true")).code == 2
    assert (await bawn("containers", "create", "--name", "ci", "--role", "a b")).code != 0


async def test_run_detached_returns_while_the_command_goes_on(bawn: Bawn, tmp_path: Path) -> None:
    witness = tmp_path / "witness"
    done = await bawn("run", "--name", "dev", "--detach", "--", "sh", "-c", f"sleep 0.3; echo on > {witness}")
    assert done == Done(0, "dev\n", "")
    assert not witness.exists()
    await asyncio.sleep(0.6)
    assert witness.read_text() == "on\n"


async def test_options_of_the_command_are_the_command_s(bawn: Bawn) -> None:
    done = await bawn("run", "--rm", "--", "echo", "--name", "x", "--help", "-o", "json")
    assert done.out == "--name x --help -o json\n"


async def test_exec_tells_stdout_from_stderr(bawn: Bawn) -> None:
    await bawn("run", "--name", "dev", "--", "true")
    done = await bawn("exec", "dev", "--", "sh", "-c", "echo out; echo err >&2; exit 3")
    assert done == Done(3, "out\n", "err\n")


async def test_an_interrupt_goes_to_the_command(bawn: Bawn, yard: Yard, tmp_path: Path) -> None:
    await bawn("run", "--name", "dev", "--", "true")
    script = "trap 'echo caught; exit 5' TERM; echo on; sleep 9 >/dev/null 2>&1 & wait"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bawn", "exec", "dev", "--", "sh", "-c", script,
        env=environment(yard, tmp_path), stdout=asyncio.subprocess.PIPE, stdin=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    assert await process.stdout.readline() == b"on\n"
    process.terminate()
    assert await process.stdout.readline() == b"caught\n"
    assert await process.wait() == 5


async def test_on_a_terminal_keys_and_sizes_pass_and_the_terminal_comes_back(
    bawn: Bawn, yard: Yard, tmp_path: Path
) -> None:
    await bawn("run", "--name", "dev", "--", "true")

    def converse() -> tuple[bytes, int]:
        pid, terminal = pty.fork()
        if pid == 0:
            words = [sys.executable, "-m", "bawn", "exec", "dev", "--", "sh", "-c", "echo $TERM; head -c 2 | od -c"]
            os.execve(sys.executable, words, environment(yard, tmp_path))
        said = b""
        while b"xterm" not in said:
            try:
                said += os.read(terminal, 1024)
            except OSError:
                raise AssertionError(said.decode()) from None
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("4H", 50, 132, 0, 0))
        sizes = yard.boxes.commands[-1].sizes
        until = time.monotonic() + 5
        while not sizes and time.monotonic() < until:
            time.sleep(0.01)
        assert sizes == [(50, 132)]
        os.write(terminal, b"\x03\x04")
        try:
            while data := os.read(terminal, 1024):
                said += data
        except OSError:
            said += b""
        return said, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    said, code = await asyncio.to_thread(converse)
    assert b"003 004" in said
    assert code == 0


async def test_a_key_comes_from_stdin_and_is_never_an_argument(bawn: Bawn, yard: Yard) -> None:
    done = await bawn("keys", "add", "openai", stdin=b"sk-test-secret\n")
    assert (done.code, yard.vault.secrets) == (0, {"key-1": "sk-test-secret"})
    assert "sk-test-secret" not in done.out + done.err
    assert (await bawn("keys", "add", "openai", "sk-test-secret")).code == 2
    assert (await bawn("keys", "add", "openai", stdin=b"\n")).code == 2


async def test_several_keys_of_a_provider_are_told_apart_by_label(bawn: Bawn, yard: Yard) -> None:
    done = await bawn("keys", "add", "openai", "--label", "spare", "--weight", "3", "-o", "json", stdin=b"sk-test-1\n")
    assert (json.loads(done.out)["name"], json.loads(done.out)["weight"]) == ("spare", 3)
    assert (await bawn("keys", "add", "openai", "--weight", "0", stdin=b"sk-test-1\n")).code == 2
    assert "'openai:spare'" in (await bawn("keys", "remove", "openai", "--label", "spare")).err
    assert "'openai:spare'" in (await bawn("keys", "rotate", "openai", "--label", "spare", stdin=b"sk-test-2")).err


async def test_a_provider_that_does_not_work_is_an_exit_code(bawn: Bawn) -> None:
    done = await bawn("providers", "check")
    assert (done.code, "GET /models" in done.out) == (0, True)
    done = await bawn("providers", "check", "broken", "--json")
    assert (done.code, json.loads(done.out)[0]["problem"]) == (1, "unreachable")


async def test_the_models_of_one_container_are_listed(bawn: Bawn) -> None:
    assert json.loads((await bawn("models", "--container", "poor", "-o", "json")).out) == []


async def test_exit_codes_tell_the_kinds_of_failure_apart(bawn: Bawn, yard: Yard, tmp_path: Path) -> None:
    assert (await bawn("containers", "get", "none")).code == 1
    assert (await bawn("containers", "sing")).code == 2
    assert (await bawn("containers", "update", "dev")).code == 2
    assert (await bawn("status", BAWN_SOCKET=str(tmp_path / "none"))).code == 0  # the fixture's socket wins
    assert (await started("status", env=environment(None, tmp_path))).code == 3
    token = await yard.person("ada", Role.VIEWER)
    loopback = environment(None, tmp_path, BAWN_URL=yard.url, BAWN_TOKEN=token)
    assert (await started("status", env=loopback)).code == 0
    assert (await started("containers", "create", env=loopback)).code == 4
    assert (await started("status", env=loopback | {"BAWN_TOKEN": "container-dev"})).code == 4


async def test_a_token_goes_to_stdout_alone(bawn: Bawn, yard: Yard) -> None:
    await bawn("operators", "add", "ada", "--role", "viewer", "--uid", "4711")
    done = await bawn("operators", "token", "ada", "--label", "laptop")
    ada = yard.operators.by_token(done.out.strip())
    assert ada is not None
    assert ada.person == "ada"


async def test_hostile_log_lines_and_names_cannot_paint_the_terminal(bawn: Bawn) -> None:
    await bawn("containers", "create", "--name", "dev", "--task", "\x1b[31m")
    assert (await bawn("logs", "dev")).out.endswith("\\x1b[31mred\n")
    assert "\x1b" not in (await bawn("containers", "get", "dev")).out


async def test_why_says_cause_and_remedy(bawn: Bawn) -> None:
    await bawn("containers", "create", "--name", "dev")
    done = await bawn("why", "dev")
    assert "because AI is disabled for the container" in done.out
    assert "bawn containers update dev --ai" in done.out


async def test_every_list_is_an_array_in_json(bawn: Bawn) -> None:
    for words in (
        ("containers", "list"), ("keys", "list"), ("operators", "list"), ("images", "list"), ("models",), ("usage",),
        ("usage", "--by", "model", "--since", "24h"),
    ):  # fmt: skip
        done = await bawn(*words, "-o", "json")
        assert isinstance(json.loads(done.out), list), words
        assert (await bawn(*words)).code == 0


async def test_what_a_failed_build_says_is_an_error(bawn: Bawn) -> None:
    done = await bawn("images", "build", "broken")
    assert done.code == 1
    assert "building broken" in done.err
    assert "mmdebstrap failed" in done.err


async def test_the_record_is_one_object_a_line(bawn: Bawn) -> None:
    await bawn("containers", "create", "--name", "dev")
    done = await bawn("audit", "tail", "-n", "1")
    assert json.loads(done.out)["event"] == "operator.acts"


async def test_the_configuration_is_shown_and_reloaded(bawn: Bawn) -> None:
    assert (await bawn("config", "show")).out == "profile: starter\n"
    assert (await bawn("config", "reload")).code == 0


NOT_FOR_HELP = {"httpx", "sqlalchemy", "cryptography", "websockets", "fastapi", "alembic"}
"""What takes long to import, and is of use only to who asks something running."""


@pytest.mark.parametrize("words", [("--help",), ("run", "--help"), ("keys", "--help"), ("--version",)])
async def test_help_needs_nothing_running_and_loads_nothing_slow(tmp_path: Path, words: tuple[str, ...]) -> None:
    done = await started(*words, env=environment(None, tmp_path) | {"PYTHONPROFILEIMPORTTIME": "1"})
    assert done.code == 0
    assert "\x1b" not in done.out
    loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.err.splitlines()}
    assert "bawn" in loaded
    assert not loaded & NOT_FOR_HELP


async def test_bawn_alone_explains_itself(tmp_path: Path) -> None:
    done = await started(env=environment(None, tmp_path))
    assert "Begin with" in done.out + done.err


async def test_packs_of_rules_are_listed_added_and_removed_by_name(bawn: Bawn) -> None:
    listed = json.loads((await bawn("rules", "packs", "-o", "json")).out)
    assert {pack["name"]: pack["added"] for pack in listed}["session-questions"] is False
    added = await bawn("rules", "add", "@session-questions", "-o", "json")
    assert [rule["id"] for rule in json.loads(added.out)] == ["session-questions:before-work"]
    assert added.err == ""
    again = await bawn("rules", "add", "@session-questions")
    assert "@session-questions was added already; nothing changed." in again.err
    await bawn("rules", "disable", "session-questions:before-work")
    assert (await bawn("rules", "delete", "session-questions:before-work")).code == 0
    assert (await bawn("rules", "remove", "@session-questions")).code == 1
    wrong = await bawn("rules", "remove", "session-questions")
    assert wrong.code != 0
    assert "is no pack" in wrong.err
    assert "@coding-directives" in (await bawn("rules", "add", "@nothing")).err
