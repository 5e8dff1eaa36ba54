"""Where each wire says what was used. What is not a sane count is not believed: None, never zero."""

from __future__ import annotations

from typing import Any

from msgspec import structs

from bawn.terms.exchange import Usage


def openai_usage(read: Any) -> Usage | None:
    """The `usage` of an answer or of the last chunk of a stream."""
    if not isinstance(read, dict):
        return None
    prompt, completion = _count(read, "prompt_tokens"), _count(read, "completion_tokens")
    if prompt is None:
        return None
    return Usage(
        input_tokens=prompt,
        output_tokens=completion or 0,
        cached_tokens=_count(read.get("prompt_tokens_details"), "cached_tokens") or 0,
        reasoning_tokens=_count(read.get("completion_tokens_details"), "reasoning_tokens") or 0,
    )


def responses_usage(read: Any) -> Usage | None:
    """The `usage` of a response."""
    taken, given = _count(read, "input_tokens"), _count(read, "output_tokens")
    if taken is None:
        return None
    return Usage(
        input_tokens=taken,
        output_tokens=given or 0,
        cached_tokens=_count(read.get("input_tokens_details"), "cached_tokens") or 0,
        cache_write_tokens=_count(read.get("input_tokens_details"), "cache_write_tokens") or 0,
        reasoning_tokens=_count(read.get("output_tokens_details"), "reasoning_tokens") or 0,
    )


def converse_usage(read: Any) -> Usage | None:
    """The `usage` of Converse, which counts cached tokens beside the input."""
    fresh, output = _count(read, "inputTokens"), _count(read, "outputTokens")
    if fresh is None:
        return None
    cached, written = _count(read, "cacheReadInputTokens") or 0, _count(read, "cacheWriteInputTokens") or 0
    return Usage(fresh + cached + written, output or 0, cached, written)


def anthropic_usage(read: Any, before: Usage | None = None) -> Usage | None:
    """The `usage` of an answer, or of `message_delta`, whose counts are cumulative and replace those before."""
    if not isinstance(read, dict):
        return before
    fresh, written = _count(read, "input_tokens"), _count(read, "cache_creation_input_tokens")
    cached, output = _count(read, "cache_read_input_tokens"), _count(read, "output_tokens")
    if before is None:
        if fresh is None:
            return None
        # Anthropic counts cached tokens beside the input, OpenAI within it; ours are within it.
        return Usage(fresh + (cached or 0) + (written or 0), output or 0, cached or 0, written or 0)
    if fresh is not None:
        cached = before.cached_tokens if cached is None else cached
        written = before.cache_write_tokens if written is None else written
        before = structs.replace(
            before, input_tokens=fresh + cached + written, cached_tokens=cached, cache_write_tokens=written
        )
    return structs.replace(before, output_tokens=output) if output is not None else before


def gemini_usage(read: Any, before: Usage | None = None) -> Usage | None:
    """The `usageMetadata` of an answer, or of a frame, whose counts are of all that was said so far."""
    asked = _count(read, "promptTokenCount")
    if asked is None:
        return before
    # What the provider's own tools found is asked as well; thoughts are counted beside the answer.
    thought = _count(read, "thoughtsTokenCount") or 0
    return Usage(
        input_tokens=asked + (_count(read, "toolUsePromptTokenCount") or 0),
        output_tokens=(_count(read, "candidatesTokenCount") or 0) + thought,
        cached_tokens=_count(read, "cachedContentTokenCount") or 0,
        reasoning_tokens=thought,
    )


def _count(read: Any, name: str) -> int | None:
    if type(read) is not dict:
        return None
    value = read.get(name)
    return value if type(value) is int and value >= 0 else None
