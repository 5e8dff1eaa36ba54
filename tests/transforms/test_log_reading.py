"""The request log is read again by the name of a conversation; what cannot be read is counted and left out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from tests.transforms.calls import DEV, TEST, Clock, asked, chat
from tests.transforms.chat_answers import chat_answers, plain, stream
from tests.transforms.driving import OK, drive, frames_of

from bawn.audit.redact import Redactor
from bawn.transforms.counts import Counts
from bawn.transforms.log import Log, LogStage
from bawn.transforms.log_files import LogFiles
from bawn.transforms.log_reading import read

MOST = 2**26


class Yard:
    def __init__(self, folder: Path, **settings: Any) -> None:
        self.folder = folder / "log"
        self.clock = Clock()
        self.files = LogFiles(self.folder, self.clock.now)
        made = Log.model_validate(settings)
        self.stage = LogStage(made, self.files, Redactor(), chat_answers, self.clock, Counts())

    async def call(self, text: str, answer: bytes = plain("hi"), **said: Any) -> None:
        self.clock.forward(seconds=1)
        await drive(self.stage, asked(chat(text, stream=said.pop("stream", False)), **said), answer)

    def texts(self, session: str = "s", most: int = 100, size: int = MOST) -> list[str]:
        assert self.files.written(5)
        found = read(self.folder, session, None, most, size)
        return [json.loads(call.body or b"{}")["messages"][0]["content"] for call in found.calls]


async def test_the_calls_of_a_session_come_in_their_order_from_all_files(tmp_path: Path) -> None:
    yard = Yard(tmp_path, file_bytes=4096)
    said = [f"{number}" + "x" * 900 for number in range(12)]
    for text in said:
        await yard.call(text)
    assert yard.texts() == said
    assert len(list(yard.folder.iterdir())) > 2
    assert yard.texts("other") == []


async def test_no_more_is_read_than_was_wanted(tmp_path: Path) -> None:
    yard = Yard(tmp_path)
    for text in ("one", "two", "three"):
        await yard.call(text)
    assert yard.texts(most=2) == ["one", "two"]
    assert yard.texts(size=900) == ["one"]
    assert read(yard.folder, "s", None, 2, MOST).more
    assert not read(yard.folder, "s", None, 3, MOST).more


async def test_equal_names_of_two_containers_are_told_apart(tmp_path: Path) -> None:
    yard = Yard(tmp_path, per="project")
    await yard.call("mine")
    await yard.call("other", container=TEST)
    assert yard.files.written(5)
    both = read(yard.folder, "s", None, 100, MOST)
    assert both.containers == {DEV.uuid: "dev", TEST.uuid: "test"}
    assert [call.container for call in read(yard.folder, "s", "test", 100, MOST).calls] == ["test"]
    assert [call.container for call in read(yard.folder, "s", DEV.uuid, 100, MOST).calls] == ["dev"]


async def test_a_call_of_bawn_itself_is_none_of_the_session(tmp_path: Path) -> None:
    yard = Yard(tmp_path)
    await yard.call("asked by a script", depth=1)
    await yard.call("asked")
    assert yard.texts() == ["asked"]


async def test_a_name_in_what_was_said_is_no_name(tmp_path: Path) -> None:
    yard = Yard(tmp_path)
    await drive(yard.stage, asked(chat("hello", metadata={"session": "mine"})), plain("hi"))
    assert yard.texts("mine") == []


async def test_bodies_that_are_not_whole_are_not_there(tmp_path: Path) -> None:
    yard = Yard(tmp_path, body_bytes=256)
    await yard.call("x" * 300, plain("y" * 300))
    await yard.call("short", plain("hi"), stream=True)
    assert yard.files.written(5)
    long, cut = read(yard.folder, "s", None, 100, MOST).calls
    assert (long.body, long.said) == (None, None)
    assert cut.body is not None
    assert cut.said is None, "an answer that did not end"


async def test_what_a_model_said_before_and_after_a_refusal_are_two_answers(tmp_path: Path) -> None:
    yard = Yard(tmp_path)
    for streamed in (False, True):
        one = asked(chat("hello", stream=streamed))
        await yard.stage.request(one)
        view = yard.stage.view(one)
        assert view is not None
        for text in ("first", "second"):
            if streamed:
                for frame in frames_of(stream(text)):
                    await view.frame(frame)
            else:
                await view.whole(plain(text))
        yard.clock.forward(seconds=1)
        yard.stage.over(one, OK)
    assert yard.files.written(5)
    for call in read(yard.folder, "s", None, 100, MOST).calls:
        assert call.said is not None
        words = [json.loads(each)["choices"][0]["message"]["content"] for each in call.said]
        assert words == ["first", "second"]


async def test_a_call_that_never_came_to_the_log_has_its_line(tmp_path: Path) -> None:
    yard = Yard(tmp_path)
    yard.stage.missed(asked(chat("no")), structs.replace(OK, status=403, outcome="refused"))
    assert yard.files.written(5)
    (call,) = read(yard.folder, "s", None, 100, MOST).calls
    assert (call.outcome, call.said) == ("refused", None)
    assert json.loads(call.body or b"")["messages"][0]["content"] == "no"


@given(
    st.lists(st.binary(max_size=60) | st.just(b'{"session":"s"}') | st.just(b'{"session":"s","time":1}'), max_size=8)
)
def test_lines_that_are_none_are_counted(tmp_path_factory: pytest.TempPathFactory, lines: list[bytes]) -> None:
    folder = tmp_path_factory.mktemp("log")
    (folder / "container-1.jsonl").write_bytes(b"\n".join(lines))
    found = read(folder, "s", None, 100, MOST)
    assert not found.calls
    assert found.broken >= sum(b'"session":"s"' in line for line in lines)


async def test_a_torn_line_costs_no_other(tmp_path: Path) -> None:
    yard = Yard(tmp_path)
    for text in ("one", "two", "three"):
        await yard.call(text)
    assert yard.files.written(5)
    path = yard.folder / "container-1.jsonl"
    one, two, three = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(one + two[:90] + b"\n" + three)
    found = read(yard.folder, "s", None, 100, MOST)
    assert (len(found.calls), found.broken) == (2, 1)


def test_a_link_in_the_folder_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b"broken\n")
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "container-1.jsonl").symlink_to(tmp_path / "other")
    assert read(tmp_path / "log", "s", None, 100, MOST).broken == 0
