"""Bringing the tables to what this version needs: all steps or none.

A file and a process of its own (`python -m bawn.store FILE`), because Alembic is needed once at the start and
would stay in the gateway's memory for as long as that runs.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.util.exc import CommandError

from bawn.errors import Fault
from bawn.store.engine import Store


def upgrade(store: Store) -> None:
    """In this process. Fault `store.unavailable` when it cannot be done."""
    store.run_blocking(_upgrade)


def _upgrade(connection: sa.Connection) -> None:
    config = Config()
    config.set_main_option("script_location", "bawn.store:migrations")
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise Fault(
            "store.unavailable",
            "The store was made by a newer version of Bawn.",
            remedy="Install that version again, or restore an older copy of the store.",
            cause=str(error),
        ) from error
