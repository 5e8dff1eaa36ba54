"""How much of the machine a single container may take."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("containers", sa.Column("limits", sa.Text(), nullable=False, server_default="{}"))
    op.add_column("containers", sa.Column("allow_soft_limits", sa.Boolean(), nullable=False, server_default=sa.false()))
