"""A tool call as a model proposed it, whole."""

from __future__ import annotations

from msgspec import Struct


class ToolCall(Struct, frozen=True):
    id: str
    name: str
    arguments_raw: str
    """The argument text exactly as the model wrote it, joined over all stream frames; may be invalid JSON."""
    hosted: str = ""
    """The tool of the provider that was run, by the name that a request asks for it, where the answer tells of one."""
    free: bool = False
    """Whether the tool takes a text instead of a JSON object."""
