"""The dialects of all agents that report, by the name in their path."""

from __future__ import annotations

from collections.abc import Mapping

from bawn.adapters.claude_code import ClaudeCode
from bawn.adapters.codex import Codex
from bawn.adapters.opencode import OpenCode
from bawn.adapters.report import Dialect

DIALECTS: Mapping[str, Dialect] = {"opencode": OpenCode(), "claude-code": ClaudeCode(), "codex": Codex()}
