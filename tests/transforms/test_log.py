"""Requests and answers are written whole and without secrets, off the event loop, bounded in every way."""

from __future__ import annotations

import base64
import json
import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from tests.transforms.calls import TEST, Clock, asked, chat
from tests.transforms.chat_answers import chat_answers, plain, stream
from tests.transforms.driving import OK, drive

from bawn.audit.redact import Redactor
from bawn.transforms.counts import Counts
from bawn.transforms.log import Log, LogStage, body_told
from bawn.transforms.log_files import Keeping, LogFiles

SECRET = "hunter2-the-long-secret"
KEY = "sk-ant-api03-abcdefghijklmnop"


class Yard:
    def __init__(self, folder: Path, **settings: Any) -> None:
        self.folder = folder / "log"
        self.clock = Clock()
        self.files = LogFiles(self.folder, self.clock.now)
        self.redactor = Redactor()
        self.redactor.learn([SECRET])
        self.counts = Counts()
        made = Log.model_validate(settings)
        self.stage = LogStage(made, self.files, self.redactor, chat_answers, self.clock, self.counts)

    async def call(self, body: dict[str, Any], answer: bytes = plain("hi"), **more: Any) -> None:
        ending = structs.replace(OK, **more.pop("ending", {}))
        one = asked(body, headers=((b"authorization", KEY.encode()), (b"user-agent", b"test")), **more)
        one.notes.append(("cache", "hit"))
        await drive(self.stage, one, answer, ending)

    def lines(self, name: str = "container-1") -> list[dict[str, Any]]:
        self.files.close()
        return [json.loads(line) for line in (self.folder / f"{name}.jsonl").read_text().splitlines()]


async def test_request_answer_and_what_came_of_it_are_on_one_line(tmp_path: Path) -> None:
    yard = Yard(tmp_path)
    await yard.call(chat("hello"), plain("hi"))
    (line,) = yard.lines()
    assert line["request"]["messages"][0]["content"] == "hello"
    assert line["answer"]["choices"][0]["message"]["content"] == "hi"
    assert {name: line[name] for name in ("container", "status", "tokens_in", "cost_usd", "total_ms")} == {
        "container": "dev",
        "status": 200,
        "tokens_in": 10,
        "cost_usd": 0.01,
        "total_ms": 20,
    }
    assert line["notes"] == [["cache", "hit"]]
    assert line["headers"] == {"user-agent": "test"}
    assert (yard.folder / "container-1.jsonl").stat().st_mode & 0o077 == 0
    assert yard.folder.stat().st_mode & 0o077 == 0


async def test_a_stream_is_written_as_the_answer_that_it_is(tmp_path: Path) -> None:
    yard = Yard(tmp_path)
    await yard.call(chat(stream=True), stream("he", "llo"))
    assert yard.lines()[0]["answer"]["choices"][0]["message"]["content"] == "hello"


@pytest.mark.parametrize(
    "text",
    [SECRET, KEY, base64.b64encode(SECRET.encode()).decode(), SECRET.encode().hex(), f"https://me:{SECRET}@host/"],
)
async def test_secrets_are_taken_out_of_requests_and_answers(tmp_path: Path, text: str) -> None:
    yard = Yard(tmp_path)
    escaped = json.dumps(chat(f"a {text} b")).replace("-", "\\u002d").encode()
    await yard.call(chat(f"a {text} b", metadata={"k": text}), plain(f"c {text} d"))
    await drive(yard.stage, asked(escaped), plain("hi"))
    halves = stream(*text)
    await yard.call(chat(stream=True), halves)
    yard.files.close()
    written = (yard.folder / "container-1.jsonl").read_text()
    assert text not in written
    assert json.dumps(text)[1:-1] not in written
    assert written.count("[redacted") >= 4


async def test_a_cut_stream_is_told_by_its_size_only(tmp_path: Path) -> None:
    yard = Yard(tmp_path)
    await yard.call(chat(stream=True), stream(*SECRET)[:-90], ending={"outcome": "cut"})
    line = yard.lines()[0]
    assert "answer" not in line
    assert line["answer_bytes"] > 100
    assert line["outcome"] == "cut"


