"""How long is waited before the next try, and when another key or target is asked at once."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from tests.gateway.failover.conftest import posted, tries
from tests.gateway.host import CHAT_ANSWER, Heard, Said, host, refusal, said

from bawn.gateway.settings import Provider, ProviderKind


def sequence(*answers: Said) -> Callable[[Heard], Said]:
    """These answers in turn, then a right one."""
    left = list(answers)
    return lambda heard: left.pop(0) if left else said(CHAT_ANSWER)


async def test_a_single_429_is_over_after_the_time_it_asked_for(tried: Any) -> None:
    async with host(sequence(refusal(429, retry_after="1"))) as first:
        yard = await tried(first.url)
        began = time.monotonic()
        answer = await posted(yard)
    assert time.monotonic() - began >= 0.99
    assert answer.headers["x-bawn-served-by"] == "first/m"
    assert tries(yard) == [("first/m", "busy"), ("first/m", "begun")]
    assert dict(yard.record.of("attempt.opened")[0].detail)["waited_ms"] == "1000"


async def test_a_429_without_a_time_is_tried_again_after_a_backoff(tried: Any) -> None:
    async with host(sequence(refusal(429), refusal(429))) as first:
        yard = await tried(first.url, retries=2)
        began = time.monotonic()
        answer = await posted(yard)
    assert time.monotonic() - began < 2.5
    assert answer.headers["x-bawn-attempts"] == "3"
    assert answer.headers["x-bawn-served-by"] == "first/m"


async def test_a_single_503_is_over_with_the_second_try(tried: Any) -> None:
    async with host(sequence(refusal(503))) as first:
        yard = await tried(first.url)
        assert (await posted(yard)).headers["x-bawn-served-by"] == "first/m"


async def test_milliseconds_are_heeded_as_well(tried: Any) -> None:
    async with host(sequence(refusal(503, retry_after_ms="200", retry_after="3"))) as first:
        yard = await tried(first.url)
        began = time.monotonic()
        await posted(yard)
    assert 0.19 < time.monotonic() - began < 2.5


@pytest.mark.parametrize("asked", ["30", "9"], ids=["over the limit", "over what is left"])
async def test_a_longer_time_sends_the_call_on_at_once(tried: Any, asked: str) -> None:
    async with host(lambda heard: refusal(429, retry_after=asked)) as first:
        yard = await tried(first.url, retry_after_seconds=10)
        began = time.monotonic()
        answer = await posted(yard)
    assert time.monotonic() - began < 2.5
    assert answer.headers["x-bawn-served-by"] == "second/echo"
    assert len(first.heard) == 1


async def test_after_too_many_calls_another_key_is_used_at_once(tried: Any) -> None:
    def answer(heard: Heard) -> Said:
        return refusal(429, retry_after="9") if heard.headers["authorization"].endswith("aaaa") else said(CHAT_ANSWER)

    async with host(answer) as first:
        yard = await tried(first.url, first=Provider(kind=ProviderKind.OPENAI_COMPATIBLE, base_url=first.url))
        yard.held.hold("first", "sk-aaaa", "sk-bbbb")
        began = time.monotonic()
        answered = await posted(yard)
        assert time.monotonic() - began < 2.5
        assert answered.headers["x-bawn-served-by"] == "first/m"
        assert [heard.headers["authorization"][-4:] for heard in first.heard] == ["aaaa", "bbbb"]


async def test_when_all_keys_rest_the_next_target_is_asked_first(tried: Any) -> None:
    async with host(lambda heard: refusal(429, retry_after="9")) as first:
        yard = await tried(first.url, first=Provider(kind=ProviderKind.OPENAI_COMPATIBLE, base_url=first.url))
        yard.held.hold("first", "sk-aaaa")
        await posted(yard)
        await posted(yard)
        assert len(first.heard) == 1
    assert "All keys of the provider rest." in yard.record.of("attempt.skipped")[-1].cause
