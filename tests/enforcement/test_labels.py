"""Which tags a conversation carries: of its container, of an operator, named by itself, and of all that it came from."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bawn.enforcement.kinship import DEEPEST, KEPT, MOST, MOST_TAGS, RESTS
from bawn.enforcement.labels import Labels
from bawn.enforcement.tables import session_kin, session_tags
from bawn.stages.asked import Asked
from bawn.store import Store, open_store
from bawn.store.tables import metadata
from bawn.store.upgrade import upgrade
from bawn.terms.exchange import Endpoint, Exchange, WireName
from bawn.terms.principal import Container
from bawn.terms.tags import HEADER, MOST_NAMED

DEV = Container("6f2c7c1e-6a52-4d0f-9a53-0c7f2a3d9b11", 7, "dev", "default", "planner", ("made",))
OTHER = Container("6f2c7c1e-6a52-4d0f-9a53-0c7f2a3d9b12", 8, "other", "default")


class Clock:
    def __init__(self) -> None:
        self.time = datetime(2030, 1, 1, 12, tzinfo=UTC)

    def now(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        return self.time.timestamp()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = open_store(tmp_path / "bawn.db")
    upgrade(opened)
    yield opened
    opened.close()


@pytest.fixture
def labels(store: Store, clock: Clock) -> Labels:
    return Labels(store, clock, {"d*": ["configured"]})


async def again(labels: Labels, store: Store, clock: Clock) -> Labels:
    """The same after a restart."""
    await labels.kinship.written()
    fresh = Labels(store, clock, {"d*": ["configured"]})
    await fresh.load()
    return fresh


def call(labels: Labels, session: str, container: Container = DEV, **headers: str) -> None:
    exchange = Exchange(WireName.OPENAI, Endpoint.CHAT_COMPLETIONS, "m", stream=False, body=b"{}")
    said = tuple((name.replace("_", "-").encode(), value.encode()) for name, value in headers.items())
    labels.heard(Asked("c1", container, exchange, said, lambda asked: session, lambda exchange: None))


def has(labels: Labels, session: str, container: Container = DEV) -> set[str]:
    return set(labels.of(container, session))


OWN = {"configured", "made"}


async def test_a_session_has_the_tags_of_its_container_wherever_the_operator_wrote_them(labels: Labels) -> None:
    assert has(labels, "s1") == OWN
    assert has(labels, "s1", OTHER) == set()


async def test_what_a_session_names_stays_with_it_and_is_never_an_operators(labels: Labels) -> None:
    call(labels, "s1", x_bawn_tags="own, more")
    call(labels, "s1", x_bawn_tags="other")
    call(labels, "s1")
    assert has(labels, "s1") == OWN | {"own", "more", "other"}
    assert labels.of_container(DEV) == OWN
    assert has(labels, "s2") == OWN


async def test_what_is_no_tag_is_left_aside_and_there_is_a_bound(labels: Labels) -> None:
    call(labels, "s1", x_bawn_tags="bad tag!,-x,é," + "x" * 70)
    assert has(labels, "s1") == OWN
    for at in range(5):
        call(labels, "s1", x_bawn_tags=",".join(f"t{at}-{number}" for number in range(20)))
    assert len(has(labels, "s1") - OWN) == MOST_NAMED


async def test_a_conversation_that_nobody_names_keeps_nothing(labels: Labels) -> None:
    call(labels, "s:abc", x_bawn_tags="own", x_bawn_parent_session="s1")
    assert labels.of(DEV, "s:abc", b"own") == OWN | {"own"}
    assert has(labels, "s:abc") == OWN
    call(labels, "s1", x_bawn_parent_session="s:abc")
    await labels.begun(DEV.uuid, "s2", "s:abc")
    await labels.begun(DEV.uuid, "call:abc", "s1")
    assert not labels.kinship.knows(DEV.uuid)


@pytest.mark.parametrize("header", ["x_bawn_parent_session", "x_parent_session_id", "x_codex_parent_thread_id"])
async def test_a_child_has_all_tags_of_its_parent_and_so_has_its_child(labels: Labels, header: str) -> None:
    await labels.tag(DEV.uuid, "parent", frozenset(["night"]))
    call(labels, "parent", x_bawn_tags="named")
    call(labels, "child", DEV, **{header: "parent"})
    await labels.begun(DEV.uuid, "grandchild", "child")
    for session in ("child", "grandchild"):
        assert has(labels, session) == OWN | {"night", "named"}
    assert labels.of_container(DEV) == OWN, "which session it is, and where it came from, is only said"
    assert has(labels, "parent") == OWN | {"night", "named"}


async def test_what_a_parent_gets_later_reaches_its_children_and_nothing_goes_up(labels: Labels) -> None:
    await labels.begun(DEV.uuid, "child", "parent")
    await labels.begun(DEV.uuid, "grandchild", "child")
    await labels.tag(DEV.uuid, "parent", frozenset(["night"]))
    call(labels, "parent", x_bawn_tags="late")
    call(labels, "grandchild", x_bawn_tags="below")
    assert has(labels, "grandchild") == OWN | {"night", "late", "below"}
    assert has(labels, "parent") == OWN | {"night", "late"}
    await labels.tag(DEV.uuid, "parent", frozenset())
    assert has(labels, "grandchild") == OWN | {"late", "below"}


async def test_a_session_of_another_container_is_nobodys_parent(labels: Labels) -> None:
    await labels.tag(OTHER.uuid, "parent", frozenset(["night"]))
    await labels.begun(DEV.uuid, "child", "parent")
    assert has(labels, "child") == OWN


async def test_nobody_is_their_own_ancestor_and_the_first_parent_stays(labels: Labels) -> None:
    for child, parent in [("a", "a"), ("a", "b"), ("b", "c"), ("c", "a"), ("a", "z"), ("", "a"), ("d", "")]:
        await labels.begun(DEV.uuid, child, parent)
    await labels.tag(DEV.uuid, "c", frozenset(["top"]))
    await labels.tag(DEV.uuid, "z", frozenset(["never"]))
    assert has(labels, "a") == OWN | {"top"}
    assert list(labels.kinship.ancestors(DEV.uuid, "a")) == ["b", "c"]
    assert list(labels.kinship.ancestors(DEV.uuid, "c")) == []


async def test_the_line_is_bounded_and_no_tag_is_lost_by_that(labels: Labels) -> None:
    await labels.tag(DEV.uuid, "s0", frozenset(["first"]))
    for at in range(DEEPEST * 3):
        await labels.begun(DEV.uuid, f"s{at + 1}", f"s{at}")
        assert "first" in has(labels, f"s{at + 1}")
        assert len(list(labels.kinship.ancestors(DEV.uuid, f"s{at + 1}"))) <= DEEPEST


async def test_a_line_that_names_tags_without_end_has_no_more_than_there_may_be(labels: Labels, store: Store) -> None:
    await labels.tag(DEV.uuid, "s0", frozenset(["night"]))
    for at in range(DEEPEST * 4):
        tags = ",".join(f"t{at}-{number}" for number in range(MOST_NAMED))
        call(labels, f"s{at + 1}", x_bawn_tags=tags, x_bawn_parent_session=f"s{at}")
        assert len(has(labels, f"s{at + 1}")) <= 2 * MOST_TAGS
        if at < DEEPEST:
            assert "night" in has(labels, f"s{at + 1}"), "what an operator gave is not crowded out"
    await labels.kinship.written()
    rows = await store.read(lambda connection: connection.execute(sa.select(session_kin.c.named)).scalars().all())
    assert max(len(json.loads(row)) for row in rows) == MOST_TAGS


async def test_tags_are_written_down_without_holding_up_the_loop(
    labels: Labels, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: set[int] = set()
    dumps = json.dumps

    def noted(value: object) -> str:
        threads.add(threading.get_ident())
        return dumps(value)

    monkeypatch.setattr("bawn.enforcement.kinship.json.dumps", noted)
    call(labels, "s1", x_bawn_tags="own")
    await labels.kinship.written()
    assert threads
    assert threading.get_ident() not in threads


async def test_one_container_cannot_make_another_forget(labels: Labels) -> None:
    call(labels, "mine", x_bawn_tags="kept")
    for at in range(MOST + 10):
        labels.kinship.begun(OTHER.uuid, f"s{at}", "top", tuple)
    assert has(labels, "mine") == OWN | {"kept"}
    assert list(labels.kinship.ancestors(OTHER.uuid, "s0")) == []
    assert list(labels.kinship.ancestors(OTHER.uuid, f"s{MOST + 9}")) == ["top"]


def made_up(labels: Labels, count: int, tags: int = 0, prefix: str = "made-up") -> None:
    for at in range(count):
        named = ",".join(f"x{at}-{number}" for number in range(tags))
        call(labels, f"{prefix}-{at}", x_bawn_parent_session="nobody", x_bawn_tags=named)


async def test_nobody_is_rid_of_a_tag_by_making_up_conversations(labels: Labels, store: Store, clock: Clock) -> None:
    await labels.tag(DEV.uuid, "parent", frozenset(["night"]))
    call(labels, "child", x_bawn_parent_session="parent", x_bawn_tags="own")
    await labels.begun(DEV.uuid, "grandchild", "child")
    made_up(labels, MOST + 10, tags=2)
    for now in (labels, await again(labels, store, clock)):
        for session in ("child", "grandchild"):
            assert {"night", "own"} <= has(now, session)
        assert has(now, f"made-up-{MOST + 9}") >= {f"x{MOST + 9}-1"}
        assert len(has(now, "grandchild")) < 2 * MOST_TAGS
        assert has(now, "parent", OTHER) == set()


async def test_what_an_operator_gave_is_not_crowded_out_by_tags_of_conversations_that_are_made_up(
    labels: Labels,
) -> None:
    await labels.tag(DEV.uuid, "parent", frozenset(["night"]))
    made_up(labels, MOST + 100, tags=MOST_NAMED)
    call(labels, "child", x_bawn_parent_session="parent")
    made_up(labels, MOST + 100, tags=MOST_NAMED)
    assert "night" in has(labels, "child")


async def test_one_that_is_spoken_in_is_not_driven_out(labels: Labels) -> None:
    call(labels, "child", x_bawn_parent_session="parent", x_bawn_tags="own")
    for turn in range(3):
        made_up(labels, MOST - 10, prefix=f"turn-{turn}")
        call(labels, "child")
    assert list(labels.kinship.ancestors(DEV.uuid, "child")) == ["parent"]
    assert has(labels, "stranger") == OWN


async def test_one_that_rested_for_long_is_forgotten_with_its_tags(labels: Labels, clock: Clock) -> None:
    call(labels, "old", x_bawn_tags="own")
    clock.time += RESTS
    made_up(labels, MOST + 10)
    assert has(labels, "old") == OWN


async def test_when_one_was_heard_of_survives_a_restart(labels: Labels, store: Store, clock: Clock) -> None:
    call(labels, "child", x_bawn_tags="own")
    for _ in range(40):
        clock.time += timedelta(days=1)
        call(labels, "child")
        await labels.kinship.written()
    fresh = await again(labels, store, clock)
    made_up(fresh, MOST + 10)
    assert has(fresh, "child") == OWN | {"own"}


async def test_all_of_it_survives_a_restart(labels: Labels, store: Store, clock: Clock) -> None:
    await labels.tag(DEV.uuid, "parent", frozenset(["night"]))
    call(labels, "parent", x_bawn_tags="named")
    call(labels, "child", x_bawn_parent_session="parent", x_bawn_tags="own")
    fresh = await again(labels, store, clock)
    assert has(fresh, "child") == OWN | {"night", "named", "own"}
    await fresh.begun(DEV.uuid, "child", "other")
    assert list(fresh.kinship.ancestors(DEV.uuid, "child")) == ["parent"]


async def test_it_is_written_down_without_being_asked(labels: Labels, store: Store) -> None:
    call(labels, "child", x_bawn_parent_session="parent")
    await asyncio.sleep(0.3)
    rows = await store.read(lambda connection: connection.execute(sa.select(session_kin)).all())
    assert [(row.session, row.parent) for row in rows] == [("child", "parent")]


async def test_what_is_forgotten_is_forgotten_in_the_store_as_well(labels: Labels, store: Store, clock: Clock) -> None:
    for at in range(MOST + 10):
        labels.kinship.begun(OTHER.uuid, f"s{at}", "top", tuple)
    call(labels, "mine", x_bawn_tags="kept")
    await labels.kinship.written()
    count = sa.select(sa.func.count()).select_from(session_kin)
    assert await store.read(lambda connection: connection.execute(count).scalar_one()) == MOST + 1
    await labels.forget(OTHER.uuid)
    assert await store.read(lambda connection: connection.execute(count).scalar_one()) == 1
    clock.time += KEPT + timedelta(days=1)
    assert has(await again(labels, store, clock), "mine") == OWN


async def test_a_call_names_its_tags_at_once(labels: Labels) -> None:
    assert HEADER == b"x-bawn-tags"
    assert labels.of(DEV, "s1", b"now") == OWN | {"now"}


_NAMES = st.sampled_from(["a", "b", "c", "d", "e"])
_TAGS = st.frozensets(st.sampled_from(["t1", "t2", "t3", "t4"]), max_size=3)
_ACT = st.one_of(
    st.tuples(st.just("begun"), _NAMES, _NAMES),
    st.tuples(st.just("name"), _NAMES, _TAGS),
    st.tuples(st.just("tag"), _NAMES, _TAGS),
    st.tuples(st.just("restart"), _NAMES, _TAGS),
)


@given(st.lists(_ACT, max_size=25))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_happens_in_whatever_order_each_has_its_own_and_those_of_its_line(
    tmp_path_factory: pytest.TempPathFactory, acts: list[tuple[str, str, object]]
) -> None:
    async def all_of_it() -> None:
        clock = Clock()
        store = open_store(tmp_path_factory.mktemp("labels") / "bawn.db")
        await store.run(lambda connection: metadata.create_all(connection, [session_kin, session_tags]))
        labels = Labels(store, clock, {"d*": ["configured"]})
        parent: dict[str, str] = {}
        named: dict[str, set[str]] = {}
        given_: dict[str, set[str]] = {}

        def line(session: str) -> list[str]:
            return [session, *(line(parent[session]) if session in parent else [])]

        for kind, session, said in acts:
            if kind == "begun":
                other = str(said)
                if session not in parent and session not in line(other):
                    parent[session] = other
                await labels.begun(DEV.uuid, session, other)
            elif kind == "restart":
                labels = await again(labels, store, clock)
            else:
                tags = frozenset(said) if isinstance(said, frozenset) else frozenset[str]()
                if kind == "name":
                    named.setdefault(session, set()).update(tags)
                    call(labels, session, x_bawn_tags=",".join(tags))
                else:
                    given_[session] = set(tags)
                    await labels.tag(DEV.uuid, session, tags)
        for session in "abcde":
            wanted = set(OWN).union(*(named.get(each, set()) | given_.get(each, set()) for each in line(session)))
            assert has(labels, session) == wanted
        await labels.kinship.written()
        store.close()

    asyncio.run(all_of_it())
