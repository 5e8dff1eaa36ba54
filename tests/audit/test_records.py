"""A record's line: its bytes stay what they were."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bawn.audit.record import Record
from bawn.audit.records import LINE_LIMIT, line_of, read_line, record_of, sealed, timestamp
from bawn.store.tables import moment_text
from bawn.terms.event import Event
from bawn.terms.stamp import Stamps

NOON = datetime(2026, 4, 23, 10, 15, tzinfo=UTC)

FULL = Event(
    event="call.settled",
    endpoint="chat/completions",
    method="POST",
    api_key_name="container-dev",
    tokens_in=45,
    tokens_out=312,
    model="claude",
    latency_ms=1180,
    status=200,
    principal="container-7",
    container="uuid",
    call="call_1",
    code="c",
    cause="why",
    provider="anthropic",
    detail=(("outcome", "cut"),),
)


def test_the_bytes_of_a_record_are_pinned() -> None:
    """Old logs are read by other programs: this test may get new lines, never changed ones."""
    assert sealed(line_of(record_of(FULL, "rec_1", NOON)), 9) == (
        b'{"timestamp":"2026-04-23T10:15:00.000Z","event":"call.settled","endpoint":"chat/completions","method":"POST",'
        b'"api_key_name":"container-dev","tokens_in":45,"tokens_out":312,"model":"claude","latency_ms":1180,"status":200,'
        b'"id":"rec_1","principal":"container-7","container":"uuid","call":"call_1","code":"c","cause":"why",'
        b'"provider":"anthropic","detail":{"outcome":"cut"},"sequence":9}\n'
    )
    assert sealed(line_of(record_of(Event("container.updated"), "rec_2", NOON)), 10) == (
        b'{"timestamp":"2026-04-23T10:15:00.000Z","event":"container.updated","endpoint":"","method":"",'
        b'"api_key_name":"","tokens_in":null,"tokens_out":null,"model":"","latency_ms":null,"status":null,'
        b'"id":"rec_2","sequence":10}\n'
    )


def test_fields_of_a_later_version_are_ignored() -> None:
    line = sealed(line_of(record_of(FULL, "rec_1", NOON)), 9).replace(b'"id"', b'"colour":"red","id"')
    assert read_line(line).sequence == 9


def test_every_field_of_an_event_reaches_its_record() -> None:
    record = msgspec.structs.asdict(record_of(FULL, "rec_1", NOON))
    expected = msgspec.structs.asdict(FULL) | {"detail": dict(FULL.detail)}
    assert {name: record[name] for name in expected} == expected


@given(
    st.builds(
        Event,
        event=st.text(),
        cause=st.text(st.characters()),
        detail=st.lists(st.tuples(st.text(), st.text(st.characters()))).map(tuple),
    )
)
def test_any_event_becomes_one_whole_line(event: Event) -> None:
    line = sealed(line_of(record_of(event, "rec_1", NOON)), 3)
    assert line.count(b"\n") == 1
    assert read_line(line).sequence == 3
    assert len(read_line(line).detail) == len(event.detail)


def test_a_text_without_end_is_cut() -> None:
    long = Event("e", cause="ü" * 100_000, detail=tuple((f"n{n}" * 50, "v" * 5000) for n in range(100)))
    line = line_of(record_of(long, "rec_1", NOON))
    assert len(line) <= LINE_LIMIT
    assert isinstance(read_line(line), Record)


def test_a_text_that_grows_by_being_escaped_is_cut_further() -> None:
    long = Event("e", cause="\0" * 3000, detail=tuple((f"{n}" + "\1" * 400, "\udc80" * 400) for n in range(20)))
    line = line_of(record_of(long, "rec_1", NOON))
    assert len(line) <= LINE_LIMIT
    assert read_line(line).id == "rec_1"


def test_a_detail_that_comes_twice_is_kept_twice() -> None:
    record = record_of(Event("e", detail=(("a", "1"), ("a", "2"), ("a.2", "3"))), "rec_1", NOON)
    assert sorted(record.detail.values()) == ["1", "2", "3"]


def test_times_are_written_in_utc_and_naive_ones_refused() -> None:
    assert timestamp(datetime(2026, 1, 1, 3, tzinfo=timezone(timedelta(hours=3)))) == "2026-01-01T00:00:00.000Z"
    with pytest.raises(ValueError, match="time zone"):
        timestamp(datetime(2026, 1, 1))  # noqa: DTZ001 - the very thing that is refused


@given(st.lists(st.timedeltas(timedelta(0), timedelta(days=4000)), max_size=8), st.integers(-12, 12))
def test_moments_are_written_one_after_another_as_each_is_alone(since: list[timedelta], zone: int) -> None:
    stamps = Stamps()
    for moment in [(NOON + each).astimezone(timezone(timedelta(hours=zone))) for each in since]:
        assert stamps.milliseconds(moment) == timestamp(moment)
        assert stamps.microseconds(moment) == moment_text(moment)
        later = moment + timedelta(microseconds=7)
        assert stamps.milliseconds(later) == timestamp(later)
    with pytest.raises(ValueError, match="time zone"):
        stamps.milliseconds(datetime(2026, 1, 1))  # noqa: DTZ001 - the very thing that is refused
