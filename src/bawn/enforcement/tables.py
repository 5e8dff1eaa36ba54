"""The tables: which rule fired on what with what it put into the conversation, the tags that operators gave, and which
conversation came from which, with the tags that it named."""

from __future__ import annotations

import sqlalchemy as sa

from bawn.store.tables import Moment, metadata

firings = sa.Table(
    "rule_firings",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("container_uuid", sa.String(36), nullable=False),
    sa.Column("session", sa.String(200), nullable=False),
    sa.Column("rule", sa.String(65), nullable=False),
    sa.Column("key", sa.String(200), nullable=False),
    sa.Column("place", sa.String(16), nullable=False),
    sa.Column("anchor", sa.String(200), nullable=False),
    sa.Column("content", sa.Text, nullable=False),
    sa.Column("at", Moment, nullable=False, index=True),
    sa.UniqueConstraint("container_uuid", "session", "rule", "key", name="uq_rule_firings_key"),
)

session_tags = sa.Table(
    "session_tags",
    metadata,
    sa.Column("container_uuid", sa.String(36), primary_key=True),
    sa.Column("session", sa.String(200), primary_key=True),
    sa.Column("tags", sa.Text, nullable=False),
    sa.Column("at", Moment, nullable=False, index=True),
)

session_kin = sa.Table(
    "session_kin",
    metadata,
    sa.Column("container_uuid", sa.String(36), primary_key=True),
    sa.Column("session", sa.String(200), primary_key=True),
    sa.Column("parent", sa.String(200), nullable=False),
    sa.Column("named", sa.Text, nullable=False),
    sa.Column("at", Moment, nullable=False, index=True),
)
