"""The table of the vault: what is sealed, and what may be shown of it."""

from __future__ import annotations

import sqlalchemy as sa

from bawn.store.tables import Moment, metadata

keys = sa.Table(
    "keys",
    metadata,
    sa.Column("id", sa.String(20), primary_key=True),
    sa.Column("provider", sa.String(63), nullable=False),
    sa.Column("name", sa.String(100), nullable=False),
    sa.Column("weight", sa.Integer, nullable=False),
    sa.Column("fingerprint", sa.String(8), nullable=False),
    sa.Column("sealed", sa.LargeBinary, nullable=False),
    sa.Column("created", Moment, nullable=False),
    sa.Column("rotated", Moment),
    sa.UniqueConstraint("provider", "name", name="uq_keys_provider_name"),
)
