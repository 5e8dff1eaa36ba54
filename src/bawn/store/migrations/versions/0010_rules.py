"""What rules did to conversations, and which tags operators gave them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "rule_firings",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("container_uuid", sa.String(36), nullable=False),
        sa.Column("session", sa.String(200), nullable=False),
        sa.Column("rule", sa.String(65), nullable=False),
        sa.Column("key", sa.String(200), nullable=False),
        sa.Column("place", sa.String(16), nullable=False),
        sa.Column("anchor", sa.String(200), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("at", sa.String(27), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_rule_firings"),
        sa.UniqueConstraint("container_uuid", "session", "rule", "key", name="uq_rule_firings_key"),
    )
    op.create_index("ix_rule_firings_at", "rule_firings", ["at"])
    op.create_table(
        "session_tags",
        sa.Column("container_uuid", sa.String(36), nullable=False),
        sa.Column("session", sa.String(200), nullable=False),
        sa.Column("tags", sa.Text(), nullable=False),
        sa.Column("at", sa.String(27), nullable=False),
        sa.PrimaryKeyConstraint("container_uuid", "session", name="pk_session_tags"),
    )
    op.create_index("ix_session_tags_at", "session_tags", ["at"])
