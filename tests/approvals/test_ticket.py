"""A ticket moves as its table says, is used once, and then stays what it is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from bawn.approvals.question import Kind, Question, digest_of
from bawn.approvals.ticket import MOVES, Act, State, Ticket, moved
from bawn.errors import Fault

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
QUESTION = Question(Kind.TOOL, "uuid-1", "dev", "session-1", tool="bash", arguments='{"command":"ls"}')


def fresh() -> Ticket:
    return Ticket("apr_1", QUESTION, digest_of(QUESTION), NOON, NOON + timedelta(hours=1))


def after(ticket: Ticket, act: Act) -> Ticket:
    return moved(ticket, act, NOON, by="ada", edited='{"command":"pwd"}' if act is Act.EDIT else None)


@given(st.lists(st.sampled_from(list(Act)), max_size=12))
def test_whatever_happens_a_ticket_is_used_at_most_once_and_ends_for_good(acts: list[Act]) -> None:
    ticket, uses, good = fresh(), 0, 0
    for act in acts:
        ended = ticket.settled
        if (ticket.state, act) not in MOVES or ended:
            with pytest.raises(Fault, match="apr_1"):
                after(ticket, act)
            continue
        next_one = after(ticket, act)
        uses += act is Act.USE
        good += act in (Act.APPROVE, Act.EDIT)
        assert act is not Act.USE or ticket.state in (State.APPROVED, State.EDITED)
        assert next_one.question == ticket.question
        assert next_one.digest == ticket.digest
        ticket = next_one
    assert uses <= good <= 1


@pytest.mark.parametrize("state", list(State))
@pytest.mark.parametrize("act", list(Act))
def test_what_the_table_does_not_name_cannot_happen(state: State, act: Act) -> None:
    ticket = structs.replace(fresh(), state=state)
    if (state, act) in MOVES:
        assert after(ticket, act).state is MOVES[state, act]
    else:
        with pytest.raises(Fault):
            after(ticket, act)


def test_who_comes_second_is_told_who_was_first_and_what_they_said() -> None:
    with pytest.raises(Fault, match="was rejected by ada at 2030-01-01 12:00:00Z"):
        moved(after(fresh(), Act.REJECT), Act.APPROVE, NOON, by="eve")


@pytest.mark.parametrize(
    "change",
    [
        {"kind": Kind.QUESTION},
        {"container_uuid": "uuid-2"},
        {"session": "session-2"},
        {"title": "another"},
        {"server": "files"},
        {"schema": "ab"},
        {"tool": "sh"},
        {"arguments": '{"command": "ls"}'},
        {"text": True},
        {"payload": "cd"},
        {"script": "ef"},
        {"policy": "2"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_question_that_differs_in_anything_has_another_digest(change: dict[str, object]) -> None:
    assert digest_of(structs.replace(QUESTION, **change)) != digest_of(QUESTION)


def test_what_is_only_said_about_a_question_is_not_part_of_it() -> None:
    renamed = structs.replace(QUESTION, because="a rule", container="other-name", request="ab")
    assert digest_of(renamed) == digest_of(QUESTION)


def test_every_field_of_a_question_is_in_its_digest_or_said_not_to_be() -> None:
    covered = {"kind", "container_uuid", "session", "title", "server", "schema", "tool", "arguments", "text", "payload",
               "script", "policy"}  # fmt: skip
    assert set(Question.__struct_fields__) - covered == {"container", "because", "request"}
