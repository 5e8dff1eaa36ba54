"""Commands of rules on the host itself: as the user of the operator's file, to their end, and nowhere else without it."""

from __future__ import annotations

import contextlib
import getpass
import itertools
import json
import os
import platform
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.installation import until
from tests.supervisor.yard import Yard, open_yard

from bawn.errors import Fault
from bawn.sandbox.python import environment
from bawn.supervisor import host_user as module
from bawn.supervisor.host_user import HostUser
from bawn.supervisor.hosted import Hosted
from bawn.supervisor.users import GATEWAY, system_user

PERSON = f"bawn-test-{os.getpid()}"
_NAMES = itertools.count()


@pytest.fixture(scope="module")
def person() -> Iterator[pwd.struct_passwd]:
    """An ordinary user with a home and a further group; who runs the tests, where that is no root."""
    if os.geteuid() != 0:
        yield pwd.getpwuid(os.geteuid())
        return
    home = f"/var/tmp/{PERSON}"
    subprocess.run(["useradd", "-m", "-d", home, "-G", "users", PERSON], check=True, capture_output=True)
    yield pwd.getpwnam(PERSON)
    until(_removed, "the user is removed: no process of theirs is left")
    shutil.rmtree(home, ignore_errors=True)


def _removed() -> bool:
    subprocess.run(["userdel", "-r", PERSON], check=False, capture_output=True)
    try:
        pwd.getpwnam(PERSON)
    except KeyError:
        return True
    return False


