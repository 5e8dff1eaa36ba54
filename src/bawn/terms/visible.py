"""Text of agents, made safe to be looked at.

An escape sequence could repaint a screen, and a bidirectional override could make one command look like another.
Whatever is not seen is therefore written out, `\\x1b` for instance. Every place that shows such text, the terminal, a
page or a notice, takes it from here.
"""

from __future__ import annotations

import unicodedata

_HIDDEN = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
"""Controls, format characters (bidirectional ones among them), surrogates, unassigned, line separators."""


def visible(text: str, keep: str = "") -> str:
    """The text with everything invisible written out, but for the characters in `keep`."""
    return "".join(
        c if c in keep or unicodedata.category(c) not in _HIDDEN else c.encode("unicode_escape").decode("ascii")
        for c in text
    )


def shortened(text: str, limit: int) -> str:
    """At most `limit` characters; what is left out is said."""
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text) - limit} more characters)"
