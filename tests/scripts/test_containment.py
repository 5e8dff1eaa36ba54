"""What a script of ill will, or of ill luck, harms is its own worker."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest
from tests.scripts.standing import Standing

from bawn.errors import Fault
from bawn.scripts.worker.client import Broken

WELL = "async def handle(req, res, ctx):\n    return {'well': True}\n"


async def run(standing: Standing, body: str) -> Any:
    """What the lines of a script leave in `out`."""
    lines = "\n    ".join(body.strip().splitlines())
    standing.write(
        f"import os, socket\nasync def handle(req, res, ctx):\n    out = None\n    {lines}\n    return {{'out': out}}\n"
    )
    await standing.start()
    status, said = await standing.call()
    assert status == 200, said
    return said["out"]


ACTS = [
    "open('/etc/shadow')",
    "open('/etc/passwd')",
    "os.listdir('/root')",
    "os.listdir('/home')",
    "os.listdir('/work')",
    "os.listdir('/scripts/../run/scripts')",
    "open('/scripts/1/api/v1/[...path].py', 'a')",
    "open('/modules/x.py', 'w')",
    "open('/x', 'w')",
    "open('/usr/x', 'w')",
    "os.unlink('/run/bawn/door/door.sock')",
    "open('/dev/sda')",
    "os.mkdir('/sys/x')",
    "ctypes.CDLL(None).unshare(0x10000000) and 1 / 0",
    "ctypes.CDLL(None).ptrace(16, 1, 0, 0) and 1 / 0",
    "os.setuid(0)",
    "os.kill(2 ** 21, 9)",
]


async def test_nothing_of_the_host_is_reached(standing: Standing) -> None:
    standing.write("""
import ctypes, os
async def handle(req, res, ctx):
    done = []
    for act in req.json:
        try:
            exec(act)
        except Exception:
            continue
        done.append(act)
    return done
""")
    await standing.start()
    assert await standing.call(ACTS) == (200, [])
    assert await standing.call(["os.listdir('/')"]) == (200, ["os.listdir('/')"])


async def test_there_is_no_network(standing: Standing) -> None:
    reached = await run(
        standing,
        """
out = []
for place in ("192.0.2.1", "169.254.169.254", "2001:db8::1"):
    try:
        socket.socket(socket.AF_INET6 if ":" in place else socket.AF_INET).connect((place, 80))
        out.append("connected")
    except OSError as error:
        out.append(error.errno)
try:
    socket.getaddrinfo("example.org", 80)
    out.append("resolved")
except OSError:
    pass
out.append([name for _, name in socket.if_nameindex()])
""",
    )
    assert all(isinstance(each, int) for each in reached[:-1])
    assert reached[-1] == ["lo"]


async def test_no_other_process_is_seen_and_nothing_inherited_is_open(standing: Standing) -> None:
    seen = await run(
        standing,
        """
pids = [name for name in os.listdir("/proc") if name.isdigit()]
held = [f"/proc/self/fd/{n}" for n in os.listdir("/proc/self/fd")]
out = {"pids": len(pids), "files": [os.readlink(each) for each in held if os.path.lexists(each)],
       "args": [open(f"/proc/{pid}/cmdline").read() for pid in pids], "groups": os.getgroups(), "uid": os.getuid()}
""",
    )
    assert seen["pids"] == 2
    assert not [name for name in seen["files"] if str(standing.home) in name]
    assert not [line for line in seen["args"] if "--setenv" in line or str(standing.home) in line]
    assert seen["uid"] == 1000


async def test_a_loop_that_hangs_is_ended_and_other_workers_do_not_feel_it(standing: Standing) -> None:
    standing.write("async def handle(req, res, ctx):\n    while True: pass\n")
    standing.write(WELL, exec_id="2")
    await standing.start()
    await standing.start("2")
    hung = asyncio.ensure_future(standing.begun())
    await standing.call(exec_id="2")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(standing.health(), 1)
    for _ in range(20):
        assert await asyncio.wait_for(standing.call(exec_id="2"), 5) == (200, {"well": True})
    await standing.stop()
    with pytest.raises(Broken):
        await asyncio.wait_for(hung, 5)
    event = await asyncio.to_thread(standing.events.get, timeout=5)
    assert (event["event"], event["project"], event["exec"], event["asked"]) == ("script.ended", "shop", "1", True)
    standing.write(WELL)
    await standing.start()
    assert await standing.call() == (200, {"well": True})


async def test_a_flood_of_memory_fails_and_other_workers_do_not_feel_it(standing: Standing) -> None:
    standing.write("async def handle(req, res, ctx):\n    x = bytearray(1 << 30)\n    return {'much': len(x)}\n")
    standing.write(WELL, exec_id="2")
    await standing.start(limits={"memory_bytes": 128 << 20})
    await standing.start("2")
    code, cause = await standing.failed()
    assert (code, cause) == ("script.crashed", "api/v1/[...path].py:2: MemoryError")
    assert await standing.call(exec_id="2") == (200, {"well": True})


async def test_a_flood_of_memory_by_several_processes_is_stopped_as_well(standing: Standing) -> None:
    standing.write("""