@pytest.fixture(scope="module", params=["root", "rootless"])
def yard(request: pytest.FixtureRequest, person: pwd.struct_passwd) -> Iterator[Yard]:
    if request.param == "root" and os.geteuid() != 0:
        pytest.skip("not root")
    uid = person.pw_uid if request.param == "rootless" and os.geteuid() == 0 else None
    with open_yard(uid, config=f"profile: starter\nrules: {{host_user: {person.pw_name}}}\n") as opened:
        yield opened


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder that everybody may write."""
    made = Path(tempfile.mkdtemp(prefix="bawn-shared-", dir="/var/tmp"))
    made.chmod(0o777)
    yield made
    shutil.rmtree(made)


def ran(yard: Yard, command: str, user: str, name: str = "", **said: Any) -> dict[str, Any]:
    told = {"command": command, "env": {}, "stdin": "", "seconds": 10, "output_bytes": 20_000, **said}
    answer = yard.ask("rule.run", run=name or f"h{next(_NAMES)}", host=user, told=told)
    assert answer["ok"], answer
    return dict(answer["result"] or {"gone": True})


def alive(word: str) -> list[int]:
    """The processes in whose arguments this stands."""
    found = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if word.encode() in place.read_bytes():
                found.append(int(place.parent.name))
    return found


def test_a_command_is_that_user_wholly_and_sees_the_host(yard: Yard, person: pwd.struct_passwd, shared: Path) -> None:
    kept = shared / "kept"
    told = ran(
        yard,
        f'id -u; id -g; id -Gn; pwd; echo "$HOME $USER"; cat; echo "$MITM_TOOL_INPUT" > {kept}; '
        "grep -E '^(NoNewPrivs|CapEff|CapPrm):' /proc/self/status; ps -o sid= -p $$ | tr -d ' ' | grep -qx $$ && echo own; "
        "env -0 | cut -z -d= -f1 | tr '\\0' ' '; echo; ls -l /proc/self/fd | grep -c socket",
        person.pw_name,
        env={"MITM_TOOL_INPUT": "$(touch /tmp/x) `id`\nnext"},
        stdin='{"event": "x"}',
    )
    assert told["failed"] == ""
    lines = told["output"].splitlines()
    # Who is no root has the groups that they were started with.
    groups = os.getgrouplist(person.pw_name, person.pw_gid) if yard.uid is None else [person.pw_gid]
    assert lines[:2] == [str(person.pw_uid), str(person.pw_gid)]
    assert len(lines[2].split()) == len(groups)
    assert lines[3:5] == [person.pw_dir, f"{person.pw_dir} {person.pw_name}"]
    assert lines[5].startswith('{"event": "x"}')
    assert "NoNewPrivs:\t1" in told["output"]
    if person.pw_uid:
        assert told["output"].count("0000000000000000") == 2
    assert "own" in lines
    names = set(lines[-2].split()) - {"PWD", "OLDPWD", "SHLVL", "_"}
    assert names == {"HOME", "LANG", "LOGNAME", "MITM_TOOL_INPUT", "PATH", "SHELL", "USER"}
    assert lines[-1] == "0", "no descriptor of ours"
    assert kept.read_text() == "$(touch /tmp/x) `id`\nnext\n"
    assert kept.stat().st_uid == person.pw_uid


def test_the_keys_of_who_started_bawn_stay_with_them(yard: Yard, person: pwd.struct_passwd) -> None:
    if platform.machine() != "x86_64":
        pytest.skip("the number of the call is that of x86_64")
    session = "import ctypes; print(ctypes.CDLL(None).syscall(250, 0, -3, 0))"
    ours = subprocess.run([sys.executable, "-c", session], capture_output=True, text=True, check=True).stdout
    told = ran(yard, f"exec python3 -c '{session}'", person.pw_name)
    assert (told["code"], told["output"] == ours) == (0, False), (told, ours)


def test_it_may_what_its_user_may_and_no_more(yard: Yard, person: pwd.struct_passwd) -> None:
    if yard.uid is not None or person.pw_uid in (0, os.geteuid()):
        pytest.skip("Bawn itself runs as this user, who may do to it what they like")
    told = ran(
        yard, f"ls {yard.home}; cat /etc/shadow; touch /usr/x; kill -9 {yard.process.pid}; echo end", person.pw_name
    )
    assert told["output"].count("ermission denied") + told["output"].count("not permitted") == 4, told
    assert yard.process.poll() is None


@pytest.mark.parametrize(
    ("command", "because"),
    [
        ("sleep 30", "it took longer than 1 s"),
        ("yes $(head -c 1000 /dev/zero | tr '\\0' x)", "it printed more than 20000 bytes"),
        ("head -c 100000000 /dev/zero", "it printed more than 20000 bytes"),
        ("trap '' TERM INT HUP; while :; do :; done", "it took longer than 1 s"),
    ],
)
def test_one_that_hangs_or_prints_without_end_is_ended(
    yard: Yard, person: pwd.struct_passwd, command: str, because: str
) -> None:
    began = time.monotonic()
    told = ran(yard, command, person.pw_name, seconds=1)
    assert (told["code"], told["failed"]) == (None, because)
    assert len(told["output"]) <= 20_000
    assert time.monotonic() - began < 8


def test_one_that_grows_without_end_is_ended(yard: Yard, person: pwd.struct_passwd) -> None:
    told = ran(yard, "exec python3 -c 'print(len(bytearray(2 << 30)))'", person.pw_name)
    assert told["code"] not in (0, None), told
    assert "2147483648" not in told["output"]


def test_what_happened_reaches_it_whole(yard: Yard, person: pwd.struct_passwd) -> None:
    told = ran(yard, "wc -c", person.pw_name, stdin='"\n' * (11 << 20))
    assert (told["failed"], told["output"].strip()) == ("", str(22 << 20))


def test_what_does_not_exist_and_what_is_no_command_is_told(yard: Yard, person: pwd.struct_passwd) -> None:
    told = ran(yard, "no-such-program --at-all", person.pw_name)
    assert told["code"] == 127
    assert "not found" in told["output"]
    for said in (
        {"command": "true\0"},
        {"env": {"LD_PRELOAD": "/tmp/x.so"}},
        {"env": {"MITM_X": 1}},
        {"seconds": None},
    ):
        assert ran(yard, **{"command": "true", "user": person.pw_name, **said})["failed"]  # type: ignore[arg-type]
    told = ran(yard, "true", person.pw_name, env={"MITM_X": "x" * 200_000})
    assert told["failed"] == "it could not be started: Argument list too long"


MEASURED = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], close_fds=False)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""
"""KiB at most of the program that it is given."""


@pytest.mark.parametrize("told", [b'"x":[' + b"[]," * (8 << 20) + b"1]", b'"x":' + b"[" * (1 << 20)])
def test_what_it_is_told_takes_no_more_memory_than_is_meant_for_it(person: pwd.struct_passwd, told: bytes) -> None:
    """The program that watches a command is root's, and outside of any group."""
    ours, theirs = socket.socketpair()
    held, kept = os.pipe()
    user = HostUser(person.pw_name, person.pw_uid, person.pw_gid, [person.pw_gid], person.pw_dir)
    argv = Hosted(asdict(user), theirs.fileno(), held).argv()
    # By a small program: what a process took before it became another one counts as well, and this one is large.
    measured = [sys.executable, "-c", MEASURED, *argv]
    process = subprocess.Popen(
        measured, env=environment(), pass_fds=[theirs.fileno(), held], cwd="/", stdout=subprocess.PIPE
    )
    theirs.close()
    with ours:
        ours.sendall(b'{"command": "true", "env": {}, "stdin": "", "seconds": 1, "output_bytes": 1,' + told + b"}")
        ours.shutdown(socket.SHUT_WR)
        said = json.loads(ours.recv(1 << 16))
    used, _ = process.communicate(timeout=60)
    for fd in (held, kept):
        os.close(fd)
    assert said["failed"], said
    assert int(used) < 450 << 10


