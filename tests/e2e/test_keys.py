"""A provider's key: given by stdin, put on the call by the gateway, seen by nobody else."""

from __future__ import annotations

import base64

import pytest
from tests.e2e.conftest import Planted, Provider
from tests.e2e.installation import Container, Installation


def test_without_a_key_the_call_is_refused_and_names_the_remedy(yard: Installation, dev: Container) -> None:
    yard.forget_keys("mock")
    status, answer = dev.ask(model="mock/echo")
    assert status == 503
    assert "upstream.no_key" in answer
    assert "bawn keys add mock" in answer


def test_a_key_from_stdin_reaches_the_provider_and_a_rotated_one_holds_for_the_next_call(
    yard: Installation, dev: Container, provider: Provider, planted: Planted
) -> None:
    yard.forget_keys("mock")
    first, second = planted.key(), planted.key("sk-proj-")
    added = yard.done("keys", "add", "mock", "--name", "planted", "-o", "json", stdin=first + "\n")
    assert first not in added.out
    assert dev.ask(model="mock/echo") == (200, "hello")
    assert f"Bearer {first}" in provider.heard()
    assert dev.token not in provider.heard()
    yard.done("keys", "rotate", added.json()["id"], stdin=second)
    assert dev.ask(model="mock/echo") == (200, "hello")
    assert f"Bearer {second}" in provider.heard()
    shown = yard.json("keys", "list")
    assert [key["name"] for key in shown if key["provider"] == "mock"] == ["planted"]
    assert second not in str(shown)
    yard.forget_keys("mock")
    assert dev.ask(model="mock/echo")[0] == 503


def test_the_other_wire_gets_its_key_in_its_own_header(
    yard: Installation, dev: Container, provider: Provider, planted: Planted
) -> None:
    yard.forget_keys("mirror")
    secret = planted.key("sk-ant-api03-")
    yard.done("keys", "add", "mirror", stdin=secret)
    line = (
        "import anthropic; print(anthropic.Anthropic(max_retries=0).messages.create("
        "model='mirror/echo', max_tokens=9, messages=[{'role': 'user', 'content': 'hello'}]).content[0].text)"
    )
    assert dev.bawn("python3", "-c", line).out.strip() == "hello"
    assert f'["x-api-key", "{secret}"]' in provider.heard()


@pytest.mark.parametrize("model", ["mock/fault-echo-authorization", "mock/fault-echo_authorization"])
def test_a_provider_that_quotes_the_key_does_not_tell_it_to_the_container(
    yard: Installation, dev: Container, planted: Planted, model: str
) -> None:
    yard.forget_keys("mock")
    secret = planted.key()
    yard.done("keys", "add", "mock", stdin=secret)
    status, answer = dev.ask(model=model)
    assert status >= 400
    assert secret not in answer
    assert secret not in yard.done("why", dev.name).out


def test_keys_that_a_container_sends_by_mistake_are_not_written_down(dev: Container, planted: Planted) -> None:
    """The last test looks for them."""
    assert dev.ask(token=planted.key("sk-live-"))[0] == 401
    assert dev.ask(f"my key is {planted.key('sk-ant-api03-')}", show=False)[0] == 200
    encoded = base64.b64encode(planted.key().encode()).decode()
    assert dev.ask(f"my key is {encoded}", show=False)[0] == 200


def test_an_empty_key_and_a_key_as_an_argument_are_refused(yard: Installation) -> None:
    assert yard.bawn("keys", "add", "mock", stdin=" \n").code == 2
    assert yard.bawn("keys", "add", "mock", "sk-on-the-command-line").code == 2
