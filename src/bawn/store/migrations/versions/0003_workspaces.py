"""How a container works in its folder, and whether it ends with its work."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("containers", sa.Column("workspace", sa.String(8), nullable=False, server_default="live"))
    op.add_column("containers", sa.Column("ephemeral", sa.Boolean(), nullable=False, server_default=sa.false()))