def test_all_that_it_starts_ends_with_it_in_whatever_session(yard: Yard, person: pwd.struct_passwd) -> None:
    word = "86400.25"
    line = (
        f"(setsid setsid sleep {word} & ) ; setsid sh -c 'trap \"\" TERM; (sleep {word} &) ; sleep {word}' >/dev/null &"
    )
    told = ran(yard, f"{line} echo begun", person.pw_name)
    assert told["output"] == "begun\n"
    assert alive(word) == []


def test_forks_without_end_are_bounded_and_ended(yard: Yard, person: pwd.struct_passwd) -> None:
    began = time.monotonic()
    told = ran(yard, "f() { f | f & f; }; f 2>/dev/null; sleep 86400.75", person.pw_name, seconds=1)
    assert told.get("failed") or told.get("code") is not None
    assert time.monotonic() - began < 20
    until(lambda: not alive("86400.75"), "nothing of it is left")
    assert ran(yard, "echo fine", person.pw_name)["output"] == "fine\n"


def test_one_is_ended_from_outside_and_with_its_gateway(yard: Yard, person: pwd.struct_passwd) -> None:
    for end in ("rule.stop", "die"):
        word = f"8640{next(_NAMES)}.5"
        results: list[Any] = []

        def slow(end: str = end, word: str = word, results: list[Any] = results) -> None:
            with contextlib.suppress(OSError, ValueError, AssertionError, KeyError):
                results.append(ran(yard, f"setsid sleep {word}", person.pw_name, name=f"slow{end[0]}", seconds=60))

        thread = threading.Thread(target=slow)
        thread.start()
        until(lambda word=word: alive(word), "it runs")  # type: ignore[misc]
        with contextlib.suppress(OSError, ValueError):
            yard.ask(end, run="slowr")
        until(lambda word=word: not alive(word), "it is ended")  # type: ignore[misc]
        thread.join(10)
        if end == "rule.stop":
            assert results == [{"code": None, "output": "", "failed": "it was ended"}]


def test_one_ends_with_its_supervisor_however_that_ends(person: pwd.struct_passwd) -> None:
    with open_yard(config=f"rules: {{host_user: {person.pw_name}}}\n") as yard:
        word = "86401.5"

        def slow() -> None:
            with contextlib.suppress(OSError, ValueError, AssertionError, KeyError):
                ran(yard, f"setsid sleep {word} & sleep {word}", person.pw_name, seconds=60)

        thread = threading.Thread(target=slow, daemon=True)
        thread.start()
        until(lambda: len(alive(word)) >= 2, "it runs")
        yard.crash()
        until(lambda: not alive(word), "it is ended")
        yard.restart()


