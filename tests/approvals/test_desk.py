"""Questions wait for people, join, end, survive a restart, and are used once."""

from __future__ import annotations

import asyncio

import pytest
from msgspec import structs
from tests.approvals.conftest import ADA, DEV, EVE, OTHER, VIEWER, Office

from bawn.approvals.settings import Approvals
from bawn.approvals.ticket import State
from bawn.errors import KINDS, Fault
from bawn.stages.judging import Denied, Granted

LS = '{"command":"ls"}'


async def test_a_question_waits_until_a_person_says_yes_and_each_step_is_on_record_first(office: Office) -> None:
    waiting = office.asks()
    ticket = await office.open_ticket()
    assert office.events == ["approval.asked"]
    await office.desk.approve(ticket.id, ticket.digest, ADA, reason="fine")
    assert await waiting == Granted("operator:ada", None, ticket.id)
    assert office.events == ["approval.asked", "approval.approved", "approval.used"]
    assert office.log.events[1].principal == "operator:ada"
    assert ("by", "ada") in office.log.events[2].detail


async def test_what_is_asked_about_is_never_on_record(office: Office) -> None:
    secret = '{"command":"very-special-words"}'
    waiting = office.asks(secret)
    ticket = await office.open_ticket()
    await office.desk.approve(ticket.id, ticket.digest, ADA, arguments='{"command":"other-special-words"}')
    await waiting
    assert "special-words" not in str(office.log.events)
    assert ("size", str(len(secret))) in office.log.events[0].detail


async def test_a_person_says_no_and_retries_hear_it_while_it_stands(office: Office) -> None:
    waiting = office.asks()
    ticket = await office.open_ticket()
    await office.desk.reject(ticket.id, ticket.digest, ADA, reason="not today")
    said = await waiting
    assert said == Denied("approval.rejected", "A person said no: not today.", ticket.id)
    assert await office.asks() == said
    assert office.events == ["approval.asked", "approval.rejected"]
    office.clock.forward(seconds=office.settings.expiry_seconds + 1)
    assert (await office.asks(wait_s=0)).ticket != ticket.id


async def test_a_retry_joins_the_open_ticket(office: Office) -> None:
    first, second = office.asks(), office.asks()
    ticket = await office.open_ticket()
    said = await office.asks(wait_s=0)
    assert isinstance(said, Denied)
    assert (said.code, said.ticket) == ("approval.pending", ticket.id)
    assert "Make the same call again" in said.because
    assert said.estimate
    assert len(office.desk.open()) == 1
    first.cancel()
    await office.desk.approve(ticket.id, ticket.digest, ADA)
    assert await second == Granted("operator:ada", None, ticket.id)


async def test_the_same_request_is_the_same_conversation_though_nobody_named_it_also_after_a_restart(
    office: Office,
) -> None:
    question = structs.replace(office.question(), request="r1", session="s:call_1")
    first = await office.desk.ask(question, DEV, wait_s=0)
    await office.opened().load()
    again = await office.desk.ask(structs.replace(question, session="s:call_2"), DEV, wait_s=0)
    assert again == first
    ticket = await office.open_ticket()
    await office.desk.approve(ticket.id, ticket.digest, ADA)
    other = structs.replace(question, session="s:call_3", request="r2")
    assert isinstance(await office.desk.ask(other, DEV, wait_s=0), Denied)
    foreign = structs.replace(question, container_uuid=OTHER.uuid, session="s:call_4")
    assert isinstance(await office.desk.ask(foreign, OTHER, wait_s=0), Denied)
    used = await office.desk.ask(structs.replace(question, session="s:call_5"), DEV, wait_s=0)
    assert used == Granted("operator:ada", None, ticket.id)


async def test_two_equal_requests_at_once_are_one_question(office: Office) -> None:
    question = structs.replace(office.question(), request="r1")
    asks = [office.desk.ask(structs.replace(question, session=f"s:{n}"), DEV, wait_s=0) for n in range(5)]
    said = await asyncio.gather(*asks)
    assert len(set(said)) == len(office.desk.open()) == 1


async def test_of_two_that_wait_one_gets_the_answer_and_the_other_asks_anew(office: Office) -> None:
    older = office.asks()
    ticket = await office.open_ticket()
    newer = office.asks()
    await asyncio.sleep(0.05)
    await office.desk.approve(ticket.id, ticket.digest, ADA)
    assert await newer == Granted("operator:ada", None, ticket.id)
    again = await office.open_ticket()
    assert again.id != ticket.id
    assert not older.done()
    await office.desk.approve(again.id, again.digest, ADA)
    assert (await older).ticket == again.id


