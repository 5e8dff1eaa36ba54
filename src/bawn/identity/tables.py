"""Tables of this room: containers, the people who operate, their tokens."""

from __future__ import annotations

import sqlalchemy as sa

metadata = sa.MetaData()


class Utc(sa.TypeDecorator):
    impl = sa.DateTime
    cache_ok = True

    def process_bind_param(self, value, dialect):
        import datetime

        return None if value is None else value.astimezone(datetime.UTC).replace(tzinfo=None)

    def process_result_value(self, value, dialect):
        import datetime

        return None if value is None else value.replace(tzinfo=datetime.UTC)


containers = sa.Table(
    "containers",
    metadata,
    sa.Column("uuid", sa.String, primary_key=True),
    sa.Column("number", sa.Integer, unique=True, nullable=False),
    sa.Column("name", sa.String, nullable=False),
    sa.Column("project", sa.String, nullable=False),
    sa.Column("server", sa.String, nullable=False),
    sa.Column("image", sa.String, nullable=False),
    sa.Column("runtime", sa.String, nullable=False),
    sa.Column("ai", sa.Boolean, nullable=False),
    sa.Column("state", sa.String, nullable=False),
    sa.Column("task", sa.String, nullable=False),
    sa.Column("mount", sa.String, nullable=False),
    sa.Column("created", Utc, nullable=False),
    sa.Column("expires", Utc),
)
operators = sa.Table(
    "operators",
    metadata,
    sa.Column("person", sa.String, primary_key=True),
    sa.Column("roles", sa.String, nullable=False),
    sa.Column("uid", sa.BigInteger, unique=True),
    sa.Column("created", Utc, nullable=False),
)
operator_tokens = sa.Table(
    "operator_tokens",
    metadata,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("person", sa.String, nullable=False),
    sa.Column("label", sa.String, nullable=False),
    sa.Column("digest", sa.String, nullable=False),
    sa.Column("created", Utc, nullable=False),
    sa.Column("expires", Utc),
    sa.Column("last_used", Utc),
    sa.Column("revoked", Utc),
)
