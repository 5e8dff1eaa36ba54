"""No secret passes, in whatever dress it comes."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bawn.audit.redact import VALUE_MARK, Redactor, StreamScrubber

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N"
PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA\nabc\n-----END RSA PRIVATE KEY-----"


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("sk-ant-api03-abcdefgh_1234-XY", "[redacted:anthropic-key]"),
        ("sk-proj-abcdefghijklmnop1234", "[redacted:openai-key]"),
        ("sk-abcdefghijklmnop1234", "[redacted:openai-key]"),
        ("AKIAIOSFODNN7EXAMPLE", "[redacted:aws-key]"),
        ("ghp_abcdefghijklmnopqrstuvwxyz012345", "[redacted:github-token]"),
        ("github_pat_11ABCDEFG0abcdefghij_klmnop", "[redacted:github-token]"),
        ("xoxb-1234567890-abcdefgh", "[redacted:slack-token]"),
        ("AIzaSyA-1234567890abcdefghijklmnopqrstu", "[redacted:google-key]"),
        ("hf_abcdefghijklmnopqrstuv", "[redacted:huggingface-token]"),
        (JWT, "[redacted:jwt]"),
        (PEM, "[redacted:private-key]"),
        (PEM[:60], "[redacted:private-key]"),
        ("Bearer abcdefgh12345678", "Bearer [redacted:bearer]"),
        ("https://ada:hunter22@example.org/x", "https://ada:[redacted:url-password]@example.org/x"),
        ("bawn_pat_0123456789abcdef_" + "0" * 64, "bawn_pat_0123456789abcdef_[redacted:bawn-token]"),
    ],
)
def test_known_forms_are_taken_out_wherever_they_stand(text: str, redacted: str) -> None:
    redactor = Redactor()
    assert redactor.text(text) == redacted
    assert redactor.text(f"before\n{text}\nafter") == f"before\n{redacted}" + (
        "" if "BEGIN" in text[:60] and text == PEM[:60] else "\nafter"
    )
    assert redactor.suspects(json.dumps(f"x\n{text}"))


@pytest.mark.parametrize(
    "text",
    [
        "Bearer container-dev",
        "Bearer container-7",
        "task-1234567890123456789",
        "https://example.org:8080/a@b",
        "high light",
        "asked sk- for",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert Redactor().text(text) == text


DRESSES: dict[str, Callable[[str], str]] = {
    "plain": lambda v: v,
    "json": lambda v: json.dumps(v)[1:-1],
    "hex": lambda v: v.encode().hex(),
    "percent": lambda v: quote(v, safe=""),
    "plus": quote_plus,
    "base64": lambda v: base64.b64encode(v.encode()).decode(),
    "base64 in user:key": lambda v: base64.b64encode(b"user:" + v.encode()).decode(),
    "base64 in the middle": lambda v: base64.b64encode(b"ab" + v.encode() + b"xyz").decode(),
    "base64 for URLs": lambda v: base64.urlsafe_b64encode(b"a" + v.encode()).decode(),
}


@pytest.mark.parametrize("dress", DRESSES)
@pytest.mark.parametrize("value", ["plain-value-0123456789", 'with "quotes" & spaces ü/+?~', "12345678"])
def test_a_learnt_value_is_found_in_every_dress(value: str, dress: str) -> None:
    redactor = Redactor()
    redactor.learn([value])
    shown = DRESSES[dress](value)
    cleaned = redactor.text(f"<{shown}>")
    assert VALUE_MARK in cleaned
    longest = max(
        (len(part) for part in (cleaned.replace(VALUE_MARK, " ").strip("<>").split() or [""]) if part in shown),
        default=0,
    )
    assert longest <= 12, "at most the characters that it shares with its neighbours are left"
    assert redactor.bytes(shown.encode()) != shown.encode()


def test_a_value_too_short_is_not_learnt() -> None:
    redactor = Redactor()
    redactor.learn(["key1", ""])
    assert redactor.text("key1 is not secret") == "key1 is not secret"


def test_what_was_learnt_stays_learnt() -> None:
    redactor = Redactor()
    redactor.learn(["first-value"])
    redactor.learn(["second-value"])
    assert redactor.text("first-value second-value") == f"{VALUE_MARK} {VALUE_MARK}"


def test_answers_of_providers_keep_what_only_looks_like_a_key() -> None:
    redactor = Redactor()
    redactor.learn(["sk-real-0123456789"])
    data = b"a key looks like sk-ant-api03-abcdefghij, not sk-real-0123456789"
    assert redactor.bytes(data) == b"a key looks like sk-ant-api03-abcdefghij, not [redacted]"


@given(
    st.lists(st.sampled_from(["secret-value-one", "secret-", "value-two-secret", "secret-value", "x", "s", "\n"])),
    st.data(),
)
def test_a_value_is_found_however_the_stream_is_cut(parts: list[str], data: st.DataObject) -> None:
    redactor = Redactor()
    redactor.learn(["secret-value-one", "value-two-secret"])
    whole = "".join(parts).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)))))
    chunks = [whole[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    scrubber = redactor.scrubber()
    out = b"".join(map(scrubber.feed, chunks)) + scrubber.end()
    assert b"secret-value-one" not in out
    assert b"value-two-secret" not in out
    if len(chunks) == 1:
        assert out == redactor.bytes(whole)


def test_text_without_a_beginning_of_a_value_flows_on_at_once() -> None:
    scrubber = StreamScrubber((b"secret-value",))
    assert scrubber.feed(b"data: hello\n\n") == b"data: hello\n\n"
    assert scrubber.feed(b"data: sec") == b"data: "
    assert scrubber.feed(b"ond\n\n") == b"second\n\n"
    assert scrubber.feed(b"s") == b""
    assert scrubber.end() == b"s"


def test_a_scrubber_that_knows_nothing_passes_everything() -> None:
    assert Redactor().scrubber().feed(b"anything") == b"anything"


def test_what_was_clean_is_looked_through_again_once_another_value_is_known() -> None:
    redactor = Redactor()
    assert redactor.clean(("chat/completions", "a harmless text"))
    assert redactor.clean(("a harmless text",))
    redactor.learn(["harmless text"])
    assert not redactor.clean(("chat/completions", "a harmless text"))


def test_a_text_is_clean_exactly_when_nothing_may_have_to_be_taken_out() -> None:
    redactor = Redactor()
    redactor.learn(["0123456789abcdef"])
    assert redactor.clean(("call_00000000000000001", "call_00000000000000002"))
    assert not redactor.clean(("call_00000000000000001", "call_70123456789abcdef"))
    assert not redactor.clean(("", "sk-ant-0123456789abcdef"))


@given(st.sampled_from(("call_", "read ", "changed ", "answered ")), st.from_regex("[0-9a-f]{1,40}", fullmatch=True))
def test_texts_that_are_ever_new_are_looked_through_for_values(start: str, rest: str) -> None:
    redactor, text = Redactor(), f"{start}{rest}" if start == "call_" else f"{start}{int(rest, 16) % 10**12} us"
    assert redactor.clean((text,)), "no form can be spelled like this"
    assert redactor.text(text) == text
    redactor.learn([text])
    assert redactor.clean((text,)) is (len(text) < 8)
