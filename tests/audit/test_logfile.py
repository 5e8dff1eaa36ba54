"""The file of the log: its own, whole, and continued."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bawn.audit.logfile import LogFile, NotOurs
from bawn.audit.packets import TailRequest
from bawn.audit.records import line_of, record_of
from bawn.terms.event import Event

RUN = b"\x01" * 8


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "audit").mkdir(0o700)
    return tmp_path / "audit"


@pytest.fixture
def opened(directory: Path) -> Iterator[Callable[[], LogFile]]:
    made: list[tuple[LogFile, int]] = []

    def open_again() -> LogFile:
        for log, descriptor in made:
            log.close()
            os.close(descriptor)
        made.clear()
        descriptor = os.open(directory, os.O_RDONLY)
        log = LogFile(descriptor, lambda: datetime.now(UTC))
        try:
            log.open()
        except NotOurs:
            os.close(descriptor)
            raise
        made.append((log, descriptor))
        return log

    yield open_again
    for log, descriptor in made:
        log.close()
        os.close(descriptor)


def lines(first: int, count: int) -> list[bytes]:
    now = datetime.now(UTC)
    return [line_of(record_of(Event(f"e{n}"), f"rec_{RUN.hex()}{n:08x}", now)) for n in range(first, first + count)]


def records(directory: Path) -> list[dict[str, Any]]:
    files = [*sorted(directory.glob("audit-*.jsonl")), directory / "audit.jsonl"]
    return [msgspec.json.decode(line) for file in files for line in file.read_bytes().splitlines()]


def test_the_file_is_closed_to_others(opened: Callable[[], LogFile], directory: Path) -> None:
    opened()
    assert (directory / "audit.jsonl").stat().st_mode & 0o777 == 0o600


def test_the_place_is_found_again(opened: Callable[[], LogFile]) -> None:
    log = opened()
    log.append(RUN, 1, lines(1, 5))
    log = opened()
    assert (log.run, log.counter) == (RUN, 5)
    log = opened()
    assert (log.run, log.counter) == (RUN, 5), "also behind the writer's own records"


@pytest.mark.parametrize("torn", [b'{"timestamp":"2026', b"\0" * 5000, b'{"timestamp":"x"}\n', b"{}\n\0\0", b"x"])
def test_a_torn_end_is_cut_off_and_told(opened: Callable[[], LogFile], directory: Path, torn: bytes) -> None:
    opened().append(RUN, 1, lines(1, 3))
    with (directory / "audit.jsonl").open("ab") as file:
        file.write(torn)
    log = opened()
    log.append(RUN, 4, lines(4, 1))
    told = records(directory)
    assert [r["event"] for r in told] == ["log.opened", "e1", "e2", "e3", "log.repaired", "log.opened", "e4"]
    assert told[4]["detail"]["torn_bytes"] == str(len(torn))
    assert [r["sequence"] for r in told] == list(range(1, 8))


def test_a_log_whose_first_line_was_torn_begins_anew(opened: Callable[[], LogFile], directory: Path) -> None:
    (directory / "audit.jsonl").write_bytes(b'{"timestamp":"2026-')
    (directory / "audit.jsonl").chmod(0o600)
    opened()
    assert [r["event"] for r in records(directory)] == ["log.repaired", "log.opened"]


@pytest.mark.parametrize("content", [b"somebody's letter\n", b"x", b"a" * 2_000_000])
def test_a_file_that_is_no_log_is_refused_and_left_alone(
    opened: Callable[[], LogFile], directory: Path, content: bytes
) -> None:
    path = directory / "audit.jsonl"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(NotOurs, match="not a log"):
        opened()
    assert path.read_bytes() == content


def test_a_file_that_others_can_read_is_refused(opened: Callable[[], LogFile], directory: Path) -> None:
    (directory / "audit.jsonl").touch(0o644)
    with pytest.raises(NotOurs):
        opened()


def test_a_file_with_a_second_name_is_refused(opened: Callable[[], LogFile], directory: Path) -> None:
    (directory / "audit.jsonl").touch(0o600)
    os.link(directory / "audit.jsonl", directory / "second")
    with pytest.raises(NotOurs):
        opened()


def test_a_link_is_not_followed(opened: Callable[[], LogFile], directory: Path) -> None:
    (directory / "audit.jsonl").symlink_to(directory.parent / "elsewhere")
    with pytest.raises(OSError):
        opened()
    assert not (directory.parent / "elsewhere").exists()


def test_a_directory_that_others_can_write_is_refused(opened: Callable[[], LogFile], directory: Path) -> None:
    directory.chmod(0o770)
    with pytest.raises(NotOurs):
        opened()


def test_two_writers_cannot_have_one_log(opened: Callable[[], LogFile], directory: Path) -> None:
    opened()
    descriptor = os.open(directory, os.O_RDONLY)
    with pytest.raises(NotOurs, match="another process"):
        LogFile(descriptor, lambda: datetime.now(UTC), lock_wait_s=0.1).open()
    os.close(descriptor)


def test_a_full_file_is_followed_by_the_next_and_numbers_run_on(opened: Callable[[], LogFile], directory: Path) -> None:
    log = opened()
    log.rotate_bytes = 4096
    for n in range(1, 61):
        log.append(RUN, n, lines(n, 1))
        log.commit()
        log.rotate_if_due()
    told = records(directory)
    assert len(list(directory.glob("audit-*.jsonl"))) >= 2
    assert [r["sequence"] for r in told] == list(range(1, len(told) + 1))
    assert [r["event"] for r in told if r["event"].startswith("e")] == [f"e{n}" for n in range(1, 61)]
    continued = next(r for r in told if r["event"] == "log.continued")
    assert (directory / continued["detail"]["file"]).exists()
    log = opened()
    assert (log.run, log.counter) == (RUN, 60)


def test_a_crash_between_two_files_loses_no_number(opened: Callable[[], LogFile], directory: Path) -> None:
    opened().append(RUN, 1, lines(1, 3))
    (directory / "audit.jsonl").rename(directory / "audit-20300131T120000.000Z-4.jsonl")
    log = opened()
    assert (log.run, log.counter, log.sequence) == (RUN, 3, 5)


def test_the_last_lines_are_found_over_files(opened: Callable[[], LogFile]) -> None:
    log = opened()
    log.rotate_bytes = 4096
    for n in range(1, 61):
        log.append(RUN, n, lines(n, 1))
        log.commit()
        log.rotate_if_due()
    told = [msgspec.json.decode(line) for line in log.tail(TailRequest(n=100))]
    assert [r["sequence"] for r in told] == list(range(1, log.sequence + 1))
    assert [msgspec.json.decode(line)["event"] for line in log.tail(TailRequest(n=1, event="e40"))] == ["e40"]
    assert [msgspec.json.decode(line)["sequence"] for line in log.tail(TailRequest(after=log.sequence - 2))] == [
        log.sequence - 1,
        log.sequence,
    ]
    assert log.tail(TailRequest(n=0)) == []
