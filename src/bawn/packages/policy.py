"""What one container may install, and the verdict on one version of one package: pure.

The wall of packages is dull on purpose: young versions are not there, names outside the list are not there, what is known as
malware is refused by its advisory, what the lock file does not name is refused, and a file whose bytes changed since the
project first used it is refused.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from bawn.packages.reasons import Refused

Find = Callable[[str, str, str], str | None]
"""Of ecosystem, package and version: the id of the advisory that speaks against it."""

DAY_S = 86_400.0
OPEN, LOCKED = "open", "locked"


class Policy(Struct, frozen=True):
    """Of one container, whole."""

    uuid: str
    name: str
    project: str = "default"
    ecosystems: frozenset[str] = frozenset()
    mode: str = OPEN
    cooldown_days: float = 7
    trust_undated: bool = False
    allow: frozenset[str] | None = None
    """`ecosystem:name`; `npm:@scope/*` for a whole scope. None: every name."""
    cooldown_exempt: frozenset[str] = frozenset()
    """As in `allow`: packages whose young versions are visible."""
    code_at_start: frozenset[str] = frozenset()
    """As in `allow`: packages of which files may run code at every start of Python."""
    locks: frozenset[str] = frozenset()
    """Hashes that the project's lock files name: `sha256:<hex>`, `sha512:<hex>`, `sha1:<hex>`."""


class Version(Struct, frozen=True):
    """One file of one version of a package."""

    ecosystem: str
    package: str
    version: str
    filename: str
    url: str
    hashes: tuple[str, ...] = ()
    """`algorithm:hex`, strongest first; empty when the registry says none."""
    published: float | None = None
    """Seconds since 1970."""
    local: bool = False
    """From a folder of the operator's own, whose age means nothing."""


def named(names: frozenset[str], ecosystem: str, package: str) -> bool:
    """Whether a package is among names that the operator wrote."""
    scope, slash, _ = package.partition("/")
    return f"{ecosystem}:{package}" in names or (bool(slash) and f"{ecosystem}:{scope}/*" in names)


def may_ask(policy: Policy | None, ecosystem: str, package: str) -> Policy:
    """Refused unless this container may install this package at all."""
    if policy is None or ecosystem not in policy.ecosystems:
        who = f"The container {policy.name}" if policy is not None else "This container"
        raise Refused("packages.not_allowed", f"{who} may not install packages with {ecosystem}.", name=package)
    if policy.allow is not None and not named(policy.allow, ecosystem, package):
        raise Refused("packages.not_approved", f"{package} is not among the approved packages.", name=package)
    return policy


def young(policy: Policy, version: Version, now: float) -> bool:
    """Whether a version is too young to be seen."""
    if version.local or named(policy.cooldown_exempt, version.ecosystem, version.package):
        return False
    if version.published is None:
        return not policy.trust_undated
    return now - version.published < policy.cooldown_days * DAY_S


def visible(policy: Policy, version: Version, now: float) -> bool:
    """Whether it stands in what a container is shown."""
    if young(policy, version, now):
        return False
    return policy.mode != LOCKED or not version.hashes or any(each in policy.locks for each in version.hashes)


def nothing_left(policy: Policy, package: str) -> Refused:
    """Why a package that exists shows no version: said, since an empty page says nothing."""
    if policy.mode == LOCKED:
        sentence = f"No version of {package} is named by a hash in the project's lock file."
        return Refused("packages.not_locked", sentence, name=package)
    sentence = f"Every version of {package} is younger than {policy.cooldown_days:g} days, or of unknown age."
    return Refused("packages.young", sentence, name=package)


def judge(policy: Policy, version: Version, now: float, find: Find, starts: str = "") -> None:
    """Refused for what may not be installed, though somebody asks for exactly it. `starts`: what of it would run unasked."""
    about = {"name": version.package, "version": version.version}
    told = f"{version.package} {version.version}"
    if id_ := find(version.ecosystem, version.package, version.version):
        what = "malware" if id_.startswith("MAL-") else "vulnerable"
        raise Refused("packages.malware", f"{told} is known as {what} ({id_}).", **about)
    if young(policy, version, now):
        raise Refused(
            "packages.young", f"{told} is younger than {policy.cooldown_days:g} days, or of unknown age.", **about
        )
    if policy.mode == LOCKED and not any(each in policy.locks for each in version.hashes):
        raise Refused("packages.not_locked", f"{told} is not named by a hash in the project's lock file.", **about)
    if starts and not named(policy.code_at_start, version.ecosystem, version.package):
        raise Refused("packages.starts_code", f"{told} was refused: {starts}.", **about)
