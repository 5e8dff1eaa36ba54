"""The environment inside a container by which SDKs and coding agents find the door and stay on it.

The official packages of OpenAI, Anthropic and Google, OpenCode, Claude Code, Codex and the Gemini CLI read these
names and then work unchanged. Nothing here grants anything: the wall is the empty network namespace. What these values spare
is waiting, since an agent that tries updates, telemetry or downloads would each time run into a timeout
or an error. The keys are the container's own token, worth nothing anywhere else.

Found by running OpenCode 1.18, Claude Code 2.1 and Codex 0.169 in a namespace with nothing but the door, the Gemini
CLI 0.61 at a door on loopback, and by watching their `connect` calls. Standard library only: the supervisor reads this file.
"""

from __future__ import annotations

import json

from bawn.terms.door import PLACES, DoorKind

_ORIGIN = f"http://{PLACES[DoorKind.AI].hostname}"
_API = "/api/v1"
BASE_URL = f"{_ORIGIN}{_API}"
"""Where models are, for every container."""

QUIET: dict[str, str] = {
    # OpenCode: no self-update, no model list from the network, no language servers, no plugins from npm.
    "OPENCODE_DISABLE_AUTOUPDATE": "1",
    "OPENCODE_DISABLE_MODELS_FETCH": "1",
    "OPENCODE_DISABLE_LSP_DOWNLOAD": "1",
    "OPENCODE_DISABLE_DEFAULT_PLUGINS": "1",
    "OPENCODE_DISABLE_SHARE": "1",
    # Claude Code: no telemetry, error reports, update checks, feedback surveys or marketplace.
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "CLAUDE_CODE_DISABLE_FEEDBACK_SURVEY": "1",
    "CLAUDE_CODE_DISABLE_OFFICIAL_MARKETPLACE_AUTOINSTALL": "1",
    "DISABLE_AUTOUPDATER": "1",
    "DISABLE_TELEMETRY": "1",
    "DISABLE_ERROR_REPORTING": "1",
    # LiteLLM: the prices that it holds, not those of the network.
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    # Package managers and libraries that look for news of themselves.
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "NPM_CONFIG_UPDATE_NOTIFIER": "false",
    "NPM_CONFIG_FUND": "false",
    "NPM_CONFIG_AUDIT": "false",
    "DO_NOT_TRACK": "1",
}

_CLAUDE_MODELS = (
    "ANTHROPIC_MODEL",
    "ANTHROPIC_SMALL_FAST_MODEL",
    "ANTHROPIC_DEFAULT_HAIKU_MODEL",
    "ANTHROPIC_DEFAULT_SONNET_MODEL",
    "ANTHROPIC_DEFAULT_OPUS_MODEL",
)
"""All roles in which Claude Code names a model; left unset it names ones that this installation may not have."""


def agent_environment(
    name: str, number: int, *, model: str = "default", wire: str = "openai", base_url: str = BASE_URL
) -> dict[str, str]:
    """The variables of the container `name`, whose agents ask for `model`, OpenCode by `wire` (openai|anthropic).

    `base_url`: of the door that they take, ending in /api/v1.
    """
    token = f"container-{name}"
    origin = base_url.removesuffix(_API)
    return {
        "OPENAI_BASE_URL": base_url,
        "OPENAI_API_KEY": token,
        "ANTHROPIC_BASE_URL": origin,
        "ANTHROPIC_API_KEY": token,
        "GOOGLE_GEMINI_BASE_URL": origin,
        # Not GOOGLE_API_KEY as well: with both, Google's packages warn of it each time.
        "GEMINI_API_KEY": token,
        "GEMINI_MODEL": model,
        # The door is reached directly whatever proxy a later configuration sets.
        "NO_PROXY": "localhost,127.0.0.0/8,.bawn.internal",
        "no_proxy": "localhost,127.0.0.0/8,.bawn.internal",
        "BAWN_CONTAINER": name,
        "BAWN_CONTAINER_NUMBER": str(number),
        # Claude Code refuses to skip its permission questions as root unless it is told that a wall stands.
        "IS_SANDBOX": "1",
        **dict.fromkeys(_CLAUDE_MODELS, model),
        **QUIET,
        "OPENCODE_CONFIG_CONTENT": _opencode(token, model, wire, origin),
    }


_CODEX = f"""\
model = "default"
model_provider = "bawn"
# The container is the sandbox, and what leaves it is decided at its doors.
sandbox_mode = "danger-full-access"
approval_policy = "never"
# It would run at the provider, outside the wall.
web_search = "disabled"
check_for_update_on_startup = false

[model_providers.bawn]
name = "Bawn"
base_url = "{BASE_URL}"
env_key = "OPENAI_API_KEY"
wire_api = "responses"
env_http_headers = {{ "x-bawn-tags" = "BAWN_TAGS" }}

[analytics]
enabled = false
"""
"""Codex reads its provider from a file alone."""

_GEMINI = {
    "security": {"auth": {"selectedType": "gemini-api-key"}, "folderTrust": {"enabled": False}},
    "privacy": {"usageStatisticsEnabled": False},
    "general": {"enableAutoUpdate": False, "enableAutoUpdateNotification": False},
}
"""The Gemini CLI takes a base URL for a way to log in of its own, unless it is told that there is a key."""


def agent_files(name: str, workspace: str) -> dict[str, str]:
    """Small files for the home folder, by their path in it: what no variable can say.

    Claude Code's terminal otherwise begins by asking the network whether it is there, and waits; then it asks
    whether the key may be used, of which it remembers the last twenty characters, and whether the folder is trusted.
    """
    return {
        ".claude.json": json.dumps(
            {
                "hasCompletedOnboarding": True,
                "customApiKeyResponses": {"approved": [f"container-{name}"[-20:]], "rejected": []},
                "projects": {workspace: {"hasTrustDialogAccepted": True, "allowedTools": []}},
            }
        ),
        ".codex/config.toml": _CODEX,
        ".gemini/settings.json": json.dumps(_GEMINI),
    }


def _opencode(token: str, model: str, wire: str, origin: str) -> str:
    """OpenCode's configuration as it reads it from the environment, above every file of the project."""
    if wire == "anthropic":
        # Its Anthropic client adds `/messages` to the base URL.
        package, address = "@ai-sdk/anthropic", f"{origin}/v1"
    else:
        package, address = "@ai-sdk/openai-compatible", origin + _API
    described = {"name": model, "tool_call": True, "limit": {"context": 200_000, "output": 32_000}}
    return json.dumps(
        {
            "autoupdate": False,
            "share": "disabled",
            "enabled_providers": ["bawn"],
            "model": f"bawn/{model}",
            "small_model": f"bawn/{model}",
            "permission": {"webfetch": "deny", "websearch": "deny"},
            "provider": {
                "bawn": {
                    "npm": package,
                    "name": "Bawn",
                    "options": {"baseURL": address, "apiKey": token},
                    "models": {model: described},
                }
            },
        },
        separators=(",", ":"),
    )
