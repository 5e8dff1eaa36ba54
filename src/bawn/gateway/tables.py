"""The table of the gateway: which container made which object at a provider."""

from __future__ import annotations

import sqlalchemy as sa

from bawn.store.tables import Moment, metadata

resources = sa.Table(
    "resources",
    metadata,
    sa.Column("provider", sa.String(63), primary_key=True),
    sa.Column("id", sa.String(255), primary_key=True),
    sa.Column("kind", sa.String(32), nullable=False),
    sa.Column("container_uuid", sa.String(36), sa.ForeignKey("containers.uuid"), nullable=False, index=True),
    sa.Column("created", Moment, nullable=False),
)
