"""Which values of `anthropic-beta` go on to the provider.

A beta changes what a request means, and some open a way out: tools that the provider runs, files that it keeps.
So a value passes when it stands here as harmless, or belongs to a tool of the provider that the request asks
for, since that one was permitted before. Every other value is left out, also those that nobody here knows yet:
clients name a row of betas with each request and do without those that are not granted.
"""

from __future__ import annotations

from collections.abc import Iterable

from bawn.terms.exchange import HostedTool

HARMLESS = (
    "adaptive-thinking-", "claude-code-", "compact-", "computer-use-", "context-1m-", "context-management-", "effort-",
    "extended-cache-ttl-", "fast-mode-", "fine-grained-tool-streaming-", "interleaved-thinking-", "max-tokens-",
    "model-context-window-exceeded-", "output-128k-", "pdfs-", "prompt-caching-", "redact-thinking-", "search-results-",
    "structured-outputs-", "task-budgets-", "token-counting-", "token-efficient-tools-", "tool-examples-",
)  # fmt: skip
"""Beginnings, before the date: how the model thinks, counts, caches and writes, and tools that run inside."""
WITH_TOOLS = (
    ("advanced-tool-use-", "tool_search_tool_"),
    ("advisor-", "advisor_"),
    ("code-execution-", "code_execution_"),
    ("mcp-client-", "mcp_"),
    ("skills-", "container.skills"),
    ("web-fetch-", "web_fetch_"),
    ("web-search-", "web_search_"),
)
"""Beginnings, and how the type of the provider's tool begins that they are for."""

FOR_OBJECTS = ("files-api-", "message-batches-")
"""Beginnings of those that let a request name what is kept, whose ids were looked at before."""

_LONGEST = 64


def passed_betas(value: bytes, hosted: Iterable[HostedTool], *, kept: bool = False) -> bytes:
    """The part of the header that goes on; empty when nothing does. `kept`: the call is about objects of its own."""
    tools = tuple(tool.type for tool in hosted)
    starts = (*HARMLESS, *FOR_OBJECTS) if kept else HARMLESS
    betas = (beta.strip() for beta in value.decode("latin-1").split(","))
    return ",".join(beta for beta in betas if len(beta) <= _LONGEST and _passes(beta, tools, starts)).encode("latin-1")


def _passes(beta: str, tools: tuple[str, ...], starts: tuple[str, ...]) -> bool:
    return _is_dated(beta, starts) or any(
        _is_dated(beta, (start,)) and any(tool.startswith(of) for tool in tools) for start, of in WITH_TOOLS
    )


def _is_dated(beta: str, starts: tuple[str, ...]) -> bool:
    """Whether it is one of these with a date behind it and nothing else, so that no other beta can begin like it."""
    return any(beta.startswith(start) and _DATE.issuperset(beta[len(start) :]) for start in starts)


_DATE = frozenset("0123456789-")
