"""The tables of egress: what operators allowed single containers, and what lately happened at their doors."""

from __future__ import annotations

import sqlalchemy as sa

from bawn.store.tables import Moment, metadata

grants = sa.Table(
    "egress_grants",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("container_uuid", sa.String(36), nullable=False, index=True),
    sa.Column("rule", sa.Text, nullable=False),
    sa.Column("person", sa.String(64), nullable=False),
    sa.Column("created", Moment, nullable=False),
    sqlite_autoincrement=True,
)

passages = sa.Table(
    "egress_passages",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("time", Moment, nullable=False),
    sa.Column("container_uuid", sa.String(36), nullable=False, index=True),
    sa.Column("event", sa.String(64), nullable=False),
    sa.Column("host", sa.String(255), nullable=False),
    sa.Column("port", sa.Integer, nullable=False),
    sa.Column("code", sa.String(64), nullable=False),
    sa.Column("sentence", sa.Text, nullable=False),
    sa.Column("record", sa.String(64), nullable=False),
    sqlite_autoincrement=True,
)
