"""The environment by which agents find the door."""

from __future__ import annotations

import json
import tomllib

import pytest
from google import genai

from bawn.sandbox.agent_env import BASE_URL, agent_environment, agent_files
from bawn.sandbox.spec import ENV_COUNT_LIMIT, ENV_NAME, ENV_VALUE_LIMIT


def test_every_credential_inside_is_the_containers_own_token() -> None:
    given = agent_environment("dev", 7)
    assert {value for name, value in given.items() if name.endswith("_KEY")} == {"container-dev"}
    assert json.loads(given["OPENCODE_CONFIG_CONTENT"])["provider"]["bawn"]["options"]["apiKey"] == "container-dev"


def test_every_address_inside_is_the_door() -> None:
    given = agent_environment("dev", 7)
    assert given["OPENAI_BASE_URL"] == "http://ai.bawn.internal/api/v1"
    # The Anthropic packages add `/v1/messages` themselves.
    assert given["ANTHROPIC_BASE_URL"] == "http://ai.bawn.internal"
    # And Google's `/v1beta/models/…`.
    assert given["GOOGLE_GEMINI_BASE_URL"] == "http://ai.bawn.internal"


def test_every_address_inside_is_another_door_where_that_is_wanted() -> None:
    given = agent_environment("dev", 7, model="scripted/agent", base_url="http://exec-1.bawn.internal/api/v1")
    assert given["OPENAI_BASE_URL"] == "http://exec-1.bawn.internal/api/v1"
    assert given["ANTHROPIC_BASE_URL"] == "http://exec-1.bawn.internal"
    assert "ai.bawn.internal" not in "".join(given.values())
    assert json.loads(given["OPENCODE_CONFIG_CONTENT"])["model"] == "bawn/scripted/agent"


def test_googles_package_finds_door_and_token_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in agent_environment("dev", 7).items():
        if name.startswith(("GOOGLE_", "GEMINI_")):
            monkeypatch.setenv(name, value)
    options = genai.Client()._api_client._http_options
    assert options.base_url == "http://ai.bawn.internal"
    assert options.headers is not None
    assert options.headers["x-goog-api-key"] == "container-dev"


@pytest.mark.parametrize(
    ("wire", "package", "address"),
    [
        ("openai", "@ai-sdk/openai-compatible", "http://ai.bawn.internal/api/v1"),
        ("anthropic", "@ai-sdk/anthropic", "http://ai.bawn.internal/v1"),
    ],
)
def test_opencode_speaks_the_wire_that_it_is_told(wire: str, package: str, address: str) -> None:
    told = json.loads(agent_environment("dev", 7, model="a/b", wire=wire)["OPENCODE_CONFIG_CONTENT"])
    provider = told["provider"]["bawn"]
    assert (provider["npm"], provider["options"]["baseURL"]) == (package, address)
    assert told["model"] == told["small_model"] == "bawn/a/b"
    assert list(provider["models"]) == ["a/b"]


def test_a_container_can_be_given_all_of_it() -> None:
    given = agent_environment("d" * 63, 2**26, model="scripted/" + "m" * 100)
    assert len(given) < ENV_COUNT_LIMIT / 2
    assert all(ENV_NAME.match(name) and len(value) < ENV_VALUE_LIMIT for name, value in given.items())


def test_claude_code_is_spared_the_questions_that_need_a_network() -> None:
    told = json.loads(agent_files("d" * 63, "/workspace")[".claude.json"])
    assert told["hasCompletedOnboarding"] is True
    assert told["customApiKeyResponses"]["approved"] == ["d" * 20]
    assert "/workspace" in told["projects"]


def test_the_gemini_cli_is_told_that_there_is_a_key_and_nothing_to_report() -> None:
    told = json.loads(agent_files("dev", "/workspace")[".gemini/settings.json"])
    assert told["security"]["auth"]["selectedType"] == "gemini-api-key"
    assert told["privacy"]["usageStatisticsEnabled"] is told["general"]["enableAutoUpdate"] is False


def test_codex_asks_at_the_door_and_for_nothing_that_the_provider_would_run() -> None:
    told = tomllib.loads(agent_files("dev", "/workspace")[".codex/config.toml"])
    assert told["model_providers"][told["model_provider"]]["base_url"] == BASE_URL
    assert told["web_search"] == "disabled"
