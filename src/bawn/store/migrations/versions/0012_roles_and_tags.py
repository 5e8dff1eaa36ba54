"""Roles and tags of containers, and which session came from which."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("containers", sa.Column("role", sa.String(63), nullable=False, server_default=""))
    op.add_column("containers", sa.Column("tags", sa.Text(), nullable=False, server_default="[]"))
    op.create_table(
        "session_kin",
        sa.Column("container_uuid", sa.String(36), nullable=False),
        sa.Column("session", sa.String(200), nullable=False),
        sa.Column("parent", sa.String(200), nullable=False),
        sa.Column("named", sa.Text(), nullable=False),
        sa.Column("at", sa.String(27), nullable=False),
        sa.PrimaryKeyConstraint("container_uuid", "session", name="pk_session_kin"),
    )
    op.create_index("ix_session_kin_at", "session_kin", ["at"])
