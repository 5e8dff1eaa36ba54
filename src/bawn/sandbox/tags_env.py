"""The environment by which programs inside name tags of their conversations: one variable, and what SDKs make headers of.

`BAWN_TAGS` is read by the agents that Bawn knows. The official Python packages of OpenAI and Anthropic, and Claude Code, send
headers that a variable of their own holds, a line each; Google's package has none. Standard library only, as this room.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

TAGS = "BAWN_TAGS"
HEADER = "x-bawn-tags"
_HEADERS = ("OPENAI_CUSTOM_HEADERS", "ANTHROPIC_CUSTOM_HEADERS")
_TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}")


def tags_environment(tags: Iterable[str]) -> dict[str, str]:
    """Of a container with these tags, which the gateway knows without being told."""
    said = ",".join(tags)
    return {TAGS: said} if said else {}


def tagged(environment: Mapping[str, str]) -> dict[str, str]:
    """The same, with the tags that it names in the variables of SDKs, unless those name some already."""
    tags = [each for word in environment.get(TAGS, "").split(",") if _TAG.fullmatch(each := word.strip())]
    if not tags:
        return dict(environment)
    line = f"{HEADER}: {','.join(tags)}"
    said = {name: environment.get(name, "") for name in _HEADERS}
    return {
        **environment,
        **{name: f"{lines}\n{line}".strip() for name, lines in said.items() if HEADER not in lines.lower()},
    }
