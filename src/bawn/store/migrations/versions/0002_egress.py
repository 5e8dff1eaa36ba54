"""Egress: what containers were granted, and what lately happened at their doors."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "egress_grants",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("container_uuid", sa.String(36), nullable=False),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("person", sa.String(64), nullable=False),
        sa.Column("created", sa.String(27), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_egress_grants"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_egress_grants_container_uuid", "egress_grants", ["container_uuid"], unique=False)
    op.create_table(
        "egress_passages",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("time", sa.String(27), nullable=False),
        sa.Column("container_uuid", sa.String(36), nullable=False),
        sa.Column("event", sa.String(64), nullable=False),
        sa.Column("host", sa.String(255), nullable=False),
        sa.Column("port", sa.Integer(), nullable=False),
        sa.Column("code", sa.String(64), nullable=False),
        sa.Column("sentence", sa.Text(), nullable=False),
        sa.Column("record", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_egress_passages"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_egress_passages_container_uuid", "egress_passages", ["container_uuid"], unique=False)
