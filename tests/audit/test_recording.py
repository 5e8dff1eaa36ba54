"""What was acknowledged is on the disk, whatever happens to the writer."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bawn.audit import packets
from bawn.audit.feed import Feed
from bawn.audit.packets import TailRequest
from bawn.audit.recorder import Recorder
from bawn.audit.redact import Redactor
from bawn.audit.settings import Durability
from bawn.errors import Fault
from bawn.terms.event import Event


class RealClock:
    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()


def made(sock: socket.socket, **options: Any) -> Recorder:
    return Recorder(sock, Redactor(), RealClock(), **options)


def event(name: str) -> Event:
    return Event(event=name)


async def until(condition: Any, seconds: float = 8.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to that"
        await asyncio.sleep(0.01)


async def test_a_record_is_on_the_disk_when_record_returns(recorder: Recorder, writer: Any) -> None:
    id_ = await recorder.record(Event(event="call.opened", method="POST", model="m", container="c"))
    last = writer.records()[-1]
    assert (last["id"], last["event"], last["model"]) == (id_, "call.opened", "m")


async def test_many_callers_share_commits_and_keep_their_order(recorder: Recorder, writer: Any) -> None:
    ids = await asyncio.gather(*(recorder.record(event(f"e{n}")) for n in range(500)))
    assert writer.events() == [f"e{n}" for n in range(500)]
    assert len(set(ids)) == 500


async def test_numbers_run_without_gap_over_restarts_of_everything(writer: Any) -> None:
    for life in range(3):
        recorder = made(writer.start())
        await recorder.start()
        for n in range(3):
            await recorder.record(event(f"life{life}.{n}"))
        await recorder.close()
        assert writer.ended() == 0, "the writer ends when nobody is left to write for"
    numbers = [record["sequence"] for record in writer.records()]
    assert numbers == list(range(1, len(numbers) + 1))


async def test_a_note_is_written_soon_without_being_waited_for(recorder: Recorder, writer: Any) -> None:
    recorder.note(event("call.settled"))
    await until(lambda: writer.events() == ["call.settled"])


async def test_relaxed_records_reach_the_disk_soon(writer: Any) -> None:
    recorder = made(writer.start(), durability=Durability.RELAXED)
    await recorder.start()
    for n in range(2000):
        await recorder.record(event(f"e{n}"))
    await until(lambda: recorder.pending == 0)
    assert writer.events() == [f"e{n}" for n in range(2000)]
    await recorder.close()


async def test_nothing_acknowledged_is_lost_when_the_writer_is_killed_under_load(writer: Any) -> None:
    recorder = made(writer.start())
    await recorder.start()
    acknowledged: list[str] = []
    refusals: set[str] = set()
    done = asyncio.Event()

    async def caller(number: int) -> None:
        turn = 0
        while not done.is_set():
            turn += 1
            try:
                acknowledged.append(await recorder.record(event(f"c{number}.{turn}")))
            except Fault as fault:
                refusals.add(fault.code)
                await asyncio.sleep(0.02)

    async def killer() -> None:
        for _ in range(3):
            await asyncio.sleep(0.05)
            writer.kill()
            await until(lambda: bool(recorder.unavailable))
            on_disk = {record["id"] for record in written_so_far(writer)}
            assert on_disk.issuperset(acknowledged)
            recorder.reattach(writer.start())
            await until(lambda: not recorder.unavailable)
        done.set()

    await asyncio.gather(killer(), *(caller(number) for number in range(20)))
    await recorder.close()
    writer.ended()
    names = writer.events()
    assert {record["id"] for record in writer.records()}.issuperset(acknowledged)
    assert len(names) == len(set(names)), "nothing is written twice"
    assert refusals == {"audit.unavailable"}, "while the writer was gone, nothing passed"
    numbers = [record["sequence"] for record in writer.records()]
    assert numbers == list(range(1, len(numbers) + 1))


def written_so_far(writer: Any) -> list[dict[str, Any]]:
    """The whole lines of a log whose writer was killed."""
    lines = (writer.directory / "audit.jsonl").read_bytes().split(b"\n")[:-1]
    return [msgspec.json.decode(line) for line in lines]


async def test_notes_made_while_the_writer_is_gone_are_written_by_the_next(writer: Any) -> None:
    recorder = made(writer.start())
    await recorder.start()
    writer.kill()
    await until(lambda: bool(recorder.unavailable))
    with pytest.raises(Fault) as caught:
        await recorder.record(event("call.opened"))
    assert caught.value.code == "audit.unavailable"
    for n in range(100):
        recorder.note(event(f"e{n}"))
    recorder.reattach(writer.start())
    await until(lambda: recorder.pending == 0)
    assert writer.events() == [f"e{n}" for n in range(100)]
    await recorder.close()


async def test_a_writer_begun_anew_on_the_same_socket_is_noticed(writer: Any) -> None:
    """The supervisor may keep the writer's end open; then the recorder sees no end of the connection."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    writer.start(theirs)
    recorder = made(ours)
    await recorder.start()
    await recorder.record(event("before"))
    writer.kill()
    for n in range(200):
        recorder.note(event(f"between{n}"))
        if n % 20 == 0:
            await asyncio.sleep(0)
    writer.start(theirs)
    await until(lambda: recorder.pending == 0)
    await recorder.record(event("after"))
    assert writer.events() == ["before", *(f"between{n}" for n in range(200)), "after"]
    await recorder.close()
    theirs.close()


