"""A notice: a few words to the people who run an installation, with links.

What stands in one may come from an agent, so it is bounded and whatever cannot be seen in it is written out; a link is an
http(s) address or a path of our own, and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from urllib.parse import urlsplit

from msgspec import structs

from bawn.errors import Fault, quoted
from bawn.terms.value import Value
from bawn.terms.visible import shortened, visible

TITLE, MESSAGE, LABEL, ICON, URL, ACTIONS = 200, 4000, 80, 64, 2000, 8
"""Characters of each text, and how many actions there may be."""


class Priority(StrEnum):
    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"
    URGENT = "urgent"


class Action(Value, frozen=True):
    label: str
    url: str
    """Of http or https, or a path such as `/api/approve?id=…`, which becomes absolute on the way out."""
    method: str = "GET"


class Notice(Value, frozen=True):
    title: str
    message: str = ""
    priority: Priority = Priority.NORMAL
    icon: str = ""
    actions: tuple[Action, ...] = ()


def sound(notice: Notice, redact: Callable[[str], str]) -> Notice:
    """As it may go out: without secrets, nothing in it that is not seen, texts cut. Fault `api.invalid` for a wrong link."""
    if not notice.title.strip():
        raise Fault("api.invalid", "A notice needs a title.")
    if len(notice.actions) > ACTIONS:
        raise Fault("api.invalid", f"A notice has {ACTIONS} actions at most.")

    def line(text: str, limit: int) -> str:
        return shortened(visible(redact(text)), limit)

    return structs.replace(
        notice,
        title=line(notice.title, TITLE),
        message=shortened(visible(redact(notice.message), keep="\n\t"), MESSAGE),
        icon=line(notice.icon, ICON),
        actions=tuple(
            Action(line(action.label, LABEL), _link(action.url, redact), _method(action.method))
            for action in notice.actions
        ),
    )


def _method(method: str) -> str:
    if method not in ("GET", "POST"):
        raise Fault("api.invalid", f"An action cannot have the method {quoted(method)}.", remedy="Use GET or POST.")
    return method


def _link(url: str, redact: Callable[[str], str]) -> str:
    def refused() -> Fault:
        return Fault(
            "api.invalid",
            f"{quoted(url)} cannot be the link of an action.",
            remedy="Use an http(s) address, or a path that begins with one slash.",
        )

    if len(url) > URL or not url.isascii() or not url.isprintable() or set(url) & set(' \\"<>'):
        raise refused()
    try:
        parts = urlsplit(url)
        named = bool(parts.hostname) and "@" not in parts.netloc
    except ValueError:
        raise refused() from None
    own = not parts.scheme and not parts.netloc and url.startswith("/") and not url.startswith("//")
    if not own and not (parts.scheme in ("http", "https") and named):
        raise refused()
    return redact(url)
