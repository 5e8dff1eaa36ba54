"""Notices are counted, cleaned, queued and tried again; a sink that fails is seen."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from tests.api.yard import Log, TestClock

from bawn.audit.redact import Redactor
from bawn.errors import Fault
from bawn.notify.notice import Action, Notice, Priority, sound
from bawn.notify.notices import Notices, host_url
from bawn.notify.settings import Notify
from bawn.notify.settings import Sink as Said
from bawn.notify.sinks import FILE_BYTES, FileSink, Sink, Undelivered, WebhookSink
from bawn.terms.principal import Container

DEV = Container("uuid-dev", 7, "dev", "default")
OTHER = Container("uuid-other", 8, "other", "default")
HELLO = Notice("Hello", "A few words")


class Slot:
    """A sink that does what it is told."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.came: list[dict[str, Any]] = []
        self.tried = 0
        self.held = asyncio.Event()
        self.held.set()

    async def deliver(self, notice: dict[str, Any]) -> None:
        await self.held.wait()
        self.tried += 1
        answer = self.answers.pop(0) if self.answers else "good"
        if answer != "good":
            raise Undelivered("it does not work", again=answer == "again")
        self.came.append(notice)


class Post:
    def __init__(self, clock: TestClock) -> None:
        self.clock = clock
        self.log = Log()
        self.sinks: dict[str, Sink] = {}
        self.redactor = Redactor()
        self.made: list[Notices] = []

    def notices(self, **settings: Any) -> Notices:
        def make(said: Notify) -> Mapping[str, Sink]:
            return self.sinks

        notices = Notices(Notify(**settings), make, self.log, self.redactor.text, self.clock)
        notices.pause_s = 0.001
        self.made.append(notices)
        return notices


@pytest.fixture
async def post() -> AsyncIterator[Post]:
    post = Post(TestClock())
    yield post
    for notices in post.made:
        await notices.close()


async def test_a_notice_reaches_every_sink_and_is_on_record_without_its_words(post: Post) -> None:
    first, second = Slot(), Slot()
    post.sinks = {"a": first, "b": second}
    notices = post.notices()
    id_ = await notices.send(HELLO, DEV, "container-7")
    await notices.drained()
    assert [notice["id"] for notice in first.came + second.came] == [id_, id_]
    assert first.came[0]["container"] == "dev"
    [event] = post.log.events
    assert (event.event, event.principal, event.container) == ("notice.accepted", "container-7", "uuid-dev")
    assert "few words" not in str(event)


async def test_what_cannot_be_recorded_is_not_sent(post: Post) -> None:
    slot = Slot()
    post.sinks = {"a": slot}
    post.log.broken = True
    notices = post.notices()
    with pytest.raises(Fault):
        await notices.send(HELLO)
    await notices.drained()
    assert slot.came == []


async def test_secrets_and_what_is_not_seen_stay_out(post: Post) -> None:
    slot = Slot()
    post.sinks = {"a": slot}
    post.redactor.learn(["a-very-secret-value"])
    notices = post.notices()
    hostile = Notice("sk-ant-abcdefghijkl \u202e\x1b[2J", "a-very-secret-value\nsecond\u200b line", actions=(
        Action("ok\x00", "https://x.example/?k=a-very-secret-value"),))  # fmt: skip
    await notices.send(hostile)
    await notices.drained()
    text = json.dumps(slot.came[0], ensure_ascii=False)
    assert "secret-value" not in text
    assert "sk-ant-" not in text
    assert not {"\u202e", "\x1b", "\u200b", "\x00"} & set(text)
    assert slot.came[0]["message"] == "[redacted]\nsecond\\u200b line"


async def test_one_container_s_flood_leaves_room_for_others_and_all_together_are_bounded(post: Post) -> None:
    post.sinks = {"a": Slot()}
    notices = post.notices(per_minute=5, container_per_minute=2)

    async def sent(container: Container | None) -> bool:
        try:
            await notices.send(HELLO, container)
        except Fault as fault:
            assert fault.code == "notify.too_many"  # noqa: PT017
            return False
        return True

    assert [await sent(DEV) for _ in range(4)] == [True, True, False, False]
    assert [await sent(OTHER) for _ in range(3)] == [True, True, False]
    assert [await sent(None) for _ in range(2)] == [True, False]
    post.clock.forward(seconds=30)
    assert [await sent(DEV) for _ in range(2)] == [True, False]
    assert len(post.log.events) == 6


async def test_a_sink_that_fails_is_tried_again_until_it_works(post: Post) -> None:
    slot = Slot("again", "again", "good")
    post.sinks = {"a": slot}
    notices = post.notices()
    await notices.send(HELLO)
    await notices.drained()
    assert (slot.tried, len(slot.came), notices.troubles()) == (3, 1, [])


async def test_a_sink_that_goes_on_failing_is_on_record_and_in_the_status_until_it_works(post: Post) -> None:
    slot = Slot("again", "again")
    post.sinks = {"phone": slot}
    notices = post.notices(attempts=2)
    await notices.send(HELLO)
    await notices.drained()
    assert [(e.event, e.cause) for e in post.log.events][-1] == ("notice.failed", "it does not work")
    assert notices.troubles() == ["Notices do not reach the sink 'phone': it does not work. 1 notices were lost."]
    await notices.send(HELLO)
    await notices.drained()
    assert notices.troubles() == []


async def test_what_cannot_do_better_is_not_tried_again(post: Post) -> None:
    slot = Slot("never")
    post.sinks = {"a": slot}
    notices = post.notices()
    await notices.send(HELLO)
    await notices.drained()
    assert slot.tried == 1