async def test_an_approval_that_nobody_waited_for_is_used_by_one_retry_only(office: Office) -> None:
    pending = await office.asks(wait_s=0)
    ticket = await office.open_ticket()
    await office.desk.approve(ticket.id, ticket.digest, ADA)
    answers = await asyncio.gather(*(office.asks(wait_s=0) for _ in range(20)))
    assert [answer for answer in answers if isinstance(answer, Granted)] == [
        Granted("operator:ada", None, pending.ticket)
    ]
    assert office.events.count("approval.used") == 1


async def test_an_unused_approval_ends_after_its_time(office: Office) -> None:
    await office.asks(wait_s=0)
    ticket = await office.open_ticket()
    await office.desk.approve(ticket.id, ticket.digest, ADA)
    office.clock.forward(seconds=office.settings.use_seconds + 1)
    assert isinstance(await office.asks(wait_s=0), Denied)
    assert (await office.desk.get(ticket.id)).state is State.EXPIRED


async def test_of_two_people_at_once_the_first_counts_and_the_other_learns_by_whom(office: Office) -> None:
    waiting = office.asks()
    ticket = await office.open_ticket()
    answers = await asyncio.gather(
        office.desk.reject(ticket.id, ticket.digest, ADA),
        office.desk.approve(ticket.id, ticket.digest, EVE),
        return_exceptions=True,
    )
    assert isinstance(answers[1], Fault)
    assert answers[1].code == "approval.answered"
    assert "rejected by ada" in answers[1].sentence
    assert (await waiting) == Denied("approval.rejected", "A person said no.", ticket.id)


async def test_who_was_shown_something_else_approves_nothing(office: Office) -> None:
    office.asks()
    ticket = await office.open_ticket()
    with pytest.raises(Fault) as caught:
        await office.desk.approve(ticket.id, "0" * 64, ADA)
    assert caught.value.code == "approval.changed"
    assert office.desk.open() == [ticket]


async def test_a_viewer_answers_nothing(office: Office) -> None:
    office.asks()
    ticket = await office.open_ticket()
    for answer in (office.desk.approve, office.desk.reject):
        with pytest.raises(Fault) as caught:
            await answer(ticket.id, ticket.digest, VIEWER)
        assert caught.value.code == "api.forbidden"


async def test_other_arguments_of_the_person_take_the_place_of_the_model_s(office: Office) -> None:
    waiting = office.asks()
    ticket = await office.open_ticket()
    await office.desk.approve(ticket.id, ticket.digest, ADA, arguments='{"command":"ls -l"}')
    assert await waiting == Granted("operator:ada", '{"command":"ls -l"}', ticket.id)
    assert "approval.edited" in office.events


@pytest.mark.parametrize("arguments", ['{"a":1,"a":2}', "[]", "ls", '{"a":"\\ud800"}', "", '{"a":NaN}', "\ud800"])
async def test_other_arguments_that_are_not_plain_json_are_refused(office: Office, arguments: str) -> None:
    office.asks()
    ticket = await office.open_ticket()
    with pytest.raises(Fault) as caught:
        await office.desk.approve(ticket.id, ticket.digest, ADA, arguments=arguments)
    assert caught.value.code == "api.invalid"
    assert office.desk.open() == [ticket]


async def test_a_question_that_nobody_answers_expires(office: Office) -> None:
    waiting = office.asks()
    ticket = await office.open_ticket()
    office.clock.forward(seconds=office.settings.expiry_seconds)
    office.desk.sweep()
    assert await waiting == Denied("approval.expired", "Nobody answered in time.", ticket.id)
    with pytest.raises(Fault, match="has expired"):
        await office.desk.approve(ticket.id, ticket.digest, ADA)


async def test_what_expired_cannot_be_approved_even_before_anybody_noticed(office: Office) -> None:
    waiting = office.asks()
    ticket = await office.open_ticket()
    office.clock.forward(seconds=office.settings.expiry_seconds)
    with pytest.raises(Fault, match="has expired"):
        await office.desk.approve(ticket.id, ticket.digest, ADA)
    assert (await waiting) == Denied("approval.expired", "Nobody answered in time.", ticket.id)


@pytest.mark.parametrize("answered", [False, True])
async def test_a_deleted_container_has_neither_questions_nor_answers(office: Office, answered: bool) -> None:
    await office.asks(wait_s=0)
    ticket = await office.open_ticket()
    if answered:
        await office.desk.approve(ticket.id, ticket.digest, ADA)
    office.gone.add(DEV.uuid)
    office.desk.changed(DEV.uuid)
    # At once, before anything was written.
    assert (await office.desk.get(ticket.id)).state is State.WITHDRAWN
    assert (await office.asks(wait_s=0)) == Denied("approval.withdrawn", "This container may not ask any more.")
    await office.desk.close()
    assert office.events[-1] == "approval.withdrawn"