@given(st.integers(0, 9000), st.integers(300, 4000))
def test_no_part_of_a_secret_stands_at_the_end_of_a_cut_body(at: int, limit: int) -> None:
    redactor = Redactor()
    redactor.learn([SECRET])
    body = json.dumps(chat("x" * at + SECRET + "y" * 20_000)).encode()
    told = json.dumps(body_told(body, limit, redactor))
    assert SECRET[:6] not in told
    assert len(told) < limit + 200


async def test_only_what_was_asked_for_is_written(tmp_path: Path) -> None:
    yard = Yard(tmp_path, requests=False, answers=False, containers=["dev"], per="project")
    await yard.call(chat())
    await yard.call(chat(), container=TEST)
    (line,) = yard.lines("project-shop")
    assert "request" not in line
    assert "answer" not in line


async def test_files_are_closed_at_their_size_and_old_ones_go(tmp_path: Path) -> None:
    yard = Yard(tmp_path, file_bytes=4096, files=3)
    for number in range(40):
        await yard.call(chat("x" * 1000 + str(number)))
        yard.clock.forward(seconds=1)
    yard.files.close()
    files = sorted(yard.folder.iterdir())
    assert len(files) == 4
    assert all(path.stat().st_size <= 4096 for path in files)
    newest = yard.lines()[-1]["request"]["messages"][0]["content"]
    assert newest.endswith("39")


async def test_files_older_than_their_days_go(tmp_path: Path) -> None:
    clock = Clock()
    files = LogFiles(tmp_path / "log", clock.now)
    files.keeping = Keeping(2**20, 5, 1)
    files.add("old", 1, lambda: b"{}\n")
    files.close()
    clock.time += timedelta(days=2)
    again = LogFiles(tmp_path / "log", clock.now)
    again.keeping = files.keeping
    again.add("new", 1, lambda: b"{}\n")
    again.close()
    assert [path.name for path in (tmp_path / "log").iterdir()] == ["new.jsonl"]
    assert again.lost == 0


async def test_what_waits_is_bounded_and_adding_never_waits(tmp_path: Path) -> None:
    files = LogFiles(tmp_path, Clock().now, lines=10, most_bytes=10_000)
    gate = threading.Event()

    def slow() -> bytes:
        gate.wait(10)
        return b"{}\n"

    began = time.perf_counter()
    taken = [files.add("x", 100, slow) for _ in range(100)]
    assert time.perf_counter() - began < 1
    assert 10 <= sum(taken) <= 12
    assert files.lost == 100 - sum(taken)
    assert not files.add("x", 20_000, slow)
    gate.set()
    files.close()


async def test_a_line_that_cannot_be_made_ends_nothing(tmp_path: Path) -> None:
    files = LogFiles(tmp_path, Clock().now)

    def broken() -> bytes:
        raise ZeroDivisionError

    files.add("x", 1, broken)
    files.add("x", 1, lambda: b"{}\n")
    files.close()
    assert (tmp_path / "x.jsonl").read_bytes() == b"{}\n"
    assert files.lost == 1


async def test_the_loop_does_none_of_the_work(tmp_path: Path) -> None:
    yard = Yard(tmp_path, body_bytes=2**24)
    gate = threading.Event()

    def waits() -> bytes:
        gate.wait(10)
        return b"{}\n"

    yard.files.add("first", 1, waits)
    body = chat("word " * 200_000)
    one = asked(body)
    await yard.stage.request(one)
    began = time.perf_counter()
    yard.stage.over(one, OK)
    took = (time.perf_counter() - began) * 1000
    print(f"a request of {len(one.exchange.body)} bytes is handed over in {took:.2f} ms")
    assert took < 20
    gate.set()
    assert len(yard.lines()[0]["request"]["messages"][0]["content"]) == 1_000_000
