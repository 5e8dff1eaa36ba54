"""The clients that are tried, each at one exact version: what `docs/clients.md` shows is this table."""

from __future__ import annotations

PYTHON: dict[str, dict[str, str]] = {
    "openai": {"openai": "3.52.0"},
    "anthropic": {"anthropic": "2.11.0"},
    "google-genai": {"google-genai": "3.4.0"},
    "langchain": {
        "langchain-openai": "1.7.3",
        "langchain-anthropic": "1.7.7",
        "langchain-google-genai": "4.4.2",
    },
    "llamaindex": {
        "llama-index-llms-openai": "0.8.3",
        "llama-index-llms-openai-like": "0.8.1",
        "llama-index-llms-anthropic": "0.12.3",
        "anthropic": "0.125.0",  # with the later series, this LlamaIndex does not work
    },
    "pydantic-ai": {"pydantic-ai-slim[openai,anthropic,google]": "2.68.0"},
    "litellm": {"litellm": "1.106.2", "mcp": "2.3.0"},
    "aider": {"aider-chat": "0.86.2"},
}
"""What each environment of Python holds; what the packages need beside is chosen by pip."""

NODE: dict[str, dict[str, str]] = {
    "openai-ts": {"openai": "6.49.0"},
    "anthropic-ts": {"@anthropic-ai/sdk": "1.11.0"},
    "google-genai-ts": {"@google/genai": "2.32.0"},
    "opencode": {"opencode-ai": "1.18.33"},
    "claude-code": {"@anthropic-ai/claude-code": "2.1.330"},
    "codex": {"@openai/codex": "0.169.0"},
    "gemini-cli": {"@google/gemini-cli": "0.61.0"},
    "cline": {"cline": "3.0.65"},
    "continue": {"@continuedev/cli": "1.5.47"},
}

CHECKING: dict[str, dict[str, str]] = {
    "opencode-plugin": {"@opencode-ai/plugin": "1.18.33", "@types/node": "24.12.2", "typescript": "5.8.2"},
}
"""What is no client, but what something of ours for one is checked by."""