async def test_a_container_that_goes_while_it_waits_is_told_at_once_though_nothing_can_be_written(
    office: Office,
) -> None:
    waiting = office.asks()
    ticket = await office.open_ticket()
    office.log.broken = office.store.broken = True
    office.gone.add(DEV.uuid)
    office.desk.changed(DEV.uuid)
    assert await waiting == Denied("approval.withdrawn", "The question was withdrawn.", ticket.id)


async def test_an_approval_that_comes_with_the_deletion_gives_nothing(office: Office) -> None:
    waiting = office.asks()
    ticket = await office.open_ticket()
    approving = asyncio.create_task(office.desk.approve(ticket.id, ticket.digest, ADA))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    office.gone.add(DEV.uuid)
    office.desk.changed(DEV.uuid)
    with pytest.raises(Fault):
        await approving
    assert isinstance(await waiting, Denied)
    await office.desk.close()
    assert (await office.opened().get(ticket.id)).state is State.WITHDRAWN


async def test_what_cannot_be_recorded_is_neither_asked_nor_approved_nor_used(office: Office) -> None:
    office.log.broken = True
    with pytest.raises(Fault, match="record"):
        await office.asks()
    assert office.desk.open() == []
    office.log.broken = False
    await office.asks(wait_s=0)
    ticket = await office.open_ticket()
    office.log.broken = True
    with pytest.raises(Fault, match="record"):
        await office.desk.approve(ticket.id, ticket.digest, ADA)
    office.log.broken = False
    await office.desk.approve(ticket.id, ticket.digest, ADA)
    office.log.broken = True
    with pytest.raises(Fault, match="record"):
        await office.asks()
    office.log.broken = False
    assert isinstance(await office.asks(), Granted)


async def test_what_cannot_be_kept_is_not_used(office: Office) -> None:
    await office.asks(wait_s=0)
    ticket = await office.open_ticket()
    await office.desk.approve(ticket.id, ticket.digest, ADA)
    office.store.broken = True
    with pytest.raises(Fault, match="disk"):
        await office.asks()
    office.store.broken = False
    assert isinstance(await office.asks(), Granted)


async def test_an_open_question_survives_a_restart_and_its_retry_joins_it(office: Office) -> None:
    pending = await office.asks(wait_s=0)
    await office.opened().load()
    waiting = office.asks()
    ticket = await office.open_ticket()
    assert ticket.id == pending.ticket
    await office.desk.approve(ticket.id, ticket.digest, ADA)
    assert await waiting == Granted("operator:ada", None, ticket.id)


async def test_an_unused_answer_survives_a_restart_and_a_used_one_does_not(office: Office) -> None:
    await office.asks(wait_s=0)
    ticket = await office.open_ticket()
    await office.desk.approve(ticket.id, ticket.digest, ADA, arguments='{"command":"pwd"}')
    await office.opened().load()
    assert await office.asks() == Granted("operator:ada", '{"command":"pwd"}', ticket.id)
    await office.opened().load()
    assert isinstance(await office.asks(wait_s=0), Denied)


async def test_a_question_that_expired_or_lost_its_container_meanwhile_ends_at_the_first_look(office: Office) -> None:
    await office.asks(wait_s=0)
    await office.asks(wait_s=0, container=OTHER)
    desk = office.opened()
    await desk.load()
    office.gone.add(OTHER.uuid)
    desk.sweep()
    assert [each.question.container for each in desk.open()] == ["dev"]
    office.clock.forward(days=1)
    desk.sweep()
    assert desk.open() == []


async def test_more_open_questions_than_configured_are_refused_and_other_containers_still_ask(office: Office) -> None:
    office.desk.settings = Approvals(open_per_container=2)
    for number in range(2):
        await office.asks(f'{{"command":"{number}"}}', wait_s=0)
    refused = await office.asks('{"command":"2"}', wait_s=0)
    assert isinstance(refused, Denied)
    assert refused.code == "approval.too_many"
    assert (await office.asks('{"command":"0"}', wait_s=0)).ticket
    assert (await office.asks(wait_s=0, container=OTHER)).ticket


async def test_nobody_is_asked_about_more_than_anybody_reads(office: Office) -> None:
    said = await office.asks("x" * 300_000)
    assert isinstance(said, Denied)
    assert said.code == "approval.too_large"
    assert office.events == []


async def test_half_a_surrogate_pair_is_refused_unasked(office: Office) -> None:
    assert (await office.asks('{"a":"\ud800"}')) == Denied(
        "approval.rejected", "What is asked about is no text that a person could read."
    )


