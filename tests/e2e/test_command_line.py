"""What programs and people get from the command line, the client and the REST surface."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from datetime import datetime
from pathlib import Path
from typing import Self

import httpx
import pytest
from tests.e2e.installation import BAWN, Container, Installation, until

from bawn import sdk
from bawn.errors import Fault


@pytest.mark.parametrize("code", [0, 1, 3, 42, 125, 127, 255])
def test_exec_ends_with_the_exit_code_of_the_command(dev: Container, code: int) -> None:
    assert dev.sh(f"exit {code}").code == code


def test_stdout_and_stderr_are_kept_apart_and_stdin_is_passed_whole(dev: Container) -> None:
    said = dev.sh("echo out; echo err >&2")
    assert (said.out, said.err) == ("out\n", "err\n")
    text = "".join(f"line {n}\n" for n in range(20_000))
    assert dev.bawn("sha256sum", stdin=text).out.split()[0] == _digest(text)
    assert dev.bawn("cat", stdin=text).out == text


def _digest(text: str) -> str:
    return subprocess.run(["sha256sum"], input=text, capture_output=True, text=True, check=True).stdout.split()[0]


def test_a_command_that_is_not_there_is_told_as_a_shell_would(dev: Container) -> None:
    said = dev.bawn("no-such-program")
    assert said.code != 0
    assert "no-such-program" in said.err


def test_an_interrupt_reaches_the_command(yard: Installation, dev: Container) -> None:
    line = "trap 'echo interrupted; exit 7' INT; echo ready; while :; do sleep 0.05; done"
    with yard.start("exec", dev.name, "--", "sh", "-c", line, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as it:
        assert it.stdout is not None
        assert it.stdout.readline() == b"ready\n"
        it.send_signal(signal.SIGINT)
        try:
            assert it.communicate(timeout=20)[0] == b"interrupted\n"
            assert it.returncode == 7
        finally:
            it.kill()


class Terminal:
    """A person at a terminal of 30 rows and 100 columns, in which one command of `bawn` runs."""

    def __init__(self, yard: Installation, *words: str) -> None:
        self.pid, self.master = pty.fork()
        if self.pid == 0:
            with contextlib.suppress(OSError):
                fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
                os.execve(BAWN, ["bawn", *words], {**yard.environment, "TERM": "xterm"})
            os._exit(99)
        self.seen = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.close(self.master)
            os.waitpid(self.pid, 0)

    def expect(self, text: str, wait_s: float = 20.0) -> None:
        end = time.monotonic() + wait_s
        while text not in self.seen:
            ready, _, _ = select.select([self.master], [], [], max(0.0, end - time.monotonic()))
            assert ready, f"{text!r} did not come: {self.seen[-500:]!r}"
            try:
                self.seen += os.read(self.master, 4096).decode(errors="replace")
            except OSError:
                raise AssertionError(f"{text!r} did not come: {self.seen[-500:]!r}") from None

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def end(self) -> int:
        with contextlib.suppress(OSError):
            while os.read(self.master, 4096):
                pass
        os.close(self.master)
        pid, self.pid = self.pid, 0
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_on_a_terminal_the_command_has_one_too_and_knows_its_size(yard: Installation, dev: Container) -> None:
    with Terminal(yard, "exec", dev.name, "--", "sh") as terminal:
        # podman throws away what was typed before its terminal stood.
        terminal.expect("$ ")
        terminal.type("test -t 0 && test -t 1 && echo on-a-'terminal'; stty size; echo $TERM\n")
        terminal.expect("on-a-terminal")
        terminal.expect("30 100")
        terminal.expect("xterm")
        fcntl.ioctl(terminal.master, termios.TIOCSWINSZ, struct.pack("HHHH", 41, 132, 0, 0))
        os.kill(terminal.pid, signal.SIGWINCH)
        time.sleep(0.3)
        terminal.type("stty size\n")
        terminal.expect("41 132")
        terminal.type("sleep 60; echo was-'cut'-short $?\n")
        time.sleep(0.3)
        terminal.type("\x03")
        terminal.type("echo and-'goes'-on\n")
        terminal.expect("and-goes-on")
        terminal.type("exit 9\n")
        assert terminal.end() == 9


def test_run_rm_leaves_nothing_behind(yard: Installation, runtime: str) -> None:
    name = f"short-{runtime}"
    said = yard.bawn("run", "--rm", "--name", name, "--runtime", runtime, "--", "sh", "-c", "echo hello; exit 5")
    assert (said.code, said.out) == (5, "hello\n")
    assert name not in [each["name"] for each in yard.json("containers", "list")]
    assert yard.bawn("containers", "get", name).code == 1


def test_run_detached_returns_at_once_and_the_command_goes_on(
    yard: Installation, runtime: str, workspace: Path
) -> None:
    name = f"left-{runtime}"
    line = "sleep 1; echo done > finished"
    box = ("--runtime", runtime, "--mount", str(workspace))
    said = yard.done("run", "--detach", "--name", name, *box, "--", "sh", "-c", line)
    assert said.out == f"{name}\n"
    assert not (workspace / "finished").exists()
    until((workspace / "finished").exists, "the command has finished")
    yard.done("containers", "delete", name)


def test_logs_hold_what_the_commands_wrote(yard: Installation, dev: Container) -> None:
    dev.sh("echo first line; echo to stderr >&2")
    said = yard.done("logs", dev.name).out
    assert "first line\n" in said
    assert "to stderr\n" in said
    with yard.start("logs", dev.name, "--follow", stdout=subprocess.PIPE) as following:
        assert following.stdout is not None
        dev.sh("echo comes later")
        for line in following.stdout:
            if line == b"comes later\n":
                break
        following.terminate()


def test_a_hostile_line_in_the_log_cannot_move_the_cursor(yard: Installation, dev: Container) -> None:
    dev.bawn("printf", r"\033[2J\033]0;title\007 \342\200\256 gpj")
    said = yard.done("logs", dev.name).out
    assert "\x1b" not in said
    assert "\u202e" not in said
    assert r"\x1b[2J" in said


def test_lists_are_plain_arrays_of_the_documented_fields(yard: Installation, dev: Container) -> None:
    listed = yard.json("containers", "list")
    mine = next(each for each in listed if each["name"] == dev.name)
    fields = {"id", "number", "name", "project", "ai", "state", "image", "created", "expires"}
    assert fields <= set(mine)
    assert (mine["ai"], mine["state"], mine["image"], mine["project"]) == (True, "running", "agent", "default")
    assert isinstance(mine["number"], int)
    assert datetime.fromisoformat(mine["created"]).tzinfo is not None
    for words in (("keys", "list"), ("operators", "list"), ("images", "list"), ("models",), ("usage",)):
        assert isinstance(yard.json(*words), list), words
    assert yard.json("containers", "get", str(mine["number"]))["id"] == mine["id"]


def test_the_python_client_changes_a_container(yard: Installation, dev: Container) -> None:
    with sdk.Client(yard.socket) as client:
        assert client.containers.update(dev.name, ai=False).ai is False
        assert dev.ask()[0] == 401
        assert client.containers.update(dev.name, ai=True).ai is True
        assert dev.ask()[0] == 200
        assert dev.name in [each.name for each in client.containers.list()]
        with pytest.raises(Fault) as refused:
            client.containers.get("nobody")
        assert refused.value.code == "api.not_found"


async def test_the_asynchronous_client_does_the_same(yard: Installation, dev: Container) -> None:
    async with sdk.AsyncClient(yard.socket) as client:
        assert (await client.containers.update(dev.name, ai=False)).ai is False
        assert (await client.containers.update(dev.name, ai=True)).ai is True
        session = await client.containers.exec(dev.name, ["sh", "-c", "cat; exit 4"])
        async with session:
            await session.write(b"by the client")
            await session.close_stdin()
            heard = b"".join([part.data async for part in session])
        assert (heard, session.code) == (b"by the client", 4)


def test_the_client_finds_its_installation_by_the_environment(
    yard: Installation, dev: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BAWN_HOME", str(yard.home))
    with sdk.Client() as client:
        assert client.containers.update(dev.name, ai=True).name == dev.name


def test_rest_answers_a_personal_token_on_loopback_and_nobody_else(yard: Installation, dev: Container) -> None:
    url = next(place for place in yard.json("status")["listening"] if place.startswith("http://127.0.0.1:"))
    yard.done("operators", "add", "ada", "--role", "viewer", "--uid", "54321")
    secret = yard.done("operators", "token", "ada", secret=True).out.strip()
    with httpx.Client(base_url=f"{url}/api/v1", trust_env=False) as client:
        known = {"authorization": f"Bearer {secret}"}
        body = client.get("/containers", headers=known).raise_for_status().json()
        assert dev.name in [each["name"] for each in body["data"]["containers"]]
        assert client.get("/containers").status_code == 401
        assert client.get("/containers", headers={"authorization": f"Bearer {dev.token}"}).status_code == 401
        assert client.get("/containers", headers={**known, "origin": "http://evil.example"}).status_code == 403
        assert client.get("/containers", headers={**known, "host": "evil.example"}).status_code == 421
        # A viewer sees and changes nothing.
        refused = client.patch(f"/containers/{dev.name}", json={"ai": False}, headers=known)
        assert refused.status_code == 403
        by_token = Installation(yard.place, {"BAWN_URL": url, "BAWN_TOKEN": secret})
        assert by_token.bawn("containers", "list").code == 0
        assert by_token.bawn("containers", "delete", dev.name).code == 4
        yard.done("operators", "remove", "ada")
        assert client.get("/containers", headers=known).status_code == 401


def test_usage_and_the_record_tell_of_each_call(yard: Installation, dev: Container) -> None:
    def calls() -> int:
        return sum(row["calls"] for row in yard.json("usage") if row["container"] == dev.name)

    before = calls()
    dev.ask()
    assert calls() == before + 1
    records = [json.loads(line) for line in yard.done("audit", "tail", "-n", "50").out.splitlines()]
    assert {"container.exec"} <= {record["event"] for record in records}