async def test_a_recorder_begun_anew_on_the_same_socket_goes_on(writer: Any) -> None:
    """The gateway crashed: its end of the socket is inherited by the next one, with stale answers in it."""
    ours = writer.start()
    kept = ours.dup()
    first = made(ours)
    await first.start()
    await first.record(event("one"))
    first.note(event("two"))
    await asyncio.sleep(0.2)
    first._leave_socket()
    second = made(kept)
    await second.start()
    await second.record(event("three"))
    assert writer.events() == ["one", "two", "three"]
    await second.close()
    with contextlib.suppress(Fault):
        await first.close()


async def test_a_full_queue_refuses(writer: Any) -> None:
    recorder = made(writer.start(), queue_records=10)
    await recorder.start()
    writer.kill()
    await until(lambda: bool(recorder.unavailable))
    for _ in range(10):
        recorder.note(event("kept"))
    with pytest.raises(Fault, match="full"):
        recorder.note(event("too much"))
    recorder.reattach(writer.start())
    await until(lambda: recorder.pending == 0)
    assert writer.events() == ["kept"] * 10
    await recorder.close()


async def test_a_silent_writer_lets_nothing_pass(tmp_path: Path) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    recorder = made(ours, ack_timeout_s=0.2)
    with pytest.raises(Fault) as caught:
        await recorder.start()
    assert caught.value.code == "audit.unavailable"
    await recorder.close()
    theirs.close()


async def test_a_writer_that_refuses_its_log_stops_the_start_at_once(writer: Any) -> None:
    (writer.directory / "audit.jsonl").write_text("somebody's letter\n")
    (writer.directory / "audit.jsonl").chmod(0o600)
    recorder = made(writer.start(), ack_timeout_s=20)
    begin = time.monotonic()
    with pytest.raises(Fault) as caught:
        await recorder.start()
    assert caught.value.code == "audit.unavailable"
    assert time.monotonic() - begin < 10
    assert writer.ended() == 78
    assert "not a log of Bawn" in writer.said
    await recorder.close()


async def test_the_next_writer_waits_for_the_one_before(writer: Any) -> None:
    first = made(writer.start())
    await first.start()
    before, writer.process = writer.process, None
    second = made(writer.start())
    starting = asyncio.create_task(second.start())
    await first.record(event("one"))
    await first.close()
    await starting
    await second.record(event("two"))
    assert writer.events() == ["one", "two"]
    await second.close()
    assert before.wait(10) == 0
    before.stderr.close()


async def test_a_writer_that_falls_silent_fails_those_who_wait(writer: Any) -> None:
    recorder = made(writer.start(), ack_timeout_s=0.4)
    await recorder.start()
    writer.process.send_signal(19)  # SIGSTOP
    with pytest.raises(Fault):
        await recorder.record(event("waited"))
    writer.process.send_signal(18)  # SIGCONT
    await until(lambda: not recorder.unavailable)
    await recorder.record(event("again"))
    assert writer.events() == ["waited", "again"]
    await recorder.close()


async def test_a_writer_that_begins_and_then_falls_silent_fails_those_who_wait() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    recorder = made(ours, ack_timeout_s=0.4)
    starting = asyncio.create_task(recorder.start())
    await asyncio.sleep(0.05)
    said = packets.read_hello(theirs.recv(packets.RECEIVE_SIZE))
    theirs.send(packets.hello(said.nonce, said.run, 0))
    await starting
    theirs.send(packets.WOKE)  # another one, whose answer to the next hello never comes
    await asyncio.sleep(0.05)
    async with asyncio.timeout(5):
        with pytest.raises(Fault) as caught:
            await recorder.record(event("waited"))
    assert caught.value.code == "audit.unavailable"
    await recorder.close(0.1)
    theirs.close()


async def test_a_socket_full_of_packets_is_waited_for(writer: Any) -> None:
    recorder = made(writer.start(), ack_timeout_s=5)
    await recorder.start()
    writer.process.send_signal(19)
    for n in range(5000):
        recorder.note(Event(event=f"e{n}", cause="x" * 200))
        if n % 50 == 0:
            await asyncio.sleep(0)
    await asyncio.sleep(0.1)
    writer.process.send_signal(18)
    await until(lambda: recorder.pending == 0)
    assert writer.events() == [f"e{n}" for n in range(5000)]
    await recorder.close()