async def test_a_plain_call_that_waited_long_enough_is_told_its_ticket(office: Office) -> None:
    said = await office.asks(wait_s=0.05)
    assert isinstance(said, Denied)
    assert said.code == "approval.pending"
    told = office.desk.pending(said.ticket)
    assert told["status"] == "pending_approval"
    assert told["requestId"] == said.ticket
    assert told["estimatedWait"] == "at most 60 minutes"


async def test_a_container_polls_its_own_tickets_and_cannot_tell_those_of_others_from_none(office: Office) -> None:
    said = await office.asks(wait_s=0)
    assert isinstance(said, Denied)
    assert (await office.desk.poll(DEV.uuid, said.ticket))["status"] == "pending_approval"
    faults = []
    for uuid, id_ in ((OTHER.uuid, said.ticket), (DEV.uuid, "apr_unknown"), (DEV.uuid, said.ticket[:12])):
        with pytest.raises(Fault) as caught:
            await office.desk.poll(uuid, id_)
        faults.append((caught.value.code, caught.value.sentence))
    assert len(set(faults)) == 1
    ticket = await office.open_ticket()
    await office.desk.approve(ticket.id, ticket.digest, ADA)
    told = await office.desk.poll(DEV.uuid, ticket.id)
    assert told["status"] == "approved"
    assert "ada" not in str(told)
    assert ticket.see not in str(told)
    await office.asks()
    assert (await office.desk.poll(DEV.uuid, ticket.id))["status"] == "used"


async def test_people_are_told_once_for_each_ticket_with_links_that_show_it(office: Office) -> None:
    await office.asks(wait_s=0)
    await office.asks(wait_s=0)
    ticket = await office.open_ticket()
    await office.desk.close()
    [notice] = office.pinboard.notices
    assert [action.url for action in notice.actions] == [
        f"/api/approve?id={ticket.id}&see={ticket.see}",
        f"/api/reject?id={ticket.id}&see={ticket.see}",
    ]
    assert "ls" not in notice.title + notice.message


async def test_watchers_see_what_is_open_and_then_every_change(office: Office) -> None:
    await office.asks(wait_s=0)
    ticket = await office.open_ticket()
    seen = []

    async def watch() -> None:
        seen.extend([(each.id, each.state) async for each in office.desk.watch()])

    watching = asyncio.create_task(watch())
    await asyncio.sleep(0.01)
    await office.desk.reject(ticket.id, ticket.digest, ADA)
    await office.desk.close()
    await watching
    assert seen == [(ticket.id, State.OPEN), (ticket.id, State.REJECTED)]


async def test_a_beginning_of_an_id_is_enough_where_it_is_the_only_one(office: Office) -> None:
    await office.asks(wait_s=0)
    ticket = await office.open_ticket()
    assert await office.desk.get(ticket.id[:10]) == ticket
    with pytest.raises(Fault):
        await office.desk.get("apr_")


async def test_tickets_are_listed_newest_first_and_by_container_and_state(office: Office) -> None:
    await office.asks(wait_s=0)
    office.clock.forward(seconds=1)
    await office.asks(wait_s=0, container=OTHER)
    assert [each.question.container for each in await office.desk.list(None, None, 10)] == ["other", "dev"]
    assert [each.question.container for each in await office.desk.list("open", DEV.uuid, 10)] == ["dev"]
    assert await office.desk.list("approved", None, 10) == []


def test_no_code_of_an_approval_makes_a_client_try_again_by_itself() -> None:
    codes = [kind for code, kind in KINDS.items() if code.startswith("approval.")]
    assert len(codes) >= 7
    assert not any(kind.retry for kind in codes)


async def test_what_a_ticket_shows_is_what_its_digest_stands_for(office: Office) -> None:
    await office.asks(LS, wait_s=0)
    ticket = await office.open_ticket()
    changed = structs.replace(ticket.question, arguments='{"command":"rm"}')
    await office.desk.ask(changed, DEV, wait_s=0)
    assert len(office.desk.open()) == 2


async def test_a_watcher_that_reads_nothing_is_left_and_holds_up_nobody(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bawn.approvals.waiting.FAR_BEHIND", 4)
    watching = office.desk.watch()
    await office.asks(wait_s=0)
    first = await anext(watching)
    for number in range(4):
        said = await office.asks(f'{{"command":"{number}"}}', wait_s=0)
        ticket = await office.desk.get(said.ticket)
        await office.desk.reject(ticket.id, ticket.digest, ADA)
    assert [each async for each in watching] == []
    assert first.state is State.OPEN