async def test_a_slow_sink_holds_up_no_other_and_its_queue_is_bounded(post: Post) -> None:
    slow, quick = Slot(), Slot()
    slow.held.clear()
    post.sinks = {"slow": slow, "quick": quick}
    notices = post.notices(queue=3, per_minute=100)
    for number in range(1, 6):
        await notices.send(HELLO)
        async with asyncio.timeout(5):
            while len(quick.came) < number:
                await asyncio.sleep(0.002)
    assert "too many wait for it. 2 notices were lost" in notices.troubles()[0]
    assert [event.event for event in post.log.events].count("notice.failed") == 2
    slow.held.set()
    await notices.drained()
    assert len(slow.came) == 3


async def test_a_sink_that_leaves_the_configuration_gets_nothing_more(post: Post) -> None:
    slot = Slot()
    post.sinks = {"a": slot}
    notices = post.notices()
    post.sinks = {}
    notices.apply(Notify())
    await notices.send(HELLO)
    assert (slot.came, notices.sinks) == ([], 0)


@pytest.mark.parametrize(
    ("public", "host", "url"),
    [
        ("https://bawn.example.org/", "http://127.0.0.1:7420", "https://bawn.example.org/api/approve?id=1"),
        (None, "http://127.0.0.1:7420", "http://127.0.0.1:7420/api/approve?id=1"),
        (None, "", "/api/approve?id=1"),
    ],
)
async def test_paths_become_links_of_the_public_address_or_stay_on_this_machine(
    post: Post, public: str | None, host: str, url: str
) -> None:
    slot = Slot()
    post.sinks = {"a": slot}
    notices = post.notices(public_url=public)
    notices.host_url = host
    await notices.send(Notice("x", actions=(Action("Approve", "/api/approve?id=1"), Action("x", "https://x.example/"))))
    await notices.drained()
    assert [action["url"] for action in slot.came[0]["actions"]] == [url, "https://x.example/"]


@pytest.mark.parametrize(
    "url",
    ["javascript:alert(1)", "//evil.example", "data:text/html,x", "https://user@evil.example", "/a b", "/\\evil.example",
     "https:///x", "ftp://x.example", "x", "", "/\n", "https://x.example/\u202e", "http://[", "/" + "x" * 3000],
)  # fmt: skip
def test_a_link_that_is_no_plain_web_address_is_refused(url: str) -> None:
    with pytest.raises(Fault, match="link"):
        sound(Notice("x", actions=(Action("x", url),)), str)


def test_long_texts_are_cut_and_say_so() -> None:
    fit = sound(Notice("t" * 500, "m" * 10_000, Priority.LOW), str)
    assert fit.title.endswith("(300 more characters)")
    assert fit.message.endswith("(6000 more characters)")


async def test_a_file_gets_one_line_of_ascii_each_readable_for_nobody_else(tmp_path: Path) -> None:
    path = tmp_path / "notices.jsonl"
    sink = FileSink(path)
    for title in ("\u00e9\u2028", "two\nlines"):
        await sink.deliver({"title": title})
    lines = path.read_bytes().splitlines()
    assert [json.loads(line)["title"] for line in lines] == ["\u00e9\u2028", "two\nlines"]
    assert path.read_bytes().isascii()
    assert path.stat().st_mode & 0o777 == 0o600


async def test_a_file_that_grew_too_large_is_put_aside(tmp_path: Path) -> None:
    path = tmp_path / "notices.jsonl"
    path.write_bytes(b"x" * FILE_BYTES)
    await FileSink(path).deliver({"title": "x"})
    assert not path.exists()
    assert (tmp_path / "notices.jsonl.1").stat().st_size > FILE_BYTES


async def test_no_link_no_pipe_and_no_missing_folder_is_written_to(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "target")
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "pipe", "none/x"):
        with pytest.raises(Undelivered):
            await FileSink(tmp_path / name).deliver({"title": "x"})
    assert not (tmp_path / "target").exists()


async def test_a_webhook_s_answers_are_read_as_what_they_are() -> None:
    again = {}
    for status in (200, 204, 301, 302, 400, 404, 408, 429, 500, 503):

        async def answered(url: str, body: bytes, timeout_s: float, status: int = status) -> int:
            return status

        try:
            await WebhookSink(lambda: "https://x.example/", answered, 1).deliver({})
        except Undelivered as error:
            again[status] = error.again
    assert again == {301: False, 302: False, 400: False, 404: False, 408: True, 429: True, 500: True, 503: True}


@pytest.mark.parametrize(
    "wrong",
    [
        {"sinks": {"a": {"kind": "webhook", "url": "http://x.example/"}}},
        {"sinks": {"a": {"kind": "webhook", "url": "https://u:p@x.example/"}}},
        {"sinks": {"a": {"kind": "webhook", "url": "ftp://x.example/"}}},
        {"sinks": {"a": {"kind": "file", "url": "https://x.example/"}}},
        {"sinks": {"a": {"kind": "pigeon"}}},
        {"sinks": {"A": {"kind": "file"}}},
        {"public_url": "https://x.example/path"},
        {"public_url": "http://x.example"},
        {"public_url": "x"},
    ],
)
def test_a_configuration_that_cannot_be_meant_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Notify.model_validate(wrong)


def test_an_address_on_this_machine_may_be_plain_http() -> None:
    for url in ("http://127.0.0.1:8080/x", "http://localhost/x", "http://[::1]:1/x", "https://x.example/y?z=1"):
        assert Said.model_validate({"kind": "webhook", "url": url}).url == url


def test_links_of_this_machine_begin_with_the_loopback_listener() -> None:
    assert host_url(("unix:/x", "http://127.0.0.1:7420")) == "http://127.0.0.1:7420"
    assert host_url(("unix:/x",)) == ""
