"""What may be asked for: doors, keys, modes, callbacks, and how a prompt becomes a word of a command."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from bawn.errors import Fault
from bawn.tasks.asked import MODELS, Asked, Wanted, base_url, command, exec_of, judged, script_callback, wanted_of
from bawn.tasks.settings import PROMPT, Tasks

SETTINGS = Tasks(callbacks=("hooks.example.org", "other.example.org:8443", "http://127.0.0.1:9000"))


def asked(scripts: bool = True, **said: Any) -> Asked:
    return judged(Wanted.model_validate({"prompt": "Build an app"} | said), SETTINGS, scripts=scripts)


def refusal(scripts: bool = True, **said: Any) -> str:
    with pytest.raises(Fault) as caught:
        asked(scripts, **said)
    return caught.value.code


@pytest.mark.parametrize(
    ("address", "exec_"),
    [
        (MODELS, ""),
        ("http://ai.bawn.internal", ""),
        ("http://AI.bawn.internal:80/api/v1/", ""),
        ("http://exec-1.bawn.internal/api/v1", "1"),
        ("http://exec-Gate.bawn.internal/api/v1", "gate"),
    ],
)
def test_an_address_chooses_a_door_of_the_container(address: str, exec_: str) -> None:
    assert exec_of(address) == exec_
    assert exec_of(base_url(exec_)) == exec_


@pytest.mark.parametrize(
    "address",
    [
        "",
        "https://api.openai.com/v1",
        "https://ai.bawn.internal/api/v1",
        "http://ai.bawn.internal.evil.example/api/v1",
        "http://ai.bawn.internal@evil.example/api/v1",
        "http://user@ai.bawn.internal/api/v1",
        "http://ai.bawn.internal:8080/api/v1",
        "http://ai.bawn.internal/api/v1\n",
        "http://ai.bawn.internal/api/v1/../..",
        "http://exec-0.bawn.internal/api/v1",
        "http://exec-a_b.bawn.internal/api/v1",
        "http://exec-1.bawn.internal.evil.example/api/v1",
        "http://127.0.0.2/api/v1",
    ],
)
def test_any_other_address_is_refused(address: str) -> None:
    assert refusal(ai_config={"base_url": address}) == "task.address_refused"


@given(st.text(max_size=80))
def test_no_text_is_a_door_but_those_two_kinds(text: str) -> None:
    try:
        found = exec_of(text)
    except Fault:
        return
    assert exec_of(base_url(found)) == found


def test_the_key_of_the_container_is_taken_and_that_of_a_provider_is_not() -> None:
    assert asked(ai_config={"api_key": "container-1"}).model == ""
    assert asked(ai_config={"api_key": "Bearer container-dev"}).model == ""
    assert refusal(ai_config={"api_key": "sk-ant-0123"}) == "api.invalid"


def test_a_mode_is_one_of_those_configured() -> None:
    assert asked(mode="plan").mode == "plan"
    assert refusal(mode="root") == "api.invalid"


@pytest.mark.parametrize("prompt", [" ", "a\0b", "\ud800"])
def test_a_prompt_is_something_that_a_program_can_be_given(prompt: str) -> None:
    with pytest.raises((Fault, ValidationError)):
        asked(prompt=prompt)


@pytest.mark.parametrize(
    "said", [{"prompt": ""}, {"prompt": "a" * 16_001}, {"promt": "x"}, {"ai_config": {"key": "x"}}]
)
def test_what_does_not_fit_is_told_by_its_name(said: dict[str, Any]) -> None:
    with pytest.raises(Fault) as caught:
        wanted_of({"prompt": "x"} | said)
    assert caught.value.code == "request.invalid"
    assert next(iter(said)) in caught.value.sentence


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.example.org/done?task=1",
        "https://HOOKS.example.org:443/done",
        "https://other.example.org:8443/",
        "http://127.0.0.1:9000/done",
        "http://exec-1.bawn.internal/api/task-complete",
    ],
)
def test_a_callback_goes_where_the_operator_allowed_or_to_a_script(url: str) -> None:
    assert asked(callback_url=url).callback == url
    assert asked(report_to=url).callback == url


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example.org/done",
        "https://hooks.example.org:8443/",
        "https://other.example.org/",
        "https://evil.example/?hooks.example.org",
        "https://hooks.example.org.evil.example/",
        "https://hooks.example.org@evil.example/",
        "https://evil.example\\@hooks.example.org/",
        "https://me@hooks.example.org/",
        "https://hooks.example.org/#x",
        "https://hooks.example.org/a b",
        "https://hooks.example.org/\r\nhost: x",
        "file:///etc/passwd",
        "http://169.254.169.254/latest",
        "http://exec-1.bawn.internal.evil.example/",
        "http://exec-1.bawn.internal:81/",
        "https://exec-1.bawn.internal/",
    ],
)
def test_a_callback_goes_nowhere_else(url: str) -> None:
    assert refusal(callback_url=url) == "task.address_refused"


def test_a_script_is_told_in_the_name_of_a_container_only() -> None:
    assert refusal(scripts=False, callback_url="http://exec-1.bawn.internal/done") == "task.address_refused"


def test_two_words_for_one_address_do_not_differ() -> None:
    url = "https://hooks.example.org/"
    assert asked(callback_url=url, report_to=url).callback == url
    assert refusal(callback_url=url, report_to=url + "other") == "api.invalid"


def test_the_path_of_a_script_is_kept_with_its_query() -> None:
    found = script_callback("http://exec-Two.bawn.internal/api/done?task=1")
    assert found is not None
    assert (found.exec, found.path) == ("two", "/api/done?task=1")
    bare = script_callback("http://exec-1.bawn.internal")
    assert bare is not None
    assert bare.path == "/"


def test_a_prompt_is_one_word_behind_the_options_and_is_never_filled_in() -> None:
    words = command(Tasks().commands["code"], "--share {model}; rm -rf /", "m", MODELS)
    assert words == ["opencode", "run", "--", "--share {model}; rm -rf /"]
    assert command(("x", "-m={model}", "{base_url}", PROMPT), "p", "a/b", MODELS) == ["x", "-m=a/b", MODELS, "p"]


@pytest.mark.parametrize(
    "words",
    [("opencode",), (PROMPT,), ("sh", "-c", f"echo {PROMPT}"), ("x", PROMPT, PROMPT), ("x", PROMPT, f"a{PROMPT}")],
)
def test_a_command_has_the_prompt_once_as_a_word_of_its_own(words: tuple[str, ...]) -> None:
    with pytest.raises(ValidationError):
        Tasks(commands={"code": words})


@pytest.mark.parametrize("callback", ["", "a/b", "ftp://a", "https://u@a", "a?b", "http://a/x", "*"])
def test_an_allowed_callback_is_a_host_and_nothing_more(callback: str) -> None:
    with pytest.raises(ValidationError):
        Tasks(callbacks=(callback,))
