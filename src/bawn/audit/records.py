"""What a record is, and its one line of JSON.

The serialisation law, for ever:
- one record is one line: a JSON object in UTF-8, ended by a line feed, with no other line feed in it;
- the first ten fields are those that local-AI deployments already parse (`timestamp` … `status`), in that
  order and always present; what is not known of them is null or empty;
- the other fields follow and are left out when empty; `sequence` comes last;
- names keep their meaning; fields are added, never renamed, moved before others or used anew;
- a reader ignores fields that it does not know.

The gateway writes a line without its sequence number; the audit writer alone counts, and seals each line
with the number when it appends it. So no number is used twice and a missing one shows.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from itertools import chain

import msgspec

from bawn.audit.record import Record
from bawn.terms.event import Event

LINE_LIMIT = 16 * 1024
"""Bytes of one line; longer ones have their texts cut to `TEXT_LIMIT` characters, or fewer until they fit."""

TEXT_LIMIT = 256
_DETAIL_LIMIT = 16


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Record).decode


def record_of(event: Event, record_id: str, now: datetime) -> Record:
    """The record of an event. ValueError for a time without a time zone."""
    return record_at(event, record_id, timestamp(now))


def record_at(event: Event, record_id: str, stamp: str) -> Record:
    """The record of an event, whose time is written as a record has it."""
    return Record(
        stamp,
        event.event,
        event.endpoint,
        event.method,
        event.api_key_name,
        event.tokens_in,
        event.tokens_out,
        event.model,
        event.latency_ms,
        event.status,
        record_id,
        event.principal,
        event.container,
        event.call,
        event.code,
        event.cause,
        event.provider,
        _detail(event.detail) if event.detail else {},
    )


def texts_of(event: Event) -> tuple[str, ...]:
    """All texts of an event: where a secret could stand in its record."""
    texts = (
        event.event,
        event.endpoint,
        event.method,
        event.api_key_name,
        event.model,
        event.principal,
        event.container,
        event.call,
        event.code,
        event.cause,
        event.provider,
    )
    return (*texts, *chain.from_iterable(event.detail)) if event.detail else texts


def line_of(record: Record) -> bytes:
    """One line of JSON without its line feed. Texts that no line can hold are cut or escaped, never refused."""
    return fitting(record, whole(record))


def whole(record: Record) -> bytes:
    """The line uncut. What is looked for in it (a secret) must be looked for here: a cut one is not recognised."""
    try:
        return _encode(record)
    except UnicodeEncodeError:  # a lone surrogate, which UTF-8 has no bytes for
        return _encode(changed(record, lambda text: text.encode("utf-8", "backslashreplace").decode()))


def fitting(record: Record, line: bytes) -> bytes:
    """`line`, which is `whole(record)`, or the record cut so that its line fits."""
    limit = TEXT_LIMIT
    while len(line) > LINE_LIMIT:
        short = changed(record, partial(_begin, limit))
        short.detail = dict(list(short.detail.items())[:_DETAIL_LIMIT])
        line = whole(short)
        limit //= 2  # control characters are written as six bytes each
    return line


def _begin(length: int, text: str) -> str:
    return text[:length]


def sealed(line: bytes, sequence: int) -> bytes:
    """The line as it stands in the file: with its number and its line feed."""
    return b'%s,"sequence":%d}\n' % (line[:-1], sequence)


def read_line(line: bytes) -> Record:
    """A line as a record. ValueError when it is not one."""
    return _decode(line)


def timestamp(now: datetime) -> str:
    if now.tzinfo is None:
        raise ValueError("a time without a time zone cannot be recorded")
    if now.tzinfo is not UTC:
        now = now.astimezone(UTC)
    return now.isoformat(timespec="milliseconds")[:23] + "Z"


def _detail(pairs: tuple[tuple[str, str], ...]) -> dict[str, str]:
    """As an object; a name that comes again gets a number, so that nothing is overwritten."""
    facts = dict(pairs)
    if len(facts) == len(pairs):
        return facts
    facts = {}
    for name, value in pairs:
        count = 1
        free = name
        while free in facts:
            count += 1
            free = f"{name}.{count}"
        facts[free] = value
    return facts


def changed(record: Record, change: Callable[[str], str]) -> Record:
    """The record with `change` made to every text in it."""
    values = msgspec.structs.asdict(record)
    for name, value in values.items():
        if isinstance(value, str):
            values[name] = change(value)
    values["detail"] = {change(name): change(value) for name, value in record.detail.items()}
    return Record(**values)
