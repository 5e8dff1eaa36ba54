"""Who acts.

A principal is made in `identity` alone, from evidence that the caller cannot choose: the listener a
connection came in by, the peer's user id on a unix socket, a stored token. Everybody else only reads it
(`tests/architecture` holds the rooms to that). A container's uuid and number are never used again,
so a record about number 7 always means the same box; its name may come back after deletion.
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


class Role(StrEnum):
    """What an operator may do; each role includes those before it."""

    VIEWER = "viewer"
    APPROVER = "approver"
    ADMIN = "admin"


class Container(Struct, frozen=True):
    """A box whose calls come in by its own door."""

    uuid: str
    number: int
    name: str
    project: str
    role: str = ""
    """What it is there for, as the operator called it."""
    tags: tuple[str, ...] = ()
    """Given by the operator."""


class ApiKey(Struct, frozen=True):
    """A named key of a program on the host, with the scopes it was given."""

    id: str
    name: str
    scopes: frozenset[str]


class Operator(Struct, frozen=True):
    """A named person who runs this installation."""

    person: str
    roles: frozenset[Role]

    def may(self, role: Role) -> bool:
        order = tuple(Role)
        return any(order.index(held) >= order.index(role) for held in self.roles)


class Internal(Struct, frozen=True):
    """Bawn itself, acting on behalf of a container; `depth` counts how often it re-entered by the door."""

    on_behalf_of: Container
    depth: int


Principal = Container | ApiKey | Operator | Internal


def label(principal: Principal) -> str:
    """The principal in one word for records: `container-7`, `operator:ada`, `key:ci`, `internal:container-7`."""
    if type(principal) is Container:  # nearly all of them, and matching by class takes four times as long
        return f"container-{principal.number}"
    match principal:
        case Container(number=number):
            return f"container-{number}"
        case Operator(person=person):
            return f"operator:{person}"
        case ApiKey(name=name):
            return f"key:{name}"
        case Internal(on_behalf_of=container):
            return f"internal:container-{container.number}"