import subprocess, sys
async def handle(req, res, ctx):
    flood = "import time; x = bytearray(100 << 20); time.sleep(1)"
    floods = [subprocess.Popen([sys.executable, "-c", flood]) for _ in range(6)]
    return {"ended": [one.wait() for one in floods]}
""")
    standing.write(WELL, exec_id="2")
    await standing.start(limits={"memory_bytes": 128 << 20})
    await standing.start("2")
    with contextlib.suppress(Broken):  # the whole worker may be what the kernel ends
        status, said = await asyncio.wait_for(standing.call(), 30)
        assert status == 200
        assert len([code for code in said["ended"] if code]) >= 4
    assert await standing.call(exec_id="2") == (200, {"well": True})


async def test_a_fork_bomb_stays_below_its_limit_and_other_workers_do_not_feel_it(standing: Standing) -> None:
    standing.write("""
import os
async def handle(req, res, ctx):
    made = 0
    try:
        while made < 2000:
            if os.fork() == 0:
                import time
                time.sleep(30)
                os._exit(0)
            made += 1
    except OSError as error:
        return {"made": made}
""")
    standing.write(WELL, exec_id="2")
    await standing.start(limits={"pids": 32})
    await standing.start("2")
    status, said = await standing.call()
    assert status == 200
    assert said["made"] < 32
    assert await standing.call(exec_id="2") == (200, {"well": True})
    await standing.stop()


async def test_a_worker_that_ends_by_itself_is_told_of(standing: Standing) -> None:
    standing.write("import os\nasync def handle(req, res, ctx):\n    os._exit(7)\n")
    said = await standing.start()
    with pytest.raises(Broken):
        await standing.begun()
    event = await asyncio.to_thread(standing.events.get, timeout=5)
    assert event == {
        "event": "script.ended", "project": "shop", "exec": "1", "pid": said["pid"], "reason": "it ended with status 7",
        "asked": False,
    }  # fmt: skip


async def test_too_much_disk_is_refused(standing: Standing) -> None:
    told = await run(
        standing,
        """
try:
    with open("/tmp/x", "wb") as file:
        for _ in range(200):
            file.write(bytes(1 << 20))
except OSError as error:
    out = error.errno
""",
    )
    assert told == 28


async def test_what_the_gateway_may_not_name_is_refused(standing: Standing) -> None:
    wrong: list[dict[str, Any]] = [
        {"project": "../x"}, {"project": "a/b"}, {"project": ""}, {"project": "A"}, {"project": "."},
        {"project": "-a"}, {"project": "a" * 64},
        {"exec": ".."}, {"exec": "1/2"}, {"exec": "1\n"}, {"exec": 1}, {"limits": {"memory_bytes": 1}},
        {"limits": {"cpus": 0}}, {"limits": {"pids": True}}, {"limits": {"files": 1}}, {"limits": []}, {"env": {"A B": "x"}},
        {"env": {"A": 1}},
    ]  # fmt: skip
    for fields in wrong:
        with pytest.raises(Fault) as refused:
            await standing.ask("start", **{"project": "shop", "exec": "1", **fields})
        assert refused.value.code == "sandbox.invalid", fields


async def test_a_link_in_place_of_a_folder_is_not_followed(standing: Standing) -> None:
    standing.write(WELL)
    (standing.home / "run/scripts/shop/egress").mkdir(parents=True)
    for name in ("scripts/shop", "run/scripts/shop/egress", "run/scripts/door", "run/scripts"):
        place, moved = standing.home / name, standing.home / "moved"
        place.rename(moved)
        place.symlink_to(moved)
        with pytest.raises(Fault) as refused:
            await standing.ask("start", project="shop", exec="1")
        assert refused.value.code == "sandbox.invalid", name
        assert list(standing.home.glob("workers/*.sock")) == []
        place.unlink()
        moved.rename(place)
    await standing.start()
    assert await standing.call() == (200, {"well": True})


async def test_the_same_worker_is_not_started_twice(standing: Standing) -> None:
    standing.write(WELL)
    await standing.start()
    with pytest.raises(Fault) as refused:
        await standing.start()
    assert refused.value.code == "api.conflict"