def test_a_gateway_that_lies_gets_nothing_that_the_operator_did_not_allow(
    yard: Yard, person: pwd.struct_passwd
) -> None:
    for named in ("root", "", True, None, ["root"], "nobody"):
        said = yard.ask("rule.run", run="lie", host=named, told={})
        assert (said["ok"], said["code"]) == (False, "rule.failed"), said
        assert f"was started with {person.pw_name}" in said["sentence"]
    with open_yard() as other:
        assert other.ask("look")["hello"]["host_user"] == ""
        said = other.ask("rule.run", run="lie", host=person.pw_name, told={})
        assert not said["ok"]
        assert "was started without" in said["sentence"]
        (other.home.parent / "config/bawn.yaml").write_text(f"rules: {{host_user: {person.pw_name}}}\n")
        assert not other.ask("rule.run", run="lie", host=person.pw_name, told={})["ok"], "it is read at the start alone"
    assert yard.ask("look")["hello"]["host_user"] == person.pw_name


def test_what_ends_in_one_installation_ends_in_no_other(yard: Yard, person: pwd.struct_passwd) -> None:
    results: list[Any] = []
    with open_yard(config=f"rules: {{host_user: {person.pw_name}}}\n") as other:
        word = "1.5625"
        thread = threading.Thread(target=lambda: results.append(ran(yard, f"sleep {word}; echo whole", person.pw_name)))
        thread.start()
        until(lambda: alive(word), "it runs")
        assert ran(other, "echo too", person.pw_name)["output"] == "too\n"
        thread.join(20)
    assert [each["output"] for each in results] == ["whole\n"]


@pytest.mark.parametrize(
    ("named", "because"),
    [
        ("no-such-user-here", "there is no such user"),
        ("bawn", "a user of Bawn's own processes"),
        ("'../x'", "expected a text like"),
    ],
)
def test_a_user_who_cannot_be_meant_keeps_the_start_back(named: str, because: str) -> None:
    if os.geteuid() != 0:
        pytest.skip("not root")
    with pytest.raises(AssertionError, match=because), open_yard(config=f"rules: {{host_user: {named}}}\n"):
        pass


def test_a_file_that_others_may_write_names_nobody(person: pwd.struct_passwd, shared: Path) -> None:
    config = shared / "bawn.yaml"
    config.write_text(json.dumps({"rules": {"host_user": person.pw_name}}))
    with (
        pytest.raises(AssertionError, match="which others than you may write"),
        open_yard(further=["--config", str(config)]),
    ):
        pass


def test_what_is_read_is_what_was_looked_at(
    person: pwd.struct_passwd, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever may set a link lets it lead to a file of theirs, and to one of root's when that is asked for."""
    if os.geteuid() != 0:
        pytest.skip("not root")
    shared.chmod(0o1777)
    theirs, mine, link = shared / "theirs.yaml", shared / "mine.yaml", shared / "bawn.yaml"
    for each in (theirs, mine):
        each.write_text(json.dumps({"rules": {"host_user": person.pw_name}}))
    os.chown(theirs, person.pw_uid, person.pw_gid)
    link.symlink_to(theirs)
    read = module._read

    def swapped(*asked: Any, **how: Any) -> str:
        name = read(*asked, **how)
        link.unlink()
        link.symlink_to(mine)
        return name

    monkeypatch.setattr(module, "_read", swapped)
    with pytest.raises(Fault, match="which others than you may write"):
        module.host_user(link, rootless=False)
    found = module.host_user(link, rootless=False)
    assert found is not None
    assert found.name == person.pw_name


def test_another_name_of_a_user_of_ours_is_that_user(person: pwd.struct_passwd, shared: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("not root")
    uid, other = system_user(GATEWAY).uid, f"{PERSON}-too"
    subprocess.run(["useradd", "-o", "-u", str(uid), "-M", "-N", other], check=True, capture_output=True)
    shared.chmod(0o755)
    config = shared / "bawn.yaml"
    config.write_text(json.dumps({"rules": {"host_user": other}}))
    try:
        with pytest.raises(Fault, match="a user of Bawn's own processes"):
            module.host_user(config, rootless=False)
    finally:
        # `userdel` goes by the uid of running processes as well.
        subprocess.run(["userdel", "-f", other], check=True, capture_output=True)


def test_root_is_meant_by_its_own_name_only() -> None:
    if os.geteuid() != 0:
        pytest.skip("not root")
    with open_yard(config="rules: {host_user: root}\n") as yard:
        assert ran(yard, "id -u", getpass.getuser())["output"] == "0\n"
