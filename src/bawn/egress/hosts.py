"""Names of hosts, in the one form in which they are compared, resolved and shown.

What is compared must be what is dialled: a name that two programs could read in two ways is refused, never mended. So
there is one spelling (lower case, no trailing dot), only letters, digits and hyphens, names in other scripts only as the
ASCII that DNS carries (`xn--…`), and nothing that any resolver could take for an address: a name whose last label is a
number is one to somebody (RFC 3986 §3.2.2, WHATWG URL "ends in a number").
"""

from __future__ import annotations

import re

_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\Z")
"""Letters, digits, hyphens within (RFC 952, RFC 1123), and the underscore that some real names have."""
_NUMBER = re.compile(r"([0-9]+|0[xX][0-9a-fA-F]*)\Z")
_PORT = re.compile(r"[1-9][0-9]{0,4}\Z")
_LONGEST = 253


class BadHostError(ValueError):
    """A name that is none, with a sentence that says why."""


def normal_host(text: str) -> str:
    """The name in its one form. BadHostError for everything else, addresses in all their spellings included."""
    if not text.isascii():
        raise BadHostError("A name must be in ASCII; write other scripts in the form xn--….")
    if "[" in text or "]" in text or ":" in text:
        raise BadHostError("An address is not a name; only names can be allowed.")
    host = text.lower().removesuffix(".")
    if not host:
        raise BadHostError("The name is empty.")
    if len(host) > _LONGEST:
        raise BadHostError(f"A name has {_LONGEST} characters at most.")
    labels = host.split(".")
    if not all(map(_LABEL.match, labels)):
        raise BadHostError("A name consists of labels of letters, digits and hyphens with dots between them.")
    if _NUMBER.match(labels[-1]):
        raise BadHostError("An address is not a name; only names can be allowed.")
    return host


def host_port(text: str) -> tuple[str, int]:
    """`name:port`, as CONNECT has it (RFC 9110 §9.3.6). BadHostError; the port is never guessed."""
    name, colon, port = text.rpartition(":")
    if not colon:
        raise BadHostError("The port is missing; write name:port.")
    return normal_host(name), read_port(port)


def read_port(text: str) -> int:
    if not _PORT.match(text) or int(text) > 65535:
        raise BadHostError("A port is a number from 1 to 65535.")
    return int(text)


def normal_pattern(text: str) -> str:
    """A name, or `*.name` for what is below it (and not the name itself)."""
    if text.startswith("*."):
        below = normal_host(text[2:])
        if "." not in below:
            raise BadHostError("A pattern for a whole top-level domain is not a rule.")
        return "*." + below
    return normal_host(text)


def matches(pattern: str, host: str) -> bool:
    """Whether a normal pattern means a normal name: the whole of it, or below it at a dot."""
    if pattern.startswith("*."):
        return host.endswith(pattern[1:]) and len(host) > len(pattern) - 1
    return host == pattern
