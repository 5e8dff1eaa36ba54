"""The tables of identity: containers, operators, their tokens.

Rows of containers are never deleted, and the database itself counts the numbers (AUTOINCREMENT): a number
cannot come back even if a row was lost. A name is free again once its container is deleted.
"""

from __future__ import annotations

import sqlalchemy as sa

from bawn.store.tables import Moment, metadata

containers = sa.Table(
    "containers",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("uuid", sa.String(36), nullable=False, unique=True),
    sa.Column("name", sa.String(63), nullable=False),
    sa.Column("project", sa.String(63), nullable=False),
    sa.Column("server", sa.String(63), nullable=False),
    sa.Column("image", sa.Text, nullable=False),
    sa.Column("runtime", sa.String(32), nullable=False),
    sa.Column("ai", sa.Boolean, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("task", sa.Text, nullable=False),
    sa.Column("mount", sa.Text, nullable=False),
    sa.Column("created", Moment, nullable=False),
    sa.Column("expires", Moment),
    sa.Column("workspace", sa.String(8), nullable=False, server_default="live"),
    sa.Column("ephemeral", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("limits", sa.Text, nullable=False, server_default="{}"),
    sa.Column("allow_soft_limits", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("role", sa.String(63), nullable=False, server_default=""),
    sa.Column("tags", sa.Text, nullable=False, server_default="[]"),
    sqlite_autoincrement=True,
)

sa.Index(
    "uq_containers_living_name",
    containers.c.name,
    unique=True,
    sqlite_where=containers.c.state != "deleted",
)

shares = sa.Table(
    "shares",
    metadata,
    sa.Column("id", sa.String(16), primary_key=True),
    sa.Column("container_uuid", sa.String(36), nullable=False, index=True),
    sa.Column("port", sa.Integer, nullable=False),
    sa.Column("digest", sa.String(64), nullable=False),
    sa.Column("person", sa.String(32), nullable=False),
    sa.Column("created", Moment, nullable=False),
    sa.Column("expires", Moment, nullable=False),
    sa.Column("revoked", Moment),
)

operators = sa.Table(
    "operators",
    metadata,
    sa.Column("person", sa.String(32), primary_key=True),
    sa.Column("uid", sa.Integer, unique=True),
    sa.Column("roles", sa.Text, nullable=False),
    sa.Column("created", Moment, nullable=False),
)

operator_tokens = sa.Table(
    "operator_tokens",
    metadata,
    sa.Column("id", sa.String(16), primary_key=True),
    sa.Column("person", sa.String(32), sa.ForeignKey("operators.person"), nullable=False, index=True),
    sa.Column("label", sa.String(100), nullable=False),
    sa.Column("digest", sa.String(64), nullable=False),
    sa.Column("created", Moment, nullable=False),
    sa.Column("expires", Moment),
    sa.Column("last_used", Moment),
    sa.Column("revoked", Moment),
)
