"""Which of several keys a provider is called with, how long one rests, and that none shows itself."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.gateway.conftest import Start
from tests.gateway.credentials.conftest import (
    ASKED,
    AWS,
    FIRST,
    NOON,
    SECOND,
    Ground,
    compiled,
)
from tests.gateway.host import CHAT_ANSWER, Heard, Said, host, refusal, said

from bawn.errors import Fault
from bawn.gateway.settings import ProviderKind


async def test_keys_take_turns_by_weight_and_smoothly(ground: Ground) -> None:
    ground.held.hold("p", FIRST, SECOND, "sk-third-0123456789", weights=(5, 1, 1))
    assert ground.labels(7) == ["", "", "k1", "", "k2", "", ""]
    assert Counter(ground.labels(70)) == {"": 50, "k1": 10, "k2": 10}


@given(st.lists(st.integers(1, 50), min_size=1, max_size=8))
def test_in_one_round_each_key_has_exactly_its_share(weights: list[int]) -> None:
    ground = Ground()
    ground.held.hold("p", *(f"sk-{at}-0123456789" for at in range(len(weights))), weights=tuple(weights))
    counted = Counter(ground.labels(sum(weights)))
    assert [counted[f"k{at}" if at else ""] for at in range(len(weights))] == weights


async def test_a_refused_key_rests_ten_minutes_and_another_is_given_at_once(ground: Ground) -> None:
    ground.held.hold("p", FIRST, SECOND)
    key = ground.ring.take(ground.plain)
    other = ground.told(key, 401)
    assert other is not None
    assert other.label != key.label
    assert set(ground.labels(6)) == {other.label}
    ground.clock.seconds += 599
    assert set(ground.labels(6)) == {other.label}
    ground.clock.seconds += 1
    assert len(set(ground.labels(6))) == 2
    assert [(event.event, event.provider, dict(event.detail)["label"]) for event in ground.events] == [
        ("key.rests", "p", key.label)
    ]


@pytest.mark.parametrize(
    ("said", "rest"),
    [
        ("7", 7), ("0", 0), ("3600", 60), ("", 5), ("soon", 5), ("-3", 5), ("1e9", 5), ("٣", 5), ("9" * 400, 60),
        (format_datetime(NOON + timedelta(seconds=20), usegmt=True), 20),
        (format_datetime(NOON - timedelta(days=1), usegmt=True), 0),
        ("Wed, 31 Jan 2030 12:00:20", 5),
    ],
)  # fmt: skip
async def test_a_key_with_too_many_calls_rests_as_long_as_the_provider_says(
    ground: Ground, said: str, rest: int
) -> None:
    ground.held.hold("p", FIRST, SECOND)
    key = ground.ring.take(ground.plain)
    assert ground.told(key, 429, **({"retry_after": said} if said else {})) is None, "the client tries again, not we"
    assert round(key.rests_until - ground.clock.seconds) == rest


async def test_when_all_rest_the_one_that_wakes_first_is_used(ground: Ground) -> None:
    ground.held.hold("p", FIRST, SECOND)
    one, two = ground.ring.all(ground.plain)
    ground.told(one, 401)
    ground.told(two, 429, retry_after="30")
    assert ground.labels(3) == [two.label] * 3
    assert ground.told(two, 403) is None, "nobody is awake"
    assert ground.ring.resting("p").keys() == {one.held.id, two.held.id}


async def test_a_key_that_is_told_403_rests_only_when_another_one_is_not(ground: Ground) -> None:
    ground.held.hold("p", FIRST, SECOND)
    key = ground.ring.take(ground.plain)
    other = ground.told(key, 403)
    assert other is not None
    assert ground.ring.resting("p") == {}
    ground.ring.refused(ground.plain, key)
    assert ground.ring.resting("p").keys() == {key.held.id}
    ground.ring.served(key)
    assert ground.ring.resting("p") == {}


async def test_what_nobody_may_ask_puts_no_key_to_rest(start: Start) -> None:
    def answer(heard: Heard) -> Said:
        return refusal(403) if b"forbidden" in heard.body else said(CHAT_ANSWER)

    async with host(answer) as there:
        yard = await start(provider=there.url)
        yard.held.hold("keyed", FIRST, SECOND)
        async with yard.client() as client:
            for _ in range(3):
                asked = {"model": "keyed/forbidden", "messages": ASKED}
                assert (await client.post("/v1/chat/completions", json=asked)).status_code == 503
            assert yard.keyring.resting("keyed") == {}
            fine = await client.post("/v1/chat/completions", json={"model": "keyed/m", "messages": ASKED})
    assert fine.status_code == 200


async def test_the_only_key_is_used_though_it_was_refused(ground: Ground) -> None:
    ground.held.hold("p", FIRST)
    key = ground.ring.take(ground.plain)
    assert ground.told(key, 401) is None
    assert ground.ring.take(ground.plain) is key


async def test_keys_that_are_taken_away_while_one_is_refused_lose_no_answer(ground: Ground) -> None:
    ground.held.hold("p", FIRST, SECOND)
    key = ground.ring.take(ground.plain)
    ground.held.hold("p")
    assert ground.told(key, 401) is None


async def test_a_rotated_key_is_awake_and_the_others_go_on_resting(ground: Ground) -> None:
    ground.held.hold("p", FIRST, SECOND)
    one, two = ground.ring.all(ground.plain)
    ground.told(one, 401)
    ground.told(two, 401)
    held = ground.held.keys_for("p")
    ground.held.hold("p", "sk-fresh-0123456789")
    fresh = ground.held.keys_for("p")[0]
    ground.held.put("p", (fresh, held[1]))
    assert ground.labels(3) == [""] * 3
    assert ground.ring.take(ground.plain).secret == b"sk-fresh-0123456789"
    assert ground.ring.resting("p").keys() == {held[1].id}


async def test_a_reload_wakes_no_key_even_when_the_provider_has_moved(ground: Ground) -> None:
    ground.held.hold("p", FIRST, SECOND)
    key = ground.ring.take(ground.plain)
    ground.told(key, 401)
    same = compiled(ProviderKind.OPENAI)
    moved = compiled(ProviderKind.OPENAI, base_url="https://elsewhere.example/v1")
    for address in (same, moved):
        assert {ground.ring.take(address).label for _ in range(4)} == {"k1"}


async def test_without_a_key_the_remedy_is_named(ground: Ground) -> None:
    with pytest.raises(Fault, match="no key") as refused:
        ground.ring.take(ground.plain)
    assert refused.value.code == "upstream.no_key"


def test_a_key_shows_itself_nowhere() -> None:
    ground = Ground()
    ground.held.hold("p", FIRST, AWS)
    for key in ground.ring.all(ground.plain):
        assert FIRST not in f"{key!r} {key.held!r}"
        assert "wJalr" not in f"{key!r} {key.held!r}"
