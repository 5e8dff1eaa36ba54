"""The first tables: containers, operators and their tokens, keys, calls, refusals, resources."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "calls",
        sa.Column("call", sa.String(64), nullable=False),
        sa.Column("time", sa.String(27), nullable=False),
        sa.Column("container_uuid", sa.String(36), nullable=False),
        sa.Column("container_number", sa.Integer(), nullable=False),
        sa.Column("session", sa.Text(), nullable=False),
        sa.Column("wire", sa.String(16), nullable=False),
        sa.Column("endpoint", sa.String(64), nullable=False),
        sa.Column("provider", sa.String(63), nullable=False),
        sa.Column("model_requested", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("tokens_in", sa.Integer(), nullable=True),
        sa.Column("tokens_out", sa.Integer(), nullable=True),
        sa.Column("tokens_cached", sa.Integer(), nullable=True),
        sa.Column("tokens_cache_write", sa.Integer(), nullable=True),
        sa.Column("tokens_reasoning", sa.Integer(), nullable=True),
        sa.Column("usage_estimated", sa.Boolean(), nullable=False),
        sa.Column("cost_usd", sa.BigInteger(), nullable=True),
        sa.Column("first_byte_ms", sa.Integer(), nullable=True),
        sa.Column("total_ms", sa.Integer(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("outcome", sa.String(16), nullable=False),
        sa.Column("code", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("call", name="pk_calls"),
    )
    op.create_index("ix_calls_container_uuid", "calls", ["container_uuid"], unique=False)
    op.create_index("ix_calls_time", "calls", ["time"], unique=False)
    op.create_table(
        "containers",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("uuid", sa.String(36), nullable=False),
        sa.Column("name", sa.String(63), nullable=False),
        sa.Column("project", sa.String(63), nullable=False),
        sa.Column("server", sa.String(63), nullable=False),
        sa.Column("image", sa.Text(), nullable=False),
        sa.Column("runtime", sa.String(32), nullable=False),
        sa.Column("ai", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("task", sa.Text(), nullable=False),
        sa.Column("mount", sa.Text(), nullable=False),
        sa.Column("created", sa.String(27), nullable=False),
        sa.Column("expires", sa.String(27), nullable=True),
        sa.PrimaryKeyConstraint("number", name="pk_containers"),
        sa.UniqueConstraint("uuid", name="uq_containers_uuid"),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "uq_containers_living_name", "containers", ["name"], unique=True, sqlite_where=sa.text("state != 'deleted'")
    )
    op.create_table(
        "keys",
        sa.Column("id", sa.String(20), nullable=False),
        sa.Column("provider", sa.String(63), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("fingerprint", sa.String(8), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("created", sa.String(27), nullable=False),
        sa.Column("rotated", sa.String(27), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_keys"),
        sa.UniqueConstraint("provider", name="uq_keys_provider"),
    )
    op.create_table(
        "operators",
        sa.Column("person", sa.String(32), nullable=False),
        sa.Column("uid", sa.Integer(), nullable=True),
        sa.Column("roles", sa.Text(), nullable=False),
        sa.Column("created", sa.String(27), nullable=False),
        sa.PrimaryKeyConstraint("person", name="pk_operators"),
        sa.UniqueConstraint("uid", name="uq_operators_uid"),
    )
    op.create_table(
        "refusals",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("time", sa.String(27), nullable=False),
        sa.Column("container_uuid", sa.String(36), nullable=False),
        sa.Column("call", sa.String(64), nullable=False),
        sa.Column("code", sa.String(64), nullable=False),
        sa.Column("sentence", sa.Text(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("remedy", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_refusals"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_refusals_container_uuid", "refusals", ["container_uuid"], unique=False)
    op.create_table(
        "operator_tokens",
        sa.Column("id", sa.String(16), nullable=False),
        sa.Column("person", sa.String(32), nullable=False),
        sa.Column("label", sa.String(100), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("created", sa.String(27), nullable=False),
        sa.Column("expires", sa.String(27), nullable=True),
        sa.Column("last_used", sa.String(27), nullable=True),
        sa.Column("revoked", sa.String(27), nullable=True),
        sa.ForeignKeyConstraint(["person"], ["operators.person"], name="fk_operator_tokens_person_operators"),
        sa.PrimaryKeyConstraint("id", name="pk_operator_tokens"),
    )
    op.create_index("ix_operator_tokens_person", "operator_tokens", ["person"], unique=False)
    op.create_table(
        "resources",
        sa.Column("provider", sa.String(63), nullable=False),
        sa.Column("id", sa.String(255), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("container_uuid", sa.String(36), nullable=False),
        sa.Column("created", sa.String(27), nullable=False),
        sa.ForeignKeyConstraint(["container_uuid"], ["containers.uuid"], name="fk_resources_container_uuid_containers"),
        sa.PrimaryKeyConstraint("provider", "id", name="pk_resources"),
    )
    op.create_index("ix_resources_container_uuid", "resources", ["container_uuid"], unique=False)
