"""The tables of guardrails: one row a call, and the last refusals of each container.

They hold no foreign keys: what was used stays on record whatever becomes of the container.
"""

from __future__ import annotations

import sqlalchemy as sa

from bawn.store.tables import Moment, Money, metadata

calls = sa.Table(
    "calls",
    metadata,
    sa.Column("call", sa.String(64), primary_key=True),
    sa.Column("time", Moment, nullable=False, index=True),
    sa.Column("container_uuid", sa.String(36), nullable=False, index=True),
    sa.Column("container_number", sa.Integer, nullable=False),
    sa.Column("session", sa.Text, nullable=False),
    sa.Column("wire", sa.String(16), nullable=False),
    sa.Column("endpoint", sa.String(64), nullable=False),
    sa.Column("provider", sa.String(63), nullable=False),
    sa.Column("model_requested", sa.Text, nullable=False),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("tokens_in", sa.Integer),
    sa.Column("tokens_out", sa.Integer),
    sa.Column("tokens_cached", sa.Integer),
    sa.Column("tokens_cache_write", sa.Integer),
    sa.Column("tokens_reasoning", sa.Integer),
    sa.Column("usage_estimated", sa.Boolean, nullable=False),
    sa.Column("cost_usd", Money),
    sa.Column("first_byte_ms", sa.Integer),
    sa.Column("total_ms", sa.Integer, nullable=False),
    sa.Column("status", sa.Integer, nullable=False),
    sa.Column("outcome", sa.String(16), nullable=False),
    sa.Column("code", sa.String(64), nullable=False),
)

refusals = sa.Table(
    "refusals",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("time", Moment, nullable=False),
    sa.Column("container_uuid", sa.String(36), nullable=False, index=True),
    sa.Column("call", sa.String(64), nullable=False),
    sa.Column("code", sa.String(64), nullable=False),
    sa.Column("sentence", sa.Text, nullable=False),
    sa.Column("cause", sa.Text, nullable=False),
    sa.Column("remedy", sa.Text, nullable=False),
    sa.Column("method", sa.String(16), nullable=False, server_default=""),
    sa.Column("endpoint", sa.String(200), nullable=False, server_default=""),
    sa.Column("model", sa.String(200), nullable=False, server_default=""),
    sqlite_autoincrement=True,
)
