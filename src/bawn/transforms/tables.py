"""The table of the transforms: what each call of today used of which quota."""

from __future__ import annotations

import sqlalchemy as sa

from bawn.store.tables import Money, metadata

quota_uses = sa.Table(
    "quota_uses",
    metadata,
    sa.Column("call", sa.String(64), primary_key=True),
    sa.Column("subject", sa.String(200), primary_key=True),
    sa.Column("day", sa.String(10), nullable=False, index=True),
    sa.Column("tokens", sa.BigInteger, nullable=False),
    sa.Column("cost_usd", Money, nullable=False),
)
