"""What one container may reach, and the decision: deny, until a rule allows it.

Rules only add: their order means nothing, and no rule takes back what another gives. Before any rule stand the hosts of
model providers (models are reached through the AI door only) and the names of metadata services. A rule that looks at
requests (methods, paths) or puts a credential in needs TLS to end at the door, and is held to where that can be done: an
exact name, on 443, or unencrypted on 80.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote_to_bytes

from msgspec import Struct

from bawn.egress.git import Repository, repository_of
from bawn.egress.hosts import BadHostError, matches, normal_pattern, read_port
from bawn.egress.reasons import Denied
from bawn.errors import Fault, quoted

PLAIN, TLS = 80, 443
METADATA_NAMES = frozenset({"metadata", "metadata.google.internal", "instance-data", "metadata.azure.internal"})
_PATH = re.compile(rb"/[!-~]*\Z")
_FIELDS = frozenset({"host", "ports", "methods", "paths", "bytes", "seconds", "credential", "git", "push"})
GIT = "@git:"


class Rule(Struct, frozen=True):
    """One place that may be reached."""

    host: str
    """A normal name, or `*.name`."""
    ports: tuple[int, ...] = (TLS,)
    methods: tuple[str, ...] = ()
    """Empty: all."""
    paths: tuple[str, ...] = ()
    """Beginnings of paths; one that does not end in a slash means that path and what is below it. Empty: all."""
    bytes: int | None = None
    """That may be sent there, in the life of the container."""
    seconds: float | None = None
    """That one connection may last."""
    credential: str | None = None
    git: Repository | None = None
    """The one repository that this rule is for; then methods and paths follow from it."""
    source: str = ""
    """Where the rule comes from, for explanations."""

    @property
    def terminated(self) -> bool:
        """Whether TLS has to end at the door for it."""
        return bool(self.methods or self.paths or self.credential or self.git)


class Policy(Struct, frozen=True):
    uuid: str
    name: str
    rules: tuple[Rule, ...]
    provider_hosts: frozenset[str] = frozenset()
    version: int = 0


class Asked(Struct, frozen=True):
    """What a container wants to reach. Without a method: a tunnel, in which nothing more is seen yet."""

    host: str
    """A normal name."""
    port: int
    method: str | None = None
    path: bytes | None = None
    """As it was sent, without the query."""


class Allowed(Struct, frozen=True):
    rule: Rule


def decide(policy: Policy, asked: Asked) -> Allowed | Denied:
    """The verdict, whatever order the rules have."""
    where: dict[str, Any] = {"host": asked.host, "port": asked.port}
    if asked.host in policy.provider_hosts:
        sentence = f"{asked.host} is a model provider: models are reached by the AI door, without a key."
        return Denied("egress.provider_host", sentence, **where)
    if asked.host in METADATA_NAMES:
        return Denied("egress.metadata", f"{asked.host} is a metadata service, which no container may reach.", **where)
    there = [rule for rule in policy.rules if asked.port in rule.ports and matches(rule.host, asked.host)]
    if not there:
        sentence = f"No rule of the container {policy.name} allows {asked.host}:{asked.port}."
        return Denied("egress.not_allowed", sentence, **where)
    if asked.method is None:
        # Where one rule has to see the requests, all of them are seen.
        seen = [rule for rule in there if rule.terminated]
        return Allowed(max(seen or there, key=_width))
    return _requested(there, asked, where)


def _requested(there: list[Rule], asked: Asked, where: Mapping[str, Any]) -> Allowed | Denied:
    by_method = [rule for rule in there if not rule.methods or asked.method in rule.methods]
    if not by_method:
        sentence = f"No rule allows {asked.method} at {asked.host}."
        return Denied("egress.method_not_allowed", sentence, **where)
    path = asked.path or b""
    doubtful = doubt(path) if any(rule.paths for rule in by_method) else ""
    by_path = [rule for rule in by_method if not rule.paths or (not doubtful and _begins(rule.paths, path))]
    if not by_path:
        sentence = doubtful or f"No rule allows this path at {asked.host}."
        return Denied("egress.path_not_allowed", sentence, **where)
    return Allowed(max(by_path, key=_width))


def doubt(path: bytes) -> str:
    """Why a path could mean another one to the server; empty when it can mean only itself."""
    if not _PATH.match(path) or b"\\" in path or b"#" in path or b"?" in path:
        return "The path has characters that servers read differently."
    decoded = unquote_to_bytes(path)
    # What comes out only after decoding twice is read differently by whoever decodes twice.
    if b"%" in decoded or any(byte < 0x21 or byte == 0x7F for byte in decoded):
        return "The path is encoded in a way that servers read differently."
    if decoded.count(b"/") != path.count(b"/") or b"\\" in decoded or b";" in decoded:
        return "The path hides separators, which servers read differently."
    segments = decoded.split(b"/")[1:]
    if any(segment in (b".", b"..") for segment in segments) or b"" in segments[:-1]:
        return "The path has empty or dotted parts, which servers read differently."
    return ""


def _begins(allowed: tuple[str, ...], path: bytes) -> bool:
    """On whole segments; compared as decoded, since `doubt` has shown that decoding changes no separator."""
    decoded = unquote_to_bytes(path)
    for each in allowed:
        beginning = unquote_to_bytes(each)
        if decoded == beginning or decoded.startswith(beginning if beginning.endswith(b"/") else beginning + b"/"):
            return True
    return False


def _width(rule: Rule) -> tuple[float, float, bool, str, str]:
    """The widest rule speaks; the last parts only make the choice the same in every order."""
    sent = float("inf") if rule.bytes is None else rule.bytes
    lasts = float("inf") if rule.seconds is None else rule.seconds
    return sent, lasts, not rule.terminated, rule.source, repr(rule)


def rule_of(said: str | Mapping[str, Any]) -> Rule:
    """A rule as the configuration or `bawn egress allow` has it. Fault `config.invalid`."""
    if isinstance(said, str):
        return _short(said)
    unknown = sorted(set(said) - _FIELDS)
    if unknown:
        raise _invalid(f"{quoted(str(unknown[0]))} is not a part of an egress rule")
    if said.get("git") is not None or said.get("push"):
        return _git(said)
    rule = Rule(
        host=_pattern(said.get("host", "")),
        ports=tuple(said.get("ports", (TLS,))),
        methods=tuple(said.get("methods", ())),
        paths=tuple(said.get("paths", ())),
        bytes=said.get("bytes"),
        seconds=said.get("seconds"),
        credential=said.get("credential"),
    )
    return _sound(rule)


def _git(said: Mapping[str, Any]) -> Rule:
    """`host` is the forge, `git` the repository there."""
    if set(said) & {"methods", "paths"} or tuple(said.get("ports", (TLS,))) != (TLS,):
        raise _invalid("a rule for git is for port 443, and has no methods and paths of its own")
    host = _pattern(said.get("host", ""))
    try:
        repository = repository_of("/" + str(said.get("git") or "").lstrip("/"), tuple(said.get("push", ())))
    except ValueError as error:
        raise _invalid(f"{host}: {error}") from error
    return _sound(
        Rule(
            host=host,
            methods=("GET", "POST"),
            paths=(repository.path, f"{repository.path}.git"),
            bytes=said.get("bytes"),
            seconds=said.get("seconds"),
            credential=said.get("credential"),
            git=repository,
        )
    )


def _short(text: str) -> Rule:
    if text.startswith(GIT):
        where, _, branches = text.removeprefix(GIT).partition(":")
        host, _, repository = where.partition("/")
        return _git({"host": host, "git": repository, "push": tuple(filter(None, branches.split(",")))})
    name, colon, ports = text.partition(":")
    if "://" in text or "/" in text:
        raise _invalid(f"{quoted(text)} is a URL; write name:port, or the long form with `paths`")
    if name.startswith("["):
        raise _invalid(f"{quoted(text)} is an address; only names can be allowed")
    try:
        numbers = tuple(dict.fromkeys(read_port(each) for each in ports.split(","))) if colon else (TLS,)
    except BadHostError as error:
        raise _invalid(f"{quoted(text)}: {error}") from error
    return _sound(Rule(_pattern(name), numbers))


def _pattern(text: object) -> str:
    try:
        return normal_pattern(text if isinstance(text, str) else "")
    except BadHostError as error:
        raise _invalid(f"{quoted(str(text))}: {error}") from error


def _sound(rule: Rule) -> Rule:
    if not rule.ports:
        raise _invalid(f"{rule.host}: name at least one port")
    if rule.terminated and rule.host.startswith("*."):
        raise _invalid(
            f"{rule.host}: methods, paths and credentials need one exact name, because TLS ends at the door for it"
        )
    if rule.terminated and not set(rule.ports) <= {PLAIN, TLS}:
        raise _invalid(f"{rule.host}: methods, paths and credentials can be held to on ports 80 and 443 only")
    if rule.credential is not None and PLAIN in rule.ports:
        raise _invalid(f"{rule.host}: a credential is never sent unencrypted; leave port 80 out")
    for path in rule.paths:
        if not path.isascii() or doubt(path.encode()):
            raise _invalid(f"{rule.host}: the path {quoted(path)} must begin with / and be written plainly")
    return rule


def _invalid(sentence: str) -> Fault:
    remedy = "Write e.g. example.org:443, *.example.org:443, or a mapping with host, ports, methods, paths."
    return Fault("config.invalid", sentence if sentence.endswith(".") else f"{sentence}.", remedy=remedy)
