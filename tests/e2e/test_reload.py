"""The configuration file while Bawn runs: a bad one changes nothing, a good one holds for the next call."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator

import pytest
from tests.e2e.installation import Container, Installation


@pytest.fixture
def before(yard: Installation) -> Iterator[str]:
    text = yard.config.read_text()
    yield text
    yard.config.write_text(text)
    yard.done("config", "reload")


def test_a_bad_file_is_refused_with_path_and_line_and_changes_nothing(
    yard: Installation, dev: Container, before: str
) -> None:
    holds = yard.json("config", "show")
    bad = before.replace("kind: anthropic", "kind: antropic")
    yard.config.write_text(bad)
    line = next(n for n, text in enumerate(bad.splitlines(), 1) if "antropic" in text)
    refused = yard.bawn("config", "reload")
    assert refused.code == 1
    assert "providers.mirror.kind" in refused.err
    assert f"line {line}" in refused.err or f":{line}" in refused.err
    assert yard.bawn("config", "check").code == 1
    assert yard.json("config", "show") == holds
    assert dev.ask() == (200, "hello")


def test_a_file_that_is_no_yaml_is_refused_and_changes_nothing(yard: Installation, dev: Container, before: str) -> None:
    yard.config.write_text(before + "allow: [\n")
    refused = yard.bawn("config", "reload")
    assert refused.code == 1
    assert "line" in refused.err
    assert dev.ask() == (200, "hello")


def test_a_good_file_holds_for_the_next_call_without_a_restart(yard: Installation, dev: Container, before: str) -> None:
    pid = yard.pid("gateway")
    assert dev.ask(model="scripted/echo") == (200, "hello")
    yard.config.write_text(before.replace('"scripted/*"', '"scripted/agent"'))
    yard.done("config", "reload")
    status, answer = dev.ask(model="scripted/echo")
    assert status in (403, 404), answer
    assert dev.ask(model="scripted/agent")[0] == 200
    yard.config.write_text(before.replace("api:", "models:\n  aliases: {parrot: scripted/echo}\napi:"))
    yard.done("config", "reload")
    assert dev.ask(model="parrot") == (200, "hello")
    assert yard.pid("gateway") == pid


def test_a_chain_holds_for_the_next_call_and_is_told_of_in_the_record(
    yard: Installation, dev: Container, before: str
) -> None:
    assert dev.ask(model="scripted/fault-500")[0] == 500
    chain = "failover:\n  chains: {scripted/fault-500: [scripted/echo]}\n  backoff: {base_seconds: 0.01}\napi:"
    yard.config.write_text(before.replace("api:", chain))
    yard.done("config", "reload")
    assert dev.ask(model="scripted/fault-500") == (200, "hello")
    yard.config.write_text(before.replace("api:", chain.replace("scripted/echo", "nobody/echo")))
    refused = yard.bawn("config", "reload")
    assert refused.code == 1
    assert "failover.chains.scripted/fault-500" in refused.err


def test_a_file_of_rules_holds_without_being_told(yard: Installation, dev: Container) -> None:
    place = yard.config.parent / "hoody.json"
    action = {"type": "block", "reason": "not with us"}
    trigger = {"event": "chat.message", "contentMatch": "elephant"}
    try:
        place.write_text(json.dumps({"mitm": {"rules": [{"id": "no", "trigger": trigger, "action": action}]}}))
        assert soon(lambda: dev.ask("elephant")[0] == 403)
        place.write_text('{"mitm": {"rules": [{"id": "no"}]}}')
        assert soon(lambda: "hoody.json:1: mitm.rules[0]" in yard.done("status").out)
        assert dev.ask("elephant")[0] == 403
    finally:
        place.unlink()
    assert soon(lambda: dev.ask("elephant")[0] == 200)


def soon(holds: Callable[[], bool], seconds: float = 10) -> bool:
    until = time.monotonic() + seconds
    while not (held := holds()) and time.monotonic() < until:
        time.sleep(0.2)
    return held
