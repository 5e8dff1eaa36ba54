"""The states of a task: it waits, runs once, and is over for good."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from bawn.tasks.task import MOVES, Answer, State, Task, moved

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


def task(state: State = State.WAITING, callback: str = "") -> Task:
    return Task("tsk_1", "x", "code", "", "", callback, "operator:ada", "", "", "default", 1, NOON, state)


@pytest.mark.parametrize("before", State)
@pytest.mark.parametrize("to", State)
def test_a_task_moves_as_the_table_says_and_not_otherwise(before: State, to: State) -> None:
    if to in MOVES[before]:
        assert moved(task(before), to, NOON).state is to
    else:
        with pytest.raises(ValueError, match=before.value):
            moved(task(before), to, NOON)


def test_what_is_over_moves_nowhere_and_has_run_or_was_cancelled() -> None:
    over = [state for state in State if task(state).over]
    assert over == [State.COMPLETED, State.FAILED, State.TIMED_OUT, State.CANCELLED]


def test_the_moments_are_kept_and_a_callback_is_owed_at_the_end_only() -> None:
    running = moved(task(callback="https://a"), State.RUNNING, NOON)
    assert (running.begun, running.ended, running.answer) == (NOON, None, Answer.NONE)
    ended = moved(running, State.FAILED, NOON, "no")
    assert (ended.ended, ended.because, ended.answer) == (NOON, "no", Answer.PENDING)
    assert moved(task(), State.CANCELLED, NOON).answer is Answer.NONE
