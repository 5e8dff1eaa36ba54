"""An answer on its way through a reader and an editor, as the gate sends it, and what may be decided on its calls."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from random import Random
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from bawn.errors import Fault
from bawn.terms.frames import Broken, End, Frame, HeldCall, TextFrame
from bawn.terms.toolcall import ToolCall
from bawn.wire.editing import Answers, Changed, Dropped, Kept, Outcome, Spoken, StreamEditor

T = TypeVar("T")
Decide = Callable[[ToolCall], Outcome]

STEADY = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
"""For what the official packages read each time: they are thorough, and machines are busy."""
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
NAMES = st.from_regex(r"\A[a-z_][a-z0-9_-]{0,12}\Z")
OBJECTS = st.dictionaries(TEXTS, st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXTS, max_size=3)
CHANGES = st.builds(Changed, NAMES, OBJECTS.map(json.dumps)) | st.builds(Spoken, TEXTS)
OUTCOMES = st.just(Kept()) | st.just(Dropped()) | CHANGES


@contextmanager
def faulting(why: str = "", code: str = "tool.refused") -> Iterator[None]:
    """What is done within ends in this fault, the operator is told why."""
    with pytest.raises(Fault) as fault:
        yield
    assert fault.value.code == code
    assert why in fault.value.cause


def by_order(outcomes: Sequence[Outcome]) -> Decide:
    """Decides on one call after another."""
    left = iter(outcomes)
    return lambda call: next(left)


def sent(frames: Sequence[Frame], answers: Answers, decide: Decide, editor: StreamEditor | None = None) -> bytes:
    """What goes out of an answer: as it came until the first change, then as its editor writes it."""
    out = b""
    for frame in frames:
        match frame:
            case TextFrame(data=data):
                out += editor.passing(data) if editor is not None else data
            case HeldCall(calls=calls, data=data):
                outcomes = [decide(call) for call in calls]
                if editor is None and any(outcome != Kept() for outcome in outcomes):
                    editor = answers.editor(out)
                out += editor.calls(data, outcomes) if editor is not None else data
            case End(data=data):
                out += editor.end(data) if editor is not None else data
            case Broken(sentence=sentence):
                raise AssertionError(sentence)
    return out


def mixed(parts: Sequence[Sequence[T]], chance: Random) -> list[T]:
    """The frames of several blocks or items at once: each in its own order, and each begins behind those before it."""
    left, begun, out = [list(part) for part in parts], 0, []
    while any(left):
        going = [part for part in left[:begun] if part]
        if begun < len(left) and (not going or chance.random() < 0.3):
            going, begun = [left[begun]], begun + 1
        out.append(chance.choice(going).pop(0))
    return out


def released(calls: Sequence[ToolCall], outcomes: Sequence[Outcome]) -> list[ToolCall]:
    """The calls that are to go out."""
    out: list[ToolCall] = []
    for call, outcome in zip(calls, outcomes, strict=True):
        match outcome:
            case Kept():
                out.append(call)
            case Changed(name=name, arguments=arguments):
                out.append(ToolCall(call.id, name, arguments, free=call.free))
    return out
