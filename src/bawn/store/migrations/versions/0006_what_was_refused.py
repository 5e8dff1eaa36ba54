"""What a refused call asked for."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("refusals", sa.Column("method", sa.String(16), nullable=False, server_default=""))
    for name in ("endpoint", "model"):
        op.add_column("refusals", sa.Column(name, sa.String(200), nullable=False, server_default=""))
