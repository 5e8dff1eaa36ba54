"""Who is an operator, on a real SQLite."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bawn.errors import Fault
from bawn.identity.operators import Operators
from bawn.store import Store, open_store
from bawn.store.upgrade import upgrade
from bawn.terms.principal import Role

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
ADMIN = frozenset({Role.ADMIN})
VIEWER = frozenset({Role.VIEWER})


class Clock:
    def __init__(self) -> None:
        self.time = NOON

    def now(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        return self.time.timestamp()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = open_store(tmp_path / "bawn.db")
    upgrade(store)
    yield store
    store.close()


@pytest.fixture
async def operators(store: Store, clock: Clock) -> Operators:
    operators = Operators(store, clock, uid_of=lambda person: None)
    await operators.load()
    await operators.ensure_first(1000, 0)
    return operators


async def test_the_first_admins_are_known_by_their_user_id(operators: Operators) -> None:
    root = operators.by_uid(0)
    assert root is not None
    assert root.person == "root"
    assert root.may(Role.ADMIN)
    assert operators.by_uid(4711) is None


async def test_a_second_start_makes_nobody_admin(operators: Operators, store: Store, clock: Clock) -> None:
    later = Operators(store, clock)
    await later.load()
    await later.ensure_first(33)
    assert later.by_uid(33) is None
    assert later.by_uid(0) is not None


async def test_a_token_is_its_person_and_is_kept_nowhere(
    operators: Operators, store: Store, clock: Clock, tmp_path: Path
) -> None:
    await operators.add("ada", VIEWER)
    token, text = await operators.issue("ada", "laptop")
    assert text.startswith(f"bawn_pat_{token.id}_")
    later = Operators(store, clock)
    await later.load()
    ada = later.by_token(text)
    assert ada is not None
    assert (ada.person, ada.roles) == ("ada", VIEWER)
    secret = text.rsplit("_", 1)[1].encode()
    assert not any(secret in file.read_bytes() for file in tmp_path.iterdir())


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t[:-1] + ("0" if t[-1] != "0" else "1"),
        str.upper,
        lambda t: t + "0",
        lambda t: "",
        lambda t: "container-dev",
        lambda t: t + "\n",
        lambda t: "\udc80",
    ],
)
async def test_what_is_not_quite_the_token_is_nobody(operators: Operators, change: object) -> None:
    assert callable(change)
    await operators.add("ada", VIEWER)
    _, text = await operators.issue("ada")
    assert operators.by_token(change(text)) is None


async def test_a_revoked_token_is_nobody(operators: Operators) -> None:
    await operators.add("ada", VIEWER)
    token, text = await operators.issue("ada")
    await operators.revoke("ada", token.id)
    assert operators.by_token(text) is None


async def test_an_expired_token_is_nobody(operators: Operators, clock: Clock) -> None:
    await operators.add("ada", VIEWER)
    _, text = await operators.issue("ada", expires=NOON + timedelta(hours=1))
    assert operators.by_token(text) is not None
    clock.time += timedelta(hours=1)
    assert operators.by_token(text) is None


async def test_a_removed_person_s_token_stays_nothing_when_the_name_comes_back(operators: Operators) -> None:
    await operators.add("ada", ADMIN)
    _, text = await operators.issue("ada")
    await operators.remove("ada")
    assert operators.by_token(text) is None
    await operators.add("ada", ADMIN)
    assert operators.by_token(text) is None


async def test_the_last_admin_stays(operators: Operators) -> None:
    first, second = (record.person for record in operators.list())
    await operators.remove(first)
    with pytest.raises(Fault, match="last admin"):
        await operators.remove(second)


async def test_a_user_id_is_one_person(operators: Operators) -> None:
    with pytest.raises(Fault, match="belongs to"):
        await operators.add("eve", VIEWER, uid=0)


async def test_one_cannot_revoke_the_token_of_another_by_the_wrong_name(operators: Operators) -> None:
    await operators.add("ada", VIEWER)
    token, text = await operators.issue("ada")
    with pytest.raises(Fault, match="has no token"):
        await operators.revoke("root", token.id)
    assert operators.by_token(text) is not None


async def test_the_last_use_of_a_token_is_kept(operators: Operators, clock: Clock) -> None:
    await operators.add("ada", VIEWER)
    _, text = await operators.issue("ada")
    await operators.note_use(text)
    assert operators.tokens("ada")[0].last_used == NOON
    clock.time += timedelta(seconds=30)
    await operators.note_use(text)
    assert operators.tokens("ada")[0].last_used == NOON
    clock.time += timedelta(seconds=31)
    await operators.note_use(text)
    assert operators.tokens("ada")[0].last_used == NOON + timedelta(seconds=61)
