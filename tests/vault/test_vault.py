"""Keys are sealed, shown only as a fingerprint, and lost only when somebody says so."""

from __future__ import annotations

import asyncio
import copy
import json
import pickle
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
import sqlalchemy as sa

from bawn.audit.redact import Redactor
from bawn.errors import Fault
from bawn.store import Store, open_store
from bawn.store.upgrade import upgrade
from bawn.vault.master import Master
from bawn.vault.secret import Secret
from bawn.vault.tables import keys
from bawn.vault.vault import Vault

KEY = "sk-planted-0123456789abcdef"
OTHER = "sk-another-fedcba9876543210"
MASTER = Master(bytes(range(32)))


class FixedClock:
    def now(self) -> datetime:
        return datetime(2030, 1, 31, tzinfo=UTC)

    def monotonic(self) -> float:
        return 0.0


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = open_store(tmp_path / "bawn.db")
    upgrade(opened)
    yield opened
    opened.close()


async def opened(store: Store, master: Master | None = MASTER, redactor: Redactor | None = None) -> Vault:
    vault = Vault(store, master, FixedClock(), (redactor or Redactor()).learn)
    await vault.load()
    return vault


def revealed(vault: Vault, provider: str) -> str | None:
    secret = vault.secret_for(provider)
    return secret.reveal() if secret else None


async def test_a_key_is_found_again_after_a_restart(store: Store) -> None:
    info = await (await opened(store)).add("anthropic", f"  {KEY}\n")
    vault = await opened(store)
    assert revealed(vault, "anthropic") == KEY
    assert list(vault.list()) == [info]
    assert vault.secret_for("openai") is None


async def test_nothing_of_a_key_stands_in_the_store(store: Store) -> None:
    info = await (await opened(store)).add("anthropic", KEY, "work")
    store.close()
    for path in store.path.parent.iterdir():
        data = path.read_bytes()
        assert not any(KEY[at : at + 6].encode() in data for at in range(len(KEY) - 6))
    assert info.fingerprint not in KEY


async def test_a_rotated_key_is_used_from_the_next_call_on(store: Store) -> None:
    vault = await opened(store)
    before = await vault.add("anthropic", KEY)
    after = await vault.rotate("anthropic", OTHER)
    assert (after.id, after.created, after.rotated) == (before.id, before.created, FixedClock().now())
    assert after.fingerprint != before.fingerprint
    assert revealed(vault, "anthropic") == revealed(await opened(store), "anthropic") == OTHER
    assert (await vault.rotate(before.id, KEY)).fingerprint == before.fingerprint


async def test_a_removed_key_is_gone(store: Store) -> None:
    vault = await opened(store)
    info = await vault.add("anthropic", KEY)
    await vault.remove(info.id)
    assert vault.secret_for("anthropic") is None
    assert list((await opened(store)).list()) == []
    with pytest.raises(Fault) as caught:
        await vault.remove("anthropic")
    assert caught.value.code == "vault.unknown_key"


async def test_a_provider_has_one_key(store: Store) -> None:
    vault = await opened(store)
    await vault.add("anthropic", KEY)
    results = await asyncio.gather(
        vault.add("anthropic", OTHER), vault.add("openai", KEY), vault.add("openai", OTHER), return_exceptions=True
    )
    assert [getattr(result, "code", "") for result in results] == ["api.conflict", "", "api.conflict"]


async def test_several_keys_of_a_provider_are_told_apart_by_their_names(store: Store) -> None:
    vault = await opened(store)
    first, spare = await vault.add("anthropic", KEY), await vault.add("anthropic", OTHER, "spare", 3)
    assert [(key.label, key.weight, key.secret.reveal()) for key in vault.keys_for("anthropic")] == [
        ("", 1, KEY), ("spare", 3, OTHER),
    ]  # fmt: skip
    again = await opened(store)
    assert [(key.id, key.label, key.weight) for key in again.keys_for("anthropic")] == [
        (first.id, "", 1), (spare.id, "spare", 3),
    ]  # fmt: skip
    with pytest.raises(Fault) as caught:
        await vault.add("anthropic", KEY, "spare")
    assert (caught.value.code, "spare" in caught.value.sentence) == ("api.conflict", True)
    with pytest.raises(Fault) as caught:
        await vault.rotate("anthropic", KEY)
    assert (caught.value.code, "2 keys" in caught.value.sentence) == ("api.conflict", True)
    before = vault.keys_for("anthropic")
    assert vault.keys_for("anthropic") is before, "the same object until one changes"
    assert (await vault.rotate("anthropic:spare", KEY)).id == spare.id
    assert vault.keys_for("anthropic")[0] is before[0]
    assert vault.keys_for("anthropic")[1].secret.reveal() == KEY
    await vault.remove("anthropic:")
    assert [key.label for key in vault.keys_for("anthropic")] == ["spare"]
    await vault.remove("anthropic")
    assert vault.keys_for("anthropic") == ()


@pytest.mark.parametrize("weight", [0, -1, 1001])
async def test_a_weight_without_sense_is_refused(store: Store, weight: int) -> None:
    with pytest.raises(Fault) as caught:
        await (await opened(store)).add("anthropic", KEY, "", weight)
    assert caught.value.code == "api.invalid"


