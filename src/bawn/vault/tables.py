"""The table of the vault: what is sealed, and what may be shown of it."""

from __future__ import annotations

import sqlalchemy as sa

from bawn.store.tables import Moment, metadata

keys = sa.Table(
    "keys",
    metadata,
    sa.Column("id", sa.String(20), primary_key=True),
    sa.Column("provider", sa.String(63), nullable=False, unique=True),
    sa.Column("name", sa.String(100), nullable=False),
    sa.Column("fingerprint", sa.String(8), nullable=False),
    sa.Column("sealed", sa.LargeBinary, nullable=False),
    sa.Column("created", Moment, nullable=False),
    sa.Column("rotated", Moment),
)
