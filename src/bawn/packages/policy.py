"""What one container may install, and the verdict on one version of one package: pure.

The wall of packages is dull on purpose: young versions are not there, names outside the list are not there, what is known as
malware is refused by its advisory, what the lock file does not name is refused, and a file whose bytes changed since the
project first used it is refused.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from bawn.packages.reasons import Refused

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


Advisories = Mapping[tuple[str, str], Mapping[str, str]]
"""(ecosystem, package) → version or `*` → the id of what calls it malware."""


def may_ask(policy: Policy | None, ecosystem: str, package: str) -> Policy:
    """Refused unless this container may install this package at all."""
    if policy is None or ecosystem not in policy.ecosystems:
        who = f"The container {policy.name}" if policy is not None else "This container"
        raise Refused("packages.not_allowed", f"{who} may not install packages with {ecosystem}.", name=package)
    if policy.allow is not None and package not in policy.allow:
        raise Refused("packages.not_approved", f"{package} is not among the approved packages.", name=package)
    return policy


def young(policy: Policy, version: Version, now: float) -> bool:
    """Whether a version is too young to be seen."""
    if version.local:
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


def judge(policy: Policy, version: Version, now: float, advisories: Advisories) -> None:
    """Refused for what may not be installed, though somebody asks for exactly it."""
    about = {"name": version.package, "version": version.version}
    told = f"{version.package} {version.version}"
    known = advisories.get((version.ecosystem, version.package), {})
    if id_ := known.get(version.version) or known.get("*"):
        raise Refused("packages.malware", f"{told} is known as malware ({id_}).", **about)
    if young(policy, version, now):
        raise Refused(
            "packages.young", f"{told} is younger than {policy.cooldown_days:g} days, or of unknown age.", **about
        )
    if policy.mode == LOCKED and not any(each in policy.locks for each in version.hashes):
        raise Refused("packages.not_locked", f"{told} is not named by a hash in the project's lock file.", **about)