async def test_one_of_several_keys_that_cannot_be_opened_is_left_out(store: Store) -> None:
    await (await opened(store)).add("anthropic", KEY)
    vault = await opened(store, Master(bytes(32)))
    await vault.add("anthropic", OTHER, "new")
    assert [key.label for key in vault.keys_for("anthropic")] == ["new"]
    assert vault.unreadable == ("anthropic",)


async def test_a_document_is_kept_in_one_line_and_its_private_key_is_never_written(store: Store) -> None:
    redactor = Redactor()
    vault = await opened(store, redactor=redactor)
    await vault.add("vertex", '{\n "private_key": "AAAA-BBBB CCCC\\nDDDD", "x": 1\n}\n')
    assert revealed(vault, "vertex") == '{"private_key":"AAAA-BBBB CCCC\\nDDDD","x":1}'
    assert "CCCC" not in redactor.text("so AAAA-BBBB CCCC\nDDDD it was")


async def test_the_halves_of_a_key_are_never_written_either(store: Store) -> None:
    redactor = Redactor()
    vault = await opened(store, redactor=redactor)
    await vault.add("bedrock", "IDIDIDIDIDIDIDIDIDID:wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
    assert "K7MDENG" not in redactor.text("so wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY it was")


async def test_rows_that_were_swapped_do_not_open(store: Store) -> None:
    vault = await opened(store)
    await vault.add("anthropic", KEY)
    await vault.add("openai", OTHER)

    def swap(connection: sa.Connection) -> None:
        rows = connection.execute(sa.select(keys.c.id, keys.c.sealed)).all()
        for row, other in zip(rows, reversed(rows), strict=True):
            connection.execute(sa.update(keys).where(keys.c.id == row.id).values(sealed=other.sealed))

    await store.run(swap)
    vault = await opened(store)
    assert vault.unreadable == ("anthropic", "openai")


@pytest.mark.parametrize("master", [None, Master(bytes(32))])
async def test_with_a_lost_master_key_keys_are_listed_but_not_used(store: Store, master: Master | None) -> None:
    info = await (await opened(store)).add("anthropic", KEY)
    vault = await opened(store, master)
    assert [(key.id, key.fingerprint, key.readable) for key in vault.list()] == [(info.id, info.fingerprint, False)]
    with pytest.raises(Fault) as caught:
        vault.secret_for("anthropic")
    assert caught.value.code == "vault.unreadable"
    assert vault.secret_for("openai") is None


async def test_reset_forgets_what_cannot_be_opened_and_nothing_else(store: Store) -> None:
    await (await opened(store)).add("anthropic", KEY)
    vault = await opened(store, Master(bytes(32)))
    await vault.add("openai", OTHER)
    assert [info.provider for info in await vault.reset()] == ["anthropic"]
    assert revealed(vault, "openai") == OTHER
    await vault.add("anthropic", KEY)
    assert revealed(vault, "anthropic") == KEY


async def test_rotating_makes_an_unreadable_key_readable(store: Store) -> None:
    await (await opened(store)).add("anthropic", KEY)
    vault = await opened(store, Master(bytes(32)))
    assert (await vault.rotate("anthropic", OTHER)).readable
    assert revealed(vault, "anthropic") == OTHER


async def test_without_a_master_key_none_can_be_added(store: Store) -> None:
    with pytest.raises(Fault) as caught:
        await (await opened(store, None)).add("anthropic", KEY)
    assert caught.value.code == "vault.no_master_key"


async def test_every_key_it_ever_knew_is_taken_out_of_what_is_written(store: Store) -> None:
    redactor = Redactor()
    vault = await opened(store, redactor=redactor)
    await vault.add("anthropic", KEY)
    await vault.rotate("anthropic", OTHER)
    await vault.remove("anthropic")
    assert KEY not in redactor.text(f"a {KEY} b")
    assert OTHER not in redactor.text(f"a {OTHER} b")


@pytest.mark.parametrize(
    "secret", ["short", "", "has a space in it", "ünicode-key-here", "x" * 9000, "line\nbreaks-in-it"]
)
async def test_what_cannot_be_a_key_is_refused_without_quoting_it(store: Store, secret: str) -> None:
    with pytest.raises(Fault) as caught:
        await (await opened(store)).add("anthropic", secret)
    assert caught.value.code == "api.invalid"
    assert not secret or secret not in str(caught.value)


async def test_a_failing_store_changes_nothing_in_memory(store: Store) -> None:
    vault = await opened(store)
    await vault.add("anthropic", KEY)
    store.close()
    with pytest.raises(Fault) as caught:
        await vault.rotate("anthropic", OTHER)
    assert caught.value.code == "store.unavailable"
    assert revealed(vault, "anthropic") == KEY


def test_a_secret_never_prints_itself() -> None:
    secret = Secret(KEY)
    shown = f"{secret} {secret!r} {secret!s:>10} {[secret]} {MASTER} {MASTER!r}" + "%s" % secret  # noqa: UP031
    assert "planted" not in shown
    for spoil in (pickle.dumps, copy.copy, copy.deepcopy, json.dumps, msgspec.json.encode):
        with pytest.raises(TypeError):
            spoil(secret)


def test_a_hardened_process_can_be_neither_dumped_nor_read() -> None:
    program = """
import ctypes, resource
from bawn.vault.harden import harden
harden()
get_dumpable = 3
print(resource.getrlimit(resource.RLIMIT_CORE), ctypes.CDLL(None).prctl(get_dumpable, 0, 0, 0, 0))
"""
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert said == "(0, 0) 0\n"
