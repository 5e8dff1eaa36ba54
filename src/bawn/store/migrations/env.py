"""Run by Alembic inside the transaction that `Store.migrate` opened; there is no alembic.ini."""

from __future__ import annotations

from alembic import context

from bawn.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,  # SQLite cannot alter a table otherwise
)
with context.begin_transaction():
    context.run_migrations()
