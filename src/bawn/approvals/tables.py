"""The table of approvals: every question that was asked, and what became of it."""

from __future__ import annotations

import sqlalchemy as sa

from bawn.store.tables import Moment, metadata

tickets = sa.Table(
    "approvals",
    metadata,
    sa.Column("id", sa.String(40), primary_key=True),
    sa.Column("digest", sa.String(64), nullable=False, index=True),
    sa.Column("container_uuid", sa.String(36), nullable=False, index=True),
    sa.Column("question", sa.Text, nullable=False),
    sa.Column("see", sa.String(64), nullable=False),
    sa.Column("state", sa.String(16), nullable=False, index=True),
    sa.Column("asked", Moment, nullable=False),
    sa.Column("expires", Moment, nullable=False),
    sa.Column("answered", Moment),
    sa.Column("person", sa.String(64), nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("edited", sa.Text),
    sa.Column("used", Moment),
)
