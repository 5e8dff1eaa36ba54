"""What failover decides, without a provider: the breaker, the waits, what a failure is and where a chain leads."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bawn.app.settings import configured
from bawn.errors import KINDS, Fault
from bawn.gateway.breaker import Breaker, Breakers, State, Try
from bawn.gateway.catalogue import Target
from bawn.gateway.chains import Chains
from bawn.gateway.failover_settings import Backoff, Failover
from bawn.gateway.failover_settings import Breaker as Settings
from bawn.gateway.pace import asked_wait, backoff, patience
from bawn.gateway.trouble import ABOUT_PROVIDER, Step, Trouble, of_error, of_fault, of_status, step

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SETTINGS = Settings(failures=3, window_seconds=10, open_seconds=5)
Moves = st.lists(
    st.tuples(st.sampled_from(["begin", "well", "ill", "nothing"]), st.floats(0, 4), st.integers(0, 3)), max_size=60
)


# the breaker


def failed(breaker: Breaker, now: float, times: int = 3) -> None:
    for _ in range(times):
        trial = breaker.begin(now)
        assert trial is not None
        trial.over(now, well=False)


def test_a_breaker_opens_after_its_number_of_failures_and_tries_once_after_its_time() -> None:
    breaker = Breaker(SETTINGS)
    failed(breaker, 0, 2)
    assert breaker.state(0) is State.CLOSED
    failed(breaker, 1, 1)
    assert breaker.state(1) is State.OPEN
    assert breaker.begin(5.9) is None
    assert breaker.waits(3) == 3
    trial = breaker.begin(6)
    assert trial is not None
    assert breaker.begin(6) is None, "one call tries for all"
    trial.over(7, well=False)
    assert breaker.state(11.9) is State.OPEN, "the time begins anew"
    trial = breaker.begin(12)
    assert trial is not None
    trial.over(12, well=True)
    assert breaker.state(12) is State.CLOSED
    failed(breaker, 12, 2)
    assert breaker.state(12) is State.CLOSED, "nothing is left of the failures before"


def test_failures_that_are_long_ago_do_not_count() -> None:
    breaker = Breaker(SETTINGS)
    for now in (0, 9, 18, 27):
        failed(breaker, now, 1)
    assert breaker.state(27) is State.CLOSED


def test_a_caller_whose_calls_fail_closes_no_provider_for_those_whose_calls_go_well() -> None:
    breaker = Breaker(SETTINGS)
    for now in range(100):
        for well in (True, False, True):
            trial = breaker.begin(now / 10)
            assert trial is not None
            trial.over(now / 10, well=well)


def test_what_was_on_its_way_when_it_opened_changes_nothing() -> None:
    breaker = Breaker(SETTINGS)
    late = breaker.begin(0)
    failed(breaker, 0)
    assert late is not None
    late.over(1, well=True)
    assert breaker.state(1) is State.OPEN


@given(Moves)
def test_a_breaker_never_lets_two_calls_try_and_never_stays_shut(moves: list[tuple[str, float, int]]) -> None:
    breaker, now = Breaker(SETTINGS), 0.0
    running: list[tuple[Try, bool]] = []
    for move, passed, which in moves:
        now += passed
        if move == "begin":
            half_open = breaker.state(now) is State.HALF_OPEN
            trial = breaker.begin(now)
            if trial is not None:
                assert breaker.state(now) is not State.OPEN
                running.append((trial, half_open))
        elif running:
            trial, _ = running.pop(which % len(running))
            trial.over(now, well={"well": True, "ill": False}.get(move))
            trial.over(now, well=False)
        assert sum(probe for _, probe in running) <= 1
    for trial, _ in running:
        trial.over(now, well=None)
    assert breaker.admits(now + SETTINGS.open_seconds), "whatever happened, one call may try in the end"


def test_each_key_is_tried_by_one_call_at_a_time() -> None:
    now = [0.0]
    breakers = Breakers(lambda: now[0])
    breakers.settle(SETTINGS)
    failed(breakers.of("p", "k1"), 0)
    assert breakers.keys("p") == (frozenset({"k1"}), {})
    assert breakers.keys("q") == (frozenset(), {})
    now[0] = 6
    barred, probes = breakers.keys("p")
    assert (barred, list(probes)) == (frozenset(), ["k1"])
    assert breakers.keys("p") == (frozenset({"k1"}), {})
    assert breakers.barred("p") == {"k1"}
    probes["k1"].over(6, well=None)
    assert breakers.barred("p") == frozenset()
    assert breakers.of("p").admits(6)


# waiting


@given(st.floats(0, 60), st.floats(0, 540), st.integers(1, 10_000), st.floats(0, 1))
def test_a_backoff_is_a_part_of_what_doubles_and_never_over_its_cap(
    base: float, more: float, tries: int, part: float
) -> None:
    settings = Backoff(base_seconds=base, cap_seconds=base + more)
    wait = backoff(settings, tries, lambda: part)
    assert 0 <= wait <= settings.cap_seconds
    assert wait <= backoff(settings, tries, lambda: 1.0)
    assert backoff(settings, tries, lambda: 1.0) <= backoff(settings, tries + 1, lambda: 1.0)


def test_backoffs_double() -> None:
    settings = Backoff(base_seconds=0.5, cap_seconds=3)
    assert [backoff(settings, tries, lambda: 1.0) for tries in range(1, 6)] == [0.5, 1, 2, 3, 3]


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ([(b"retry-after", b"7")], 7),
        ([(b"retry-after", b" 7 ")], 7),
        ([(b"retry-after", format_datetime(NOW + timedelta(seconds=30), usegmt=True).encode())], 30),
        ([(b"retry-after", format_datetime(NOW - timedelta(days=1), usegmt=True).encode())], 0),
        ([(b"retry-after-ms", b"250"), (b"retry-after", b"1")], 0.25),
        ([(b"retry-after", b"soon")], None),
        ([(b"retry-after", "²".encode("latin-1"))], None),
        ([(b"retry-after-ms", b"x"), (b"retry-after", b"2")], 2),
        ([], None),
    ],
)
def test_the_time_that_a_provider_asks_for(headers: list[tuple[bytes, bytes]], seconds: float | None) -> None:
    assert asked_wait(headers, NOW) == seconds


@given(st.binary(max_size=40))
def test_no_retry_after_raises_or_is_negative(value: bytes) -> None:
    assert (asked_wait([(b"retry-after", value)], NOW) or 0) >= 0
    assert (asked_wait([(b"retry-after-ms", value)], NOW) or 0) >= 0


@given(st.binary(max_size=40), st.floats(0.2, 1000))
def test_a_client_shortens_the_deadline_and_never_makes_it_longer(value: bytes, configured_seconds: float) -> None:
    assert 0 < patience([(b"x-stainless-timeout", value)], configured_seconds) <= configured_seconds


def test_official_packages_are_answered_before_they_give_up() -> None:
    assert patience([(b"x-stainless-timeout", b"60")], 590) == 57
    assert patience([(b"x-stainless-read-timeout", b"60.0")], 590) == 57
    assert patience([], 590) == 590


# what a failure is


def told(**error: Any) -> bytes:
    return json.dumps({"error": error}).encode()


@pytest.mark.parametrize(
    ("body", "trouble"),
    [
        (told(message="x", code="context_length_exceeded"), Trouble.TOO_LONG),
        (
            told(message="prompt is too long: 210000 tokens > 200000 maximum", type="invalid_request_error"),
            Trouble.TOO_LONG,
        ),
        (
            told(message="The input token count (9) exceeds the maximum number of tokens allowed (8).", code=400),
            Trouble.TOO_LONG,
        ),
        (b'{"message": "Input is too long for requested model."}', Trouble.TOO_LONG),
        (
            told(message="the request exceeds the available context size", type="exceed_context_size_error"),
            Trouble.TOO_LONG,
        ),
        (told(message="x", code="content_filter"), Trouble.FILTERED),
        (told(message="x", code=None, innererror={"code": "ResponsibleAIPolicyViolation"}), Trouble.FILTERED),
        (told(message="x", code="content_policy_violation"), Trouble.FILTERED),
        (
            b'{"type":"response.failed","response":{"error":{"code":"context_length_exceeded","message":"x"}}}',
            Trouble.TOO_LONG,
        ),
        (told(message="max_tokens must be positive", code="invalid"), Trouble.REFUSED),
        (told(message="x", code=["content_filter"]), Trouble.REFUSED),
        (b"[]", Trouble.REFUSED),
        (b"<html>", Trouble.REFUSED),
    ],
)
def test_what_a_400_says_of_the_request(body: bytes, trouble: Trouble) -> None:
    assert of_status(400, body) is trouble


ERRORS = st.recursive(
    st.none() | st.text() | st.integers() | st.lists(st.text()),
    lambda inner: st.dictionaries(
        st.sampled_from(["error", "code", "type", "message", "response", "innererror"]), inner
    ),
).map(lambda value: json.dumps(value).encode())


@given(st.binary() | ERRORS, st.integers(201, 599))
def test_every_answer_is_some_trouble_and_no_body_raises(body: bytes, status: int) -> None:
    trouble = of_status(status, body)
    assert step(trouble, Failover()) in Step
    assert of_error(body) in (None, Trouble.TOO_LONG, Trouble.FILTERED)
    if status in (400, 413, 422):
        assert trouble not in ABOUT_PROVIDER
        assert step(trouble, Failover()) is Step.STOP


def test_by_default_nothing_about_the_request_is_asked_of_another() -> None:
    settings = Failover()
    assert [step(each, settings) for each in (Trouble.FILTERED, Trouble.TOO_LONG, Trouble.REFUSED)] == [Step.STOP] * 3
    assert step(Trouble.FILTERED, Failover(on_content_filter="next")) is Step.NEXT
    assert step(Trouble.TOO_LONG, Failover(on_content_filter="next")) is Step.STOP
    assert step(Trouble.TOO_LONG, Failover(on_context_length="next")) is Step.NEXT


def test_only_faults_about_a_provider_send_a_call_on() -> None:
    sent_on = {code for code in KINDS if of_fault(Fault(code, "x")) is not None}
    assert sent_on == {
        "upstream.unreachable", "upstream.timeout", "upstream.broken", "upstream.not_translatable", "upstream.key_refused",
        "upstream.no_key", "vault.unreadable",
    }  # fmt: skip


# chains


def test_a_chain_is_found_by_the_clients_name_then_the_targets_then_the_longest_beginning() -> None:
    chains = Chains({"fast": ("a",), "p/m": ("b",), "p/*": ("c",), "*": ("d",), "p/m-*": ("e",)})
    found = [
        chains.of(name, Target("p", model))
        for name, model in (("fast", "m"), ("other", "m"), ("p/m", "m"), ("x", "n"), ("x", "m-1"))
    ]
    assert found == [("a",), ("b",), ("b",), ("c",), ("e",)]
    assert chains.of("x", Target("q", "n")) == ("d",)
    assert Chains({"p/m": ()}).of("p/m", Target("p", "m")) == ()
    assert Chains({"p/m": ()}).of("x", Target("q", "m")) is None


@pytest.mark.parametrize(
    "chains",
    ["{a/*: [b/*]}", "{'a*b': [a/x]}", "{a/x: [nobody/x]}", "{a/x: [x]}", "{a/x: a/y}"],
)
def test_a_chain_that_leads_nowhere_is_refused_when_the_file_is_read(chains: str) -> None:
    text = f"providers: {{a: {{kind: openai}}}}\nfailover: {{chains: {chains}}}\n"
    with pytest.raises(Fault) as fault:
        configured(text, "bawn.yaml")
    assert fault.value.code == "config.invalid"
    assert "chain" in fault.value.sentence


def test_a_chain_may_name_an_alias() -> None:
    text = "providers: {a: {kind: openai}}\nmodels: {aliases: {b: a/x}}\nfailover: {chains: {a/*: [b, a/y]}}\n"
    assert configured(text, "bawn.yaml").failover.chains == {"a/*": ("b", "a/y")}
