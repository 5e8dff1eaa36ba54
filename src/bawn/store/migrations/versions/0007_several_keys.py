"""Several keys of one provider, told apart by name and used by weight."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_KEPT = "id, provider, name, fingerprint, sealed, created, rotated"


def upgrade() -> None:
    # SQLite cannot take a constraint away from a table, and renaming one would leave another text of its making.
    op.execute("CREATE TABLE keys_before AS SELECT * FROM keys")
    op.drop_table("keys")
    op.create_table(
        "keys",
        sa.Column("id", sa.String(20), nullable=False),
        sa.Column("provider", sa.String(63), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("weight", sa.Integer(), nullable=False),
        sa.Column("fingerprint", sa.String(8), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("created", sa.String(27), nullable=False),
        sa.Column("rotated", sa.String(27), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_keys"),
        sa.UniqueConstraint("provider", "name", name="uq_keys_provider_name"),
    )
    op.execute(f"INSERT INTO keys ({_KEPT}, weight) SELECT {_KEPT}, 1 FROM keys_before")  # noqa: S608 - a constant
    op.drop_table("keys_before")
