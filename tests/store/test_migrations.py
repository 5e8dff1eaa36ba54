"""The migrations and the tables that the rooms declare are the same thing."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from bawn.errors import Fault
from bawn.store import open_store
from bawn.store.tables import metadata
from bawn.store.upgrade import upgrade

ROOMS = ("approvals", "egress", "enforcement", "gateway", "guardrails", "identity", "tasks", "transforms", "vault")


def shape(connection: sa.Connection) -> set[str]:
    rows = connection.exec_driver_sql("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL").scalars()
    return {
        " ".join(sql.split()).replace(" )", ")").replace(" ,", ",")
        for sql in rows
        if "alembic_version" not in sql and "sqlite_" not in sql
    }


def test_migrations_make_exactly_the_tables_that_the_rooms_declare(tmp_path: Path) -> None:
    for room in ROOMS:
        importlib.import_module(f"bawn.{room}.tables")
    migrated, declared = open_store(tmp_path / "migrated.db"), open_store(tmp_path / "declared.db")
    upgrade(migrated)
    declared.run_blocking(metadata.create_all)
    assert migrated.run_blocking(shape) == declared.run_blocking(shape)
    migrated.close()
    declared.close()


def test_no_room_with_tables_is_forgotten() -> None:
    source = Path(importlib.import_module("bawn").__file__ or "").parent
    assert {path.parent.name for path in source.glob("*/tables.py")} - {"store"} == set(ROOMS)


def test_migrating_twice_changes_nothing(tmp_path: Path) -> None:
    store = open_store(tmp_path / "bawn.db")
    upgrade(store)
    before = store.run_blocking(shape)
    upgrade(store)
    assert store.run_blocking(shape) == before
    store.close()


def test_the_keys_of_an_older_version_stay(tmp_path: Path) -> None:
    store = open_store(tmp_path / "bawn.db")

    def older(connection: sa.Connection) -> None:
        config = Config()
        config.set_main_option("script_location", "bawn.store:migrations")
        config.set_main_option("path_separator", "os")
        config.attributes["connection"] = connection
        command.upgrade(config, "0006")
        row = "('key_1', 'anthropic', 'work', 'f1', x'01', '2030-01-31T00:00:00.000000Z', NULL)"
        connection.exec_driver_sql(f"INSERT INTO keys VALUES {row}").close()

    store.run_blocking(older)
    upgrade(store)
    names = "id, provider, name, weight, fingerprint, sealed, rotated"
    kept = store.run_blocking(lambda c: c.exec_driver_sql(f"SELECT {names} FROM keys").all())
    assert [tuple(row) for row in kept] == [("key_1", "anthropic", "work", 1, "f1", b"\x01", None)]
    store.close()


def test_a_store_of_a_newer_version_is_refused_and_left_alone(tmp_path: Path) -> None:
    store = open_store(tmp_path / "bawn.db")
    upgrade(store)
    store.run_blocking(lambda c: c.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'").close())
    with pytest.raises(Fault, match="newer version") as caught:
        upgrade(store)
    assert caught.value.code == "store.unavailable"
    store.close()


def test_a_migration_that_fails_half_way_leaves_nothing_behind(tmp_path: Path) -> None:
    store = open_store(tmp_path / "bawn.db")
    store.run_blocking(lambda c: c.exec_driver_sql("CREATE TABLE resources (x)").close())
    with pytest.raises(Fault, match="already exists"):
        upgrade(store)
    names = store.run_blocking(lambda c: sa.inspect(c).get_table_names())
    assert names == ["resources"]
    store.close()


def test_containers_of_an_older_version_have_no_role_and_no_tags(tmp_path: Path) -> None:
    store = open_store(tmp_path / "bawn.db")

    def older(connection: sa.Connection) -> None:
        config = Config()
        config.set_main_option("script_location", "bawn.store:migrations")
        config.set_main_option("path_separator", "os")
        config.attributes["connection"] = connection
        command.upgrade(config, "0011")
        names = "number, uuid, name, project, server, image, runtime, ai, state, task, mount, created"
        row = "1, 'u-1', 'dev', 'default', 'local', 'agent', 'podman', 1, 'created', '', '', '2030-01-31T00:00:00.000000Z'"
        connection.exec_driver_sql(f"INSERT INTO containers ({names}) VALUES ({row})").close()

    store.run_blocking(older)
    upgrade(store)
    kept = store.run_blocking(lambda c: c.exec_driver_sql("SELECT role, tags FROM containers").all())
    assert [tuple(row) for row in kept] == [("", "[]")]
    store.close()
