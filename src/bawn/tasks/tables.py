"""The table of tasks: every one that was asked for and is not forgotten yet."""

from __future__ import annotations

import sqlalchemy as sa

from bawn.store.tables import Moment, metadata

tasks = sa.Table(
    "tasks",
    metadata,
    sa.Column("id", sa.String(40), primary_key=True),
    sa.Column("state", sa.String(16), nullable=False, index=True),
    sa.Column("answer", sa.String(16), nullable=False),
    sa.Column("parent_uuid", sa.String(36), nullable=False, index=True),
    sa.Column("created", Moment, nullable=False, index=True),
    sa.Column("ended", Moment),
    sa.Column("task", sa.Text, nullable=False),
)
