"""The environment by which programs inside name tags: what the official packages really send."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import anthropic
import openai
import pytest

from bawn.sandbox.spec import ENV_COUNT_LIMIT, ENV_NAME
from bawn.sandbox.tags_env import tagged, tags_environment


class Listener(BaseHTTPRequestHandler):
    heard: list[str]

    def do_POST(self) -> None:
        self.heard.append(self.headers.get("x-bawn-tags", ""))
        self.send_error(400)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name in the base class
        """Nothing."""


@pytest.fixture
def door() -> Iterator[tuple[str, list[str]]]:
    heard: list[str] = []
    server = HTTPServer(("127.0.0.1", 0), type("OfThisTest", (Listener,), {"heard": heard}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", heard
    server.shutdown()
    server.server_close()


def test_the_official_packages_send_what_the_variable_names(
    door: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, heard = door
    for name, value in tagged({"BAWN_TAGS": "prod, night"}).items():
        monkeypatch.setenv(name, value)
    with contextlib.suppress(openai.OpenAIError):
        openai.OpenAI(base_url=f"{url}/v1", api_key="x", max_retries=0).chat.completions.create(model="m", messages=[])
    with contextlib.suppress(anthropic.AnthropicError):
        anthropic.Anthropic(base_url=url, api_key="x", max_retries=0).messages.create(
            model="m", messages=[], max_tokens=1
        )
    assert heard == ["prod,night", "prod,night"]


def test_headers_of_the_operators_own_stay_and_come_first() -> None:
    given = tagged(
        {"BAWN_TAGS": "prod", "OPENAI_CUSTOM_HEADERS": "a: b", "ANTHROPIC_CUSTOM_HEADERS": "X-Bawn-Tags: own"}
    )
    assert given["OPENAI_CUSTOM_HEADERS"] == "a: b\nx-bawn-tags: prod"
    assert given["ANTHROPIC_CUSTOM_HEADERS"] == "X-Bawn-Tags: own"


@pytest.mark.parametrize("said", ["", " , ", "bad tag", "x\nauthorization: y", "é", "-x", "x" * 65])
def test_what_is_no_tag_becomes_no_header(said: str) -> None:
    assert tagged({"BAWN_TAGS": said, "A": "b"}) == {"BAWN_TAGS": said, "A": "b"}


def test_without_tags_nothing_is_said() -> None:
    assert tags_environment(()) == {}
    assert tagged({"A": "b"}) == {"A": "b"}
    assert tags_environment(("prod", "night")) == {"BAWN_TAGS": "prod,night"}


def test_the_supervisor_takes_them() -> None:
    given = tagged({"BAWN_TAGS": "prod"})
    assert len(given) < ENV_COUNT_LIMIT
    assert all(ENV_NAME.fullmatch(name) for name in given)
