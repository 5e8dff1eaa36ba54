"""A door says whose it is, and nothing else does."""

from __future__ import annotations

import pytest

from bawn.errors import Fault
from bawn.identity.listener import principal_of
from bawn.identity.registry import Standing
from bawn.terms.door import Door, DoorKind
from bawn.terms.principal import Container

DEV = Container("u-1", 1, "dev", "default")


class Standings:
    def __init__(self, standing: Standing | None) -> None:
        self._standing = standing

    def standing(self, uuid: str) -> Standing | None:
        return self._standing


DOOR = Door(DoorKind.AI, "u-1", "127.0.0.2", 80, "gateway")


def test_a_door_is_its_container() -> None:
    assert principal_of(DOOR, Standings(Standing(DEV, True, "running", None, 1))) == DEV


def test_a_deleted_container_cannot_speak_through_its_old_door() -> None:
    with pytest.raises(Fault) as refused:
        principal_of(DOOR, Standings(Standing(DEV, False, "deleted", None, 2)))
    assert refused.value.cause == "the container was deleted"


def test_a_door_without_a_container_is_nobody() -> None:
    with pytest.raises(Fault):
        principal_of(DOOR, Standings(None))