async def test_told_to_stop_the_writer_takes_what_is_on_its_way(writer: Any) -> None:
    recorder = made(writer.start())
    await recorder.start()
    writer.process.send_signal(19)
    for n in range(100):
        recorder.note(event(f"e{n}"))
    await asyncio.sleep(0.05)
    writer.process.send_signal(15)
    writer.process.send_signal(18)
    assert await asyncio.to_thread(writer.ended) == 0
    assert writer.events() == [f"e{n}" for n in range(100)]
    await recorder.close()


async def test_secrets_never_reach_the_file(writer: Any) -> None:
    redactor = Redactor()
    redactor.learn(['my "own" planted value'])
    recorder = Recorder(writer.start(), redactor, RealClock())
    await recorder.start()
    await recorder.record(
        Event(
            event="call.refused",
            cause='the key was:\nsk-ant-api03-PLANTEDPLANTED and my "own" planted value',
            detail=(("url", "https://ada:hunter22@example.org/"),),
        )
    )
    text = (writer.directory / "audit.jsonl").read_text()
    for secret in ("PLANTED", "own", "hunter22"):
        assert secret not in text
    assert writer.records()[-1]["cause"] == "the key was:\n[redacted:anthropic-key] and [redacted]"
    await recorder.close()


async def test_a_secret_is_taken_out_before_a_long_text_is_cut(writer: Any) -> None:
    """Half of a secret would not be recognised any more."""
    redactor = Redactor()
    redactor.learn(["planted-0123456789abcdefghijklmnopqrstuvwxyz"])
    recorder = Recorder(writer.start(), redactor, RealClock())
    await recorder.start()
    for before in range(215, 260, 5):
        await recorder.record(
            Event(event="e", cause="-" * before + "planted-0123456789abcdefghijklmnopqrstuvwxyz" + "." * 20_000)
        )
    text = (writer.directory / "audit.jsonl").read_text()
    assert "plant" not in text
    await recorder.close()


@pytest.fixture
def small_disk(writer: Any) -> Iterator[Path]:
    disk = writer.directory
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("needs the right to mount a small file system")
    options = "size=64k,mode=0700"
    if subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", disk], check=False).returncode != 0:
        pytest.skip("a small file system cannot be mounted here")
    yield disk
    if writer.process is not None:
        writer.kill()
    subprocess.run(["umount", "--lazy", disk], check=True)


async def test_a_full_disk_lets_nothing_pass_loses_nothing_and_passes(small_disk: Path, writer: Any) -> None:
    recorder = made(writer.start())
    await recorder.start()
    written = 0
    fault: Fault | None = None
    while fault is None:
        try:
            await recorder.record(Event(event=f"e{written}", cause="x" * 200))
            written += 1
        except Fault as error:
            fault = error
    assert fault.code == "audit.unavailable"
    assert "No space left" in fault.cause
    assert writer.events() == [f"e{n}" for n in range(written)], "every line is whole and acknowledged"
    recorder.note(event("noted"))
    subprocess.run(["mount", "-o", "remount,size=1m", small_disk], check=True)
    await until(lambda: not recorder.unavailable)
    await recorder.record(event("again"))
    assert writer.events() == [*(f"e{n}" for n in range(written + 1)), "noted", "again"]
    await recorder.close()


async def test_the_feed_tells_the_last_records_that_fit(recorder: Recorder) -> None:
    for n in range(50):
        await recorder.record(Event(event="call.settled", container=f"c{n % 5}", call=f"call{n}"))
    await recorder.record(event("container.updated"))
    feed = Feed(recorder)
    assert [r["call"] for r in await feed.tail(TailRequest(n=3, container="c2"))] == ["call37", "call42", "call47"]
    assert [r["event"] for r in await feed.tail(TailRequest(n=1))] == ["container.updated"]
    assert len(await feed.tail(TailRequest(n=100, event="call."))) == 50
    assert [r["event"] for r in await feed.tail(TailRequest(call="call7"))] == ["call.settled"]


async def test_a_long_answer_of_the_feed_comes_in_pieces(recorder: Recorder) -> None:
    for _ in range(600):
        recorder.note(Event(event="long", cause="x" * 500))
    await recorder.record(event("last"))
    assert len(await Feed(recorder).tail(TailRequest(n=601, event=""))) == 601


async def test_following_tells_later_records_once_each(recorder: Recorder) -> None:
    await recorder.record(event("call.e0"))
    told: list[str] = []

    async def follow() -> None:
        async for record in Feed(recorder).follow(TailRequest(n=1, event="call.")):
            told.extend([record["event"]])

    task = asyncio.create_task(follow())
    await until(lambda: told == ["call.e0"])
    for n in range(1, 4):
        await recorder.record(event(f"call.e{n}"))
        await recorder.record(event("other"))
        await asyncio.sleep(0.2)
    await until(lambda: told == ["call.e0", "call.e1", "call.e2", "call.e3"])
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
