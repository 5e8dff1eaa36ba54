"""Whether a provider works is found out by calling it, and said in one word and one sentence."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.gateway.conftest import HeldKeys, RealClock
from tests.gateway.host import Heard, Said, host, refusal, said

from bawn.gateway import checking
from bawn.gateway.checking import Checked, check
from bawn.gateway.credentials import Keyring
from bawn.gateway.habits import HABITS
from bawn.gateway.pool import Pool
from bawn.gateway.providers import address_of
from bawn.gateway.settings import Provider, ProviderKind

SECRET = "sk-check-0123456789"
PLACES: dict[ProviderKind, tuple[str, dict[str, str], tuple[str, ...]]] = {
    ProviderKind.BEDROCK: ("", {"region": "eu-central-1"}, ("{}",)),
    ProviderKind.VERTEX: ("/v1/projects/house-1/locations/eu", {}, ("google/{}", "anthropic/{}")),
    ProviderKind.AZURE: ("/openai/v1", {}, ("{}",)),
    ProviderKind.GEMINI: ("/v1beta", {}, ("{}",)),
}
"""Where the scripted model speaks each kind, what else has to be said, and how its models are called."""


class Ground:
    def __init__(self, base: str) -> None:
        self.base = base
        self.held = HeldKeys()
        self.pool = Pool(time.monotonic, 5)
        self.keys = Keyring(self.held, self.pool, RealClock())

    async def check(
        self, kind: ProviderKind, *models: str, base: str | None = None, key: str = "none"
    ) -> list[Checked]:
        path, more, names = PLACES.get(kind, ("/v1", {}, ("{}",)))
        said = {"kind": kind, "base_url": (base or self.base) + path, "key": key, **more}
        address = address_of("p", Provider.model_validate(said), "")
        called = [name.format(model) for model in models for name in names]
        return list(await check(address, called, self.keys, self.pool, RealClock()))


@pytest.fixture
async def ground(scripted: Path) -> AsyncIterator[Ground]:
    made = Ground(f"http://{(scripted / 'address').read_text()}")
    yield made
    made.pool.close()


@pytest.mark.parametrize("kind", ProviderKind)
async def test_a_provider_that_works_is_called_once_by_every_wire_it_speaks(ground: Ground, kind: ProviderKind) -> None:
    found = await ground.check(kind, "echo")
    assert [each.problem for each in found] == [""] * len(found), found
    calls = {
        ProviderKind.ANTHROPIC: ["messages"],
        ProviderKind.OPENAI: ["chat/completions", "responses"],
        ProviderKind.OPENAI_COMPATIBLE: ["chat/completions"],
        ProviderKind.GEMINI: ["generateContent"],
        ProviderKind.AZURE: ["chat/completions", "responses"],
        ProviderKind.BEDROCK: ["converse"],
        ProviderKind.VERTEX: ["generateContent", "messages"],
        ProviderKind.SCRIPTED: ["chat/completions", "responses", "messages", "generateContent"],
    }
    assert sorted(each.call for each in found) == sorted(calls[kind])


@pytest.mark.parametrize("kind", ProviderKind)
async def test_without_models_the_list_of_them_is_called_where_there_is_one(ground: Ground, kind: ProviderKind) -> None:
    (found,) = await ground.check(kind)
    if HABITS[kind].lists:
        assert (found.call, found.problem) == ("GET /models", ""), found
    else:
        assert found.problem == "not_checked"
        assert "providers.p.models" in found.sentence


@pytest.mark.parametrize(
    ("fault", "problem"),
    [
        ("html", "wrong_content_type"), ("wrong-content-type", "wrong_content_type"), ("truncated-json", "not_json"),
        ("two-documents", "not_json"), ("empty-body", "not_json"), ("gzip", "broken"), ("bad-status-line", "broken"),
        ("close-before-headers", "broken"), ("content-length-too-long", "broken"), ("huge-headers", "broken"),
        ("redirect", "refused"), ("401", "key_refused"), ("403", "key_refused"), ("404", "refused"), ("429", "refused"),
        ("503", "refused"), ("stall-before-headers", "timeout"), ("stall-after-headers", "timeout"),
        ("error-event", "other_wire"), ("endless", "broken"),
    ],
)  # fmt: skip
async def test_what_is_wrong_is_said_in_one_word(
    ground: Ground, monkeypatch: pytest.MonkeyPatch, fault: str, problem: str
) -> None:
    monkeypatch.setattr(checking, "SECONDS", 0.5)
    for kind in (ProviderKind.OPENAI_COMPATIBLE, ProviderKind.ANTHROPIC):
        (found,) = await ground.check(kind, f"fault-{fault}")
        assert found.problem == problem, found
        assert found.sentence.endswith((".", ")"))
        assert "\n" not in found.sentence


async def test_the_key_does_not_come_back_in_what_the_provider_says(ground: Ground) -> None:
    ground.held.hold("p", SECRET)
    (found,) = await ground.check(ProviderKind.OPENAI_COMPATIBLE, "fault-echo-authorization", key="vault")
    assert (found.problem, SECRET in found.sentence, "[redacted]" in found.sentence) == ("key_refused", False, True)


async def test_who_cannot_be_reached_and_who_has_no_key_is_said(ground: Ground) -> None:
    (found,) = await ground.check(ProviderKind.OPENAI_COMPATIBLE, "m", base="http://127.0.0.1:1")
    assert found.problem == "unreachable"
    (found,) = await ground.check(ProviderKind.OPENAI_COMPATIBLE, "m", key="vault")
    assert found.problem == "no_key"
    (found,) = await ground.check(ProviderKind.OPENAI_COMPATIBLE, "../m")
    assert found.problem == "refused", "a name in a body leads nowhere"
    (found,) = await ground.check(ProviderKind.GEMINI, "../m")
    assert found.problem == "invalid"


async def test_each_key_is_tried_and_one_that_works_again_rests_no_longer(ground: Ground) -> None:
    good = ["sk-good-0123456789"]

    def answer(heard: Heard) -> Said:
        return said({"data": []}) if heard.headers["authorization"].removeprefix("Bearer ") in good else refusal(401)

    async with host(answer) as there:
        ground.held.hold("p", "sk-good-0123456789", "sk-bad-0123456789")
        found = await ground.check(ProviderKind.OPENAI, base=there.url, key="vault")
        assert [(each.key, each.problem) for each in found] == [("", ""), ("k1", "key_refused")]
        assert set(ground.keys.resting("p")) == {"key_p_1"}
        good.append("sk-bad-0123456789")
        await ground.check(ProviderKind.OPENAI, base=there.url, key="vault")
        assert ground.keys.resting("p") == {}


async def test_a_provider_of_another_kind_than_configured_is_noticed(ground: Ground) -> None:
    async with host(lambda heard: said({"object": "something else"})) as there:
        (found,) = await ground.check(ProviderKind.ANTHROPIC, "m", base=there.url)
    assert found.problem == "other_wire"
    assert "'content'" in found.sentence
