"""The table of firings: which rule fired on what, and what it put into the conversation."""

from __future__ import annotations

import sqlalchemy as sa

from bawn.store.tables import Moment, metadata

firings = sa.Table(
    "rule_firings",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("container_uuid", sa.String(36), nullable=False),
    sa.Column("session", sa.String(200), nullable=False),
    sa.Column("rule", sa.String(64), nullable=False),
    sa.Column("key", sa.String(200), nullable=False),
    sa.Column("place", sa.String(16), nullable=False),
    sa.Column("content", sa.Text, nullable=False),
    sa.Column("at", Moment, nullable=False, index=True),
    sa.UniqueConstraint("container_uuid", "session", "rule", "key"),
)
