"""One task: what was asked, and where it stands.

A pure value. It waits until somebody says that it shall run, then runs once, then is over for good; `MOVES` is the whole
of it. A task that was asked for in the name of a container never has more rights than that container: it is of the same
project, its models are looked up by the same name, and it is over when that container may not call models any more.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from msgspec import Struct, structs


class State(StrEnum):
    WAITING = "waiting"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"


MOVES: dict[State, frozenset[State]] = {
    State.WAITING: frozenset({State.RUNNING, State.CANCELLED}),
    State.RUNNING: frozenset({State.COMPLETED, State.FAILED, State.TIMED_OUT, State.CANCELLED}),
    State.COMPLETED: frozenset(),
    State.FAILED: frozenset(),
    State.TIMED_OUT: frozenset(),
    State.CANCELLED: frozenset(),
}


class Answer(StrEnum):
    """What became of the callback."""

    NONE = ""
    """Nobody wants one."""
    PENDING = "pending"
    SENT = "sent"
    FAILED = "failed"


class Task(Struct, frozen=True):
    id: str
    prompt: str
    mode: str
    model: str
    """As it was asked for; empty: the default."""
    exec: str
    """The exec whose scripts its calls pass by its address; empty: the models' own door."""
    callback: str
    """Empty: none."""
    by: str
    """Who asked, as records write it."""
    parent_uuid: str
    """The container in whose name it was asked for; empty: an operator asked."""
    stands_for: str
    """The name by which its models are looked up; empty: its own container's."""
    project: str
    depth: int
    """1 for a task of an operator or of a container that is no task's; one more for each task above it."""
    created: datetime
    state: State = State.WAITING
    begun: datetime | None = None
    ended: datetime | None = None
    container_uuid: str = ""
    container: str = ""
    """The name of the fresh container, once there is one."""
    exit_code: int | None = None
    output: str = ""
    """The end of what the agent wrote."""
    because: str = ""
    """Why it did not complete, in a sentence."""
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: Decimal | None = None
    """None: not known."""
    role: str = ""
    """Of its container."""
    tags: tuple[str, ...] = ()
    """Of its container: those that the asking one had of the operator."""
    answer: Answer = Answer.NONE
    answer_because: str = ""

    @property
    def over(self) -> bool:
        return not MOVES[self.state]


def moved(task: Task, to: State, now: datetime, because: str = "") -> Task:
    """The task in another state. ValueError for a move that there is not."""
    if to not in MOVES[task.state]:
        raise ValueError(f"a task that is {task.state} does not become {to}")
    if to is State.RUNNING:
        return structs.replace(task, state=to, begun=now)
    answer = Answer.PENDING if task.callback else Answer.NONE
    return structs.replace(task, state=to, ended=now, because=because, answer=answer)
