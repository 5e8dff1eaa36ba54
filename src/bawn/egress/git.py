"""One git repository over HTTPS, and no more of the forge than that (git's http-protocol and pack-protocol documents).

Fetching is free. A push says in its first lines which references it wants to change, before any object comes; those lines
are read here, and the push goes on only when every one of them is a branch that the rule names. Tags, notes, other
references and the forge's own pages and API are not part of a rule for git. A pattern never covers the branches that
repositories deploy from by custom; who means one of these has to name it.
"""

from __future__ import annotations

import re

from msgspec import Struct

from bawn.egress.reasons import Denied

FETCH, PUSH = b"git-upload-pack", b"git-receive-pack"
START_LIMIT = 64 * 1024
"""Bytes in which a push must have said what it wants to change."""
CUSTOMARY = frozenset({"main", "master", "trunk", "production", "release", "gh-pages"})
_BRANCH = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,199}\Z")
_REPOSITORY = re.compile(r"/[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)+\Z")
_COMMAND = re.compile(rb"([0-9a-f]{40}|[0-9a-f]{64}) ([0-9a-f]{40}|[0-9a-f]{64}) ([!-~]{1,400})\Z")
_HEADS = "refs/heads/"
_PROBE = b"0000"
"""What git sends before a long push to see whether it may; it changes nothing."""


class Repository(Struct, frozen=True):
    """What a rule for git allows."""

    path: str
    """`/owner/name`, without `.git`."""
    push: tuple[str, ...] = ()
    """Branches that may be pushed to; one that ends in `/*` means all below."""


class Change(Struct, frozen=True):
    """One reference that a push wants to change."""

    old: str
    new: str
    reference: str


def repository_of(path: str, push: tuple[str, ...]) -> Repository:
    """ValueError, with a sentence, for what cannot be a repository or a branch."""
    path = path.removesuffix("/").removesuffix(".git")
    if not _REPOSITORY.match(path) or ".." in path or "/." in path:
        raise ValueError("a repository is written as owner/name")
    for branch in push:
        name = branch.removesuffix("/*")
        if not _BRANCH.match(name) or ".." in name or "//" in name or name.endswith(("/", ".lock", ".")):
            raise ValueError("a branch is written by its name, or as name/* for all below")
    return Repository(path, push)


def service(repository: Repository, method: bytes, target: bytes) -> bytes:
    """Which of git's two services a request is for. Denied for whatever is neither."""
    path, _, query = target.partition(b"?")
    for base in (repository.path.encode(), repository.path.encode() + b".git"):
        if method == b"GET" and path == base + b"/info/refs":
            for each in (FETCH, PUSH):
                if query == b"service=" + each:
                    return _may(repository, each)
        if method == b"POST" and not query:
            for each in (FETCH, PUSH):
                if path == base + b"/" + each:
                    return _may(repository, each)
    raise Denied(
        "egress.path_not_allowed", "The rule allows one git repository here, and this is no request of git for it."
    )


def changes(body: bytes) -> list[Change] | None:
    """What a push wants to change; None when its first lines are not whole yet. Denied when they cannot be read."""
    found: list[Change] = []
    at = 0
    while True:
        size = body[at : at + 4]
        if len(size) < 4:
            break
        if size == b"0000":
            return found
        length = _length(size)
        if len(body) < at + length:
            break
        line = body[at + 4 : at + length].removesuffix(b"\n")
        at += length
        if not found:
            line = line.partition(b"\0")[0]  # capabilities follow the first one
        if line.startswith(b"shallow "):
            continue
        match = _COMMAND.match(line)
        if match is None:
            # Signed pushes say it in another form; what cannot be read is not let through.
            raise Denied("egress.malformed", "The push does not say what it changes in a way that can be read.")
        found.append(Change(match[1].decode(), match[2].decode(), match[3].decode()))
    if len(body) > START_LIMIT:
        raise Denied("egress.malformed", "The push wants to change too much at once.")
    return None


def permit(repository: Repository, wanted: list[Change]) -> None:
    """Denied unless every change is of a branch that the rule names."""
    if not wanted:
        raise Denied("egress.malformed", "The push changes nothing.")
    for change in wanted:
        branch = change.reference.removeprefix(_HEADS)
        if not change.reference.startswith(_HEADS) or not any(_covers(each, branch) for each in repository.push):
            sentence = f"The rule does not allow a push to {change.reference}."
            raise Denied("egress.push_not_allowed", sentence)


def judge_push(repository: Repository, begun: bytes, *, encoded: bool) -> None:
    """Denied unless the first bytes of a push say that it changes nothing but what it may."""
    if encoded:
        raise Denied("egress.malformed", "A push is sent as it is, without content-encoding.")
    if begun == _PROBE:
        return
    wanted = changes(begun)
    if wanted is None:
        raise Denied("egress.malformed", "The push ends before it says what it changes.")
    permit(repository, wanted)


def _may(repository: Repository, wanted: bytes) -> bytes:
    if wanted == PUSH and not repository.push:
        raise Denied("egress.push_not_allowed", "The rule allows fetching from this repository, and no push.")
    return wanted


def _covers(pattern: str, branch: str) -> bool:
    if pattern.endswith("/*"):
        return branch.startswith(pattern[:-1]) and len(branch) > len(pattern) - 1 and branch not in CUSTOMARY
    return branch == pattern


def _length(size: bytes) -> int:
    try:
        length = int(size, 16) if re.fullmatch(rb"[0-9a-fA-F]{4}", size) else 0
    except ValueError:
        length = 0
    if length <= 4:
        raise Denied("egress.malformed", "The push does not begin with lines of git's pack protocol.")
    return length
